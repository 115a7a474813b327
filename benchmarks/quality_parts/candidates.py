"""What the bracket rule would be with other constants."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from steadylr.core import rules
from steadylr.core.curve import Curve
from steadylr.core.landmarks import find_landmarks
from steadylr.core.settings import Reading
from steadylr.core.suggestion import Outcome

READING = Reading()


@dataclass(frozen=True, slots=True)
class Constants:
    """The constants of the bracket rule; by default those in the package."""

    low_share: float = rules.LOW_SHARE
    climb: float = rules.CLIMB_SHARE
    wide: float = rules.WIDE
    drift: float = rules.DRIFT
    factor: float = rules.EDGE_FACTOR
    high_weight: float = 0.5

    def __call__(self, curve: Curve) -> float | None:
        """What the rule says of a curve with these constants; None for no answer."""
        found = find_landmarks(curve, READING, span_factor=self.wide, climb=self.climb)
        if found.outcome is not Outcome.FOUND:
            return None
        line = found.line.loss[found.first : found.last]
        index = found.first + int(np.argmax(line <= found.start - self.low_share * found.descent))
        moved = (rules.steps_per_decade(curve, index) / rules.USUAL_STEPS) ** self.drift
        high = found.lr_at(found.last - 1 if found.edge is None else found.edge) / self.factor
        low = min(high, found.lr_at(index) * moved)
        return float(low ** (1 - self.high_weight) * high**self.high_weight)


def first_sketch(curve: Curve) -> float | None:
    """The rule before: sqrt(low * edge / 2), low at 90% of the descent, edge at half of the climb, each on its line."""
    narrow = find_landmarks(curve, READING)
    wide = find_landmarks(curve, READING, span_factor=3.0)
    if narrow.outcome is not Outcome.FOUND:
        return None
    line = wide.line.loss[wide.first : wide.last]
    low = wide.lr_at(wide.first + int(np.argmax(line <= wide.start - 0.9 * wide.descent)))
    edge = narrow.lr_at(narrow.last - 1 if narrow.edge is None else narrow.edge)
    return float((low * edge / 2) ** 0.5)


CANDIDATES: dict[str, Callable[[Curve], float | None]] = {
    "first sketch": first_sketch,
    "low not moved": Constants(drift=0.0),
    "low moved by k^(1/4)": Constants(drift=1 / 4),
    "low moved by k^(2/3)": Constants(drift=2 / 3),
    "low moved by k": Constants(drift=1.0),
    "low at 80% of the descent": Constants(low_share=0.8),
    "low at 95% of the descent": Constants(low_share=0.95),
    "edge at 50% of the climb": Constants(climb=0.5),
    "edge / 1.5": Constants(factor=1.5),
    "edge / 3": Constants(factor=3.0),
    "two thirds of the way from low to high": Constants(high_weight=2 / 3),
    "the same with edge / 4, low moved by k^(2/3)": Constants(high_weight=2 / 3, factor=4.0, drift=2 / 3),
    "high alone": Constants(high_weight=1.0),
    "span 2 smooth_f": Constants(wide=2.0),
    "span 4 smooth_f": Constants(wide=4.0),
}
