"""The ramp: exact at both ends, rising in between."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steadylr.core.ramp import Ramp, StepMode

MODES: tuple[StepMode, ...] = ("exp", "linear")


@pytest.mark.parametrize("mode", MODES)
def test_a_ramp_has_n_points_and_both_ends_exactly(mode: StepMode) -> None:
    """No step is lost or doubled, as in some peers: the first LR is start_lr, the last is end_lr."""
    lrs = Ramp(3e-7, 7.0, 137, mode).lrs()
    assert lrs.shape == (137,)
    assert lrs[0] == 3e-7
    assert lrs[-1] == 7.0


def test_an_exponential_ramp_rises_by_equal_factors() -> None:
    """Nine points from 1e-7 to 10 are the powers of ten."""
    np.testing.assert_allclose(Ramp(1e-7, 10.0, 9).lrs(), 10.0 ** np.arange(-7, 2), rtol=1e-12)


def test_a_linear_ramp_rises_by_equal_differences() -> None:
    """Five points from 1 to 3 are half a unit apart."""
    np.testing.assert_allclose(Ramp(1.0, 3.0, 5, "linear").lrs(), [1.0, 1.5, 2.0, 2.5, 3.0], rtol=1e-15)


@given(
    start=st.floats(1e-10, 1.0),
    factor=st.floats(1.01, 1e10),
    num_iter=st.integers(2, 300),
    mode=st.sampled_from(MODES),
)
def test_a_ramp_rises_strictly_and_agrees_with_lr_at(
    start: float, factor: float, num_iter: int, mode: StepMode
) -> None:
    """lrs() is lr_at of every step, within the two ends."""
    ramp = Ramp(start, start * factor, num_iter, mode)
    lrs = ramp.lrs()
    assert (np.diff(lrs) > 0).all()
    assert lrs.tolist() == [ramp.lr_at(step) for step in range(num_iter)]


@given(scale=st.floats(1e-3, 1e3), mode=st.sampled_from(MODES))
def test_scaling_both_ends_scales_every_lr(scale: float, mode: StepMode) -> None:
    """The formula has no unit of its own."""
    np.testing.assert_allclose(
        Ramp(1e-5 * scale, scale, 50, mode).lrs(), scale * Ramp(1e-5, 1.0, 50, mode).lrs(), rtol=1e-12
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"start_lr": 0.0}, r"start_lr must be a finite number above 0; got 0\.0"),
        ({"start_lr": -1e-3}, "start_lr must be a finite number above 0"),
        ({"start_lr": math.nan}, "start_lr must be a finite number above 0; got nan"),
        ({"end_lr": math.inf}, "end_lr must be a finite number above 0; got inf"),
        ({"start_lr": 1.0, "end_lr": 1.0}, r"start_lr must be below end_lr; got start_lr=1\.0, end_lr=1\.0"),
        ({"start_lr": 2.0, "end_lr": 1.0}, "start_lr must be below end_lr"),
        ({"num_iter": 1}, "num_iter must be at least 2 .*; got 1"),
        ({"step_mode": "cosine"}, r"step_mode must be one of \('exp', 'linear'\); got 'cosine'"),
    ],
)
def test_a_wrong_argument_is_named(arguments: dict[str, Any], message: str) -> None:
    """The message says which argument, what is allowed and what came."""
    with pytest.raises(ValueError, match=message):
        Ramp(**{"start_lr": 1e-7, "end_lr": 10.0, "num_iter": 100, **arguments})


@pytest.mark.parametrize("step", [-1, 100])
def test_a_step_outside_the_ramp_is_refused(step: int) -> None:
    """There is no LR before the first step or after the last."""
    with pytest.raises(ValueError, match=f"step must be from 0 to 99; got {step}"):
        Ramp(1e-7, 10.0, 100).lr_at(step)


@pytest.mark.parametrize("mode", MODES)
def test_a_part_has_the_lrs_of_the_whole(mode: StepMode) -> None:
    """Those from low to high, ends included; steps keep their numbers and their LRs."""
    whole = Ramp(1e-7, 10.0, 200, mode)
    lrs = whole.lrs()
    part = whole.within(lrs[50], lrs[119])
    assert (part.part, part.steps) == ((50, 120), range(50, 120))
    np.testing.assert_array_equal(part.lrs(), lrs[50:120])
    assert part.lr_at(50) == lrs[50]
    assert part.num_iter == 200
    assert part.within(0.0, 100.0) == whole


@pytest.mark.parametrize(("low", "high"), [(20.0, 30.0), (1e-3, 1e-3), (1.0, 1e-2)])
def test_a_part_of_less_than_two_steps_is_the_whole(low: float, high: float) -> None:
    """There is nothing to train along."""
    assert Ramp().within(low, high) == Ramp()


@pytest.mark.parametrize("part", [(-1, 5), (5, 6), (7, 5), (0, 1001)])
def test_a_part_outside_of_the_ramp_is_refused(part: tuple[int, int]) -> None:
    """It names what is allowed."""
    with pytest.raises(ValueError, match=r"part must be at least 2 of the 1000 steps"):
        Ramp(part=part)
