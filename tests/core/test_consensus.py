"""The consensus of many runs: known answers, laws, and the coverage of the interval."""

from __future__ import annotations

import dataclasses
import math
import statistics
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from steadylr.core.consensus import (
    NEAR_FACTOR,
    Consensus,
    consensus,
)
from steadylr.core.onecycle import plan
from steadylr.core.suggestion import Outcome
from steadylr.core.sweep_consensus import Observation, SweepConsensus, consensus_of
from steadylr.words.consensus import GUIDE

TWO = (6.16e-2, 1.79e-2)
FIVE = (6.16e-2, 1.79e-2, 3.45e-2, 2.89e-2, 4.12e-2)

lr_lists = st.lists(st.floats(1e-8, 1e2), min_size=1, max_size=12)


def test_two_runs_known_answer() -> None:
    """6.16e-2 and 1.79e-2: ratio 3.44, geometric mean 3.32e-2, no interval, and the plan that follows."""
    found = consensus(TWO)
    assert found.n == 2
    assert (found.low, found.high) == (1.79e-2, 6.16e-2)
    assert found.ratio == pytest.approx(3.44, abs=0.005)
    assert found.lr == found.geometric_mean == pytest.approx(3.32e-2, abs=5e-5)
    assert found.interval is None
    assert found.leave_one_out == (1.79e-2, 6.16e-2)
    assert found.lr is not None
    schedule = plan(found.lr, low=found.low, high=found.high)
    assert [f"{lr:.1e}" for lr in (schedule.initial_lr, schedule.max_lr, schedule.final_lr)] == [
        "3.3e-04",
        "3.3e-02",
        "3.3e-07",
    ]


def test_five_runs_known_answer() -> None:
    """Five published values: median 3.45e-2, geometric mean 3.40e-2, and numbers from scipy's own t test."""
    found = consensus(FIVE)
    logs = np.log10(FIVE)
    assert found.median == 3.45e-2
    assert found.geometric_mean == pytest.approx(3.40e-2, abs=5e-5)
    assert found.geometric_std == pytest.approx(stats.gstd(FIVE))
    expected = stats.t.interval(0.95, 4, loc=logs.mean(), scale=stats.sem(logs))
    assert found.interval == pytest.approx([10**x for x in expected])
    assert found.leave_one_out == pytest.approx(
        (stats.gmean(sorted(FIVE)[:-1]), stats.gmean(sorted(FIVE)[1:])), rel=1e-12
    )


@pytest.mark.parametrize(
    ("choose", "lr"),
    [
        ("median", 3.45e-2),
        ("conservative", 1.79e-2),
        ("aggressive", 6.16e-2),
        ("geometric_mean", stats.gmean(FIVE)),
    ],
)
def test_choose_picks_the_lr(choose: Any, lr: float) -> None:
    """Each choice hands its own number on as the LR and changes nothing else."""
    found = consensus(FIVE, choose=choose)
    assert found.lr == pytest.approx(lr, rel=1e-12)
    assert dataclasses.replace(found, choose="geometric_mean", lr=found.geometric_mean) == consensus(FIVE)


def test_the_guide_offers_every_choice() -> None:
    """The short guide names each choice once."""
    assert sorted(choose for _, choose, _ in GUIDE) == [
        "aggressive",
        "conservative",
        "geometric_mean",
        "median",
    ]
    for _, choose, _ in GUIDE:
        assert consensus(FIVE, choose=choose).choose == choose


def test_the_median_of_an_even_number_lies_between_the_middle_two_in_log() -> None:
    """Of 1e-4, 1e-3, 1e-1 and 1 the median is 1e-2."""
    assert consensus([1e-1, 1e-4, 1.0, 1e-3]).median == pytest.approx(1e-2)


def test_no_usable_run_is_an_answer() -> None:
    """Without an LR there is a consensus of nothing, which still counts the failures."""
    found = consensus([], failures={"flat": 2, "non_finite": 1, "too_short": 0})
    assert found == Consensus(n=0, failures={"flat": 2, "non_finite": 1})
    assert (found.lr, found.num_failed, found.num_runs) == (None, 3, 3)


def test_one_run_has_no_spread() -> None:
    """One run gives an LR and a ratio of 1, but no standard deviation, interval or advice on more runs."""
    found = consensus([0.03], failures={Outcome.FLAT: 1})
    assert (found.lr, found.low, found.high, found.median, found.ratio) == (0.03, 0.03, 0.03, 0.03, 1.0)
    assert found.geometric_std is None
    assert found.interval is None
    assert found.leave_one_out is None
    assert found.runs_needed is None
    assert found.expected_ratio is None
    assert found.failures == {"flat": 1}


@pytest.mark.parametrize("lrs", [(0.03, 0.03), (0.03,) * 7, (0.1,) * 3])
def test_equal_runs_have_no_spread_at_all(lrs: tuple[float, ...]) -> None:
    """Equal LRs give exactly that LR, ratio 1 and, from three on, an interval of one point."""
    found = consensus(lrs)
    assert (found.geometric_mean, found.median, found.ratio, found.geometric_std) == (lrs[0], lrs[0], 1, 1)
    assert found.expected_ratio == 1
    assert found.interval == (None if len(lrs) < 3 else (lrs[0], lrs[0]))
    assert found.runs_needed == max(3 - len(lrs), 0)


@pytest.mark.parametrize(
    "lrs", [TWO, FIVE, (0.01, 0.011, 0.012), (1e-4, 1.0, 1e-2), (0.02, 0.03, 0.04, 0.05)]
)
def test_runs_needed_is_the_smallest_number(lrs: tuple[float, ...]) -> None:
    """Counting up run by run with scipy's t distribution finds the same number of further runs."""
    s = float(np.std(np.log10(lrs), ddof=1))
    total = max(len(lrs), 3)
    while stats.t.ppf(0.975, total - 1) * s / math.sqrt(total) > math.log10(NEAR_FACTOR):
        total += 1
    assert consensus(lrs).runs_needed == total - len(lrs)


def test_expected_ratio_foretells_five_runs() -> None:
    """Over many sweeps of two or ten runs it is, in log, what five runs really show: their geometric mean."""
    rng = np.random.default_rng(0)
    sigma = 0.2
    five = 10 ** rng.normal(-2, sigma, (4000, 5))
    shown = statistics.fmean(np.log10(five.max(axis=1) / five.min(axis=1)))
    for n in (2, 10):
        found = [consensus(row).expected_ratio for row in 10 ** rng.normal(-2, sigma, (2000, n))]
        foretold = statistics.fmean(math.log10(ratio) for ratio in found if ratio is not None)
        assert foretold == pytest.approx(shown, rel=0.05 if n == 2 else 0.02)


@pytest.mark.parametrize("n", [3, 5, 10])
def test_the_interval_covers_the_true_mean(n: int) -> None:
    """On log-normal suggestions the 95% interval holds the true geometric mean in 93% to 97% of sweeps."""
    rng = np.random.default_rng(n)
    sweeps = 10 ** rng.normal(-2, 0.3, (5000, n))
    intervals = [consensus(lrs).interval for lrs in sweeps]
    covered = sum(found is not None and found[0] <= 1e-2 <= found[1] for found in intervals)
    assert 0.93 <= covered / len(sweeps) <= 0.97


@given(lrs=lr_lists, data=st.data())
def test_the_order_of_the_runs_changes_no_bit(lrs: list[float], data: st.DataObject) -> None:
    """Permuting the runs gives the same consensus, exactly."""
    assert consensus(data.draw(st.permutations(lrs))) == consensus(lrs)


@given(lrs=lr_lists, exponent=st.integers(-4, 4))
def test_scaling_the_lrs_scales_the_answer(lrs: list[float], exponent: int) -> None:
    """LRs times c give LRs times c; ratios and spreads stay."""
    c = 10.0**exponent
    found, scaled = consensus(lrs), consensus([lr * c for lr in lrs])
    for name in ("lr", "low", "high", "median", "geometric_mean"):
        assert getattr(scaled, name) == pytest.approx(getattr(found, name) * c, rel=1e-9)
    for name in ("ratio", "geometric_std", "expected_ratio"):
        one, other = getattr(found, name), getattr(scaled, name)
        assert (one is None and other is None) or other == pytest.approx(one, rel=1e-7)
    for name in ("interval", "leave_one_out"):
        one, other = getattr(found, name), getattr(scaled, name)
        assert (one is None and other is None) or other == pytest.approx([x * c for x in one], rel=1e-7)


@given(lrs=lr_lists)
def test_every_number_lies_where_it_must(lrs: list[float]) -> None:
    """low <= median, geometric mean, leave-one-out range <= high; the interval holds the geometric mean."""
    found = consensus(lrs)
    assert found.low is not None
    assert found.high is not None
    assert found.low <= found.geometric_mean <= found.high  # type: ignore[operator]
    assert found.low <= found.median <= found.high  # type: ignore[operator]
    if found.interval is not None:
        assert found.interval[0] <= found.geometric_mean <= found.interval[1]  # type: ignore[operator]
    if found.leave_one_out is not None:
        lower, upper = found.leave_one_out
        assert found.low <= lower <= upper <= found.high
    assert found.runs_needed is None or found.runs_needed >= 0
    assert found.ratio == found.high / found.low


@pytest.mark.parametrize("bad", [0, -0.1, math.nan, math.inf, True, "0.1", None])
def test_a_value_that_is_no_lr_is_named(bad: Any) -> None:
    """Zero, negative, not finite or no number raises with the value and its position."""
    with pytest.raises(
        ValueError, match=r"LR number 2 of 3 must be a finite number above 0; got .*"
    ) as caught:
        consensus([0.1, bad, 0.2])
    assert repr(bad) in str(caught.value)


def test_other_wrong_arguments_are_named() -> None:
    """An unknown choice and an impossible count raise."""
    with pytest.raises(ValueError, match=r"choose must be one of .*; got 'mean'"):
        consensus([0.1], choose="mean")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"failures\['flat'\] must be a count of at least 0; got -1"):
        consensus([0.1], failures={"flat": -1})


# --- sweeps that vary analysis settings ---


def grid(shift: float = 2.0) -> list[Observation]:
    """Three runs, each read with two smooth_f; the second reading is `shift` times the first."""
    return [
        Observation(run, lr * factor, settings={"smooth_f": smooth_f, "rule": "bracket"})
        for run, lr in (("a", 0.01), ("b", 0.02), ("c", 0.04))
        for smooth_f, factor in ((0.05, 1.0), (0.15, shift))
    ]


def test_settings_are_averaged_within_runs_and_compared_between_groups() -> None:
    """The headline's n counts runs; groups hold one reading each; the shift between them is paired."""
    found = consensus_of(grid())
    assert found.headline.n == 3
    assert found.run_lrs == pytest.approx({"a": 0.01 * 2**0.5, "b": 0.02 * 2**0.5, "c": 0.04 * 2**0.5})
    assert found.headline.geometric_mean == pytest.approx(0.02 * 2**0.5)
    assert [group.label for group in found.groups] == [{"smooth_f": 0.05}, {"smooth_f": 0.15}]
    assert [group.consensus.n for group in found.groups] == [3, 3]
    assert found.groups[0].consensus == consensus([0.01, 0.02, 0.04])
    (shift,) = found.shifts
    assert (shift.before, shift.after, shift.n) == ({"smooth_f": 0.05}, {"smooth_f": 0.15}, 3)
    assert shift.factor == pytest.approx(2)
    assert shift.interval == pytest.approx((2, 2))
    assert (found.duplicates, found.partial_runs) == (0, ())


def test_the_shift_has_a_paired_interval() -> None:
    """The shift's interval is that of a paired t test in log10, so the spread over seeds doesn't widen it."""
    before, after = np.array([1e-4, 1e-3, 1e-1, 1.0]), np.array([1.1e-4, 1.3e-3, 1.2e-1, 1.5])
    observations = [
        Observation(f"{i}", float(lr), settings={"rule": rule})
        for rule, lrs in (("bracket", before), ("steepest", after))
        for i, lr in enumerate(lrs)
    ]
    (shift,) = consensus_of(observations).shifts
    expected = stats.ttest_rel(np.log10(after), np.log10(before)).confidence_interval(0.95)
    assert shift.interval == pytest.approx((10**expected.low, 10**expected.high))


@pytest.mark.parametrize(("num_pairs", "factor"), [(0, None), (1, 2.0), (2, 2.0)])
def test_few_pairs_have_no_interval(num_pairs: int, factor: float | None) -> None:
    """Without a common curve there is no shift, with one or two a factor without an interval."""
    first = [Observation(f"{i}", 0.01, settings={"smooth_f": 0.05}) for i in range(2)]
    second = [Observation(f"{i + 2 - num_pairs}", 0.02, settings={"smooth_f": 0.15}) for i in range(2)]
    (shift,) = consensus_of(first + second).shifts
    assert (shift.n, shift.factor, shift.interval) == (num_pairs, factor and pytest.approx(factor), None)


def test_a_curve_that_arrives_twice_counts_once() -> None:
    """Adding observations that are there already changes nothing but the count of duplicates."""
    observations = grid()
    found = consensus_of([*observations, *observations[1:4]])
    assert found.duplicates == 3
    assert dataclasses.replace(found, duplicates=0) == consensus_of(observations)


def test_two_answers_for_one_curve_are_refused() -> None:
    """One curve under the same settings can't have two LRs; other last digits are no second answer."""
    twice = [Observation("a", 0.01), Observation("a", 0.02)]
    with pytest.raises(ValueError, match=r"run 'a' has two answers .* found 0.01 and found 0.02"):
        consensus_of(twice)
    with pytest.raises(ValueError, match="two answers"):
        consensus_of([Observation("a", 0.01), Observation("a", None, "flat")])
    close = [Observation("a", 0.01), Observation("a", 0.01 * (1 + 1e-9))]
    assert consensus_of(close) == consensus_of(close[::-1])
    assert consensus_of(close).run_lrs == {"a": 0.01}


def test_a_run_that_answers_under_some_settings_counts_with_those() -> None:
    """A partial run counts in the headline with what it has, is named, and fails in the group it misses."""
    observations = grid()
    observations[1] = Observation("a", None, "flat", observations[1].settings)
    found = consensus_of(observations)
    assert found.headline.n == 3
    assert found.headline.failures == {}
    assert found.run_lrs["a"] == 0.01
    assert found.partial_runs == ("a",)
    assert [group.consensus.failures for group in found.groups] == [{}, {"flat": 1}]
    assert [group.consensus.n for group in found.groups] == [3, 2]
    assert found.shifts[0].n == 2


def test_a_run_without_any_answer_fails_once() -> None:
    """A run that fails under every setting is one failure, under its most frequent outcome."""
    failed = [
        Observation("d", None, outcome, {"smooth_f": smooth_f, "rule": "bracket"})
        for smooth_f, outcome in ((0.05, "too_short"), (0.15, "flat"))
    ]
    found = consensus_of([*grid(), *failed])
    assert found.headline.failures == {"flat": 1}
    assert found.headline.num_runs == 4
    assert found.run_lrs["d"] is None
    assert found.partial_runs == ()
    more = Observation("d", None, Outcome.TOO_SHORT, {"smooth_f": 0.3, "rule": "bracket"})
    assert consensus_of([*grid(), *failed, more]).headline.failures == {"too_short": 1}


def test_without_swept_settings_the_one_group_is_the_headline() -> None:
    """Settings that all observations share make no groups: one group with an empty label, exactly the LRs."""
    found = consensus_of([Observation(f"{i}", lr, settings={"rule": "bracket"}) for i, lr in enumerate(FIVE)])
    assert found.headline == consensus(FIVE)
    assert [(group.label, group.consensus) for group in found.groups] == [({}, consensus(FIVE))]
    assert found.shifts == ()
    assert list(found.run_lrs.values()) == list(FIVE)


def test_nothing_observed_is_an_answer() -> None:
    """No observations give a consensus of nothing."""
    assert consensus_of([]) == SweepConsensus(headline=Consensus(n=0))


def test_groups_come_in_the_order_of_their_settings() -> None:
    """Numbers sort by size, not as text; what is missing comes first."""
    values: list[Any] = [10, 2.5, None, "ema", 0.5]
    found = consensus_of([Observation("a", 0.1, settings={"x": value}) for value in values])
    assert [group.label["x"] for group in found.groups] == [None, 0.5, 2.5, 10, "ema"]
    missing = consensus_of([Observation("a", 0.1), Observation("a", 0.2, settings={"x": 1})])
    assert [group.label for group in missing.groups] == [{"x": None}, {"x": 1}]
    assert len(found.shifts) == 4
    assert all(shift.before == {"x": None} for shift in found.shifts)


def test_the_choice_holds_for_headline_and_groups() -> None:
    """choose reaches every consensus of the sweep."""
    found = consensus_of(grid(), choose="aggressive")
    assert found.headline.lr == found.headline.high
    assert [group.consensus.lr for group in found.groups] == [0.04, 0.08]


@settings(max_examples=50)
@given(
    observations=st.lists(
        st.builds(
            lambda run, smooth_f, rule: Observation(
                f"{run}",
                None if run * smooth_f > 0.8 else 1e-3 * (1 + run) * (1 + smooth_f),
                "flat" if run * smooth_f > 0.8 else "found",
                {"smooth_f": smooth_f, "rule": rule},
            ),
            st.integers(0, 4),
            st.sampled_from([0.05, 0.15, 0.3]),
            st.sampled_from(["bracket", "valley"]),
        ),
        max_size=20,
    ),
    data=st.data(),
)
def test_the_order_of_observations_changes_nothing(
    observations: list[Observation], data: st.DataObject
) -> None:
    """Permuting a sweep's observations gives the same answer, exactly, and its counts add up."""
    found = consensus_of(observations)
    assert consensus_of(data.draw(st.permutations(observations))) == found
    assert found.headline.num_runs == len({obs.run for obs in observations})
    assert sum(group.consensus.num_runs for group in found.groups) == len(observations) - found.duplicates
    labels = [tuple(group.label.values()) for group in found.groups]
    assert all(one != other for one, other in pairwise(labels))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"lr": -1.0}, "run 'a': the LR must be a finite number above 0; got -1.0"),
        ({"lr": None}, "an LR goes with the outcome 'found', and only with that; got lr=None"),
        ({"lr": 0.1, "outcome": "flat"}, "got lr=0.1 and outcome 'flat'"),
        ({"lr": 0.1, "settings": {"x": [1]}}, r"run 'a': setting x must be a text, .* got \[1\]"),
    ],
)
def test_a_wrong_observation_is_named(arguments: dict[str, Any], message: str) -> None:
    """An observation that contradicts itself raises and names its run."""
    with pytest.raises(ValueError, match=message):
        Observation("a", **arguments)
