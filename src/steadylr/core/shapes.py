"""Shapes: which curves of a sweep look unlike the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import median_filter

from steadylr.core.curve import Curve, FloatArray, Stop

_SPAN = 0.05  # share of num_iter that the running median sees
_START_SHARE = 0.1  # share of the points whose median is the start, as in the bracket rule
_CAP = 0.5  # in descents above the start; how far a diverged curve climbs says nothing about its shape
_GRID_POINTS = 200
_SPREADS = 4.0
# in descents; on Fashion-MNIST runs that differ in nothing but seeds had 0.02 to 0.14 (the latter with the
# noise of 100 iterations), runs on shuffled labels 0.23 to 0.54
_FLOOR = 0.2
_MAD_TO_STD = 1.4826
_SHIFT = 0.3  # in log10 lr; how far apart the runs' LRs are is what the consensus measures
_LEAST_CURVES = 4  # with three, two that agree by chance make the third one odd


@dataclass(frozen=True, slots=True)
class OddCurve:
    """A curve of another shape than the rest: its place among them, its distance, the limit it broke."""

    index: int
    distance: float
    limit: float


def odd_curves(curves: Sequence[Curve]) -> tuple[OddCurve, ...]:
    """The curves whose shape is unlike that of the rest, the most unlike first.

    Each curve is smoothed with a running median over 5% of num_iter and put into units of its own descent:

        y = (smoothed - start) / (start - min), capped at 0.5

    where start is the median of the first tenth and min the minimum of the smoothed curve. A curve without a
    descent is 0, and 0.5 where it climbs or isn't finite. On 200 points, equally far apart in log10 lr, its
    distance is the root mean square difference to the pointwise median of all curves: the smallest one when
    the curve may move by up to 0.3 in log10 lr (a quarter of the range at most), as moving is no other shape.
    It is odd when

        distance > max(0.2, median(distances) + 4 * 1.4826 * MAD(distances))

    So a shift or a positive factor on one curve's losses, or a factor on all LRs, changes nothing. The points
    run from the highest first LR to the lowest last LR of the curves that reached the end of their ramp (to
    the highest last LR where none did); a curve that stopped earlier counts as 0.5 from there on.

    Args:
        curves: of any lengths and LRs. Below four nothing is odd, as the rest would be too few to tell; nor
            without a common range of LRs.
    """
    grid = _common_log10_lr(curves)
    if len(curves) < _LEAST_CURVES or grid is None:
        return ()
    shapes = np.array([_shape(curve, grid) for curve in curves])
    max_shift = min(int(_SHIFT / (grid[1] - grid[0])), _GRID_POINTS // 4)
    distances = _distances(shapes, np.median(shapes, axis=0), max_shift)
    middle = np.median(distances)
    limit = float(max(_FLOOR, middle + _SPREADS * _MAD_TO_STD * np.median(np.abs(distances - middle))))
    odd = [OddCurve(i, float(distances[i]), limit) for i in np.flatnonzero(distances > limit).tolist()]
    return tuple(sorted(odd, key=lambda one: (-one.distance, one.index)))


def _distances(shapes: FloatArray, middle: FloatArray, max_shift: int) -> FloatArray:
    """The smallest root mean square of (curves, points) minus (points,), curves moved by up to max_shift."""
    width = middle.size
    padded = np.pad(shapes, ((0, 0), (max_shift, max_shift)), mode="edge")
    squares = [
        np.mean((padded[:, shift : shift + width] - middle) ** 2, axis=1)
        for shift in range(2 * max_shift + 1)
    ]
    smallest: FloatArray = np.sqrt(np.min(squares, axis=0))
    return smallest


def _common_log10_lr(curves: Sequence[Curve]) -> FloatArray | None:
    if not curves:
        return None
    start = max(curve.lr[0] for curve in curves)
    completed = [curve.lr[-1] for curve in curves if curve.stop is Stop.COMPLETED]
    end = min(completed) if completed else max(curve.lr[-1] for curve in curves)
    if start >= end:
        return None
    return np.linspace(np.log10(start), np.log10(end), _GRID_POINTS)


def _shape(curve: Curve, grid: FloatArray) -> FloatArray:
    """The curve in units of its descent on the grid, shape of the grid, in [-1, 0.5]."""
    loss = np.where(np.isfinite(curve.loss), curve.loss, np.inf)  # a NaN went up, as far as shapes go
    span = max(3, round(_SPAN * curve.num_iter)) | 1
    smoothed = median_filter(loss, size=span, mode="nearest")
    start = np.median(smoothed[: max(1, int(_START_SHARE * len(curve)))])
    lowest = smoothed.min()
    if not np.isfinite(start):
        return np.full(grid.shape, _CAP)
    descent = start - lowest
    if descent > 0:
        units = np.clip((smoothed - start) / descent, -1.0, _CAP)
    else:
        units = np.where(smoothed > start, _CAP, 0.0)
    # rounding may put the last point of the grid a hair behind the end of a completed curve
    beyond = units[-1] if curve.stop is Stop.COMPLETED else _CAP
    shape: FloatArray = np.interp(grid, curve.log10_lr, units, right=beyond)
    return shape
