"""Analytic curves with known answers, for the tests of core."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from steadylr.core.curve import Curve, FloatArray, Stop
from steadylr.core.divergence import StopRule, first_stop
from steadylr.core.ramp import Ramp, StepMode

Shape = Callable[[FloatArray], FloatArray]
"""The loss as a function of log10(lr)."""


def sigmoid(*, steepest: float = 1e-2, width: float = 0.6, top: float = 1.0, depth: float = 1.0) -> Shape:
    """A descent from top by depth that is steepest at a known LR; width is in decades."""
    return lambda x: top - depth / (1 + np.exp(-(x - np.log10(steepest)) / width))


def parabola(*, lowest: float = 1e-2, top: float = 1.0) -> Shape:
    """A loss that is lowest, 0, at a known LR and rises with the square of the decades."""
    return lambda x: top * (x - np.log10(lowest)) ** 2


def typical(x: FloatArray) -> FloatArray:
    """Falls from 2.3 to 0.8 around 1e-3 and explodes beyond 1: a curve as people get them."""
    return sigmoid(steepest=1e-3, width=0.25, top=2.3, depth=1.5)(x) + 10 ** np.clip(4 * (x - 0.1), -9, 4)


def trapezium(x: FloatArray) -> FloatArray:
    """1 up to 1e-4, straight down to 0 at 1e-2, 0 up to 1, straight up by 10 a decade: read off by hand."""
    return np.interp(x, [-7.0, -4.0, -2.0, 0.0, 1.0], [1.0, 1.0, 0.0, 0.0, 10.0])


def constant(value: float) -> Shape:
    """The same loss everywhere."""
    return lambda x: np.full_like(x, value)


def climbing(x: FloatArray) -> FloatArray:
    """Rises from the first step on."""
    return 2.3 + (x - x[0])


def make_curve(
    shape: Shape,
    *,
    num_iter: int = 300,
    start_lr: float = 1e-7,
    end_lr: float = 10.0,
    step_mode: StepMode = "exp",
    noise: float = 0.0,
    seed: int = 0,
    rule: StopRule | None = None,
) -> Curve:
    """The curve of a shape with seeded normal noise; a stop rule ends it where it would have ended the run."""
    lr = Ramp(start_lr, end_lr, num_iter, step_mode).lrs()
    loss = shape(np.log10(lr)) + noise * np.random.default_rng(seed).standard_normal(num_iter)
    fired = None if rule is None else first_stop(loss.tolist(), rule)
    if fired is None:
        return Curve(lr, loss, num_iter)
    end = fired[0] + 1
    return Curve(lr[:end], loss[:end], num_iter, fired[1])


def changed(
    curve: Curve, *, shift: float = 0.0, scale: float = 1.0, lr_scale: float = 1.0, stop: Stop | None = None
) -> Curve:
    """The same curve with its losses scaled and shifted, its LRs scaled, or another reason for its end."""
    return Curve(
        curve.lr * lr_scale, curve.loss * scale + shift, curve.num_iter, curve.stop if stop is None else stop
    )
