"""The diagnosis: each finding on the curve made for it, with advice that helps when it is followed."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from curves import changed, climbing, constant, make_curve, parabola, sigmoid, typical
from hypothesis import given
from hypothesis import strategies as st

from steadylr.core import diagnosis
from steadylr.core.curve import Curve, Stop
from steadylr.core.diagnosis import Code
from steadylr.core.divergence import StopRule
from steadylr.core.settings import Reading
from steadylr.words.names import COMMAND_LINE
from steadylr.words.reading import ToldFinding, told_finding


def diagnose(
    curve: Curve, reading: Reading | None = None, *, skipped_share: float = 0.0
) -> tuple[ToldFinding, ...]:
    """The diagnosis as the command line tells it."""
    findings = diagnosis.diagnose(curve, reading, skipped_share=skipped_share)
    return tuple(told_finding(finding, COMMAND_LINE) for finding in findings)


def told(curve: Curve) -> list[tuple[Code, str, str]]:
    """Codes, texts and advice: all but the last digits of the numbers."""
    return [(finding.code, finding.text, finding.advice) for finding in diagnose(curve)]


def codes(curve: Curve, reading: Reading | None = None) -> list[Code]:
    return [finding.code for finding in diagnose(curve, reading)]


def only(curve: Curve, code: Code, reading: Reading | None = None) -> ToldFinding:
    found = diagnose(curve, reading)
    assert [finding.code for finding in found] == [code]
    return found[0]


def advised(finding: ToldFinding, key: str) -> float:
    """The number that the advice names for a key."""
    found = re.search(rf"{re.escape(key)}(?:,)? to ([\d.e+-]*\d)", finding.advice)
    assert found is not None, finding.advice
    return float(found[1])


@pytest.mark.parametrize("num_iter", [100, 300, 1000])
@pytest.mark.parametrize("seed", range(10))
def test_a_curve_that_reads_well_gives_no_finding(num_iter: int, seed: int) -> None:
    """Flat, down, up, with the noise of batches of 64, whether or not the stop rule ended it."""
    assert diagnose(make_curve(typical, num_iter=num_iter, noise=0.1, seed=seed)) == ()
    assert diagnose(make_curve(typical, num_iter=num_iter, noise=0.1, seed=seed, rule=StopRule())) == ()


@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_flat(noise: float) -> None:
    """A loss that does nothing: raise end_lr, and check that the model can learn."""
    finding = only(make_curve(constant(2.3), noise=noise), Code.FLAT)
    assert "raise finder.end_lr" in finding.advice
    assert "the model can learn" in finding.advice


def test_flat_until_it_explodes_is_no_matter_of_end_lr() -> None:
    """Higher LRs would not help: more iterations, or a model that learns."""
    curve = make_curve(lambda x: 2.3 + 10 ** np.clip(4 * (x - 0.1), -9, 4), noise=0.05, rule=StopRule())
    finding = only(curve, Code.FLAT)
    assert "end_lr" not in finding.advice
    assert "raise finder.num_iter" in finding.advice


def test_never_diverged() -> None:
    """A loss that has begun to climb at the end: a ramp ten times as long would show the edge."""
    curve = make_curve(sigmoid(steepest=1e-3, width=0.2), noise=0.0)
    loss = curve.loss + 0.05 * np.clip(curve.log10_lr + 1, 0, None)
    finding = only(Curve(curve.lr, loss, len(curve)), Code.NEVER_DIVERGED)
    assert advised(finding, "finder.end_lr") == pytest.approx(100.0)


@pytest.mark.parametrize(
    "curve", [make_curve(typical, noise=0.1), make_curve(constant(2.3))], ids=["well", "flat"]
)
def test_updates_that_a_gradient_scaler_left_out(curve: Curve) -> None:
    """Many say that another training was measured, whatever else is wrong; a few, as fp16 has them, say nothing."""
    *others, finding = diagnose(curve, skipped_share=0.25)
    assert (finding.code, tuple(others)) == (Code.SKIPPED_STEPS, diagnose(curve))
    assert "left out 25% of the updates" in finding.text
    assert "device.precision" in finding.advice
    assert diagnose(curve, skipped_share=0.1) == diagnose(curve)


def test_following_the_advice_of_never_diverged_shows_the_edge() -> None:
    """The same model, with the end_lr that was advised."""
    short = make_curve(typical, noise=0.02, end_lr=0.5)
    finding = next(f for f in diagnose(short) if f.code is Code.NEVER_DIVERGED)
    longer = make_curve(typical, noise=0.02, end_lr=advised(finding, "finder.end_lr"))
    assert diagnose(longer) == ()


@pytest.mark.parametrize("stop", [Stop.DIVERGED, Stop.NON_FINITE])
def test_a_run_that_was_stopped_is_not_told_to_go_further(stop: Stop) -> None:
    """It diverged, whether or not the points that are read show it."""
    curve = make_curve(sigmoid(steepest=1e-3, width=0.2), noise=0.01)
    assert Code.NEVER_DIVERGED not in codes(changed(curve, stop=stop))


def test_minimum_at_the_end() -> None:
    """A loss that still falls at end_lr: the best LR may lie beyond, so raise it tenfold."""
    found = diagnose(make_curve(sigmoid(steepest=1.0, width=0.6)))
    finding = next(f for f in found if f.code is Code.MINIMUM_AT_EDGE)
    assert advised(finding, "finder.end_lr") == pytest.approx(100.0)


def test_minimum_at_the_start() -> None:
    """A loss that is lowest right after the start: the ramp began too high, so lower start_lr a hundredfold."""
    curve = make_curve(parabola(lowest=10**-2.5), start_lr=1e-3, num_iter=1000)
    finding = only(curve, Code.MINIMUM_AT_EDGE)
    assert advised(finding, "finder.start_lr") == pytest.approx(1e-5)
    assert diagnose(make_curve(parabola(lowest=10**-2.5), start_lr=1e-5, num_iter=1000)) == ()


def test_diverged_at_the_start() -> None:
    """A loss that only climbs, stopped or not: lower start_lr."""
    for curve in (
        make_curve(climbing, noise=0.01),
        make_curve(climbing, noise=0.01, rule=StopRule()),
        make_curve(lambda x: 2 + 10 ** (6 * (x - x[0])), noise=0.05, start_lr=0.1, rule=StopRule()),
    ):
        assert "lower finder.start_lr" in only(curve, Code.DIVERGED_AT_START).advice


def test_not_finite_from_the_first_step() -> None:
    """No LR can be to blame: look at the data, the loss and the weights."""
    curve = Curve(np.array([1e-7]), np.array([np.nan]), 100, Stop.NON_FINITE)
    finding = only(curve, Code.NON_FINITE)
    assert "from the first step" in finding.text
    assert "start_lr" not in finding.advice


def test_not_finite_soon_after_the_start() -> None:
    """The step is named, and a lower start_lr or more precision advised."""
    curve = Curve(np.logspace(-1, 0, 13), np.array([2.3] * 12 + [np.inf]), 100, Stop.NON_FINITE)
    finding = only(curve, Code.NON_FINITE)
    assert "from step 12 on" in finding.text
    assert "lower finder.start_lr" in finding.advice
    assert "device.precision" in finding.advice


def test_too_few_points_after_the_skips() -> None:
    """How many are left and how many are needed."""
    finding = only(make_curve(typical, num_iter=20), Code.TOO_SHORT)
    assert "only 5 points are left after the skips, and 10 are needed" in finding.text
    assert "finder.num_iter" in finding.advice
    assert codes(make_curve(typical, num_iter=25)) != [Code.TOO_SHORT]


@pytest.mark.parametrize(
    ("reading", "left"), [(Reading(skip_start=400), 0), (Reading(skip_start=0, skip_end=293), 7)]
)
def test_skips_that_leave_too_little_are_counted(reading: Reading, left: int) -> None:
    """Never a negative number of points."""
    assert f"only {left} points are left" in only(make_curve(typical), Code.TOO_SHORT, reading).text


def noisy_ones(num_iter: int, noise: float) -> list[tuple[int, Curve, ToldFinding]]:
    """(seed, curve, finding) of those among 40 seeds that are too noisy to read, which must be most."""
    curves = [make_curve(typical, num_iter=num_iter, noise=noise, seed=seed) for seed in range(40)]
    found = [
        (seed, curve, finding)
        for seed, curve in enumerate(curves)
        for finding in diagnose(curve)
        if finding.code is Code.NOISY
    ]
    assert len(found) > 20
    return found


@pytest.mark.parametrize(("num_iter", "noise"), [(100, 0.5), (300, 0.8)])
def test_with_the_advised_num_iter_a_noisy_curve_is_noisy_no_more(num_iter: int, noise: float) -> None:
    """The same loss with the same noise, run as long as advised: nine reruns of ten or more read well."""
    found = noisy_ones(num_iter, noise)
    calm = 0
    for seed, _, finding in found:
        longer = int(advised(finding, "finder.num_iter"))
        assert longer > num_iter
        calm += codes(make_curve(typical, num_iter=longer, noise=noise, seed=1000 + seed)) == []
    assert calm >= 0.9 * len(found)


def test_with_the_advised_smooth_f_the_same_curve_is_noisy_no_more() -> None:
    """Where more smoothing is enough, without a new run."""
    for _, curve, finding in noisy_ones(300, 0.7):
        if "smooth_f" in finding.advice:
            assert codes(curve, Reading(smooth_f=advised(finding, "finder.smooth_f"))) == []


def test_no_advice_smooths_the_descent_away() -> None:
    """Beyond smooth_f 0.3 only more iterations or larger batches are left."""
    advice = [finding.advice for _, _, finding in noisy_ones(100, 0.7)]
    assert any("smooth_f" not in text for text in advice)
    assert all("finder.num_iter" in text and "data.batch_size" in text for text in advice)
    for _, _, finding in noisy_ones(100, 0.7):
        if "smooth_f" in finding.advice:
            assert advised(finding, "finder.smooth_f") <= 0.3


def test_an_unsmoothed_curve_is_told_to_smooth_and_not_to_run_longer() -> None:
    """With smooth_f = 0 every point stands for itself, however many there are."""
    curve = make_curve(typical, noise=0.3)
    finding = only(curve, Code.NOISY, Reading(smooth_f=0.0))
    assert "num_iter" not in finding.advice
    assert diagnose(curve, Reading(smooth_f=advised(finding, "finder.smooth_f"))) == ()


def test_the_ema_is_told_of_its_own_weight() -> None:
    """smooth_f does nothing for it, and neither does a longer run."""
    curve = make_curve(typical, noise=0.8, num_iter=1000)
    finding = only(curve, Code.NOISY, Reading(smoother="ema", ema_weight=0.5))
    assert "smooth_f" not in finding.advice
    assert "num_iter" not in finding.advice
    weight = advised(finding, "finder.ema_weight")
    assert weight < 0.5
    assert diagnose(curve, Reading(smoother="ema", ema_weight=weight)) == ()


SHAPES = [
    (typical, 0.1),
    (typical, 0.6),
    (constant(2.3), 0.1),
    (climbing, 0.05),
    (sigmoid(steepest=1.0, width=0.6), 0.02),
]


@given(
    case=st.sampled_from(SHAPES),
    seed=st.integers(0, 10_000),
    shift=st.floats(-1e3, 1e3),
    scale=st.floats(1e-3, 1e3),
)
def test_shifting_or_scaling_the_losses_changes_no_finding(
    case: tuple[object, float], seed: int, shift: float, scale: float
) -> None:
    """Thresholds and the numbers in the advice are in units of the curve."""
    shape, noise = case
    curve = make_curve(shape, num_iter=100, noise=noise, seed=seed, rule=StopRule())  # type: ignore[arg-type]
    before = told(curve)
    assert told(changed(curve, shift=shift)) == before
    assert told(changed(curve, scale=scale)) == before


@given(seed=st.integers(0, 10_000), power=st.integers(-4, 4))
def test_scaling_the_lrs_changes_no_code(seed: int, power: int) -> None:
    """Only the LRs that the advice names move along."""
    curve = make_curve(typical, num_iter=100, noise=0.3, seed=seed)
    assert codes(changed(curve, lr_scale=10.0**power)) == codes(curve)


def test_every_code_has_been_seen() -> None:
    """The curves of this file bring out all of them."""
    assert {code.value for code in Code} == {
        "too_short",
        "flat",
        "non_finite",
        "diverged_at_start",
        "never_diverged",
        "minimum_at_edge",
        "noisy",
        "skipped_steps",
    }


def test_advice_on_a_validation_curve_counts_training_steps() -> None:
    """A curve with a point every 10 steps is advised ten times as many iterations as one with a point each step."""
    curve = make_curve(typical, num_iter=100, noise=0.6)
    numbers = [
        advised(
            next(f for f in diagnose(replace(curve, steps_per_point=steps)) if f.code is Code.NOISY),
            "finder.num_iter",
        )
        for steps in (1, 10)
    ]
    assert numbers[1] == pytest.approx(10 * numbers[0], abs=100)
