"""The store within one process: keys, finding, obtaining, damage, listing and clearing."""

from __future__ import annotations

import errno
import json
import logging
import math
import os
import time
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from hypothesis import given, settings
from hypothesis import strategies as st
from store_process import TRAINING, seeds_of, trained

from steadylr.store.curve_file import RunCurves
from steadylr.store.curve_store import CurveStore, StoreError, run_key
from steadylr.store.files import DamagedFile, NewerSchema

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


class Trainer:
    """Trains, and counts how often."""

    def __init__(self) -> None:
        self.seeds: list[int] = []

    def obtain(self, store: CurveStore, seed: int, **seeds: int) -> tuple[RunCurves, bool]:
        def train() -> RunCurves:
            self.seeds.append(seed)
            return trained(seed)

        return store.obtain(TRAINING, {**seeds_of(seed), **seeds}, train)


def files(folder: Path) -> set[str]:
    """All files beneath a folder, without the marker."""
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    return found - {"STEADYLR_STORE"}


# Keys


@settings(deadline=None)
@given(st.dictionaries(st.text(), plain, min_size=2, max_size=4), st.randoms(use_true_random=False))
def test_keys_do_not_depend_on_the_order(training: dict[str, Any], random: Any) -> None:
    """The order of keys and of streams changes no key."""
    shuffled = list(training.items())
    random.shuffle(shuffled)
    seeds = {"b": 2, "a": 1}
    assert run_key(training, seeds) == run_key(dict(shuffled), {"a": 1, "b": 2})


def test_the_key_of_a_training_stays_the_same_over_releases() -> None:
    """A known training has a known key: another one would orphan every store."""
    key = run_key({"b": [1, 2.5, None, True], "a": {"x": "\u00e4"}, "c": math.inf}, {"init": 1, "order": 2})
    assert key == "5e5687371e6a6b0a3989e46010018b5b4e5a3614872fb648090ca640426e2e55"


def test_whatever_shapes_the_curve_shapes_the_key() -> None:
    """Values that differ in size, type or place give different keys."""
    trainings: list[dict[str, Any]] = [
        {},
        {"a": 1},
        {"a": 1.0},
        {"a": True},
        {"a": "1"},
        {"a": None},
        {"a": "None"},
        {"a": [1]},
        {"a": {"b": 1}},
        {"a.b": 1},
        {"a": math.nan},
        {"a": "NaN"},
        {"a": math.inf},
        {"a": -math.inf},
        {"a": 0.1},
        {"a": math.nextafter(0.1, 1)},
        {"a": "\u00e4"},
        {"a": "\\u00e4"},
    ]
    keys = [run_key(training, {"init": 1}) for training in trainings]
    keys += [run_key({}, {"init": 2}), run_key({}, {"order": 1}), run_key({}, {}), run_key({"init": 1}, {})]
    assert len(set(keys)) == len(keys)
    assert all(len(key) == 64 and set(key) <= set("0123456789abcdef") for key in keys)


@pytest.mark.parametrize(
    ("training", "seeds", "message"),
    [
        ({"a": {1}}, {}, r"set \{1\} at training\.a"),
        ({"a": {1: 2}}, {}, r"key in JSON must be text; got 1 at training\.a"),
        ({}, {"init": 1.0}, r"a seed must be a whole number; got init=1\.0"),
        ({}, {"init": True}, r"got init=True"),
    ],
)
def test_keys_refuse_what_has_no_exact_text(training: Any, seeds: Any, message: str) -> None:
    """Values without an exact text are wrong arguments."""
    with pytest.raises(ValueError, match=message):
        run_key(training, seeds)


# Finding and obtaining


def test_a_run_is_trained_once(tmp_path: Path) -> None:
    """The first time a run is trained, from then on it comes from the store, bit for bit."""
    trainer = Trainer()
    first, first_from_store = trainer.obtain(CurveStore(tmp_path / "store"), 1)
    again, again_from_store = trainer.obtain(CurveStore(tmp_path / "store"), 1)
    assert (first_from_store, again_from_store, trainer.seeds) == (False, True, [1])
    assert first.curve.digest() == again.curve.digest() == trained(1).curve.digest()
    assert first.group_lrs.tobytes() == again.group_lrs.tobytes()
    assert first.meta == again.meta
    assert again.meta["seed"] == 1
    assert again.meta["store"] == {
        "key": run_key(TRAINING, seeds_of(1)),
        "training": TRAINING,
        "seeds": seeds_of(1),
    }


def test_the_store_holds_whole_files_only(tmp_path: Path) -> None:
    """After a training the store holds the run under its key; no lock or temporary file stays."""
    Trainer().obtain(CurveStore(tmp_path), 1)
    key = run_key(TRAINING, seeds_of(1))
    assert files(tmp_path) == {f"v1/{key[:2]}/{key}.npz"}


def test_find_gives_what_is_there(tmp_path: Path) -> None:
    """find gives None before the training and the run after it, and writes nothing."""
    store = CurveStore(tmp_path)
    before = files(tmp_path)
    assert store.find(TRAINING, seeds_of(1)) is None
    assert files(tmp_path) == before
    Trainer().obtain(store, 1)
    found = store.find(TRAINING, seeds_of(1))
    assert found is not None
    assert found.meta["store"]["key"] == run_key(TRAINING, seeds_of(1))
    assert found.curve.digest() == trained(1).curve.digest()
    assert store.find(TRAINING, seeds_of(2)) is None
    assert store.find({**TRAINING, "lr": 0.2}, seeds_of(1)) is None


def test_every_seed_is_part_of_the_run(tmp_path: Path) -> None:
    """Another seed of any stream is another run, also of one that nothing draws from: its record says so."""
    store, trainer = CurveStore(tmp_path), Trainer()
    trainer.obtain(store, 1)
    assert trainer.obtain(store, 1, noise=99)[1] is False
    assert trainer.obtain(store, 1, order=99)[1] is False
    assert [trainer.obtain(store, 1, **seeds)[1] for seeds in ({}, {"noise": 99}, {"order": 99})] == [
        True
    ] * 3
    assert trainer.seeds == [1, 1, 1]


def test_entries_of_older_versions_are_listed_and_cleared(tmp_path: Path) -> None:
    """Their key left out what nothing drew from, and a folder said what that was."""
    store = CurveStore(tmp_path)
    trainer = Trainer()
    old_key = run_key(TRAINING, {"init": 1, "order": 1})
    stored_as = {"key": old_key, "training": TRAINING, "seeds": seeds_of(1), "used": ["init", "order"]}
    path = tmp_path / "v1" / old_key[:2] / f"{old_key}.npz"
    replace(trained(1), meta={"store": stored_as}).save(path)
    (tmp_path / "families").mkdir()
    (tmp_path / "families" / "a.json").write_text("cut sho")
    assert [(info.key, info.problem) for info in store.entries()] == [(old_key, None)]
    assert [trainer.obtain(store, 1)[1] for _ in range(2)] == [False, True]
    assert store.clear() == 2
    assert files(tmp_path) == set()


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError, SystemExit])
def test_nothing_is_stored_when_the_training_fails(tmp_path: Path, error: type[BaseException]) -> None:
    """Whatever train raises comes through, nothing is stored, and the next one trains without waiting."""
    store = CurveStore(tmp_path)

    def train() -> Any:
        raise error("stop")

    with pytest.raises(error, match="stop"):
        store.obtain(TRAINING, seeds_of(1), train)
    assert not any(name.startswith(("v1", "tmp")) for name in files(tmp_path))
    assert Trainer().obtain(store, 1)[1] is False
    assert Trainer().obtain(store, 1)[1] is True


def test_an_interrupt_while_writing_leaves_nothing_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C at the rename leaves no entry and no temporary file."""
    store = CurveStore(tmp_path)
    real = os.replace

    def interrupted(source: Any, target: Any) -> None:
        if str(target).endswith(".npz"):
            raise KeyboardInterrupt
        real(source, target)

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        Trainer().obtain(store, 1)
    monkeypatch.undo()
    assert not any(name.startswith(("v1", "tmp")) for name in files(tmp_path))
    assert Trainer().obtain(CurveStore(tmp_path), 1)[1] is False


# Damage


def _entry(folder: Path) -> Path:
    (path,) = folder.glob("v1/*/*.npz")
    return path


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[content.index(b"lr.npy") + 200] ^= 1
    path.write_bytes(content)


def _other_run(path: Path) -> None:
    run = RunCurves.load(path)
    replace(run, meta={**run.meta, "store": {**run.meta["store"], "key": "0" * 64}}).save(path)


def _no_key(path: Path) -> None:
    trained(1).save(path)


@pytest.mark.parametrize("damage", [_cut, _flip, _other_run, _no_key])
def test_a_damaged_entry_is_named_set_aside_and_trained_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: Any
) -> None:
    """A damaged entry is renamed *.damaged-<n> with one warning that names it, and trained again."""
    store, trainer = CurveStore(tmp_path), Trainer()
    trainer.obtain(store, 1)
    path = _entry(tmp_path)
    for n in (1, 2):
        damage(path)
        bad = path.read_bytes()
        caplog.clear()
        assert store.find(TRAINING, seeds_of(1)) is None
        assert trainer.obtain(store, 1)[1] is False
        (warning,) = [r for r in caplog.records if r.name == "steadylr" and r.levelno == logging.WARNING]
        assert str(path) in warning.getMessage()
        assert path.with_name(f"{path.name}.damaged-{n}").read_bytes() == bad
        assert trainer.obtain(store, 1)[1] is True
    assert trainer.seeds == [1, 1, 1]
    assert [info.key for info in store.entries()] == [path.stem]


def test_a_newer_entry_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry that a newer steadylr wrote raises NewerSchema and stays where it is."""
    store = CurveStore(tmp_path)
    monkeypatch.setattr(RunCurves, "FORMAT", 2)
    Trainer().obtain(store, 1)
    monkeypatch.undo()
    with pytest.raises(NewerSchema, match="upgrade steadylr"):
        store.find(TRAINING, seeds_of(1))
    with pytest.raises(NewerSchema, match="upgrade steadylr"):
        Trainer().obtain(store, 1)
    assert _entry(tmp_path).is_file()


# Folders that don't serve


def test_a_new_and_an_empty_folder_become_stores(tmp_path: Path) -> None:
    """A missing folder and one with hidden files only are made stores, with a marker."""
    (tmp_path / "hidden").mkdir()
    (tmp_path / "hidden" / ".gitignore").touch()
    for name in ("a/b/new", "hidden"):
        CurveStore(tmp_path / name)
        assert json.loads((tmp_path / name / "STEADYLR_STORE").read_text()) == {"format": 1}


def test_a_folder_of_other_things_is_refused(tmp_path: Path) -> None:
    """A folder that holds other things is neither used nor cleared."""
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(StoreError, match=r"store\.dir=.* is no steadylr store .* STEADYLR_STORE"):
        CurveStore(tmp_path)
    assert os.listdir(tmp_path) == ["thesis.tex"]


def test_create_false_makes_nothing(tmp_path: Path) -> None:
    """create=False opens a store that is there and refuses, without a trace, one that isn't."""
    with pytest.raises(StoreError, match=r"is no steadylr store"):
        CurveStore(tmp_path / "absent", create=False)
    assert os.listdir(tmp_path) == []
    CurveStore(tmp_path / "store")
    assert CurveStore(tmp_path / "store", create=False).entries() == []


def test_a_newer_store_asks_for_an_upgrade(tmp_path: Path) -> None:
    """A store of a newer layout is left alone."""
    (tmp_path / "STEADYLR_STORE").write_text('{"format": 2}')
    with pytest.raises(NewerSchema, match=r"STEADYLR_STORE: has version 2, .* upgrade steadylr"):
        CurveStore(tmp_path)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format": "one"}'])
def test_a_damaged_marker_is_named(tmp_path: Path, content: str) -> None:
    """A marker that can't be read raises DamagedFile that names it."""
    (tmp_path / "STEADYLR_STORE").write_text(content)
    with pytest.raises(DamagedFile, match="STEADYLR_STORE: "):
        CurveStore(tmp_path)


def test_a_file_is_no_store(tmp_path: Path) -> None:
    """A file in the folder's place, or above it, gives one clear message."""
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(StoreError, match=r"store\.dir=.*opened: Not a directory.*store\.enabled=false"):
            CurveStore(folder)


def test_an_unwritable_store_says_so_before_the_training(tmp_path: Path) -> None:
    """Where nothing can be written, stored runs are still found, and new ones are refused before training."""
    store, trainer = CurveStore(tmp_path), Trainer()
    trainer.obtain(store, 1)
    (tmp_path / "tmp").rmdir()
    (tmp_path / "tmp").touch()
    assert trainer.obtain(store, 1)[1] is True
    with pytest.raises(StoreError, match=r"store\.dir=.* can't be written: .*store\.enabled=false"):
        trainer.obtain(store, 2)
    assert trainer.seeds == [1]


def test_a_full_disk_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What can't be written gets to nobody who asked for it: an error, with a way out."""

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(RunCurves, "save", full)
    with pytest.raises(StoreError, match=r"can't be written: No space left on device; .*store\.dir="):
        Trainer().obtain(CurveStore(tmp_path), 1)
    monkeypatch.undo()
    assert Trainer().obtain(CurveStore(tmp_path), 1)[1] is False


def test_a_file_system_without_locks_does_not_stop_anybody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where the file system refuses locks, a warning is logged and the run is trained and stored."""

    def refused(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(FileLock, "acquire", refused)
    store, trainer = CurveStore(tmp_path), Trainer()
    assert [trainer.obtain(store, 1)[1] for _ in range(2)] == [False, True]
    assert "a run may be trained twice" in caplog.text


# Cleaning, listing, clearing


def _age(path: Path, days: float) -> None:
    then = time.time() - days * 86400
    os.utime(path, (then, then))


def test_only_old_leftovers_are_cleaned(tmp_path: Path) -> None:
    """Temporary files and free locks older than a day go; young ones, held locks and other files stay."""
    CurveStore(tmp_path)
    for folder in ("tmp", "locks"):
        (tmp_path / folder).mkdir()
    names = {
        "tmp/.old.1-ab.tmp": 2.0,
        "tmp/.young.1-ab.tmp": 0.5,
        "tmp/note.txt": 2.0,
        ".STEADYLR_STORE.1-ab.tmp": 2.0,
        "locks/free-old.lock": 2.0,
        "locks/held-old.lock": 2.0,
        "locks/free-young.lock": 0.5,
    }
    for name in names:
        (tmp_path / name).touch()
    with FileLock(tmp_path / "locks" / "held-old.lock"):
        for name, days in names.items():
            _age(tmp_path / name, days)
        Trainer().obtain(CurveStore(tmp_path), 1)
        left = {name for name in files(tmp_path) if not name.startswith("v1")}
    assert left == {"tmp/.young.1-ab.tmp", "tmp/note.txt", "locks/held-old.lock", "locks/free-young.lock"}


def test_an_empty_store_lists_nothing(tmp_path: Path) -> None:
    """Nothing stored: no entries, only the marker's bytes, nothing to clear."""
    store = CurveStore(tmp_path)
    assert store.entries() == []
    assert store.size() == (tmp_path / "STEADYLR_STORE").stat().st_size
    assert store.clear() == 0


def test_entries_say_what_is_stored(tmp_path: Path) -> None:
    """Each entry has its key, path, size, time in UTC and meta; a damaged one has its problem."""
    store, trainer = CurveStore(tmp_path), Trainer()
    before = datetime.now(timezone.utc) - timedelta(seconds=5)
    for seed in (1, 2):
        trainer.obtain(store, seed)
    _age(store.entries()[1].path, 3)
    old, young = store.entries()
    assert {old.meta["seed"], young.meta["seed"]} == {1, 2}
    assert old.modified < before < young.modified < datetime.now(timezone.utc) + timedelta(seconds=5)
    assert old.bytes == old.path.stat().st_size
    assert old.key == old.path.stem == old.meta["store"]["key"]
    assert old.problem is None
    assert store.size() > old.bytes + young.bytes
    _cut(old.path)
    damaged = store.entries()[1]
    assert damaged.meta == {}
    assert damaged.problem is not None
    assert old.path.name in damaged.problem


def test_clear_removes_runs_by_age(tmp_path: Path) -> None:
    """older_than removes only runs of that age, None all; the store stays usable."""
    store, trainer = CurveStore(tmp_path), Trainer()
    for seed in (1, 2, 3):
        trainer.obtain(store, seed)
    second = store._path(run_key(TRAINING, seeds_of(2)))
    _age(second, 3)
    assert store.clear(older_than=timedelta(days=4)) == 0
    assert store.clear(older_than=timedelta(days=2)) == 1
    assert [trainer.obtain(store, seed)[1] for seed in (1, 2, 3)] == [True, False, True]
    _cut(second)
    trainer.obtain(store, 2)
    assert store.clear() == 3
    assert files(tmp_path) == set()
    assert CurveStore(tmp_path, create=False).entries() == []
    assert trainer.obtain(store, 1)[1] is False
    with pytest.raises(ValueError, match="older_than must not be negative"):
        store.clear(older_than=timedelta(days=-1))


def test_odd_entries_are_no_obstacle(tmp_path: Path) -> None:
    """Links, FIFOs and folders among the entries are passed over; what links lead to is neither listed nor removed."""
    store, trainer = CurveStore(tmp_path / "store"), Trainer()
    trainer.obtain(store, 1)
    (stored,) = store.entries()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.npz").touch()
    v1 = tmp_path / "store" / "v1"
    for link, target in ((v1 / "aa", "mine"), (tmp_path / "store" / "families", "mine"), (v1 / "cc", "gone")):
        link.symlink_to(tmp_path / target)
    for loop in (v1 / "bb", stored.path.with_name("loop.npz"), tmp_path / "store" / "locks" / "loop"):
        loop.symlink_to(loop.name)
    os.mkfifo(stored.path.with_name("fifo.npz"))
    stored.path.with_name("folder.npz").mkdir()
    assert store.entries() == [stored]
    assert store.size() >= stored.bytes
    assert store.clean() == 0
    assert store.clear() == 1
    assert (tmp_path / "mine" / "thesis.npz").exists()


@pytest.mark.slow
def test_two_thousand_entries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store of 2,000 runs finds each, lists all and clears all."""
    monkeypatch.setattr(os, "fsync", lambda _: None)
    store = CurveStore(tmp_path)
    run = trained(0)
    for seed in range(2000):
        store.obtain(TRAINING, seeds_of(seed), lambda: run)
    assert len(store.entries()) == 2000
    assert all(store.find(TRAINING, seeds_of(seed)) for seed in range(0, 2000, 100))
    assert store.clear() == 2000
