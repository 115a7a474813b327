"""Verification: known answers on losses over LR that can be written down, and laws that hold for any."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steadylr.core.verification import (
    Conclusion,
    Suggested,
    Verification,
    as_printed,
    lrs_to_try,
    verify,
)
from steadylr.words.numbers import percent
from steadylr.words.verification import verification_advice, verification_summary

SUGGESTED = Suggested(0.01, 0.02, 0.04)
LRS = lrs_to_try(SUGGESTED)


def parabola(lrs: tuple[float, ...], best: float, *, width: float = 1.0) -> np.ndarray:
    """Losses 1 + (decades from the best / width)^2, shape (LRs,)."""
    return 1.0 + (np.log10(np.array(lrs) / best) / width) ** 2


def judged(
    best: float,
    *,
    width: float = 1.0,
    noise: float = 0.0,
    seeds: int = 3,
    suggested: Suggested = SUGGESTED,
    beyond: tuple[float, ...] = (3.0,),
) -> Verification:
    """The verification on a parabola with its best LR anywhere, the loss before training being 2."""
    lrs = lrs_to_try(suggested, beyond=beyond)
    losses = np.tile(parabola(lrs, best, width=width), (seeds, 1))
    losses = losses + noise * np.random.default_rng(0).normal(size=losses.shape)
    return verify(lrs, losses, initial_loss=2.0, suggested=suggested)


def test_lrs_are_the_suggestions_and_a_factor_beyond_each_end() -> None:
    """Rising, each once, rounded as they are printed."""
    assert LRS == (0.00333, 0.01, 0.02, 0.04, 0.12)
    assert lrs_to_try(Suggested(0.1, 0.1, 0.1), beyond=(3, 10)) == (0.01, 0.0333, 0.1, 0.3, 1.0)
    assert lrs_to_try(SUGGESTED, beyond=(), further=(0.5, 0.02)) == (0.01, 0.02, 0.04, 0.5)
    assert as_printed(0.0123456) == 0.0123


def test_regret_is_the_share_of_the_descent_that_is_lost() -> None:
    """(loss - best) / (loss before training - best)."""
    found = judged(0.02)
    np.testing.assert_allclose([tried.loss for tried in found.tried], parabola(LRS, 0.02))
    expected = np.log10(np.array(LRS) / 0.02) ** 2
    np.testing.assert_allclose([tried.regret for tried in found.tried], expected)
    assert found.descent == pytest.approx(1.0)
    assert found.best.lr == 0.02


def test_sensitivity_is_the_mean_over_the_log_of_lr() -> None:
    """A triangle from 0 to h and back has the mean h / 2; a step counts no more than the loss before training."""
    suggested = Suggested(0.1, 0.1, 0.1)
    found = verify((0.01, 0.1, 1.0), [[3.0, 1.0, 3.0]], initial_loss=5.0, suggested=suggested)
    assert found.sensitivity == pytest.approx(1.0)
    capped = verify((0.01, 0.1, 1.0), [[9.0, 1.0, math.inf]], initial_loss=3.0, suggested=suggested)
    assert capped.sensitivity == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("best", "width", "conclusion", "move_to", "sentence"),
    [
        (
            0.02,
            4.0,
            Conclusion.HARMLESS,
            None,
            "The spread is harmless: anywhere from 1.00e-2 to 4.00e-2 a training loses at most 0.6% of its descent.",
        ),
        (
            0.02,
            1.0,
            Conclusion.ENDS,
            None,
            "The choice is good, but its ends are not: 2.00e-2 loses 0.0% of the descent, 1.00e-2 loses 9.1% "
            "and 4.00e-2 loses 9.1%.",
        ),
        (
            0.12,
            1.0,
            Conclusion.MOVE,
            0.12,
            "The choice should move to 1.20e-1: 2.00e-2 loses 61% of the descent.",
        ),
    ],
)
def test_the_sentences(
    best: float, width: float, conclusion: Conclusion, move_to: float | None, sentence: str
) -> None:
    """One of three, by where the best LR lies and how flat the valley is."""
    found = judged(best, width=width)
    assert (found.conclusion, found.move_to) == (conclusion, move_to)
    assert verification_summary(found) == sentence


def test_one_bad_end_is_named() -> None:
    """The other is not."""
    found = verify(LRS, [[1.5, 1.2, 1.0, 1.0, 1.1]], initial_loss=2.0, suggested=SUGGESTED)
    assert verification_summary(found) == (
        "The choice is good, but its lower end is not: 2.00e-2 loses 0.0% of the descent, 1.00e-2 loses 20%."
    )


def test_without_a_spread_the_choice_alone_is_judged() -> None:
    """One run, or runs that agree to three digits."""
    found = judged(0.02, suggested=Suggested(0.02, 0.02, 0.02))
    assert found.conclusion is Conclusion.HARMLESS
    assert (
        verification_summary(found)
        == "There is no spread, and the choice is good: 2.00e-2 loses 0.0% of the descent."
    )


def test_the_flat_region_is_around_the_best() -> None:
    """All good LRs next to one another; where it reaches the end of what was tried it may go on."""
    assert judged(0.02).flat == (0.02, 0.02)
    assert judged(0.02).flat_is_open == (False, False)
    wide = judged(0.02, width=4.0)
    assert wide.flat == (0.00333, 0.12)
    assert wide.flat_is_open == (True, True)
    apart = verify(LRS, [[1.0, 1.5, 1.0, 1.01, 1.5]], initial_loss=2.0, suggested=SUGGESTED)
    assert apart.best.lr == 0.00333
    assert apart.flat == (0.00333, 0.00333)


def test_a_training_that_was_given_up_counts_as_none() -> None:
    """As the loss before training: it lost the whole descent."""
    losses = [[1.1, 1.0, 1.0, 1.0, math.nan], [1.1, 1.0, 1.0, 1.0, math.inf]]
    found = verify(LRS, losses, initial_loss=2.0, suggested=SUGGESTED)
    assert found.tried[-1].regret == 1.0
    assert found.tried[-1].num_given_up == 2
    assert found.tried[-1].losses == (math.inf, math.inf)
    assert found.conclusion is Conclusion.HARMLESS


@pytest.mark.parametrize("loss", [2.0, 2.5, math.inf])
def test_where_nothing_was_learned_there_is_no_answer(loss: float) -> None:
    """No LR ends below the loss before training."""
    found = verify(LRS, np.full((3, 5), loss), initial_loss=2.0, suggested=SUGGESTED)
    assert found.conclusion is Conclusion.NOTHING_LEARNED
    assert verification_summary(found).startswith(
        "No answer: no LR tried ends below the loss before training"
    )
    assert not found.sure
    assert all(tried.regret == 0 for tried in found.tried)


def test_noise_alone_is_no_descent() -> None:
    """The best of five LRs lies below the start by luck, but not by more than the seeds differ."""
    rng = np.random.default_rng(1)
    found = verify(LRS, 2.0 + 0.1 * rng.normal(size=(3, 5)), initial_loss=2.0, suggested=SUGGESTED)
    assert found.conclusion is Conclusion.NOTHING_LEARNED


def test_seeds_that_agree_can_tell() -> None:
    """And say how large their noise is."""
    found = judged(0.02, width=4.0, noise=0.003)
    assert found.sure
    assert found.seeds_needed is None
    assert verification_advice(found)[0].startswith("3 seeds are enough to tell: their noise is")
    assert "more range tests would not pay" in verification_advice(found)[1]


def test_seeds_that_differ_can_not_tell() -> None:
    """And say how many could, at this noise."""
    found = judged(0.02, width=2.0, noise=0.03)
    assert not found.sure
    assert found.seeds_needed is not None
    assert found.seeds_needed > 3
    assert "can't tell for sure" in verification_advice(found)[0]


def test_one_seed_is_never_sure() -> None:
    """It knows no noise."""
    found = judged(0.02, width=4.0, seeds=1)
    assert found.conclusion is Conclusion.HARMLESS
    assert (found.sure, found.seeds_needed, found.resolution) == (False, None, None)
    assert verification_advice(found)[0].startswith("One seed says nothing about the noise")


def test_noise_that_all_lrs_of_a_seed_share_is_no_noise() -> None:
    """A seed with worse weights is worse at every LR: differences within a seed don't see it."""
    losses = parabola(LRS, 0.02, width=4.0) + np.array([[0.0], [0.2], [-0.2]])
    found = verify(LRS, losses, initial_loss=2.0, suggested=SUGGESTED)
    assert found.sure
    assert found.resolution == pytest.approx(0.0, abs=1e-9)


def test_a_best_lr_at_the_end_leaves_harmless_unsure() -> None:
    """What lies beyond may be better still; a choice that should move should move all the same."""
    slow, steep = ([1.1, 1.02, 1.01, 1.01, 1.0], [1.2, 1.045, 1.04, 1.03, 1.0])
    found = [
        verify(LRS, np.tile(row, (3, 1)), initial_loss=2.0, suggested=SUGGESTED) for row in (slow, steep)
    ]
    assert [one.conclusion for one in found] == [Conclusion.HARMLESS, Conclusion.HARMLESS]
    assert [one.sure for one in found] == [True, False]
    assert "so try LRs above it too" in verification_advice(found[1])[0]
    moving = judged(0.12)
    assert moving.sure
    assert any("There may be a better one" in text for text in verification_advice(moving))


LOSSES = st.lists(st.lists(st.floats(0.5, 3.0), min_size=5, max_size=5), min_size=1, max_size=4).map(np.array)


@given(LOSSES, st.floats(-50, 50), st.floats(0.1, 10))
def test_shifted_and_scaled_losses(losses: np.ndarray, shift: float, scale: float) -> None:
    """Neither changes a regret; the sensitivity scales with the losses."""
    before = verify(LRS, losses, initial_loss=2.5, suggested=SUGGESTED)
    after = verify(LRS, shift + scale * losses, initial_loss=shift + scale * 2.5, suggested=SUGGESTED)
    if before.conclusion is Conclusion.NOTHING_LEARNED or after.conclusion is Conclusion.NOTHING_LEARNED:
        return
    np.testing.assert_allclose(
        [tried.regret for tried in after.tried], [tried.regret for tried in before.tried], atol=1e-6
    )
    assert after.sensitivity == pytest.approx(scale * before.sensitivity, rel=1e-6, abs=1e-6)


@given(LOSSES, st.floats(1e-3, 1e3))
def test_scaled_lrs(losses: np.ndarray, factor: float) -> None:
    """All LRs in the answer are scaled with them; nothing else changes."""
    before = verify(LRS, losses, initial_loss=2.5, suggested=SUGGESTED)
    scaled = Suggested(*(lr * factor for lr in SUGGESTED.lrs))
    after = verify([lr * factor for lr in LRS], losses, initial_loss=2.5, suggested=scaled)
    assert after.conclusion is before.conclusion
    assert after.sure == before.sure
    assert after.best.lr == pytest.approx(factor * before.best.lr)
    assert after.sensitivity == pytest.approx(before.sensitivity)


@given(LOSSES, st.integers(0, 100))
def test_the_order_of_the_seeds(losses: np.ndarray, draw: int) -> None:
    """Changes nothing but the order of the losses."""
    before = verify(LRS, losses, initial_loss=2.5, suggested=SUGGESTED)
    shuffled = np.random.default_rng(draw).permutation(losses)
    after = verify(LRS, shuffled, initial_loss=2.5, suggested=SUGGESTED)
    np.testing.assert_allclose([t.regret for t in after.tried], [t.regret for t in before.tried], atol=1e-9)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lrs": (0.1, 0.2)}, r"losses must have the shape \(seeds, 2\)"),
        ({"losses": np.zeros((0, 5))}, "at least one of each"),
        ({"lrs": (0.01, 0.02, 0.02, 0.04, 0.1)}, "lrs must be finite, above 0 and rising"),
        ({"lrs": (0.01, 0.02, 0.05, 0.1, 0.2)}, "high must be one of the LRs tried"),
        ({"initial_loss": math.nan}, "initial_loss must be a finite number; got nan"),
        ({"tolerance": 0.0}, "tolerance must be above 0 and below 1; got 0.0"),
        ({"tolerance": 1.0}, "tolerance must be above 0 and below 1; got 1.0"),
    ],
)
def test_bad_arguments_are_named(change: dict[str, object], message: str) -> None:
    """With what came."""
    given_: dict[str, object] = {
        "lrs": LRS,
        "losses": np.ones((2, 5)),
        "initial_loss": 2.0,
        "suggested": SUGGESTED,
    } | change
    lrs, losses = given_.pop("lrs"), given_.pop("losses")
    with pytest.raises(ValueError, match=message):
        verify(lrs, losses, **given_)  # type: ignore[arg-type]


@pytest.mark.parametrize("lrs", [(0.0, 0.1, 0.2), (0.2, 0.1, 0.3), (0.1, 0.3, 0.2), (0.1, 0.2, math.inf)])
def test_suggestions_are_in_order(lrs: tuple[float, float, float]) -> None:
    """Above 0 and finite."""
    with pytest.raises(ValueError, match="low <= chosen <= high"):
        Suggested(*lrs)


def test_bad_grids_are_refused() -> None:
    """A factor that leads nowhere, an LR that is none, an LR that wasn't tried."""
    with pytest.raises(ValueError, match="beyond must hold finite factors above 1; got 1"):
        lrs_to_try(SUGGESTED, beyond=(1,))
    with pytest.raises(ValueError, match="lrs must be finite and above 0; got -1"):
        lrs_to_try(SUGGESTED, further=(-1,))
    with pytest.raises(ValueError, match="lr must be one of the LRs tried"):
        judged(0.02).at(0.5)


def test_percents() -> None:
    """One decimal below ten."""
    assert [percent(share) for share in (0.0, 0.004, 0.0996, 0.123, 1.0)] == [
        "0.0%",
        "0.4%",
        "10%",
        "12%",
        "100%",
    ]
