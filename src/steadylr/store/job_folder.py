"""The folder of a job: what is in it, and which of them a sweep has."""

from __future__ import annotations

import os
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

CURVE_FILE = "curve.npz"
CONFIG_FILE = "config.yaml"
FIGURE_FILE = "lr_finder.png"

MOST_DIGITS = 9
"""Of a job's number."""


def job_folders(sweep: Path) -> list[Path]:
    """The folders of a sweep's jobs, in the order of their numbers; a link to a folder is none of them."""
    return [Path(entry.path) for entry in _numbered(sweep) if entry.is_dir(follow_symlinks=False)]


def odd_places(sweep: Path) -> list[str]:
    """One sentence on each thing that is named like a job and is no folder, or nearly so: it isn't read or written."""
    odd = [
        f"{entry.path}: is {'a link' if entry.is_symlink() else 'no folder'}, so it is not read as a job; "
        "the folders of jobs lie in the sweep itself"
        for entry in _numbered(sweep)
        if not entry.is_dir(follow_symlinks=False)
    ]
    with os.scandir(sweep) as entries:
        misnamed = sorted(
            entry.path for entry in entries if entry.name.isdecimal() and not _is_number(entry.name)
        )
    return odd + [
        f"{path}: is not read as a job, whose folder's name is a number without further zeros, as 7 is"
        for path in misnamed
    ]


def _is_number(name: str) -> bool:
    """Whether a name is a job's number as we write it: 7 and neither 007 nor a number of a hundred digits."""
    return name.isascii() and name.isdecimal() and len(name) <= MOST_DIGITS and str(int(name)) == name


def remove_links(folder: Path, *, names: Collection[str] | None = None) -> None:
    """Remove the links in a folder, of these names or of any: what is written by such a name would lie elsewhere."""
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_symlink() and (names is None or entry.name in names):
                os.unlink(entry.path)


def _numbered(sweep: Path) -> list[os.DirEntry[str]]:
    with os.scandir(sweep) as entries:
        numbered = [entry for entry in entries if _is_number(entry.name)]
    return sorted(numbered, key=lambda entry: int(entry.name))


def next_job_number(sweep_folder: Path) -> int:
    """The first number above those of all that is there under a number, folder or not; 0 for a folder that isn't."""
    if not os.path.isdir(sweep_folder):
        return 0
    return max((int(entry.name) for entry in _numbered(sweep_folder)), default=-1) + 1
