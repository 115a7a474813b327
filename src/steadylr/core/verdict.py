"""The verdict: may this LR be trusted, and what to do if not."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from steadylr.core.arguments import check_kind
from steadylr.core.consensus import NEAR_FACTOR, Consensus

MANY_RUNS = 50  # more than that nobody makes for a mean
FEW_RUNS = 3  # below this a spread is no more than a hint
OBSERVED_UP_TO = (
    5  # up to here the observed ratio decides; it grows with n, so above it the expected one does
)


class Level(str, Enum):
    """How far the suggestions may be trusted, best first; the last three say nothing of a spread."""

    TIGHT = "tight"
    VERY_NORMAL = "very normal"
    NORMAL = "normal"
    CONCERNING = "concerning"
    ISSUE = "issue"
    MEAN_CURVE = "mean curve only"
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


class Step(str, Enum):
    """What to do next, or to keep in mind."""

    AS_LEVEL = "as_level"  # what the level asks for
    FEW_RUNS = "few_runs"  # two say little about a spread
    DOUBT = "doubt"  # the spread is no proof, as most curves are noisy or bounded by the edge of the ramp
    FAILURES = "failures"  # some runs gave no LR
    ODD_RUNS = "odd_runs"  # some curves have another shape than the rest
    MORE_RUNS = "more_runs"  # a few further runs would tell the mean closely
    FIND_CAUSE = "find_cause"  # too many would be needed for that


@dataclass(frozen=True, slots=True)
class Verdict:
    """May this LR be trusted, and what to do if not.

    Attributes:
        level: the row that ratio or expected_ratio picks, lowered by one where is_lowered.
        level_by_ratio: the row that it picks.
        ratio: highest over lowest LR; None for fewer than two runs.
        expected_ratio: the ratio typical of five runs at this spread (see Consensus); None for fewer than two runs.
        n: runs with an LR.
        failures: runs without one, by outcome; no zeros.
        steps: what to do, the most important first.
        num_noisy, num_edge: runs with an LR whose curve is too noisy to read, or whose LR the edge of the ramp bounds,
            where these are more than half of all; else 0.
        odd_runs: names of runs whose curve has another shape than the rest.
        runs_needed: further runs that would bring the interval's upper end within near_factor of the mean; None where
            that is not known.
        near_factor: see Consensus.
    """

    level: Level
    level_by_ratio: Level
    ratio: float | None
    expected_ratio: float | None
    n: int
    failures: Mapping[str, int]
    steps: tuple[Step, ...]
    num_noisy: int = 0
    num_edge: int = 0
    odd_runs: tuple[str, ...] = ()
    runs_needed: int | None = None
    near_factor: float = NEAR_FACTOR

    @property
    def is_lowered(self) -> bool:
        """Whether doubts lowered the level by a row."""
        return self.level is not self.level_by_ratio

    @property
    def num_failed(self) -> int:
        """Runs without an LR."""
        return sum(self.failures.values())

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
    consensus: Consensus,
    *,
    noisy_runs: Collection[str] = (),
    edge_runs: Collection[str] = (),
    odd_runs: Sequence[str] = (),
    by_mean_curve: bool = False,
) -> Verdict:
    """Judges a consensus.

    Up to five runs the observed ratio picks the level, above that the ratio typical of five runs, as the
    observed one grows with n. A tight spread is no proof: where more than half of the runs with an LR are
    noisy or edge-bound, the level falls by one row (an issue stays one).

    Args:
        consensus: the consensus over runs.
        noisy_runs: names of runs with an LR whose curve is too noisy to read.
        edge_runs: names of runs with an LR that the edge of the ramp bounds, such as one that never diverged.
            A run may be in both.
        odd_runs: names of runs whose curve has another shape than the rest (shapes.odd_curves).
        by_mean_curve: whether the LR is that of the runs' mean curve, as too few have one of their own: then nothing is
            known of its spread, whatever the spread of these few.
    """
    check_kind(Consensus, consensus=consensus)
    if by_mean_curve:
        return Verdict(
            level=Level.MEAN_CURVE,
            level_by_ratio=Level.MEAN_CURVE,
            ratio=None,
            expected_ratio=None,
            n=consensus.n,
            failures=consensus.failures,
            steps=(Step.AS_LEVEL, *([Step.ODD_RUNS] if odd_runs else [])),
            odd_runs=tuple(odd_runs),
        )
    num_noisy, num_edge = _doubtful(consensus.n, set(noisy_runs), set(edge_runs))
    by_ratio = _level_by_ratio(consensus)
    doubted = bool(num_noisy or num_edge)
    return Verdict(
        level=_one_row_lower(by_ratio) if doubted else by_ratio,
        level_by_ratio=by_ratio,
        ratio=consensus.ratio if consensus.n >= 2 else None,
        expected_ratio=consensus.expected_ratio,
        n=consensus.n,
        failures=consensus.failures,
        steps=tuple(_steps(consensus, doubted=doubted, odd=bool(odd_runs))),
        num_noisy=num_noisy,
        num_edge=num_edge,
        odd_runs=tuple(odd_runs),
        runs_needed=consensus.runs_needed,
        near_factor=consensus.near_factor,
    )


def _level_by_ratio(consensus: Consensus) -> Level:
    if consensus.n == 0:
        return Level.NO_ANSWER
    ratio = consensus.ratio if consensus.n <= OBSERVED_UP_TO else consensus.expected_ratio
    if consensus.n == 1 or ratio is None:
        return Level.TOO_FEW
    return level_of(ratio)


def _one_row_lower(level: Level) -> Level:
    levels = [row for _, row in ROWS]
    if level not in levels:
        return level
    return levels[min(levels.index(level) + 1, len(levels) - 1)]


def _doubtful(n: int, noisy: set[str], edge: set[str]) -> tuple[int, int]:
    """How many answers are in doubt because of noise, and of an edge; (0, 0) unless more than half of the n are."""
    return (len(noisy), len(edge)) if n and 2 * len(noisy | edge) > n else (0, 0)


def _steps(consensus: Consensus, *, doubted: bool, odd: bool) -> Iterator[Step]:
    yield Step.AS_LEVEL
    if 1 < consensus.n < FEW_RUNS:
        yield Step.FEW_RUNS
    if doubted:
        yield Step.DOUBT
    if consensus.num_failed and consensus.n:
        yield Step.FAILURES
    if odd:
        yield Step.ODD_RUNS
    if consensus.n >= FEW_RUNS and consensus.runs_needed:
        yield Step.FIND_CAUSE if consensus.runs_needed > MANY_RUNS else Step.MORE_RUNS
