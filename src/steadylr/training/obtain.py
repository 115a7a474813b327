"""From a training to the store: looked up there, or trained into it. Whoever wants the numbers reads them there."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from steadylr.store.curve_file import RunCurves
from steadylr.store.curve_store import Content, CurveStore, Store, TrialStore
from steadylr.store.files import removed, was_written_before
from steadylr.store.locks import locked, remove_free_lock
from steadylr.store.trial_file import Trial
from steadylr.training.devices import Share, train
from steadylr.training.identity import Training
from steadylr.training.trial import train_trial

if TYPE_CHECKING:
    from steadylr.config.schema import Config
    from steadylr.core.onecycle import Plan
    from steadylr.present.progress import StepReport

TEMPORARY = ".store-"
"""How the name of a store begins that goes when its command ends."""

IN_USE = ".lock"
"""How the name of the lock file beside such a store ends: its process holds it."""

YOUNG_SECONDS = 5.0
"""A mark so young may belong to a process that is about to lock it."""


@dataclass(frozen=True, slots=True)
class Trained:
    """A training that the store holds.

    Args:
        from_store: whether it was there already.
        seconds: how long it took to have it there.
    """

    from_store: bool
    seconds: float


def open_store(config: Config, *, create: bool = True) -> CurveStore | None:
    """The store that a config names; None when it is switched off, or isn't there and is not to be made.

    Raises:
        StoreError: it names a folder that can't be one.
    """
    folder = Path(config.store.dir)
    if not config.store.enabled or (not create and not _is_begun(folder)):
        return None
    return CurveStore(folder, create=create)


def _is_begun(folder: Path) -> bool:
    """Whether a folder holds anything; a kill can leave it with no more than a file that was being written."""
    return os.path.isdir(folder) and any(not name.startswith(".") for name in os.listdir(folder))


@contextmanager
def store_folder(config: Config, own: Path) -> Iterator[Path]:
    """The folder of the store that a config names; where it is switched off, one that goes with this context.

    Such stores of commands that were killed are removed.

    Args:
        config: of any job of the command.
        own: the folder of the sweep or run, which a temporary store is made in.
    """
    _remove_left_stores(own)
    if config.store.enabled:
        yield Path(config.store.dir)
        return
    own.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=TEMPORARY, dir=own, ignore_cleanup_errors=True) as folder:
        mark = Path(f"{folder}{IN_USE}")
        try:
            with locked(mark, busy="uses this store", without="the store may go while it is in use"):
                yield Path(folder)
        finally:
            removed(mark)


def _remove_left_stores(own: Path) -> None:
    """Remove temporary stores that kills have left in a folder, and in those beside it: of earlier runs.

    Those that a living process holds stay, and so does what has no mark of ours.
    """
    beside = _entries(own.parent, lambda entry: entry.is_dir(follow_symlinks=False))
    limit = time.time() - YOUNG_SECONDS
    for folder in {own, *beside}:
        for mark in _entries(folder, _is_mark):
            if was_written_before(mark, limit) and remove_free_lock(mark):
                shutil.rmtree(str(mark).removesuffix(IN_USE), ignore_errors=True)


def _is_mark(entry: os.DirEntry[str]) -> bool:
    name = entry.name
    return name.startswith(TEMPORARY) and name.endswith(IN_USE) and entry.is_file(follow_symlinks=False)


def _entries(folder: Path, wanted: Callable[[os.DirEntry[str]], bool]) -> list[Path]:
    """What a folder holds of some kind; nothing where it can't be read."""
    with suppress(OSError), os.scandir(folder) as entries:
        return [Path(entry.path) for entry in entries if wanted(entry)]
    return []


def train_into(
    folder: Path,
    config: Config,
    training: Training,
    plan: Plan | None = None,
    *,
    share: Share,
    report: StepReport | None = None,
) -> Trained:
    """Have a store hold a range test, or a trial.

    Args:
        folder: of the store.
        config: what to train.
        training: describe_training of it, or describe_trial.
        plan: the schedule of a trial; None for a range test.
        share: what it may use of the machine.
        report: told after every step.

    Raises:
        StoreError: the store can't be read or written.
        Exception: whatever ended the training.
    """
    if plan is None:
        return _held(
            CurveStore(folder), training, partial(train, config, training, share=share, report=report)
        )
    work = partial(train_trial, config, training, plan, share=share, report=report)
    return _held(TrialStore(folder), training, work)


def keep(folder: Path, training: Training, numbers: RunCurves | Trial, *, seconds: float) -> Trained:
    """Have a store hold what was trained elsewhere, in so many seconds.

    Raises:
        StoreError: the store can't be read or written.
    """
    if isinstance(numbers, RunCurves):
        _held(CurveStore(folder), training, lambda: numbers)
    else:
        _held(TrialStore(folder), training, lambda: numbers)
    return Trained(from_store=False, seconds=seconds)


def _held(store: Store[Content], training: Training, train_now: Callable[[], Content]) -> Trained:
    begin = time.perf_counter()
    _, from_store = store.obtain(training.shape, training.seeds, train_now)
    return Trained(from_store, time.perf_counter() - begin)
