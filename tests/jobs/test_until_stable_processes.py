"""Adding seeds until the LR is known, as people run it: with real processes, launchers and interruptions."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from test_sweep_processes import DEADLINE, Sweeps, statuses, until

from command_line import FIND_LR, SRC, TINY, process

pytestmark = pytest.mark.slow

UNTIL_STABLE = ("+experiment=until_stable", "sweep_name=x", "hydra.sweeper.max_runs=6")


@pytest.fixture
def sweeps(tmp_path: Path) -> Iterator[Sweeps]:
    made = Sweeps(tmp_path)
    yield made
    made.go.touch()  # whoever still waits, after a test that failed


def only_kind(folder: Path) -> dict[str, Any]:
    (kind,) = json.loads((folder / "summary.json").read_text())["kinds"]
    return dict(kind)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_what_was_stopped_goes_on(sweeps: Sweeps, number: signal.Signals) -> None:
    """In the second batch; what has finished is not trained again, and an interrupt prints the answer so far."""
    program = sweeps.start(*UNTIL_STABLE, WAIT="4")
    until(lambda: list(statuses(sweeps.sweep()).values()).count("finished") == 5)
    os.killpg(program.pid, number)
    out, err = program.communicate(timeout=DEADLINE)
    if number is signal.SIGINT:
        assert program.returncode == 130, (out, err)
        assert "Traceback" not in err
        assert "5 runs with an LR" in out
        assert "Not stable after 5 runs" in out
    out, _ = sweeps.run(*UNTIL_STABLE)
    assert sweeps.trained() == [0, 1, 2, 3, 4, 5]
    assert out.startswith("1 job, 1 training, 1 worker\n")
    assert only_kind(sweeps.sweep())["stopping"]["state"] == "max runs"


def test_the_basic_launcher_adds_seeds_one_by_one(sweeps: Sweeps) -> None:
    """In this process; and the next command adds to them."""
    basic = (*UNTIL_STABLE[:2], "hydra/launcher=basic")
    out, _ = sweeps.run(*basic, "hydra.sweeper.max_runs=4", PLAIN="1")
    assert out.startswith("Not stable after 3 runs")
    assert "Gave up after 4 runs, which is max_runs=4" in out
    assert sweeps.trained() == [0, 1, 2, 3]
    out, _ = sweeps.run(*basic, "hydra.sweeper.max_runs=5", PLAIN="1")
    assert "Gave up after 5 runs" in out
    assert sweeps.trained() == [0, 1, 2, 3, 4]
    assert statuses(sweeps.sweep()) == {str(k): "finished" for k in range(5)}


def test_launchers_of_others_add_seeds(sweeps: Sweeps) -> None:
    """Their workers train side by side, and the parent reads what they left."""
    if importlib.util.find_spec("hydra_plugins.hydra_joblib_launcher") is None:
        pytest.skip("hydra-joblib-launcher is not installed (the extra `launchers`)")
    joblib = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "hydra.sweeper.max_runs=3")
    out, _ = sweeps.run(*UNTIL_STABLE[:2], *joblib)
    assert "3 runs with an LR" in out
    assert statuses(sweeps.sweep()) == {str(k): "finished" for k in range(3)}


def test_a_sweep_that_trains_ends_when_it_is_stable(tmp_path: Path) -> None:
    """The program itself, with a real model and without -m; aggregating again says the same, torch aside."""
    given = ("+experiment=until_stable", "sweep_name=x", "hydra.sweeper.factor=50", "device.workers=2")
    done = process(FIND_LR, *TINY, *given, cwd=tmp_path)
    assert done.code == 0, done.err
    assert done.out.startswith("4 jobs, 4 trainings, 2 workers\n")
    assert "(wanted: 50); 16 of at most 20 runs saved." in done.out
    folder = tmp_path / "outputs" / "sweeps" / "x"
    before = only_kind(folder)
    assert before["consensus"]["corrected"] is True
    (folder / "summary.json").unlink()
    assert process(SRC / "aggregate.py", "sweep=x", cwd=tmp_path).code == 0
    assert only_kind(folder) == before
