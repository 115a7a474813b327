"""One contract for every registered rule: an answer or a reason, always, and the laws that every answer obeys."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from curves import changed, climbing, constant, make_curve, sigmoid, trapezium, typical
from hypothesis import given
from hypothesis import strategies as st

from steadylr.core.curve import Curve, Stop
from steadylr.core.diagnosis import diagnose
from steadylr.core.divergence import StopRule, first_stop
from steadylr.core.rules import RULES, suggest, suggest_all
from steadylr.core.settings import Reading
from steadylr.core.suggestion import Outcome, Reason, Suggestion
from steadylr.words.names import COMMAND_LINE
from steadylr.words.reading import told_finding

EVERY_RULE = pytest.mark.parametrize("rule", sorted(RULES))
READINGS = {
    "default": Reading(),
    "unsmoothed": Reading(smooth_f=0.0),
    "smooth": Reading(smooth_f=0.2),
    "nothing but smooth": Reading(smooth_f=0.99),
    "ema": Reading(smoother="ema", ema_weight=0.05),
    "no skips": Reading(skip_start=0, skip_end=0),
    "skips beyond the end": Reading(skip_start=10_000, skip_end=10_000),
}


def spoiled(at: int, value: float, *, cut: bool = False) -> Curve:
    """The typical curve with one loss that is no number, and the losses after it or not."""
    curve = make_curve(typical, noise=0.05)
    loss = curve.loss.copy()
    loss[at] = value
    end = at + 1 if cut else len(curve)
    return Curve(curve.lr[:end], loss[:end], 300, Stop.NON_FINITE if cut else Stop.COMPLETED)


def few(num_points: int) -> Curve:
    curve = make_curve(typical, noise=0.05)
    return Curve(curve.lr[:num_points], curve.loss[:num_points], 300)


CURVES: dict[str, Callable[[], Curve]] = {
    "typical": lambda: make_curve(typical, noise=0.05),
    "stopped": lambda: make_curve(typical, noise=0.05, rule=StopRule()),
    "noise-free": lambda: make_curve(trapezium),
    "very noisy": lambda: make_curve(typical, noise=1.0, num_iter=100),
    "noise only": lambda: make_curve(constant(2.3), noise=0.1),
    "constant": lambda: make_curve(constant(2.3)),
    "constant 0": lambda: make_curve(constant(0.0)),
    "negative": lambda: make_curve(sigmoid(top=-2.0, depth=3.0), noise=0.05),
    "never climbs": lambda: make_curve(sigmoid(steepest=1e-3, width=0.2), noise=0.01),
    "only climbs": lambda: make_curve(climbing, noise=0.01),
    "linear ramp": lambda: make_curve(
        sigmoid(steepest=2.0, width=0.1), noise=0.02, step_mode="linear", start_lr=1e-3
    ),
    "NaN from the first step": lambda: spoiled(0, np.nan),
    "NaN at once, cut": lambda: spoiled(0, np.nan, cut=True),
    "NaN early": lambda: spoiled(12, np.nan, cut=True),
    "NaN before the descent": lambda: spoiled(80, np.nan),
    "NaN late": lambda: spoiled(250, np.nan),
    "inf late, cut": lambda: spoiled(250, np.inf, cut=True),
    "-inf": lambda: spoiled(200, -np.inf),
    "1 point": lambda: few(1),
    "2 points": lambda: few(2),
    "24 points": lambda: few(24),
    "10,000 points": lambda: make_curve(typical, noise=0.05, num_iter=10_000),
    "diverged early": lambda: make_curve(
        lambda x: 2 + 10 ** (6 * (x - x[0])), noise=0.05, start_lr=0.1, rule=StopRule()
    ),
    "near the largest float": lambda: Curve(np.logspace(-7, 1, 60), np.tile([1e308, -1e308, 1e300], 20), 60),
    "exploding to the largest float": lambda: make_curve(lambda x: typical(x) + 10 ** (300 * (x > 0.5))),
    "tiny losses": lambda: changed(make_curve(typical, noise=0.05), scale=1e-200),
}


def check(found: Suggestion, rule: str) -> None:
    """What every suggestion promises."""
    assert found.rule == rule
    assert isinstance(found.reason, Reason)
    if found.outcome is not Outcome.FOUND:
        assert (found.lr, found.low, found.high) == (None, None, None)
        return
    assert found.lr is not None
    assert np.isfinite(found.lr)
    assert found.lr > 0
    assert (found.low is None) == (found.high is None)
    if found.low is not None and found.high is not None:
        assert found.low <= found.lr <= found.high


@pytest.mark.parametrize("kind", CURVES)
def test_every_rule_answers_every_curve(kind: str) -> None:
    """With an LR if and only if the outcome is FOUND, with a reason always, and never with an exception."""
    curve = CURVES[kind]()
    for reading in READINGS.values():
        for rule, found in suggest_all(curve, reading=reading).items():
            check(found, rule)


@pytest.mark.parametrize("kind", CURVES)
@pytest.mark.parametrize("reading", READINGS)
def test_all_rules_agree_on_why_there_is_nothing_to_read(kind: str, reading: str) -> None:
    """A curve without a descent has one outcome; on any other, a rule finds its point or says that there is none."""
    outcomes = {found.outcome for found in suggest_all(CURVES[kind](), reading=READINGS[reading]).values()}
    assert len(outcomes) == 1 or outcomes == {Outcome.FOUND, Outcome.NO_POINT}


@EVERY_RULE
@pytest.mark.parametrize(
    ("kind", "outcome"),
    [
        ("constant", Outcome.FLAT),
        ("noise only", Outcome.FLAT),
        ("NaN before the descent", Outcome.NON_FINITE),
        ("only climbs", Outcome.DIVERGED_AT_START),
        ("diverged early", Outcome.DIVERGED_AT_START),
        ("NaN from the first step", Outcome.NON_FINITE),
        ("NaN early", Outcome.NON_FINITE),
        ("1 point", Outcome.TOO_SHORT),
        ("2 points", Outcome.TOO_SHORT),
        ("24 points", Outcome.TOO_SHORT),
    ],
)
def test_a_curve_without_a_descent_has_no_answer(rule: str, kind: str, outcome: Outcome) -> None:
    """Failure is a value that says what is wrong."""
    assert suggest(CURVES[kind](), rule).outcome is outcome


@EVERY_RULE
@pytest.mark.parametrize(
    "kind", ["typical", "stopped", "negative", "NaN late", "linear ramp", "10,000 points"]
)
def test_a_curve_with_a_descent_has_an_answer(rule: str, kind: str) -> None:
    """From every rule, except those whose own condition it does not meet."""
    allowed = (
        {Outcome.FOUND, Outcome.NO_POINT} if rule in ("slide", "divergence", "smith") else {Outcome.FOUND}
    )
    if kind == "NaN late" and rule in ("bracket", "divergence", "smith"):  # nothing climbed before it
        allowed = {Outcome.NO_POINT}
    assert suggest(CURVES[kind](), rule).outcome in allowed


def assert_alike(one: Suggestion, other: Suggestion, *, lr_scale: float = 1.0) -> None:
    assert other.outcome is one.outcome
    for name in ("lr", "low", "high"):
        before, after = getattr(one, name), getattr(other, name)
        assert after == (None if before is None else pytest.approx(before * lr_scale, rel=1e-6)), name


@EVERY_RULE
@given(
    seed=st.integers(0, 10_000),
    shift=st.floats(-1e3, 1e3),
    scale=st.floats(1e-3, 1e3),
    reading=st.sampled_from(sorted(READINGS)),
)
def test_shifting_or_scaling_the_losses_moves_no_suggestion(
    rule: str, seed: int, shift: float, scale: float, reading: str
) -> None:
    """All thresholds are differences of losses, in units of the curve."""
    curve = make_curve(typical, num_iter=100, noise=0.1, seed=seed, rule=StopRule())
    before = suggest(curve, rule, reading=READINGS[reading])
    assert_alike(before, suggest(changed(curve, shift=shift), rule, reading=READINGS[reading]))
    assert_alike(before, suggest(changed(curve, scale=scale), rule, reading=READINGS[reading]))


@EVERY_RULE
@given(seed=st.integers(0, 10_000), lr_scale=st.floats(1e-4, 1e4), reading=st.sampled_from(sorted(READINGS)))
def test_scaling_the_lrs_scales_the_suggestion(rule: str, seed: int, lr_scale: float, reading: str) -> None:
    """No rule has a favourite LR."""
    curve = make_curve(typical, num_iter=100, noise=0.1, seed=seed, rule=StopRule())
    before = suggest(curve, rule, reading=READINGS[reading])
    after = suggest(changed(curve, lr_scale=lr_scale), rule, reading=READINGS[reading])
    assert_alike(before, after, lr_scale=lr_scale)


@EVERY_RULE
@given(at=st.integers(0, 299), later=st.floats(allow_nan=True, allow_infinity=True))
def test_what_follows_a_nan_moves_nothing(rule: str, at: int, later: float) -> None:
    """Only what comes before the first loss that is no number is read."""
    curve = make_curve(typical, noise=0.05)
    one, other = curve.loss.copy(), curve.loss.copy()
    one[at:] = np.nan
    other[at:] = later
    other[at] = np.inf
    reading = Reading(skip_end=0)
    assert_alike(
        suggest(Curve(curve.lr, one, 300), rule, reading=reading),
        suggest(Curve(curve.lr, other, 300), rule, reading=reading),
    )


@EVERY_RULE
@pytest.mark.parametrize("kind", ["typical", "stopped", "linear ramp"])
def test_a_suggestion_lies_within_what_was_tried(rule: str, kind: str) -> None:
    """Or, for rules that divide an LR by ten, within a tenth of it."""
    curve = CURVES[kind]()
    found = suggest(curve, rule)
    if found.lr is not None:
        assert curve.lr[0] / 10 <= found.lr <= curve.lr[-1]


any_loss = st.one_of(st.floats(allow_nan=True, allow_infinity=True), st.floats(-3, 3), st.integers(-3, 3))


@given(
    loss=st.lists(any_loss, min_size=1, max_size=60),
    planned=st.integers(0, 100),
    stop=st.sampled_from(Stop),
    smooth_f=st.floats(0, 0.99),
    smoother=st.sampled_from(["local_linear", "ema"]),
    skips=st.tuples(st.integers(0, 12), st.integers(0, 12)),
)
def test_nothing_in_a_curve_raises(
    loss: list[float],
    planned: int,
    stop: Stop,
    smooth_f: float,
    smoother: str,
    skips: tuple[int, int],
) -> None:
    """Any losses whatever, read in any way: every rule, the diagnosis and the stop rule answer."""
    curve = Curve(np.logspace(-7, 1, len(loss)), np.array(loss, dtype=float), len(loss) + planned, stop)
    reading = Reading(smooth_f=smooth_f, smoother=smoother, skip_start=skips[0], skip_end=skips[1])  # type: ignore[arg-type]
    for rule, found in suggest_all(curve, reading=reading).items():
        check(found, rule)
    for finding in diagnose(curve, reading):
        told = told_finding(finding, COMMAND_LINE)
        assert told.text
        assert told.advice
    first_stop(curve.loss.tolist(), StopRule())
