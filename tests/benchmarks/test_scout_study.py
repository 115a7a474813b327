"""The benchmark of scouts: its trainings, what it remembers, and its table."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))


import scout
from lengths_parts.lockstep import Lockstep, one_cycle
from quality_parts.compute import GRID, TRUTH_SEEDS
from quality_parts.tasks import all_tasks
from steadylr.core.ramp import Ramp

TASK = next(task for task in all_tasks() if task.name == "diabetes-mlp-adamw")


def test_trainings_one_by_one_are_those_in_step() -> None:
    """The same losses but for rounding, along a ramp and along a schedule."""
    ramps, trained = [], []
    for way in (scout.OneByOne(TASK), Lockstep(TASK)):
        ramps.append(scout._submit(way, Ramp(num_iter=40).lrs()[:30], 3))
        trained.append(way.submit(one_cycle(TASK, 0.003, 20, 5)))
        way.run()
    np.testing.assert_allclose(ramps[0].result(), ramps[1].result(), rtol=1e-4)
    assert trained[0].result() == pytest.approx(trained[1].result(), rel=1e-4)


@pytest.mark.slow
def test_a_tiny_benchmark_goes_on_where_it_was_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every number is a row; nothing is trained twice; the table has a row for each way."""
    monkeypatch.setattr(scout, "WAYS", {60: [scout.Way(30, 10, 5)]})
    monkeypatch.setattr(scout, "SEEDS", range(1, 3))
    task = next(one for one in all_tasks() if one.name == "digits-mlp-sgd")
    numbers = scout.Numbers(tmp_path)
    for seed in TRUTH_SEEDS:
        for lr in GRID:
            numbers.truths.add((task.name, seed, f"{lr:.6g}"), (f"{1 + np.log10(lr / 0.3) ** 2:.6g}",))
    assert scout.train(numbers, task) >= 4
    again = scout.Numbers(tmp_path)
    assert scout.train(again, task) == 0
    lines = [line for line in scout.report_lines(again, [task]) if line.startswith("| ")]
    assert [line.split(" | ")[0] for line in lines] == ["| way", "| whole", "| 30 steps, /10 to x5"]
    _, steps = again.answer(task.name, 60, "30 steps, /10 to x5") or (None, np.zeros(2))
    assert (steps > 0).all()
