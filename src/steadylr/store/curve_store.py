"""The curve store: every distinct training is done once, whoever asks for it and however often."""

from __future__ import annotations

import hashlib
import inspect
import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Generic, TypeVar

from filelock import FileLock, Timeout

from steadylr.store.curve_file import RunCurves, load_meta, load_run_curves, save_run_curves
from steadylr.store.files import (
    DamagedFile,
    checked_version,
    is_temp_name,
    json_text,
    read_json,
    temp_name,
    write_json,
)
from steadylr.store.trial_file import Trial, load_trial, save_trial

STORE_FORMAT = 1
"""Version of the folder layout and of the keys."""

MARKER = "STEADYLR_STORE"
STORED_AS = "store"
"""The entry of RunCurves.meta that says as what a run is stored: key, training, seeds and used."""

STALE_SECONDS = 24 * 3600.0
"""Age from which a temporary file or a free lock file is taken for a killed process's."""

log = logging.getLogger("steadylr")

# filelock replaces a lock that the file system lacks by one that a SIGKILL leaves locked for ever. No lock
# at all is better here: then a training may be done twice, but nothing waits for a dead process.
LOCK_OPTIONS: dict[str, Any] = (
    {"fallback_to_soft": False}
    if "fallback_to_soft" in inspect.signature(FileLock.__init__).parameters
    else {}
)

Content = TypeVar("Content", bound=RunCurves | Trial)
"""What an entry holds."""


class StoreError(ValueError):
    """A folder that can't serve as the store; the message names it and says what to do."""


@dataclass(frozen=True, slots=True, eq=False)
class StoredRun(Generic[Content]):
    """A run that the store holds."""

    key: str
    path: Path
    curves: Content


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


def run_key(training: Mapping[str, Any], seeds: Mapping[str, int], used: Iterable[str] | None = None) -> str:
    """The key of a run: SHA-256, as 64 hex digits, over all that shapes its curve.

    It is taken over JSON with sorted keys. Floats count by their shortest exact text (repr), so 1 and 1.0
    differ, as do True and 1: the caller makes a field that means a float a float. Tuples count as lists.

    Args:
        training: everything but the seeds: None, bool, int, float (NaN and infinities too), str, lists,
            mappings with text keys.
        seeds: the seed of each random stream, whole numbers.
        used: the streams that something draws from, names from seeds; the others' seeds are left out of the
            key. None takes all.

    Raises:
        ValueError: a value of another kind (the message says where), a seed that is no whole number, a stream
            without a seed.
    """
    return _digest("run", training, _used_seeds(seeds, used))


def family_key(training: Mapping[str, Any]) -> str:
    """The key of all runs that differ in their seeds only; raises as run_key does."""
    return _digest("family", training, {})


class Store(Generic[Content]):
    """A folder that holds the raw numbers of every distinct training under the key of what shaped it.

    CurveStore and TrialStore are what is used: range tests and trials lie side by side in one folder, as their keys
    differ.

    The layout, in which nothing but whole files ever appears outside tmp/:

        STEADYLR_STORE                 the marker, with the version of the layout
        v1/<key[:2]>/<key>.npz         one run (curve_file.py) or trial (trial_file.py)
        v1/<key[:2]>/<key>.npz.damaged-<n>   an entry that could not be read, set aside
        families/<family>.json         which random streams the runs of a family draw from
        locks/<key>.lock               held while a run is trained; the file goes when the run is stored
        tmp/                           files being written

    A stream that nothing draws from is no part of a run's key. That is known after the first training of a
    family only; until then the family has no runs to find.

    Args:
        folder: the store; made, with its marker, when it doesn't exist or is empty but for hidden files.
        create: False refuses a folder that is no store instead of making one.
        locking: False goes without lock files. Then processes that ask for the same new run at once each
            train it, and one of the equal results stays.

    Raises:
        StoreError: the folder holds other things, is a file, or can't be read or made.
        NewerSchema: a newer steadylr made the store.
        DamagedFile: the marker can't be read.
    """

    @staticmethod
    def _read_entry(path: Path, /) -> Content:
        raise NotImplementedError

    @staticmethod
    def _save_entry(path: Path, content: Content, /, *, temp_folder: Path) -> None:
        raise NotImplementedError

    def __init__(self, folder: str | os.PathLike[str], *, create: bool = True, locking: bool = True) -> None:
        self.folder = Path(folder).expanduser().absolute()
        self._locking = locking
        self._cleaned = False
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

    def find(self, training: Mapping[str, Any], seeds: Mapping[str, int]) -> StoredRun[Content] | None:
        """The stored run of a training, or None when there is none; a damaged entry counts as none.

        Writes nothing. Args as run_key.

        Raises:
            ValueError: see run_key.
            StoreError: the store can't be read.
            NewerSchema: a newer steadylr wrote the run.
        """
        with self._explained("can't be read"):
            try:
                return self._load(training, seeds)
            except DamagedFile:
                return None  # obtain names it and sets it aside, under the lock

    def obtain(
        self,
        training: Mapping[str, Any],
        seeds: Mapping[str, int],
        train: Callable[[], tuple[Content, Iterable[str]]],
    ) -> tuple[Content, bool]:
        """The run of a training, and whether it came from the store; trained and stored if it isn't there.

        Looks, locks the key, looks again, trains, writes to a temporary name and renames: processes that ask
        for the same run at once train it once, and where locks don't work they all end well with one entry.
        Nothing is stored when train raises. Damaged entries are logged, renamed to *.damaged-<n> and trained
        again.

        Args:
            training, seeds: as run_key.
            train: does the training; gives the run and the names of the streams that something drew from.

        Raises:
            ValueError: see run_key; or train named a stream that seeds lacks.
            StoreError: the store can't be read or written; said before anything is trained, unless the disk is full
                only then.
            NewerSchema: a newer steadylr wrote the run.
            BaseException: whatever train raises.
        """
        found = self.find(training, seeds)
        if found is not None:
            return found.curves, True
        full_key = run_key(training, seeds)
        self._require_writable()
        self._clean_once()
        with ExitStack() as locks:
            locks.enter_context(self._lock(full_key))
            key = self._known_key(training, seeds)
            # Runs with other seeds for a stream that nothing draws from are the same training. This lock is
            # always taken second, and none is waited for while holding it: no circle of waiting can arise.
            if key is not None and key != full_key:
                locks.enter_context(self._lock(key))
            found = self._load_or_set_aside(training, seeds)
            if found is not None:
                return found.curves, True
            curves, used = train()
            return self._keep(training, seeds, curves, used), False

    def _known_key(self, training: Mapping[str, Any], seeds: Mapping[str, int]) -> str | None:
        try:
            used = self._used_streams(family_key(training))
        except DamagedFile as error:
            log.warning("%s: the next training of this family writes it anew", error)
            return None
        return None if used is None else run_key(training, seeds, used)

    def _used_streams(self, family: str) -> list[str] | None:
        path = self._family_path(family)
        try:
            content = read_json(path)
        except FileNotFoundError:
            return None
        used = content.get("used") if isinstance(content, dict) else None
        if not isinstance(used, list) or not all(isinstance(name, str) for name in used):
            raise DamagedFile(path, f"must hold a mapping with a list of names under 'used'; got {content!r}")
        return used

    def _load(self, training: Mapping[str, Any], seeds: Mapping[str, int]) -> StoredRun[Content] | None:
        used = self._used_streams(family_key(training))
        if used is None:
            run_key(training, seeds)  # refuses bad seeds no matter what the store holds
            return None
        key = run_key(training, seeds, used)
        path = self._path(key)
        try:
            curves = self._read_entry(path)
        except FileNotFoundError:
            return None
        stored_as = curves.meta.get(STORED_AS)
        held = stored_as.get("key") if isinstance(stored_as, dict) else None
        if held != key:
            raise DamagedFile(path, f"holds the run {held!r}, not the one that its name says")
        return StoredRun(key, path, curves)

    def _load_or_set_aside(
        self, training: Mapping[str, Any], seeds: Mapping[str, int]
    ) -> StoredRun[Content] | None:
        with self._explained("can't be read"):
            try:
                return self._load(training, seeds)
            except DamagedFile as error:
                if error.path.suffix == ".npz":
                    self._set_aside(error)
                return None

    def _set_aside(self, error: DamagedFile) -> None:
        n = 1
        while (aside := error.path.with_name(f"{error.path.name}.damaged-{n}")).exists():
            n += 1
        with suppress(FileNotFoundError):  # without locks another process may have been here first
            os.replace(error.path, aside)
        log.warning("damaged entry in the store: %s; set aside as %s, training again", error, aside.name)

    # Writing

    def _keep(
        self, training: Mapping[str, Any], seeds: Mapping[str, int], curves: Content, used: Iterable[str]
    ) -> Content:
        family = family_key(training)
        known = self._used_if_readable(family)
        # A family only ever grows: runs stored under fewer streams are then trained again, never mixed up.
        streams = sorted({*(known or ()), *used})
        key = run_key(training, seeds, streams)
        stored_as = {"key": key, "training": dict(training), "seeds": dict(seeds), "used": streams}
        kept = replace(curves, meta={**curves.meta, STORED_AS: stored_as})
        with self._explained("can't be written"):
            # The family first: a run without its family would never be found again.
            if streams != known:
                write_json(self._family_path(family), {"used": streams}, temp_folder=self._tmp)
            self._write_entry(self._path(key), kept)
        return kept

    def _used_if_readable(self, family: str) -> list[str] | None:
        try:
            return self._used_streams(family)
        except DamagedFile:
            return None

    def _write_entry(self, path: Path, curves: Content) -> None:
        try:
            self._save_entry(path, curves, temp_folder=self._tmp)
        except FileNotFoundError:
            # A process that slept for more than a day may find its temporary file cleaned away.
            self._save_entry(path, curves, temp_folder=self._tmp)

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

    # Locks

    @contextmanager
    def _lock(self, key: str) -> Iterator[None]:
        if not self._locking:
            yield
            return
        path = self.folder / "locks" / f"{key}.lock"
        lock = FileLock(path, **LOCK_OPTIONS)
        if not self._acquired(lock, path):
            yield
            return
        try:
            yield
            # The run is stored by now. Should somebody hold on to the removed file while another makes a new
            # one, both will find the run: so removing it costs no second training.
            with suppress(OSError):
                path.unlink()
        finally:
            lock.release()

    def _acquired(self, lock: Any, path: Path) -> bool:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                lock.acquire(timeout=0)
            except Timeout:
                log.info("another process is training the same run; waiting for it (%s)", path)
                lock.acquire()
        except (OSError, NotImplementedError) as error:
            log.warning("no file locks in store.dir=%s (%s): a run may be trained twice", self.folder, error)
            return False
        return True

    # Cleaning, listing, clearing

    def _clean_once(self) -> None:
        if self._cleaned:
            return
        self._cleaned = True
        self.clean()

    def clean(self, *, older_than: timedelta = timedelta(seconds=STALE_SECONDS)) -> int:
        """Remove what killed processes left, temporary files and free lock files, and say how many."""
        limit = time.time() - older_than.total_seconds()
        written = [*_files(self._tmp), *_files(self.folder)]
        removed = sum(_removed(path) for path in written if is_temp_name(path.name) and _older(path, limit))
        for path in _files(self.folder / "locks"):
            if _older(path, limit):
                removed += self._removed_free_lock(path)
        return removed

    def _removed_free_lock(self, path: Path) -> bool:
        lock = FileLock(path, **LOCK_OPTIONS)
        try:
            lock.acquire(timeout=0)
        except (Timeout, OSError, NotImplementedError):
            return False
        try:
            return _removed(path)
        finally:
            lock.release()

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
            older_than: only runs written longer ago than this, at least 0; None removes all, and forgets the
                families.

        Raises:
            ValueError: older_than is negative.
            StoreError: a file can't be removed.
        """
        if older_than is not None and older_than < timedelta(0):
            raise ValueError(f"older_than must not be negative; got {older_than}")
        limit = None if older_than is None else time.time() - older_than.total_seconds()
        with self._explained("can't be cleared"):
            runs = [path for path in self._entry_paths() if _older(path, limit)]
            aside = [path for path in self._shard_files() if ".damaged-" in path.name and _older(path, limit)]
            count = sum(_removed(path) for path in runs)
            for path in aside:
                _removed(path)
            if older_than is None:
                for path in _files(self.folder / "families"):
                    _removed(path)
        self.clean()
        return count

    # Paths

    @property
    def _tmp(self) -> Path:
        return self.folder / "tmp"

    def _path(self, key: str) -> Path:
        return self.folder / "v1" / key[:2] / f"{key}.npz"

    def _family_path(self, family: str) -> Path:
        return self.folder / "families" / f"{family}.json"

    def _shard_files(self) -> Iterator[Path]:
        for shard in _folders(self.folder / "v1"):
            yield from _files(shard)

    def _entry_paths(self) -> Iterator[Path]:
        return (path for path in self._shard_files() if path.suffix == ".npz")


class CurveStore(Store[RunCurves]):
    """The store of range tests."""

    _read_entry = staticmethod(load_run_curves)
    _save_entry = staticmethod(save_run_curves)


class TrialStore(Store[Trial]):
    """The store of trials: the same folder, other entries."""

    _read_entry = staticmethod(load_trial)
    _save_entry = staticmethod(save_trial)


def _digest(kind: str, training: Mapping[str, Any], seeds: Mapping[str, int]) -> str:
    identity = {"kind": kind, "format": STORE_FORMAT, "training": training, "seeds": seeds}
    return hashlib.sha256(json_text(identity, indent=None, sort_keys=True).encode()).hexdigest()


def _used_seeds(seeds: Mapping[str, int], used: Iterable[str] | None) -> dict[str, int]:
    for stream, seed in seeds.items():
        if isinstance(seed, bool) or not isinstance(seed, int):
            raise ValueError(f"a seed must be a whole number; got {stream}={seed!r}")
    if used is None:
        return dict(seeds)
    streams = sorted(set(used))
    missing = [stream for stream in streams if stream not in seeds]
    if missing:
        raise ValueError(f"every stream that is drawn from needs a seed; {missing} not in {sorted(seeds)}")
    return {stream: seeds[stream] for stream in streams}


def _files(folder: Path) -> Iterator[Path]:
    return (Path(entry.path) for entry in _listed(folder) if entry.is_file())


def _folders(folder: Path) -> Iterator[Path]:
    return (Path(entry.path) for entry in _listed(folder) if entry.is_dir())


def _listed(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except FileNotFoundError:
        return []


def _older(path: Path, limit: float | None) -> bool:
    if limit is None:
        return True
    try:
        return path.stat().st_mtime <= limit
    except FileNotFoundError:
        return False


def _removed(path: Path) -> bool:
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    return True


def _entry_info(path: Path) -> EntryInfo | None:
    try:
        status = path.stat()
        meta, problem = load_meta(path), None
    except FileNotFoundError:
        return None  # cleared since it was listed
    except ValueError as error:
        meta, problem = {}, str(error)
    modified = datetime.fromtimestamp(status.st_mtime, tz=timezone.utc)
    return EntryInfo(path.stem, path, status.st_size, modified, meta, problem)
