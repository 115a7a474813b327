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


@dataclass(frozen=True, slots=True)
class Suggestion:
    """What one rule reads off one curve.

    lr is None unless outcome is FOUND; low and high are given by rules that bracket, with low <= lr <= high.
    reason says in one sentence how the LR was found, or what is wrong and what to do next. log10_std says how sure
    this one curve is (certainty.log10_std); None where nothing has asked, or can tell.
    """

    rule: str
    outcome: Outcome
    reason: str
    lr: float | None = None
    low: float | None = None
    high: float | None = None
    log10_std: float | None = None
