"""Smoothing: from raw losses to a line with a slope. Centred, so that nothing is moved along the ramp."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from steadylr.core.curve import Curve, FloatArray, frozen_array

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
    """(lr, loss) before the first loss that is NaN or infinite, which may be none; nothing after it is read.

    Losses beyond +-1e150 count as +-1e150.
    """
    bad = np.flatnonzero(~np.isfinite(curve.loss))
    end = int(bad[0]) if bad.size else len(curve)
    return curve.lr[:end], np.clip(curve.loss[:end], -_HUGE, _HUGE)


def smooth(log10_lr: FloatArray, loss: FloatArray, span_points: float) -> SmoothedCurve:
    """Centred local-linear fit: at each point a weighted straight line of the loss over log10(lr).

    With u = log10_lr(j) - log10_lr(i) and h = (span_points + 1) / 2, point i sees the points j with |j - i| < h
    (span_points in all, where that is odd) with tricube weights w = (1 - (|j - i| / h)^3)^3. Of the line a + b u
    that minimises sum w (loss(j) - a - b u)^2, loss(i) = a and slope(i) = b. Straight curves come out as they
    went in. At the ends the window is cut, and the line keeps the fit free of bias there.

    Args:
        log10_lr: shape (n,), n >= 0, strictly rising, evenly spaced or not.
        loss: shape (n,), finite, at most 1e150 in size.
        span_points: points that one smoothed point sees; below 3 nothing is smoothed and the slope is the
            central difference.

    Reference: W. S. Cleveland, "Robust locally weighted regression and smoothing scatterplots" (1979).
    """
    if span_points < _LEAST_SPAN or loss.size < _LEAST_SPAN:
        return _unsmoothed(log10_lr, loss)
    weights = tricube(span_points)
    half = weights.size // 2
    # An offset, in the losses or in x, would cost the moments their digits
    x_offset, y_offset = float(log10_lr.mean()), float(np.median(loss))
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


def smooth_ema(log10_lr: FloatArray, loss: FloatArray, weight: float) -> SmoothedCurve:
    """torch-lr-finder's smoothing, which lags behind: s(0) = loss(0), s(i) = weight loss(i) + (1 - weight) s(i - 1).

    Args:
        log10_lr: shape (n,), rising.
        loss: shape (n,), finite.
        weight: of the newest loss, in (0, 1]; torch-lr-finder calls it smooth_f.
    """
    # As steps towards the newest loss, so that a constant loss stays what it is
    smoothed = accumulate(loss.tolist(), lambda before, newest: before + weight * (newest - before))
    return _unsmoothed(log10_lr, np.array(list(smoothed), dtype=np.float64))


def _unsmoothed(log10_lr: FloatArray, loss: FloatArray) -> SmoothedCurve:
    # Without the offset, so that the slope of a constant loss is exactly 0
    slope = np.gradient(loss - loss[0], log10_lr) if loss.size > 1 else np.zeros_like(loss)
    return SmoothedCurve(frozen_array(log10_lr), frozen_array(loss), frozen_array(slope))
