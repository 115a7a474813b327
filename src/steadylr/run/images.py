"""Labelled images as a plain data set: scaled, augmented one by one, and normalised as whole batches.

torchvision and PIL are imported where images are resized or read from files: images in memory need neither.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from steadylr.run.augmentation import Augmentation
from steadylr.run.fingerprint import DataError

Batch = tuple[Tensor, Tensor]


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
        with readable(path), Image.open(path) as picture:
            pixels = np.array(picture.convert("RGB"))
        return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()


@contextmanager
def readable(path: str) -> Iterator[None]:
    """Within this context a file that can't be read as an image is a DataError that names it."""
    from PIL import Image

    try:
        yield
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(
            f"{path!r} under data.root can't be read as an image ({error}): repair it or take it away, "
            "then run the same command again"
        ) from None


def fitted(image: Tensor, size: int) -> Tensor:
    """Images of shape (..., height, width), scaled by the shorter side and cut at the centre to a square."""
    if image.shape[-2:] == (size, size):
        return image
    from torchvision.transforms.v2 import functional as images

    square: Tensor = images.center_crop(images.resize(image, [size], antialias=True), [size, size])
    return square


@dataclass(frozen=True, slots=True)
class Look:
    """How images come to a model.

    Args:
        image_size: height and width, in pixels, at least 4. Others are scaled to it by their shorter side and cut at
            the centre.
        mean, std: per channel, of pixels from 0 to 1; one number stands for all channels.
        augmentation: what is done to each image of the training data, or None. Images are brought to image_size
            before it, unless it crops from the full image, and after it where its output has another size.
        channels_last: memory layout of a batch.
    """

    image_size: int
    mean: Sequence[float]
    std: Sequence[float]
    augmentation: Augmentation | None = None
    channels_last: bool = False


class Images(Dataset[Any]):
    """Images with their classes. A sample is (image, class number), not yet normalised; `collate_fn` does that.

    So a batch is (inputs, targets): float32 of shape (batch, channels, image_size, image_size), and int64 of shape
    (batch,).

    Args:
        source: the images as they are stored.
        classes: names of the classes; targets are positions in it.
        in_channels: 1 (grey) or 3 (colour).
        look: how they come to the model.
        keep: hold each image once it is made, as bytes: for data that are gone through again and again.

    Raises:
        DataError: a value of the look outside its range.
    """

    def __init__(
        self, source: ImageSource, classes: Sequence[str], in_channels: int, look: Look, *, keep: bool = False
    ) -> None:
        if look.image_size < 4:
            raise DataError(f"data.image_size must be at least 4; got {look.image_size!r}")
        self.source = source
        self.classes = tuple(classes)
        self.in_channels = in_channels
        self.image_size = look.image_size
        self.augmentation = look.augmentation
        shape = (1, in_channels, 1, 1)
        self.mean = torch.tensor(_per_channel("mean", look.mean, in_channels)).reshape(shape)
        self.std = torch.tensor(_per_channel("std", look.std, in_channels)).reshape(shape)
        self._layout = torch.channels_last if look.channels_last else torch.contiguous_format
        self._kept: dict[int, Tensor] | None = {} if keep else None

    @property
    def plain(self) -> bool:
        """Whether a batch is a selection of stored images, one by one made floats: no sums, nothing drawn."""
        native = (self.image_size, self.image_size)
        return (
            self.augmentation is None and isinstance(self.source, ArrayImages) and self.source.size == native
        )

    @property
    def reads_files(self) -> bool:
        """Whether images are decoded when asked for, so that processes beside the training's pay."""
        return not isinstance(self.source, ArrayImages)

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Batch:
        return self._image(index), self.source.targets[index]

    def __getitems__(self, indices: list[int]) -> Batch:
        """A whole batch, for collate_fn."""
        chosen = torch.tensor(indices)
        if self.augmentation is None and isinstance(self.source, ArrayImages):
            pixels = fitted(self.source.pixels[chosen], self.image_size)
        else:
            pixels = torch.stack([self._image(index) for index in indices])
        return pixels, self.source.targets[chosen]

    def collate_fn(self, samples: Batch | list[Batch]) -> Batch:
        """Normalise a whole batch, or samples one by one."""
        if isinstance(samples, list):
            samples = (
                torch.stack([image for image, _ in samples]),
                torch.stack([target for _, target in samples]),
            )
        pixels, targets = samples
        top = 255 if pixels.dtype == torch.uint8 else 1
        floats = pixels.to(torch.float32, copy=True).sub_(self.mean * top).div_(self.std * top)
        return floats.contiguous(memory_format=self._layout), targets

    def _image(self, index: int) -> Tensor:
        if self._kept is None:
            return self._made(index)
        if index not in self._kept:
            self._kept[index] = self._made(index)
        return self._kept[index]

    def _made(self, index: int) -> Tensor:
        image = self.source.image(index)
        augmentation = self.augmentation
        if augmentation is None:
            return fitted(image, self.image_size)
        if not augmentation.from_full_image:
            image = fitted(image, self.image_size)
        changed = augmentation(image)
        if changed.ndim != 3 or changed.shape[0] != self.in_channels:
            raise DataError(
                f"augmentation must give images of shape ({self.in_channels}, height, width); "
                f"got {tuple(changed.shape)}"
            )
        return fitted(changed, self.image_size)


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
