"""What benchmarks/speed.py aggregates: copies of one job that any sweep could have left."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from command_line import TINY, find_lr, only_run
from steadylr.answer.readings import from_sweep

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import speed


def test_copies_of_a_job_are_a_sweep_over_seeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is read, as a run of its own."""
    monkeypatch.chdir(tmp_path)
    find_lr(*TINY, "finder.diverge_th=null")
    speed.copy_job(only_run(tmp_path), tmp_path / "sweep", count=3)
    gathered = from_sweep(tmp_path / "sweep")
    assert (gathered.problems, gathered.failed) == ((), ())
    assert [reading.overrides for reading in gathered.readings] == [("seed=0",), ("seed=1",), ("seed=2",)]
    assert len({reading.run for reading in gathered.readings}) == 3
