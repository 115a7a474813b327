"""Smoothing: from raw losses to a line with a slope. Centred, so that nothing is moved along the ramp."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from steadylr.core.curve import Curve, FloatArray, frozen_array
from steadylr.core.settings import Reading

_LEAST_SPAN = 3.0  # a straight line through fewer points smooths nothing
_HUGE = 1e150  # losses beyond count as this much, so that their products with LRs don't overflow


@dataclass(frozen=True, slots=True, eq=False)
class SmoothedCurve:
    """A smoothed curve: loss and its slope d loss / d log10(lr) at every point, all of shape (n,).

    A type of its own, so that raw and smoothed losses never pass for one another.
    """

    log10_lr: FloatArray
    loss: FloatArray
    slope: FloatArray

    def __len__(self) -> int:
        return int(self.loss.size)


def finite_part(curve: Curve) -> tuple[FloatArray, FloatArray]:
    """(log10_lr, loss) before the first loss that is NaN or infinite: nothing after it is read.

    Both of shape (m,), m >= 0. Losses beyond +-1e150 count as +-1e150.
    """
    bad = np.flatnonzero(~np.isfinite(curve.loss))
    end = int(bad[0]) if bad.size else len(curve)
    return curve.log10_lr[:end], np.clip(curve.loss[:end], -_HUGE, _HUGE)


def read_range(curve: Curve, reading: Reading) -> slice:
    """Which points the rules read: finite, and left by the skips. May be empty.

    skip_end counts from the run's last recorded point. That point is the first non-finite one if there is one, so
    a run that went on after it reads like a run that ended with it.
    """
    bad = np.flatnonzero(~np.isfinite(curve.loss))
    num_finite = int(bad[0]) if bad.size else len(curve)
    num_recorded = min(len(curve), num_finite + 1)
    stop = min(num_finite, num_recorded - reading.skip_end)
    return slice(reading.skip_start, max(reading.skip_start, stop))


def smooth(curve: Curve, span_points: float) -> SmoothedCurve:
    """All finite losses of a curve in a centred local-linear fit; see local_linear."""
    return local_linear(*finite_part(curve), span_points)


def read_smoothed(
    curve: Curve, reading: Reading, *, span_factor: float = 1.0, cap: float = math.inf
) -> SmoothedCurve:
    """The points that the reading settings leave, smoothed as they say.

    Local-linear: span = smooth_f * span_factor * num_iter points, num_iter being the planned number, and points
    that are skipped shape nothing. EMA: seeded with the run's first loss, as in torch-lr-finder, so that points
    skipped at the start still count a little; it has no span, and span_factor does nothing.

    Args:
        curve: the raw curve.
        reading: smoother, its strength, and the skips.
        span_factor: multiplies the span, above 0.
        cap: higher losses count as this high.
    """
    log10_lr, loss = finite_part(curve)
    loss = np.minimum(loss, cap)
    points = read_range(curve, reading)
    if reading.smoother == "ema":
        return differenced(log10_lr[points], ema(loss, reading.ema_weight)[points])
    return local_linear(log10_lr[points], loss[points], reading.smooth_f * span_factor * curve.num_iter)


def local_linear(log10_lr: FloatArray, loss: FloatArray, span_points: float) -> SmoothedCurve:
    """Centred local-linear fit: at each point a weighted straight line of the loss over log10(lr).

    With x = log10_lr and h = (span_points + 1) / 2, point i sees the points j with |j - i| < h (span_points in
    all, where that is odd) with tricube weights w = (1 - (|j - i| / h)^3)^3. Of the line a + b (x(j) - x(i)) that
    minimises sum w (loss(j) - line)^2, loss(i) = a and slope(i) = b. Straight curves come out as they went in. At
    the ends the window is cut, and the line keeps the fit free of bias there.

    Args:
        log10_lr: shape (n,), n >= 0, strictly rising, evenly spaced or not.
        loss: shape (n,), finite, below 1e150.
        span_points: points that one smoothed point sees; below 3 nothing is smoothed and the slope is the
            central difference.

    Reference: W. S. Cleveland, "Robust locally weighted regression and smoothing scatterplots" (1979).
    """
    if span_points < _LEAST_SPAN or loss.size < _LEAST_SPAN:
        return differenced(log10_lr, loss)
    weights = tricube(span_points)
    half = weights.size // 2
    # an offset, in the losses or in x, would cost the moments their digits
    x_offset, y_offset = float(log10_lr.mean()), float(loss[0])
    x, y = log10_lr - x_offset, loss - y_offset

    def moment(values: FloatArray) -> FloatArray:
        return np.convolve(values, weights)[half : half + loss.size]

    total = moment(np.ones_like(x))
    mean_x, mean_y = moment(x) / total, moment(y) / total
    slope = (moment(x * y) / total - mean_x * mean_y) / (moment(x * x) / total - mean_x**2)
    return SmoothedCurve(
        log10_lr=frozen_array(log10_lr),
        loss=frozen_array(mean_y + slope * (x - mean_x) + y_offset),
        slope=frozen_array(slope),
    )


def tricube(span_points: float) -> FloatArray:
    """The weights of a window of span_points points: odd in number, symmetric, 1 in the middle."""
    h = (span_points + 1) / 2
    half = max(0, math.ceil(h) - 1)
    weights: FloatArray = (1 - (np.abs(np.arange(-half, half + 1)) / h) ** 3) ** 3
    return weights


def variance_share(span_points: float) -> float:
    """Variance of a smoothed loss over that of a raw one, inside the curve: sum w^2 / (sum w)^2, in (0, 1]."""
    if span_points < _LEAST_SPAN:
        return 1.0
    weights = tricube(span_points)
    return float(np.sum(weights**2) / np.sum(weights) ** 2)


def ema(loss: FloatArray, weight: float) -> FloatArray:
    """torch-lr-finder's smoothing, which lags behind: s(0) = loss(0), s(i) = weight loss(i) + (1 - weight) s(i-1).

    Args:
        loss: shape (n,), finite.
        weight: of the newest loss, in (0, 1]; torch-lr-finder calls it smooth_f.
    """
    # as steps towards the newest loss, so that a constant loss stays what it is
    smoothed = accumulate(loss.tolist(), lambda before, newest: before + weight * (newest - before))
    return np.array(list(smoothed), dtype=np.float64)


def differenced(log10_lr: FloatArray, loss: FloatArray) -> SmoothedCurve:
    """The losses as they are, with central differences as slopes (one-sided at the ends, 0 for one point)."""
    slope = np.gradient(loss, log10_lr) if loss.size > 1 else np.zeros_like(loss)
    return SmoothedCurve(frozen_array(log10_lr), frozen_array(loss), frozen_array(slope))
