"""How sure one curve is: what the bootstrap must see, and laws."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from curves import changed, constant, make_curve, typical

from steadylr.core.certainty import SEED_STD, factor_95, log10_std
from steadylr.core.divergence import StopRule
from steadylr.core.rules import suggest


def sure(noise: float, *, num_iter: int = 300, seed: int = 0) -> float:
    std = log10_std(make_curve(typical, num_iter=num_iter, noise=noise, seed=seed, rule=StopRule()))
    assert std is not None
    return std


def test_a_curve_without_noise_leaves_what_seeds_do_beyond_it() -> None:
    """The bootstrap moves nothing then, but for a step of the ramp where the smoothing bends the line."""
    assert sure(0.0, num_iter=1000) == pytest.approx(SEED_STD, rel=0.05)


def test_more_noise_is_less_sure() -> None:
    """In the mean over five curves each, by the size of the noise."""
    means = [np.mean([sure(noise, seed=seed) for seed in range(5)]) for noise in (0.02, 0.1, 0.3)]
    assert means == sorted(means)
    assert means[2] > 1.2 * means[0]


@pytest.mark.parametrize("noise", [0.1, 0.3])
def test_the_bootstrap_sees_what_repeats_show(noise: float) -> None:
    """Within a factor of 1.5 of the standard deviation over 60 curves that differ in their noise alone."""
    curves = [make_curve(typical, noise=noise, seed=seed, rule=StopRule()) for seed in range(60)]
    seen = float(np.std([np.log10(suggest(curve).lr or np.nan) for curve in curves]))
    stds = [log10_std(curve) for curve in curves[:12]]
    predicted = np.sqrt(np.mean([std**2 - SEED_STD**2 for std in stds if std is not None]))
    assert 1 / 1.5 < predicted / seen < 1.5


def test_shifted_scaled_and_at_other_lrs() -> None:
    """Nothing of it depends on the units of the loss or of the LR."""
    curve = make_curve(typical, noise=0.1)
    expected = log10_std(curve)
    assert expected is not None
    assert log10_std(changed(curve, shift=-7.0)) == pytest.approx(expected, rel=1e-6)
    assert log10_std(changed(curve, scale=12.0)) == pytest.approx(expected, rel=1e-6)
    assert log10_std(changed(curve, lr_scale=3.0)) == pytest.approx(expected, rel=1e-6)


def test_one_curve_gives_one_number_and_another_generator_another() -> None:
    """The signs come from the generator that is given, or always from the same one."""
    curve = make_curve(typical, noise=0.2)
    assert log10_std(curve) == log10_std(replace(curve))
    assert log10_std(curve, rng=np.random.default_rng(5)) != log10_std(curve)


def test_no_answer_has_no_certainty() -> None:
    """Where there is no LR there is nothing to be sure of."""
    assert log10_std(make_curve(constant(2.3), noise=0.1)) is None
    assert log10_std(make_curve(typical, num_iter=12)) is None


def test_the_factor_of_a_standard_deviation() -> None:
    """1.96 standard deviations of a normal hold 19 of 20: 0.1 decades are a factor of 1.57."""
    assert factor_95(0.1) == pytest.approx(1.57, abs=0.005)
    assert factor_95(0.0) == 1.0
