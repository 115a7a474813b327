"""Smoothing: from raw losses to a line with a slope. Centred, so that nothing is moved along the ramp."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from steadylr.core.curve import Curve, FloatArray, frozen_array


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
    """(lr, loss) up to the first loss that is NaN or infinite, which may be none."""
    bad = np.flatnonzero(~np.isfinite(curve.loss))
    end = int(bad[0]) if bad.size else len(curve)
    return curve.lr[:end], curve.loss[:end]


def smooth(log10_lr: FloatArray, loss: FloatArray, span_points: float) -> SmoothedCurve:
    """Centred local-linear fit: at each point a weighted straight line of the loss over log10(lr).

    With u = log10_lr(j) - log10_lr(i) over the points j at a distance |j - i| <= span_points / 2 and tricube
    weights w = (1 - (|j - i| / h)^3)^3, h = span_points / 2 + 1, the fit a + b u gives loss(i) = a and
    slope(i) = b. At the ends the window is cut, and the line keeps the fit free of bias there.

    Args:
        log10_lr: shape (n,), rising.
        loss: shape (n,), finite.
        span_points: points that one smoothed point sees; below 3 nothing is smoothed and the slope is the
            central difference.

    Reference: W. S. Cleveland, "Robust locally weighted regression and smoothing scatterplots" (1979).
    """
    if loss.size == 0:
        return SmoothedCurve(frozen_array(log10_lr), frozen_array(loss), frozen_array(loss))
    half = min(int(span_points // 2), loss.size - 1)
    if half < 1:
        return _unsmoothed(log10_lr, loss)
    weights = (1 - (np.abs(np.arange(-half, half + 1)) / (half + 1)) ** 3) ** 3
    # Large offsets would cost digits in the moments; they come back at the end.
    offset, middle = np.median(loss), log10_lr.mean()
    x, y = log10_lr - middle, loss - offset

    def moment(values: FloatArray) -> FloatArray:
        return np.convolve(values, weights, mode="full")[half : half + loss.size]

    s0, s1, s2 = moment(np.ones_like(x)), moment(x), moment(x * x)
    t0, t1 = moment(y), moment(x * y)
    # Moments about each point's own x
    s2 = s2 - 2 * x * s1 + x * x * s0
    s1 = s1 - x * s0
    t1 = t1 - x * t0
    determinant = s0 * s2 - s1 * s1
    return SmoothedCurve(
        log10_lr=frozen_array(log10_lr),
        loss=frozen_array((s2 * t0 - s1 * t1) / determinant + offset),
        slope=frozen_array((s0 * t1 - s1 * t0) / determinant),
    )


def _unsmoothed(log10_lr: FloatArray, loss: FloatArray) -> SmoothedCurve:
    slope = np.gradient(loss, log10_lr) if loss.size > 1 else np.zeros_like(loss)
    return SmoothedCurve(frozen_array(log10_lr), frozen_array(loss), frozen_array(slope))


def smooth_ema(log10_lr: FloatArray, loss: FloatArray, weight: float) -> SmoothedCurve:
    """torch-lr-finder's smoothing, which lags behind: s(0) = loss(0), s(i) = weight loss(i) + (1 - weight) s(i - 1).

    Args:
        log10_lr: shape (n,), rising.
        loss: shape (n,), finite.
        weight: of the newest loss, in (0, 1]; torch-lr-finder calls it smooth_f.
    """
    from scipy.signal import lfilter

    if loss.size == 0:
        return _unsmoothed(log10_lr, loss)
    smoothed = lfilter([weight], [1.0, weight - 1.0], loss, zi=[(1 - weight) * loss[0]])[0]
    return _unsmoothed(log10_lr, smoothed)
