"""store.py: what it lists, sizes and clears, and what it says where there is no store."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from command_line import SRC, Finished, imported, main_of, process
from steadylr.cli import store as store_command
from steadylr.core.curve import Curve, Stop
from steadylr.store.curve_file import RunCurves
from steadylr.store.curve_store import CurveStore

TRAINING = {"model": {"name": "mlp"}, "data": {"name": "digits"}, "finder": {"num_iter": 3}}


def store_py(*argv: str) -> Finished:
    return main_of(store_command, *argv)


def filled(folder: Path, seeds: int) -> CurveStore:
    """A store with one run for each seed."""
    store = CurveStore(folder)
    curve = Curve([1e-3, 1e-2, 1e-1], [3.0, 2.0, 1.0], num_iter=3, stop=Stop.COMPLETED)
    run = RunCurves(curve, None, curve.lr[:, None])
    for seed in range(seeds):
        store.obtain(TRAINING, {"init": seed, "order": seed}, lambda: run)
    return store


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that the commands are run in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_size_is_what_it_does_by_itself(folder: Path) -> None:
    """Without an action it counts the trainings and their bytes in outputs/store."""
    filled(folder / "outputs" / "store", 2)
    assert store_py() == store_py("size")
    assert re.fullmatch(r"2 trainings, 0\.0 MB in outputs/store\n", store_py().out)


def test_a_list_has_a_line_for_each_training(folder: Path) -> None:
    """When it was stored, its size, and what was trained with which seeds."""
    filled(folder / "s", 2)
    done = store_py("list", "--dir", "s")
    first, second, last = done.out.splitlines()
    line = r"\d{4}-\d\d-\d\d \d\d:\d\d  +\d+\.\d kB  [0-9a-f]{12}  mlp on digits, 3 iterations, seeds init=%d, order=%d"
    assert re.fullmatch(line % (0, 0), first)
    assert re.fullmatch(line % (1, 1), second)
    assert last.startswith("2 trainings, ")
    assert done.code == 0


def test_a_name_can_order_nothing_of_a_terminal(folder: Path) -> None:
    """Whoever sent the store has chosen it; a line stays a line."""
    hostile = {**TRAINING, "model": {"name": "a\x1b[2J\u202eb\nc"}}
    curve = Curve([1e-3, 1e-2, 1e-1], [3.0, 2.0, 1.0], num_iter=3, stop=Stop.COMPLETED)
    CurveStore(folder / "s").obtain(hostile, {"init": 0}, lambda: RunCurves(curve, None, curve.lr[:, None]))
    first, _ = store_py("list", "--dir", "s").out.splitlines()
    assert r"a\x1b[2J\u202eb\nc on digits" in first


def test_clearing_removes_every_training(folder: Path) -> None:
    """The store stays one, and is empty; clearing it again removes nothing."""
    store = filled(folder / "s", 1)
    assert store_py("clear", "--dir", "s").out == "1 training removed from s\n"
    assert store.entries() == []
    assert store_py("clear", "--dir", "s").out == "0 trainings removed from s\n"
    assert store_py("list", "--dir", "s").out.startswith("0 trainings, ")


def test_clearing_by_age_keeps_what_is_younger(folder: Path) -> None:
    """Only what was stored longer ago than so many days goes."""
    store = filled(folder / "s", 3)
    old = store.entries()[0].path
    os.utime(old, (1e9, 1e9))
    assert store_py("clear", "--dir", "s", "--older-than-days", "1.5").out == "1 training removed from s\n"
    assert len(store.entries()) == 2
    assert not old.exists()


def test_a_damaged_training_is_listed_as_such(folder: Path) -> None:
    """A file that can't be read doesn't keep the others from being listed."""
    store = filled(folder / "s", 2)
    store.entries()[0].path.write_bytes(b"nothing")
    done = store_py("list", "--dir", "s")
    assert done.code == 0
    assert sum("mlp on digits" in line for line in done.out.splitlines()) == 1
    assert len(done.out.splitlines()) == 3


def test_an_empty_store_has_nothing(folder: Path) -> None:
    """A store without trainings is no error."""
    filled(folder / "s", 0)
    for action in ("size", "list", "clear"):
        done = store_py(action, "--dir", "s")
        assert (done.code, done.err) == (0, "")
        assert done.out.startswith("0 trainings")


@pytest.mark.parametrize("action", ["size", "list", "clear"])
def test_where_there_is_no_store_nothing_is_made_or_removed(folder: Path, action: str) -> None:
    """A folder that isn't there, an empty one and somebody else's are named, and stay as they are."""
    (folder / "empty").mkdir()
    (folder / "mine").mkdir()
    (folder / "mine" / "thesis.txt").write_text("x")
    for name, message in (
        ("outputs/store", r"^--dir outputs/store: no store there; it is made by the first training$"),
        ("empty", r"empty is no steadylr store"),
        ("mine", r"mine is no steadylr store"),
    ):
        done = store_py(action, "--dir", name)
        assert (done.code, done.out) == (1, "")
        assert re.search(message, done.err.strip())
    assert not (folder / "outputs").exists()
    assert [path.name for path in sorted(folder.rglob("*"))] == ["empty", "mine", "thesis.txt"]


@pytest.mark.parametrize("days", ["-1", "nan", "soon", "1e300"])
def test_an_age_is_a_number_of_days(folder: Path, days: str) -> None:
    """Anything else is refused, and removes nothing."""
    store = filled(folder / "s", 1)
    done = store_py("clear", "--dir", "s", f"--older-than-days={days}")
    assert done.code == 1
    assert f"--older-than-days: must be a number of days, at least 0; got {days}" in done.err
    assert len(store.entries()) == 1


@pytest.mark.parametrize("argv", [("lst",), ("--dri", "s"), ("size", "more"), ("--dir",)])
def test_what_it_cannot_read_is_one_sentence(argv: tuple[str, ...]) -> None:
    """With the exit code of all commands, and where to look."""
    done = store_py(*argv)
    assert (done.code, done.out) == (1, "")
    assert re.fullmatch(r"[^\n]+; --help lists what can be given\n", done.err)


def test_the_program_imports_no_torch(folder: Path) -> None:
    """python src/store.py answers at once."""
    filled(folder / "s", 1)
    done = process("-X", "importtime", SRC / "store.py", "list", "--dir", "s", cwd=folder)
    assert done.code == 0
    assert done.out.endswith("in s\n")
    assert imported(done, "torch", "scipy", "matplotlib", "rich") == []
