"""The rules: how an LR is read off a curve. Each is a plain function (curve, reading) -> Suggestion.

All read the smoothed line of landmarks.py within the points that the skips leave, and all give the same outcome
where there is nothing to read.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable
from difflib import get_close_matches

import numpy as np

from steadylr.core.arguments import check_kind
from steadylr.core.curve import Curve, FloatArray
from steadylr.core.landmarks import MIN_POINTS, Landmarks, find_landmarks
from steadylr.core.settings import Reading
from steadylr.core.suggestion import Outcome, Reason, Suggestion, Why

Rule = Callable[[Curve, Reading], Suggestion]
"""A rule: a plain function of a curve and the reading settings. It answers always and raises for nothing in a curve."""

RULES: dict[str, Rule] = {}
"""All rules by name: those of this module, and what register_rule adds."""

DEFAULT_RULE = "bracket"


def register_rule(name: str, rule: Rule) -> None:
    """Add a rule of one's own; from then on finder.rule may name it, and suggest_all asks it too.

    Args:
        name: an identifier that no rule has yet.
        rule: a function (curve, reading) -> Suggestion.

    Raises:
        ValueError: no identifier, or a name that is taken.
        TypeError: rule can't be called.
    """
    if not (isinstance(name, str) and name.isidentifier()):
        raise ValueError(f"a rule's name must be an identifier, such as my_rule; got {name!r}")
    if RULES.get(name, rule) is not rule:
        raise ValueError(f"there is a rule {name!r} already; choose another name")
    if not callable(rule):
        raise TypeError(f"rule must be a function (curve, reading) -> Suggestion; got {rule!r}")
    RULES[name] = rule


def suggest(curve: Curve, rule: str = DEFAULT_RULE, *, reading: Reading | None = None) -> Suggestion:
    """Read one curve with one rule.

    Args:
        curve: the raw curve.
        rule: a name in RULES.
        reading: how to smooth and what to skip; Reading() by default.

    Raises:
        ValueError: an unknown rule; the message gives the nearest names.
        TypeError: a rule of one's own that does not return a Suggestion.
    """
    check_kind(Curve, curve=curve)
    if reading is not None:
        check_kind(Reading, reading=reading)
    if not isinstance(rule, str) or rule not in RULES:
        near = get_close_matches(str(rule), RULES, n=2, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else f"allowed: {', '.join(RULES)}"
        raise ValueError(f"rule {rule!r} is not known; {hint}")
    suggestion = RULES[rule](curve, Reading() if reading is None else reading)
    if not isinstance(suggestion, Suggestion):
        raise TypeError(f"rule {rule!r} must return a Suggestion; got {suggestion!r}")
    return suggestion


def suggest_all(curve: Curve, *, reading: Reading | None = None) -> dict[str, Suggestion]:
    """Read one curve with every rule, by name."""
    return {rule: suggest(curve, rule, reading=reading) for rule in RULES}


# The constants of bracket, chosen on the tuning tasks of benchmarks/quality.py
LOW_SHARE = 0.9  # of the descent, reached at low
CLIMB_SHARE = 0.75  # of the descent, climbed back at edge
WIDE = 3.0  # times smooth_f: the span of the line on which both are found
USUAL_STEPS = 125.0  # steps per decade of LR of the default ramp: 1000 from 1e-7 to 10
DRIFT = 0.5  # low is taken to fall as (steps per decade)^-0.5
EDGE_FACTOR = 2.0  # Smith 2015: the best LR is usually within a factor of two of the largest that converges
_SLIDE_POINTS = 15
_SLIDE_THRESHOLD = 0.005


def bracket(curve: Curve, reading: Reading) -> Suggestion:
    """Half way, in log, between where the descent is done and where the loss has climbed again.

        low  = first LR at which 90% of the descent from start to minimum is reached, times sqrt(k / 125)
        edge = first LR after the minimum at which the loss has climbed back over 75% of the descent, or the last LR
        high = edge / 2,  lr = sqrt(low * high)

    Both are read off a line of span 3 smooth_f. k is the number of steps in which the ramp multiplies the LR by ten,
    where low was found: a ramp with more steps a decade has done the same descent at lower LRs, though the LRs that
    are good for a training are the same. The factor moves low to where the default ramp would show it, with 125
    steps a decade. low is at most high. NO_POINT where the losses stop being finite without a climb: no edge is seen.

    Reference: this project; the factor of two is L. N. Smith, https://arxiv.org/abs/1506.01186 (2015), section 3.3.
    """
    landmarks = find_landmarks(curve, reading, span_factor=WIDE, climb=CLIMB_SHARE)
    nothing = nothing_to_read("bracket", curve, landmarks)
    if nothing is not None:
        return nothing
    reached = (
        landmarks.line.loss[landmarks.first : landmarks.last]
        <= landmarks.start - LOW_SHARE * landmarks.descent
    )
    index = landmarks.first + int(np.argmax(reached))
    broken_off = broken_off_reason(curve, landmarks)
    if landmarks.edge is None and broken_off is not None:
        return Suggestion("bracket", Outcome.NO_POINT, broken_off)
    edge = landmarks.lr_at(landmarks.last - 1 if landmarks.edge is None else landmarks.edge)
    high = edge / EDGE_FACTOR
    low = min(high, landmarks.lr_at(index) * (steps_per_decade(curve, index) / USUAL_STEPS) ** DRIFT)
    reason = Reason(Why.UP_TO_END if landmarks.edge is None else Why.UP_TO_CLIMB, share=LOW_SHARE)
    lr = min(max(math.sqrt(low * high), low), high)  # rounding never carries it outside
    return Suggestion("bracket", Outcome.FOUND, reason, lr=lr, low=low, high=high)


def steepest(curve: Curve, reading: Reading) -> Suggestion:
    """The LR at which the loss falls fastest: argmin of d loss / d log10(lr) up to the minimum.

    What the loss does after its minimum, where it jumps up and falls back, is no descent to learn from.

    Reference: the suggestion of torch-lr-finder (2018), there by a difference per step.
    """
    landmarks = find_landmarks(curve, reading)
    nothing = nothing_to_read("steepest", curve, landmarks)
    if nothing is not None:
        return nothing
    slope = landmarks.line.slope[landmarks.first : landmarks.minimum + 1]
    return _found("steepest", landmarks.lr_at(landmarks.first + int(np.argmin(slope))), Why.STEEPEST)


def minimum(curve: Curve, reading: Reading) -> Suggestion:
    """A tenth of the LR at which the loss is lowest.

    Reference: fastai's `minimum` (J. Howard and S. Gugger, 2018), https://docs.fast.ai/callback.schedule.html
    """
    landmarks = find_landmarks(curve, reading)
    nothing = nothing_to_read("minimum", curve, landmarks)
    if nothing is not None:
        return nothing
    return _found("minimum", landmarks.lr_at(landmarks.minimum) / 10, Why.BELOW_MINIMUM)


def divergence(curve: Curve, reading: Reading) -> Suggestion:
    """A tenth of the edge: the first LR after the minimum at which the loss has climbed back over half of the descent.

    NO_POINT where it never climbs so far.

    Reference: Y. Bengio, "Practical recommendations for gradient-based training" (2012),
    https://arxiv.org/abs/1206.5533: start from an LR that diverges and go down from there.
    """
    landmarks = find_landmarks(curve, reading)
    return nothing_to_read("divergence", curve, landmarks) or _from_edge(
        "divergence", curve, landmarks, 10.0, Why.BELOW_CLIMB
    )


def smith(curve: Curve, reading: Reading) -> Suggestion:
    """The largest LR that still converges: the last one before the edge (see divergence).

    An upper bound of a cycle, not a LR for a whole training. NO_POINT where the loss never climbs.

    Reference: L. N. Smith, https://arxiv.org/abs/1506.01186 (2015), section 3.3.
    """
    landmarks = find_landmarks(curve, reading)
    return nothing_to_read("smith", curve, landmarks) or _from_edge(
        "smith", curve, landmarks, 1.0, Why.BEFORE_CLIMB
    )


def valley(curve: Curve, reading: Reading) -> Suggestion:
    """Half way down the longest valley, as fastai counts it.

    With e the end and L the length of the longest strictly decreasing subsequence of the line's losses (the first
    of equally long ones): index = e - L + int(L / 3) + int(L / 6).

    Reference: fastai's `valley` (Z. Mueller and ESRI, 2021), https://docs.fast.ai/callback.schedule.html
    """
    landmarks = find_landmarks(curve, reading)
    nothing = nothing_to_read("valley", curve, landmarks)
    if nothing is not None:
        return nothing
    end, length = _longest_descent(landmarks.line.loss[landmarks.first : landmarks.last])
    index = max(0, end - length + length // 3 + length // 6)
    return _found("valley", landmarks.lr_at(landmarks.first + index), Why.IN_VALLEY)


def slide(curve: Curve, reading: Reading) -> Suggestion:
    """Coming from the right, the first LR whose slope resembles that 15 points further right.

    With g the difference of the line's losses per step: from r = last point on, leftwards, while
    |g(r) - g(r - 15)| > 0.005 * descent; the answer is the LR at r - 15 of the last such r. fastai's 0.005 is in
    units of loss; here it is a share of the descent, so that scaling the losses changes nothing. NO_POINT where
    the loss does not change its slope at the right end, and with 15 points or fewer.

    Reference: fastai's `slide` (N. Forman, 2021), https://docs.fast.ai/callback.schedule.html
    """
    landmarks = find_landmarks(curve, reading)
    nothing = nothing_to_read("slide", curve, landmarks)
    if nothing is not None:
        return nothing
    num_points = landmarks.last - landmarks.first
    if num_points <= _SLIDE_POINTS:
        reason = Reason(Why.FEW_POINTS, num_points=num_points, num_needed=_SLIDE_POINTS + 1)
        return Suggestion("slide", Outcome.NO_POINT, reason)
    slope = np.gradient(landmarks.line.loss[landmarks.first : landmarks.last])
    differs = np.abs(slope[_SLIDE_POINTS:] - slope[:-_SLIDE_POINTS]) > _SLIDE_THRESHOLD * landmarks.descent
    if not differs[-1]:
        return Suggestion("slide", Outcome.NO_POINT, Reason(Why.SAME_SLOPE, end_lr=landmarks.further_end))
    calm = np.flatnonzero(~differs)
    index = int(calm[-1]) + 1 if calm.size else 0
    return _found("slide", landmarks.lr_at(landmarks.first + index), Why.SLOPE_SETTLES)


def nothing_to_read(rule: str, curve: Curve, landmarks: Landmarks) -> Suggestion | None:
    """The answer of every rule where a curve has no descent; None where it has one."""
    if landmarks.outcome is Outcome.FOUND:
        return None
    return Suggestion(rule, landmarks.outcome, why_nothing(curve, landmarks))


def why_nothing(curve: Curve, landmarks: Landmarks) -> Reason:
    """What is wrong with a curve without a descent."""
    left, num_finite = landmarks.last - landmarks.first, len(landmarks.line)
    if landmarks.outcome is Outcome.TOO_SHORT:
        return Reason(Why.TOO_SHORT, num_points=left, num_needed=MIN_POINTS)
    if landmarks.outcome is Outcome.NON_FINITE and num_finite:
        return broken_off_reason(curve, landmarks) or Reason(Why.NON_FINITE, num_points=left, step=num_finite)
    if landmarks.outcome is Outcome.NON_FINITE:
        return Reason(Why.NON_FINITE_AT_ONCE)
    if landmarks.outcome is Outcome.DIVERGED_AT_START:
        return Reason(Why.CLIMBED_AT_START)
    if landmarks.climbs:
        return Reason(Why.CLIMBED_UNLEARNED)
    return Reason(Why.UNLEARNED, end_lr=landmarks.further_end)


def broken_off_reason(curve: Curve, landmarks: Landmarks) -> Reason | None:
    """Why no edge is seen where the losses stop being finite without a climb before; None where that is not so.

    A curve that ends with its last finite loss names its last LR.
    """
    index = landmarks.broken_off_at
    if index is None:
        return None
    lr = float(curve.lr[min(index, len(curve) - 1)])
    return Reason(Why.NON_FINITE_UNCLIMBED, step=index * curve.steps_per_point, lr=lr)


def steps_per_decade(curve: Curve, index: int) -> float:
    """Optimizer steps in which the ramp multiplies the LR by ten, at a point of the curve."""
    before, after = max(0, index - 1), min(len(curve) - 1, index + 1)
    decades = float(np.log10(curve.lr[after] / curve.lr[before]))
    return (after - before) * curve.steps_per_point / decades


def _found(rule: str, lr: float, why: Why) -> Suggestion:
    return Suggestion(rule, Outcome.FOUND, Reason(why), lr=lr)


def _from_edge(rule: str, curve: Curve, landmarks: Landmarks, factor: float, why: Why) -> Suggestion:
    broken_off = broken_off_reason(curve, landmarks)
    if landmarks.edge is None and broken_off is not None:
        return Suggestion(rule, Outcome.NO_POINT, broken_off)
    if landmarks.edge is None:
        return Suggestion(rule, Outcome.NO_POINT, Reason(Why.NEVER_CLIMBED, end_lr=landmarks.further_end))
    index = landmarks.edge if factor != 1 else max(landmarks.minimum, landmarks.edge - 1)
    return _found(rule, landmarks.lr_at(index) / factor, why)


def _longest_descent(loss: FloatArray) -> tuple[int, int]:
    """(end, length) of the longest strictly decreasing subsequence; of equally long ones the one that ends first."""
    tails: list[float] = []  # tails[k]: the largest negated end of a subsequence of length k + 1
    best_end, best_length = 0, 0
    for index, value in enumerate((-loss).tolist()):
        place = bisect_left(tails, value)
        tails[place : place + 1] = [value]
        if place + 1 > best_length:
            best_end, best_length = index, place + 1
    return best_end, best_length


for _rule in (bracket, steepest, minimum, divergence, valley, slide, smith):
    register_rule(_rule.__name__, _rule)
