"""Batches without end, and loaders and samplers that go on as if they had not been read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    DistributedSampler,
    RandomSampler,
    Sampler,
    TensorDataset,
)

from steadylr import Ramp, range_test
from steadylr.run.batches import endless

RAMP = Ramp(1e-4, 1e-1, 12)
DATA = TensorDataset(torch.arange(24.0)[:, None], torch.arange(24.0)[:, None])


class Counting(Sampler[int]):
    """Gives each epoch an order of its own, by counting them."""

    def __init__(self) -> None:
        self.epochs = 0

    def __iter__(self) -> Iterator[int]:
        self.epochs += 1
        return iter([(index * (2 * self.epochs + 1)) % 24 for index in range(24)])

    def __len__(self) -> int:
        return 24


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def distributed() -> DistributedSampler[Any]:
    return DistributedSampler(DATA, num_replicas=2, rank=0)


def a_test(loader: Any, **options: Any) -> None:
    torch.manual_seed(0)
    model = nn.Linear(1, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    range_test(model, optimizer, loader, nn.functional.mse_loss, RAMP, **options)


def seen(loader: Any) -> list[list[float]]:
    return [inputs.flatten().tolist() for inputs, _ in loader]


LOADERS = {
    "a generator of the loader": lambda: DataLoader(DATA, 4, shuffle=True, generator=seeded()),
    "a generator of the sampler": lambda: DataLoader(
        DATA, 4, sampler=RandomSampler(DATA, generator=seeded())
    ),
    "a generator below a batch sampler": lambda: DataLoader(
        DATA, batch_sampler=BatchSampler(RandomSampler(DATA, generator=seeded()), 4, drop_last=False)
    ),
    "a sampler that counts": lambda: DataLoader(DATA, 4, sampler=Counting()),
    "an epoch": lambda: DataLoader(DATA, 4, sampler=distributed()),
    "an epoch below a batch sampler": lambda: DataLoader(
        DATA, batch_sampler=BatchSampler(distributed(), 4, drop_last=False)
    ),
}


@pytest.mark.parametrize("make", LOADERS.values(), ids=LOADERS)
def test_what_comes_after_a_range_test_is_what_would_have_come(make: Any) -> None:
    """The order of the next epochs, whatever it follows from; without restore it moves on."""
    torch.manual_seed(5)
    undisturbed, tested = make(), make()
    for loader in (undisturbed, tested):
        for sampler in (loader.sampler, getattr(loader.batch_sampler, "sampler", None)):
            if isinstance(sampler, DistributedSampler):
                sampler.set_epoch(7)
    wanted = [seen(undisturbed), seen(undisturbed)]
    a_test(tested)
    assert [seen(tested), seen(tested)] == wanted
    a_test(tested, restore=False)
    assert seen(tested) != seen(undisturbed)


@pytest.mark.parametrize("below", [False, True], ids=["sampler", "sampler of a batch sampler"])
def test_samplers_are_told_the_epoch(below: bool) -> None:
    """Each epoch has an order of its own, also where the sampler is in a batch sampler."""
    sampler = distributed()
    loader: Any = (
        DataLoader(DATA, batch_sampler=BatchSampler(sampler, 12, drop_last=False))
        if below
        else DataLoader(DATA, 12, sampler=sampler)
    )
    batches = endless(loader, 3)
    came = [next(batches)[0].flatten().tolist() for _ in range(3)]
    wanted = []
    for epoch in range(3):
        sampler.set_epoch(epoch)
        wanted.append([float(index) for index in sampler])
    assert came == wanted
    assert len({tuple(order) for order in came}) == 3


@pytest.mark.slow
def test_a_loop_that_is_under_way_keeps_its_batches() -> None:
    """Persistent workers belong to it: a range test within it has workers of its own."""
    loader = DataLoader(DATA, 4, num_workers=1, persistent_workers=True)
    came = []
    for number, (inputs, _) in enumerate(loader):
        came.append(inputs.flatten().tolist())
        if number == 1:
            a_test(loader)
    assert came == seen(DataLoader(DATA, 4))


def test_a_loss_with_buffers_comes_back() -> None:
    """A loss that is a module, and one that is a method of one."""

    class Averaging(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("mean", torch.zeros(()))
            self.calls = 0

        def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
            loss = (outputs - targets).square().mean()
            self.mean.lerp_(loss.detach(), 0.1)
            self.calls += 1
            return loss

        def on_batch(self, model: nn.Module, batch: Any) -> Tensor:
            return self(model(batch[0]), batch[1])

    model = nn.Linear(1, 1)
    for options in ({"loss_fn": Averaging()}, {"step": Averaging().on_batch}):
        loss: Any = options.get("loss_fn") or options["step"].__self__
        for restore in (True, False):
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            range_test(
                model, optimizer, DataLoader(DATA, 4), ramp=Ramp(1e-6, 1e-5, 3), restore=restore, **options
            )
            assert (loss.mean.item() == 0, loss.calls == 0) == (restore, restore)


def test_a_batch_that_drop_last_swallowed_is_told() -> None:
    """Batches can be empty for a reason that nobody looks for."""
    message = r"^batches is empty: .* has 24 samples, fewer than batch_size=32, and drop_last=True leaves"
    with pytest.raises(ValueError, match=message):
        a_test(DataLoader(DATA, 32, drop_last=True))
    with pytest.raises(ValueError, match=r"^batches is empty: there is nothing to train on$"):
        a_test([])
