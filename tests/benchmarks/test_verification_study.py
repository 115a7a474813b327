"""The study of verify's sentence: known answers on losses that can be written down."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))


import verification as study
from quality_parts.compute import GRID
from steadylr.core.verification import Conclusion


def valley(best: int, *, width: float) -> np.ndarray:
    """Losses of shape (3 seeds, LRs of GRID): parabolas in grid steps, at most the loss before training."""
    steps = (np.arange(len(GRID)) - best) / width
    return np.tile(np.minimum(1.0 + steps**2, 3.0), (3, 1))


@pytest.mark.parametrize(
    ("place", "width", "conclusion"),
    [(12, 12.0, Conclusion.HARMLESS), (12, 3.0, Conclusion.ENDS), (9, 3.0, Conclusion.MOVE)],
)
def test_the_sentence_and_the_truth_agree_without_noise(
    place: int, width: float, conclusion: Conclusion
) -> None:
    """On one and the same valley, with suggestions a factor of 2 around a place of the grid."""
    losses = valley(12, width=width)
    row = study.judged("task", (GRID[place - 1], GRID[place], GRID[place + 1]), losses, losses)
    assert (row.said, row.true) == (conclusion, conclusion)


def test_the_table_counts() -> None:
    """By what was said and what is true, in all and of the sure ones."""
    rows = [
        study.Judged("a", Conclusion.HARMLESS, True, Conclusion.HARMLESS),
        study.Judged("a", Conclusion.HARMLESS, False, Conclusion.MOVE),
        study.Judged("b", Conclusion.ENDS, True, Conclusion.ENDS),
    ]
    lines = list(study.lines(rows))
    assert lines[0] == "3 verifications of consensuses of 3 runs, 2 tasks"
    assert "| harmless | 1 | 0 | 1 | 2 | 50% |" in lines
    assert "| in all |  |  |  | 3 | 67% (mean over tasks 75%) |" in lines
    assert "| in all |  |  |  | 2 | 100% (mean over tasks 100%) |" in lines
    assert "| a | 2 | 50% | 50% | 100% |" in lines
