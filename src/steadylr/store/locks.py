"""Lock files: one process at a time where they work, and nobody waits for ever where they don't."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from steadylr.store.files import removed

log = logging.getLogger("steadylr")

# filelock replaces a lock that the file system lacks by one that a SIGKILL leaves locked for ever. No lock
# at all is better here: then a training may be done twice, but nothing waits for a dead process.
_OPTIONS: dict[str, Any] = (
    {"fallback_to_soft": False}
    if "fallback_to_soft" in inspect.signature(FileLock.__init__).parameters
    else {}
)


@contextmanager
def locked(path: Path, *, busy: str, without: str, patience: float = -1.0) -> Iterator[bool]:
    """Hold a lock file within this context; True where it is held.

    Where the file system has no locks, or the lock can't be had in time, a warning says so and the context is entered
    all the same. The end of a process, however it comes, frees its locks.

    Args:
        path: the file; missing folders are made.
        busy: what somebody else is doing while we wait, for the log.
        without: what may happen without the lock, for the warning.
        patience: seconds to wait; below 0: until the lock is free.
    """
    lock = FileLock(path, **_OPTIONS)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            log.info("another process %s; waiting for it (%s)", busy, path)
            lock.acquire(timeout=patience)
    except (Timeout, OSError, NotImplementedError) as error:
        log.warning("no lock by %s (%s): %s", path, error, without)
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def remove_free_lock(path: Path) -> bool:
    """Remove a lock file that nobody holds, and say whether that was so."""
    lock = FileLock(path, **_OPTIONS)
    try:
        lock.acquire(timeout=0)
    except (Timeout, OSError, NotImplementedError):
        return False
    try:
        return removed(path)
    finally:
        lock.release()
