"""One answer from many runs: conditions, names of runs, groups, doubts and the plan."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from made_jobs import curve_of, leave_status, make_job, make_noisy_sweep, make_sweep
from steadylr.answer.answer import ConditionAnswer, SweepAnswer, answer_sweep
from steadylr.answer.readings import Gathered, from_sweep, from_values, joined
from steadylr.config.errors import BadInput
from steadylr.config.schema import OneCycle
from steadylr.core.curve import Curve, Stop
from steadylr.core.mean_curve import mean_curve
from steadylr.core.rules import suggest
from steadylr.core.settings import Reading
from steadylr.core.verdict import Level
from steadylr.report.sweep_text import sweep_text


def answer(gathered: Gathered, *, mix: bool = False, onecycle: OneCycle | None = None) -> SweepAnswer:
    return answer_sweep(gathered, choose="geometric_mean", onecycle=onecycle or OneCycle(), mix=mix)


def test_two_numbers_have_the_known_answer() -> None:
    """6.16e-2 and 1.79e-2: ratio 3.44, normal, 3.32e-2, a plan from 3.3e-4 over 3.3e-2 to 3.3e-7, no interval."""
    (condition,) = answer(from_values([6.16e-2, 1.79e-2])).conditions
    head = condition.consensus.headline
    assert head.ratio == pytest.approx(3.44, abs=5e-3)
    assert head.geometric_mean == pytest.approx(3.32e-2, abs=5e-5)
    assert head.interval is None
    assert condition.verdict.level is Level.NORMAL
    assert condition.plan is not None
    lrs = (condition.plan.initial_lr, condition.plan.max_lr, condition.plan.final_lr)
    assert [f"{lr:.1e}" for lr in lrs] == ["3.3e-04", "3.3e-02", "3.3e-07"]


def test_five_numbers_have_the_known_answer() -> None:
    """Median 3.45e-2, geometric mean 3.40e-2, and an interval."""
    (condition,) = answer(from_values([6.16e-2, 1.79e-2, 3.45e-2, 2.89e-2, 4.12e-2])).conditions
    head = condition.consensus.headline
    assert head.median == pytest.approx(3.45e-2, abs=5e-5)
    assert head.geometric_mean == pytest.approx(3.40e-2, abs=5e-5)
    assert head.interval is not None


def test_runs_are_named_by_their_seed(tmp_path: Path) -> None:
    """One name a run, however many jobs read it."""
    make_sweep(tmp_path, overrides=(("finder.smooth_f=0.05",), ("finder.smooth_f=0.15",)))
    (condition,) = answer(from_sweep(tmp_path)).conditions
    assert list(condition.runs.values()) == ["seed 0", "seed 1", "seed 2"]
    assert [dict(group.label) for group in condition.consensus.groups] == [
        {"smooth_f": 0.05},
        {"smooth_f": 0.15},
    ]


def test_runs_of_one_name_are_numbered(tmp_path: Path) -> None:
    """Folders in two places may be called the same."""
    readings = from_values([0.1]).readings
    twice = Gathered((*readings, replace(readings[0], run="another")))
    (condition,) = answer(twice).conditions
    assert list(condition.runs.values()) == ["value 1 (1)", "value 1 (2)"]


def test_different_models_are_not_averaged_unless_asked(tmp_path: Path) -> None:
    """Each condition has its answer, labelled by what sets it apart."""
    for seed in (0, 1):
        make_job(tmp_path / str(seed), seed=seed)
        make_job(tmp_path / str(seed + 2), "model.hidden=[8]", seed=seed, curve=curve_of(seed + 5))
    found = from_sweep(tmp_path)
    conditions = answer(found).conditions
    assert [condition.label for condition in conditions] == [
        {"model.hidden": [256, 128]},
        {"model.hidden": [8]},
    ]
    assert [condition.consensus.headline.n for condition in conditions] == [2, 2]
    (mixed,) = answer(found, mix=True).conditions
    assert mixed.consensus.headline.n == 4
    assert len(set(mixed.runs.values())) == 4


def test_a_group_with_a_failed_job_has_one_run_less(tmp_path: Path) -> None:
    """The run counts with the settings that it has."""
    make_sweep(tmp_path, overrides=(("finder.smooth_f=0.05",), ("finder.smooth_f=0.15",)))
    (tmp_path / "3" / "record.json").unlink()
    leave_status(tmp_path / "3", "failed", error="no memory")
    found = answer(from_sweep(tmp_path))
    (condition,) = found.conditions
    assert [group.consensus.n for group in condition.consensus.groups] == [3, 2]
    assert [condition.runs[run] for run in condition.consensus.partial_runs] == ["seed 1"]
    assert condition.consensus.headline.n == 3
    assert [job.reason for job in found.failed] == ["no memory"]


def never_diverges(seed: int) -> Curve:
    curve = curve_of(seed, middle=-3.0)
    n = 40  # up to 10^-1.7, below the climb
    return Curve(curve.lr[:n], curve.loss[:n], num_iter=n, stop=Stop.COMPLETED)


def test_a_tight_spread_at_the_edge_of_the_ramp_is_lowered_by_a_row(tmp_path: Path) -> None:
    """Most runs never diverged: so the verdict says."""
    for seed in range(3):
        make_job(tmp_path / str(seed), seed=seed, curve=never_diverges(seed))
    (condition,) = answer(from_sweep(tmp_path)).conditions
    assert condition.verdict.level is Level.VERY_NORMAL
    assert condition.verdict.lowered_by == ("3 of 3 runs have an answer bounded by the edge of the ramp",)


def test_one_run_in_three_at_the_edge_lowers_nothing(tmp_path: Path) -> None:
    """The others are proof enough."""
    for seed in range(3):
        make_job(
            tmp_path / str(seed),
            seed=seed,
            curve=never_diverges(0) if seed == 0 else curve_of(seed, middle=-3.0),
        )
    (condition,) = answer(from_sweep(tmp_path)).conditions
    assert condition.verdict.lowered_by == ()


def test_a_run_of_another_shape_is_named(tmp_path: Path) -> None:
    """A run that hardly learns among five that do."""
    for seed in range(5):
        make_job(tmp_path / str(seed), seed=seed)
    odd = curve_of(9, middle=-5.5)
    x = odd.log10_lr
    loss = 2.3 - 0.2 * ((x > -5) & (x < -4.5)) + 4 * (x > -4.4)
    make_job(tmp_path / "5", seed=5, curve=Curve(odd.lr, loss, num_iter=len(odd), stop=odd.stop))
    (condition,) = answer(from_sweep(tmp_path)).conditions
    assert list(condition.odd) == ["seed 5"]


def test_no_members_have_no_answer(tmp_path: Path) -> None:
    """And none that could be used."""
    found = answer(joined([]))
    assert found.conditions == ()
    assert not found.usable


def test_a_schedule_that_cannot_be_is_bad_input() -> None:
    """The message is the plan's own."""
    with pytest.raises(BadInput, match="onecycle: div_factor must be at least 1"):
        answer(from_values([0.1]), onecycle=OneCycle(div_factor=0.5))


@pytest.mark.slow
def test_a_hundred_runs_and_one_are_answered(tmp_path: Path) -> None:
    """One run is too few to say anything about the spread."""
    make_sweep(tmp_path / "many", seeds=100)
    (condition,) = answer(from_sweep(tmp_path / "many")).conditions
    assert condition.consensus.headline.n == 100
    make_sweep(tmp_path / "one", seeds=1)
    (condition,) = answer(from_sweep(tmp_path / "one")).conditions
    assert condition.verdict.level is Level.TOO_FEW


STEEPEST, BRACKET = ("finder.rule=steepest",), ("finder.rule=bracket",)


def plan_peak(condition: ConditionAnswer) -> float:
    assert condition.plan is not None
    return condition.plan.max_lr


@pytest.mark.parametrize("rules", [(BRACKET, STEEPEST), (STEEPEST, BRACKET)])
def test_swept_rules_are_compared_and_the_first_named_plans(
    tmp_path: Path, rules: tuple[tuple[str, ...], ...]
) -> None:
    """The peak is that of the first rule alone, to the bit, and n counts runs; the other stands beside it."""
    make_sweep(tmp_path / "both", overrides=rules)
    make_sweep(tmp_path / "first", overrides=rules[:1])
    make_sweep(tmp_path / "other", overrides=rules[1:])
    (both,) = answer(from_sweep(tmp_path / "both")).conditions
    (first,) = answer(from_sweep(tmp_path / "first")).conditions
    (other,) = answer(from_sweep(tmp_path / "other")).conditions
    assert both.consensus.headline == first.consensus.headline
    assert both.consensus.run_lrs == first.consensus.run_lrs
    assert plan_peak(both) == plan_peak(first) != plan_peak(other)
    assert both.verdict == first.verdict
    assert [group.label["rule"] for group in both.consensus.groups] == [r[0].split("=")[1] for r in rules]
    assert [group.consensus for group in both.consensus.groups] == [
        first.consensus.headline,
        other.consensus.headline,
    ]
    assert f"all else here is by {rules[0][0].split('=')[1]}, the first one named" in " ".join(
        sweep_text(answer(from_sweep(tmp_path / "both"))).split()
    )
    (shift,) = both.consensus.shifts
    assert (shift.before, shift.n) == (both.consensus.groups[0].label, 3)


@pytest.mark.parametrize("lost", ["damaged", "failed", "made good"])
def test_the_first_rule_named_stays_first_whatever_became_of_its_job(tmp_path: Path, lost: str) -> None:
    """The order is that of the jobs, also of those without an answer; the run counts by its other reading."""
    make_sweep(tmp_path, overrides=(STEEPEST, BRACKET))
    (whole,) = answer(from_sweep(tmp_path)).conditions
    if lost == "damaged":
        (tmp_path / "0" / "record.json").write_text("{")
    else:
        (tmp_path / "0" / "record.json").unlink()
        leave_status(
            tmp_path / "0", "failed", overrides=["finder.rule=steepest", "seed=0"], error="no memory"
        )
    if lost == "made good":
        make_job(tmp_path / "6", "finder.rule=steepest", seed=0)
    (condition,) = answer(from_sweep(tmp_path)).conditions
    assert condition.consensus.headline == whole.consensus.headline
    assert condition.consensus.groups == whole.consensus.groups


def test_a_sweep_that_goes_on_keeps_its_first_rule(tmp_path: Path) -> None:
    """Further seeds, named with the rules the other way round: what the sweep was begun with counts."""
    make_job(tmp_path / "0", *STEEPEST, seed=0)
    make_job(tmp_path / "1", *BRACKET, seed=0)
    make_job(tmp_path / "2", *BRACKET, seed=1)
    make_job(tmp_path / "3", *STEEPEST, seed=1)
    make_job(tmp_path / "4", *BRACKET, seed=2)
    make_sweep(tmp_path / "steepest", overrides=(STEEPEST,))
    (condition,) = answer(from_sweep(tmp_path)).conditions
    (steepest,) = answer(from_sweep(tmp_path / "steepest")).conditions
    assert condition.consensus.headline == steepest.consensus.headline
    assert condition.consensus.headline.n == 3


def test_the_rule_and_the_smoothing_are_swept_together(tmp_path: Path) -> None:
    """smooth_f stays pooled: two readings by the headline's rule."""
    smooth = ("finder.smooth_f=0.05", "finder.smooth_f=0.15")
    make_sweep(
        tmp_path / "both", overrides=tuple((*rule, one) for rule in (STEEPEST, BRACKET) for one in smooth)
    )
    make_sweep(tmp_path / "steepest", overrides=tuple((*STEEPEST, one) for one in smooth))
    (both,) = answer(from_sweep(tmp_path / "both")).conditions
    (steepest,) = answer(from_sweep(tmp_path / "steepest")).conditions
    assert both.consensus.headline == steepest.consensus.headline
    assert [group.consensus for group in both.consensus.groups[:2]] == [
        group.consensus for group in steepest.consensus.groups
    ]
    assert both.consensus.duplicates == 0


def test_a_sweep_without_an_lr_is_answered_by_its_mean_curve(tmp_path: Path) -> None:
    """Read as the runs were; the verdict names it, and the plan has its LR and range."""
    (condition,) = answer(from_sweep(make_noisy_sweep(tmp_path))).conditions
    mean = mean_curve([curve_of(seed, middle=-3.0, noise=1.0) for seed in range(3)])
    assert mean is not None
    read = suggest(mean)
    assert condition.consensus.headline.lr is None
    assert condition.suggested is condition.mean
    assert condition.mean is not None
    assert (condition.mean.lr, condition.mean.low, condition.mean.high) == (read.lr, read.low, read.high)
    assert condition.plan is not None
    assert (condition.plan.max_lr, condition.plan.low, condition.plan.high) == (read.lr, read.low, read.high)
    assert condition.verdict.level is Level.MEAN_CURVE
    assert condition.verdict.summary.startswith("Mean curve only: 3 of 3 runs gave no answer (3 flat)")


def test_a_sweep_in_which_half_of_the_runs_answer_needs_no_mean_curve(tmp_path: Path) -> None:
    """Their consensus counts; with fewer the mean of all does."""
    make_noisy_sweep(tmp_path)
    make_job(tmp_path / "3", seed=3, curve=curve_of(3, middle=-3.0))
    (few,) = answer(from_sweep(tmp_path)).conditions
    assert few.mean is not None
    assert few.plan is not None
    assert few.plan.max_lr == few.mean.lr != few.consensus.headline.lr
    for seed in (4, 5):
        make_job(tmp_path / str(seed), seed=seed, curve=curve_of(seed, middle=-3.0))
    (half,) = answer(from_sweep(tmp_path)).conditions
    assert half.mean is None
    assert half.plan is not None
    assert half.plan.max_lr == half.consensus.headline.lr


def test_runs_of_different_conditions_have_no_mean_curve(tmp_path: Path) -> None:
    """Their losses are of different things, also where their LRs are to be averaged."""
    make_noisy_sweep(tmp_path)
    make_job(tmp_path / "3", "model.hidden=[8]", seed=3, curve=curve_of(3, middle=-3.0, noise=1.0))
    found = from_sweep(tmp_path)
    (mixed,) = answer(found, mix=True).conditions
    assert mixed.mean is None
    assert mixed.plan is None
    first, second = answer(found).conditions
    assert first.mean is not None
    assert second.mean is None
    assert not answer(found).usable


def test_the_mean_curve_is_read_in_the_ways_of_the_sweep(tmp_path: Path) -> None:
    """Each curve counts once, however many jobs read it, and the first rule makes the answer."""
    for number, smooth_f in enumerate((0.05, 0.15)):
        for rule in ("bracket", "steepest"):
            for seed in range(3):
                folder = tmp_path / str(len(list(tmp_path.iterdir())))
                own = (f"finder.smooth_f={smooth_f}", f"finder.rule={rule}")
                make_job(folder, *own, seed=seed, curve=curve_of(seed, middle=-3.0, noise=1.0))
        (condition,) = answer(from_sweep(tmp_path)).conditions
        assert condition.mean is not None
        assert condition.mean.num_runs == 3
        each = [suggest(condition.mean.curve, reading=Reading(smooth_f=value)).lr for value in (0.05, 0.15)]
        lrs = [lr for lr in each[: number + 1] if lr is not None]
        assert condition.mean.lr == pytest.approx(math.prod(lrs) ** (1 / len(lrs)))
