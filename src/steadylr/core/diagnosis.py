"""The diagnosis: what is wrong with a curve, and which settings would mend it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

from steadylr.core.arguments import check_kind
from steadylr.core.curve import Curve
from steadylr.core.landmarks import Landmarks, find_landmarks
from steadylr.core.rules import broken_off_reason, why_nothing
from steadylr.core.settings import Reading
from steadylr.core.smoothing import variance_share
from steadylr.core.suggestion import Outcome, Reason

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
    """One thing that is wrong, and the settings that would mend it; None for those that are no help.

    Args:
        code: what it is.
        why: of a curve without a descent, or whose losses stop being finite: what is wrong with it.
        share: of the descent that the noise of a point is, or of the updates that were left out.
        start_lr: where the ramp should start, about.
        end_lr: where it should end, about; None also where it went far enough.
        num_iter: iterations that would do.
        smooth_f: smoothing that would do.
        ema_weight: for the smoother "ema": the weight that would do.
    """

    code: Code
    why: Reason | None = None
    share: float | None = None
    start_lr: float | None = None
    end_lr: float | None = None
    num_iter: int | None = None
    smooth_f: float | None = None
    ema_weight: float | None = None


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
    - not finite: the losses stop being finite without a climb before it, so that data or loss are to blame, no LR.
    - never diverged: the ramp reached its end and the loss never climbed back over half of its descent.
    - noisy: a point of the line is uncertain by more than 10% of the descent.
    - skipped steps: a gradient scaler left out more than 10% of the updates.

    Args:
        curve: the raw curve.
        reading: smoothing and skips; Reading() by default.
        skipped_share: the share of the training's updates that a gradient scaler left out, from 0 to 1.
    """
    check_kind(Curve, curve=curve)
    if reading is not None:
        check_kind(Reading, reading=reading)
    skipped = _skipped(skipped_share)
    settings = Reading() if reading is None else reading
    landmarks = find_landmarks(curve, settings)
    if landmarks.outcome is not Outcome.FOUND:
        no_descent = Finding(_NO_DESCENT[landmarks.outcome], why=why_nothing(curve, landmarks))
        return (no_descent,) if skipped is None else (no_descent, skipped)
    noisy = _noisy(curve, settings, landmarks)
    findings = (
        _broken_off(curve, landmarks),
        _at_edge(landmarks),
        _never_diverged(landmarks),
        noisy,
        skipped,
    )
    return tuple(finding for finding in findings if finding is not None)


def _broken_off(curve: Curve, landmarks: Landmarks) -> Finding | None:
    why = broken_off_reason(curve, landmarks)
    return None if why is None else Finding(Code.NON_FINITE, why=why)


def _at_edge(landmarks: Landmarks) -> Finding | None:
    width = max(1, math.ceil(EDGE_SHARE * (landmarks.last - landmarks.first)))
    if landmarks.minimum < landmarks.first + landmarks.num_start + width:
        return Finding(Code.MINIMUM_AT_EDGE, start_lr=landmarks.lr_at(0) / 100)
    at_end = landmarks.minimum >= landmarks.last - width
    if at_end and landmarks.edge is None and landmarks.broken_off_at is None:
        return Finding(Code.MINIMUM_AT_EDGE, end_lr=landmarks.further_end)
    return None


def _never_diverged(landmarks: Landmarks) -> Finding | None:
    if landmarks.edge is not None or landmarks.broken_off_at is not None:
        return None
    return Finding(Code.NEVER_DIVERGED, end_lr=landmarks.further_end)


def _skipped(share: float) -> Finding | None:
    return Finding(Code.SKIPPED_STEPS, share=share) if share > SKIPPED_SHARE else None


def _noisy(curve: Curve, reading: Reading, landmarks: Landmarks) -> Finding | None:
    share = landmarks.error / landmarks.judged_descent
    if share <= NOISE_SHARE:
        return None
    # Of a single loss's variance, how much a point of the line may keep
    enough = (NOISE_SHARE * landmarks.judged_descent / landmarks.noise) ** 2 / MARGIN
    ema_weight = _rounded_down(2 * enough / (1 + enough)) if reading.smoother == "ema" else None
    return Finding(
        Code.NOISY,
        share=share,
        num_iter=_enough_iterations(curve, reading, share),
        smooth_f=_smooth_f_for(curve, reading, enough),
        ema_weight=ema_weight,
    )


def _enough_iterations(curve: Curve, reading: Reading, share: float) -> int | None:
    """In tens, where a point of the line sees more losses then; their error falls with the square root."""
    sees_one = variance_share(reading.smooth_f * curve.num_iter) == 1
    if reading.smoother == "ema" or sees_one:
        return None
    num_iter = curve.steps_per_point * curve.num_iter * MARGIN * (share / NOISE_SHARE) ** 2
    return math.ceil(num_iter / 10) * 10


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
