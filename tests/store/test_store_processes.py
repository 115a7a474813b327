"""The store among processes: kills at any moment, the same run at once, without locks."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from store_process import TRAINING, seeds_of, trained

from steadylr.store.curve_file import RunCurves
from steadylr.store.curve_store import CurveStore

SCRIPT = Path(__file__).with_name("store_process.py")


def start(folder: Path, log: Path, *arguments: object) -> subprocess.Popen[str]:
    """A process that has imported all and waits for go()."""
    process = subprocess.Popen(
        [sys.executable, str(SCRIPT), str(folder), str(log), *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def go(*processes: subprocess.Popen[str]) -> None:
    """Let them begin, as nearly at once as can be."""
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()


def results(process: subprocess.Popen[str]) -> list[tuple[str, bool]]:
    """Digest and from_store of each run that a process obtained."""
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    return [(digest, flag == "True") for digest, flag in (line.split() for line in output.splitlines())]


def trainings(log: Path) -> list[int]:
    """The seeds of all trainings that started, in order."""
    return [int(line) for line in log.read_text().split()] if log.exists() else []


def wait_for_training(log: Path, count: int) -> None:
    """Until so many trainings have started."""
    end = time.monotonic() + 60
    while len(trainings(log)) < count:
        assert time.monotonic() < end, "no training started"
        time.sleep(0.001)


@pytest.mark.slow
def test_killed_at_any_moment(tmp_path: Path) -> None:
    """SIGKILL at 20 random moments leaves each entry whole or absent; only what is missing is trained."""
    folder, endless = tmp_path / "store", 10**9
    rng = np.random.default_rng(20)
    held: set[int] = set()
    for n in range(20):
        log = tmp_path / f"log-{n}"
        process = start(folder, log, 0, endless, "quick")
        go(process)
        wait_for_training(log, int(rng.integers(1, 20)))
        time.sleep(rng.uniform(0.0, 0.004))
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        assert not held & set(trainings(log)), "a stored run was trained again"
        store = CurveStore(folder)
        found = store.entries()
        now = {info.meta["seed"] for info in found}
        assert len(now) == len(found)
        assert held <= now
        for info in found:
            run = RunCurves.load(info.path)
            assert run.curve.digest() == trained(run.meta["seed"]).curve.digest()
        assert all(store.find(TRAINING, seeds_of(seed)) for seed in now)
        held = now
    assert held
    wanted, log = max(held) + 10, tmp_path / "log-last"
    process = start(folder, log, 0, wanted, "quick")
    go(process)
    expected = [trained(seed).curve.digest() for seed in range(wanted)]
    assert [digest for digest, _ in results(process)] == expected
    assert trainings(log) == [seed for seed in range(wanted) if seed not in held]


@pytest.mark.parametrize("count", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_processes_that_want_the_same_run_train_it_once(tmp_path: Path, count: int) -> None:
    """Processes that ask for one new run at once share one training."""
    folder, log = tmp_path / "store", tmp_path / "log"
    processes = [start(folder, log, 7, 8, "sleep") for _ in range(count)]
    go(*processes)
    got = [run for process in processes for run in results(process)]
    assert trainings(log) == [7]
    assert {digest for digest, _ in got} == {trained(7).curve.digest()}
    assert sorted(flag for _, flag in got) == [False, *[True] * (count - 1)]
    assert len(CurveStore(folder).entries()) == 1


def test_without_locks_both_end_well(tmp_path: Path) -> None:
    """Two processes that train the same run at once without locks both get it and leave one whole entry."""
    folder, log = tmp_path / "store", tmp_path / "log"
    processes = [start(folder, log, 7, 8, "meet", "nolock") for _ in range(2)]
    go(*processes)
    got = [run for process in processes for run in results(process)]
    assert trainings(log) == [7, 7]
    assert got == [(trained(7).curve.digest(), False)] * 2
    (info,) = CurveStore(folder).entries()
    assert RunCurves.load(info.path).curve.digest() == trained(7).curve.digest()
    assert list((folder / "tmp").iterdir()) == []


def test_a_killed_trainer_holds_nobody_up(tmp_path: Path) -> None:
    """When the process that trains is killed, the one that waits for it trains the run itself."""
    folder, log = tmp_path / "store", tmp_path / "log"
    hanging = start(folder, log, 7, 8, "hang")
    go(hanging)
    wait_for_training(log, 1)
    waiting = start(folder, log, 7, 8, "quick")
    go(waiting)
    hanging.kill()
    hanging.communicate()
    assert results(waiting) == [(trained(7).curve.digest(), False)]
    assert trainings(log) == [7, 7]
    assert list((folder / "locks").iterdir()) == []


def test_ctrl_c_leaves_no_entry(tmp_path: Path) -> None:
    """SIGINT during a training ends the process and leaves neither an entry nor a temporary file."""
    folder, log = tmp_path / "store", tmp_path / "log"
    process = start(folder, log, 7, 8, "hang")
    go(process)
    wait_for_training(log, 1)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode != 0
    assert CurveStore(folder).entries() == []
    assert list((folder / "tmp").iterdir()) == []


@pytest.mark.slow
def test_two_sweeps_at_once_train_each_run_once(tmp_path: Path) -> None:
    """Two processes that go through the same new runs at once lose nothing and train each run once."""
    folder, log = tmp_path / "store", tmp_path / "log"
    processes = [start(folder, log, 0, 100, "quick") for _ in range(2)]
    go(*processes)
    expected = [trained(seed).curve.digest() for seed in range(100)]
    for process in processes:
        assert [digest for digest, _ in results(process)] == expected
    assert sorted(trainings(log)) == list(range(100))
