"""The curve store: every distinct training is done once, whoever asks for it and however often."""

from __future__ import annotations

import hashlib
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Generic, TypeVar

from steadylr.errors import InvalidValue
from steadylr.store.curve_file import RunCurves
from steadylr.store.files import (
    DamagedFile,
    checked_version,
    json_text,
    read_json,
    remove_temp_files,
    removed,
    temp_name,
    was_written_before,
    write_json,
)
from steadylr.store.locks import locked, remove_free_lock
from steadylr.store.trial_file import Trial

STORE_FORMAT = 1
"""Version of the folder layout and of the keys."""

MARKER = "STEADYLR_STORE"
STORED_AS = "store"
"""The entry of an entry's meta that says as what it is stored: key, training and seeds."""

STALE_SECONDS = 24 * 3600.0
"""Age from which a temporary file or a free lock file is taken for a killed process's."""

log = logging.getLogger("steadylr")

Content = TypeVar("Content", RunCurves, Trial)
"""What an entry holds."""


class StoreError(InvalidValue):
    """A folder that can't serve as the store; the message names it and says what to do."""


@dataclass(frozen=True, slots=True)
class EntryInfo:
    """What a listing of the store says about one entry.

    Args:
        key: the run's key.
        path: its file.
        bytes: the file's size.
        modified: when it was written, in UTC.
        meta: the run's meta; empty where problem says why it can't be read.
        problem: what is wrong with the file, or None.
    """

    key: str
    path: Path
    bytes: int
    modified: datetime
    meta: dict[str, Any]
    problem: str | None = None


def run_key(training: Mapping[str, Any], seeds: Mapping[str, int]) -> str:
    """The key of a run: SHA-256, as 64 hex digits, over all that shapes its curve.

    It is taken over JSON with sorted keys. Floats count by their shortest exact text (repr), so 1 and 1.0
    differ, as do True and 1: the caller makes a field that means a float a float. Tuples count as lists.

    Args:
        training: everything but the seeds: None, bool, int, float (NaN and infinities too), str, lists,
            mappings with text keys.
        seeds: the seed of each random stream, whole numbers. All count: that nothing draws from a stream is known
            after the training only, and its record says so.

    Raises:
        ValueError: a value of another kind (the message says where), a seed that is no whole number.
    """
    for stream, seed in seeds.items():
        if isinstance(seed, bool) or not isinstance(seed, int):
            raise ValueError(f"a seed must be a whole number; got {stream}={seed!r}")
    identity = {"kind": "run", "format": STORE_FORMAT, "training": training, "seeds": seeds}
    return hashlib.sha256(json_text(identity, indent=None, sort_keys=True).encode()).hexdigest()


class Store(Generic[Content]):
    """A folder that holds the raw numbers of every distinct training under the key of what shaped it.

    CurveStore and TrialStore are what is used: range tests and trials lie side by side in one folder, as their keys
    differ. find, entries and size never write, and wait for nobody; obtain, clean and clear do.

    The layout, in which nothing but whole files ever appears outside tmp/:

        STEADYLR_STORE                 the marker, with the version of the layout
        v1/<key[:2]>/<key>.npz         one run (curve_file.py) or trial (trial_file.py)
        v1/<key[:2]>/<key>.npz.damaged-<n>   an entry that could not be read, set aside
        locks/<key>.lock               held while a run is trained; the file goes when the run is stored
        tmp/                           files being written

    The first stores had a folder families/ as well, and keys that left out the seeds of streams that nothing draws
    from: such entries are listed and cleared, but no longer found.

    Args:
        folder: the store; made, with its marker, when it doesn't exist or is empty but for hidden files.
        create: False refuses a folder that is no store instead of making one.

    Raises:
        StoreError: the folder holds other things, is a file, or can't be read or made.
        NewerSchema: a newer steadylr made the store.
        DamagedFile: the marker can't be read.
    """

    holds: type[Content]

    def __init__(self, folder: str | os.PathLike[str], *, create: bool = True) -> None:
        self.folder: Path = Path(folder).expanduser().absolute()
        self._cleaned: bool = False
        with self._explained("can't be opened"):
            self._open(create)

    def _open(self, create: bool) -> None:
        if self._has_marker():
            return
        # A second look: another process may have put the marker and more there since the first.
        if self._holds_other_things() and not self._has_marker():
            raise StoreError(
                f"store.dir={self.folder} is no steadylr store (it has no file {MARKER}) and is not empty; "
                "name a new or empty folder with store.dir=..., or a store that steadylr made"
            )
        if not create:
            raise StoreError(f"store.dir={self.folder} is no steadylr store: it has no file {MARKER}")
        write_json(self.folder / MARKER, {"format": STORE_FORMAT})

    def _has_marker(self) -> bool:
        marker = self.folder / MARKER
        try:
            content = read_json(marker)
        except FileNotFoundError:
            return False
        if not isinstance(content, dict):
            raise DamagedFile(marker, f"must hold a mapping; got {content!r}")
        checked_version(marker, content.get("format"), known=STORE_FORMAT)
        return True

    def _holds_other_things(self) -> bool:
        try:
            return any(not name.startswith(".") for name in os.listdir(self.folder))
        except FileNotFoundError:
            return False

    # Finding and obtaining

    def find(self, training: Mapping[str, Any], seeds: Mapping[str, int]) -> Content | None:
        """The stored run of a training, or None when there is none; a damaged entry counts as none.

        Writes nothing. Args as run_key.

        Raises:
            ValueError: see run_key.
            StoreError: the store can't be read.
            NewerSchema: a newer steadylr wrote the run.
        """
        try:
            return self._load(run_key(training, seeds))
        except DamagedFile:
            return None  # obtain names it and sets it aside, under the lock

    def obtain(
        self, training: Mapping[str, Any], seeds: Mapping[str, int], train: Callable[[], Content]
    ) -> tuple[Content, bool]:
        """The run of a training, and whether it came from the store; trained and stored if it isn't there.

        Looks, locks the key, looks again, trains, writes to a temporary name and renames: processes that ask
        for the same run at once train it once, and where locks don't work they all end well with one entry.
        Nothing is stored when train raises. Damaged entries are logged, renamed to *.damaged-<n> and trained
        again.

        Args:
            training, seeds: as run_key.
            train: does the training.

        Returns:
            The run, its meta with an entry STORED_AS, and True where it was there already.

        Raises:
            ValueError: see run_key.
            StoreError: the store can't be read or written; said before anything is trained, unless the disk is full
                only then.
            NewerSchema: a newer steadylr wrote the run.
            BaseException: whatever train raises.
        """
        key = run_key(training, seeds)
        with suppress(DamagedFile):  # looked at again under the lock
            if (stored := self._load(key)) is not None:
                return stored, True
        self._require_writable()
        self._clean_once()
        with self._lock(key):
            try:
                stored = self._load(key)
            except DamagedFile as error:
                stored = None
                self._set_aside(error)
            if stored is not None:
                return stored, True
            stored_as = {"key": key, "training": dict(training), "seeds": dict(seeds)}
            return self._keep(key, train(), stored_as), False

    def _load(self, key: str) -> Content | None:
        path = self._path(key)
        with self._explained("can't be read"):
            try:
                content = self.holds.load(path)
            except FileNotFoundError:
                return None
        stored_as = content.meta.get(STORED_AS)
        held = stored_as.get("key") if isinstance(stored_as, dict) else None
        if held != key:
            raise DamagedFile(path, f"holds the run {held!r}, not the one that its name says")
        return content

    def _set_aside(self, error: DamagedFile) -> None:
        n = 1
        while (aside := error.path.with_name(f"{error.path.name}.damaged-{n}")).exists():
            n += 1
        with suppress(FileNotFoundError):  # without locks another process may have been here first
            os.replace(error.path, aside)
        log.warning("damaged entry in the store: %s; set aside as %s, training again", error, aside.name)

    # Writing

    def _keep(self, key: str, content: Content, stored_as: dict[str, Any]) -> Content:
        kept = replace(content, meta={**content.meta, STORED_AS: stored_as})
        path = self._path(key)
        with self._explained("can't be written"):
            try:
                kept.save(path, temp_folder=self._tmp)
            except FileNotFoundError:
                # A process that slept for more than a day may find its temporary file cleaned away.
                kept.save(path, temp_folder=self._tmp)
        return kept

    def _require_writable(self) -> None:
        """Find out before the training, not after it."""
        with self._explained("can't be written"):
            self._tmp.mkdir(parents=True, exist_ok=True)
            probe = self._tmp / temp_name("probe")
            probe.touch(exist_ok=False)
            probe.unlink()

    @contextmanager
    def _explained(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StoreError(
                f"store.dir={self.folder} {what}: {error.strerror or error}; name another folder with "
                "store.dir=..., or train without the store: store.enabled=false"
            ) from error

    @contextmanager
    def _lock(self, key: str) -> Iterator[None]:
        path = self.folder / "locks" / f"{key}.lock"
        with locked(path, busy="is training the same run", without="a run may be trained twice") as held:
            yield
            # The run is stored by now. Should somebody hold on to the removed file while another makes a new
            # one, both will find the run: so removing it costs no second training.
            if held:
                with suppress(OSError):
                    path.unlink()

    # Cleaning, listing, clearing

    def _clean_once(self) -> None:
        if not self._cleaned:
            self._cleaned = True
            self.clean()

    def clean(self) -> int:
        """Remove what killed processes left a day ago, temporary files and free lock files, and say how many."""
        count = sum(
            remove_temp_files(folder, older_than=STALE_SECONDS) for folder in (self._tmp, self.folder)
        )
        limit = time.time() - STALE_SECONDS
        locks = [path for path in _files(self.folder / "locks") if was_written_before(path, limit)]
        return count + sum(remove_free_lock(path) for path in locks)

    def entries(self) -> list[EntryInfo]:
        """All runs that the store holds, oldest first; damaged ones that were set aside are left out."""
        found = [info for path in self._entry_paths() if (info := _entry_info(path)) is not None]
        return sorted(found, key=lambda info: (info.modified, info.key))

    def size(self) -> int:
        """Bytes of all files in the store, also of damaged entries set aside."""
        total = 0
        for path in self.folder.rglob("*"):
            with suppress(FileNotFoundError):
                total += path.stat().st_size if path.is_file() else 0
        return total

    def clear(self, *, older_than: timedelta | None = None) -> int:
        """Remove runs, and say how many.

        Safe beside running trainings: they store what they train.

        Args:
            older_than: only runs written longer ago than this, at least 0; None removes all.

        Raises:
            ValueError: older_than is negative.
            StoreError: a file can't be removed.
        """
        if older_than is not None and older_than < timedelta(0):
            raise ValueError(f"older_than must not be negative; got {older_than}")
        limit = None if older_than is None else time.time() - older_than.total_seconds()
        with self._explained("can't be cleared"):
            gone = [path for path in self._shard_files() if was_written_before(path, limit)]
            count = sum(removed(path) and path.suffix == ".npz" for path in gone)
            if older_than is None:
                for path in _files(self.folder / "families"):  # of older versions
                    removed(path)
        self.clean()
        return count

    # Paths

    @property
    def _tmp(self) -> Path:
        return self.folder / "tmp"

    def _path(self, key: str) -> Path:
        return self.folder / "v1" / key[:2] / f"{key}.npz"

    def _shard_files(self) -> Iterator[Path]:
        for shard in _folders(self.folder / "v1"):
            yield from _files(shard)

    def _entry_paths(self) -> Iterator[Path]:
        return (path for path in self._shard_files() if path.suffix == ".npz")


class CurveStore(Store[RunCurves]):
    """The store of range tests."""

    holds = RunCurves


class TrialStore(Store[Trial]):
    """The store of trials: the same folder, other entries."""

    holds = Trial


def _files(folder: Path) -> Iterator[Path]:
    # Not entry.is_file(), which raises where links lead in a circle.
    return (path for entry in _listed(folder) if (path := Path(entry.path)).is_file())


def _folders(folder: Path) -> Iterator[Path]:
    return (Path(entry.path) for entry in _listed(folder) if entry.is_dir(follow_symlinks=False))


def _listed(folder: Path) -> list[os.DirEntry[str]]:
    if folder.is_symlink():
        return []  # where it leads to is somebody else's, and clear removes files
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except FileNotFoundError:
        return []


def _entry_info(path: Path) -> EntryInfo | None:
    try:
        status = path.stat()
        meta, problem = RunCurves.load_meta(path), None
    except FileNotFoundError:
        return None  # cleared since it was listed
    except (ValueError, OSError) as error:
        meta, problem = {}, str(error)
    modified = datetime.fromtimestamp(status.st_mtime, tz=timezone.utc)
    return EntryInfo(path.stem, path, status.st_size, modified, meta, problem)
