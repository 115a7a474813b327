"""When to stop adding runs: once the mean is known closely enough, by an interval that survives the looking."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from steadylr.core.consensus import Consensus

EACH_LOOK = 0.98
"""Confidence of the t interval at each look, so that the one at which a StoppingRule ends covers at least 95%.

Whoever stops as soon as the interval is narrow stops where s happens to be small, and too narrow is what such an
interval is: with 95% at each look it covers 90.1% at worst. For normal log10 LRs the mean of n runs is
independent of how their spread came about (all s up to n), so the coverage of a rule that looks at s only is

    E[2 Phi(t s_N / sigma) - 1],   t = t(0.99, N - 1),   N = number of runs at the end,

which depends on sigma / log10(factor), on when one looks, and on max_runs. benchmarks/stopping.py computes it over
all of them: from 95.3% (looking after each run, at the least favourable sigma) to 98%, also for max_runs without end.
So neither a larger max_runs later nor other batches cost coverage. Runs of a coarse ramp may answer with the very
same LR; consensus then takes s for at least what rounding to the ramp's steps makes it. The rule is that of Chow and
Robbins (1965, doi 10.1214/aoms/1177700156), which holds as the interval shrinks; the confidence is the correction
for the few runs that one has.
"""

MIN_RUNS = 3
"""Below this there is no interval."""

MOST_WITHOUT = 3
"""From this many runs without an LR on, their share can end a sweep."""


@dataclass(frozen=True, slots=True)
class StoppingRule:
    """Add runs until the interval's upper end is at most `factor` times the geometric mean, or there are max_runs.

    Args:
        factor: above 1.
        max_runs: at least 3; counts runs without an LR too.

    Raises:
        ValueError: a value outside its range.
    """

    factor: float
    max_runs: int

    def __post_init__(self) -> None:
        if not (math.isfinite(self.factor) and self.factor > 1):
            raise ValueError(
                f"factor must be finite and above 1, as it is what the interval's upper end over the mean "
                f"may be; got {self.factor!r}"
            )
        if self.max_runs < MIN_RUNS:
            raise ValueError(
                f"max_runs must be at least {MIN_RUNS}, as fewer runs have no interval; got {self.max_runs!r}"
            )


class State(str, Enum):
    """Where a sweep that stops when stable stands."""

    STABLE = "stable"
    MAX_RUNS = "max runs"
    NO_ANSWERS = "no answers"
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether to add runs.

    Attributes:
        state: OPEN asks for more runs; STABLE is what was wanted; the others give up.
        num_runs: made so far, with and without an LR.
        saved: runs that max_runs would have allowed further; 0 unless stable.
        reach: the interval's upper end over the geometric mean; None below three runs with an LR.
        text: the same as a sentence or two.
    """

    state: State
    num_runs: int
    saved: int
    reach: float | None
    text: str


def decide(rule: StoppingRule, found: Consensus, *, lost_runs: int = 0) -> Decision:
    """Say whether a sweep needs more runs.

    It is stable when reach <= factor; it gives up at max_runs, and when at least three runs gave no LR and they
    are more than half of all: further seeds would hardly do better.

    Args:
        rule: when to stop.
        found: the consensus of the runs, made with this rule.
        lost_runs: runs that failed and so are not in the consensus.
    """
    num_runs, without = found.num_runs + lost_runs, found.num_failed + lost_runs
    reach = None
    if found.interval is not None and found.geometric_mean is not None:
        reach = found.interval[1] / found.geometric_mean
    state = _state(rule, num_runs, without, reach)
    return Decision(
        state=state,
        num_runs=num_runs,
        saved=max(0, rule.max_runs - num_runs) if state is State.STABLE else 0,
        reach=reach,
        text=_text(rule, state, num_runs, without, reach),
    )


def _state(rule: StoppingRule, num_runs: int, without: int, reach: float | None) -> State:
    if reach is not None and reach <= rule.factor * (1 + 1e-12):
        return State.STABLE
    if without >= MOST_WITHOUT and 2 * without > num_runs:
        return State.NO_ANSWERS
    return State.MAX_RUNS if num_runs >= rule.max_runs else State.OPEN


def _text(rule: StoppingRule, state: State, num_runs: int, without: int, reach: float | None) -> str:
    runs = "1 run" if num_runs == 1 else f"{num_runs} runs"
    if state is State.NO_ANSWERS:
        return (
            f"Gave up after {runs}: {without} of them gave no LR, and further seeds would hardly do better."
        )
    known = "there is no interval below 3 runs with an LR"
    if reach is not None:
        known = f"the interval ends at {reach:.3g} times the geometric mean"
    wanted = f"wanted: {rule.factor:.4g}"
    if state is State.STABLE:
        saved = rule.max_runs - num_runs
        spared = f"; {saved} of at most {rule.max_runs} runs saved" if saved > 0 else ""
        return f"Stable after {runs}: {known} ({wanted}){spared}."
    if state is State.MAX_RUNS:
        return f"Gave up after {runs}, which is max_runs={rule.max_runs}: {known} ({wanted})."
    return f"Not stable after {runs}: {known} ({wanted})."
