"""Landmarks: levels and indices on curves read by hand; what is flat, what diverged, what is too short."""

from __future__ import annotations

import numpy as np
import pytest
from curves import changed, climbing, constant, make_curve, sigmoid, trapezium, typical

from steadylr.core.curve import Curve, Stop
from steadylr.core.diagnosis import diagnose
from steadylr.core.divergence import StopRule, first_stop
from steadylr.core.landmarks import Landmarks, find_landmarks
from steadylr.core.ramp import Ramp
from steadylr.core.rules import suggest
from steadylr.core.settings import Reading
from steadylr.core.suggestion import Outcome

RAW = Reading(smooth_f=0.0, skip_start=0, skip_end=0)


def outcome(curve: Curve, reading: Reading | None = None) -> Outcome:
    return find_landmarks(curve, Reading() if reading is None else reading).outcome


def flat_rate(num_iter: int, noise: float, *, depth: float) -> float:
    """The share of 40 seeded curves that are called flat."""
    shape = sigmoid(steepest=10**-2.5, width=0.25, depth=depth)
    curves = [make_curve(shape, num_iter=num_iter, noise=noise, seed=seed) for seed in range(40)]
    return float(np.mean([outcome(curve) is Outcome.FLAT for curve in curves]))


def test_start_minimum_and_edge_on_a_curve_read_by_hand() -> None:
    """1 at the start, lowest first at 1e-2, half way up again at 10^0.05; no noise."""
    found = find_landmarks(make_curve(trapezium, num_iter=801), RAW)
    assert (found.outcome, found.first, found.last) == (Outcome.FOUND, 0, 801)
    assert found.start == pytest.approx(1.0)
    assert found.descent == pytest.approx(1.0)
    assert found.noise == pytest.approx(0.0, abs=1e-12)
    assert found.lr_at(found.minimum) == pytest.approx(1e-2, rel=0.03)
    assert found.edge is not None
    assert found.lr_at(found.edge) == pytest.approx(10**0.055, rel=0.03)


def test_an_explosion_is_capped_at_half_a_descent_above_the_start() -> None:
    """1.5 on a curve from 1 down to 0; in differences, so that it is 101.5 a hundred higher."""
    for offset in (0.0, 100.0, -100.0):
        curve = make_curve(lambda x, offset=offset: trapezium(x) + offset, num_iter=801)  # type: ignore[misc]
        assert find_landmarks(curve, RAW).line.loss.max() - offset == pytest.approx(1.5)


def test_the_noise_is_measured_whatever_the_slope() -> None:
    """Second differences: a descent of fifteen noises is no noise."""
    noises = [
        find_landmarks(make_curve(typical, noise=0.1, seed=seed), Reading()).noise for seed in range(20)
    ]
    assert np.mean(noises) == pytest.approx(0.1, rel=0.1)


def test_the_error_of_the_line_is_what_repeats_show() -> None:
    """The standard deviation over seeds of a point of the line."""
    found = [find_landmarks(make_curve(typical, noise=0.05, seed=seed), Reading()) for seed in range(200)]
    observed = float(np.std([one.line.loss[60] for one in found]))
    assert np.mean([one.error for one in found]) == pytest.approx(observed, rel=0.15)


@pytest.mark.parametrize("num_iter", [30, 100, 300, 1000])
@pytest.mark.parametrize("reading", [Reading(), RAW, Reading(smooth_f=0.2)])
def test_noise_alone_is_flat(num_iter: int, reading: Reading) -> None:
    """At most one of 60 seeded curves without a descent is taken for one, however they are read."""
    found = [
        outcome(make_curve(constant(2.3), num_iter=num_iter, noise=0.1, seed=seed), reading)
        for seed in range(60)
    ]
    assert found.count(Outcome.FLAT) >= 59


def test_the_line_of_a_flat_curve_runs_through_the_middle_of_its_noise() -> None:
    """The cap cuts explosions, not the upper half of the noise."""
    middles = [
        float(np.mean(find_landmarks(make_curve(constant(2.3), noise=0.1, seed=seed), Reading()).line.loss))
        for seed in range(20)
    ]
    assert np.mean(middles) == pytest.approx(2.3, abs=0.005)


def test_a_descent_to_the_last_point_is_seen_as_well_as_any() -> None:
    """Of 40 curves that never climb, whose noise is 0.6 of their descent, 300 iterations see all."""
    assert flat_rate(300, 0.6, depth=1.0) == 0


def test_a_descent_of_ten_noises_is_never_flat() -> None:
    """A run of 100 iterations sees it."""
    assert flat_rate(100, 0.1, depth=1.0) == 0


def test_longer_runs_see_smaller_descents() -> None:
    """One that is hidden in 100 iterations shows in 3000."""
    assert flat_rate(100, 1.0, depth=1.0) > 0.5
    assert flat_rate(3000, 1.0, depth=1.0) == 0


@pytest.mark.parametrize("value", [0.0, 1.0, -2.3, 1e6])
def test_a_constant_loss_is_flat(value: float) -> None:
    """Whatever its value: no rounding makes a descent of it."""
    assert outcome(make_curve(constant(value))) is Outcome.FLAT


def test_rounding_in_float32_is_no_descent() -> None:
    """A dead model's loss that flips its last float32 digit now and then is flat."""
    loss = np.full(300, 2.3025851, dtype=np.float32)
    loss[np.random.default_rng(0).random(300) < 0.1] = np.nextafter(np.float32(2.3025851), np.float32(0))
    loss[200:] = np.nextafter(np.float32(2.3025851), np.float32(0))
    assert outcome(Curve(np.logspace(-7, 1, 300), loss, 300)) is Outcome.FLAT


def test_a_loss_that_climbs_from_the_first_step_diverged_at_the_start() -> None:
    """With and without the stop rule's word for it."""
    assert outcome(make_curve(climbing, noise=0.01)) is Outcome.DIVERGED_AT_START
    early = Curve(np.logspace(-2, 0, 300)[:60], 2 + 0.2 * np.arange(60.0), 300, Stop.DIVERGED)
    assert outcome(early) is Outcome.DIVERGED_AT_START


def test_a_loss_that_never_falls_and_explodes_late_is_flat() -> None:
    """Six decades without a descent are no matter of start_lr: the model does not learn."""
    curve = make_curve(lambda x: 2.3 + 10 ** np.clip(4 * (x - 0.1), -9, 4), noise=0.05)
    found = find_landmarks(curve, Reading())
    assert found.outcome is Outcome.FLAT
    assert found.climbs


def cut(num_points: int, stop: Stop, *, bad: float | None = None) -> Landmarks:
    loss = np.linspace(1, 2, num_points)
    if bad is not None:
        loss[-1] = bad
    return find_landmarks(Curve(np.logspace(-3, 1, 300)[:num_points], loss, 300, stop), Reading())


def test_too_few_points_have_a_reason() -> None:
    """The settings, a divergence, or a loss that is no number: each is named for what it is."""
    assert cut(20, Stop.COMPLETED).outcome is Outcome.TOO_SHORT
    assert cut(20, Stop.DIVERGED).outcome is Outcome.DIVERGED_AT_START
    assert cut(20, Stop.NON_FINITE, bad=np.nan).outcome is Outcome.NON_FINITE
    assert cut(1, Stop.NON_FINITE, bad=np.nan).outcome is Outcome.NON_FINITE


def test_ten_points_after_the_skips_are_enough() -> None:
    """And nine are not."""
    for num_points, expected in ((24, Outcome.TOO_SHORT), (25, Outcome.FOUND)):
        curve = Curve(np.logspace(-3, 1, num_points), np.linspace(1, 0, num_points), num_points)
        assert outcome(curve) is expected


def test_whether_there_is_a_descent_does_not_depend_on_the_smoothing() -> None:
    """So all rules agree, bracket with its two spans included."""
    for seed in range(20):
        curve = make_curve(typical, num_iter=100, noise=0.5, seed=seed)
        readings = (Reading(), Reading(smooth_f=0), Reading(smooth_f=0.3), Reading(smoother="ema"))
        assert len({outcome(curve, reading) for reading in readings}) == 1
        assert find_landmarks(curve, Reading(), span_factor=3.0).outcome is outcome(curve)


def trained_on_a_linear_ramp(num_iter: int, seed: int) -> Curve:
    """A loss that forgets by half of the LR a step, and grows by a fifth a step from LR 1.5 on."""
    lr = Ramp(1e-4, 3.0, num_iter, "linear").lrs()
    rng = np.random.default_rng(seed)
    level, losses = 2.3, []
    for step_lr in lr:
        losses.append(level + 0.1 * rng.standard_normal())
        level = (
            level * 1.2 if step_lr >= 1.5 else level - 0.5 * min(step_lr, 1.0) * (level - 0.5 - 0.3 * step_lr)
        )
    fired = first_stop(losses, StopRule())
    assert fired is not None
    end = fired[0] + 1
    return Curve(lr[:end], np.array(losses[:end]), num_iter, fired[1])


@pytest.mark.parametrize("num_iter", [300, 1000])
@pytest.mark.parametrize("seed", range(5))
def test_a_linear_ramp_that_learns_within_its_first_tenth_is_read_right(num_iter: int, seed: int) -> None:
    """The start is a tenth of the range in log10(lr), so a descent within the first tenth of the steps is no start:
    Smith's largest LR that converges is 1.5, and nothing is found wrong."""
    curve = trained_on_a_linear_ramp(num_iter, seed)
    assert suggest(curve, "smith").lr == pytest.approx(1.5, rel=0.1)
    assert diagnose(curve) == ()


@pytest.mark.parametrize("num_iter", [100, 401, 1000])
def test_on_an_exponential_ramp_the_start_is_the_first_tenth_of_the_points(num_iter: int) -> None:
    """To the point, whatever the LRs are scaled by."""
    curve = make_curve(typical, num_iter=num_iter)
    for scale in (1.0, 0.3, 1e-3, 7e5):
        found = find_landmarks(changed(curve, lr_scale=scale), RAW)
        assert found.num_start == (num_iter - 1) // 10 + 1
