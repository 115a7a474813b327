"""How sure one curve is of its LR: how far from it the mean over many seeds may lie."""

from __future__ import annotations

import numpy as np

from steadylr.core.curve import Curve, Stop
from steadylr.core.landmarks import find_landmarks
from steadylr.core.rules import WIDE, bracket
from steadylr.core.settings import Reading
from steadylr.core.suggestion import Outcome

SEED_STD = 0.1
"""What no single curve shows: how far seeds differ in log10(lr) beyond the noise of their curves, as a standard
deviation that is large enough for tasks whose seeds differ most; half of it is typical (docs/how-it-works.md)."""

NUM_DRAWS = 40
_NORMAL_95 = 1.96


def log10_std(
    curve: Curve, *, reading: Reading | None = None, rng: np.random.Generator | None = None
) -> float | None:
    """Standard deviation of the bracket rule's log10(lr) about its mean over seeds, predicted from one curve.

        std^2 = 0.1^2 + v

    v is the variance of log10(lr) over a wild bootstrap: the residuals of the losses about their line get random
    signs and are put back on it, 40 times, and the rule reads each again. That is what the noise of this curve does;
    0.1 is what other weights and another order do beyond it. A bias that all seeds share is in neither.

    Args:
        curve: the raw curve.
        reading: smoothing and skips; Reading() by default.
        rng: for the signs; default_rng(0) by default, so that one curve always gives one number.

    Returns:
        A standard deviation in decades; None where the rule has no answer, or none in half of the draws.

    Reference: C. F. J. Wu, "Jackknife, bootstrap and other resampling methods in regression analysis" (1986).
    """
    settings = Reading() if reading is None else reading
    generator = np.random.default_rng(0) if rng is None else rng
    found = find_landmarks(curve, settings, span_factor=WIDE)
    if found.outcome is not Outcome.FOUND or found.broken_off_at is not None:
        return None
    # The draws hold no loss that isn't finite, and cap the climb that shows the divergence
    stop = Stop.DIVERGED if curve.stop is Stop.NON_FINITE else curve.stop
    size, line = len(found.line), found.line.loss
    residuals = np.minimum(curve.loss[:size], float(line.max())) - line  # what a divergence does is no noise
    logs = []
    for signs in generator.choice((-1.0, 1.0), size=(NUM_DRAWS, size)):
        again = Curve(curve.lr[:size], line + signs * residuals, curve.num_iter, stop, curve.steps_per_point)
        lr = bracket(again, settings).lr
        if lr is not None:
            logs.append(np.log10(lr))
    if len(logs) < NUM_DRAWS / 2:
        return None
    return float(np.hypot(SEED_STD, np.std(logs, ddof=1)))


def factor_95(std: float) -> float:
    """The factor, up or down, within which the mean over seeds lies in 19 of 20 runs, for a log10_std.

    So it is over many tasks; on a task whose seeds differ most it held for half of the runs (docs/how-it-works.md).
    """
    return float(10.0 ** (_NORMAL_95 * std))
