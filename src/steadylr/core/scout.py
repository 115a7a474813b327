"""The scout: a range test of a few steps, after which a fine one covers only the decades that matter."""

from __future__ import annotations

from steadylr.core.curve import Curve, Stop
from steadylr.core.ramp import Ramp
from steadylr.core.rules import EDGE_FACTOR, bracket
from steadylr.core.settings import Reading

LEAST_STEPS = 20
"""Steps of a scout at least: fewer leave too few points to read."""

# Chosen on the tuning tasks of benchmarks/scout.py
BELOW = 10.0  # under the low end of the scout's bracket: where the fine ramp starts
ABOVE = 5.0  # over the scout's edge: where it ends, if nothing diverges before
FAR_BELOW = 1e4  # under the LR at which a scout without a bracket diverged
_READING = Reading(skip_start=5, skip_end=0)  # a scout has few points to leave out


def scouted(scout: Curve, ramp: Ramp, *, below: float = BELOW, above: float = ABOVE) -> Ramp:
    """The part of a ramp that is worth its steps, as a scout over the whole of it shows.

        from low / 10 to 5 edge, where the bracket rule reads low and edge off the scout
        from last / 10^4 to the end of the ramp, where it reads nothing, but the scout diverged at the LR `last`
        all of it else

    A ramp with more steps has done its descent at lower LRs than its scout, and its edge is lower: hence the margins. A
    noisy scout shows no descent, but where it diverges, one to three decades above what the rule needs to see.
    Nothing of it depends on how the curve is read for the answer.

    Args:
        scout: of the same training, over the whole ramp in fewer steps.
        ramp: the whole one.
        below, above: the two margins, factors of at least 1.

    Returns:
        The same ramp with a part; all of it where the scout can't tell.
    """
    told = bracket(scout, _READING)
    if told.low is not None and told.high is not None:
        return ramp.within(told.low / below, EDGE_FACTOR * told.high * above)
    if scout.stop is not Stop.COMPLETED:
        return ramp.within(float(scout.lr[-1]) / FAR_BELOW, ramp.end_lr)
    return ramp
