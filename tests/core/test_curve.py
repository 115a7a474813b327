"""The curve: checked once, never written to afterwards."""

from __future__ import annotations

import math

import numpy as np
import pytest
from curves import make_curve, typical

from steadylr.core.curve import Curve, Stop, frozen_array


def test_a_curve_copies_its_arrays_and_is_read_only() -> None:
    """What happens to the caller's arrays later, or to the curve's, can't change it."""
    lr, loss = np.array([1.0, 2.0]), np.array([0.5, 0.4])
    curve = Curve(lr, loss, 2)
    lr[0] = loss[0] = 9.0
    assert curve.lr.tolist() == [1.0, 2.0]
    assert curve.loss.tolist() == [0.5, 0.4]
    with pytest.raises(ValueError, match="read-only"):
        curve.loss[0] = 1.0


def test_losses_that_are_no_numbers_are_part_of_a_curve() -> None:
    """A run that went there is a record, not an error."""
    curve = Curve([1.0, 2.0, 3.0], [0.5, math.nan, math.inf], 10, "non_finite")  # type: ignore[arg-type]
    assert len(curve) == 3
    assert curve.stop is Stop.NON_FINITE


@pytest.mark.parametrize(
    ("lr", "loss", "num_iter", "message"),
    [
        ([1.0, 2.0], [1.0], 2, r"equally long and not empty; got shapes \(2,\) and \(1,\)"),
        ([], [], 2, r"not empty; got shapes \(0,\)"),
        ([[1.0]], [[1.0]], 2, r"one-dimensional.*got shapes \(1, 1\)"),
        ([0.0, 1.0], [1.0, 1.0], 2, r"lr must be finite and above 0; got 0\.0 at point 0"),
        ([1.0, math.nan], [1.0, 1.0], 2, "lr must be finite and above 0; got nan at point 1"),
        ([1.0, math.inf], [1.0, 1.0], 2, "lr must be finite and above 0; got inf at point 1"),
        ([1.0, 1.0], [1.0, 1.0], 2, r"lr must rise from point to point; got 1\.0 then 1\.0 at point 1"),
        ([1.0, 3.0, 2.0], [1.0] * 3, 3, r"lr must rise from point to point; got 3\.0 then 2\.0 at point 2"),
        ([1.0, 2.0], [1.0, 1.0], 1, "num_iter must be at least the 2 points given; got 1"),
    ],
)
def test_a_wrong_array_is_refused_with_the_point(
    lr: list[float], loss: list[float], num_iter: int, message: str
) -> None:
    """The message names the first point that is wrong, and its value."""
    with pytest.raises(ValueError, match=message):
        Curve(np.array(lr), np.array(loss), num_iter)


def test_an_unknown_reason_to_stop_is_refused() -> None:
    """Only the reasons of Stop are reasons."""
    with pytest.raises(ValueError, match="bored"):
        Curve(np.array([1.0]), np.array([1.0]), 1, "bored")  # type: ignore[arg-type]


def test_the_digest_tells_curves_apart_and_nothing_else() -> None:
    """Equal numbers give equal digests; one bit more or less gives another."""
    curve = make_curve(typical)
    assert curve.digest() == Curve(curve.lr, curve.loss, 999, Stop.DIVERGED).digest()
    loss = curve.loss.copy()
    loss[7] = np.nextafter(loss[7], 9.0)
    assert curve.digest() != Curve(curve.lr, loss, curve.num_iter).digest()


def test_log10_lr_is_the_log_of_the_lr() -> None:
    """Powers of ten have whole logs."""
    np.testing.assert_allclose(Curve([1e-3, 1e-1, 10.0], [1.0] * 3, 3).log10_lr, [-3.0, -1.0, 1.0])  # type: ignore[arg-type,list-item]


def test_a_frozen_array_is_a_copy_in_float64() -> None:
    """Whatever comes in, what comes out has one type and can't be written to."""
    before = np.array([1, 2], dtype=np.int32)
    after = frozen_array(before)
    assert after.dtype == np.float64
    assert not after.flags.writeable
    assert before.flags.writeable
