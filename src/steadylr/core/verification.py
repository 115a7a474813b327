"""The verification: does the spread of the suggestions cost anything? Read off trainings at a few peak LRs."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from steadylr.core.curve import FloatArray
from steadylr.core.seed_noise import (
    enough_seeds,
    half_width_of_mean,
    is_clear,
    regret_half_width,
    variances_over_seeds,
)

TOLERANCE = 0.05
"""Share of the descent that may be lost before an LR stops being good."""

SAME_LR = 1e-6  # relative


class Conclusion(str, Enum):
    """What the trainings say about the suggestions; the last one, that they say nothing."""

    HARMLESS = "harmless"  # the lowest, the chosen and the highest suggestion are all good
    ENDS = "ends"  # the chosen one is good, the lowest or the highest isn't
    MOVE = "move"  # the chosen one isn't good
    NOTHING_LEARNED = "nothing_learned"  # no LR ends below the initial loss, as far as the seeds can tell


@dataclass(frozen=True, slots=True)
class Suggested:
    """The consensus that is verified.

    Args:
        low, chosen, high: the lowest suggestion, the peak of the plan and the highest suggestion; finite, above 0,
            low <= chosen <= high.

    Raises:
        ValueError: numbers that are no such LRs.
    """

    low: float
    chosen: float
    high: float

    def __post_init__(self) -> None:
        if not (0 < self.low <= self.chosen <= self.high < math.inf):
            raise ValueError(
                "low, chosen and high must be LRs above 0 with low <= chosen <= high; "
                f"got {self.low!r}, {self.chosen!r}, {self.high!r}"
            )

    @property
    def lrs(self) -> tuple[float, float, float]:
        """low, chosen and high."""
        return self.low, self.chosen, self.high


def as_printed(lr: float) -> float:
    """An LR rounded to the three digits that it is printed with: trainings that look equal are equal."""
    return float(f"{lr:.2e}")


def lrs_to_try(
    suggested: Suggested, *, beyond: Sequence[float] = (3.0,), further: Sequence[float] = ()
) -> tuple[float, ...]:
    """The peak LRs to train at, rising and each once: the suggestions, some beyond both ends, and any others.

    Args:
        suggested: the consensus.
        beyond: factors above 1: the lowest suggestion is divided by each, the highest multiplied.
        further: other LRs, finite and above 0.

    Raises:
        ValueError: a factor or an LR outside its range.
    """
    for factor in beyond:
        if not 1 < factor < math.inf:
            raise ValueError(f"beyond must hold finite factors above 1; got {factor!r}")
    for lr in further:
        if not 0 < lr < math.inf:
            raise ValueError(f"lrs must be finite and above 0; got {lr!r}")
    outside = [lr for factor in beyond for lr in (suggested.low / factor, suggested.high * factor)]
    others = {as_printed(lr) for lr in (*outside, *further)}
    return tuple(sorted(others.union(suggested.lrs)))


@dataclass(frozen=True, slots=True)
class Tried:
    """What the trainings with one peak LR came to.

    Attributes:
        lr: the peak LR.
        losses: the final loss of each seed; infinite where the training was given up or its loss became no number.
        loss: their mean, each counted as the initial loss where it is above that or infinite.
        regret: (loss - best loss) / descent, in [0, 1]; 0 where nothing was learned.
        half_width: the true regret lies below regret + half_width with 95% confidence, and above regret - half_width
            with as much. 0 for the best LR, which is compared with itself; None with one seed.
    """

    lr: float
    losses: tuple[float, ...]
    loss: float
    regret: float
    half_width: float | None

    @property
    def num_given_up(self) -> int:
        """Trainings that ended without a loss."""
        return sum(not math.isfinite(loss) for loss in self.losses)


@dataclass(frozen=True, slots=True)
class Verification:
    """What short trainings say about the suggestions of a sweep. Made by `verify`, which has the formulas.

    Attributes:
        tried: one entry per LR, rising.
        suggested: what was verified.
        initial_loss: the loss before training.
        tolerance: the largest regret of a good LR.
        conclusion: what holds, by the means over the seeds.
        sure: whether the seeds can tell it from the others, with 95% confidence.
        seeds_needed: seeds per LR that would make it sure at this noise; None where it is sure, where the noise is not
            known, and where only LRs beyond those tried would.
            MOST_SEEDS + 1 stands for any more than MOST_SEEDS.
    """

    tried: tuple[Tried, ...]
    suggested: Suggested
    initial_loss: float
    tolerance: float
    conclusion: Conclusion
    sure: bool
    seeds_needed: int | None

    @property
    def num_seeds(self) -> int:
        """Trainings per LR."""
        return len(self.tried[0].losses)

    @property
    def best(self) -> Tried:
        """The LR tried with the lowest mean loss."""
        return min(self.tried, key=lambda tried: tried.loss)

    @property
    def descent(self) -> float:
        """How far the best LR brings the loss down, in its units; 0 or less where nothing was learned."""
        return self.initial_loss - self.best.loss

    @property
    def best_is_at_edge(self) -> bool:
        """Whether the best LR is the lowest or the highest tried, so that a better one may lie beyond."""
        return self.best in (self.tried[0], self.tried[-1])

    @property
    def flat(self) -> tuple[float, float]:
        """The flat region: the lowest and the highest LR tried of the good ones next to one another around the best."""
        first, last = self._flat_places()
        return self.tried[first].lr, self.tried[last].lr

    @property
    def flat_is_open(self) -> tuple[bool, bool]:
        """Whether the flat region reaches the lowest LR tried, and the highest: it may go on beyond."""
        first, last = self._flat_places()
        return first == 0, last == len(self.tried) - 1

    @property
    def sensitivity(self) -> float:
        """LR sensitivity, in units of the loss: the mean of loss - best loss over log LR, linear between the LRs tried.

        Wortsman et al. take it over three decades; here it is over the LRs tried, so it compares only with others of
        the same range.
        """
        x = np.log([tried.lr for tried in self.tried])
        above = np.array([tried.loss for tried in self.tried]) - self.best.loss
        if len(x) == 1:
            return 0.0
        return float(np.sum((above[1:] + above[:-1]) / 2 * np.diff(x)) / (x[-1] - x[0]))

    @property
    def move_to(self) -> float | None:
        """The LR to take instead of the chosen one, the best of those tried; None unless the choice should move."""
        return self.best.lr if self.conclusion is Conclusion.MOVE else None

    @property
    def lr_to_take(self) -> float | None:
        """The chosen LR, or the one to move to; None where nothing was learned."""
        return (
            None if self.conclusion is Conclusion.NOTHING_LEARNED else self.move_to or self.suggested.chosen
        )

    @property
    def resolution(self) -> float | None:
        """The largest half_width among the suggestions: smaller regrets these seeds can't tell from none."""
        widths = [self.at(lr).half_width for lr in self.suggested.lrs]
        known = [width for width in widths if width is not None]
        return max(known) if len(known) == len(widths) else None

    def at(self, lr: float) -> Tried:
        """The entry of an LR that was tried.

        Raises:
            ValueError: it wasn't.
        """
        return self.tried[_place([tried.lr for tried in self.tried], lr, "lr")]

    def is_good(self, tried: Tried) -> bool:
        """Whether an LR loses no more than the tolerance."""
        return tried.regret <= self.tolerance

    def _flat_places(self) -> tuple[int, int]:
        first = last = self.tried.index(self.best)
        while first > 0 and self.is_good(self.tried[first - 1]):
            first -= 1
        while last < len(self.tried) - 1 and self.is_good(self.tried[last + 1]):
            last += 1
        return first, last


def verify(
    lrs: Sequence[float],
    losses: npt.ArrayLike,
    *,
    initial_loss: float,
    suggested: Suggested,
    tolerance: float = TOLERANCE,
) -> Verification:
    """Judge the suggestions of a sweep by trainings at a few peak LRs.

    With l(s, i) the final loss of seed s at LR i, l0 the initial loss and m(i) the mean over s of min(l(s, i), l0):

        best = min of m        descent = l0 - best        regret(i) = (m(i) - best) / descent

    The noise of regret(i) is that of the differences between LR i and the best LR within each seed, as equal seeds
    share weights and order of the data. Few seeds know a variance badly, so each is averaged with the median over
    all LRs, which weighs as much as PRIOR_FREEDOM degrees of freedom; with v the average:

        half_width(i) = t(0.95, seeds - 1 + PRIOR_FREEDOM) sqrt(v(i) / seeds)

    The conclusion is sure where every regret that it rests on lies at least its half_width away from the tolerance.
    Where the best LR is the lowest or the highest tried, a better one may lie beyond, and regrets may be larger by as
    much as the last step gained: that counts too.

    Args:
        lrs: the peak LRs, shape (k,), rising; low, chosen and high are among them.
        losses: shape (seeds, k), at least one seed; NaN and infinities are trainings that were given up.
        initial_loss: the loss before training, finite.
        suggested: the consensus.
        tolerance: share of the descent that a good LR may lose, above 0 and below 1.

    Raises:
        ValueError: an argument that is none of these; the message names it.

    References: M. Wortsman et al., "Small-scale proxies for large-scale Transformer training instabilities" (2023),
    https://arxiv.org/abs/2309.14322 (counting at most the initial loss; sensitivity); G. K. Smyth, "Linear models
    and empirical Bayes methods for assessing differential expression" (2004) (variances averaged with a common one).
    """
    given = _checked_losses(lrs, losses)
    if not math.isfinite(initial_loss):
        raise ValueError(f"initial_loss must be a finite number; got {initial_loss!r}")
    if not 0 < tolerance < 1:
        raise ValueError(f"tolerance must be above 0 and below 1; got {tolerance!r}")
    names = ("low", "chosen", "high")
    low, chosen, high = (_place(lrs, lr, name) for lr, name in zip(suggested.lrs, names, strict=True))
    capped = np.where(np.isfinite(given), np.minimum(given, initial_loss), initial_loss)
    means = capped.mean(axis=0)
    best = int(np.argmin(means))
    descent = float(initial_loss - means[best])
    learned = descent > half_width_of_mean(capped[:, best])
    regrets = (means - means[best]) / descent if learned else np.zeros(len(lrs))
    variances = variances_over_seeds((capped - capped[:, [best]]) / descent, best) if learned else None
    tried = tuple(
        Tried(
            lr=float(lr),
            losses=tuple(loss if math.isfinite(loss) else math.inf for loss in given[:, i].tolist()),
            loss=float(means[i]),
            regret=float(regrets[i]),
            half_width=None if variances is None else regret_half_width(variances[i], len(given)),
        )
        for i, lr in enumerate(lrs)
    )
    conclusion = (
        _conclusion(regrets, (low, chosen, high), tolerance) if learned else Conclusion.NOTHING_LEARNED
    )
    rests_on = _rests_on(conclusion, regrets, (low, chosen, high))
    away = {i: _distance(float(regrets[i]), tolerance, gain=_gain_beyond(regrets, best)) for i in rests_on}
    sure = learned and all(is_clear(tried[i].half_width, away[i]) for i in rests_on)
    needed = (
        None
        if sure or variances is None
        else enough_seeds([(float(variances[i]), away[i]) for i in rests_on])
    )
    return Verification(tried, suggested, float(initial_loss), tolerance, conclusion, sure, needed)


def _conclusion(regrets: FloatArray, suggestions: tuple[int, int, int], tolerance: float) -> Conclusion:
    low, chosen, high = (bool(regrets[i] <= tolerance) for i in suggestions)
    if not chosen:
        return Conclusion.MOVE
    return Conclusion.HARMLESS if low and high else Conclusion.ENDS


def _rests_on(
    conclusion: Conclusion, regrets: FloatArray, suggestions: tuple[int, int, int]
) -> Collection[int]:
    """The places of the LRs that have to lie on their side of the tolerance for the conclusion to hold."""
    low, chosen, high = suggestions
    if conclusion is Conclusion.HARMLESS:
        return {low, chosen, high}
    if conclusion is Conclusion.ENDS:
        return {chosen, max(low, high, key=lambda i: float(regrets[i]))}
    return {chosen}


# ---- what can be told


def _gain_beyond(regrets: FloatArray, best: int) -> float:
    """What an LR beyond those tried may gain, in descents: 0 unless the best is the lowest or the highest tried.

    Where the loss is convex in log LR, as in the valley around the best, another step gains no more than the last.
    """
    last = len(regrets) - 1
    if last == 0 or 0 < best < last:
        return 0.0
    return float(regrets[1 if best == 0 else last - 1])


def _distance(regret: float, tolerance: float, *, gain: float) -> float:
    """How far a regret lies on its side of the tolerance, in descents; below 0 where a better LR beyond may move it."""
    return tolerance - regret - gain if regret <= tolerance else regret - tolerance


# ---- checks


def _checked_losses(lrs: Sequence[float], losses: npt.ArrayLike) -> FloatArray:
    array = np.asarray(losses, dtype=np.float64)
    if array.ndim != 2 or 0 in array.shape or array.shape[1] != len(lrs):
        raise ValueError(
            f"losses must have the shape (seeds, {len(lrs)}), one column for each LR, with at least one of each; "
            f"got {array.shape}"
        )
    if not all(math.isfinite(lr) and lr > before for before, lr in pairwise((0.0, *lrs))):
        raise ValueError(f"lrs must be finite, above 0 and rising; got {list(lrs)}")
    return array


def _place(lrs: Sequence[float], lr: float, name: str) -> int:
    """Where an LR stands among others."""
    for place, known in enumerate(lrs):
        if math.isclose(known, lr, rel_tol=SAME_LR):
            return place
    raise ValueError(
        f"{name} must be one of the LRs tried ({', '.join(f'{lr:.3g}' for lr in lrs)}); got {lr!r}"
    )
