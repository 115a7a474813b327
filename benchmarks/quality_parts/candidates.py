"""Experimental rules: tried on the tuning tasks, and once on those set aside. None of them is in the package."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from steadylr.core.curve import Curve
from steadylr.core.landmarks import find_landmarks
from steadylr.core.rules import LOW_SHARE, WIDE
from steadylr.core.settings import Reading
from steadylr.core.suggestion import Outcome

READING = Reading()


def ends(
    curve: Curve, *, share: float = LOW_SHARE, wide: float = WIDE, reading: Reading = READING
) -> tuple[float, float] | None:
    """(low, edge) of the bracket rule, before the edge is halved; None where there is no descent."""
    found = find_landmarks(curve, reading)
    line = find_landmarks(curve, reading, span_factor=wide)
    if found.outcome is not Outcome.FOUND:
        return None
    reached = line.line.loss[line.first : line.last] <= line.start - share * line.descent
    low = line.lr_at(line.first + int(np.argmax(reached)))
    return low, found.lr_at(found.last - 1 if found.edge is None else found.edge)


def steps_per_decade(curve: Curve) -> float:
    """Steps in which the ramp multiplies the LR by ten."""
    return (len(curve) - 1) / float(np.log10(curve.lr[-1] / curve.lr[0]))


USUAL_STEPS = 12.5
"""Steps per decade of the usual ramp: 100 iterations from 1e-7 to 10."""


def moved(
    exponent: float, *, share: float = LOW_SHARE, wide: float = WIDE, factor: float = 2.0
) -> Callable[[Curve], float | None]:
    """The bracket with a `low` that is moved to where the usual ramp would show it.

        low' = low (k / 12.5)^(2 exponent), with k the steps per decade of the ramp
        lr = sqrt(low' edge / factor), at most edge / 2

    A longer ramp spends more steps at every LR, so that the same descent is done at lower LRs: were the sum of LRs
    all that counts, low would fall as 1 / k. On seven tuning tasks it falls as k^-0.45 to k^-1.04, k^-0.72 in the
    mean, with the span smooth_f (k^-0.30 to k^-0.93, k^-0.61 in the mean, with three times that). The edge moves
    less, and either way: k^-0.27 to k^0.71, k^0.22 in the mean.

    Args:
        exponent: of k in the answer; 1 / 3 undoes a low that falls as k^(-2 / 3).
        share: of the descent, reached at low.
        wide: times smooth_f: the span that finds low.
        factor: what divides the product.
    """

    def rule(curve: Curve) -> float | None:
        found = ends(curve, share=share, wide=wide)
        if found is None:
            return None
        low, edge = found
        back = (steps_per_decade(curve) / USUAL_STEPS) ** exponent
        return float(min((low * edge / factor) ** 0.5 * back, edge / 2))

    return rule


def weighted(weight: float, factor: float) -> Callable[[Curve], float | None]:
    """low^weight * (edge / factor)^(1 - weight)."""

    def rule(curve: Curve) -> float | None:
        found = ends(curve)
        return None if found is None else found[0] ** weight * (found[1] / factor) ** (1 - weight)

    return rule


CANDIDATES: dict[str, Callable[[Curve], float | None]] = {
    "bracket moved by k^0.15": moved(0.15),
    "bracket moved by k^0.3": moved(0.3),
    "one span, moved by k^(1/3)": moved(1 / 3, wide=1.0, factor=4.0),
    "80%, span 1.5, moved by k^0.4": moved(0.4, share=0.8, wide=1.5, factor=2.8),
    "low^0.33 (edge/3)^0.67": weighted(1 / 3, 3.0),
}


BEST = "one span, moved by k^(1/3)"
"""The candidate that was chosen on the tuning tasks, before those set aside were looked at."""

INFLATION = 2.0
"""Deviations between seeds over those of the bootstrap, root mean square, on the tuning tasks."""


def uncertainty(
    curve: Curve,
    rule: Callable[[Curve], float | None],
    *,
    rng: np.random.Generator,
    draws: int = 40,
    reading: Reading = READING,
) -> float | None:
    """How far the answer of one curve may lie from that of other seeds: a standard deviation of log10(lr).

    A wild bootstrap: the residuals about the smoothed line, each with a random sign, are put back on the line, and
    the rule reads it again. Signs know nothing of what other weights and another order would have changed, hence
    the factor INFLATION. None where fewer than half of the draws have an answer.

    Reference: C. F. J. Wu, "Jackknife, bootstrap and other resampling methods in regression analysis" (1986).
    """
    found = find_landmarks(curve, reading)
    if found.outcome is not Outcome.FOUND:
        return None
    size = len(found.line)
    line = found.line.loss
    cap = float(line.max())
    residuals = np.minimum(curve.loss[:size], cap) - line
    answers = []
    for signs in rng.choice((-1.0, 1.0), size=(draws, size)):
        again = Curve(curve.lr[:size], line + signs * residuals, curve.num_iter, curve.stop)
        lr = rule(again)
        if lr is not None:
            answers.append(np.log10(lr))
    return INFLATION * float(np.std(answers, ddof=1)) if len(answers) >= draws / 2 else None
