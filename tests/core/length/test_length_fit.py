"""The law of the valleys: known answers on losses that can be written down, and laws that hold for any."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from valleys import Valleys

from steadylr.core.length.fit import fit_law
from steadylr.core.length.law import PRIOR, Prior, Start, valley
from steadylr.core.length.trials import AskedTrial, TrialLoss, rungs_of

LENGTHS = (64, 256, 1024)
OPEN = Prior(exponent_std=2.0, curvature_std=1e-3, deviation_std=1e-3, skew_std=2.0)
"""Trials that follow the law to the letter, and nothing expected of their exponent."""


@pytest.mark.parametrize("exponent", [0.0, 0.2, 0.5, 0.8])
@pytest.mark.parametrize("best", [3e-4, 0.3])
def test_a_known_law_is_found(exponent: float, best: float) -> None:
    """B, beta and the shape of the valleys, from three lengths, at sixteen times the longest."""
    truth = Valleys(best_at_1000=best, exponent=exponent, skew=0.5)
    fit = fit_law(truth.grid(LENGTHS), prior=OPEN)
    assert fit.lr_at(16_384) == pytest.approx(truth.best(16_384), rel=0.02)
    assert fit.shape.beta == pytest.approx(exponent, abs=0.01)
    assert fit.shape.a == pytest.approx(0.5, abs=0.05)
    low, high = fit.interval(16_384)
    assert low < truth.best(16_384) < high


def test_few_lengths_lean_on_what_is_expected() -> None:
    """One length says nothing of the exponent: it is the prior's, as wide as the prior."""
    truth = Valleys(exponent=0.8)
    one = fit_law(truth.grid([256]))
    assert one.shape.beta == pytest.approx(PRIOR.exponent, abs=1e-3)
    assert one.beta_std == pytest.approx(PRIOR.exponent_std, rel=1e-2)
    widths = [
        np.ptp(np.log2(fit_law(truth.grid(lengths)).interval(16_384)))
        for lengths in ([1024], [256, 1024], [16, 64, 256, 1024])
    ]
    assert widths[0] > widths[1] > widths[2]


def test_without_trials_the_range_tests_count() -> None:
    """Moved along the length by the expected exponent, and wide."""
    fit = fit_law([], start=Start(0.1, 200))
    assert fit.lr_at(200) == pytest.approx(0.1)
    assert fit.lr_at(20_000) == pytest.approx(0.1 * 100**-PRIOR.exponent)
    low, high = fit.interval(20_000)
    assert high / low > 2.0**4


def test_the_start_counts_little_beside_trials() -> None:
    """Range tests that are four octaves off move the answer by less than a quarter of one."""
    truth = Valleys()
    trials = truth.grid(LENGTHS)
    moved = [fit_law(trials, start=Start(truth.best(200) * f, 200)).lr_at(8192) for f in (1 / 16, 1, 16)]
    assert moved[2] / moved[0] < 2**0.5


def test_a_seed_that_trains_worse_moves_nothing() -> None:
    """Differences are taken within seeds."""
    trials = Valleys().grid(LENGTHS, seeds=2)
    worse = [replace(trial, loss=trial.loss + 0.5 * trial.seed) for trial in trials]
    assert fit_law(worse).lr_at(8192) == pytest.approx(fit_law(trials).lr_at(8192), rel=1e-6)


def test_a_trial_whose_seed_has_no_other_says_nothing() -> None:
    """Whatever its loss."""
    trials = Valleys().grid(LENGTHS)
    lonely = TrialLoss(1024, trials[-1].lr, 7, 0.3)
    assert fit_law([*trials, lonely]).lr_at(8192) == pytest.approx(fit_law(trials).lr_at(8192), rel=1e-3)


def test_trials_that_were_given_up_lie_above_the_best() -> None:
    """They close the upper end of a length in which nothing else does."""
    start = Start(0.2, 200)
    rising = [TrialLoss(1024, 0.01, 0, math.inf), TrialLoss(1024, 0.02, 0, math.nan)]
    assert fit_law([], start=start).lr_at(1024) > 0.05
    assert fit_law(rising, start=start).lr_at(1024) < 0.03


def test_one_wild_loss_counts_little() -> None:
    """As residuals count less the farther off they are."""
    truth = Valleys(noise=0.005)
    trials = truth.grid(LENGTHS, seeds=2)
    wild = [replace(t, loss=t.loss + 1.0) if i == len(trials) - 4 else t for i, t in enumerate(trials)]
    off = math.log2(fit_law(wild).lr_at(8192) / fit_law(trials).lr_at(8192))
    assert abs(off) < 0.35


def test_intervals_cover() -> None:
    """Laws drawn from what is expected, with noise: the interval holds the truth in at least nine of ten."""
    rng = np.random.default_rng(0)
    held = []
    for _ in range(25):
        exponent = float(rng.normal(PRIOR.exponent, PRIOR.exponent_std))
        truth = Valleys(exponent=exponent, noise=0.02, seed_noise=0.05)
        shifted = rng.normal(0, PRIOR.deviation_std, 4)
        trials = [
            replace(trial, lr=trial.lr * 2.0 ** shifted[LENGTHS.index(trial.steps)])
            for trial in truth.grid(LENGTHS, octaves=(-1, 0, 1))
        ]
        low, high = fit_law(trials).interval(16_384)
        held.append(low <= truth.best(16_384) * 2.0 ** shifted[3] <= high)
    assert np.mean(held) >= 0.9


NOISY = Valleys(noise=0.02, seed_noise=0.05).grid(LENGTHS, octaves=(-1, 0, 1), seeds=2)


@settings(max_examples=8, deadline=None)
@given(st.floats(-5, 5), st.floats(0.1, 10))
def test_shifted_and_scaled_losses(shift: float, scale: float) -> None:
    """Change no LR and no exponent."""
    before, after = (
        fit_law(NOISY),
        fit_law([replace(trial, loss=shift + scale * trial.loss) for trial in NOISY]),
    )
    assert after.lr_at(8192) == pytest.approx(before.lr_at(8192), rel=1e-3)
    assert after.shape.beta == pytest.approx(before.shape.beta, abs=1e-3)
    assert after.beta_std == pytest.approx(before.beta_std, rel=0.02)


@settings(max_examples=8, deadline=None)
@given(st.floats(1e-3, 1e3))
def test_scaled_lrs(factor: float) -> None:
    """The answer is scaled with them; nothing else changes."""
    before = fit_law(NOISY, start=Start(0.02, 200))
    after = fit_law([replace(t, lr=factor * t.lr) for t in NOISY], start=Start(0.02 * factor, 200))
    assert after.lr_at(8192) == pytest.approx(factor * before.lr_at(8192), rel=1e-3)
    assert after.octaves_std(8192) == pytest.approx(before.octaves_std(8192), rel=0.02)


@settings(max_examples=5, deadline=None)
@given(st.randoms(use_true_random=False))
def test_the_order_of_the_trials(random: object) -> None:
    """Changes nothing at all."""
    shuffled = list(NOISY)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert fit_law(shuffled).shape == fit_law(NOISY).shape


@given(st.floats(-3, 3), st.floats(-1, 1))
def test_the_valley_has_one_bottom(u: float, a: float) -> None:
    """At 0, a parabola close to it; steeper above than below where a is above 0."""
    assert float(valley(u, a)) >= 0
    assert float(valley(1e-3, a)) == pytest.approx(1e-6, rel=1e-2)
    if a > 1e-3 and u > 1e-3:
        assert float(valley(u, a)) > float(valley(-u, a))


def test_what_a_length_tried_says_of_itself() -> None:
    """Its best LR by comparisons within seeds, and whether a better one may lie beyond."""
    trials = [
        TrialLoss(10, 0.1, 0, 1.0),
        TrialLoss(10, 0.2, 0, 0.9),
        TrialLoss(10, 0.2, 1, 5.0),
        TrialLoss(10, 0.4, 1, 5.2),
    ]
    (rung,) = rungs_of(trials)
    assert (rung.best, rung.is_open) == (0.2, (False, False))
    (rising,) = rungs_of(trials[:2])
    assert rising.is_open == (False, True)
    (closed,) = rungs_of([*trials[:2], TrialLoss(10, 0.4, 0, math.inf)])
    assert closed.is_open == (False, False)
    (lost,) = rungs_of([TrialLoss(10, 0.4, 0, math.inf)])
    assert (lost.best, lost.is_open, lost.near) == (None, (True, False), ())


def test_bad_arguments_are_named() -> None:
    """With what came."""
    with pytest.raises(ValueError, match="steps must be at least 1; got 0"):
        AskedTrial(0, 0.1, 0)
    with pytest.raises(ValueError, match=r"lr must be a finite number above 0; got -0\.1"):
        TrialLoss(10, -0.1, 0, 1.0)
    with pytest.raises(ValueError, match="octaves_std must be a finite number above 0; got nan"):
        Start(0.1, 10, math.nan)
    with pytest.raises(ValueError, match="trials must hold one with a loss, or start must be given"):
        fit_law([TrialLoss(10, 0.1, 0, math.inf)])
