"""The scout: which part of a ramp it leaves, and when it leaves all of it."""

from __future__ import annotations

import numpy as np
import pytest
from curves import constant, make_curve, typical

from steadylr.core.curve import Curve, Stop
from steadylr.core.divergence import StopRule
from steadylr.core.ramp import Ramp
from steadylr.core.rules import bracket, suggest
from steadylr.core.scout import scouted
from steadylr.core.settings import Reading

WHOLE = Ramp(1e-7, 10.0, 1000)
READ = Reading(skip_start=5, skip_end=0)


def scout(*, noise: float = 0.0, seed: int = 0, steps: int = 50) -> Curve:
    """A coarse curve over the whole ramp, ended by the stop rule."""
    return make_curve(typical, num_iter=steps, noise=noise, seed=seed, rule=StopRule())


def test_the_fine_ramp_covers_the_bracket_and_its_margins() -> None:
    """From a tenth of low to five times the edge, which is twice high; its steps are the whole ramp's."""
    told = bracket(scout(), READ)
    assert told.low is not None
    assert told.high is not None
    fine = scouted(scout(), WHOLE)
    lrs = fine.lrs()
    step = (10 / 1e-7) ** (1 / 999)
    assert told.low / 10 <= lrs[0] < told.low / 10 * step
    assert 10 * told.high / step < lrs[-1] <= 10 * told.high
    np.testing.assert_array_equal(lrs, WHOLE.lrs()[fine.steps.start : fine.steps.stop])
    assert (fine.start_lr, fine.end_lr, fine.num_iter) == (1e-7, 10.0, 1000)
    assert len(lrs) < 0.65 * 1000


def test_the_fine_ramp_has_the_answer_of_the_whole_one() -> None:
    """Where a loss depends on the LR alone, within a tenth."""
    whole = make_curve(typical, num_iter=1000, noise=0.02)
    fine = scouted(scout(noise=0.02), WHOLE)
    part = Curve(fine.lrs(), whole.loss[fine.steps.start : fine.steps.stop], fine.num_iter)
    lr, again = suggest(whole).lr, suggest(part).lr
    assert lr is not None
    assert again == pytest.approx(lr, rel=0.1)


def test_margins_widen_the_part() -> None:
    """A factor each."""
    narrow, wide = scouted(scout(), WHOLE), scouted(scout(), WHOLE, below=100, above=5)
    assert narrow.lrs()[0] / wide.lrs()[0] == pytest.approx(10, rel=0.05)
    assert narrow.steps.stop == wide.steps.stop


def test_a_scout_lost_in_noise_tells_where_it_diverged() -> None:
    """The fine ramp starts four decades below, and goes on to the end of the ramp."""
    curve = next(c for c in (scout(noise=1.0, seed=s) for s in range(50)) if bracket(c, READ).lr is None)
    assert curve.stop is Stop.DIVERGED
    fine = scouted(curve, WHOLE)
    assert fine.lrs()[0] == pytest.approx(curve.lr[-1] / 1e4, rel=0.02)
    assert fine.lrs()[-1] == 10.0


def test_a_scout_that_shows_nothing_leaves_the_whole_ramp() -> None:
    """No descent, no divergence: nothing is left out."""
    assert scouted(make_curve(constant(2.3), num_iter=50, noise=0.1), WHOLE) is WHOLE


@pytest.mark.parametrize("shift", [-100.0, 3.0])
def test_a_shift_of_the_losses_moves_nothing(shift: float) -> None:
    """As with every rule."""
    curve = scout(noise=0.1)
    shifted = Curve(curve.lr, curve.loss + shift, curve.num_iter, curve.stop)
    assert scouted(shifted, WHOLE) == scouted(curve, WHOLE)
