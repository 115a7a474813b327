"""The decision whether a sweep that stops when stable needs more runs."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from steadylr.core.consensus import Consensus
from steadylr.core.stopping import StoppingRule

MOST_LOST = 3
"""From this many runs that failed on, the share of runs without an LR can end a sweep."""

MOST_WITHOUT = 5
"""The same for runs that failed or gave no LR: the mean curve of five often has one where that of three has none."""


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
        num_without: of these, runs without an LR.
        rule: what decided.
    """

    state: State
    num_runs: int
    saved: int
    reach: float | None
    num_without: int
    rule: StoppingRule


def decide(rule: StoppingRule, consensus: Consensus, *, lost_runs: int = 0) -> Decision:
    """Say whether a sweep needs more runs.

    It is stable when reach <= factor; it gives up at max_runs, and when more than half of all runs failed or gave no
    LR, which are at least five, or three that failed: further seeds would hardly do better.

    Args:
        rule: when to stop.
        consensus: the consensus of the runs, made with this rule.
        lost_runs: runs that failed and so are not in the consensus.
    """
    num_runs, without = consensus.num_runs + lost_runs, consensus.num_failed + lost_runs
    reach = None
    if consensus.interval is not None and consensus.geometric_mean is not None:
        reach = consensus.interval[1] / consensus.geometric_mean
    enough_without = lost_runs >= MOST_LOST or without >= MOST_WITHOUT
    state = _state(rule, num_runs, reach, hopeless=enough_without and 2 * without > num_runs)
    return Decision(
        state=state,
        num_runs=num_runs,
        saved=max(0, rule.max_runs - num_runs) if state is State.STABLE else 0,
        reach=reach,
        num_without=without,
        rule=rule,
    )


def _state(rule: StoppingRule, num_runs: int, reach: float | None, *, hopeless: bool) -> State:
    if reach is not None and reach <= rule.factor * (1 + 1e-12):
        return State.STABLE
    if hopeless:
        return State.NO_ANSWERS
    return State.MAX_RUNS if num_runs >= rule.max_runs else State.OPEN
