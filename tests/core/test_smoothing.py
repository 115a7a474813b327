"""Smoothing: no lag, no bias on straight lines, no digits lost; against a slow twin."""

from __future__ import annotations

import numpy as np
import pytest
from curves import make_curve, sigmoid, typical
from hypothesis import given
from hypothesis import strategies as st

from steadylr.core.curve import Curve, FloatArray
from steadylr.core.ramp import Ramp, StepMode
from steadylr.core.rules import suggest
from steadylr.core.settings import Reading
from steadylr.core.smoothing import SmoothedCurve, finite_part, smooth, smooth_ema, tricube, variance_share

STEP = (10 / 1e-7) ** (1 / 99)  # of a ramp from 1e-7 to 10 in 100 points


def slow_smooth(x: FloatArray, loss: FloatArray, span_points: float) -> tuple[FloatArray, FloatArray]:
    """The twin: one weighted least-squares problem per point, solved by QR."""
    h = (span_points + 1) / 2
    value, slope = np.empty_like(loss), np.empty_like(loss)
    for i in range(loss.size):
        distance = np.abs(np.arange(loss.size) - i)
        near = distance < h
        weight = np.sqrt((1 - (distance[near] / h) ** 3) ** 3)
        design = np.stack([np.ones(int(near.sum())), x[near] - x[i]], axis=1)
        (value[i], slope[i]), *_ = np.linalg.lstsq(
            design * weight[:, None], (loss[near] - loss[i]) * weight, rcond=None
        )
        value[i] += loss[i]
    return value, slope


def steepest_lr(x: FloatArray, smoothed: SmoothedCurve) -> float:
    return float(10 ** x[10 + int(np.argmin(smoothed.slope[10:-5]))])


@pytest.mark.parametrize("smooth_f", [0.0, 0.02, 0.05, 0.1, 0.2])
def test_the_centred_smoother_does_not_move_the_steepest_point(smooth_f: float) -> None:
    """On a noise-free curve that is steepest at 1e-2, the answer is 1e-2 within one ramp step, for every smooth_f."""
    curve = make_curve(sigmoid(steepest=1e-2, width=0.6), num_iter=100)
    smoothed = smooth(curve.log10_lr, curve.loss, smooth_f * 100)
    assert 1e-2 / STEP <= steepest_lr(curve.log10_lr, smoothed) <= 1e-2 * STEP
    lr = suggest(curve, "steepest", reading=Reading(smooth_f=smooth_f)).lr
    assert lr is not None
    assert 1e-2 / STEP <= lr <= 1e-2 * STEP


@pytest.mark.parametrize(("weight", "lr"), [(0.2, 1.8e-2), (0.1, 3.1e-2), (0.05, 6.6e-2), (0.02, 1.7e-1)])
def test_the_ema_of_torch_lr_finder_lags_behind(weight: float, lr: float) -> None:
    """On the same curve torch-lr-finder 0.2.2 reports these LRs: its lag is a bias."""
    curve = make_curve(sigmoid(steepest=1e-2, width=0.6), num_iter=100)
    smoothed = smooth_ema(curve.log10_lr, curve.loss, weight)
    found = steepest_lr(curve.log10_lr, smoothed)
    assert float(f"{found:.1e}") == lr
    answer = suggest(curve, "steepest", reading=Reading(smoother="ema", ema_weight=weight)).lr
    assert answer == pytest.approx(found)


@given(
    seed=st.integers(0, 2**32 - 1),
    num_points=st.integers(3, 200),
    span=st.floats(3, 150),
    mode=st.sampled_from(["exp", "linear"]),
    offset=st.sampled_from([0.0, -5.0, 1e6]),
)
def test_the_fast_smoother_equals_its_slow_twin(
    seed: int, num_points: int, span: float, mode: StepMode, offset: float
) -> None:
    """Values and slopes are those of a weighted least-squares line per point, at the ends too."""
    x = np.log10(Ramp(1e-7, 10.0, num_points, mode).lrs())
    loss = np.random.default_rng(seed).standard_normal(num_points) + offset
    fast = smooth(x, loss, span)
    value, slope = slow_smooth(x, loss, span)
    np.testing.assert_allclose(fast.loss, value, rtol=0, atol=1e-9 * max(1.0, abs(offset)))
    unit = 1 / np.diff(x).min()  # slopes of random losses are of this size
    np.testing.assert_allclose(fast.slope, slope, rtol=0, atol=1e-9 * unit * max(1.0, abs(offset)))


@given(
    level=st.floats(-100, 100),
    slope=st.floats(-10, 10),
    span=st.floats(0, 120),
    mode=st.sampled_from(["exp", "linear"]),
)
def test_a_straight_line_comes_out_as_it_went_in(
    level: float, slope: float, span: float, mode: StepMode
) -> None:
    """There is no bias at the ends either; the slope is d loss / d log10(lr), on linear ramps as well."""
    x = np.log10(Ramp(1e-7, 10.0, 100, mode).lrs())
    smoothed = smooth(x, level + slope * x, span)
    np.testing.assert_allclose(smoothed.loss, level + slope * x, atol=1e-9)
    np.testing.assert_allclose(smoothed.slope, slope, atol=1e-7)


@pytest.mark.parametrize("value", [1.0, 0.1, -3.0, 2.302585092994046, 1e9])
def test_a_constant_loss_stays_what_it_is(value: float) -> None:
    """1.0 smooths to exactly 1.0 (one peer makes .505, .673, .758 of it), with a slope of exactly 0."""
    x = np.log10(Ramp(1e-7, 10.0, 60).lrs())
    loss = np.full(60, value)
    for smoothed in (smooth(x, loss, 0), smooth(x, loss, 15), smooth_ema(x, loss, 0.05)):
        assert (smoothed.loss == value).all()
        assert (smoothed.slope == 0).all()


def test_more_span_is_always_smoother() -> None:
    """The noise of the smoothed line falls as the span grows, step by step and not only from 5 to 50 points."""
    x = np.log10(Ramp(1e-7, 10.0, 4000).lrs())
    loss = np.random.default_rng(0).standard_normal(4000)
    spreads = [
        float(np.std(smooth(x, loss, span).loss)) for span in (0, 3, 4, 5, 7, 10, 20, 50, 51, 100, 400)
    ]
    assert spreads == sorted(spreads, reverse=True)
    assert len(set(spreads)) == len(spreads)


@pytest.mark.parametrize("span", [3.0, 15.0, 50.0, 151.5])
def test_the_variance_share_is_what_the_smoother_leaves(span: float) -> None:
    """Inside the curve the variance of a smoothed loss is this share of a raw one's."""
    x = np.log10(Ramp(1e-7, 10.0, 400).lrs())
    impulse = np.zeros(400)
    impulse[200] = 1.0
    response = smooth(x, impulse, span).loss
    assert float(np.sum(response**2)) == pytest.approx(variance_share(span), rel=1e-3)


@pytest.mark.parametrize("span", [0.0, 1.0, 2.9])
def test_below_three_points_nothing_is_smoothed(span: float) -> None:
    """smooth_f = 0 gives the raw losses, with central differences as slopes."""
    curve = make_curve(typical, noise=0.1)
    smoothed = smooth(curve.log10_lr, curve.loss, span)
    assert smoothed.loss.tolist() == curve.loss.tolist()
    np.testing.assert_allclose(smoothed.slope, np.gradient(curve.loss, curve.log10_lr))
    assert variance_share(span) == 1.0


def test_the_window_has_as_many_points_as_the_span_says() -> None:
    """5% of 1000 is 50 points; the window is odd, so 49 to 51 of them have a weight."""
    for span in (3, 5, 15, 51):
        assert tricube(span).size == span
    assert tricube(50).size in (49, 51)
    assert tricube(15).tolist() == tricube(15)[::-1].tolist()
    assert tricube(15).max() == tricube(15)[7] == 1.0


@given(end=st.integers(60, 99), span=st.floats(3, 60))
def test_stopping_early_changes_no_smoothed_point_that_does_not_see_the_end(end: int, span: float) -> None:
    """The span is a number of points, not a share of those recorded."""
    curve = make_curve(typical, num_iter=100, noise=0.1)
    whole = smooth(curve.log10_lr, curve.loss, span)
    cut = smooth(curve.log10_lr[:end], curve.loss[:end], span)
    seen = end - tricube(span).size // 2
    np.testing.assert_allclose(cut.loss[:seen], whole.loss[:seen], atol=1e-9)


@pytest.mark.parametrize("num_points", [0, 1, 2])
def test_very_few_points_are_left_alone(num_points: int) -> None:
    """Nothing to smooth is no error."""
    x, loss = np.arange(num_points, dtype=float), np.array([3.0, 1.0])[:num_points]
    for smoothed in (smooth(x, loss, 15), smooth_ema(x, loss, 1.0)):
        assert smoothed.loss.tolist() == loss.tolist()
        assert len(smoothed) == num_points
        assert smoothed.slope.tolist() == [0.0] * num_points if num_points < 2 else [-2.0, -2.0]


@given(seed=st.integers(0, 1000), weight=st.floats(0.01, 1.0))
def test_the_ema_is_its_formula(seed: int, weight: float) -> None:
    """s(i) = weight loss(i) + (1 - weight) s(i - 1), s(0) = loss(0)."""
    loss = np.random.default_rng(seed).standard_normal(50)
    expected = [loss[0]]
    for value in loss[1:]:
        expected.append(weight * value + (1 - weight) * expected[-1])
    np.testing.assert_allclose(smooth_ema(np.arange(50.0), loss, weight).loss, expected, atol=1e-12)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nothing_after_the_first_loss_that_is_no_number_is_read(bad: float) -> None:
    """The finite part ends before it, even if finite losses follow."""
    curve = Curve(np.arange(1.0, 6.0), np.array([5.0, 4.0, bad, 3.0, 2.0]), 5)
    lr, loss = finite_part(curve)
    assert lr.tolist() == [1.0, 2.0]
    assert loss.tolist() == [5.0, 4.0]


def test_losses_near_the_end_of_the_floats_do_not_overflow() -> None:
    """They count as 1e150, so that a warning about overflow stays away."""
    curve = Curve(np.arange(1.0, 21.0), np.tile([1e308, -1e308], 10), 20)
    lr, loss = finite_part(curve)
    smoothed = smooth(np.log10(lr), loss, 5)
    assert np.isfinite(smoothed.loss).all()
    assert np.isfinite(smoothed.slope).all()
