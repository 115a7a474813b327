"""Lock files: one process at a time where they work, and nobody waits for ever where they don't."""

from __future__ import annotations

import inspect
import logging
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from steadylr.store.files import DamagedFile, read_bytes, removed, write_atomic

log = logging.getLogger("steadylr")

QUIET_SECONDS = 5.0
"""So long a wait is nothing to speak of."""

MOST_SIGNED = 300

_SIGNED = re.compile(r"process \d{1,10} on [\w.-]{1,255}", re.ASCII)

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

    Who waits for longer than QUIET_SECONDS says for whom: the other process may have been stopped.
    Where the file system has no locks, or the lock can't be had in time, a warning says so and the context is entered
    all the same. The end of a process, however it comes, frees its locks.

    Args:
        path: the file; missing folders are made.
        busy: what somebody else is doing while we wait, for the log: "is training the same run".
        without: what may happen without the lock, for the warning.
        patience: seconds to wait; below 0: until the lock is free.

    Raises:
        DamagedFile: there is a link by the file's name.
    """
    if path.is_symlink():  # whoever made it chose where the file would be made
        raise DamagedFile(path, "is a link, and a lock file is to be there; remove it")
    lock = FileLock(path, **_OPTIONS)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=QUIET_SECONDS if patience < 0 else min(QUIET_SECONDS, patience))
        except Timeout:
            log.warning("waiting for %s, which %s (%s)", _holder(path), busy, path)
            lock.acquire(timeout=patience)
    except (Timeout, OSError, NotImplementedError) as error:
        log.warning("no lock by %s (%s): %s", path, error, without)
        yield False
        return
    sign = _sign_of(path)
    with suppress(OSError, DamagedFile):  # the lock is what counts
        write_atomic(sign, f"process {os.getpid()} on {socket.gethostname()}")
    try:
        yield True
    finally:
        with suppress(OSError):
            removed(sign)
        lock.release()


def _sign_of(lock: Path) -> Path:
    """The file beside a lock file that says who holds it: some systems let nobody read what is locked."""
    return lock.with_name(f"{lock.name}.by")


def _holder(lock: Path) -> str:
    """Who holds a lock file, for people."""
    with suppress(OSError, DamagedFile, UnicodeDecodeError):
        signed = read_bytes(_sign_of(lock), most=MOST_SIGNED).decode("ascii")
        if _SIGNED.fullmatch(signed):
            return signed
    return "another process"


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
