from __future__ import annotations

import os
from pathlib import Path

import pytest

from steadylr.run.fingerprint import TORCHVISION_FILES, DataError, data_fingerprint


def test_the_embedded_data_has_the_fingerprint_of_its_content() -> None:
    """The known content of the package's file."""
    assert data_fingerprint("fashion_mnist_mini").startswith("sha256:")
    assert data_fingerprint("fashion_mnist_mini") == data_fingerprint("fashion_mnist_mini", root="elsewhere")


def test_a_folder_has_another_fingerprint_once_a_file_changes(image_tree: Path) -> None:
    """A new time, a new size, a new name and a missing file each change it; nothing else does."""
    seen = {data_fingerprint("imagefolder", root=image_tree)}
    (image_tree / "notes.txt").write_text("not an image of either split")
    assert data_fingerprint("imagefolder", root=str(image_tree)) in seen
    file = image_tree / "train" / "cat" / "0.png"
    os.utime(file, ns=(1, 1))
    seen.add(data_fingerprint("imagefolder", root=image_tree))
    file.write_bytes(file.read_bytes() + b" ")
    os.utime(file, ns=(1, 1))
    seen.add(data_fingerprint("imagefolder", root=image_tree))
    file.rename(file.with_name("new.png"))
    seen.add(data_fingerprint("imagefolder", root=image_tree))
    file.with_name("new.png").unlink()
    seen.add(data_fingerprint("imagefolder", root=image_tree))
    assert len(seen) == 5


def test_a_folder_that_moved_keeps_its_fingerprint(image_tree: Path, tmp_path: Path) -> None:
    """Paths count from the root on."""
    before = data_fingerprint("imagefolder", root=image_tree)
    moved = image_tree.rename(tmp_path.parent / f"{tmp_path.name}-moved")
    assert data_fingerprint("imagefolder", root=moved) == before


def test_data_that_is_not_downloaded_says_so_and_then_has_a_fingerprint(tmp_path: Path) -> None:
    """fashion_mnist before and after its files are there."""
    assert data_fingerprint("fashion_mnist", root=tmp_path) == "not downloaded: fashion_mnist"
    for name in TORCHVISION_FILES["fashion_mnist"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"1")
    assert data_fingerprint("fashion_mnist", root=tmp_path).startswith("files:")


@pytest.mark.parametrize(
    ("name", "root", "message"),
    [
        (
            "fashion_mnist_mimi",
            None,
            "data.name='fashion_mnist_mimi' is not known; did you mean fashion_mnist_mini",
        ),
        ("imagefolder", None, r"data\.root is needed for data\.name=imagefolder"),
        ("cifar10", "", r"data\.root is needed for data\.name=cifar10"),
        ("imagefolder", "no/such/folder", r"data\.root='no/such/folder' is not a folder"),
    ],
)
def test_data_that_cannot_be_there_is_refused(name: str, root: str | None, message: str) -> None:
    """Unknown names and missing roots are told by key, before any training and without torch."""
    with pytest.raises(DataError, match=message):
        data_fingerprint(name, root=root)


def test_a_root_without_its_splits_says_what_it_holds(tmp_path: Path) -> None:
    """The commonest mistake, a folder one level off, can be read from the message."""
    (tmp_path / "imagenet").mkdir()
    with pytest.raises(DataError, match=r"has no folder train/.*it holds imagenet/"):
        data_fingerprint("imagefolder", root=tmp_path)
