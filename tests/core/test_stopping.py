"""When to stop adding runs: the decision, and the interval's coverage under it."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from steadylr.core.consensus import Consensus, consensus
from steadylr.core.decision import State, decide
from steadylr.core.log10 import half_width
from steadylr.core.stopping import EACH_LOOK, StoppingRule
from steadylr.words.consensus import decision_text, verdict

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import stopping as simulation

RULE = StoppingRule(factor=1.25, max_runs=20)


def spread(*log10_lrs: float, failures: dict[str, int] | None = None, rule: StoppingRule = RULE) -> Consensus:
    return consensus([10.0**x for x in log10_lrs], failures=failures, rule=rule)


# ---- the decision


@pytest.mark.parametrize(
    ("factor", "max_runs"), [(1.0, 20), (float("nan"), 20), (float("inf"), 20), (1.2, 2)]
)
def test_a_rule_that_can_not_be_met_or_ends_before_it_begins_is_refused(factor: float, max_runs: int) -> None:
    """The factor is above 1, and three runs are the least."""
    with pytest.raises(ValueError, match=r"factor must be finite|max_runs must be at least 3"):
        StoppingRule(factor, max_runs)


def test_close_runs_are_stable_and_save_the_others() -> None:
    """Four LRs within 5%: the upper end is near, and 16 runs are saved."""
    decision = decide(RULE, spread(-2, -2.01, -1.99, -2.005))
    assert decision.state is State.STABLE
    assert (decision.num_runs, decision.saved) == (4, 16)
    assert decision_text(decision) == (
        "Stable after 4 runs: the interval ends at 1.05 times the geometric mean (wanted: 1.25); "
        "16 of at most 20 runs saved."
    )


def test_two_runs_are_never_stable() -> None:
    """However close they are: they have no interval."""
    decision = decide(RULE, spread(-2, -2))
    assert (decision.state, decision.reach) == (State.OPEN, None)
    assert (
        decision_text(decision)
        == "Not stable after 2 runs: there is no interval below 3 runs with an LR (wanted: 1.25)."
    )


def test_equal_runs_are_stable_at_three() -> None:
    """Their interval has no width."""
    decision = decide(RULE, spread(-2, -2, -2))
    assert (decision.state, decision.reach) == (State.STABLE, pytest.approx(1.0))


def test_equal_runs_of_a_coarse_ramp_are_not_taken_for_certain() -> None:
    """Runs that are a step apart may well have answered alike; without a rule the interval stays as it is."""
    found = consensus([0.01] * 3, rule=RULE, log10_step=0.2)
    assert found.interval is not None
    assert np.log10(found.interval[1] / 0.01) == pytest.approx(half_width(0.2 / np.sqrt(12), 3, EACH_LOOK))
    assert decide(RULE, found).state is State.OPEN
    assert consensus([0.01] * 3, log10_step=0.2).interval == pytest.approx((0.01, 0.01))


def test_wide_runs_go_on_until_there_are_as_many_as_allowed() -> None:
    """Runs without an LR, and those that failed, count as well."""
    runs = spread(-2, -1.5, -2.4, failures={"flat": 1})
    assert decide(RULE, runs).state is State.OPEN
    assert decide(StoppingRule(1.25, 4), runs).state is State.MAX_RUNS
    assert decide(StoppingRule(1.25, 5), runs).state is State.OPEN
    assert decide(StoppingRule(1.25, 5), runs, lost_runs=1).state is State.MAX_RUNS


def test_most_runs_without_an_answer_end_it() -> None:
    """Five of seven, not five of ten; fewer may have a mean curve, unless three failed."""
    assert decide(RULE, spread(-2, -1, failures={"flat": 5})).state is State.NO_ANSWERS
    assert decide(RULE, spread(-2, -1, failures={"flat": 3}), lost_runs=2).state is State.NO_ANSWERS
    assert decide(RULE, spread(-2, -1, -1.5, -3, -2.5, failures={"flat": 5})).state is State.OPEN
    assert decide(RULE, spread(-2, -1, failures={"flat": 4})).state is State.OPEN
    assert decide(RULE, spread(-2, -1), lost_runs=3).state is State.NO_ANSWERS
    assert decide(RULE, spread(-2, -1, -1.5), lost_runs=3).state is State.OPEN
    assert decide(RULE, spread(), lost_runs=2).state is State.OPEN


def test_a_rule_makes_the_interval_wider() -> None:
    """The 98% quantile in place of the 95% one, in runs_needed too; all else is as it was."""
    lrs = [0.01, 0.02, 0.015, 0.03]
    plain, corrected = consensus(lrs), consensus(lrs, rule=StoppingRule(1.5, 20))
    s, n = np.std(np.log10(lrs), ddof=1), 4
    assert plain.interval is not None
    assert corrected.interval is not None
    assert plain.geometric_mean == corrected.geometric_mean
    assert np.log10(corrected.interval[1] / plain.geometric_mean) == pytest.approx(
        half_width(float(s), n, EACH_LOOK)
    )
    assert corrected.interval[0] < plain.interval[0] < plain.interval[1] < corrected.interval[1]
    assert (plain.corrected, corrected.corrected) == (False, True)


def test_the_runs_that_are_still_needed_are_those_of_the_rule() -> None:
    """With just so many at this spread it is stable, and with one less it isn't."""
    found = spread(-2, -1.9, -2.1, rule=StoppingRule(1.1, 50))
    assert found.runs_needed is not None
    s, total = 0.1, 3 + found.runs_needed
    assert half_width(s, total, EACH_LOOK) <= np.log10(1.1) < half_width(s, total - 1, EACH_LOOK)
    advice = " ".join(verdict(found).advice)
    assert f"{found.runs_needed} further runs would bring" in advice
    assert "within a factor of 1.1 of the mean" in advice


# ---- coverage, by simulation


@pytest.fixture(scope="module")
def spreads() -> simulation.Spreads:
    return simulation.Spreads.drawn(4000, 50, np.random.default_rng(7))


@pytest.mark.parametrize("batch", [1, 2, 4])
@pytest.mark.parametrize("max_runs", [10, 20, 50])
@pytest.mark.parametrize("sigma", [0.01, 0.1, 0.15, 0.2, 0.5])
def test_the_corrected_interval_covers(
    spreads: simulation.Spreads, sigma: float, max_runs: int, batch: int
) -> None:
    """At least 95% (less the simulation's own error) and not more than 98.2%, whatever the design."""
    covered, runs = spreads.outcome(sigma, simulation.looks(batch, max_runs), simulation.corrected)
    assert 0.949 <= covered <= 0.982
    assert 3 <= runs <= max_runs


def test_the_ordinary_interval_does_not_cover(spreads: simulation.Spreads) -> None:
    """Which is why there is a correction: about 90% after looking at each run."""
    covered, _ = spreads.outcome(0.15, simulation.looks(1, 20), simulation.ordinary)
    assert 0.89 < covered < 0.92


def test_looking_at_odd_moments_costs_no_coverage(spreads: simulation.Spreads) -> None:
    """As when runs fail, or a sweep is continued with other batches."""
    rng = np.random.default_rng(3)
    for _ in range(10):
        at = sorted({*rng.choice(np.arange(3, 30), size=8, replace=False).tolist(), 30})
        for sigma in (0.1, 0.15, 0.2):
            assert spreads.outcome(sigma, at, simulation.corrected)[0] >= 0.949


def test_a_coarse_ramp_costs_no_coverage() -> None:
    """Answers on steps of one sigma: 89% without the floor under s, more than 95% with it."""
    numbers = simulation.shapes(4000, 20, np.random.default_rng(5))[
        "normal, on a ramp with steps of one sigma"
    ]
    at = simulation.looks(1, 20)
    bare, _ = simulation.outcome_of_numbers(numbers, 0.15, at, simulation.corrected)
    covered, _ = simulation.outcome_of_numbers(numbers, 0.15, at, simulation.corrected, step=1.0)
    assert bare < 0.91
    assert covered > 0.95


def test_the_simulation_ends_where_the_rule_does() -> None:
    """The fast arithmetic of the benchmark against consensus and decide, sweep by sweep."""
    numbers = np.random.default_rng(11).standard_normal((60, 12)) * 0.12 - 2
    at = simulation.looks(2, 12)
    s = np.array([[np.std(row[:n], ddof=1) for n in range(2, 13)] for row in numbers])
    runs, widths = simulation.stopped(s, 1.0, at, simulation.corrected)
    rule = StoppingRule(1.25, 12)
    for row, ended, width in zip(numbers, runs, widths, strict=True):
        for n in at:
            found = spread(*row[:n], rule=rule)
            if decide(rule, found).state is not State.OPEN:
                break
        assert n == ended
        assert found.interval is not None
        assert np.log10(found.interval[1] / found.geometric_mean) == pytest.approx(width)
    assert len(set(runs)) > 3
