"""Suggestions: one LR, or a reason why there is none, that one rule reads off one curve."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Outcome(str, Enum):
    """What came of reading one curve with one rule."""

    FOUND = "found"
    TOO_SHORT = "too_short"  # too few points left after the skips
    FLAT = "flat"  # the loss never fell beyond its noise
    NON_FINITE = "non_finite"  # no finite losses to read
    DIVERGED_AT_START = "diverged_at_start"  # the loss only climbed
    NO_POINT = "no_point"  # the rule's own condition is met nowhere


class Why(str, Enum):
    """How an LR was found, or why there is none."""

    UP_TO_CLIMB = "up_to_climb"  # bracket: between a share of the descent and half of the climb
    UP_TO_END = "up_to_end"  # bracket: the same with the last LR, as nothing climbed
    STEEPEST = "steepest"
    BELOW_MINIMUM = "below_minimum"  # a tenth of its LR
    BELOW_CLIMB = "below_climb"  # a tenth of its LR
    BEFORE_CLIMB = "before_climb"
    IN_VALLEY = "in_valley"
    SLOPE_SETTLES = "slope_settles"

    NEVER_CLIMBED = "never_climbed"
    SAME_SLOPE = "same_slope"
    FEW_POINTS = "few_points"  # for the rule; others can read the curve
    TOO_SHORT = "too_short"
    NON_FINITE_AT_ONCE = "non_finite_at_once"
    NON_FINITE = "non_finite"  # soon after the start
    NON_FINITE_UNCLIMBED = "non_finite_unclimbed"  # no climb before it, so no LR is to blame
    CLIMBED_AT_START = "climbed_at_start"
    CLIMBED_UNLEARNED = "climbed_unlearned"  # no descent before the climb
    UNLEARNED = "unlearned"  # neither descent nor climb


@dataclass(frozen=True, slots=True)
class Reason:
    """A code, and the numbers that its sentence needs; None for those that it doesn't.

    Args:
        code: how or why.
        share: of the descent, in [0, 1].
        num_points: points left to read.
        num_needed: points that would do.
        step: the first step whose loss was not finite.
        lr: its LR.
        end_lr: where a longer ramp should end, about.
    """

    code: Why
    share: float | None = None
    num_points: int | None = None
    num_needed: int | None = None
    step: int | None = None
    lr: float | None = None
    end_lr: float | None = None


@dataclass(frozen=True, slots=True)
class Suggestion:
    """What one rule reads off one curve.

    lr is None unless outcome is FOUND; low and high are given by rules that bracket, with low <= lr <= high.
    reason says how the LR was found, or what is wrong. The rules of this package give a Reason; a rule of one's own
    gives a sentence, which ends with what to do next, and what users and records get is a sentence always
    (steadylr.words). log10_std says how sure this one curve is (certainty.log10_std); None where nothing has asked,
    or can tell.
    """

    rule: str
    outcome: Outcome
    reason: Reason | str
    lr: float | None = None
    low: float | None = None
    high: float | None = None
    log10_std: float | None = None
