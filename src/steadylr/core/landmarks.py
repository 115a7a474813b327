"""Landmarks of a curve that rules and diagnosis share: start, minimum, descent, noise, edge."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from steadylr.core.curve import Curve, FloatArray, Stop
from steadylr.core.divergence import FILTER_POINTS, RESOLUTION
from steadylr.core.settings import Reading
from steadylr.core.smoothing import SmoothedCurve, finite_part, smooth, smooth_ema, variance_share
from steadylr.core.suggestion import Outcome

MIN_POINTS = 10
"""Points that must be left after the skips."""

START_SHARE = 0.1  # of the range in log10(lr), whose median loss is the start
END_SHARE = 0.1  # of the points, whose median tells whether the loss ended above its start
CAP = 0.5  # in descents above the start: higher losses count as this high, so that none drowns the smoothing
CAP_NOISE = 3.0  # in noises above the start, at least: a cap within the noise would pull the line down
CLIMB = 0.5  # share of the descent that the loss has to climb back for the edge
NOISE_LIMIT = 4.5  # standard errors that a descent or a climb must measure: pure noise does in 1 of 100 runs
# Of num_iter: the span at which a descent is judged. It is fixed, so that a curve is flat or not however it is read
JUDGED_SHARE = 0.15
_SECOND_DIFFERENCE = 0.6745 * 6**0.5  # median |y - 2y' + y''| of independent normals, in standard deviations
_LEAST_JUDGED_SPAN = 5.0
_LEAST_START = 3
_TIE = 1e-9  # of rounding, in log10(lr)
STANDS_OUT = 6.0  # noises above the calmest five losses: more than the last of 300 losses without a climb
_LAST_POINTS = 3
_LEAST_RISE = 4
TINY_LR = 1e-3  # below it no few steps bring a model from finite losses to none
_EARLY = 100.0  # times the first LR: a climb from further up is no matter of start_lr
HIGHEST_USEFUL_LR = 100.0  # a ramp that came so far needs to go no further: no optimizer in use wants more


@dataclass(frozen=True, slots=True, eq=False)
class Landmarks:
    """What stands out on a curve. Indices are of the curve's points.

    Args:
        outcome: FOUND where there is a descent to read; else why not, and the numbers below say nothing.
        line: the capped losses, smoothed as the reading settings say, shape (n,), n finite losses.
        first, last: the points that the skips leave are first <= i < last.
        start: median of the line over the first 10% of the range of log10(lr) of these points: on an exponential
            ramp, their first 10%; on a linear one much fewer, as it passes the low LRs in a few steps.
        num_start: how many points that is, at least 3.
        minimum: index of the lowest point after them: a minimum within the start would make a descent of a
            climb.
        edge: index of the first point after the minimum at which the line has climbed back over half of the
            descent (or the share that was asked for), or the last point read where that happens later or the run
            stopped before; None where it never does.
        noise: standard deviation of a single loss about the line.
        error: standard error of a point of the line.
        judged_descent: how far the line falls at the fixed span by which the outcome is judged.
        climbs: whether the loss rises above its start, beyond its noise, at the end.
        broken_off_at: index of the first loss that is NaN or infinite, where nothing climbed before it: then no LR is
            to blame, and no edge is seen. None where all losses are finite, or climb before.
    """

    outcome: Outcome
    line: SmoothedCurve
    first: int
    last: int
    start: float = 0.0
    num_start: int = 0
    minimum: int = 0
    edge: int | None = None
    noise: float = 0.0
    error: float = 0.0
    judged_descent: float = 0.0
    climbs: bool = False
    broken_off_at: int | None = None

    @property
    def descent(self) -> float:
        """How far the line falls below the start."""
        return self.start - float(self.line.loss[self.minimum])

    @property
    def further_end(self) -> float | None:
        """Where a ramp that has ended too early should end, about; None where it went to HIGHEST_USEFUL_LR."""
        last = self.lr_at(-1)
        return 10 * last if last < HIGHEST_USEFUL_LR else None

    def lr_at(self, index: int) -> float:
        """The LR of a point."""
        return float(10.0 ** self.line.log10_lr[index])


@lru_cache(maxsize=16)  # every rule and the diagnosis ask for the same two lines
def find_landmarks(
    curve: Curve, reading: Reading, *, span_factor: float = 1.0, climb: float = CLIMB
) -> Landmarks:
    """Find what stands out on a curve.

    The losses are capped at start + 0.5 (start - min) before they are smoothed, so that a divergence does not
    drown the line (at start + 3 noise where that is more); that start and min come from a first pass, capped at
    its own start. All of it is differences: shifting or scaling the losses moves nothing.

    Whether there is a descent does not depend on the smoothing settings: at the fixed span of 0.15 num_iter it
    measures more than 4.5 standard errors of the difference between two points of that line (and more than a
    float32 resolves). A curve without one diverged at the start if it climbs as much within a factor of 100 of its
    first LR, and is flat otherwise.

    A loss that is NaN or infinite ends the curve. It counts as a divergence, whose edge is there, only where the losses
    climbed before it (_climbed): without that it comes from a batch or the loss function, and the upper end isn't seen.

    Args:
        curve: the raw curve.
        reading: smoothing and skips.
        span_factor: multiplies the span of the smoothing.
        climb: share of the descent that the line has to climb back for the edge, in (0, 1].
    """
    lr, loss = finite_part(curve)
    log10_lr = np.log10(lr)
    first, last = reading.skip_start, loss.size - reading.skip_end
    if last - first < MIN_POINTS:
        line = smoothed(log10_lr, loss, curve, reading, span_factor=span_factor)
        outcome, broken_off_at = _why_too_few(curve, loss)
        return Landmarks(outcome, line, first, max(first, last), broken_off_at=broken_off_at)
    judged = _judge(curve, first, last)
    line = smoothed(log10_lr, judged.capped, curve, reading, span_factor=span_factor)
    num_start, noise = judged.num_start, judged.noise
    start = float(np.median(line.loss[first : first + num_start]))
    minimum = _lowest(line.loss[:last], first + num_start)
    outcome = Outcome.FOUND
    if judged.descent <= judged.limit:
        climbs_early = judged.climbs and _climbs_early(judged.line, judged.start + judged.limit, first)
        outcome = Outcome.DIVERGED_AT_START if climbs_early else Outcome.FLAT
        outcome = Outcome.NON_FINITE if judged.broken_off else outcome
    return Landmarks(
        outcome,
        line,
        first,
        last,
        start,
        num_start,
        minimum,
        _edge(line.loss[:last], start, minimum, climb, later=loss[last:], diverged=judged.diverged),
        noise,
        noise * _error_share(curve, reading, span_factor),
        judged.descent,
        judged.climbs,
        loss.size if judged.broken_off else None,
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Judged:
    """What holds of a curve however it is smoothed, by the line of the fixed span."""

    capped: FloatArray
    noise: float
    line: SmoothedCurve
    start: float
    num_start: int
    descent: float
    limit: float
    broken_off: bool
    diverged: bool
    climbs: bool


@lru_cache(maxsize=4)  # a curve is read with several smoothings, one after the other
def _judge(curve: Curve, first: int, last: int) -> _Judged:
    """Judge the points first <= i < last of a curve, of which there are enough."""
    lr, loss = finite_part(curve)
    log10_lr = np.log10(lr)
    cap, noise = _cap_and_noise(log10_lr, loss, slice(first, last), curve.num_iter)
    capped = np.minimum(loss, cap)
    line = smooth(log10_lr, capped, _judged_span(curve.num_iter))
    num_start = _num_start(log10_lr[first:last])
    start = float(np.median(line.loss[first : first + num_start]))
    descent = start - float(line.loss[_lowest(line.loss[:last], first + num_start)])
    error = noise * (2 * variance_share(_judged_span(curve.num_iter))) ** 0.5
    limit = max(NOISE_LIMIT * error, RESOLUTION * float(np.abs(capped).max()))
    broken_off = _ends_non_finite(curve) and not _climbed(loss, line.loss[first:], noise, limit)
    diverged = _ended_early(curve) and not broken_off
    end = float(np.median(loss[-round(END_SHARE * (last - first)) :]))
    climbs = diverged or end > start + limit
    return _Judged(capped, noise, line, start, num_start, descent, limit, broken_off, diverged, climbs)


def smoothed(
    log10_lr: FloatArray, loss: FloatArray, curve: Curve, reading: Reading, *, span_factor: float = 1.0
) -> SmoothedCurve:
    """Finite losses smoothed as the reading settings say; spans are shares of the planned points of the curve."""
    if reading.smoother == "ema":
        return smooth_ema(log10_lr, loss, reading.ema_weight)
    return smooth(log10_lr, loss, reading.smooth_f * span_factor * curve.num_iter)


def _why_too_few(curve: Curve, loss: FloatArray) -> tuple[Outcome, int | None]:
    """Too few finite losses are left: because of them, or because of the settings; and Landmarks.broken_off_at."""
    if loss.size < len(curve):
        is_lr_to_blame = curve.lr[loss.size] >= TINY_LR or _climbed_at_once(loss)
        return Outcome.NON_FINITE, None if is_lr_to_blame else loss.size
    return Outcome.DIVERGED_AT_START if curve.stop is Stop.DIVERGED else Outcome.TOO_SHORT, None


def _cap_and_noise(
    log10_lr: FloatArray, loss: FloatArray, points: slice, num_iter: int
) -> tuple[float, float]:
    """The loss above which losses are cut, and the standard deviation of a single loss."""
    num_start = _num_start(log10_lr[points])
    start = float(np.median(loss[points][:num_start]))
    line = smooth(log10_lr, np.minimum(loss, start), _judged_span(num_iter)).loss[points]
    minimum = _lowest(line, num_start)
    before = loss[points][: max(minimum + 1, MIN_POINTS)]  # what comes later may be calmer, or explode
    noise = float(np.median(np.abs(np.diff(before, 2)))) / _SECOND_DIFFERENCE  # in which a slope cancels
    return start + max(CAP * (start - float(line[minimum])), CAP_NOISE * noise), noise


def _edge(
    line: FloatArray, start: float, minimum: int, climb: float, *, later: FloatArray, diverged: bool
) -> int | None:
    """Where the line climbs back; line ends with the last point that is read, `later` are the losses after it."""
    level = start - (1 - climb) * (start - float(line[minimum]))
    climbed = np.flatnonzero(line[minimum:] > level)
    if climbed.size:
        return minimum + int(climbed[0])
    climbs_later = diverged or (later.size > 0 and float(np.median(later)) > level)
    return line.size - 1 if climbs_later else None


def _climbs_early(line: SmoothedCurve, level: float, first: int) -> bool:
    above = np.flatnonzero(line.loss[first:] > level)
    log10_lr = line.log10_lr[first + int(above[0])] if above.size else line.log10_lr[-1]
    return bool(log10_lr - line.log10_lr[0] < np.log10(_EARLY))


def _num_start(log10_lr: FloatArray) -> int:
    """How many of the points that are read make up the start."""
    end = log10_lr[0] + START_SHARE * (log10_lr[-1] - log10_lr[0])
    return max(_LEAST_START, int(np.searchsorted(log10_lr, end + _TIE)))


def _lowest(loss: FloatArray, after: int) -> int:
    return after + int(np.argmin(loss[after:]))


def _ended_early(curve: Curve) -> bool:
    """Whether the run ended before its ramp did; what follows a loss that is not finite is not read."""
    return curve.stop is Stop.DIVERGED or _ends_non_finite(curve)


def _ends_non_finite(curve: Curve) -> bool:
    return curve.stop is Stop.NON_FINITE or not bool(np.isfinite(curve.loss).all())


def _climbed(loss: FloatArray, line: FloatArray, noise: float, limit: float) -> bool:
    """Whether finite losses climb at their end: one of the last three stands out, or the line has risen.

    Args:
        loss: shape (n,), n >= 10.
        line: the same losses on the judged line, from the first that is read on.
        noise: standard deviation of a single loss.
        limit: what a descent of the line must measure; its last point is about twice as uncertain as others.
    """
    calm = np.median(np.lib.stride_tricks.sliding_window_view(loss, FILTER_POINTS), axis=1).min()
    resolved = RESOLUTION * float(np.abs(loss).max())
    stands_out = float(loss[-_LAST_POINTS:].max() - calm) > max(STANDS_OUT * noise, resolved)
    return stands_out or float(line[-1] - line.min()) > 2 * limit


def _climbed_at_once(loss: FloatArray) -> bool:
    """Whether the few losses of a run that ended at its start rise all the way, which noise alone hardly does."""
    return loss.size >= _LEAST_RISE and bool(np.all(np.diff(loss) > 0))


def _judged_span(num_iter: int) -> float:
    return max(_LEAST_JUDGED_SPAN, JUDGED_SHARE * num_iter)


def _error_share(curve: Curve, reading: Reading, span_factor: float) -> float:
    """Standard error of a point of the line over the noise of a single loss."""
    if reading.smoother == "ema":
        return float((reading.ema_weight / (2 - reading.ema_weight)) ** 0.5)
    return float(variance_share(reading.smooth_f * span_factor * curve.num_iter) ** 0.5)
