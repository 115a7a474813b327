"""The ladder: which trials it asks for, that its budget holds, and that it goes on where it was."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from valleys import Train, Valleys

from steadylr.core.length.answer import Doubt, LengthAnswer, Settled, answer_for_length, bottoms_of
from steadylr.core.length.ladder import Ladder, lengths_of, lr_for_length, next_trials, range_test_steps
from steadylr.core.length.law import Start, start_of
from steadylr.core.length.trials import TrialLoss
from steadylr.core.length.waste import Cost


def ladder_for(truth: Valleys, *, steps: int = 20_000, share: float = 0.1, off: float = 1.5) -> Ladder:
    """With range tests that are off by a factor."""
    return Ladder(steps, int(share * steps), Start(off * truth.best(200), 200))


def answered(train: Train, ladder: Ladder) -> LengthAnswer:
    """The answer of a whole ladder."""
    return lr_for_length(train, ladder)


@given(st.integers(2, 10**7), st.floats(0, 1), st.integers(2, 500))
def test_lengths_rise_and_fit_the_budget(steps: int, share: float, shortest: int) -> None:
    """Up to half of what is planned, three trials of each within the budget, a factor of four apart."""
    ladder = Ladder(steps, int(share * steps), Start(0.1, 100), shortest)
    lengths = ladder.lengths
    assert list(lengths) == sorted(set(lengths))
    if lengths:
        assert lengths[0] >= shortest
        assert all(abs(after - 4 * before) <= 4 for before, after in pairwise(lengths))
        assert lengths[-1] <= steps / 2
        assert 3 * sum(lengths) <= ladder.budget


@pytest.mark.parametrize("exponent", [0.1, 0.2, 0.35])
@pytest.mark.parametrize("off", [0.25, 1.0, 4.0])
def test_a_ladder_finds_a_known_law(exponent: float, off: float) -> None:
    """Half of the steps, range tests two octaves off either way: within 0.7 octaves, and inside the interval."""
    truth = Valleys(exponent=exponent)
    found = answered(truth, ladder_for(truth, share=0.5, off=off))
    assert abs(math.log2(found.lr / truth.best(20_000))) < 0.7
    assert found.low < truth.best(20_000) < found.high
    assert found.num_steps <= 10_000


@settings(max_examples=10, deadline=None)
@given(st.integers(100, 50_000), st.floats(0.0, 0.6), st.floats(0.05, 20), st.floats(0.5, 4))
def test_the_budget_holds(steps: int, share: float, off: float, given_up: float) -> None:
    """Whatever the losses are; and no trial is asked for twice."""
    truth = Valleys(noise=0.05, given_up_octaves=given_up)
    ladder = ladder_for(truth, steps=steps, share=share, off=off)
    found = answered(truth, ladder)
    assert found.num_steps <= ladder.budget
    assert len({trial.asked for trial in found.trials}) == len(found.trials)
    assert {trial.steps for trial in found.trials} <= set(ladder.lengths)


@given(st.integers(2, 10**7), st.floats(0, 1), st.integers(1, 10))
def test_range_tests_and_trials_share_the_budget(steps: int, share: float, runs: int) -> None:
    """Range tests of 100 to 1000 steps; where they leave no trials, they have all that they can take."""
    budget = int(share * steps)
    num_iter = range_test_steps(steps, budget, runs=runs)
    assert 100 <= num_iter <= 1000
    if lengths_of(steps, budget - runs * num_iter):
        assert runs * num_iter <= budget / 2 or num_iter == 100
    else:
        assert num_iter in (100, 1000, budget // runs)


def test_a_ladder_from_no_answer() -> None:
    """Where the range test has none, the trials begin far apart below its last LR, and close in."""
    truth = Valleys()
    ladder = Ladder(20_000, 8000, start_of(None, last_lr=10.0, num_iter=400))
    found = answered(truth, ladder)
    assert abs(math.log2(found.lr / truth.best(20_000))) < 1.0
    assert found.low < truth.best(20_000) < found.high


def test_a_ladder_goes_on_where_it_was() -> None:
    """Climbed again with some of the losses known, it asks for the same trials and answers the same."""
    truth = Valleys(noise=0.02)
    ladder = ladder_for(truth)
    whole = answered(truth, ladder)
    known = {(t.lr, t.steps, t.seed): t.loss for t in whole.trials[::2]}
    trained: list[tuple[float, int, int]] = []

    def remembered(*trial: float) -> float:
        if trial not in known:
            trained.append(trial)  # type: ignore[arg-type]
            known[trial] = truth(*trial)  # type: ignore[index, arg-type]
        return known[trial]  # type: ignore[index]

    again = lr_for_length(remembered, ladder)
    assert (again.lr, again.trials) == (whole.lr, whole.trials)
    assert len(trained) == len(whole.trials) - len(whole.trials[::2])


def test_a_budget_that_affords_no_ladder() -> None:
    """Asks for nothing: the range tests and the exponents of others answer, wide, and it says so."""
    truth = Valleys()
    ladder = ladder_for(truth, share=0.001)
    assert next_trials(ladder, []) == ()
    found = answered(truth, ladder)
    assert (found.settled, found.doubts, found.trials) == (Settled.NOT, (Doubt.NO_TRIALS,), ())
    assert found.factor > 8


def test_trials_that_are_all_given_up() -> None:
    """The ladder goes down as far as the budget allows, and says that no trial ended with a loss."""
    truth = Valleys()
    ladder = ladder_for(truth)
    found = answered(lambda lr, steps, seed: math.nan, ladder)
    assert (found.settled, found.doubts) == (Settled.NOT, (Doubt.ALL_GIVEN_UP,))
    assert min(trial.lr for trial in found.trials) < ladder.start.lr / 8


def test_a_best_lr_at_the_end_is_said() -> None:
    """Where the ladder may not go on."""
    falling = [TrialLoss(t, lr, 0, 1 / t + lr) for t in (64, 256, 1024) for lr in (0.1, 0.2, 0.4)]
    found = answer_for_length(falling, steps=20_000, start=Start(0.2, 100))
    assert found.doubts[0] is Doubt.OPEN_BELOW
    rising = [TrialLoss(t, lr, 0, 1 / t - lr) for t in (64, 256, 1024) for lr in (0.1, 0.2, 0.4)]
    assert answer_for_length(rising, steps=20_000).doubts[0] is Doubt.OPEN_ABOVE


def test_a_loss_that_no_longer_falls_is_said() -> None:
    """Then nothing is known of waste, and a longer training gains nothing."""
    truth = Valleys(fall=-0.1)
    found = answer_for_length(truth.grid([64, 256, 1024]), steps=20_000)
    assert Doubt.NOT_FALLING in found.doubts
    assert (found.settled, found.wasted) == (Settled.NOT, None)


def test_a_law_that_bends_is_said() -> None:
    """Six lengths whose best LR falls ever faster."""
    bent = Valleys(exponent=0.0)
    trials = [
        TrialLoss(t.steps, t.lr * 2.0 ** (-0.12 * math.log2(t.steps / 32) ** 2), t.seed, t.loss)
        for t in bent.grid([32, 128, 512, 2048, 8192])
    ]
    assert Doubt.CURVED in answer_for_length(trials, steps=20_000).doubts


def test_losses_that_do_not_depend_on_the_lr() -> None:
    """Any LR does: that is said, and no valley is read into noise."""
    flat = Valleys(height=0.0, noise=0.01)
    found = answer_for_length(flat.grid([64, 256, 1024], seeds=2), steps=20_000, start=Start(0.02, 200))
    assert Doubt.FLAT in found.doubts


def test_a_long_ladder_settles() -> None:
    """Trials up to half of what is planned, little noise."""
    truth = Valleys()
    found = answer_for_length(truth.grid([128, 512, 2048, 8192], seeds=2), steps=16_384)
    assert found.settled in (Settled.SETTLED, Settled.WITHIN)
    assert found.wasted is not None
    assert found.wasted < 0.15


def test_waste_by_the_law_of_the_loss() -> None:
    """loss = T^-p: an LR whose loss is as high as that of a training half as long wastes half."""
    cost = Cost(exponent=0.5, height=2**0.5 - 1, skew=0.0)
    assert cost.wasted(1.0) == pytest.approx(0.5)
    assert cost.wasted(0.0) == 0.0
    truth = Valleys()
    found = answer_for_length(truth.grid([64, 256, 1024, 4096]), steps=16_384)
    assert found.cost is not None
    by_hand = 1 - (1 + truth.height) ** (-1 / truth.fall)
    assert found.cost.wasted(1.0) == pytest.approx(by_hand, abs=0.05)


def test_bottoms_are_where_the_valleys_are() -> None:
    """At each length, with the loss there."""
    truth = Valleys()
    for bottom in bottoms_of(answer_for_length(truth.grid([64, 256, 1024]), steps=20_000)):
        assert bottom.lr == pytest.approx(truth.best(bottom.steps), rel=0.1)
        assert bottom.loss == pytest.approx(truth(truth.best(bottom.steps), bottom.steps, 0), abs=0.01)
        assert bottom.low < truth.best(bottom.steps) < bottom.high


def test_bad_arguments_are_named() -> None:
    """With what came."""
    with pytest.raises(ValueError, match="steps must be at least 2; got 1"):
        Ladder(1, 10, Start(0.1, 100))
    with pytest.raises(ValueError, match="budget must be at least 0; got -1"):
        Ladder(100, -1, Start(0.1, 100))
    with pytest.raises(ValueError, match="shortest must be at least 2; got 1"):
        Ladder(100, 10, Start(0.1, 100), shortest=1)
    with pytest.raises(ValueError, match="steps must be at least 2; got 1"):
        answer_for_length([], steps=1, start=Start(0.1, 100))
