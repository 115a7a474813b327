"""The mean curve: its laws, when it is read, and what it finds where no run has an answer."""

from __future__ import annotations

import math

import numpy as np
import pytest
from curves import changed, climbing, make_curve, typical
from hypothesis import given
from hypothesis import strategies as st

from steadylr.core.consensus import consensus
from steadylr.core.curve import Curve, Stop
from steadylr.core.divergence import StopRule
from steadylr.core.mean_curve import is_wanted, mean_curve, read_mean_curve
from steadylr.core.rules import suggest
from steadylr.core.settings import Reading

WAYS = [Reading()]


def noisy(number: int = 3, *, noise: float = 1.8, first: int = 0) -> list[Curve]:
    """Runs that differ in their noise."""
    return [make_curve(typical, noise=noise, seed=first + seed) for seed in range(number)]


def same(one: Curve, other: Curve) -> bool:
    """Whether two curves are equal bit for bit, and ended alike."""
    return one.digest() == other.digest() and (one.num_iter, one.stop) == (other.num_iter, other.stop)


@pytest.mark.parametrize("number", [2, 3, 5])
def test_the_mean_of_equal_curves_is_the_curve(number: int) -> None:
    """Its losses, its end and what is read off it."""
    curve = make_curve(typical, noise=0.1, rule=StopRule())
    mean = mean_curve([curve] * number)
    assert mean is not None
    np.testing.assert_array_equal(mean.lr, curve.lr)
    np.testing.assert_allclose(mean.loss, curve.loss, rtol=1e-15)
    assert (mean.num_iter, mean.stop) == (curve.num_iter, curve.stop)
    read = read_mean_curve([curve] * number, "bracket", WAYS)
    assert read is not None
    alone = suggest(curve)
    assert (read.lr, read.low, read.high) == (alone.lr, alone.low, alone.high)


@given(order=st.permutations(range(5)))
def test_the_order_of_the_runs_changes_no_bit(order: list[int]) -> None:
    """Whichever of them is the shortest, and however those that are equally short ended."""
    curves = [make_curve(typical, noise=0.3, seed=seed, rule=StopRule()) for seed in range(3)]
    short = min(len(curve) for curve in curves)
    curves += [Curve(c.lr[:short], c.loss[:short], c.num_iter, Stop.NON_FINITE) for c in curves[:2]]
    first, moved = mean_curve(curves), mean_curve([curves[place] for place in order])
    assert first is not None
    assert moved is not None
    assert same(first, moved)
    assert first.stop is Stop.NON_FINITE


@given(shift=st.floats(-100, 100), number=st.integers(2, 6))
def test_a_shift_of_the_losses_moves_no_lr(shift: float, number: int) -> None:
    """As with every rule."""
    curves = noisy(number, noise=0.2)
    read = read_mean_curve(curves, "bracket", WAYS)
    shifted = read_mean_curve([changed(curve, shift=shift) for curve in curves], "bracket", WAYS)
    assert read is not None
    assert shifted is not None
    assert (shifted.lr, shifted.low, shifted.high) == pytest.approx((read.lr, read.low, read.high), rel=1e-9)


def test_the_mean_says_what_no_run_says() -> None:
    """Where each run is lost in its noise, the mean of three shows the descent, mostly within a factor of two."""
    truth = suggest(make_curve(typical)).lr
    assert truth is not None
    answered = []
    for first in range(0, 120, 3):
        curves = noisy(first=first)
        if all(suggest(curve).lr is None for curve in curves):
            read = read_mean_curve(curves, "bracket", WAYS)
            answered += [] if read is None else [read]
    assert len(answered) >= 9
    assert all(read.num_runs == 3 for read in answered)
    assert np.mean([abs(math.log2(read.lr / truth)) < 1 for read in answered]) > 0.75


def test_where_nothing_is_learned_the_mean_says_nothing_either() -> None:
    """Noise that climbs has no descent, however many runs."""
    curves = [make_curve(climbing, noise=0.3, seed=seed) for seed in range(8)]
    assert read_mean_curve(curves, "bracket", WAYS) is None


def test_it_ends_with_the_shortest_run() -> None:
    """A mean beyond it would be of other runs."""
    whole = make_curve(typical, num_iter=100)
    half = Curve(whole.lr[:50], whole.loss[:50] + 1, 100, Stop.DIVERGED)
    mean = mean_curve([whole, half, whole])
    assert mean is not None
    assert (len(mean), mean.num_iter, mean.stop) == (50, 100, Stop.DIVERGED)
    np.testing.assert_allclose(mean.loss, whole.loss[:50] + 1 / 3)


def test_it_begins_where_all_have_begun() -> None:
    """Runs of parts of one ramp have the LRs in common that lie in all of them."""
    whole = make_curve(typical, num_iter=100)
    late = Curve(whole.lr[20:], whole.loss[20:] + 2, 100)
    early = Curve(whole.lr[:70], whole.loss[:70], 100, Stop.DIVERGED)
    mean = mean_curve([late, early])
    assert mean is not None
    np.testing.assert_array_equal(mean.lr, whole.lr[20:70])
    np.testing.assert_allclose(mean.loss, whole.loss[20:70] + 1)
    assert mean.stop is Stop.DIVERGED
    assert mean_curve([Curve(whole.lr[80:], whole.loss[80:], 100), early]) is None


def test_losses_that_are_no_numbers_stay_so() -> None:
    """The mean ends there, as its runs would."""
    whole = make_curve(typical, num_iter=100)
    loss = whole.loss[:60].copy()
    loss[-1] = math.inf
    ended = Curve(whole.lr[:60], loss, 100, Stop.NON_FINITE)
    other = Curve(whole.lr[:60], -loss, 100, Stop.NON_FINITE)
    mean = mean_curve([ended, other, whole])
    assert mean is not None
    assert np.isfinite(mean.loss[:-1]).all()
    assert not np.isfinite(mean.loss[-1])
    assert mean.stop is Stop.NON_FINITE


@pytest.mark.parametrize(
    "curves",
    [
        [],
        [make_curve(typical)],
        [make_curve(typical), make_curve(typical, num_iter=301)],
        [make_curve(typical), make_curve(typical, end_lr=9.0)],
        [
            make_curve(typical),
            Curve(make_curve(typical).lr, make_curve(typical).loss, 300, steps_per_point=2),
        ],
    ],
    ids=["none", "one", "other length", "other end", "other points"],
)
def test_only_runs_along_one_ramp_have_a_mean(curves: list[Curve]) -> None:
    """And there have to be two."""
    assert mean_curve(curves) is None
    assert read_mean_curve(curves, "bracket", WAYS) is None


def test_several_ways_to_read_give_their_geometric_mean() -> None:
    """Over those that give an LR, as a run's LR is made."""
    curves = noisy(noise=0.2)
    ways = [Reading(smooth_f=0.05), Reading(smooth_f=0.15), Reading(skip_start=10, skip_end=285)]
    each = [read_mean_curve(curves, "bracket", [way]) for way in ways]
    assert each[0] is not None
    assert each[1] is not None
    assert each[2] is None
    read = read_mean_curve(curves, "bracket", ways)
    assert read is not None
    assert read.lr == pytest.approx(math.sqrt(each[0].lr * each[1].lr))
    assert read.low < read.lr < read.high


def test_a_rule_without_a_bracket_has_no_range() -> None:
    """Its LR alone."""
    read = read_mean_curve(noisy(noise=0.2), "steepest", WAYS)
    assert read is not None
    assert read.low == read.lr == read.high
    assert read.name == "mean curve of 3 runs"


@pytest.mark.parametrize(
    ("n", "failed", "wanted"),
    [(0, 0, False), (0, 1, False), (0, 2, True), (1, 1, False), (1, 2, True), (2, 2, False), (2, 3, True)],
)
def test_it_is_read_where_fewer_than_half_of_the_runs_have_an_lr(n: int, failed: int, wanted: bool) -> None:
    """Of at least two."""
    assert is_wanted(consensus([0.1] * n, failures={"flat": failed})) is wanted
