"""The diagnosis: what is wrong with a curve, in plain words, and what to do about it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

from steadylr.core.curve import Curve
from steadylr.core.landmarks import Landmarks, find_landmarks
from steadylr.core.rules import why_nothing
from steadylr.core.settings import Reading
from steadylr.core.smoothing import variance_share
from steadylr.core.suggestion import Outcome

NOISE_SHARE = 0.1  # standard error of the line over its descent, above which the curve is too noisy to read
EDGE_SHARE = 0.05  # share of the points that counts as the edge of the curve
MARGIN = 2.5  # times the points that would do if a noisy curve told its noise and its descent exactly
MAX_SMOOTH_F = 0.3  # more smoothing than this hides the descent itself
SKIPPED_SHARE = 0.1  # share of updates left out in fp16 above which the curve is that of another training


class Code(str, Enum):
    """What can be wrong with a curve."""

    TOO_SHORT = "too_short"
    FLAT = "flat"
    NON_FINITE = "non_finite"
    DIVERGED_AT_START = "diverged_at_start"
    NEVER_DIVERGED = "never_diverged"
    MINIMUM_AT_EDGE = "minimum_at_edge"
    NOISY = "noisy"
    SKIPPED_STEPS = "skipped_steps"


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


def diagnose(
    curve: Curve, reading: Reading | None = None, *, skipped_share: float = 0.0
) -> tuple[Finding, ...]:
    """Say what is wrong with a curve; nothing for one that reads well.

    - no descent: too short, flat, not finite or climbing from the start; then nothing else is said of the curve.
    - minimum at the edge: the lowest point of the line lies among the last 5% of the points, or the first 5% after
      those that make up the start.
    - never diverged: the ramp reached its end and the loss never climbed back over half of its descent.
    - noisy: a point of the line is uncertain by more than 10% of the descent.
    - skipped steps: a gradient scaler left out more than 10% of the updates.

    Args:
        curve: the raw curve.
        reading: smoothing and skips; Reading() by default.
        skipped_share: the share of the training's updates that a gradient scaler left out, from 0 to 1.
    """
    skipped = _skipped(skipped_share)
    settings = Reading() if reading is None else reading
    found = find_landmarks(curve, settings)
    if found.outcome is not Outcome.FOUND:
        no_descent = Finding(_NO_DESCENT[found.outcome], *why_nothing(found))
        return (no_descent,) if skipped is None else (no_descent, skipped)
    noisy = _noisy(curve, settings, found)
    findings = (_at_edge(found), _never_diverged(found), noisy, skipped)
    return tuple(finding for finding in findings if finding is not None)


def _at_edge(found: Landmarks) -> Finding | None:
    width = max(1, math.ceil(EDGE_SHARE * (found.last - found.first)))
    if found.minimum < found.first + found.num_start + width:
        text = "the loss is lowest at the start of the ramp"
        return Finding(
            Code.MINIMUM_AT_EDGE, text, f"lower finder.start_lr, to {found.lr_at(0) / 100:.0e} say"
        )
    if found.minimum >= found.last - width and found.edge is None:
        text = "the loss is lowest at the end of the ramp, so the best LR may lie beyond it"
        return Finding(Code.MINIMUM_AT_EDGE, text, f"raise finder.end_lr, to {10 * found.lr_at(-1):.0e} say")
    return None


def _never_diverged(found: Landmarks) -> Finding | None:
    if found.edge is not None:
        return None
    text = (
        "the loss never climbed back over half of its descent, so the upper end of the useful LRs is not seen"
    )
    return Finding(Code.NEVER_DIVERGED, text, f"raise finder.end_lr, to {10 * found.lr_at(-1):.0e} say")


def _skipped(share: float) -> Finding | None:
    if share <= SKIPPED_SHARE:
        return None
    text = f"the gradient scaler left out {share:.0%} of the updates, as gradients overflowed in fp16"
    return Finding(Code.SKIPPED_STEPS, text, "use device.precision=bf16-mixed, or 32")


def _noisy(curve: Curve, reading: Reading, found: Landmarks) -> Finding | None:
    share = found.error / found.judged_descent
    if share <= NOISE_SHARE:
        return None
    text = f"the noise of the losses makes the line uncertain by {share:.0%} of its descent"
    ways = [f"raise {' or '.join([*_more_points(curve, reading, share), 'data.batch_size'])}"]
    # Of a single loss's variance, how much a point of the line may keep
    enough = (NOISE_SHARE * found.judged_descent / found.noise) ** 2 / MARGIN
    smooth_f = _smooth_f_for(curve, reading, enough)
    if smooth_f is not None:
        ways.append(f"raise finder.smooth_f to {smooth_f:g}")
    if reading.smoother == "ema":
        ways.append(f"lower finder.ema_weight to {_rounded_down(2 * enough / (1 + enough)):g}")
    return Finding(Code.NOISY, text, ", or ".join(ways))


def _more_points(curve: Curve, reading: Reading, share: float) -> list[str]:
    """More iterations, where a point of the line sees more losses then; their error falls with the square root."""
    sees_one = variance_share(reading.smooth_f * curve.num_iter) == 1
    if reading.smoother == "ema" or sees_one:
        return []
    num_iter = curve.steps_per_point * curve.num_iter * MARGIN * (share / NOISE_SHARE) ** 2
    return [f"finder.num_iter to {math.ceil(num_iter / 10) * 10}"]


def _smooth_f_for(curve: Curve, reading: Reading, enough: float) -> float | None:
    """The least smooth_f, in hundredths, that calms the line; None where none does without hiding the descent."""
    if reading.smoother == "ema":
        return None
    for percent in range(math.floor(100 * reading.smooth_f) + 1, round(100 * MAX_SMOOTH_F) + 1):
        if variance_share(percent / 100 * curve.num_iter) <= enough:
            return percent / 100
    return None


def _rounded_down(value: float) -> float:
    """To two digits."""
    unit = 10.0 ** (math.floor(math.log10(value)) - 1)
    return math.floor(value / unit) * unit
