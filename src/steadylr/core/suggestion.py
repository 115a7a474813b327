"""Suggestions: one LR, or a reason why there is none, that one rule reads off one curve; and the rules by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from enum import Enum
from typing import TYPE_CHECKING

from steadylr.core.settings import Reading

if TYPE_CHECKING:
    from steadylr.core.curve import Curve


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
    reason says in one sentence how the LR was found, or what is wrong and what to do next.
    """

    rule: str
    outcome: Outcome
    reason: str
    lr: float | None = None
    low: float | None = None
    high: float | None = None


Rule = Callable[["Curve", Reading], Suggestion]
"""A rule: a plain function of a curve and the reading settings. It answers always and raises for nothing in a curve."""

RULES: dict[str, Rule] = {}
"""All rules by name; filled by steadylr.core.rules and by register_rule."""

DEFAULT_RULE = "bracket"


def register_rule(name: str, rule: Rule) -> None:
    """Add a rule of one's own; from then on finder.rule may name it, and suggest_all asks it too.

    Args:
        name: an identifier that no rule has yet.
        rule: a function (curve, reading) -> Suggestion.

    Raises:
        ValueError: no identifier, or a name that is taken.
        TypeError: rule can't be called.
    """
    if not name.isidentifier():
        raise ValueError(f"a rule's name must be an identifier, such as my_rule; got {name!r}")
    if RULES.get(name, rule) is not rule:
        raise ValueError(f"there is a rule {name!r} already; choose another name")
    if not callable(rule):
        raise TypeError(f"rule must be a function (curve, reading) -> Suggestion; got {rule!r}")
    RULES[name] = rule


def suggest(curve: Curve, rule: str = DEFAULT_RULE, *, reading: Reading | None = None) -> Suggestion:
    """Read one curve with one rule.

    Args:
        curve: the raw curve.
        rule: a name in RULES.
        reading: how to smooth and what to skip; Reading() by default.

    Raises:
        ValueError: an unknown rule; the message gives the nearest names.
    """
    if rule not in RULES:
        near = get_close_matches(rule, RULES, n=2, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else f"allowed: {', '.join(RULES)}"
        raise ValueError(f"rule {rule!r} is not known; {hint}")
    return RULES[rule](curve, Reading() if reading is None else reading)


def suggest_all(curve: Curve, *, reading: Reading | None = None) -> dict[str, Suggestion]:
    """Read one curve with every rule, by name."""
    return {rule: suggest(curve, rule, reading=reading) for rule in RULES}


import steadylr.core.rules  # noqa: E402, F401  (registers the rules, and needs the names above)
