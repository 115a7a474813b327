"""What the short trainings of a ladder came to, and which of them tell where a valley's bottom lies."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

BELOW, ABOVE = 2.6, 2.1
"""Octaves around the best LR tried in which the valley has the shape that is fitted."""


@dataclass(frozen=True, slots=True, order=True)
class AskedTrial:
    """A short OneCycle training that is to be done.

    Args:
        steps: its optimizer steps, at least 1.
        lr: its peak LR, finite and above 0.
        seed: of all its random streams; trials of equal seed share weights and order of the data.

    Raises:
        ValueError: numbers that are none of these.
    """

    steps: int
    lr: float
    seed: int

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"steps must be at least 1; got {self.steps!r}")
        if not (math.isfinite(self.lr) and self.lr > 0):
            raise ValueError(f"lr must be a finite number above 0; got {self.lr!r}")


@dataclass(frozen=True, slots=True, order=True)
class TrialLoss(AskedTrial):
    """A short training that was done.

    Args:
        loss: what it is judged by; NaN and infinities stand for a training that was given up, and become infinite.
    """

    loss: float

    def __post_init__(self) -> None:
        AskedTrial.__post_init__(self)
        if not math.isfinite(self.loss):
            object.__setattr__(self, "loss", math.inf)

    @property
    def asked(self) -> AskedTrial:
        """The trial without its loss."""
        return AskedTrial(self.steps, self.lr, self.seed)


@dataclass(frozen=True, slots=True)
class Rung:
    """The trials of one length.

    Args:
        steps: of each.
        trials: at least one, by LR and seed.
    """

    steps: int
    trials: tuple[TrialLoss, ...]

    @property
    def lrs(self) -> tuple[float, ...]:
        """The LRs tried, rising, each once."""
        return tuple(sorted({trial.lr for trial in self.trials}))

    @property
    def num_seeds(self) -> int:
        """Seeds that tell where the bottom lies: those with two trials near it; at least 1."""
        counts = Counter(trial.seed for trial in self.near)
        return max(1, sum(count > 1 for count in counts.values()))

    @property
    def given_up(self) -> tuple[TrialLoss, ...]:
        """The trials that ended without a loss."""
        return tuple(trial for trial in self.trials if not math.isfinite(trial.loss))

    @property
    def best(self) -> float | None:
        """The LR with the lowest loss by comparisons within seeds; None where every trial was given up."""
        scores = self.scores
        return min(scores, key=lambda lr: (scores[lr], lr)) if scores else None

    @property
    def scores(self) -> dict[float, float]:
        """By LR, rising: how far its losses lie above the lowest of their seeds, on average; finite ones only."""
        lowest: dict[int, float] = {}
        for trial in self.trials:
            lowest[trial.seed] = min(trial.loss, lowest.get(trial.seed, math.inf))
        above: dict[float, list[float]] = {}
        for trial in self.trials:
            if math.isfinite(lowest[trial.seed]):
                above.setdefault(trial.lr, []).append(trial.loss - lowest[trial.seed])
        means = {lr: sum(own) / len(own) for lr, own in sorted(above.items())}
        return {lr: mean for lr, mean in means.items() if math.isfinite(mean)}

    @property
    def is_open(self) -> tuple[bool, bool]:
        """Whether the best LR is the lowest tried, and whether it is the highest: a better one may lie beyond.

        A given-up trial above closes the upper end; where all were given up, only LRs below are of interest.
        """
        best = self.best
        if best is None:
            return True, False
        return best == self.lrs[0], best == self.lrs[-1]

    @property
    def near(self) -> tuple[TrialLoss, ...]:
        """The trials around the best LR, which tell where the bottom lies; none that was given up."""
        best = self.best
        if best is None:
            return ()
        lowest, highest = best * 2.0**-BELOW, best * 2.0**ABOVE
        return tuple(
            trial for trial in self.trials if math.isfinite(trial.loss) and lowest <= trial.lr <= highest
        )


def rungs_of(trials: Sequence[TrialLoss]) -> tuple[Rung, ...]:
    """The trials by length, the shortest first; their order counts nowhere."""
    by_steps: dict[int, set[TrialLoss]] = {}
    for trial in trials:
        by_steps.setdefault(trial.steps, set()).add(trial)
    return tuple(Rung(steps, tuple(sorted(own))) for steps, own in sorted(by_steps.items()))
