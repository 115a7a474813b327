"""Losses that stop being finite: a divergence where they climbed before, else a matter of the data or the loss."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from curves import changed, constant, make_curve, sigmoid, typical
from hypothesis import given
from hypothesis import strategies as st

from steadylr.core.certainty import log10_std
from steadylr.core.curve import Curve, Stop
from steadylr.core.diagnosis import Code, diagnose
from steadylr.core.rules import RULES, suggest, suggest_all
from steadylr.core.suggestion import Outcome, Reason, Why
from steadylr.words.names import COMMAND_LINE
from steadylr.words.reading import told_finding, told_suggestion

EDGE_RULES = ("bracket", "divergence", "smith")
SIZES = st.sampled_from([100, 300, 1000])
NOISES = st.sampled_from([0.0, 0.02, 0.1, 0.3])


def met_nan(curve: Curve, log10_lr: float, *, value: float = np.nan) -> Curve:
    """The curve of a run that met a bad batch at some LR, which ended it."""
    at = int(np.searchsorted(curve.log10_lr, log10_lr))
    loss = curve.loss[: at + 1].copy()
    loss[at] = value
    return Curve(curve.lr[: at + 1], loss, curve.num_iter, Stop.NON_FINITE, curve.steps_per_point)


@pytest.mark.parametrize("rule", EDGE_RULES)
@pytest.mark.parametrize("log10_lr", [-3.5, -3.0, -2.0])
def test_a_nan_from_the_data_is_no_divergence(rule: str, log10_lr: float) -> None:
    """Met in the descent or in the valley: rules that need an edge have no LR, and name the step and its LR."""
    curve = met_nan(make_curve(typical, noise=0.05), log10_lr)
    found = suggest(curve, rule)
    assert (found.lr, found.low, found.high) == (None, None, None)
    assert found.outcome is Outcome.NO_POINT
    step, lr = len(curve) - 1, float(curve.lr[-1])
    assert found.reason == Reason(Why.NON_FINITE_UNCLIMBED, step=step, lr=lr)
    text = str(told_suggestion(found, COMMAND_LINE).reason)
    assert f"from step {step} on" in text
    assert "nothing climbed before: check the data" in text


def test_rules_that_need_no_edge_answer_beside_the_finding() -> None:
    """The diagnosis says that the losses ended, and asks for no higher end_lr."""
    curve = met_nan(make_curve(typical, noise=0.05), -2.0)
    assert {rule for rule in RULES if suggest(curve, rule).lr is None} >= set(EDGE_RULES)
    assert suggest(curve, "steepest") == suggest(
        replace(curve, stop=Stop.DIVERGED, loss=curve.loss), "steepest"
    )
    (finding,) = diagnose(curve)
    assert finding.code is Code.NON_FINITE
    assert "check the data" in told_finding(finding, COMMAND_LINE).advice
    assert log10_std(curve) is None


def test_a_file_whose_last_loss_is_finite_says_the_same() -> None:
    """A curve that was stored without its last, bad loss, and one with a gap that ran on."""
    whole = make_curve(typical, noise=0.05)
    cut = met_nan(whole, -2.0)
    without = Curve(cut.lr[:-1], cut.loss[:-1], cut.num_iter, Stop.NON_FINITE)
    gap = whole.loss.copy()
    gap[len(cut) - 1] = np.nan
    for curve in (without, Curve(whole.lr, gap, whole.num_iter)):
        found = suggest(curve)
        assert (found.lr, found.outcome) == (None, Outcome.NO_POINT)
        assert log10_std(curve) is None


@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_a_flat_curve_that_meets_a_nan_did_not_diverge(noise: float) -> None:
    """Neither start_lr nor end_lr is to blame."""
    for log10_lr in (-5.5, -3.0, 0.0):
        found = suggest(met_nan(make_curve(constant(2.3), noise=noise), log10_lr))
        assert found.outcome is Outcome.NON_FINITE
        text = str(told_suggestion(found, COMMAND_LINE).reason)
        assert "check the data" in text
        assert "_lr" not in text


@pytest.mark.parametrize("losses", [[2.3], [2.3, 2.31], [2.3, 2.2, 2.4, 2.1, 2.3]])
def test_a_nan_in_the_first_batches_at_a_tiny_lr_is_the_data_or_the_loss(losses: list[float]) -> None:
    """1e-7 brings no model from 2.3 to NaN in a few steps; 0.5 may."""
    for start, blamed in ((1e-7, False), (0.5, True)):
        lr = np.geomspace(start, 10, 300)[: len(losses) + 1]
        found = suggest(Curve(lr, np.array([*losses, np.nan]), 300, Stop.NON_FINITE))
        assert found.outcome is Outcome.NON_FINITE
        text = str(told_suggestion(found, COMMAND_LINE).reason)
        assert f"from step {len(losses)} on" in text
        assert ("lower finder.start_lr" in text) is blamed
        assert ("check the data" in text) is not blamed


def test_the_step_of_a_validation_curve_counts_steps() -> None:
    """Its points lie further apart."""
    curve = met_nan(replace(make_curve(typical, num_iter=100, noise=0.05), steps_per_point=5), -2.0)
    found = suggest(curve)
    assert isinstance(found.reason, Reason)
    assert found.reason.step == 5 * (len(curve) - 1)


@given(
    num_iter=SIZES,
    noise=NOISES,
    seed=st.integers(0, 10_000),
    tail=st.lists(st.floats(3.0, 50.0), min_size=1, max_size=4),
    end=st.sampled_from([np.nan, np.inf, -np.inf]),
)
def test_losses_that_climb_before_they_end_read_as_a_divergence(
    num_iter: int, noise: float, seed: int, tail: list[float], end: float
) -> None:
    """Bit for bit as where the stop rule ended the run, also by their certainty: whatever the last loss is."""
    whole = make_curve(typical, num_iter=num_iter, noise=noise, seed=seed)
    n = int(np.argmin(typical(whole.log10_lr)))
    losses = np.concatenate([whole.loss[:n], np.cumsum(tail) + 2.0])
    diverged = Curve(whole.lr[: losses.size], losses, num_iter, Stop.DIVERGED)
    ended = Curve(whole.lr[: losses.size + 1], [*losses, end], num_iter, Stop.NON_FINITE)
    assert suggest_all(ended) == suggest_all(diverged)
    assert diagnose(ended) == diagnose(diverged)
    if num_iter == 100:
        assert log10_std(ended) == log10_std(diverged)


@given(
    num_iter=SIZES,
    noise=NOISES,
    seed=st.integers(0, 10_000),
    log10_lr=st.floats(-5.5, -1.5),
    shift=st.sampled_from([-1e3, -3.0, 10.0]),
    scale=st.sampled_from([1e-3, 0.5, 100.0]),
)
def test_neither_shift_nor_scale_moves_what_a_nan_is_taken_for(
    num_iter: int, noise: float, seed: int, log10_lr: float, shift: float, scale: float
) -> None:
    """The laws of all rules, for curves that end in a bad batch."""
    curve = met_nan(make_curve(typical, num_iter=num_iter, noise=max(noise, 1e-3), seed=seed), log10_lr)
    before = {rule: found.outcome for rule, found in suggest_all(curve).items()}
    for other in (changed(curve, shift=shift), changed(curve, scale=scale), changed(curve, lr_scale=0.1)):
        assert {rule: found.outcome for rule, found in suggest_all(other).items()} == before


def test_a_calm_end_is_hardly_ever_taken_for_a_climb() -> None:
    """At most 1 in 50 of 1,200 bad batches, with any noise and anywhere before the climb."""
    taken = 0
    for seed in range(60):
        for num_iter in (100, 300):
            for noise in (0.02, 0.3):
                whole = make_curve(
                    sigmoid(steepest=1e-3, width=0.3), num_iter=num_iter, noise=noise, seed=seed
                )
                taken += sum(suggest(met_nan(whole, x)).lr is not None for x in (-4.5, -3.5, -3.0, -2.0, 0.0))
    assert taken <= 24


@pytest.mark.parametrize("num_points", [10, 15])
def test_slide_blames_few_points_for_what_they_are(num_points: int) -> None:
    """It compares slopes 15 points apart; other rules can read such a curve."""
    curve = make_curve(sigmoid(steepest=1e-3, width=0.2), num_iter=num_points + 15)
    found = suggest(curve, "slide")
    assert (found.outcome, found.lr) == (Outcome.NO_POINT, None)
    assert found.reason == Reason(Why.FEW_POINTS, num_points=num_points, num_needed=16)
    assert suggest(curve, "steepest").lr is not None
    longer = suggest(make_curve(sigmoid(steepest=1e-3, width=0.2), num_iter=31), "slide")
    assert longer.reason != found.reason
