"""What a curve says, with the words of the Python door: the functions that the library's users call."""

from __future__ import annotations

from typing import TypeAlias

from steadylr.core import diagnosis, rules
from steadylr.core.curve import Curve
from steadylr.core.rules import DEFAULT_RULE
from steadylr.core.settings import Reading
from steadylr.words.names import PYTHON
from steadylr.words.reading import ToldFinding, ToldSuggestion, told_finding, told_suggestion

Suggestion: TypeAlias = ToldSuggestion
Finding: TypeAlias = ToldFinding


def suggest(curve: Curve, rule: str = DEFAULT_RULE, *, reading: Reading | None = None) -> ToldSuggestion:
    """Read one curve with one rule; the reason is a sentence.

    Args:
        curve: the raw curve.
        rule: a name in RULES.
        reading: how to smooth and what to skip; Reading() by default.

    Raises:
        ValueError: an unknown rule; the message gives the nearest names.
        TypeError: a rule of one's own that does not return a Suggestion.
    """
    return told_suggestion(rules.suggest(curve, rule, reading=reading), PYTHON)


def suggest_all(curve: Curve, *, reading: Reading | None = None) -> dict[str, ToldSuggestion]:
    """Read one curve with every rule, by name; the reasons are sentences."""
    return {rule: suggest(curve, rule, reading=reading) for rule in rules.RULES}


def diagnose(
    curve: Curve, reading: Reading | None = None, *, skipped_share: float = 0.0
) -> tuple[ToldFinding, ...]:
    """Say what is wrong with a curve, and what to do; nothing for one that reads well. See core.diagnosis."""
    findings = diagnosis.diagnose(curve, reading, skipped_share=skipped_share)
    return tuple(told_finding(finding, PYTHON) for finding in findings)
