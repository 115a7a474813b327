"""The user's own data: data sets in our order, loaders in theirs, and what can't be batched."""

from __future__ import annotations

import itertools
import random
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from steadylr.run.fingerprint import DataError
from steadylr.run.held_out import validation_batches, validation_of
from steadylr.run.randomness import GeneratorStates, Streams
from steadylr.run.training_data import (
    ImageFacts,
    LoaderBatches,
    TrainBatches,
    image_facts,
    train_batches,
    training_data,
)


class Drawing(Dataset[dict[str, Any]]):
    """Each sample draws from some of the global generators, some of them in some samples only."""

    def __init__(self, *generators: str, only_from: int = 0) -> None:
        self.generators = generators
        self.only_from = only_from

    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> dict[str, Any]:
        draws = {
            "torch": lambda: float(torch.rand(())),
            "python": random.random,
            "numpy": lambda: np.random.rand(),  # noqa: NPY002
        }
        drawn = (
            [draws[name]() for name in self.generators]
            if index >= self.only_from
            else [0.0] * len(self.generators)
        )
        return {"index": index, "drawn": torch.tensor(drawn)}


def some_batches(data: Any, *, seed: int = 0, workers: int = 0, count: int = 6, **changes: Any) -> list[Any]:
    settings = {"batch_size": 4, "pin_memory": False, "drop_last": True, **changes}
    batches = train_batches(
        training_data(data, path="my.data"), streams=Streams.same(seed), workers=workers, **settings
    )
    return list(itertools.islice(batches, count))


def flat(batches: list[Any]) -> list[Any]:
    return [(batch["index"].tolist(), batch["drawn"].tolist()) for batch in batches]


def test_a_data_set_is_shuffled_and_batched_by_the_order_stream() -> None:
    """Every sample once an epoch, in an order that its seed decides."""
    one, other = flat(some_batches(Drawing(), seed=1)), flat(some_batches(Drawing(), seed=2))
    assert one == flat(some_batches(Drawing(), seed=1))
    assert one != other
    for batches in (one, other):
        assert sorted(index for indices, _ in batches[:3] for index in indices) == list(range(12))


@pytest.mark.parametrize("generators", [("torch",), ("python",), ("numpy",), ("torch", "python", "numpy")])
def test_what_samples_draw_follows_the_augment_stream(generators: tuple[str, ...]) -> None:
    """Whichever generator they draw from, also where only some samples do; the generators themselves don't notice."""
    data = Drawing(*generators, only_from=5)
    before = GeneratorStates.now()
    first = flat(some_batches(data, seed=1))
    assert GeneratorStates.now().same_as(before)
    random.seed(5)
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002
    assert flat(some_batches(data, seed=1)) == first
    drawn = [value for _, rows in first for row in rows for value in row if any(row)]
    assert len(set(drawn)) == len(drawn)
    streams = Streams(init=0, order=1, augment=9, noise=0)
    settings: dict[str, Any] = {"batch_size": 4, "workers": 0, "pin_memory": False, "drop_last": True}
    other = train_batches(training_data(data, path="d"), streams=streams, **settings)
    augmented = flat(list(itertools.islice(other, 6)))
    assert [indices for indices, _ in augmented] == [indices for indices, _ in first]
    assert augmented != first
    assert other.augment_used


@pytest.mark.slow
def test_any_number_of_workers_gives_the_same_batches() -> None:
    """Bit for bit, draws included."""
    data = Drawing("torch", "python", "numpy", only_from=5)
    assert flat(some_batches(data, workers=2)) == flat(some_batches(data))


def test_data_that_draw_nothing_leave_the_augment_stream_unused() -> None:
    """Then its seed is left out of the key."""
    batches = train_batches(
        training_data(TensorDataset(torch.ones(8, 2), torch.ones(8)), path="d"),
        batch_size=4, streams=Streams.same(0), workers=0, pin_memory=False, drop_last=True,
    )  # fmt: skip
    assert isinstance(batches, TrainBatches)
    inputs, targets = next(iter(batches))
    assert (inputs.shape, targets.shape) == ((4, 2), (4,))
    assert (batches.order_used, batches.augment_used) == (True, False)


class Numbers(IterableDataset[int]):
    def __iter__(self) -> Any:
        return iter(range(10))


def test_loaders_come_as_they_are() -> None:
    """A loader, a list of batches, an iterable data set: their order is theirs."""
    loader = DataLoader(TensorDataset(torch.arange(6)), batch_size=3)
    assert [batch[0].tolist() for batch in some_batches(loader)] == [[0, 1, 2], [3, 4, 5]]
    assert some_batches(["a", "b"]) == ["a", "b"]
    assert [batch.tolist() for batch in some_batches(Numbers())] == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert len(some_batches(Numbers(), drop_last=False)) == 3
    batches = train_batches(
        training_data(loader, path="d"),
        batch_size=1,
        streams=Streams.same(0),
        workers=0,
        pin_memory=False,
        drop_last=True,
    )
    assert isinstance(batches, LoaderBatches)
    assert (batches.order_used, batches.augment_used) == (False, False)


@pytest.mark.parametrize(("batch_size", "said"), [(11, False), (12, False), (13, True)])
def test_a_batch_larger_than_the_data_is_noted(batch_size: int, said: bool) -> None:
    """Each step then sees all samples: the LR is one for that batch, not for the one that was asked for."""
    batches = train_batches(
        training_data(Drawing(), path="d"), batch_size=batch_size, streams=Streams.same(0), drop_last=False
    )
    expected = [f"data.batch_size={batch_size} is above the 12 training samples"] if said else []
    assert [note.partition(":")[0] for note in batches.notes] == expected


class Ragged(Dataset[Tensor]):
    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> Tensor:
        return torch.zeros(index + 1)


class Padded(Ragged):
    def collate_fn(self, samples: list[Tensor]) -> Tensor:
        return nn.utils.rnn.pad_sequence(samples, batch_first=True)


def test_samples_that_do_not_fit_together_are_told() -> None:
    """With what to do; a data set's own collate_fn is used."""
    with pytest.raises(
        DataError, match=r"^the samples of my\.data can't be put into one batch \(stack expects .* float32"
    ):
        some_batches(Ragged())
    assert some_batches(Padded(), batch_size=6, count=1)[0].shape == (6, 6)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (3, r"^my\.data must give a data set, a loader, .*; it gave a int$"),
        (None, r"it gave a NoneType"),
        ((TensorDataset(torch.ones(2)), 3), r"it gave \(TensorDataset, 3\)"),
        (TensorDataset(torch.ones(0)), r"^my\.data gave an empty data set"),
    ],
)
def test_what_is_no_data_is_refused(value: Any, message: str) -> None:
    """The message shows what came."""
    with pytest.raises(DataError, match=message):
        training_data(value, path="my.data")


def test_validation_is_spread_over_the_validation_data() -> None:
    """A mean over samples with a loss, over batches with a step; a loader is used whole."""
    pairs = TensorDataset(torch.arange(10.0).reshape(10, 1), torch.zeros(10, 1))
    data = training_data((pairs, pairs), path="d")
    batches = validation_batches(data, size=5, batch_size=2)
    assert batches is not None
    assert [x.flatten().tolist() for x, _ in batches] == [[0, 2], [4, 6], [8]]
    model = nn.Linear(1, 1, bias=False)
    nn.init.ones_(model.weight)

    def loss_fn(outputs: Tensor, targets: Tensor) -> Tensor:
        return (outputs - targets).mean()

    assert float(validation_of(batches, loss_fn=loss_fn, step=None)(model)) == pytest.approx(4)
    step = validation_of(batches, loss_fn=None, step=lambda m, batch: m(batch[0]).mean())
    assert float(step(model)) == pytest.approx((1 + 5 + 8) / 3)
    assert validation_batches(training_data(pairs, path="d"), size=5, batch_size=2) is None


class Images(Dataset[Any]):
    classes = ("a", "b")

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> Any:
        return torch.zeros(3, 8, 8), index


def test_images_tell_a_model_of_this_project_what_it_gets() -> None:
    """Classes, channels, size; data that don't tell are refused."""
    assert image_facts(training_data(Images(), path="d")) == ImageFacts(2, 3, 8)
    with pytest.raises(DataError, match=r"d does not tell: give it a data set with a list `classes`"):
        image_facts(training_data(TensorDataset(torch.ones(2, 3)), path="d"))
