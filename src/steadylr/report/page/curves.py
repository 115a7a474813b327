"""The curves of a page: all on one axis of LRs, thinned where they are many, and packed for JavaScript."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from steadylr.answer.other_readings import first_with_curve

if TYPE_CHECKING:
    from steadylr.answer.answer import ConditionAnswer
    from steadylr.answer.other_readings import ReadAgain
    from steadylr.core.curve import Curve, FloatArray
    from steadylr.core.smoothing import SmoothedCurve

MOST_POINTS = 1_000
"""Points drawn of one curve; more than a screen has columns for are not seen."""

MOST_POINTS_IN_ALL = 100_000
"""Points drawn of all curves of a condition together, so that the page opens at once."""

LEAST_POINTS = 100
"""Points drawn of one curve, however many there are."""

_GAP = 0xFFFF
_STEPS = 0xFFFE


def packed_curves(condition: ConditionAnswer, read: Mapping[str, ReadAgain]) -> dict[str, Any] | None:
    """The curves of a condition as plain values; None where no run has one.

    All lie on one axis: the LRs of the longest curve where all others are its beginnings, else LRs equally far apart
    in log10. A line is interpolated there; of the raw losses each LR has the nearest one.

    Args:
        condition: the answer.
        read: its runs, read with several values of smooth_f.

    Returns:
        lr: float32 (points,); raw: float32 (runs, points), NaN beyond a run's end; own: the lines as the runs were
        read, and lines: one such array for each value: uint16 (runs, points), from 0 at `bottom` to 65534 at `top`
        of the run, 65535 for none; all as base64, little endian. thinned: points left out of the longest curve.
    """
    firsts = first_with_curve(condition)
    curves = {run: reading.curve for run, reading in firsts.items() if reading.curve is not None}
    if not curves:
        return None
    lr = _axis(list(curves.values()))
    drawn = [(read[run].own, *read[run].lines) for run in curves]
    lines = [
        np.array([_on_axis(line, lr) for line in own]) for own in drawn
    ]  # of each run (1 + values, points)
    ends = [_ends(own) for own in lines]
    quantised = np.array([_quantised(own, *end) for own, end in zip(lines, ends, strict=True)])
    return {
        "lr": _base64(lr.astype("<f4")),
        "raw": _base64(np.array([_raw(curve, lr) for curve in curves.values()]).astype("<f4")),
        "own": _base64(quantised[:, 0]),
        "lines": [_base64(quantised[:, 1 + k]) for k in range(len(drawn[0]) - 1)],
        "ends": ends,
        "runs": [list(condition.runs).index(run) for run in curves],
        "points": int(lr.size),
        "thinned": max(len(curve) for curve in curves.values()) - int(lr.size),
    }


def _axis(curves: Sequence[Curve]) -> FloatArray:
    """The LRs at which all curves are drawn, shape (points,), rising."""
    longest = max(curves, key=len)
    points = min(MOST_POINTS, max(LEAST_POINTS, MOST_POINTS_IN_ALL // len(curves)))
    alike = all(np.allclose(curve.lr, longest.lr[: len(curve)], rtol=1e-9) for curve in curves)
    if alike and len(longest) <= points:
        return longest.lr
    low, high = min(curve.lr[0] for curve in curves), max(curve.lr[-1] for curve in curves)
    axis: FloatArray = np.geomspace(low, high, points) if high > low else np.array([low])
    return axis


def _on_axis(line: SmoothedCurve, lr: FloatArray) -> FloatArray:
    if not len(line):
        return np.full(lr.shape, np.nan)
    beyond = 1e-9  # of rounding
    x = np.log10(lr)
    inside = (x >= line.log10_lr[0] - beyond) & (x <= line.log10_lr[-1] + beyond)
    drawn: FloatArray = np.where(inside, np.interp(x, line.log10_lr, line.loss), np.nan)
    return drawn


def _raw(curve: Curve, lr: FloatArray) -> FloatArray:
    """The raw loss nearest to each LR; NaN beyond the ends of the curve, and where it is no number."""
    x, own = np.log10(lr), curve.log10_lr
    right = np.clip(np.searchsorted(own, x), 0, own.size - 1)
    left = np.maximum(right - 1, 0)
    nearest = np.where(x - own[left] < own[right] - x, left, right)
    inside = (x >= own[0] - 1e-9) & (x <= own[-1] + 1e-9)
    losses = curve.loss[nearest]
    largest = float(np.finfo(np.float32).max)
    return np.where(inside & np.isfinite(losses) & (np.abs(losses) < largest), losses, np.nan)


def _ends(lines: FloatArray) -> tuple[float, float]:
    """The lowest and the highest loss of a run's lines; (0, 0) where there are none."""
    known = lines[np.isfinite(lines)]
    return (float(known.min()), float(known.max())) if known.size else (0.0, 0.0)


def _quantised(lines: FloatArray, bottom: float, top: float) -> npt.NDArray[np.uint16]:
    span = (top - bottom) or 1.0
    steps = np.where(np.isfinite(lines), np.round((np.nan_to_num(lines) - bottom) / span * _STEPS), _GAP)
    return np.clip(steps, 0, _GAP).astype("<u2")


def _base64(array: npt.NDArray[Any]) -> str:
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode("ascii")
