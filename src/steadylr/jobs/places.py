"""Which folder each job of a sweep has: the one from an earlier call, else a number that nobody else takes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from typing import Protocol

from steadylr.answer.asked import key_of, overrides_of
from steadylr.answer.readings import from_job
from steadylr.store.files import remove_temp_files
from steadylr.store.job_folder import job_folders, next_job_number, remove_links
from steadylr.store.locks import locked
from steadylr.store.records import STATUS_FILE, JobStatus

NOT_ENDED = "has not ended: it was stopped, or another process is still at it; run the same command again"
"""What the status of a reserved job says until the job writes its own."""

LOCK_FILE = ".lock"
LOCK_SECONDS = 60.0

AT_ONCE = 32
"""Files that are written at a time: each waits for the disk, and a disk does many together as fast as one."""


class Asked(Protocol):
    """A job that a command asks for, as far as its place depends on it."""

    @property
    def key(self) -> str:
        """What identifies it."""

    @property
    def overrides(self) -> tuple[str, ...]:
        """Its overrides."""


@dataclass(frozen=True, slots=True)
class Place:
    """The number of a job's folder, and whether the job is done."""

    number: int
    finished: bool


def places(sweep: Path, asked: Sequence[Asked], *, reserve: bool = True) -> list[Place]:
    """Give each job its place in a sweep; a job that is asked for twice has one.

    A job that an earlier call left is known by its key; where its status can't be read, by its overrides.
    Others get the numbers of places that a kill left empty, then those after the last. New places are reserved at
    once, under a lock: so two commands that fill one sweep never write to one folder, and a job that is killed before
    its end has a status that says so.

    Args:
        sweep: the folder of the sweep.
        asked: the jobs, in the order of the command line.
        reserve: False looks only, and writes nothing.
    """
    if not reserve:
        return _places(sweep, asked, reserve=False)
    with locked(
        sweep / LOCK_FILE,
        busy="is giving the jobs of this sweep their folders",
        without="two commands may use one folder",
        patience=LOCK_SECONDS,
    ):
        return _places(sweep, asked, reserve=True)


def is_finished(folder: Path) -> bool:
    """Whether a job has ended, with or without an LR, and all that it left can be read."""
    return bool(from_job(folder, label=folder.name).readings)


def _places(sweep: Path, asked: Sequence[Asked], *, reserve: bool) -> list[Place]:
    by_key, by_overrides = _known(sweep)
    free = chain(_cut_short(sweep), count(next_job_number(sweep)))
    found = []
    reserved: list[tuple[Path, JobStatus]] = []
    for job in asked:
        place = by_key.get(job.key) or by_overrides.pop(job.overrides, None)
        if place is None:
            place = Place(next(free), False)
        if reserve:
            remove_temp_files(sweep / str(place.number))
        if reserve and not place.finished:
            for folder in (sweep / str(place.number), sweep / str(place.number) / ".hydra"):
                remove_links(folder)
        if reserve and job.key not in by_key:
            status = JobStatus(
                status="interrupted", job_key=job.key, overrides=list(job.overrides), error=NOT_ENDED
            )
            reserved.append((sweep / str(place.number), status))
        by_key[job.key] = place
        found.append(place)
    with ThreadPoolExecutor(AT_ONCE) as threads:
        for written in [threads.submit(status.write, folder) for folder, status in reserved]:
            written.result()
    return found


def _known(sweep: Path) -> tuple[dict[str, Place], dict[tuple[str, ...], Place]]:
    """The places of the jobs that a sweep holds: by key, and those without a readable key by overrides."""
    by_key: dict[str, Place] = {}
    by_overrides: dict[tuple[str, ...], Place] = {}
    for folder in job_folders(sweep) if os.path.isdir(sweep) else []:
        place = Place(int(folder.name), is_finished(folder))
        key = key_of(folder)
        if key:
            by_key[key] = place
        elif (overrides := overrides_of(folder)) is not None:
            by_overrides[overrides] = place
    return by_key, by_overrides


def _cut_short(sweep: Path) -> list[int]:
    """The numbers of folders that were made for a job whose status a kill kept from being written: nothing is in them.

    Places are reserved under the lock, so that nobody else is about to write there; half a status may lie there.
    """
    folders = job_folders(sweep) if os.path.isdir(sweep) else []
    return [
        int(folder.name)
        for folder in folders
        if all(entry.name.startswith(f".{STATUS_FILE}.") for entry in folder.iterdir())
    ]
