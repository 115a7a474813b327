"""The folder of a job: what is in it, and which of them a sweep has."""

from __future__ import annotations

from pathlib import Path

CURVE_FILE = "curve.npz"

CONFIG_FILE = "config.yaml"

FIGURE_FILE = "lr_finder.png"


def job_folders(sweep: Path) -> list[Path]:
    """The folders of a sweep's jobs, in the order of their numbers."""
    found = [entry for entry in sweep.iterdir() if entry.name.isdecimal() and entry.is_dir()]
    return sorted(found, key=lambda folder: int(folder.name))


def next_job_number(sweep_folder: Path) -> int:
    """The first number above those of the job folders that are there; 0 for a folder that isn't."""
    if not sweep_folder.is_dir():
        return 0
    numbers = [int(entry.name) for entry in sweep_folder.iterdir() if entry.name.isdecimal()]
    return max(numbers, default=-1) + 1
