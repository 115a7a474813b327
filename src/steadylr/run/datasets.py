"""The data sets of this project, each a function that gives the training and the validation data.

torchvision and PIL are imported where images come through them: the embedded images need neither.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from steadylr.run.augmentation import Augmentation
from steadylr.run.fingerprint import (
    TORCHVISION_FILES,
    DataError,
    data_root,
    embedded_bytes,
    image_files,
    split_folder,
)
from steadylr.run.images import ArrayImages, FileImages, Images, ImageSource, Look, readable

FILES_CHECKED_AHEAD = 2000

FASHION_CLASSES = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)

FASHION_MEAN, FASHION_STD = (0.2860,), (0.3530,)
CIFAR_MEAN, CIFAR_STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # as torchvision's weights want

Split = tuple[Images, Images]
"""Training and validation data."""


def fashion_mnist_mini(
    *,
    image_size: int = 28,
    mean: Sequence[float] = FASHION_MEAN,
    std: Sequence[float] = FASHION_STD,
    augmentation: Augmentation | None = None,
    channels_last: bool = False,
) -> Split:
    """5,000 and 1,000 images of Fashion-MNIST, which come with the package; arguments as those of Look."""
    with np.load(io.BytesIO(embedded_bytes()), allow_pickle=False) as arrays:
        train, validation = (
            ArrayImages(
                torch.from_numpy(arrays[f"{split}_images"]).unsqueeze(1),
                torch.from_numpy(arrays[f"{split}_labels"].astype(np.int64)),
            )
            for split in ("train", "val")
        )
    look = Look(image_size, mean, std, augmentation, channels_last)
    return split_of(train, validation, FASHION_CLASSES, 1, look)


def fashion_mnist(
    root: str,
    *,
    download: bool = False,
    image_size: int = 28,
    mean: Sequence[float] = FASHION_MEAN,
    std: Sequence[float] = FASHION_STD,
    augmentation: Augmentation | None = None,
    channels_last: bool = False,
) -> Split:
    """Fashion-MNIST through torchvision, 60,000 and 10,000 images; see _through_torchvision."""
    look = Look(image_size, mean, std, augmentation, channels_last)
    return _through_torchvision("fashion_mnist", root, download, look)


def cifar10(
    root: str,
    *,
    download: bool = False,
    image_size: int = 32,
    mean: Sequence[float] = CIFAR_MEAN,
    std: Sequence[float] = CIFAR_STD,
    augmentation: Augmentation | None = None,
    channels_last: bool = False,
) -> Split:
    """CIFAR-10 through torchvision, 50,000 and 10,000 images; see _through_torchvision."""
    look = Look(image_size, mean, std, augmentation, channels_last)
    return _through_torchvision("cifar10", root, download, look)


def imagefolder(
    root: str,
    *,
    image_size: int = 224,
    mean: Sequence[float] = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
    augmentation: Augmentation | None = None,
    channels_last: bool = False,
) -> Split:
    """An ImageNet-style tree: root/train/<class>/ and root/val/<class>/ with images; other arguments as those of Look.

    Raises:
        DataError: no such folders, classes that differ between train/ and val/, an empty class, or a file that is no
            image; the message names it.
    """
    folder = data_root("imagefolder", root)
    train_names, train = _read_tree(split_folder(folder, "train"))
    val_names, validation = _read_tree(split_folder(folder, "val"))
    if train_names != val_names:
        odd = sorted(set(train_names) ^ set(val_names))
        raise DataError(
            f"data.root={str(folder)!r}: train/ and val/ must have the same class folders; "
            f"only one of them has {', '.join(odd[:5])}{' and others' if len(odd) > 5 else ''}"
        )
    for part in (train, validation):
        _check_files(part.paths)
    look = Look(image_size, mean, std, augmentation, channels_last)
    return split_of(train, validation, train_names, 3, look)


def split_of(
    train: ImageSource, validation: ImageSource, classes: Sequence[str], in_channels: int, look: Look
) -> Split:
    """Images as training and validation data: the latter are not augmented, and kept once they are decoded."""
    held_out = Look(look.image_size, look.mean, look.std, None, look.channels_last)
    return (
        Images(train, classes, in_channels, look),
        Images(validation, classes, in_channels, held_out, keep=isinstance(validation, FileImages)),
    )


def _through_torchvision(name: str, root: str, download: bool, look: Look) -> Split:
    """A data set that torchvision reads.

    Args:
        name: fashion_mnist or cifar10.
        root: its folder.
        download: fetch it when it is not there.
        look: how the images come to the model.

    Raises:
        DataError: the data are not there, or can't be read or fetched.
    """
    from torchvision import datasets

    dataset_class = {"fashion_mnist": datasets.FashionMNIST, "cifar10": datasets.CIFAR10}[name]
    folder = data_root(name, root)
    present = all((folder / file).is_file() for file in TORCHVISION_FILES[name])
    if not present and not download:
        raise DataError(
            f"{name} is not in data.root={str(folder)!r}: set data.download=true to fetch it, "
            "or data.root to the folder that holds it"
        )
    try:
        train, validation = (
            dataset_class(folder, train=train, download=not present) for train in (True, False)
        )
    except Exception as error:  # torchvision raises whatever the damage leads to
        what = "can't be read" if present else "could not be downloaded"
        raise DataError(
            f"{name} in data.root={str(folder)!r} {what} ({type(error).__name__}: {error}); "
            "take the damaged files away and set data.download=true"
        ) from error
    images = _as_arrays(train)
    return split_of(
        images, _as_arrays(validation), tuple(map(str, train.classes)), images.pixels.shape[1], look
    )


def _as_arrays(dataset: Any) -> ArrayImages:
    pixels = torch.as_tensor(dataset.data)
    pixels = pixels.unsqueeze(1) if pixels.ndim == 3 else pixels.permute(0, 3, 1, 2).contiguous()
    return ArrayImages(pixels, torch.as_tensor(dataset.targets, dtype=torch.int64))


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
        with readable(path), Image.open(path) as picture:
            picture.verify()
