"""What rank 0 tells the others under torchrun, without torchrun: through a store of this process."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest
import torch

from made_jobs import config_of
from steadylr.run import process_group
from steadylr.run.ranks import Rank
from steadylr.store.files import plain_values
from steadylr.training import devices
from steadylr.training import torchrun as module
from steadylr.training.identity import Training, describe_training
from steadylr.training.torchrun import follow, leading, train_in_torchrun

OTHER = Rank(1, 2, 1, 2)
CONFIG = ("model=mlp", "device=cpu", "device.strategy=ddp", "device.devices=2", "finder.diverge_th=null")


@pytest.fixture
def followed(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What train_rank is called with, by rank 0 and by the others, which share a store."""
    calls: list[Any] = []
    store = torch.distributed.HashStore()
    monkeypatch.setattr(process_group, "torchrun_store", lambda: store)
    monkeypatch.setattr(module, "_orders", lambda: orders[-1])
    monkeypatch.setattr(module, "torchrun_rank", lambda: Rank(0, 2, 0, 2))
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.0)
    monkeypatch.setattr(module.signal, "signal", lambda *_: None)
    monkeypatch.setattr(module, "train_rank", lambda *given, **more: calls.append((*given, more)))
    orders = [module._Orders()]
    calls.append(lambda: orders.append(module._Orders()))
    return calls


def as_other(calls: list[Any]) -> None:
    """From here on this process is another one, which reads the orders from the first."""
    calls.pop(0)()


def test_the_others_train_what_rank_0_trains_until_it_ends(followed: list[Any]) -> None:
    """Config, training and GPU arrive as they were sent; for each training the ranks meet in a store of its own."""
    config = config_of(*CONFIG, "seed=4")
    training = describe_training(config)
    with leading():
        for _ in range(2):
            train_in_torchrun(config, training, threads=1)
    as_other(followed)
    assert follow(OTHER) == 0
    first, second, *others = followed
    assert (first[:3], first[3]["gpu"]) == ((config, training, Rank(0, 2, 0, 2)), 0)
    assert [(call[:3], call[3]["gpu"]) for call in others] == [((config, training, OTHER), 1)] * 2
    second[3]["store"].set("met", "second")
    assert others[1][3]["store"].get("met") == b"second"
    assert not others[0][3]["store"].check(["met"])


def test_without_anything_to_train_they_end(followed: list[Any]) -> None:
    """As when the run is stored, or the command line is wrong: also when rank 0 leaves with an error."""
    with pytest.raises(SystemExit), leading():
        raise SystemExit(1)
    as_other(followed)
    assert follow(OTHER) == 0
    assert followed == []


def test_a_machine_that_would_train_something_else_says_what_differs(
    followed: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """Other data or another torch would give a mixture of two trainings."""
    config = config_of(*CONFIG)
    training = describe_training(config)
    shape = {**training.shape, "data_fingerprint": "sha256:other", "versions": {"torch": "1.0"}}
    train_in_torchrun(config, Training(shape, training.seeds), threads=1)
    as_other(followed)
    assert follow(OTHER) == 1
    assert capsys.readouterr().err == (
        "rank 1 of 2 would train something else than rank 0, as its machine differs in data_fingerprint, versions: "
        "give all machines the same data and the same versions\n"
    )


def test_an_order_is_json(followed: list[Any]) -> None:
    """What crosses between machines can be read, and holds no code."""
    config = config_of(*CONFIG)
    module._orders().give({"config": plain_values(asdict(config))})
    text = process_group.torchrun_store().get("order/0")
    assert text.startswith(b'{"config": {"seed": 0')


def test_train_goes_where_the_devices_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """One device: here; several: in ranks of its own, or in those that torchrun has started."""
    from steadylr.training import ranks

    went: list[str] = []
    monkeypatch.setattr(devices, "train_rank", lambda *_, gpu, **__: went.append(f"here on {gpu}"))
    monkeypatch.setattr(
        ranks, "in_ranks", lambda work, count, *, gpus, **_: went.append(f"{count} on {gpus}")
    )
    monkeypatch.setattr(module, "train_in_torchrun", lambda *_, **__: went.append("torchrun"))
    one, two = config_of("device=cpu"), config_of(*CONFIG)
    devices.train(one, Training({}, {}), share=devices.Share(1))
    devices.train(one, Training({}, {}), share=devices.Share(1, (3,)))
    devices.train(two, Training({}, {}), share=devices.Share(1, (2, 3)))
    monkeypatch.setattr(devices, "torchrun_rank", lambda: Rank(0, 2, 0, 2))
    devices.train(two, Training({}, {}), share=devices.Share(1))
    assert went == ["here on 0", "here on 3", "2 on (2, 3)", "torchrun"]
