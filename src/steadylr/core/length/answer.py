"""The answer for a length: the LR with its interval, what its ends would waste, and whether that settles it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from steadylr.core.length.fit import Fit, fit_law
from steadylr.core.length.law import PRIOR, Prior, Start
from steadylr.core.length.trials import Rung, TrialLoss, rungs_of
from steadylr.core.length.waste import Cost, cost_of, falls

SETTLED_WASTE = 0.05
"""An interval whose ends waste at most this share of the training settles the LR."""

WITHIN_WASTE = 0.15
"""Up to this share it is settled within what it says."""

FEW_LENGTHS = 3
"""Fewer lengths than this show no curvature."""

CLEAR_CURVATURE = 2.0
"""Standard deviations from which the law is said to bend."""

FLAT_NOISE = 1.0
"""Noise over k, in squared octaves, from which an octave more or less makes no difference that can be told."""


class Settled(str, Enum):
    """Whether the LR for the length is known well enough."""

    SETTLED = "settled"  # the ends of the interval waste at most SETTLED_WASTE
    WITHIN = "settled_within"  # at most WITHIN_WASTE
    NOT = "not_settled"  # more, or a reason speaks against the law


class Doubt(str, Enum):
    """Why an LR for a length is not settled, or not known as well as its interval says."""

    NO_TRIALS = "no_trials"  # the range tests and the exponents of others alone
    ALL_GIVEN_UP = "all_given_up"  # no trial ended with a loss
    OPEN_BELOW = "open_below"  # at the longest length the best LR is the lowest tried
    OPEN_ABOVE = "open_above"  # ... the highest tried
    FEW_LENGTHS = "few_lengths"
    CURVED = "curved"  # the exponent changes with the length
    NOT_FALLING = "not_falling"  # longer trainings end no lower
    FLAT = "flat"  # LRs an octave apart can't be told apart
    WIDE = "wide"  # the interval is too wide, without another reason


@dataclass(frozen=True, slots=True)
class Bottom:
    """Where the best LR of one length lies.

    Attributes:
        steps: the length.
        lr: the best LR by the fit; None where every trial was given up.
        low, high: where the law has it, with 95% confidence.
        loss: at the bottom of the valley, mean over seeds.
        is_open: whether the best LR tried is the lowest or the highest tried.
    """

    steps: int
    lr: float | None
    low: float
    high: float
    loss: float | None
    is_open: tuple[bool, bool]


@dataclass(frozen=True, slots=True)
class LengthAnswer:
    """The peak LR for a training of a given length. Made by `answer_for_length`.

    Attributes:
        steps: of the training that is planned.
        lr: the best LR for it.
        low, high: where it lies, with 95% confidence.
        exponent: beta of LR* = B T^-beta at the longest trials.
        exponent_low, exponent_high: its 95% interval.
        wasted_low, wasted_high: the share of the training that an LR at each end would waste if `lr` were the best;
            None where it isn't known how the loss falls with the length.
        settled: the verdict.
        doubts: why it is not settled, or what makes it less sure; the most important first.
        fit: the law, and what it was fitted to.
        cost: what another LR costs; None as above.
        trials: all that were done.
    """

    steps: int
    lr: float
    low: float
    high: float
    exponent: float
    exponent_low: float
    exponent_high: float
    wasted_low: float | None
    wasted_high: float | None
    settled: Settled
    doubts: tuple[Doubt, ...]
    fit: Fit
    cost: Cost | None
    trials: tuple[TrialLoss, ...]

    @property
    def factor(self) -> float:
        """The farther end of the interval over the LR, or the LR over it: above 1."""
        return max(self.lr / self.low, self.high / self.lr)

    @property
    def wasted(self) -> float | None:
        """The larger waste of the two ends."""
        known = [waste for waste in (self.wasted_low, self.wasted_high) if waste is not None]
        return max(known) if known else None

    @property
    def rungs(self) -> tuple[Rung, ...]:
        """The trials by length, the shortest first."""
        return rungs_of(self.trials)

    @property
    def num_steps(self) -> int:
        """Steps of all trials together, given-up ones counted whole."""
        return sum(trial.steps for trial in self.trials)

    @property
    def octaves_beyond(self) -> float:
        """How many doublings the planned length lies beyond the longest trials."""
        return self.fit.octaves_beyond(self.steps)


def answer_for_length(
    trials: Sequence[TrialLoss], *, steps: int, start: Start | None = None, prior: Prior = PRIOR
) -> LengthAnswer:
    """The peak LR for a training of so many steps, from trials of other lengths.

    Args:
        trials: of any lengths and seeds, in any order.
        steps: of the training that is planned, at least 2.
        start: what the range tests say; without it there must be a trial with a loss.
        prior: what is expected of any task.

    Raises:
        ValueError: too few steps, or neither a start nor a trial with a loss.
    """
    if steps < 2:
        raise ValueError(f"steps must be at least 2; got {steps!r}")
    fit = fit_law(trials, start=start, prior=prior)
    lr, (low, high) = fit.lr_at(steps), fit.interval(steps)
    exponent_low, exponent_high = fit.beta_interval()
    still_falls = falls(fit)
    cost = cost_of(fit) if still_falls else None
    wasted = [None if cost is None else cost.wasted(math.log2(end / lr)) for end in (low, high)]
    doubts = tuple(_doubts(fit, tuple(trials), wasted, still_falls=still_falls))
    settled = _verdict(wasted, doubts)
    return LengthAnswer(
        steps=steps,
        lr=lr,
        low=low,
        high=high,
        exponent=fit.shape.beta,
        exponent_low=exponent_low,
        exponent_high=exponent_high,
        wasted_low=wasted[0],
        wasted_high=wasted[1],
        settled=settled,
        doubts=doubts if doubts or settled is not Settled.NOT else (Doubt.WIDE,),
        fit=fit,
        cost=cost,
        trials=tuple(sorted(trials)),
    )


STANDING = frozenset({Doubt.FEW_LENGTHS, Doubt.CURVED})
"""Doubts that the interval has counted already: they do not keep an LR from being settled."""


def _verdict(wasted: Sequence[float | None], doubts: Sequence[Doubt]) -> Settled:
    known = [waste for waste in wasted if waste is not None]
    if len(known) < len(wasted) or set(doubts) - STANDING or max(known) > WITHIN_WASTE:
        return Settled.NOT
    return Settled.SETTLED if max(known) <= SETTLED_WASTE else Settled.WITHIN


def _doubts(
    fit: Fit, trials: Sequence[TrialLoss], wasted: Sequence[float | None], *, still_falls: bool
) -> Iterator[Doubt]:
    if not trials:
        yield Doubt.NO_TRIALS
        return
    rungs = [rung for rung in rungs_of(trials) if rung.near]
    if not rungs:
        yield Doubt.ALL_GIVEN_UP
        return
    if fit.noise[-1] > FLAT_NOISE:
        yield Doubt.FLAT
    open_below, open_above = rungs[-1].is_open
    if open_below:
        yield Doubt.OPEN_BELOW
    elif open_above:
        yield Doubt.OPEN_ABOVE
    if not still_falls:
        yield Doubt.NOT_FALLING
    if len(rungs) < FEW_LENGTHS:
        yield Doubt.FEW_LENGTHS
    elif abs(fit.shape.gamma) > CLEAR_CURVATURE * math.sqrt(float(fit.covariance[2, 2])):
        yield Doubt.CURVED


def bottoms_of(answer: LengthAnswer) -> tuple[Bottom, ...]:
    """Where the best LR of each length tried lies, the shortest first."""
    fit = answer.fit
    places = {rung.steps: place for place, rung in enumerate(fit.evidence.rungs)}
    found = []
    for rung in answer.rungs:
        place = places.get(rung.steps)
        known = place is not None and bool(rung.near)
        losses = _bottom_loss(fit, place) if known and place is not None else None
        lr = fit.best_of(place) if known and place is not None else None
        width = 2.0 ** (fit.quantile * fit.octaves_std(rung.steps))
        middle = fit.lr_at(rung.steps)
        found.append(Bottom(rung.steps, lr, middle / width, middle * width, losses, rung.is_open))
    return tuple(found)


def _bottom_loss(fit: Fit, place: int) -> float:
    groups = {int(g) for g, j in zip(fit.evidence.group, fit.evidence.rung, strict=True) if j == place}
    bottoms = fit.bottoms()
    return float(sum(bottoms[g] for g in groups) / len(groups))
