"""What a job has left in its folder, read once for as long as its files stay as they are.

A command looks through its sweep when its jobs get their places, when an answer decides on further trainings, and when
it ends.
"""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import TypeAlias

from steadylr.store.curve_file import RunCurves
from steadylr.store.job_folder import CURVE_FILE
from steadylr.store.records import RECORD_FILE, STATUS_FILE, JobStatus, RunRecord

Left: TypeAlias = tuple[JobStatus, tuple[RunRecord, RunCurves] | None]
"""How a job ended; its record and its curves, where it came to an end."""


def left_in(folder: Path) -> Left:
    """Read a job's folder.

    Raises:
        FileNotFoundError: a file lacks.
        OSError: a file can't be read.
        DamagedFile, NewerSchema: a file isn't what was written, or the record is not that of the curves.
    """
    return _read(folder, tuple(_state(folder / name) for name in (STATUS_FILE, RECORD_FILE, CURVE_FILE)))


@lru_cache(maxsize=512)  # about 50 kB each
def _read(folder: Path, _states: tuple[object, ...]) -> Left:
    status = JobStatus.read(folder)
    if status.status in ("failed", "interrupted"):
        return status, None
    record = RunRecord.read(folder)
    curves = RunCurves.load(folder / CURVE_FILE)
    record.check_curves(curves, source=folder / CURVE_FILE)
    return status, (record, curves)


def _state(path: Path) -> object:
    """Another one whenever a file is written or replaced; None where there is none."""
    try:
        file = os.stat(path)
    except OSError:
        return None
    return file.st_ino, file.st_size, file.st_mtime_ns, file.st_ctime_ns
