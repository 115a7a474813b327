"""Every code has words at every door, in that door's names and in no other's."""

from __future__ import annotations

import re
from dataclasses import fields, replace
from itertools import product

import numpy as np
import pytest

import steadylr
from steadylr.core.attribution import attribute
from steadylr.core.consensus import consensus
from steadylr.core.curve import Curve
from steadylr.core.decision import State, decide
from steadylr.core.diagnosis import Code, Finding
from steadylr.core.not_split import NotSplit, Unsplit
from steadylr.core.stopping import StoppingRule
from steadylr.core.suggestion import Outcome, Reason, Suggestion, Why
from steadylr.core.verdict import Level, Step, verdict
from steadylr.core.verification import Conclusion, Suggested, verify
from steadylr.words.attribution import attribution_advice, attribution_summary, not_split_words
from steadylr.words.consensus import decision_text, told_verdict
from steadylr.words.names import COMMAND_LINE, PYTHON, Names
from steadylr.words.reading import told_finding, told_suggestion
from steadylr.words.verification import verification_advice, verification_summary

DOORS = {"command line": COMMAND_LINE, "python": PYTHON}
GROUPS = re.compile(r"\b(finder|data|model|device|consensus|seeds|experiment)[.=]|-m ")
"""What only the command line says: groups of its config, and its flag."""
LEFT_OVER = re.compile(r"[{}]|\bNone\b|\bnan\b")

doors = pytest.mark.parametrize("names", DOORS.values(), ids=DOORS)


def check(text: str, names: Names) -> None:
    """A text that somebody can read at this door."""
    assert text.strip()
    assert LEFT_OVER.search(text) is None, text
    if names is PYTHON:
        assert GROUPS.search(text) is None, text


@doors
@pytest.mark.parametrize("why", Why)
def test_every_reason(why: Why, names: Names) -> None:
    """The sentence says what is so, and what to do where there is no LR."""
    reason = Reason(why, share=0.9, num_points=7, num_needed=16, step=12, lr=1e-4)
    told = told_suggestion(Suggestion("bracket", Outcome.NO_POINT, reason), names)
    check(told.reason, names)
    assert told.rule == "bracket"


@doors
@pytest.mark.parametrize("code", Code)
def test_every_finding(code: Code, names: Names) -> None:
    """What is wrong, and what to do: with each setting that would mend it, and with none of them."""
    without_descent = {value.value for value in Why} & {code.value}
    full = Finding(
        code,
        why=Reason(Why(code.value), num_points=3, num_needed=10, step=12, lr=1e-4)
        if without_descent
        else None,
        share=0.3,
        end_lr=100.0,
        num_iter=500,
        smooth_f=0.1,
        ema_weight=0.02,
    )
    if code in (Code.FLAT, Code.DIVERGED_AT_START):
        full = replace(full, why=Reason(Why.UNLEARNED))
    for finding in (full, replace(full, start_lr=1e-9), replace(full, num_iter=None, smooth_f=None)):
        told = told_finding(finding, names)
        check(told.text, names)
        check(told.advice, names)


@doors
@pytest.mark.parametrize("code", Unsplit)
def test_every_refusal_to_split(code: Unsplit, names: Names) -> None:
    """What the runs lack, and what to run."""
    streams = ("init", "order", "augment")
    reason, remedy = not_split_words(NotSplit(code, streams, streams, n=9, num_cells=27, num_empty=18), names)
    check(reason, names)
    check(remedy, names)


@doors
@pytest.mark.parametrize("largest", ["init", "order", "augment", "noise", "other"])
def test_every_stream_that_is_the_largest(largest: str, names: Names) -> None:
    """The advice knows our streams, and says something of others."""
    rng = np.random.default_rng(0)
    one, other = np.repeat(np.arange(5), 5), np.tile(np.arange(5), 5)
    y = 10 ** (rng.normal(size=5)[one] + 0.1 * rng.normal(size=5)[other] + 0.01 * rng.normal(size=25))
    second = "order" if largest == "init" else "init"
    found = attribute(y.tolist(), {largest: one.tolist(), second: other.tolist()})
    assert not isinstance(found, NotSplit)
    assert found.largest == largest
    check(attribution_summary(found), names)
    check(attribution_advice(found, names), names)


def test_every_verdict() -> None:
    """Each level and each step has a sentence; they are the same at every door."""
    spreads = [[], [0.1], [0.1, 0.2], [0.1] * 6, [0.1, 0.13, 0.12], [0.1, 0.19, 0.15], [0.1, 0.4, 0.2]]
    spreads += [[0.1, 0.9, 0.5], [0.1, 9.0, 0.5], [0.01, 0.013, 0.012, 0.011, 0.0125, 0.0115]]
    levels, steps = set(), set()
    ways = product(spreads, ({}, {"flat": 2}), (False, True), (False, True))
    for lrs, failures, doubted, by_mean_curve in ways:
        runs = [str(run) for run in range(len(lrs))] if doubted else []
        said = consensus(lrs, failures=failures)
        found = verdict(
            said,
            noisy_runs=runs,
            edge_runs=runs,
            odd_runs=runs,
            by_mean_curve=by_mean_curve and bool(failures),
        )
        told = told_verdict(found)
        levels.add(told.level)
        steps.update(told.steps)
        for text in (told.summary, *told.advice, *told.lowered_by):
            check(text, PYTHON)
        assert len(told.advice) == len(told.steps)
    assert levels == set(Level)
    assert steps == set(Step)


def test_every_decision() -> None:
    """Stable, given up, and still open."""
    rule = StoppingRule(1.25, 3)
    cases = [([0.1] * 3, {}), ([0.1, 0.9, 0.3], {}), ([0.1], {"flat": 5}), ([0.1], {}), ([], {})]
    states = set()
    for lrs, failures in cases:
        decision = decide(rule, consensus(lrs, failures=failures, rule=rule))
        states.add(decision.state)
        check(decision_text(decision), PYTHON)
    assert states == set(State)


def test_every_conclusion_of_a_verification() -> None:
    """The sentence, and what these seeds can tell, for one seed and for several."""
    lrs, conclusions = (0.01, 0.1, 1.0), set()
    losses = ([1.0, 1.0, 1.0], [1.5, 1.0, 1.0], [1.0, 1.8, 1.9], [2.5, 2.5, 2.5])
    for row, seeds in product(losses, (1, 3)):
        noise = np.random.default_rng(0).normal(size=(seeds, 3)) * 0.001
        found = verify(lrs, np.array(row) + noise, initial_loss=2.0, suggested=Suggested(*lrs))
        conclusions.add(found.conclusion)
        for text in (verification_summary(found), *verification_advice(found)):
            check(text, PYTHON)
    assert conclusions == set(Conclusion)


def test_the_doors_call_every_setting_by_another_name_or_none() -> None:
    """No key of the config in Python's table; every entry is there."""
    for field in fields(Names):
        python, command_line = getattr(PYTHON, field.name), getattr(COMMAND_LINE, field.name)
        assert python != command_line
        assert GROUPS.search(python) is None


def test_the_library_reads_in_pythons_words() -> None:
    """found.reason, finding.advice and verdict.summary are sentences that name arguments."""
    curve = Curve(np.geomspace(1e-7, 10, 100), np.full(100, 2.3), 100)
    found = steadylr.suggest(curve)
    assert found.lr is None
    assert found.reason.startswith(
        "the loss never fell beyond its noise: raise ramp.end_lr, to 100 say, and "
    )
    assert [one.reason for one in steadylr.suggest_all(curve).values()] == [found.reason] * 7
    (finding,) = steadylr.diagnose(curve)
    assert f"{finding.text}: {finding.advice}" == found.reason
    assert steadylr.verdict(steadylr.consensus([0.1, 0.1, 0.1])).advice == ("Take the LR as it is.",)
    assert isinstance(found, Suggestion)


def test_a_rule_of_ones_own_says_its_own_words() -> None:
    """A reason that is a sentence stays as it is, at every door."""
    own = Suggestion("mine", Outcome.FOUND, "the middle of {it}", lr=0.1, low=0.05, high=0.2, log10_std=0.1)
    for names in DOORS.values():
        told = told_suggestion(own, names)
        assert all(getattr(told, field.name) == getattr(own, field.name) for field in fields(Suggestion))
