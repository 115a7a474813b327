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


def grows(exponent: float) -> Callable[[Curve], float | None]:
    """The bracket times (N / 100)^exponent, at most half of the edge."""

    def rule(curve: Curve) -> float | None:
        found = ends(curve)
        if found is None:
            return None
        low, edge = found
        lr = (low * edge / 2) ** 0.5 * max(1.0, curve.num_iter / 100) ** exponent
        return min(lr, edge / 2)

    return rule


def weighted(weight: float, factor: float) -> Callable[[Curve], float | None]:
    """low^weight * (edge / factor)^(1 - weight)."""

    def rule(curve: Curve) -> float | None:
        found = ends(curve)
        return None if found is None else found[0] ** weight * (found[1] / factor) ** (1 - weight)

    return rule


CANDIDATES: dict[str, Callable[[Curve], float | None]] = {
    "bracket x (N/100)^0.3": grows(0.3),
    "low^0.33 (edge/3)^0.67": weighted(1 / 3, 3.0),
}
