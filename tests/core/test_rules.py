"""The rules: known answers on analytic curves, a slow twin for the valley, and rules of one's own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from curves import make_curve, parabola, sigmoid, trapezium, typical

from steadylr.core.curve import Curve, FloatArray, Stop
from steadylr.core.diagnosis import diagnose
from steadylr.core.divergence import StopRule
from steadylr.core.landmarks import find_landmarks
from steadylr.core.ramp import StepMode
from steadylr.core.rules import RULES, register_rule, suggest, suggest_all
from steadylr.core.settings import Reading
from steadylr.core.smoothing import smooth_ema
from steadylr.core.suggestion import Outcome, Reason, Suggestion, Why

RAW = Reading(smooth_f=0.0, skip_start=0, skip_end=0)
BY_HAND = make_curve(trapezium, num_iter=801)  # a hundred points a decade
STEP = 10**0.01


def lr_of(curve: Curve, rule: str, reading: Reading | None = None) -> float:
    found = suggest(curve, rule, reading=reading)
    assert found.outcome is Outcome.FOUND, found
    assert found.lr is not None
    return found.lr


def within_a_step(expected: float, steps: float = 1.01) -> object:
    return pytest.approx(expected, rel=STEP**steps - 1)


def test_the_registry_holds_the_seven_rules() -> None:
    """These names are what finder.rule accepts."""
    assert set(RULES) >= {"bracket", "steepest", "valley", "slide", "minimum", "divergence", "smith"}
    assert list(suggest_all(BY_HAND)) == list(RULES)


def moved(low: float, num_iter: int) -> float:
    """A low that was read off a ramp of 8 decades, where the default ramp of 1000 iterations would show it."""
    return low * ((num_iter - 1) / 8 / 125) ** 0.5


def test_bracket_on_a_curve_read_by_hand() -> None:
    """From 1 to 0 between 1e-4 and 1e-2: 90% at 10^-2.2. From 0 at 1 by 10 a decade: 75% at 10^0.075."""
    found = suggest(BY_HAND, "bracket", reading=RAW)
    low, high = moved(10**-2.2, len(BY_HAND)), 10**0.075 / 2
    assert found.low == within_a_step(low)
    assert found.high == within_a_step(high)
    assert found.lr == within_a_step((low * high) ** 0.5)


def test_bracket_uses_the_last_lr_where_nothing_climbs() -> None:
    """edge is the end of the ramp then."""
    found = suggest(make_curve(sigmoid(steepest=1e-3, width=0.2)), "bracket", reading=RAW)
    assert found.high == pytest.approx(10 / 2)


def test_bracket_keeps_low_below_high_where_the_edge_follows_at_once() -> None:
    """low is high then, and so is the LR: never more than half of the edge."""
    curve = make_curve(lambda x: np.interp(x, [-7, -2, -1, -0.9], [1, 1, 0, 10]), num_iter=2001)
    found = suggest(curve, "bracket", reading=RAW)
    assert found.high == within_a_step(10**-0.9925 / 2)
    assert found.low == found.lr == found.high


@pytest.mark.parametrize("num_iter", [200, 500, 5000])
def test_bracket_does_not_move_with_a_ramp_that_shows_the_descent_at_lower_lrs(num_iter: int) -> None:
    """Where low falls as (steps per decade)^(-1/2) any ramp gives the same LR."""
    shift = 0.5 * np.log10(1000 / num_iter)
    curve = make_curve(
        lambda x: np.interp(x, [-7, -4 + shift, -2 + shift, 0.0, 1.0], [1, 1, 0, 0, 10]), num_iter=num_iter
    )
    usual = suggest(make_curve(trapezium, num_iter=1000), "bracket", reading=RAW)
    assert suggest(curve, "bracket", reading=RAW).lr == pytest.approx(usual.lr, rel=0.02 + 20 / num_iter)


def test_bracket_counts_the_steps_between_the_points_of_a_validation_curve() -> None:
    """A point every 10 steps of a ramp of 10 times the iterations: low is moved as on the whole ramp."""
    points = make_curve(trapezium, num_iter=200)
    sparse = suggest(replace(points, steps_per_point=10), "bracket", reading=RAW)
    each = suggest(points, "bracket", reading=RAW)
    assert sparse.low is not None
    assert each.low is not None
    assert sparse.low / each.low == pytest.approx(10**0.5)


def test_bracket_reads_both_ends_off_a_line_with_three_times_the_span() -> None:
    """The same as reading with three times smooth_f by hand."""
    reading = Reading(smooth_f=0.1, skip_start=0, skip_end=0)
    found = suggest(BY_HAND, "bracket", reading=reading)
    wide = Reading(smooth_f=0.3, skip_start=0, skip_end=0)
    line = find_landmarks(BY_HAND, wide, climb=0.75)
    reached = line.lr_at(int(np.argmax(line.line.loss <= line.start - 0.9 * line.descent)))
    assert line.edge is not None
    assert found.low == pytest.approx(moved(reached, len(BY_HAND)))
    assert found.high == pytest.approx(line.lr_at(line.edge) / 2)


@pytest.mark.parametrize(
    ("steepest", "start_lr", "mode"),
    [
        (1e-4, 1e-7, "exp"),
        (1e-2, 1e-7, "exp"),
        (0.3, 1e-7, "exp"),
        (2.0, 1e-3, "linear"),
        (4.0, 1e-3, "linear"),
    ],
)
def test_steepest_is_the_steepest_point_in_log10_lr(steepest: float, start_lr: float, mode: StepMode) -> None:
    """On both ramps: the slope is d loss / d log10(lr), not per step and not per LR."""
    shape = sigmoid(steepest=steepest, width=0.05)
    curve = make_curve(shape, num_iter=2001, start_lr=start_lr, step_mode=mode)
    assert lr_of(curve, "steepest", RAW) == pytest.approx(steepest, rel=0.01)


def test_steepest_ignores_what_falls_after_the_minimum() -> None:
    """A loss that jumps up and falls back is no descent to learn from."""
    curve = make_curve(
        lambda x: np.interp(x, [-7, -4, -2, -1, 0, 0.2, 1], [1, 1, 0, 0, 0.3, 0.05, 0.05]), num_iter=801
    )
    assert 1e-4 <= lr_of(curve, "steepest", RAW) <= 1e-2


def test_minimum_is_a_tenth_of_the_lowest_lr() -> None:
    """A parabola lowest at 1e-2 gives 1e-3, with and without smoothing."""
    curve = make_curve(parabola(lowest=1e-2), num_iter=801)
    for reading in (RAW, Reading()):
        assert lr_of(curve, "minimum", reading) == within_a_step(1e-3)


def test_divergence_is_a_tenth_of_the_edge() -> None:
    """Half of the descent is climbed back at 10^0.05."""
    assert lr_of(BY_HAND, "divergence", RAW) == within_a_step(10**0.05 / 10)


def test_smith_is_the_last_lr_before_the_edge() -> None:
    """The largest LR that still converges."""
    edge = find_landmarks(BY_HAND, RAW).edge
    assert edge is not None
    assert lr_of(BY_HAND, "smith", RAW) == pytest.approx(BY_HAND.lr[edge - 1])
    assert lr_of(BY_HAND, "smith", RAW) == within_a_step(10**0.05)


@pytest.mark.parametrize(("end_lr", "advised"), [(10.0, 100.0), (99.0, 990.0), (100.0, None), (1e4, None)])
def test_nobody_is_sent_further_than_any_optimizer_wants(end_lr: float, advised: float | None) -> None:
    """From a ramp that went to 100, raising its end is no advice: the LR doesn't reach what is trained."""
    curve = make_curve(sigmoid(steepest=1e-3, width=0.2), end_lr=end_lr)
    for reason in (suggest(curve, "smith").reason, *diagnose(curve)):
        assert not isinstance(reason, str)
        assert reason.end_lr == (None if advised is None else pytest.approx(advised))


@pytest.mark.parametrize("rule", ["divergence", "smith"])
def test_without_a_climb_there_is_no_edge_to_name(rule: str) -> None:
    """They say so, and what to do, instead of giving the last LR."""
    found = suggest(make_curve(sigmoid(steepest=1e-3, width=0.2)), rule)
    assert found.outcome is Outcome.NO_POINT
    assert found.lr is None
    assert found.reason == Reason(Why.NEVER_CLIMBED, end_lr=pytest.approx(100.0))


def test_a_run_that_diverged_has_its_edge_at_its_end() -> None:
    """Where the climb lies within the skipped end, the edge is the last point that is read."""
    whole = make_curve(sigmoid(steepest=1e-3, width=0.2), num_iter=801)
    curve = Curve(whole.lr[:600], whole.loss[:600], 801, Stop.DIVERGED)
    assert find_landmarks(curve, Reading()).edge == 600 - 5 - 1


def test_a_climb_within_the_skipped_end_is_seen() -> None:
    """Also of a run that reached its end: skip_end hides its points from the line, not that it climbed."""
    whole = make_curve(sigmoid(steepest=1e-3, width=0.2), num_iter=300)
    loss = whole.loss.copy()
    loss[-5:] = [0.5, 1.0, 2.0, 4.0, 8.0]
    assert find_landmarks(Curve(whole.lr, loss, 300), Reading()).edge == 294


def slow_valley(lr: FloatArray, loss: FloatArray) -> float:
    """The twin: the longest strictly decreasing subsequence by dynamic programming, as fastai counts it."""
    lengths = [1] * loss.size
    for i in range(loss.size):
        for j in range(i):
            if loss[i] < loss[j]:
                lengths[i] = max(lengths[i], lengths[j] + 1)
    end = lengths.index(max(lengths))
    length = lengths[end]
    return float(lr[max(0, end - length + int(length / 3) + int(length / 6))])


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("smooth_f", [0.0, 0.05])
def test_valley_equals_its_slow_twin(seed: int, smooth_f: float) -> None:
    """n log n by bisection gives the same end and length as n squared."""
    curve = make_curve(typical, num_iter=200, noise=0.1, seed=seed)
    reading = Reading(smooth_f=smooth_f)
    found = find_landmarks(curve, reading)
    read = slice(found.first, found.last)
    expected = slow_valley(curve.lr[read], found.line.loss[read])
    assert lr_of(curve, "valley", reading) == pytest.approx(expected)


def test_valley_is_half_way_down_a_plain_descent() -> None:
    """Two hundred falling points between 1e-4 and 1e-2: half of them later is 1e-3."""
    assert lr_of(BY_HAND, "valley", RAW) == within_a_step(1e-3, 3)


def test_slide_walks_left_while_the_slopes_differ() -> None:
    """Falling by 0.02 a step up to index 150 and flat after it, then falling again for the last ten points: the last
    fifteen comparisons differ, and the answer is the LR where they begin."""
    loss = np.concatenate([np.full(101, 2.0), 2.0 - 0.02 * np.arange(1, 51), np.full(40, 1.0)])
    loss = np.concatenate([loss, 1.0 - 0.02 * np.arange(1, 11)])
    curve = Curve(np.logspace(-7, 1, loss.size), loss, loss.size)
    gradient = np.gradient(loss)
    right = loss.size - 1
    while abs(gradient[right] - gradient[right - 15]) > 0.005 * find_landmarks(curve, RAW).descent:
        right -= 1
    assert lr_of(curve, "slide", RAW) == pytest.approx(curve.lr[right + 1 - 15])


def test_slide_has_no_point_where_the_right_end_is_calm() -> None:
    """fastai gives the LR 16 points from the end there, whatever the curve."""
    found = suggest(make_curve(sigmoid(steepest=1e-4, width=0.1), num_iter=801), "slide", reading=RAW)
    assert found.outcome is Outcome.NO_POINT


def test_rules_give_the_same_answer_whether_or_not_the_rule_stopped_the_run() -> None:
    """What an explosion reaches does not drown the smoothing: the cap cuts it, and spans are of the planned points."""
    whole = make_curve(typical, num_iter=1000, noise=0.02)
    stopped = make_curve(typical, num_iter=1000, noise=0.02, rule=StopRule())
    assert len(stopped) < len(whole)
    for rule in ("bracket", "minimum", "steepest", "divergence", "smith"):
        assert lr_of(stopped, rule) == pytest.approx(lr_of(whole, rule), rel=0.1), rule


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("num_iter", [100, 300, 1000])
def test_bracket_on_a_noisy_curve_lies_where_it_lies_without_noise(seed: int, num_iter: int) -> None:
    """Within a factor of 2, which is how well an LR has to be known."""
    clean = lr_of(make_curve(typical, num_iter=num_iter, rule=StopRule()), "bracket")
    noisy = lr_of(make_curve(typical, num_iter=num_iter, noise=0.1, seed=seed, rule=StopRule()), "bracket")
    assert 0.5 <= noisy / clean <= 2


def test_the_smoother_ema_is_used_when_asked_for() -> None:
    """The line of the rules is torch-lr-finder's then."""
    curve = make_curve(sigmoid(), num_iter=100)
    line = find_landmarks(curve, Reading(smoother="ema", ema_weight=0.1)).line
    np.testing.assert_allclose(line.loss, smooth_ema(curve.log10_lr, curve.loss, 0.1).loss)


def highest(curve: Curve, reading: Reading) -> Suggestion:
    return Suggestion("highest", Outcome.FOUND, "the last LR", lr=float(curve.lr[-1]))


@pytest.fixture
def own_rule() -> Iterator[str]:
    register_rule("highest", highest)
    yield "highest"
    del RULES["highest"]


def test_a_rule_of_ones_own_works_like_the_others(own_rule: str) -> None:
    """Registered once, it is found by its name and asked by suggest_all; registering it again changes nothing."""
    register_rule(own_rule, highest)
    assert suggest(BY_HAND, own_rule).lr == pytest.approx(10.0)
    assert suggest_all(BY_HAND)[own_rule].lr == pytest.approx(10.0)
    with pytest.raises(ValueError, match="did you mean highest"):
        suggest(BY_HAND, "hihgest")


def test_a_rule_of_ones_own_leaves_no_trace_once_it_is_gone() -> None:
    """RULES is a plain dict."""
    assert "highest" not in RULES


@pytest.mark.parametrize("name", ["bracket", "valley"])
def test_a_name_that_is_taken_is_refused(name: str) -> None:
    """And the rule that has it stays."""
    before = RULES[name]
    with pytest.raises(ValueError, match=f"there is a rule '{name}' already; choose another name"):
        register_rule(name, highest)
    assert RULES[name] is before


@pytest.mark.parametrize("name", ["", "my rule", "2nd", "a.b", None])
def test_a_name_that_is_no_identifier_is_refused(name: str) -> None:
    """It has to be typed after finder.rule=."""
    with pytest.raises(ValueError, match="a rule's name must be an identifier"):
        register_rule(name, highest)


def test_what_can_not_be_called_is_no_rule() -> None:
    """The message shows the signature."""
    with pytest.raises(TypeError, match=r"rule must be a function \(curve, reading\) -> Suggestion; got 3"):
        register_rule("three", 3)  # type: ignore[arg-type]
    assert "three" not in RULES


def test_a_rule_that_returns_no_suggestion_is_named() -> None:
    """A bare number is the likely slip."""
    register_rule("bare", lambda curve, reading: 0.1)  # type: ignore[arg-type,return-value]
    try:
        with pytest.raises(TypeError, match=r"rule 'bare' must return a Suggestion; got 0\.1"):
            suggest(BY_HAND, "bare")
    finally:
        del RULES["bare"]


@pytest.mark.parametrize(
    ("name", "hint"), [("braket", "did you mean bracket"), ("zzz", "allowed: bracket, steepest, minimum")]
)
def test_an_unknown_rule_is_refused_with_the_nearest_names(name: str, hint: str) -> None:
    """Or with all names, where none is near."""
    with pytest.raises(ValueError, match=f"rule '{name}' is not known; {hint}"):
        suggest(BY_HAND, name)
