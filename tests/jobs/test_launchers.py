"""Hydra's own launcher and those of others: they do every job, and keep their limits."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from test_sweep_processes import Sweeps, rows, statuses

pytestmark = pytest.mark.slow


@pytest.fixture
def sweeps(tmp_path: Path) -> Sweeps:
    return Sweeps(tmp_path)


def test_the_basic_launcher_does_one_job_after_the_other(sweeps: Sweeps) -> None:
    """In this process; jobs that are added are numbered after the last, and a job done again counts once."""
    out, _ = sweeps.run("seed=1", "finder.smooth_f=0.05,0.15", "hydra/launcher=basic", "sweep_name=x")
    assert "1 run with an LR" in out
    assert sweeps.trained() == [1]
    out, _ = sweeps.run("seed=1,2", "finder.smooth_f=0.05", "hydra/launcher=basic", "sweep_name=x")
    assert list(statuses(sweeps.sweep())) == list("0123")
    assert [row["job"] for row in rows(sweeps.sweep())] == ["2", "1", "3"]
    assert "2 runs with an LR" in out


def test_a_job_that_fails_under_the_basic_launcher_keeps_no_other_from_running(sweeps: Sweeps) -> None:
    """Exit code 1; the same command makes it good in a new folder."""
    out, _ = sweeps.run("seed=1,2", "hydra/launcher=basic", "sweep_name=x", code=1, RAISE="1")
    assert "seed 1 can't be trained" in out
    assert list(statuses(sweeps.sweep()).values()) == ["failed", "finished"]
    out, _ = sweeps.run("seed=1,2", "hydra/launcher=basic", "sweep_name=x")
    assert "2 runs with an LR" in out


@pytest.mark.parametrize(
    ("launcher", "package"),
    [("joblib", "hydra_joblib_launcher"), ("submitit_local", "hydra_submitit_launcher")],
)
def test_launchers_of_others_do_every_job(sweeps: Sweeps, launcher: str, package: str) -> None:
    """Side by side, in processes of their own; runs that start at once are trained once."""
    if importlib.util.find_spec(f"hydra_plugins.{package}") is None:
        pytest.skip(f"{package} is not installed (the extra `launchers`)")
    more = ["hydra.launcher.n_jobs=2"] if launcher == "joblib" else []
    out, _ = sweeps.run(
        "seed=1,2", "finder.smooth_f=0.05,0.15", f"hydra/launcher={launcher}", "sweep_name=x", *more
    )
    assert "2 runs with an LR" in out
    assert statuses(sweeps.sweep()) == {str(k): "finished" for k in range(4)}
