"""The user's own data: data sets, loaders or any iterable of batches, made into batches for a training."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, default_collate

from steadylr.run.data import FailedBatch, TrainBatches
from steadylr.run.fingerprint import DataError
from steadylr.run.losses import mean_loss
from steadylr.run.randomness import DrawSampler, SampleDraws, Streams
from steadylr.run.steps import described

OWN_ORDER = (
    "the batches come from a loader of your own: its order and augmentation are drawn from the noise stream "
    "(seeds.noise); return its data set instead to have seeds.order and seeds.augment count"
)


@dataclass(frozen=True, slots=True, eq=False)
class OwnData:
    """What the user's function returned: training data, validation data where it gave some.

    Args:
        train: a data set with lengths and indices, or whatever gives batches.
        validation: the same, or None.
        path: the import path that it came from, for messages.
    """

    train: Any
    validation: Any
    path: str


def own_data(value: Any, *, path: str) -> OwnData:
    """Take what the user's class or function gave: data, or a pair (training data, validation data).

    Raises:
        DataError: it is neither data nor a pair of data.
    """
    train, validation = value if isinstance(value, tuple) and len(value) == 2 else (value, None)
    for part in (train, validation):
        absent = part is None and train is not None
        if not absent and not is_dataset(part) and not isinstance(part, Iterable):
            raise DataError(
                f"{path} must give a data set, a loader, another iterable of batches, or a pair of these (training, "
                f"validation); it gave {_named(value)}"
            )
    if is_dataset(train) and len(train) == 0:
        raise DataError(f"{path} gave an empty data set: there is nothing to train on")
    return OwnData(train, validation, path)


def is_dataset(value: Any) -> bool:
    """Whether samples can be had by their index: then order and augmentation follow our streams.

    A plain list or tuple is taken for batches.
    """
    if isinstance(value, DataLoader | IterableDataset | list | tuple | dict):
        return False
    return hasattr(value, "__getitem__") and hasattr(value, "__len__")


class _Samples(Dataset[Any]):
    """Batches of samples of a data set: see run.data.Fetch."""

    plain = False

    def __init__(self, dataset: Any, *, path: str, streams: Streams) -> None:
        self._dataset = dataset
        self._path = path
        self._draws = SampleDraws(streams)

    def __getitem__(self, item: tuple[int, int]) -> Any:
        return self.__getitems__([item])

    def __getitems__(self, items: list[tuple[int, int]]) -> tuple[Any, bool] | FailedBatch:
        dataset = self._dataset
        together = getattr(dataset, "__getitems__", None) or (
            lambda indices: [dataset[index] for index in indices]
        )
        samples = self._draws.samples(items, dataset.__getitem__, together)
        try:
            return collated(dataset, samples, path=self._path), self._draws.used
        except DataError as error:
            return FailedBatch(str(error))


def collated(dataset: Any, samples: list[Any], *, path: str) -> Any:
    """Make one batch of samples: by the data set's own collate_fn(samples), if it has one, else as DataLoader does.

    Raises:
        DataError: samples that don't go into one batch.
    """
    own = getattr(dataset, "collate_fn", None)
    if own is not None:
        return own(samples)
    try:
        return default_collate(samples)
    except (RuntimeError, TypeError) as error:
        raise DataError(
            f"the samples of {path} can't be put into one batch ({str(error).splitlines()[0]}); the first is "
            f"{described(samples[0])}: give all samples the same shapes and torch's or Python's own types, or give the "
            "data set a method collate_fn(samples) -> batch"
        ) from None


def own_train_batches(
    data: OwnData, *, batch_size: int, streams: Streams, workers: int, pin_memory: bool, drop_last: bool
) -> TrainBatches | LoaderBatches:
    """Batches of the training data, again and again.

    A data set is shuffled and batched here, bit for bit the same for any number of workers: its order follows the
    order stream, what its samples draw (from torch's, Python's or NumPy's global generator) the augment stream.
    A loader or another iterable is taken as it comes; an IterableDataset is batched in its own order.

    Args:
        data: the user's.
        batch_size: samples per batch, at least 1; not used for a loader.
        streams: the seeds.
        workers: processes that prepare batches, at least 0; not used for a loader.
        pin_memory: put batches into page-locked memory; not used for a loader.
        drop_last: leave out each epoch's last batch if it is smaller than batch_size; not used for a loader.

    Raises:
        ValueError: a batch larger than the data set with drop_last, or a number below its range.
    """
    train = data.train
    if is_dataset(train):
        sampler = DrawSampler(len(train), batch_size=batch_size, drop_last=drop_last, streams=streams)
        samples = _Samples(train, path=data.path, streams=streams)
        return TrainBatches(samples, sampler, batch_size=batch_size, workers=workers, pin_memory=pin_memory)
    if isinstance(train, IterableDataset):
        train = DataLoader(
            train,
            batch_size=batch_size,
            num_workers=workers,
            pin_memory=pin_memory,
            drop_last=drop_last,
            collate_fn=getattr(train, "collate_fn", None),
        )
    return LoaderBatches(train)


class LoaderBatches:
    """Batches as the user's own loader or iterable gives them; neither order nor augment stream is drawn from."""

    order_used = False
    augment_used = False

    def __init__(self, batches: Iterable[Any]) -> None:
        self._batches = batches
        self.sampler = getattr(batches, "sampler", None)  # its set_epoch is called before each epoch

    def __iter__(self) -> Iterator[Any]:
        return iter(self._batches)


def own_validation_batches(data: OwnData, *, size: int, batch_size: int) -> Iterable[Any] | None:
    """Batches of the validation data, or None where there are none.

    Of a data set `size` samples, at least 1, spread evenly over it; of a loader all batches.
    """
    held_out: Iterable[Any] | None = data.validation
    if held_out is None or not is_dataset(held_out):
        return held_out
    dataset: Any = held_out
    count = min(size, len(dataset))
    chosen = [position * len(dataset) // count for position in range(count)]
    return DataLoader(
        Subset(dataset, chosen),
        batch_size=batch_size,
        collate_fn=lambda samples: collated(dataset, samples, path=data.path),
        generator=torch.Generator(),
    )


def validation_of(
    batches: Iterable[Any],
    *,
    loss_fn: Callable[[Any, Any], Tensor] | None,
    step: Callable[[Any, Any], Tensor] | None,
) -> Callable[[nn.Module], Tensor]:
    """validate(model) -> mean loss over batches: with a loss_fn each sample weighs the same, with a step each batch."""
    if step is None:
        assert loss_fn is not None
        return lambda model: mean_loss(model, batches, loss_fn)
    return lambda model: _mean_of_steps(model, batches, step)


@torch.no_grad()
def _mean_of_steps(model: nn.Module, batches: Iterable[Any], step: Callable[[Any, Any], Tensor]) -> Tensor:
    from steadylr.run.fabric import move_data_to_device

    device = next(model.parameters()).device
    losses = [step(model, move_data_to_device(batch, device)).detach() for batch in batches]
    if not losses:
        raise ValueError("there must be at least one batch to take the mean loss of")
    return torch.stack(losses).mean()


def image_facts(data: OwnData) -> tuple[int, int, int]:
    """Classes, channels and size of the user's images, for a model of this project: from `classes` and a sample.

    Raises:
        DataError: the data set does not tell.
    """
    classes = getattr(data.train, "classes", None)
    sample = data.train[0] if is_dataset(data.train) else None
    image = sample[0] if isinstance(sample, tuple | list) and sample else None
    if (
        classes is None
        or not isinstance(image, Tensor)
        or image.ndim != 3
        or image.shape[1] != image.shape[2]
    ):
        raise DataError(
            f"a model of this project needs to know what images it gets, and {data.path} does not tell: give it a data "
            "set with a list `classes`, whose samples are (square image of shape (channels, size, size), class); or "
            "name a model of your own under model._target_"
        )
    return len(classes), int(image.shape[0]), int(image.shape[1])


def _named(value: Any) -> str:
    return (
        described(value) if isinstance(value, list | tuple | dict | Tensor) else f"a {type(value).__name__}"
    )
