"""Which curves of a sweep look unlike the rest: synthetic curves with known answers, and the laws."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from steadylr.core.curve import Curve, FloatArray, Stop
from steadylr.core.ramp import Ramp
from steadylr.core.shapes import odd_curves

LRS = Ramp(1e-7, 10.0, 300).lrs()
Shape = Callable[[FloatArray], FloatArray]


def usual(log10_lr: FloatArray) -> FloatArray:
    """Flat at 2.3, down to 0.8 around 1e-3, up again beyond 1."""
    return 2.3 - 1.5 / (1 + np.exp(-4 * (log10_lr + 3))) + 3 / (1 + np.exp(-8 * (log10_lr - 0.3)))


def flat(log10_lr: FloatArray) -> FloatArray:
    """Never learns."""
    return np.full_like(log10_lr, 2.3)


def climbing(log10_lr: FloatArray) -> FloatArray:
    """Only gets worse."""
    return 2.3 + 0.2 * (log10_lr + 7)


def late(log10_lr: FloatArray) -> FloatArray:
    """The usual shape, but at LRs thirty times higher."""
    return usual(log10_lr - 1.5)


def curve(
    seed: int, shape: Shape = usual, *, noise: float = 0.1, shift: float = 0.0, scale: float = 1.0
) -> Curve:
    """A noisy curve whose LRs are jittered a little by its seed, as real runs differ."""
    rng = np.random.default_rng(seed)
    loss = shape(np.log10(LRS) + rng.normal(0, 0.08)) + noise * rng.normal(size=LRS.size)
    return Curve(LRS, shift + scale * loss, LRS.size)


def cut(whole: Curve, num_points: int, stop: Stop = Stop.DIVERGED) -> Curve:
    """The first points of a curve, as of a run that stopped early."""
    return Curve(whole.lr[:num_points], whole.loss[:num_points], whole.num_iter, stop)


def names(curves: list[Curve]) -> list[int]:
    return [odd.index for odd in odd_curves(curves)]


@pytest.mark.parametrize("num_curves", [4, 5, 20])
def test_runs_that_differ_in_noise_only_are_not_odd(num_curves: int) -> None:
    """Curves of one shape, each with its own noise, have none that is odd."""
    for first in range(0, 1000, 50):
        assert names([curve(first + i) for i in range(num_curves)]) == []


@pytest.mark.parametrize("shape", [flat, climbing, late])
@pytest.mark.parametrize("num_curves", [3, 4, 20])
def test_a_curve_of_another_shape_is_found(shape: Shape, num_curves: int) -> None:
    """One curve that never learns, only climbs or learns much later is the only odd one."""
    curves = [curve(i) for i in range(num_curves)]
    curves.insert(1, curve(99, shape))
    (odd,) = odd_curves(curves)
    assert odd.index == 1
    assert odd.distance > odd.limit >= 0.2


def test_the_same_shape_at_up_to_twice_the_lr_is_not_odd() -> None:
    """Moving a curve by a factor of two in LR makes it no odd one; the verdict has the ratio for that."""
    lrs = Ramp(1e-4, 10.0, 300).lrs()

    def moved(factor: float) -> Curve:
        return Curve(lrs, usual(np.log10(lrs / factor)), lrs.size)

    rest = [moved(1 + i / 100) for i in range(8)]
    for factor in (0.5, 1.9):
        assert names([*rest, moved(factor)]) == []
    assert names([*rest, moved(8.0)]) == [8]


@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_a_run_that_went_to_nan_at_once_is_odd(noise: float) -> None:
    """A curve of nothing but NaN has another shape, and NaN doesn't spread to the rest."""
    curves = [curve(i, noise=noise) for i in range(5)]
    curves.append(Curve(LRS, np.full(LRS.size, np.nan), LRS.size, Stop.NON_FINITE))
    assert names(curves) == [5]


def test_a_run_that_diverged_far_earlier_is_odd() -> None:
    """A curve that stopped decades before the others counts as diverged from there on."""
    curves = [cut(curve(i), 280 + i) for i in range(5)]
    assert names(curves) == []
    assert names([*curves, cut(curve(5), 190)]) == [5]


def test_stopping_where_others_diverge_is_not_odd() -> None:
    """Whether the stop rule fired or the run went on above its start makes no other shape."""
    curves = [curve(i) for i in range(4)] + [cut(curve(i), 275) for i in range(4, 8)]
    assert names(curves) == []


def test_shift_and_scale_of_the_losses_change_nothing() -> None:
    """A shift or a positive factor on single curves' losses changes no answer: the shape is what counts."""
    changes = [(0.0, 1.0), (5.0, 1.0), (0.0, 30.0), (-4.0, 0.01), (100.0, 2.0)]
    plain = [curve(i) for i in range(5)] + [curve(9, late)]
    changed = [curve(i, shift=a, scale=b) for i, (a, b) in enumerate(changes)] + [curve(9, late, shift=-7.0)]
    for one, other in zip(odd_curves(plain), odd_curves(changed), strict=True):
        assert one.index == other.index == 5
        assert other.distance == pytest.approx(one.distance, rel=1e-6)
        assert other.limit == pytest.approx(one.limit, rel=1e-6)
    assert names(plain) == [5]


def test_the_scale_of_the_lrs_and_the_order_of_the_runs_change_nothing() -> None:
    """LRs times a factor give the same odd curve; permuted runs give the permuted answer."""
    curves = [curve(i) for i in range(5)] + [curve(9, late)]
    scaled = [Curve(one.lr * 1e-3, one.loss, one.num_iter) for one in curves]
    (found,), (same,) = odd_curves(curves), odd_curves(scaled)
    assert (same.index, same.distance) == (5, pytest.approx(found.distance, rel=1e-6))
    assert odd_curves(curves[::-1])[0].index == 0
    assert odd_curves(curves[::-1])[0].distance == found.distance


def test_the_most_unlike_comes_first() -> None:
    """Several odd curves are listed by distance."""
    odd = odd_curves([*(curve(i) for i in range(10)), curve(20, late), curve(21, flat, noise=0.0)])
    assert {one.index for one in odd} == {10, 11}
    assert odd[0].distance >= odd[1].distance


def test_too_few_curves_have_no_odd_one() -> None:
    """With fewer than four curves, or without a common range of LRs, nothing is odd."""
    assert odd_curves([]) == ()
    assert names([curve(0), curve(1), curve(2, climbing)]) == []
    far = Curve(LRS * 1e9, curve(0).loss, LRS.size)
    assert names([curve(0), curve(1), curve(2), far]) == []


def test_short_and_long_curves_compare() -> None:
    """Curves of other lengths are compared on common LRs; one constant curve among constants isn't odd."""
    lrs = Ramp(1e-6, 5.0, 100).lrs()
    short = Curve(lrs, usual(np.log10(lrs)), 100)
    assert names([short, *(curve(i) for i in range(4))]) == []
    assert names([curve(i, flat, noise=0.0) for i in range(5)]) == []
    assert names([Curve(LRS[:1], np.ones(1), 300)] * 4) == []
