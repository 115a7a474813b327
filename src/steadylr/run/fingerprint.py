"""The fingerprint of a data set: equal when its content is, found without importing torch."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from importlib import resources
from pathlib import Path

from steadylr.errors import InvalidValue
from steadylr.run.names import did_you_mean

DATASETS = ("fashion_mnist_mini", "fashion_mnist", "cifar10", "imagefolder")
EMBEDDED_FILE = "fashion_mnist_mini.npz"

NOT_DOWNLOADED = "not downloaded"
"""How the fingerprint of data begins that are not there yet."""

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")

TORCHVISION_FILES = {
    "fashion_mnist": tuple(
        f"FashionMNIST/raw/{part}-{kind}-ubyte"
        for part in ("train", "t10k")
        for kind in ("images-idx3", "labels-idx1")
    ),
    "cifar10": tuple(
        f"cifar-10-batches-py/{name}"
        for name in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch", "batches.meta")
    ),
}
"""The files that torchvision leaves of a data set, relative to its root."""


class DataError(InvalidValue):
    """Data that is not there, or not what it should be; the message names the file or folder and the key."""


def data_fingerprint(name: str, *, root: str | os.PathLike[str] | None = None) -> str:
    """Say what data a name and a root stand for, as a short text that changes when the data does.

    - fashion_mnist_mini: SHA-256 of the embedded file.
    - fashion_mnist, cifar10: SHA-256 over relative path, size and modification time of torchvision's files;
      "not downloaded" with the name while they are not there (the download itself is checked by torchvision).
    - imagefolder: SHA-256 over relative path, size and modification time of every image in train/ and val/.

    Content is not read for the last two: a file changed without a change of its size or its time goes unseen.

    Args:
        name: one of DATASETS.
        root: the folder of the data; not needed for fashion_mnist_mini.

    Raises:
        DataError: an unknown name, no root where one is needed, or a folder that is not there.
    """
    if name not in DATASETS:
        raise DataError(f"data.name={name!r} is not known; {did_you_mean(name, DATASETS)}")
    if name == "fashion_mnist_mini":
        return f"sha256:{hashlib.sha256(embedded_bytes()).hexdigest()}"
    folder = data_root(name, root)
    if name == "imagefolder":
        splits = [split_folder(folder, split) for split in ("train", "val")]
        return _files_fingerprint(folder, (path for split in splits for path in image_files(split)))
    if not all(os.path.isfile(folder / file) for file in TORCHVISION_FILES[name]):
        return f"{NOT_DOWNLOADED}: {name}"
    return _files_fingerprint(folder, (folder / file for file in TORCHVISION_FILES[name]))


def embedded_bytes() -> bytes:
    """The content of the embedded data file."""
    return (resources.files("steadylr.run") / "embedded" / EMBEDDED_FILE).read_bytes()


def data_root(name: str, root: str | os.PathLike[str] | None) -> Path:
    """The root folder of a data set, with ~ expanded.

    Raises:
        DataError: no root given; for imagefolder also one that is not a folder.
    """
    if root is None or not str(root).strip():
        raise DataError(
            f"data.root is needed for data.name={name}: give the folder of the data, data.root=PATH"
        )
    folder = Path(root).expanduser()
    if name == "imagefolder" and not os.path.isdir(folder):
        raise DataError(
            f"data.root={str(folder)!r} is not a folder; "
            "it must hold train/<class>/ and val/<class>/ with images"
        )
    return folder


def split_folder(root: Path, split: str) -> Path:
    """The folder of one split of an ImageNet-style tree.

    Raises:
        DataError: the root has no such folder.
    """
    folder = root / split
    if not os.path.isdir(folder):
        there = sorted(entry.name + "/" for entry in root.iterdir() if entry.is_dir())[:8]
        raise DataError(
            f"data.root={str(root)!r} has no folder {split}/: it must hold train/<class>/ and val/<class>/ "
            f"with images; it holds {', '.join(there) or 'no folders'}"
        )
    return folder


def image_files(folder: Path) -> list[Path]:
    """All image files below a folder, by suffix, sorted; hidden files and folders are passed over."""
    found: list[Path] = []
    for path, folders, files in os.walk(folder, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [
            Path(path, name)
            for name in sorted(files)
            if name.lower().endswith(IMAGE_SUFFIXES) and not name.startswith(".")
        ]
    return found


def _files_fingerprint(root: Path, files: Iterable[Path]) -> str:
    content = hashlib.sha256()
    for path in files:
        status = path.stat()
        relative = path.relative_to(root).as_posix()
        content.update(
            f"{relative}\0{status.st_size}\0{status.st_mtime_ns}\n".encode("utf-8", "surrogateescape")
        )
    return f"files:{content.hexdigest()}"
