"""What identifies a training, and how one is done from a config."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from command_line import find_lr
from made_jobs import config_of
from steadylr.config.errors import BadInput
from steadylr.config.sources import files_fingerprint
from steadylr.core.ramp import Ramp
from steadylr.run.environment import cpu_cores
from steadylr.run.ranks import Rank
from steadylr.training import devices, identity
from steadylr.training import train as module
from steadylr.training.devices import Share, threads_for, train
from steadylr.training.identity import describe_training

ONE = Share(threads=1)
SHORT = ("model=mlp", "finder.num_iter=12", "finder.skip_start=1", "finder.skip_end=1", "device=cpu")


def test_a_training_is_what_shapes_its_curve() -> None:
    """Config, threads, kind of device, data, weights, versions and engine; JSON values only, no torch needed."""
    training = describe_training(config_of("seed=3", "device=cpu"))
    shape = training.shape
    assert training.seeds == {"init": 3, "order": 3, "augment": 3, "noise": 3}
    assert (shape["threads"], shape["device_kind"], shape["engine"]) == (None, "cpu", identity.ENGINE_VERSION)
    assert set(shape["versions"]) == {"torch", "torchvision"}
    assert None not in shape["versions"].values()
    assert shape["data_fingerprint"].startswith("sha256:")
    assert shape["model"]["name"] == "mlp"


def test_reading_and_seeds_are_no_part_of_it() -> None:
    """Jobs that differ in analysis only share a training; seeds stand beside the shape."""
    plain = describe_training(config_of())
    read = describe_training(config_of("finder.smooth_f=0.3", "finder.rule=valley", "onecycle.pct_start=0.5"))
    seeded = describe_training(config_of("seed=5"))
    assert read == plain
    assert seeded.shape == plain.shape
    assert seeded.seeds != plain.seeds


def test_the_kind_of_device_can_be_confirmed() -> None:
    """on_device changes that alone."""
    training = describe_training(config_of("device=cpu"))
    moved = training.on_device("cuda")
    assert moved.shape == {**training.shape, "device_kind": "cuda"}
    assert moved.seeds == training.seeds


def test_a_size_that_a_model_asks_for_counts_once() -> None:
    """Two configs with the same image size train alike, whatever the model would have asked for."""
    asked = describe_training(config_of("model=mlp", "model.min_image_size=32"))
    given = describe_training(config_of("model=mlp", "data.image_size=32"))
    assert asked == given


def test_threads_are_shared_among_workers() -> None:
    """As many as the config says, else the cores divided by the workers, at least one."""
    assert threads_for(config_of("device.threads=3"), workers=100) == 3
    assert threads_for(config_of(), workers=1) == cpu_cores()
    assert threads_for(config_of(), workers=10**6) == 1


def test_threads_are_shared_among_the_devices_of_a_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each device has a process of its own; under torchrun those count that are on this machine."""
    config = config_of("device=cpu", "device.strategy=ddp", "device.devices=4")
    monkeypatch.setattr(devices, "cpu_cores", lambda: 16)
    assert threads_for(config, workers=2) == 2
    monkeypatch.setattr(devices, "torchrun_rank", lambda: Rank(2, 4, 0, 2))
    assert threads_for(config, workers=1) == 8


def test_batchnorm_on_several_devices_is_noted() -> None:
    """Each device averages over its own share; other models are none the worse."""
    from torch import nn

    two = Rank(0, 2, 0, 2)
    (note,) = module._sharing_notes(nn.Sequential(nn.Linear(1, 1), nn.BatchNorm1d(1)), two)
    assert note.startswith("BatchNorm averages over each device's share of a batch (1/2 of it)")
    assert module._sharing_notes(nn.Sequential(nn.Linear(1, 1), nn.LayerNorm(1)), two) == []
    assert module._sharing_notes(nn.BatchNorm1d(1), module.ALONE) == []


def test_weights_are_told_apart_by_size_and_time(tmp_path: Path) -> None:
    """A file that was written anew at the same path is another file; names of weights have no fingerprint."""
    file = tmp_path / "weights.pt"
    file.write_bytes(b"1234")
    first = files_fingerprint(str(file))
    os.utime(file, (1e9, 1e9))
    assert first is not None
    assert files_fingerprint(str(file)) not in (None, first)
    assert files_fingerprint("DEFAULT") is None
    assert files_fingerprint(None) is None


def test_train_gives_raw_numbers_and_the_streams_that_were_used() -> None:
    """One loss and one LR a step; streams that nothing drew from are named as unused."""
    config = config_of(*SHORT)
    training = describe_training(config)
    steps: list[tuple[int, float]] = []
    run = train(config, training, share=ONE, report=lambda step, lr, loss: steps.append((step, lr)))
    assert {name: entry["used"] for name, entry in run.meta["seeds"].items()} == {
        "init": True,
        "order": True,
        "augment": False,
        "noise": False,
    }
    assert [step for step, _ in steps] == list(range(12))
    assert [lr for _, lr in steps] == pytest.approx(list(run.curve.lr))
    assert (run.curve.lr[0], run.curve.lr[-1]) == (1e-7, 10.0)
    assert run.meta["device"]["threads"] == 1
    assert run.meta["skipped_steps"] == []
    assert run.validation is None


SCOUTED = ("model=mlp", "model.dropout=0.2", "augmentation=light", "finder.num_iter=120", "device=cpu")


def test_after_a_scout_the_ramp_is_trained_as_if_there_had_been_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fresh weights, order, augmentation and noise: bit for bit the curve of that part of the ramp alone."""
    config = config_of(*SCOUTED, "finder.scout_steps=40", "finder.diverge_th=null")
    training = describe_training(config)
    steps: list[tuple[int, float]] = []
    run = train(config, training, share=ONE, report=lambda step, lr, loss: steps.append((step, lr)))
    first = int(np.searchsorted(Ramp(num_iter=120).lrs(), run.curve.lr[0]))
    last = first + len(run.curve)
    assert 0 < first < last < 120
    assert run.curve.num_iter == 120
    assert steps == [(step, Ramp(num_iter=120).lr_at(step)) for step in range(first, last)]
    (note,) = run.meta["notes"]
    assert note.startswith("After a scout of 40 steps the ramp went from LR ")
    assert note.endswith(f" at most: {last - first} of its 120 steps.")

    plain = config_of(*SCOUTED, "finder.diverge_th=null")
    monkeypatch.setattr("steadylr.core.ramp.Ramp.lrs", lambda self: run.curve.lr)
    alone = train(plain, describe_training(plain), share=ONE)
    assert alone.curve.digest() == run.curve.digest()


def test_a_scout_that_can_not_tell_leaves_the_whole_ramp(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the record says so."""
    monkeypatch.setattr("steadylr.core.scout.scouted", lambda scout, ramp: ramp)
    config = config_of(*SHORT, "finder.num_iter=40", "finder.scout_steps=20", "finder.diverge_th=null")
    run = train(config, describe_training(config), share=ONE)
    assert len(run.curve) == 40
    assert run.meta["notes"] == [
        "A scout of 20 steps could not tell which decades matter, so the whole ramp was done."
    ]


def test_a_scout_makes_another_training() -> None:
    """None leaves the key as it was before there were scouts."""
    plain, none = describe_training(config_of()), describe_training(config_of("finder.scout_steps=0"))
    scouted = describe_training(config_of("finder.scout_steps=50"))
    assert plain == none
    assert "scout_steps" not in plain.shape["finder"]
    assert scouted.shape["finder"]["scout_steps"] == 50


@pytest.mark.parametrize(
    ("overrides", "stream"),
    [(["model.dropout=0.5"], "noise"), (["augmentation=light"], "augment")],
    ids=["dropout", "augmentation"],
)
def test_what_draws_is_a_used_stream(overrides: list[str], stream: str) -> None:
    """Dropout draws noise, augmentation its own stream."""
    config = config_of(*SHORT, *overrides, "data.batch_size=4")
    assert train(config, describe_training(config), share=ONE).meta["seeds"][stream]["used"]


def test_equal_trainings_give_equal_bits() -> None:
    """Whatever ran before in the process."""
    config = config_of(*SHORT, "seed=4")
    training = describe_training(config)
    digests = {train(config, training, share=ONE).read.digest() for _ in range(2)}
    other = config_of(*SHORT, "seed=5")
    assert len(digests) == 1
    assert train(other, describe_training(other), share=ONE).read.digest() not in digests


@pytest.mark.parametrize(
    ("overrides", "advice"),
    [
        ([], r"raise data\.batch_size to 2 or more$"),
        (["data.drop_last=false"], r"2 or more, or data\.drop_last=true, since an epoch's last batch"),
    ],
    ids=["plain", "last batch"],
)
def test_a_batch_too_small_for_batchnorm_is_explained(overrides: list[str], advice: str) -> None:
    """torch's message names no key; this one does. Other errors pass unchanged."""
    config = config_of("data.batch_size=1", *overrides)
    errors: list[tuple[str, type[ValueError], str]] = [
        (
            "Expected more than 1 value per channel when training",
            BadInput,
            rf"^data\.batch_size=1 gives .*{advice}",
        ),
        ("something else", ValueError, "^something else$"),
    ]
    for text, kind, message in errors:
        with pytest.raises(kind, match=message) as caught, module.too_small_batches(config):
            raise ValueError(text)
        assert type(caught.value) is kind


def test_data_to_be_downloaded_is_fetched_before_it_is_identified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """data.download=true fetches first, so that the training is stored under the data that it was done with."""
    from steadylr.run import datasets
    from steadylr.run.fingerprint import TORCHVISION_FILES

    def fetch(root: str, *, download: bool = False) -> tuple[list[int], list[int]]:
        assert download
        for file in TORCHVISION_FILES["cifar10"]:
            (Path(root) / file).parent.mkdir(parents=True, exist_ok=True)
            (Path(root) / file).write_bytes(b"x")
        return [1], [1]

    monkeypatch.setattr(datasets, "cifar10", fetch)
    overrides = ["data=cifar10", f"data.root={tmp_path}"]
    before = describe_training(config_of(*overrides)).shape["data_fingerprint"]
    after = describe_training(config_of(*overrides, "data.download=true")).shape["data_fingerprint"]
    assert before == "not downloaded: cifar10"
    assert after.startswith("files:")


@pytest.mark.parametrize(
    "describe", [lambda: find_lr("data=imagefolder", "data.root=nowhere", "dry_run=true")]
)
def test_a_dry_run_finds_missing_data(
    describe: Callable[[], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is missing is said before anything is imported or trained."""
    monkeypatch.chdir(tmp_path)
    assert "data.root='nowhere' is not a folder" in str(describe())
