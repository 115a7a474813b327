"""The verification: does the spread of the suggestions cost anything? Read off trainings at a few peak LRs."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

from steadylr.core.curve import FloatArray

TOLERANCE = 0.05
"""Share of the descent that may be lost before an LR stops being good."""

CONFIDENCE = 0.95
PRIOR_FREEDOM = 2.0  # the noise common to all LRs weighs as much as that of an LR over three seeds
MOST_SEEDS = 30  # more than that nobody trains for a verification
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
    def resolution(self) -> float | None:
        """The largest half_width among the suggestions: smaller regrets these seeds can't tell from none."""
        widths = [self.at(lr).half_width for lr in self.suggested.lrs]
        known = [width for width in widths if width is not None]
        return max(known) if len(known) == len(widths) else None

    @property
    def summary(self) -> str:
        """One sentence."""
        return _SENTENCES[self.conclusion](self)

    @property
    def advice(self) -> tuple[str, ...]:
        """What these seeds can tell, and what to do, the most important first."""
        return tuple(_advice(self))

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
    learned = descent > _half_width_of_mean(capped[:, best])
    regrets = (means - means[best]) / descent if learned else np.zeros(len(lrs))
    variances = _variances((capped - capped[:, [best]]) / descent, best) if learned else None
    tried = tuple(
        Tried(
            lr=float(lr),
            losses=tuple(loss if math.isfinite(loss) else math.inf for loss in given[:, i].tolist()),
            loss=float(means[i]),
            regret=float(regrets[i]),
            half_width=None if variances is None else _half_width(variances[i], len(given)),
        )
        for i, lr in enumerate(lrs)
    )
    conclusion = (
        _conclusion(regrets, (low, chosen, high), tolerance) if learned else Conclusion.NOTHING_LEARNED
    )
    rests_on = _rests_on(conclusion, regrets, (low, chosen, high))
    away = {i: _distance(float(regrets[i]), tolerance, gain=_gain_beyond(regrets, best)) for i in rests_on}
    sure = learned and all(_is_clear(tried[i].half_width, away[i]) for i in rests_on)
    needed = (
        None
        if sure or variances is None
        else _seeds_needed([(float(variances[i]), away[i]) for i in rests_on])
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


# ---- words


def _harmless(found: Verification) -> str:
    low, chosen, high = found.suggested.lrs
    if low == high:
        return f"There is no spread, and the choice is good: {_loses(found, chosen)}."
    worst = max(found.at(lr).regret for lr in (low, chosen, high))
    return (
        f"The spread is harmless: anywhere from {_lr(low)} to {_lr(high)} a training loses "
        f"at most {percent(worst)} of its descent."
    )


def _ends(found: Verification) -> str:
    low, chosen, high = found.suggested.lrs
    bad = [lr for lr in dict.fromkeys((low, high)) if not found.is_good(found.at(lr))]
    ends = " and ".join(f"{_lr(lr)} loses {percent(found.at(lr).regret)}" for lr in bad)
    which = "its ends are not" if len(bad) == 2 else f"its {'lower' if bad == [low] else 'upper'} end is not"
    return f"The choice is good, but {which}: {_loses(found, chosen)}, {ends}."


def _move(found: Verification) -> str:
    return f"The choice should move to {_lr(found.best.lr)}: {_loses(found, found.suggested.chosen)}."


def _nothing_learned(found: Verification) -> str:
    told = "" if found.num_seeds == 1 else f", as far as {found.num_seeds} seeds can tell"
    return f"No answer: no LR tried ends below the loss before training{told}."


_SENTENCES = {
    Conclusion.HARMLESS: _harmless,
    Conclusion.ENDS: _ends,
    Conclusion.MOVE: _move,
    Conclusion.NOTHING_LEARNED: _nothing_learned,
}


def _loses(found: Verification, lr: float) -> str:
    return f"{_lr(lr)} loses {percent(found.at(lr).regret)} of the descent"


def _advice(found: Verification) -> Iterator[str]:
    if found.conclusion is Conclusion.NOTHING_LEARNED:
        yield "Train for more steps, and look at the curves of the range tests."
        return
    yield _certainty(found)
    if found.conclusion is Conclusion.HARMLESS and found.sure:
        yield "Take the LR as it is: more range tests would not pay."
    if found.conclusion is Conclusion.ENDS:
        yield "Take the chosen LR, not the careful or bold one at that end."
    if found.conclusion is Conclusion.MOVE and found.best_is_at_edge:
        yield f"There may be a better one: {_edge(found)}"


def _certainty(found: Verification) -> str:
    """What so many seeds can tell."""
    if found.resolution is None:
        return "One seed says nothing about the noise: train with at least three."
    seeds = f"{found.num_seeds} seeds"
    noise = f"their noise is {percent(found.resolution)} of the descent"
    if found.sure:
        return f"{seeds} are enough to tell: {noise}."
    if found.best_is_at_edge and found.seeds_needed is None:
        return f"That is not sure: {_edge(found)}"
    if found.seeds_needed is None or found.seeds_needed > MOST_SEEDS:
        return (
            f"{seeds} can't tell for sure: {noise}, and a regret lies that close to the {percent(found.tolerance)} "
            "from which an LR is bad."
        )
    return f"{seeds} can't tell for sure: {noise}; {found.seeds_needed} would, if it stays that."


def _edge(found: Verification) -> str:
    place, beyond = ("lowest", "below") if found.best is found.tried[0] else ("highest", "above")
    return f"the best LR is the {place} tried, {_lr(found.best.lr)}, so try LRs {beyond} it too."


def percent(share: float) -> str:
    """A share as people write it: 0.4%, 12%."""
    return f"{share:.1%}" if share < 0.0995 else f"{share:.0%}"


def _lr(lr: float) -> str:
    """An LR as tables print it: 5.00e-2."""
    mantissa, exponent = f"{lr:.2e}".split("e")
    return f"{mantissa}e{int(exponent)}"


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


def _variances(differences: FloatArray, best: int) -> FloatArray | None:
    """The variance over seeds of each LR's difference to the best, averaged with what all LRs share.

    Args:
        differences: shape (seeds, LRs), in descents; 0 at the best.
        best: its place.

    Returns:
        Shape (LRs,), 0 at the best; None with one seed.
    """
    seeds = len(differences)
    if seeds < 2:
        return None
    own = differences.var(axis=0, ddof=1)
    others = np.delete(own, best)
    common = float(np.median(others)) if others.size else 0.0
    averaged = (PRIOR_FREEDOM * common + (seeds - 1) * own) / (PRIOR_FREEDOM + seeds - 1)
    averaged[best] = 0.0
    return np.asarray(averaged, dtype=np.float64)


def _half_width(variance: float, seeds: int) -> float:
    return float(stdtrit(seeds - 1 + PRIOR_FREEDOM, CONFIDENCE)) * math.sqrt(variance / seeds)


def _half_width_of_mean(values: FloatArray) -> float:
    """How far below the mean of a few values the true mean may lie, with 95% confidence; 0 for one value."""
    n = len(values)
    if n < 2:
        return 0.0
    return float(stdtrit(n - 1, CONFIDENCE)) * float(values.std(ddof=1)) / math.sqrt(n)


def _is_clear(half_width: float | None, away: float) -> bool:
    return half_width is not None and half_width <= away


def _seeds_needed(distances: Sequence[tuple[float, float]]) -> int | None:
    """Seeds from which every regret's half width is at most its distance from the tolerance.

    Args:
        distances: the variance and the distance of each regret that counts.

    Returns:
        MOST_SEEDS + 1 for any more than MOST_SEEDS; None where a distance below 0 says that seeds are no help.
    """
    if any(away < 0 for _, away in distances):
        return None
    for seeds in range(2, MOST_SEEDS + 1):
        if all(_half_width(variance, seeds) <= away for variance, away in distances):
            return seeds
    return MOST_SEEDS + 1


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
    raise ValueError(f"{name} must be one of the LRs tried ({', '.join(map(_lr, lrs))}); got {lr!r}")
