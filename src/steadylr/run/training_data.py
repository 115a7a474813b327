"""Batches of whatever data: a data set's, the same bit for bit for any number of workers, or a loader's own."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, default_collate
from torch.utils.data._utils.pin_memory import pin_memory

from steadylr.errors import InvalidValue
from steadylr.run.environment import cpu_cores
from steadylr.run.fingerprint import DataError
from steadylr.run.processes import may_have_children
from steadylr.run.randomness import DrawSampler, SampleDraws, Streams, kept_generators
from steadylr.run.ranks import ALONE, Rank
from steadylr.run.steps import described

MAX_WORKERS = 8

LOADER_ORDER = (
    "the batches come from a loader of your own: its order and augmentation are drawn from the noise stream "
    "(seeds.noise); return its data set instead to have seeds.order and seeds.augment count"
)


@dataclass(frozen=True, slots=True, eq=False)
class TrainingData:
    """What the target of data gave: training data, validation data where it gave some.

    Args:
        train: a data set with lengths and indices, or whatever gives batches.
        validation: the same, or None.
        path: the import path that it came from, for messages.
    """

    train: Any
    validation: Any
    path: str


def training_data(value: Any, *, path: str) -> TrainingData:
    """Take what a class or function gave: data, or a pair (training data, validation data).

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
    return TrainingData(train, validation, path)


def is_dataset(value: Any) -> bool:
    """Whether samples can be had by their index: then order and augmentation follow our streams.

    A plain list or tuple is taken for batches.
    """
    if isinstance(value, DataLoader | IterableDataset | list | tuple | dict):
        return False
    return hasattr(value, "__getitem__") and hasattr(value, "__len__")


@dataclass(frozen=True, slots=True)
class FailedBatch:
    """A DataError met in a data worker: as a value its message crosses to the training process unchanged."""

    message: str


class SampleBatches(Dataset[Any]):
    """Batches of samples of a data set, from lists of (index, draw number), made in whatever process.

    A data set may make whole batches, or many samples at once: `__getitems__(indices)` gives what its `collate_fn`
    takes. And it may say `plain = True`: that making a batch draws nothing and sums nothing.

    Args:
        dataset: with `__len__` and `__getitem__`.
        path: where it came from, for messages.
        streams: the seeds; augment is drawn from.
    """

    def __init__(self, dataset: Any, *, path: str, streams: Streams) -> None:
        self._dataset = dataset
        self._path = path
        self._draws = SampleDraws(streams)
        self.plain = bool(getattr(dataset, "plain", False))

    def __getitem__(self, item: tuple[int, int]) -> Any:
        return self.__getitems__([item])

    def __getitems__(self, items: list[tuple[int, int]]) -> tuple[Any, bool] | FailedBatch:
        """A batch, and whether anything so far drew a random number."""
        try:
            return collated(self._dataset, self._samples(items), path=self._path), self._draws.used
        except DataError as error:
            return FailedBatch(str(error))

    def _samples(self, items: list[tuple[int, int]]) -> Any:
        dataset = self._dataset
        together = getattr(dataset, "__getitems__", None) or (
            lambda indices: [dataset[index] for index in indices]
        )
        if self.plain:
            return together([index for index, _ in items])
        return self._draws.samples(items, dataset.__getitem__, together)


def collated(dataset: Any, samples: Any, *, path: str) -> Any:
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


class TrainBatches:
    """Endless batches of a data set, going on over epochs, bit for bit the same for any number of workers.

    Each iter() starts again at the first epoch, so that training twice gives the same numbers twice. Workers, if any,
    live as long as the iterator: delete or close it to end them.

    Args:
        samples: makes each batch.
        sampler: says of what.
        batch_size: samples per batch.
        workers: processes that prepare batches, at least 0.
        pin_memory: put batches into page-locked memory; only useful with a CUDA device.
    """

    def __init__(
        self, samples: SampleBatches, sampler: DrawSampler, *, batch_size: int, workers: int, pin_memory: bool
    ) -> None:
        self._samples = samples
        self._sampler = sampler
        self.batch_size = batch_size
        self.workers = workers
        self._pin_memory = pin_memory
        self.augment_used = False

    @property
    def order_used(self) -> bool:
        """Whether the order of the batches is drawn at all."""
        return self._sampler.order_used

    @property
    def notes(self) -> tuple[str, ...]:
        """What somebody may not expect of these batches."""
        size = self._sampler.size
        if self.batch_size <= size:
            return ()
        return (
            f"data.batch_size={self.batch_size} is above the {size} training samples: each step sees all of "
            "them, and the LR is one for such batches",
        )

    def __iter__(self) -> Iterator[Any]:
        made = self._made_here() if self.workers == 0 else self._made_by_workers()
        with closing(made):
            for item in made:
                if isinstance(item, FailedBatch):
                    raise DataError(item.message)
                batch, drew = item
                self.augment_used = self.augment_used or drew
                yield batch

    def _made_here(self) -> Generator[Any, None, None]:
        # changing the number of threads for every batch would cost two threads a tenth of their time
        as_in_a_worker = nullcontext if self._samples.plain else _as_in_a_worker
        for items in self._sampler:
            with as_in_a_worker():
                made = self._samples.__getitems__(items)
            if self._pin_memory and not isinstance(made, FailedBatch):
                made = (pin_memory(made[0]), made[1])  # type: ignore[no-untyped-call]
            yield made

    def _made_by_workers(self) -> Generator[Any, None, None]:
        import torchvision.transforms.v2.functional  # noqa: F401 (once here, not in every forked worker)

        with may_have_children(), warnings.catch_warnings():
            # of forking beside threads (data workers start none), and of more workers than cores (as asked)
            warnings.simplefilter("ignore")
            loader: DataLoader[Any] = DataLoader(
                self._samples,
                batch_sampler=self._sampler,
                collate_fn=_unchanged,
                num_workers=self.workers,
                pin_memory=self._pin_memory,
                multiprocessing_context="fork" if sys.platform == "linux" else None,
                generator=torch.Generator(),  # else the loader would draw a number from the noise stream
            )
            iterator = iter(loader)
        try:
            yield from iterator
        finally:
            del iterator


def _unchanged(batch: Any) -> Any:
    return batch


@contextmanager
def _as_in_a_worker() -> Iterator[None]:
    """Work on one thread, as data workers do, so that sums agree; leave torch's CPU generator alone."""
    state = torch.default_generator.get_state()
    threads = torch.get_num_threads()
    if threads != 1:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        if threads != 1:
            torch.set_num_threads(threads)
        torch.default_generator.set_state(state)


def train_batches(
    data: TrainingData,
    *,
    batch_size: int,
    streams: Streams,
    workers: int | None = None,
    cores: int | None = None,
    pin_memory: bool = False,
    drop_last: bool = True,
    rank: Rank = ALONE,
) -> TrainBatches | LoaderBatches:
    """Batches of the training data, again and again.

    A data set is shuffled and batched here, bit for bit the same for any number of workers: its order follows the
    order stream, what its samples draw (from torch's, Python's or NumPy's global generator) the augment stream.
    A loader or another iterable is taken as it comes; an IterableDataset is batched in its own order.

    Args:
        data: what is trained on.
        batch_size: samples per batch, at least 1; not used for a loader.
        streams: the seeds.
        workers: processes that prepare batches, at least 0; None: default_workers(data). Not used for a loader.
        cores: what this training may use; None: all that the process may.
        pin_memory: put batches into page-locked memory; not used for a loader.
        drop_last: leave out each epoch's last batch if it is smaller than batch_size; not used for a loader.
        rank: whose share of each batch comes: batch_size / rank.count of its samples; of a data set only.

    Raises:
        ValueError: a batch larger than the data set with drop_last, one that the ranks can't share equally, or a
            number below its range.
        DataError: while iterating: a file that can't be read; the message names it, also from a worker.
    """
    train = data.train
    count = default_workers(data, cores=cores) if workers is None else workers
    if count < 0:
        raise InvalidValue(f"data.workers must be at least 0; got {count}")
    if is_dataset(train):
        sampler = DrawSampler(
            len(train), batch_size=batch_size, drop_last=drop_last, streams=streams, rank=rank
        )
        samples = SampleBatches(train, path=data.path, streams=streams)
        return TrainBatches(samples, sampler, batch_size=batch_size, workers=count, pin_memory=pin_memory)
    if isinstance(train, IterableDataset):
        train = DataLoader(
            train,
            batch_size=batch_size,
            num_workers=count,
            pin_memory=pin_memory,
            drop_last=drop_last,
            collate_fn=getattr(train, "collate_fn", None),
        )
    return LoaderBatches(train)


def default_workers(data: TrainingData, *, cores: int | None = None) -> int:
    """Processes that prepare batches: none, but for a data set that `reads_files` one less than the cores, 1 to 8.

    Args:
        data: what is trained on.
        cores: the cores that this training may use; None: all that the process may.
    """
    if not getattr(data.train, "reads_files", False):
        return 0
    return max(1, min(MAX_WORKERS, (cpu_cores() if cores is None else cores) - 1))


class LoaderBatches:
    """Batches as the user's own loader or iterable gives them; neither order nor augment stream is drawn from."""

    order_used = False
    augment_used = False

    def __init__(self, batches: Iterable[Any]) -> None:
        self._batches = batches
        self.sampler = getattr(batches, "sampler", None)  # its set_epoch is called before each epoch
        self.notes = (LOADER_ORDER,)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._batches)


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What a model, or a loss, needs to know of the images that it gets."""

    num_classes: int
    in_channels: int
    image_size: int


def image_facts(data: TrainingData) -> ImageFacts:
    """Classes, channels and size of images: as the data set says, else from its `classes` and its first sample.

    Raises:
        DataError: the data set does not tell.
    """
    train = data.train
    classes = getattr(train, "classes", None)
    if classes is not None and hasattr(train, "in_channels") and hasattr(train, "image_size"):
        return ImageFacts(len(classes), int(train.in_channels), int(train.image_size))
    with kept_generators():
        sample = train[0] if is_dataset(train) else None
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
    return ImageFacts(len(classes), int(image.shape[0]), int(image.shape[1]))


def _named(value: Any) -> str:
    return (
        described(value) if isinstance(value, list | tuple | dict | Tensor) else f"a {type(value).__name__}"
    )
