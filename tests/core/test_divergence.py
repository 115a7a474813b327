"""The stop rule: fires on explosions, NaN and inf, and on nothing else."""

from __future__ import annotations

import math
from statistics import median

import numpy as np
import pytest
from curves import climbing, constant, make_curve, sigmoid, typical
from hypothesis import given
from hypothesis import strategies as st

from steadylr.core.curve import Stop
from steadylr.core.divergence import StopRule, first_stop

RULE = StopRule()
SEEDS = st.integers(0, 2**32 - 1)


def losses(seed: int, *, explodes: bool = True, noise: float = 0.1, num_iter: int = 200) -> list[float]:
    shape = typical if explodes else sigmoid(top=2.3, depth=1.5)
    return make_curve(shape, num_iter=num_iter, noise=noise, seed=seed).loss.tolist()


def slow_stop(values: list[float], diverge_th: float | None) -> tuple[int, Stop] | None:
    """The twin: the documented formula, evaluated on the whole past at every step."""
    for i, value in enumerate(values):
        if not math.isfinite(value):
            return i, Stop.NON_FINITE
        if i < 10 or diverge_th is None:
            continue
        filtered = [median(values[j - 4 : j + 1]) for j in range(4, i + 1)]
        start = median(filtered[:6])
        noise = median(abs(values[j + 1] - values[j]) for j in range(9))
        noise = max(noise, 2.0**-22 * max(abs(v) for v in values[:10]))
        if filtered[-1] - start > diverge_th * max(start - min(filtered), 10 * noise):
            return i, Stop.DIVERGED
    return None


@given(seed=SEEDS, diverge_th=st.sampled_from([0.5, 2.0, 5.0, None]), bad=st.integers(0, 400))
def test_the_monitor_equals_its_slow_twin(seed: int, diverge_th: float | None, bad: int) -> None:
    """Loss by loss, in constant memory, it decides as the formula does on the whole past."""
    values = losses(seed)
    if bad < len(values):
        values[bad] = math.nan
    assert first_stop(values, StopRule(diverge_th)) == slow_stop(values, diverge_th)


@given(seed=SEEDS, shift=st.floats(-1e3, 1e3), scale=st.floats(1e-3, 1e3))
def test_shifting_and_scaling_the_losses_changes_nothing(seed: int, shift: float, scale: float) -> None:
    """Only differences count, in units of the curve itself."""
    values = losses(seed)
    fired = first_stop(values, RULE)
    assert fired is not None
    assert first_stop([value + shift for value in values], RULE) == fired
    assert first_stop([value * scale for value in values], RULE) == fired


@given(seed=SEEDS, cut=st.integers(1, 199), other=SEEDS)
def test_the_decision_depends_on_the_past_only(seed: int, cut: int, other: int) -> None:
    """Where the rule has fired by some step, no later loss moves that."""
    values = losses(seed)
    changed = values[:cut] + losses(other)[cut:]
    fired, fired_changed = first_stop(values, RULE), first_stop(changed, RULE)
    if fired is not None and fired[0] < cut:
        assert fired_changed == fired
    else:
        assert fired_changed is None or fired_changed[0] >= cut


@given(seed=SEEDS, offset=st.sampled_from([0.0, -2.0, -100.0]))
def test_a_loss_that_falls_never_stops_below_zero_either(seed: int, offset: float) -> None:
    """Negative losses are safe (one peer stops at once)."""
    assert first_stop([value + offset for value in losses(seed, explodes=False)], RULE) is None


@given(seed=SEEDS, at=st.integers(0, 198), width=st.integers(1, 2), height=st.sampled_from([1e2, 1e6, 1e30]))
def test_a_spike_of_one_or_two_losses_stops_nothing(seed: int, at: int, width: int, height: float) -> None:
    """A median of five does not see them, wherever they are."""
    values = losses(seed, explodes=False)
    values[at : at + width] = [height] * len(values[at : at + width])
    assert first_stop(values, RULE) is None


@pytest.mark.parametrize("seed", range(5))
def test_an_explosion_stops_the_run_soon(seed: int) -> None:
    """Two descents above the start, and the three losses that the filter needs."""
    values = losses(seed)
    fired = first_stop(values, RULE)
    assert fired is not None
    index, stop = fired
    assert stop is Stop.DIVERGED
    limit = 2.3 + 2 * 1.5
    first_above = next(i for i, value in enumerate(values) if value > limit)
    assert first_above <= index <= first_above + 4


def test_a_loss_that_only_climbs_stops_too() -> None:
    """Without a descent the noise is the unit: 2 x 10 of it above the start."""
    fired = first_stop(make_curve(climbing, noise=0.01).loss.tolist(), RULE)
    assert fired is not None
    assert fired[1] is Stop.DIVERGED


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("at", [0, 5, 50])
@pytest.mark.parametrize("diverge_th", [2.0, None])
def test_a_loss_that_is_no_number_stops_at_once(bad: float, at: int, diverge_th: float | None) -> None:
    """At its own index, also before any noise is known and with the rule switched off."""
    values = losses(0)
    values[at] = bad
    assert first_stop(values, StopRule(diverge_th)) == (at, Stop.NON_FINITE)


def test_the_rule_can_be_switched_off() -> None:
    """With diverge_th None an explosion runs to the end."""
    assert first_stop(losses(0), StopRule(None)) is None


def test_a_higher_threshold_stops_later() -> None:
    """diverge_th counts descents above the start."""
    assert StopRule().diverge_th == 2.0
    ends = [first_stop(losses(0, num_iter=1000), StopRule(th)) for th in (0.5, 2.0, 20.0)]
    indices = [end[0] for end in ends if end is not None]
    assert len(indices) == 3
    assert indices == sorted(set(indices))


@pytest.mark.parametrize("value", [0.0, 1.0, -7.5])
def test_a_constant_loss_never_stops(value: float) -> None:
    """No descent and no noise is no divergence."""
    assert first_stop(make_curve(constant(value)).loss.tolist(), RULE) is None


def test_rounding_in_float32_is_no_noise_to_diverge_from() -> None:
    """Losses that differ in their last float32 digit only are constant, however often they climb by one digit."""
    values = np.full(200, 2.3, dtype=np.float32)
    values[20:] = np.nextafter(values[20:], np.float32(9))
    assert first_stop(values.tolist(), RULE) is None


@given(seed=SEEDS)
def test_noise_alone_never_stops(seed: int) -> None:
    """Normal noise would have to climb 20 times its own size."""
    assert first_stop(np.random.default_rng(seed).standard_normal(1000).tolist(), RULE) is None


def test_a_monitor_that_has_fired_stays_fired() -> None:
    """What comes after the end of a run can't bring it back."""
    monitor = RULE.monitor()
    assert monitor.update(math.nan) is Stop.NON_FINITE
    assert monitor.update(1.0) is Stop.NON_FINITE


@pytest.mark.parametrize("diverge_th", [0.0, -1.0, math.nan, math.inf])
def test_a_threshold_that_is_none_is_refused(diverge_th: float) -> None:
    """The message says what is allowed, and how to switch the rule off."""
    with pytest.raises(ValueError, match="diverge_th must be a finite number above 0, or None to never stop"):
        StopRule(diverge_th)
