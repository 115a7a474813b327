from __future__ import annotations

import dataclasses
import os
from itertools import islice

import pytest
import torch
from torch import nn

from built import batches_of
from steadylr.run.images import Images
from steadylr.run.process_group import OneDeviceRanks, blocks, of_any_rank, rebound
from steadylr.run.randomness import DrawSampler, Streams, seed_noise
from steadylr.run.ranks import ALONE, Rank, torchrun_rank

STREAMS = Streams.same(3)
TORCHRUN = {
    "RANK": "3",
    "WORLD_SIZE": "4",
    "LOCAL_RANK": "1",
    "LOCAL_WORLD_SIZE": "2",
    "MASTER_ADDR": "127.0.0.1",
    "MASTER_PORT": "29500",
}


def ranks(count: int) -> list[Rank]:
    return [Rank(index, count, index, count) for index in range(count)]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_shares_in_order_are_the_batch(count: int) -> None:
    """Nothing is left out, and nothing comes twice."""
    batch = list(range(12))
    shares = [rank.share(batch) for rank in ranks(count)]
    assert [item for share in shares for item in share] == batch
    assert {len(share) for share in shares} == {12 // count}


def test_torchrun_says_which_rank_a_process_is() -> None:
    """All of its variables together; one process is no training in several."""
    assert torchrun_rank(TORCHRUN) == Rank(index=3, count=4, local=1, local_count=2)
    assert torchrun_rank({}) is None
    assert torchrun_rank({**TORCHRUN, "RANK": "0", "WORLD_SIZE": "1"}) is None
    for name in TORCHRUN:
        assert torchrun_rank({key: value for key, value in TORCHRUN.items() if key != name}) is None


@pytest.mark.parametrize("drop_last", [True, False])
@pytest.mark.parametrize("count", [2, 3])
def test_ranks_together_draw_what_one_process_draws(count: int, drop_last: bool) -> None:
    """Sample for sample and draw for draw, over several epochs, a smaller last batch included."""
    size = 30 if drop_last else 30 + 6
    settings = {"batch_size": 12, "drop_last": drop_last, "streams": STREAMS}
    whole = list(islice(DrawSampler(size, **settings), 9))
    shares = [list(islice(DrawSampler(size, **settings, rank=rank), 9)) for rank in ranks(count)]
    together = [[item for part in parts for item in part] for parts in zip(*shares, strict=True)]
    assert together == whole
    assert any(draw > 0 for batch in whole for _, draw in batch)


def test_images_of_the_ranks_are_those_of_one_process(small_data: Images) -> None:
    """train_batches hands the rank on."""
    whole = next(iter(batches_of(small_data, batch_size=8, streams=STREAMS)))
    parts = [
        next(iter(batches_of(small_data, batch_size=8, streams=STREAMS, rank=rank))) for rank in ranks(2)
    ]
    for position in (0, 1):
        assert torch.equal(torch.cat([part[position] for part in parts]), whole[position])


@pytest.mark.parametrize(
    ("size", "batch_size", "drop_last", "message"),
    [
        (30, 9, True, r"^data\.batch_size=9 can't be shared equally by 2 devices: make it a multiple of 2$"),
        (
            35,
            10,
            False,
            r"^data\.drop_last=false leaves a last batch of 5 samples, which 2 devices can't share ",
        ),
    ],
)
def test_what_cannot_be_shared_equally_is_refused(
    size: int, batch_size: int, drop_last: bool, message: str
) -> None:
    """With unequal shares the mean over the ranks would not be the mean over the batch."""
    with pytest.raises(ValueError, match=message):
        DrawSampler(size, batch_size=batch_size, drop_last=drop_last, streams=STREAMS, rank=Rank(0, 2))


def test_each_rank_has_noise_of_its_own() -> None:
    """Rank 0 has that of a training in one process."""

    def noise(rank: Rank) -> float:
        seed_noise(STREAMS, rank)
        return torch.rand(()).item()

    seed_noise(STREAMS)
    alone = torch.rand(()).item()
    drawn = [noise(rank) for rank in ranks(3)]
    assert drawn[0] == alone == noise(ALONE)
    assert len(set(drawn)) == 3
    seed_noise(dataclasses.replace(STREAMS, noise=4), Rank(1, 3))
    assert torch.rand(()).item() != drawn[1]


def test_fabric_sees_a_node_for_each_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which makes its global rank ours, whichever GPU of which machine a rank has."""
    environment = OneDeviceRanks(Rank(3, 4, 1, 2))
    found = (
        environment.world_size(),
        environment.global_rank(),
        environment.node_rank(),
        environment.local_rank(),
    )
    assert found == (4, 3, 3, 0)
    assert environment.creates_processes_externally
    monkeypatch.setenv("WORLD_SIZE", "4")
    environment.teardown()
    assert os.environ["WORLD_SIZE"] == "4"


def test_flags_of_one_process_are_its_own() -> None:
    """No group is asked for."""
    assert of_any_rank([True, False], ALONE, torch.device("cpu")) == (True, False)


class Own(nn.Sequential):
    """A sequence of a class of its own is one block."""


def test_blocks_are_the_members_of_the_outermost_sequences() -> None:
    """Plain sequences are looked into, members without weights left out; the rest belongs to the whole model."""
    inner = [nn.Linear(2, 2), Own(nn.Linear(2, 2), nn.Linear(2, 2))]
    listed = [nn.Linear(2, 2), nn.Linear(2, 2)]
    model = nn.Module()
    model.stem = nn.Linear(2, 2)
    model.stages = nn.Sequential(nn.Sequential(*inner), nn.ReLU())
    model.layers = nn.ModuleList(listed)
    assert blocks(model) == [*inner, *listed]
    assert blocks(nn.Linear(2, 2)) == []


def test_an_optimizer_goes_on_with_what_takes_its_parameters_places() -> None:
    """Group by group and in their order; its settings stay."""
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    groups = [{"params": [model[1].bias], "lr": 0.5}, {"params": [model[0].weight, model[0].bias]}]
    optimizer = torch.optim.SGD(groups, lr=0.1)
    before = dict(model.named_parameters())
    for layer in model:
        layer.weight, layer.bias = nn.Parameter(layer.weight.detach()), nn.Parameter(layer.bias.detach())
    rebound(optimizer, before, model)
    held = [group["params"] for group in optimizer.param_groups]
    wanted = [[model[1].bias], [model[0].weight, model[0].bias]]
    assert [[id(p) for p in own] for own in held] == [[id(p) for p in own] for own in wanted]
    assert [group["lr"] for group in optimizer.param_groups] == [0.5, 0.1]


def test_an_optimizer_that_has_numbers_for_each_weight_cannot_change_them() -> None:
    """Adagrad has them from the start: the message says what can be done."""
    model = nn.Linear(2, 2)
    optimizer = torch.optim.Adagrad(model.parameters())
    with pytest.raises(
        ValueError, match=r"^device\.strategy=fsdp can't be used with Adagrad.*use device\.strategy=ddp"
    ):
        rebound(optimizer, dict(model.named_parameters()), model)
