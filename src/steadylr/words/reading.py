"""What a curve says, in words: the reasons of suggestions, and the diagnosis."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields

from steadylr.core.diagnosis import Code, Finding
from steadylr.core.suggestion import Reason, Suggestion, Why
from steadylr.words.names import Names
from steadylr.words.numbers import format_lr

_LEARNS = "check that the model can learn: its loss, labels and trainable parameters"
_MORE_POINTS = "raise {n.num_iter}, or lower {n.skip_start} and {n.skip_end}"
_LOWER_START = "lower {n.start_lr} by a factor of 100 or more"

_REASONS: Mapping[Why, tuple[str, str]] = {
    Why.UP_TO_CLIMB: ("between {r.share:.0%} of the descent and half of the climb", ""),
    Why.UP_TO_END: ("between {r.share:.0%} of the descent and half of the last LR", ""),
    Why.STEEPEST: ("the steepest descent", ""),
    Why.BELOW_MINIMUM: ("a tenth of the LR of the minimum", ""),
    Why.BELOW_CLIMB: ("a tenth of the LR at which the loss has climbed back half way", ""),
    Why.BEFORE_CLIMB: ("just before the LR at which the loss has climbed back half way", ""),
    Why.IN_VALLEY: ("half way down the longest valley", ""),
    Why.SLOPE_SETTLES: ("where the slope settles, from the right", ""),
    Why.NEVER_CLIMBED: ("the loss never climbs back over half of its descent", "{further}"),
    Why.SAME_SLOPE: (
        "the slope does not change at the right end",
        "take another rule, or {further}",
    ),
    Why.FEW_POINTS: (
        "only {r.num_points} points are left after the skips, and this rule needs {r.num_needed}",
        _MORE_POINTS,
    ),
    Why.TOO_SHORT: (
        "only {r.num_points} points are left after the skips, and {r.num_needed} are needed",
        _MORE_POINTS,
    ),
    Why.NON_FINITE_AT_ONCE: (
        "the loss was not finite from the first step",
        "check the data, the loss function, the initial weights and {n.precision}",
    ),
    Why.NON_FINITE: (
        "the loss was not finite from step {r.step} on, which leaves {r.num_points} points to read",
        _LOWER_START + ", or {n.in_float32}",
    ),
    Why.NON_FINITE_UNCLIMBED: (
        "the loss was not finite from step {r.step} on, at LR {lr}, and nothing climbed before",
        "check the data and the loss function for NaN and infinities, or {n.in_float32}",
    ),
    Why.CLIMBED_AT_START: ("the loss climbed from the start and never fell", _LOWER_START),
    Why.CLIMBED_UNLEARNED: (
        "the loss never fell beyond its noise before it climbed",
        "raise {n.num_iter}, and " + _LEARNS,
    ),
    Why.UNLEARNED: (
        "the loss never fell beyond its noise",
        "{further}, and " + _LEARNS,
    ),
}
"""What is so, and what to do next where that is wrong; r is the reason, lr its LR, n the names, further what to do
where the ramp may have ended too early."""


@dataclass(frozen=True, slots=True)
class ToldSuggestion(Suggestion):
    """A suggestion as a door tells it: its reason is a sentence that says what to do next where there is no LR."""

    reason: str


@dataclass(frozen=True, slots=True)
class ToldFinding(Finding):
    """A finding as a door tells it: what is wrong, and what to do."""

    text: str = ""
    advice: str = ""


def reason_words(reason: Reason, names: Names) -> tuple[str, str]:
    """What a reason says, and what to do next; the second is empty where an LR was found."""
    lr = "" if reason.lr is None else format_lr(reason.lr)
    further = _further(reason.end_lr, names)
    text, advice = (
        words.format(r=reason, n=names, lr=lr, further=further) for words in _REASONS[reason.code]
    )
    return text, advice


def _further(end_lr: float | None, names: Names) -> str:
    """What to do where the ramp may have ended too early; where it should end, None where it went far enough."""
    if end_lr is None:
        return "check that the ramp's LR reaches the parameters, as no higher LR is of use"
    return f"raise {names.end_lr}, to {float(f'{end_lr:.0e}'):g} say"


def told_suggestion(suggestion: Suggestion, names: Names) -> ToldSuggestion:
    """The suggestion with its reason as a sentence; one that is a sentence stays as it is."""
    reason = suggestion.reason
    if not isinstance(reason, str):
        reason = ": ".join(filter(None, reason_words(reason, names)))
    same = {own.name: getattr(suggestion, own.name) for own in fields(Suggestion)}
    return ToldSuggestion(**same | {"reason": reason})


def told_finding(finding: Finding, names: Names) -> ToldFinding:
    """The finding with its words."""
    text, advice = (
        _FINDINGS[finding.code](finding, names) if finding.why is None else reason_words(finding.why, names)
    )
    same = {own.name: getattr(finding, own.name) for own in fields(Finding)}
    return ToldFinding(**same, text=text, advice=advice)


def _never_diverged(finding: Finding, names: Names) -> tuple[str, str]:
    text = (
        "the loss never climbed back over half of its descent, so the upper end of the useful LRs is not seen"
    )
    return text, _further(finding.end_lr, names)


def _at_edge(finding: Finding, names: Names) -> tuple[str, str]:
    if finding.start_lr is not None:
        text = "the loss is lowest at the start of the ramp"
        return text, f"lower {names.start_lr}, to {finding.start_lr:.0e} say"
    text = "the loss is lowest at the end of the ramp, so the best LR may lie beyond it"
    return text, _further(finding.end_lr, names)


def _noisy(finding: Finding, names: Names) -> tuple[str, str]:
    text = f"the noise of the losses makes the line uncertain by {finding.share:.0%} of its descent"
    more = [] if finding.num_iter is None else [f"{names.num_iter} to {finding.num_iter}"]
    ways = [f"raise {' or '.join([*more, names.batch_size])}"]
    if finding.smooth_f is not None:
        ways.append(f"raise {names.smooth_f} to {finding.smooth_f:g}")
    if finding.ema_weight is not None:
        ways.append(f"lower {names.ema_weight} to {finding.ema_weight:g}")
    return text, ", or ".join(ways)


def _skipped(finding: Finding, names: Names) -> tuple[str, str]:
    text = f"the gradient scaler left out {finding.share:.0%} of the updates, as gradients overflowed in fp16"
    return text, names.without_fp16


_FINDINGS: Mapping[Code, Callable[[Finding, Names], tuple[str, str]]] = {
    Code.NEVER_DIVERGED: _never_diverged,
    Code.MINIMUM_AT_EDGE: _at_edge,
    Code.NOISY: _noisy,
    Code.SKIPPED_STEPS: _skipped,
}
"""Of a curve with a descent; one without says why in its reason."""
