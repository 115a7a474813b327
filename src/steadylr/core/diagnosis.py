"""The diagnosis: what is wrong with a curve, in plain words, and what to do about it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

from steadylr.core.curve import Curve, Stop
from steadylr.core.landmarks import Landmarks, find_landmarks
from steadylr.core.rules import why_nothing
from steadylr.core.settings import Reading
from steadylr.core.suggestion import Outcome

NOISE_SHARE = 0.1  # standard error of the line over its descent, above which the curve is too noisy to read
EDGE_SHARE = 0.05  # share of the points that counts as the edge of the curve
MAX_SMOOTH_F = 0.3  # more smoothing than this hides the descent itself


class Code(str, Enum):
    """What can be wrong with a curve."""

    TOO_SHORT = "too_short"
    FLAT = "flat"
    NON_FINITE = "non_finite"
    DIVERGED_AT_START = "diverged_at_start"
    NEVER_DIVERGED = "never_diverged"
    MINIMUM_AT_EDGE = "minimum_at_edge"
    NOISY = "noisy"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong: what it is, in a sentence, and what to do."""

    code: Code
    text: str
    advice: str


_NO_DESCENT = {
    Outcome.TOO_SHORT: Code.TOO_SHORT,
    Outcome.FLAT: Code.FLAT,
    Outcome.NON_FINITE: Code.NON_FINITE,
    Outcome.DIVERGED_AT_START: Code.DIVERGED_AT_START,
}


def diagnose(curve: Curve, reading: Reading | None = None) -> tuple[Finding, ...]:
    """Say what is wrong with a curve; nothing for one that reads well.

    - no descent: too short, flat, not finite or climbing from the start; then nothing else is said.
    - minimum at the edge: the lowest point of the line lies among the first or the last 5% of the points.
    - never diverged: the ramp reached its end and the loss never climbed back over half of its descent.
    - noisy: a point of the line is uncertain by more than 10% of the descent.

    Args:
        curve: the raw curve.
        reading: smoothing and skips; Reading() by default.
    """
    settings = Reading() if reading is None else reading
    found = find_landmarks(curve, settings)
    if found.outcome is not Outcome.FOUND:
        text, _, advice = why_nothing(found).partition(": ")
        return (Finding(_NO_DESCENT[found.outcome], text, advice),)
    findings = (_at_edge(found), _never_diverged(curve, found), _noisy(curve, settings, found))
    return tuple(finding for finding in findings if finding is not None)


def _at_edge(found: Landmarks) -> Finding | None:
    width = max(1, math.ceil(EDGE_SHARE * (found.last - found.first)))
    if found.minimum < found.first + width:
        text = "the loss is lowest at the start of the ramp"
        return Finding(
            Code.MINIMUM_AT_EDGE, text, f"lower finder.start_lr, to {found.lr_at(0) / 100:.0e} say"
        )
    if found.minimum >= found.last - width and found.edge is None:
        text = "the loss is lowest at the end of the ramp, so the best LR may lie beyond it"
        end = found.lr_at(len(found.line) - 1)
        return Finding(Code.MINIMUM_AT_EDGE, text, f"raise finder.end_lr, to {10 * end:.0e} say")
    return None


def _never_diverged(curve: Curve, found: Landmarks) -> Finding | None:
    if found.edge is not None or curve.stop is not Stop.COMPLETED:
        return None
    text = (
        "the loss never climbed back over half of its descent, so the upper end of the useful LRs is not seen"
    )
    end = found.lr_at(len(found.line) - 1)
    return Finding(Code.NEVER_DIVERGED, text, f"raise finder.end_lr, to {10 * end:.0e} say")


def _noisy(curve: Curve, reading: Reading, found: Landmarks) -> Finding | None:
    share = found.error / found.descent
    if share <= NOISE_SHARE:
        return None
    factor = (share / NOISE_SHARE) ** 2
    text = f"the noise of the losses makes the line uncertain by {share:.0%} of its descent"
    advice = f"raise finder.num_iter to {math.ceil(curve.num_iter * factor / 10) * 10} or data.batch_size"
    smooth_f = math.ceil(100 * reading.smooth_f * factor) / 100
    if reading.smoother == "local_linear" and 0 < smooth_f <= MAX_SMOOTH_F:
        advice += f", or finder.smooth_f to {smooth_f:g}"
    return Finding(Code.NOISY, text, advice)
