"""The data: images with labels, and endless batches of them that are the same for any number of workers.

torchvision and PIL are imported where images are resized or read from files: the embedded images need neither.
"""

from __future__ import annotations

import io
import math
import os
import sys
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torch.utils.data._utils.pin_memory import pin_memory

from steadylr.run.augmentation import Augmentation
from steadylr.run.environment import cpu_cores
from steadylr.run.fingerprint import (
    DATASETS,
    TORCHVISION_FILES,
    DataError,
    data_fingerprint,
    data_root,
    embedded_bytes,
    image_files,
    split_folder,
)
from steadylr.run.names import did_you_mean
from steadylr.run.processes import may_have_children
from steadylr.run.randomness import AugmentDraws, DrawSampler, Streams
from steadylr.run.ranks import ALONE, Rank

Batch = tuple[Tensor, Tensor]

MAX_WORKERS = 8
FILES_CHECKED_AHEAD = 2000

STATISTICS = {
    "fashion_mnist_mini": ((0.2860,), (0.3530,)),
    "fashion_mnist": ((0.2860,), (0.3530,)),
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    "imagefolder": (
        (0.485, 0.456, 0.406),
        (0.229, 0.224, 0.225),
    ),  # of ImageNet, as torchvision's weights want
}
"""Mean and standard deviation per channel, pixels from 0 to 1, that are used unless others are given."""

NATIVE_SIZE = {"fashion_mnist_mini": 28, "fashion_mnist": 28, "cifar10": 32, "imagefolder": 224}


class ImageSource(Protocol):
    """Labelled images, each uint8 of shape (channels, height, width)."""

    @property
    def targets(self) -> Tensor: ...

    def __len__(self) -> int: ...

    def image(self, index: int) -> Tensor:
        """One image as it is stored."""


@dataclass(frozen=True, slots=True, eq=False)
class ArrayImages:
    """Images in memory: pixels uint8 of shape (n, channels, height, width), targets int64 of shape (n,)."""

    pixels: Tensor
    targets: Tensor

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the stored images, in pixels."""
        return self.pixels.shape[-2], self.pixels.shape[-1]

    def image(self, index: int) -> Tensor:
        """One image as it is stored."""
        return self.pixels[index]


@dataclass(frozen=True, slots=True, eq=False)
class FileImages:
    """Images in files, decoded when asked for, always in colour: targets int64 of shape (n,)."""

    paths: tuple[str, ...]
    targets: Tensor

    def __len__(self) -> int:
        return len(self.targets)

    def image(self, index: int) -> Tensor:
        """One image, uint8 of shape (3, height, width).

        Raises:
            DataError: a file that can't be read as an image; the message names it.
        """
        from PIL import Image

        path = self.paths[index]
        with _readable(path), Image.open(path) as picture:
            pixels = np.array(picture.convert("RGB"))
        return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()


@contextmanager
def _readable(path: str) -> Iterator[None]:
    """Within this context a file that can't be read as an image is a DataError that names it."""
    from PIL import Image

    try:
        yield
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(
            f"{path!r} under data.root can't be read as an image ({error}): repair it or take it away, "
            "then run the same command again"
        ) from None


@dataclass(frozen=True, slots=True, eq=False)
class Data:
    """A data set, split, with all that a model and a batch need to know of it.

    Args:
        train: the training images.
        validation: the validation images.
        class_names: names of the classes; targets are positions in it.
        in_channels: 1 (grey) or 3 (colour).
        image_size: height and width of the images in a batch, in pixels.
        mean: per channel, pixels from 0 to 1.
        std: per channel, pixels from 0 to 1, above 0.
        name: of the data set.
        root: its folder, or None.
    """

    train: ImageSource
    validation: ImageSource
    class_names: tuple[str, ...]
    in_channels: int
    image_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    name: str
    root: str | os.PathLike[str] | None = None

    @property
    def fingerprint(self) -> str:
        """See data_fingerprint. Found when asked for: a large image folder takes seconds."""
        return data_fingerprint(self.name, root=self.root)

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)


FASHION_CLASSES = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)


def load_data(
    name: str,
    *,
    root: str | os.PathLike[str] | None = None,
    download: bool = False,
    image_size: int | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> Data:
    """Load a data set by name.

    Args:
        name: fashion_mnist_mini (5,000 and 1,000 images that come with the package), fashion_mnist, cifar10
            (both through torchvision) or imagefolder (root/train/<class>/ and root/val/<class>/).
        root: folder of the data; for all but fashion_mnist_mini.
        download: fetch fashion_mnist or cifar10 when they are not there.
        image_size: height and width of the images in a batch, in pixels, at least 4; None: as they are (28,
            32), 224 for imagefolder. Others are scaled to it by their shorter side and cut at the centre.
        mean, std: per channel, pixels from 0 to 1; one number stands for all channels. None: the data set's.

    Raises:
        DataError: an unknown name, data that is not there, classes that differ between train/ and val/, an
        empty
            class, a file that is no image, or a value outside its range; the message names the key or the
            file.
    """
    if name not in DATASETS:
        raise DataError(f"data.name={name!r} is not known; {did_you_mean(name, DATASETS)}")
    size = NATIVE_SIZE[name] if image_size is None else image_size
    if size < 4:
        raise DataError(f"data.image_size must be at least 4; got {size!r}")
    loaders: dict[str, Callable[[], _Loaded]] = {
        "fashion_mnist_mini": _load_embedded,
        "imagefolder": lambda: _load_folder(data_root(name, root)),
    }
    loaded = (
        loaders[name]()
        if name in loaders
        else _load_torchvision(name, data_root(name, root), download=download)
    )
    train, validation, class_names, channels = loaded
    return Data(
        train=train,
        validation=validation,
        class_names=class_names,
        in_channels=channels,
        image_size=size,
        mean=_per_channel("mean", STATISTICS[name][0] if mean is None else mean, channels),
        std=_per_channel("std", STATISTICS[name][1] if std is None else std, channels),
        name=name,
        root=root,
    )


_Loaded = tuple[ImageSource, ImageSource, tuple[str, ...], int]


def _per_channel(key: str, values: Sequence[float], channels: int) -> tuple[float, ...]:
    numbers = tuple(float(value) for value in values)
    numbers = numbers * channels if len(numbers) == 1 else numbers
    if len(numbers) != channels or not all(math.isfinite(value) for value in numbers):
        raise DataError(
            f"data.{key} must be one finite number, or {channels} (one per channel); got {values!r}"
        )
    if key == "std" and min(numbers) <= 0:
        raise DataError(f"data.std must be above 0; got {values!r}")
    return numbers


def _load_embedded() -> _Loaded:
    with np.load(io.BytesIO(embedded_bytes()), allow_pickle=False) as arrays:
        train, validation = (
            ArrayImages(
                torch.from_numpy(arrays[f"{split}_images"]).unsqueeze(1),
                torch.from_numpy(arrays[f"{split}_labels"].astype(np.int64)),
            )
            for split in ("train", "val")
        )
    return train, validation, FASHION_CLASSES, 1


def _load_torchvision(name: str, root: Path, *, download: bool) -> _Loaded:
    from torchvision import datasets

    dataset_class = {"fashion_mnist": datasets.FashionMNIST, "cifar10": datasets.CIFAR10}[name]
    present = all((root / file).is_file() for file in TORCHVISION_FILES[name])
    if not present and not download:
        raise DataError(
            f"data.name={name} is not in data.root={str(root)!r}: set data.download=true to fetch it, "
            "or data.root to the folder that holds it"
        )
    try:
        train, validation = (
            dataset_class(root, train=train, download=not present) for train in (True, False)
        )
    except Exception as error:  # torchvision raises whatever the damage leads to
        what = "can't be read" if present else "could not be downloaded"
        raise DataError(
            f"data.name={name} in data.root={str(root)!r} {what} ({type(error).__name__}: {error}); "
            "take the damaged files away and set data.download=true"
        ) from error
    names = tuple(str(class_name) for class_name in train.classes)
    channels = 3 if name == "cifar10" else 1
    return _as_arrays(train), _as_arrays(validation), names, channels


def _as_arrays(dataset: Any) -> ArrayImages:
    pixels = torch.as_tensor(dataset.data)
    pixels = pixels.unsqueeze(1) if pixels.ndim == 3 else pixels.permute(0, 3, 1, 2).contiguous()
    return ArrayImages(pixels, torch.as_tensor(dataset.targets, dtype=torch.int64))


def _load_folder(root: Path) -> _Loaded:
    train_names, train = _read_tree(split_folder(root, "train"))
    val_names, validation = _read_tree(split_folder(root, "val"))
    if train_names != val_names:
        odd = sorted(set(train_names) ^ set(val_names))
        raise DataError(
            f"data.root={str(root)!r}: train/ and val/ must have the same class folders; "
            f"only one of them has {', '.join(odd[:5])}{' and others' if len(odd) > 5 else ''}"
        )
    for part in (train, validation):
        _check_files(part.paths)
    return train, validation, train_names, 3


def _read_tree(folder: Path) -> tuple[tuple[str, ...], FileImages]:
    names = tuple(
        sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    )
    if not names:
        raise DataError(
            f"{str(folder)!r} under data.root has no class folders: one folder per class is needed"
        )
    paths: list[str] = []
    targets: list[int] = []
    for position, name in enumerate(names):
        found = image_files(folder / name)
        if not found:
            raise DataError(f"the class folder {str(folder / name)!r} under data.root holds no images")
        paths += map(str, found)
        targets += [position] * len(found)
    return names, FileImages(tuple(paths), torch.tensor(targets, dtype=torch.int64))


def _check_files(paths: Sequence[str]) -> None:
    """Open a sample of the files before training; those passed over are checked when they are drawn."""
    from PIL import Image

    step = max(1, len(paths) // FILES_CHECKED_AHEAD)
    for path in paths[::step]:
        with _readable(path), Image.open(path) as picture:
            picture.verify()


def fitted(image: Tensor, size: int) -> Tensor:
    """Images of shape (..., height, width), scaled by the shorter side and cut at the centre to a square."""
    if image.shape[-2:] == (size, size):
        return image
    from torchvision.transforms.v2 import functional as images

    square: Tensor = images.center_crop(images.resize(image, [size], antialias=True), [size, size])
    return square


class _Finishing:
    """From uint8 images to the floats that a model gets."""

    def __init__(self, data: Data, *, channels_last: bool) -> None:
        shape = (1, data.in_channels, 1, 1)
        self._mean = torch.tensor(data.mean, dtype=torch.float32).reshape(shape)
        self._std = torch.tensor(data.std, dtype=torch.float32).reshape(shape)
        self._format = torch.channels_last if channels_last else torch.contiguous_format

    def __call__(self, batch: Tensor) -> Tensor:
        top = 255 if batch.dtype == torch.uint8 else 1
        floats = batch.to(torch.float32, copy=True).sub_(self._mean * top).div_(self._std * top)
        return floats.contiguous(memory_format=self._format)


@dataclass(frozen=True, slots=True)
class FailedBatch:
    """A DataError met in a data worker: as a value its message crosses to the training process unchanged."""

    message: str


class Fetch(Protocol):
    """Makes one batch from a list of (index, draw number), in whatever process."""

    @property
    def plain(self) -> bool:
        """Whether making a batch draws nothing and sums nothing."""

    def __getitems__(self, items: list[tuple[int, int]]) -> tuple[Any, bool] | FailedBatch:
        """A batch, and whether anything so far drew a random number."""


class _Fetch(Dataset[Any]):
    """Batches of images: (inputs, targets)."""

    def __init__(
        self,
        data: Data,
        *,
        augmentation: Augmentation | None,
        streams: Streams,
        channels_last: bool,
    ) -> None:
        self._images = data.train
        self._size = data.image_size
        self._channels = data.in_channels
        self._augmentation = augmentation
        self._draws = AugmentDraws(streams)
        self._finish = _Finishing(data, channels_last=channels_last)

    @property
    def plain(self) -> bool:
        """Whether a batch is a selection of stored images, one by one made floats: no sums, nothing drawn."""
        images = self._images
        native = (self._size, self._size)
        return self._augmentation is None and isinstance(images, ArrayImages) and images.size == native

    def __getitem__(self, item: tuple[int, int]) -> Any:
        return self.__getitems__([item])

    def __getitems__(self, items: list[tuple[int, int]]) -> tuple[Batch, bool] | FailedBatch:
        try:
            return self.batch(items)
        except DataError as error:
            return FailedBatch(str(error))

    def batch(self, items: list[tuple[int, int]]) -> tuple[Batch, bool]:
        """Inputs with targets, and whether any augmentation so far drew a random number."""
        indices = torch.tensor([index for index, _ in items])
        targets = self._images.targets[indices]
        if self._augmentation is None and isinstance(self._images, ArrayImages):
            pixels = fitted(self._images.pixels[indices], self._size)
        else:
            pixels = torch.stack([self._one(index, draw) for index, draw in items])
        return (self._finish(pixels), targets), self._draws.used

    def _one(self, index: int, draw_number: int) -> Tensor:
        image = self._images.image(index)
        augmentation = self._augmentation
        if augmentation is None:
            return fitted(image, self._size)
        if not augmentation.from_full_image:
            image = fitted(image, self._size)
        self._draws.begin(index, draw_number)
        changed = augmentation(image)
        self._draws.end(index, draw_number)
        if changed.ndim != 3 or changed.shape[0] != self._channels:
            raise DataError(
                f"augmentation must give images of shape ({self._channels}, height, width); "
                f"got {tuple(changed.shape)}"
            )
        return fitted(changed, self._size)


def default_data_workers(data: Data, *, cores: int | None = None) -> int:
    """Processes that prepare batches: none for images in memory, else one less than the cores, 1 to 8.

    Args:
        data: the data set.
        cores: the cores that this training may use; None: all that the process may.
    """
    if isinstance(data.train, ArrayImages):
        return 0
    return max(1, min(MAX_WORKERS, (cpu_cores() if cores is None else cores) - 1))


class TrainBatches:
    """Endless batches of the training data: of images (inputs, targets), see make_batches; else what Fetch makes.

    Each iter() starts again at the first epoch, so that training twice gives the same numbers twice. Workers,
    if
    any, live as long as the iterator: delete or close it to end them.
    """

    def __init__(
        self, fetch: Fetch, sampler: DrawSampler, *, batch_size: int, workers: int, pin_memory: bool
    ) -> None:
        self._fetch = fetch
        self._sampler = sampler
        self.batch_size = batch_size
        self.workers = workers
        self._pin_memory = pin_memory
        self.augment_used = False

    @property
    def order_used(self) -> bool:
        """Whether the order of the batches is drawn at all."""
        return self._sampler.order_used

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
        as_in_a_worker = nullcontext if self._fetch.plain else _as_in_a_worker
        for items in self._sampler:
            with as_in_a_worker():
                made = self._fetch.__getitems__(items)
            if self._pin_memory and not isinstance(made, FailedBatch):
                made = (pin_memory(made[0]), made[1])  # type: ignore[no-untyped-call]
            yield made

    def _made_by_workers(self) -> Generator[Any, None, None]:
        import torchvision.transforms.v2.functional  # noqa: F401 (once here, not in every forked worker)

        with may_have_children(), warnings.catch_warnings():
            # of forking beside threads (data workers start none), and of more workers than cores (as asked)
            warnings.simplefilter("ignore")
            loader: DataLoader[Any] = DataLoader(
                cast("Dataset[Any]", self._fetch),
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


def make_batches(
    data: Data,
    *,
    batch_size: int,
    streams: Streams,
    workers: int | None = None,
    pin_memory: bool = False,
    drop_last: bool = True,
    augmentation: Augmentation | None = None,
    channels_last: bool = False,
    rank: Rank = ALONE,
) -> TrainBatches:
    """Endless training batches, going on over epochs, bit for bit the same for any number of workers.

    Args:
        data: the data set.
        batch_size: images per batch, at least 1.
        streams: the seeds; order and augment are drawn from.
        workers: processes that prepare batches; 0: the training process; None: default_data_workers(data).
        pin_memory: put batches into page-locked memory; only useful with a CUDA device.
        drop_last: leave out each epoch's last batch if it is smaller than batch_size.
        augmentation: what is done to each image, or None. Images are brought to data.image_size before it,
            unless it crops from the full image, and after it where its output has another size.
        channels_last: memory layout of the inputs.
        rank: whose share of each batch comes: batch_size / rank.count of its images.

    Iterating gives (inputs, targets): float32 of shape (batch, channels, image_size, image_size), normalised,
    and int64 of shape (batch,).

    Raises:
        ValueError: a batch larger than the data with drop_last, one that the ranks can't share equally, or a number
            below its range.
        DataError: while iterating: a file that can't be read; the message names it, also from a worker.
    """
    count = default_data_workers(data) if workers is None else workers
    if count < 0:
        raise ValueError(f"data.workers must be at least 0; got {count}")
    sampler = DrawSampler(
        len(data.train), batch_size=batch_size, drop_last=drop_last, streams=streams, rank=rank
    )
    fetch = _Fetch(data, augmentation=augmentation, streams=streams, channels_last=channels_last)
    return TrainBatches(fetch, sampler, batch_size=batch_size, workers=count, pin_memory=pin_memory)


class ValidationBatches:
    """A fixed subset of the validation images in batches; every iteration gives the same ones.

    The images are decoded at the first iteration and kept as uint8: one byte per pixel and channel.

    Args:
        data: the data set.
        size: number of images, at least 1, spread evenly over the validation images; all when there are
            fewer.
        batch_size: images per batch, at least 1.
        channels_last: memory layout of the inputs.

    Raises:
        ValueError: a size or batch size below 1.
        DataError: while iterating: a file that can't be read.
    """

    def __init__(self, data: Data, *, size: int, batch_size: int, channels_last: bool = False) -> None:
        if size < 1 or batch_size < 1:
            raise ValueError(f"size and batch_size must be at least 1; got {size} and {batch_size}")
        count = min(size, len(data.validation))
        self.indices = [position * len(data.validation) // count for position in range(count)]
        self._data = data
        self._batch_size = batch_size
        self._finish = _Finishing(data, channels_last=channels_last)
        self._pixels: Tensor | None = None

    def __iter__(self) -> Iterator[Batch]:
        source, size = self._data.validation, self._data.image_size
        if self._pixels is None:
            self._pixels = torch.stack([fitted(source.image(index), size) for index in self.indices])
        targets = source.targets[self.indices]
        for start in range(0, len(self.indices), self._batch_size):
            part = slice(start, start + self._batch_size)
            yield self._finish(self._pixels[part]), targets[part]
