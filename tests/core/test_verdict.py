"""The verdict: the table by ratio, what lowers it, and what it says."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steadylr.core.consensus import consensus
from steadylr.core.verdict import ROWS, Level, level_of
from steadylr.words.consensus import verdict

ORDER = [level for _, level in ROWS]


def spread(ratio: float, n: int = 3) -> list[float]:
    """n LRs whose highest is `ratio` times the lowest, equally far apart in log."""
    return [1e-2 * ratio ** (i / (n - 1)) for i in range(n)]


def test_two_runs_known_answer() -> None:
    """6.16e-2 and 1.79e-2 differ by 3.44, which is normal, and two runs are said to be few."""
    found = verdict(consensus([6.16e-2, 1.79e-2]))
    assert found.level is Level.NORMAL
    assert found.ratio == found.deciding_ratio == pytest.approx(3.44, abs=0.005)
    assert found.summary == "Normal: 2 runs spread over a factor of 3.44, too few to be sure."
    assert any("at least three, better five" in sentence for sentence in found.advice)


@pytest.mark.parametrize(
    ("ratio", "level"),
    [
        (1.0, Level.TIGHT),
        (1.5, Level.TIGHT),
        (1.5001, Level.VERY_NORMAL),
        (2.0, Level.VERY_NORMAL),
        (2.0001, Level.NORMAL),
        (5.0, Level.NORMAL),
        (5.0001, Level.CONCERNING),
        (10.0, Level.CONCERNING),
        (10.001, Level.ISSUE),
        (math.inf, Level.ISSUE),
    ],
)
def test_the_boundaries_belong_to_the_better_level(ratio: float, level: Level) -> None:
    """Up to and including 1.5, 2, 5 and 10 the better level holds, whatever the last digit is rounded to."""
    assert level_of(ratio) is level
    assert level_of(ratio * (1 + 1e-15)) is level


@given(lowest=st.floats(1e-8, 1.0), boundary=st.sampled_from([1.5, 2.0, 5.0, 10.0]))
def test_rounding_pushes_no_ratio_over_a_boundary(lowest: float, boundary: float) -> None:
    """LRs exactly a boundary apart have the better level, wherever they lie."""
    level = next(level for limit, level in ROWS if limit == boundary)
    assert verdict(consensus([lowest, lowest * boundary])).level is level


@pytest.mark.parametrize("ratio", [0.99, math.nan, -1.0])
def test_a_ratio_below_one_is_refused(ratio: float) -> None:
    """A ratio below 1 can't be the highest over the lowest."""
    with pytest.raises(ValueError, match="ratio must be at least 1"):
        level_of(ratio)


@given(one=st.floats(1, 1e6), other=st.floats(1, 1e6), n=st.integers(2, 9))
def test_a_larger_spread_is_never_better(one: float, other: float, n: int) -> None:
    """The level is monotone in the spread, for any number of runs."""
    lower, upper = sorted((one, other))
    levels = [ORDER.index(verdict(consensus(spread(ratio, n))).level) for ratio in (lower, upper)]
    assert levels[0] <= levels[1]


def test_the_observed_ratio_decides_up_to_five_runs() -> None:
    """With five runs the observed ratio picks the row, with six the one expected of five; both are kept."""
    few, many = verdict(consensus(spread(5.0, 5))), verdict(consensus(spread(5.5, 6)))
    assert (few.deciding_ratio, many.deciding_ratio) == (few.ratio, many.expected_ratio)
    assert many.ratio == pytest.approx(5.5)
    assert few.expected_ratio is not None
    rng = np.random.default_rng(1)
    hundred = verdict(consensus(10 ** rng.normal(-2, 0.1, 100)))
    assert hundred.ratio is not None
    assert hundred.ratio > 2.5
    assert hundred.level is Level.VERY_NORMAL
    assert hundred.summary.startswith("Very normal: 100 runs spread over a factor of ")
    assert "typical of five" in hundred.summary
    assert "typical of five" not in few.summary


@pytest.mark.parametrize(
    ("ratio", "words"),
    [
        (1.2, "Take the LR as it is"),
        (1.8, "median or the geometric mean"),
        (3.0, "Make more runs and check the plots"),
        (8.0, "Check for bugs and verify the data"),
        (30.0, "Investigate thoroughly"),
    ],
)
def test_each_level_says_what_to_do(ratio: float, words: str) -> None:
    """The first advice is the level's own."""
    assert words in verdict(consensus(spread(ratio))).advice[0]


@pytest.mark.parametrize(
    ("ratio", "before", "after"),
    [
        (1.2, Level.TIGHT, Level.VERY_NORMAL),
        (1.8, Level.VERY_NORMAL, Level.NORMAL),
        (8, Level.CONCERNING, Level.ISSUE),
    ],
)
def test_doubtful_curves_lower_the_verdict_by_a_row(ratio: float, before: Level, after: Level) -> None:
    """Most runs noisy or edge-bound: one row lower, once, and the verdict says why."""
    found = consensus(spread(ratio, 4))
    assert verdict(found).level is before
    lowered = verdict(found, noisy_runs=["a", "b"], edge_runs=["c"])
    assert lowered.level is after
    assert lowered.lowered_by == (
        "2 of 4 runs have a curve too noisy to read well",
        "1 of 4 runs has an answer bounded by the edge of the ramp",
    )
    assert f"which alone would be {before.value}" in lowered.summary
    assert any("no proof" in sentence for sentence in lowered.advice)
    assert verdict(found, noisy_runs="abcd", edge_runs="abcd").level is after


def test_half_of_the_runs_are_not_most() -> None:
    """Two doubtful runs of four lower nothing, also when both findings name the same two."""
    found = consensus(spread(1.2, 4))
    assert verdict(found, noisy_runs=["a", "b"], edge_runs=["a", "b"]) == verdict(found)
    assert verdict(found).lowered_by == ()


def test_an_issue_cannot_fall_further() -> None:
    """The worst level stays, with no reasons for a fall, but the doubt is told."""
    found = verdict(consensus(spread(30.0)), edge_runs="abc")
    assert (found.level, found.lowered_by) == (Level.ISSUE, ())
    assert any("edge of the ramp" in sentence for sentence in found.advice)


def test_runs_without_an_answer_are_counted() -> None:
    """Summary and advice say how many runs gave no answer, and why."""
    found = verdict(consensus(spread(1.8), failures={"flat": 1, "diverged_at_start": 2}))
    assert (found.n, found.num_failed) == (3, 3)
    assert "3 of 6 runs gave no answer (2 diverged at start, 1 flat)" in found.summary
    assert any("3 of 6 runs gave no answer" in sentence for sentence in found.advice)


def test_odd_runs_are_named() -> None:
    """A run whose curve has another shape is named in the advice."""
    one = verdict(consensus(spread(1.8)), odd_runs=["seed=3"])
    assert "Look at seed=3, which has a curve of another shape than the rest." in one.advice
    two = verdict(consensus(spread(1.8)), odd_runs=["seed=3", "seed=7"])
    assert "Look at seed=3, seed=7, which have a curve of another shape than the rest." in two.advice


def test_one_run_and_none_have_no_level_by_ratio() -> None:
    """One run is too few for a verdict, none is no answer; neither pretends to a ratio."""
    one = verdict(consensus([0.03]), noisy_runs=["a"])
    assert (one.level, one.ratio, one.expected_ratio, one.n) == (Level.TOO_FEW, None, None, 1)
    assert one.summary == "Too few runs: one run says nothing about the spread."
    none = verdict(consensus([], failures={"flat": 2}))
    assert (none.level, none.ratio, none.deciding_ratio, none.n) == (Level.NO_ANSWER, None, None, 0)
    assert none.summary == "No answer: 2 of 2 runs gave no answer (2 flat)."
    assert verdict(consensus([])).summary == "No answer: there are no runs."


def test_it_says_how_many_more_runs_would_help() -> None:
    """From three runs on the advice names the further runs that are needed; many mean: look for the cause."""
    found = consensus(spread(1.8, 4))
    assert found.runs_needed
    assert any(f"{found.runs_needed} further runs would bring" in s for s in verdict(found).advice)
    assert any("more than 50 further runs" in s for s in verdict(consensus(spread(1e4))).advice)
    assert not any("further run" in s for s in verdict(consensus(spread(1.01, 5))).advice)


@pytest.mark.parametrize(
    ("ratio", "text"), [(3.4444, "3.44."), (12.0, "12."), (1e5, "1e5."), (2.5e12, "2.5e12.")]
)
def test_ratios_are_written_short(ratio: float, text: str) -> None:
    """The summary writes ratios with three digits and short exponents."""
    assert verdict(consensus([1e-12, 1e-12 * ratio, 2e-12])).summary.endswith(f"a factor of {text}")
