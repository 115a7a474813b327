"""Landmarks of a curve that rules and diagnosis share: start, minimum, descent, noise, edge."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from steadylr.core.curve import Curve, FloatArray, Stop
from steadylr.core.settings import Reading
from steadylr.core.smoothing import SmoothedCurve, finite_part, smooth, smooth_ema
from steadylr.core.suggestion import Outcome

MIN_POINTS = 10
"""Points that must be left after the skips."""

START_SHARE = 0.1  # of the points, whose median is the start
CAP = 0.5  # in descents above the start: higher losses count as this high, so that none drowns the smoothing
CLIMB = 0.5  # share of the descent that the loss has to climb back for the edge
NOISE_LIMIT = 5.0  # standard errors that a descent or a climb must measure to be one
_SECOND_DIFFERENCE = 0.6745 * 6**0.5  # median |y - 2y' + y''| of independent normals, in standard deviations
_ROUNDING = 1e-9  # of the losses' range: less is no descent but rounding
_TRICUBE_SHARE = 0.69  # effective share of a tricube window: (sum w)^2 / (n sum w^2)


@dataclass(frozen=True, slots=True, eq=False)
class Landmarks:
    """What stands out on a curve. Indices are of the curve's points.

    Args:
        outcome: FOUND where there is a descent to read; else why not, and the numbers below say nothing.
        line: the capped losses, smoothed as the reading settings say, shape (n,), n finite losses.
        first, last: the points that the skips leave are first <= i < last.
        start: median of the first 10% of these points of the line.
        minimum: index of the lowest of them.
        edge: index of the first point after the minimum at which the line has climbed back over half of the
            descent, or the last point read of a run that stopped before; None where it never does.
        noise: standard deviation of a single loss about the line.
        error: standard error of a point of the line.
    """

    outcome: Outcome
    line: SmoothedCurve
    first: int
    last: int
    start: float = 0.0
    minimum: int = 0
    edge: int | None = None
    noise: float = 0.0
    error: float = 0.0

    @property
    def descent(self) -> float:
        """How far the line falls below the start."""
        return self.start - float(self.line.loss[self.minimum])

    def lr_at(self, index: int) -> float:
        """The LR of a point."""
        return float(10.0 ** self.line.log10_lr[index])


def find_landmarks(curve: Curve, reading: Reading, *, span_factor: float = 1.0) -> Landmarks:
    """Find what stands out on a curve.

    The losses are capped at start + 0.5 (start - min) before they are smoothed, so that a divergence does not
    drown the line; that start and min come from a first pass, capped at its own start. All of it is differences:
    shifting or scaling the losses moves nothing.

    A descent counts as one when it measures more than 5 standard errors, and so does the climb of a curve that
    does not descend: that one diverged at the start, and any other is flat.

    Args:
        curve: the raw curve.
        reading: smoothing and skips.
        span_factor: multiplies the span of the smoothing.
    """
    lr, loss = finite_part(curve)
    log10_lr = np.log10(lr)
    first, last = reading.skip_start, loss.size - reading.skip_end
    if last - first < MIN_POINTS:
        outcome = Outcome.NON_FINITE if loss.size == 0 else Outcome.TOO_SHORT
        return Landmarks(outcome, smoothed(log10_lr, loss, curve, reading), first, max(first, last))

    def line_capped_at(cap: float) -> SmoothedCurve:
        return smoothed(log10_lr, np.minimum(loss, cap), curve, reading, span_factor=span_factor)

    num_start = max(1, round(START_SHARE * (last - first)))
    raw_start = float(np.median(loss[first : first + num_start]))
    lowest = float(line_capped_at(raw_start).loss[first:last].min())
    line = line_capped_at(raw_start + CAP * (raw_start - lowest))
    read = line.loss[first:last]
    start = float(np.median(read[:num_start]))
    minimum = first + int(np.argmin(read))
    noise = _noise(loss[first : max(minimum, first + num_start) + 1])
    error = noise * (1 / _effective_points(curve, reading, span_factor) + 1 / num_start) ** 0.5
    descent = start - float(line.loss[minimum])
    limit = max(NOISE_LIMIT * error, _ROUNDING * float(np.ptp(loss)))
    if descent <= limit:
        climbs = float(loss[max(first, last - num_start) : last].max()) - raw_start > max(
            limit, NOISE_LIMIT * noise
        )
        outcome = Outcome.DIVERGED_AT_START if climbs else Outcome.FLAT
    else:
        outcome = Outcome.FOUND
    climbed = np.flatnonzero(line.loss[minimum:last] > start - CLIMB * descent)
    edge = minimum + int(climbed[0]) if climbed.size else None
    if edge is None and curve.stop is not Stop.COMPLETED:
        edge = last - 1  # it diverged within the points that the skips leave out
    return Landmarks(outcome, line, first, last, start, minimum, edge, noise, error)


def smoothed(
    log10_lr: FloatArray, loss: FloatArray, curve: Curve, reading: Reading, *, span_factor: float = 1.0
) -> SmoothedCurve:
    """Finite losses smoothed as the reading settings say; spans are shares of the planned points of the curve."""
    if reading.smoother == "ema":
        return smooth_ema(log10_lr, loss, reading.ema_weight)
    return smooth(log10_lr, loss, reading.smooth_f * span_factor * curve.num_iter)


def _effective_points(curve: Curve, reading: Reading, span_factor: float) -> float:
    """How many independent losses a point of the line averages."""
    if reading.smoother == "ema":
        return (2 - reading.ema_weight) / reading.ema_weight
    return max(1.0, _TRICUBE_SHARE * reading.smooth_f * span_factor * curve.num_iter)


def _noise(loss: FloatArray) -> float:
    """Standard deviation of single losses, from second differences: a slope does not count as noise."""
    if loss.size < 3:
        return 0.0
    return float(np.median(np.abs(np.diff(loss, 2)))) / _SECOND_DIFFERENCE
