"""The verdict: may this LR be trusted, and what to do if not."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from steadylr.core.consensus import Consensus

FEW_RUNS = 3  # below this a spread is no more than a hint
OBSERVED_UP_TO = (
    5  # up to here the observed ratio decides; it grows with n, so above it the expected one does
)


class Level(str, Enum):
    """How far the suggestions may be trusted, best first; the last two say that nothing can be said."""

    TIGHT = "tight"
    VERY_NORMAL = "very normal"
    NORMAL = "normal"
    CONCERNING = "concerning"
    ISSUE = "issue"
    TOO_FEW = "too few runs"
    NO_ANSWER = "no answer"


ROWS: tuple[tuple[float, Level], ...] = (
    (1.5, Level.TIGHT),
    (2.0, Level.VERY_NORMAL),
    (5.0, Level.NORMAL),
    (10.0, Level.CONCERNING),
    (float("inf"), Level.ISSUE),
)
"""Ratios up to and including the first number have that level."""

_TOLERANCE = 1e-9  # relative; 0.7 / 0.14 is not exactly 5 in floating point
_MANY_RUNS = 50
_LEVEL_ADVICE: Mapping[Level, str] = {
    Level.TIGHT: "Take the LR as it is.",
    Level.VERY_NORMAL: "Take the median or the geometric mean.",
    Level.NORMAL: "Make more runs and check the plots before a long training.",
    Level.CONCERNING: "Check for bugs and verify the data before you use this LR.",
    Level.ISSUE: "Investigate thoroughly: the runs do not agree on an LR, so none of them should be used.",
    Level.TOO_FEW: "Make at least three runs, better five: one run can't tell how far suggestions spread.",
    Level.NO_ANSWER: "Look at what the runs say about themselves, fix that, and run again.",
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """May this LR be trusted, and what to do if not.

    Attributes:
        level: the row that ratio or expected_ratio picks, lowered by one where lowered_by holds reasons.
        ratio: highest over lowest LR; None for fewer than two runs.
        expected_ratio: the ratio to expect of five runs at this spread; None for fewer than two runs.
        n: runs with an LR.
        num_failed: runs without one.
        summary: one sentence.
        advice: what to do, the most important first.
        lowered_by: why the level is a row lower than the ratio alone would have it; empty where it isn't.
    """

    level: Level
    ratio: float | None
    expected_ratio: float | None
    n: int
    num_failed: int
    summary: str
    advice: tuple[str, ...]
    lowered_by: tuple[str, ...] = ()

    @property
    def deciding_ratio(self) -> float | None:
        """The ratio that picked the row: the observed one up to five runs, above that the expected one."""
        return self.ratio if self.n <= OBSERVED_UP_TO else self.expected_ratio


def level_of(ratio: float) -> Level:
    """The level of a ratio max/min of at least 1; the boundaries 1.5, 2, 5 and 10 belong to the better level.

    Raises:
        ValueError: a ratio below 1 or NaN.
    """
    if not ratio >= 1:
        raise ValueError(f"ratio must be at least 1, as it is the highest LR over the lowest; got {ratio!r}")
    return next(level for limit, level in ROWS if ratio <= limit * (1 + _TOLERANCE))


def verdict(
    found: Consensus,
    *,
    noisy_runs: Collection[str] = (),
    edge_runs: Collection[str] = (),
    odd_runs: Sequence[str] = (),
) -> Verdict:
    """Judges a consensus.

    Up to five runs the observed ratio picks the level, above that the ratio expected of five runs, as the
    observed one grows with n. A tight spread is no proof: where more than half of the runs with an LR are
    noisy or edge-bound, the level falls by one row (an issue stays one).

    Args:
        found: the consensus over runs.
        noisy_runs: names of runs with an LR whose curve is too noisy to read.
        edge_runs: names of runs with an LR that the edge of the ramp bounds, such as one that never diverged.
            A run may be in both.
        odd_runs: names of runs whose curve has another shape than the rest (shapes.odd_curves).
    """
    doubts = _doubts(found.n, set(noisy_runs), set(edge_runs))
    by_ratio = _level_by_ratio(found)
    level = _one_row_lower(by_ratio) if doubts else by_ratio
    lowered_by = doubts if level is not by_ratio else ()
    return Verdict(
        level=level,
        ratio=found.ratio if found.n >= 2 else None,
        expected_ratio=found.expected_ratio,
        n=found.n,
        num_failed=found.num_failed,
        summary=_summary(found, level, by_ratio),
        advice=_advice(found, level, doubts, odd_runs),
        lowered_by=lowered_by,
    )


def _level_by_ratio(found: Consensus) -> Level:
    if found.n == 0:
        return Level.NO_ANSWER
    ratio = found.ratio if found.n <= OBSERVED_UP_TO else found.expected_ratio
    if found.n == 1 or ratio is None:
        return Level.TOO_FEW
    return level_of(ratio)


def _one_row_lower(level: Level) -> Level:
    levels = [row for _, row in ROWS]
    if level not in levels:
        return level
    return levels[min(levels.index(level) + 1, len(levels) - 1)]


def _doubts(n: int, noisy: set[str], edge: set[str]) -> tuple[str, ...]:
    """Why the answers are in doubt; empty unless more than half of the n runs are."""
    if n == 0 or 2 * len(noisy | edge) <= n:
        return ()
    reasons = []
    if noisy:
        reasons.append(f"{len(noisy)} of {_runs(n)} {_have(len(noisy))} a curve too noisy to read well")
    if edge:
        reasons.append(
            f"{len(edge)} of {_runs(n)} {_have(len(edge))} an answer bounded by the edge of the ramp"
        )
    return tuple(reasons)


def _summary(found: Consensus, level: Level, by_ratio: Level) -> str:
    failed = f"; {_failures(found)}" if found.num_failed else ""
    if found.n == 0:
        return f"No answer: {_failures(found) if found.num_failed else 'there are no runs'}."
    if found.ratio is None or level is Level.TOO_FEW:
        return f"Too few runs: one run says nothing about the spread{failed}."
    spread = f"{_runs(found.n)} spread over a factor of {_factor(found.ratio)}"
    if found.n > OBSERVED_UP_TO and found.expected_ratio is not None:
        spread += f" ({_factor(found.expected_ratio)} expected of five)"
    if found.n < FEW_RUNS:
        spread += ", too few to be sure"
    if level is not by_ratio:
        spread += f", which alone would be {by_ratio.value}"
    return f"{level.value.capitalize()}: {spread}{failed}."


def _advice(
    found: Consensus, level: Level, doubts: Sequence[str], odd_runs: Sequence[str]
) -> tuple[str, ...]:
    advice = [_LEVEL_ADVICE[level]]
    if 1 < found.n < FEW_RUNS:
        advice.append(
            "Two runs are too few to say how far suggestions spread: make at least three, better five."
        )
    if doubts:
        advice.append(f"The spread is no proof here: {' and '.join(doubts)}.")
    if found.num_failed and found.n:
        advice.append(f"{_failures(found).capitalize()}: see their reasons.")
    if odd_runs:
        verb = "has" if len(odd_runs) == 1 else "have"
        advice.append(f"Look at {', '.join(odd_runs)}, which {verb} a curve of another shape than the rest.")
    if found.n >= FEW_RUNS and found.runs_needed:
        advice.append(_more_runs(found.runs_needed, found.near_factor))
    return tuple(advice)


def _more_runs(needed: int, near_factor: float) -> str:
    goal = f"bring the upper end of the interval within a factor of {near_factor:g} of the mean"
    if needed > _MANY_RUNS:
        return (
            f"It would take more than {_MANY_RUNS} further runs to {goal}: find what makes them differ first."
        )
    return f"{needed} further {'run' if needed == 1 else 'runs'} would {goal}."


def _failures(found: Consensus) -> str:
    kinds = ", ".join(f"{count} {outcome.replace('_', ' ')}" for outcome, count in found.failures.items())
    return f"{found.num_failed} of {_runs(found.num_runs)} gave no answer ({kinds})"


def _runs(n: int) -> str:
    return "1 run" if n == 1 else f"{n} runs"


def _have(n: int) -> str:
    return "has" if n == 1 else "have"


def _factor(ratio: float) -> str:
    return f"{ratio:.3g}".replace("e+0", "e").replace("e+", "e")
