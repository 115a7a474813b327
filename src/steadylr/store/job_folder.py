"""The folder of a job: what is in it, and which of them a sweep has."""

from __future__ import annotations

import os
from pathlib import Path

CURVE_FILE = "curve.npz"
CONFIG_FILE = "config.yaml"
FIGURE_FILE = "lr_finder.png"


def job_folders(sweep: Path) -> list[Path]:
    """The folders of a sweep's jobs, in the order of their numbers; a link to a folder is none of them."""
    return [Path(entry.path) for entry in _numbered(sweep) if entry.is_dir(follow_symlinks=False)]


def odd_places(sweep: Path) -> list[str]:
    """One sentence on each thing that has a job's number for a name and is no folder: it isn't read or written."""
    return [
        f"{entry.path}: is {'a link' if entry.is_symlink() else 'no folder'}, so it is not read as a job; "
        "the folders of jobs lie in the sweep itself"
        for entry in _numbered(sweep)
        if not entry.is_dir(follow_symlinks=False)
    ]


def _numbered(sweep: Path) -> list[os.DirEntry[str]]:
    with os.scandir(sweep) as entries:
        numbered = [entry for entry in entries if entry.name.isdecimal()]
    return sorted(numbered, key=lambda entry: int(entry.name))


def next_job_number(sweep_folder: Path) -> int:
    """The first number above those of all that is there under a number, folder or not; 0 for a folder that isn't."""
    if not sweep_folder.is_dir():
        return 0
    return max((int(entry.name) for entry in _numbered(sweep_folder)), default=-1) + 1
