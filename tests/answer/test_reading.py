"""From a curve to an answer: the settings that arrive, the headline, and the plan that follows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from made_jobs import config_with, descent
from steadylr.answer.reading import answer_of, has_momentum, plan_of, reading_of
from steadylr.config import schema
from steadylr.core.curve import Curve, Stop
from steadylr.core.rules import RULES


def test_the_reading_is_what_the_finder_says() -> None:
    """Every analysis setting of the config arrives in the reading."""
    finder = schema.Finder(
        smooth_f=0.2, smoother=schema.Smoother.ema, ema_weight=0.3, skip_start=4, skip_end=2
    )
    reading = reading_of(finder)
    assert (reading.smooth_f, reading.smoother, reading.ema_weight) == (0.2, "ema", 0.3)
    assert (reading.skip_start, reading.skip_end) == (4, 2)


@pytest.mark.parametrize("rule", RULES)
def test_the_headline_is_that_of_the_picked_rule(rule: str) -> None:
    """All rules are read, and the plan peaks where the picked one says."""
    answer = answer_of(descent(), config_with(rule=rule))
    assert set(answer.suggestions) == set(RULES)
    assert answer.headline is answer.suggestions[rule]
    assert answer.headline.lr is not None
    assert answer.plan is not None
    assert answer.plan.max_lr == answer.headline.lr
    assert (answer.plan.low, answer.plan.high) == (answer.headline.low, answer.headline.high)


def test_only_a_curve_that_stands_alone_is_asked_how_sure_it_is() -> None:
    """It costs as much as all else, and the runs of a sweep show their spread; nothing else differs."""
    alone, among_others = (answer_of(descent(), config_with(), alone=alone) for alone in (True, False))
    assert alone.headline.log10_std is not None
    assert among_others.headline.log10_std is None
    assert replace(among_others.headline, log10_std=alone.headline.log10_std) == alone.headline
    assert among_others.plan == alone.plan


def test_without_a_headline_there_is_no_plan() -> None:
    """A flat curve has an outcome for every rule and a diagnosis."""
    curve = Curve(np.geomspace(1e-6, 1, 100), np.full(100, 2.3), num_iter=100, stop=Stop.COMPLETED)
    answer = answer_of(curve, config_with())
    assert answer.headline.lr is None
    assert answer.plan is None
    assert answer.findings


def test_the_plan_follows_the_onecycle_config() -> None:
    """Each key of the onecycle config reaches the plan; both factors divide the peak."""
    onecycle = schema.OneCycle(div_factor=20, final_div_factor=1e4, pct_start=0.4, total_steps=500)
    plan = plan_of(onecycle, 0.1, low=0.05, high=0.2)
    assert (plan.initial_lr, plan.max_lr, plan.final_lr) == pytest.approx((5e-3, 0.1, 1e-5))
    assert (plan.pct_start, plan.total_steps, plan.low, plan.high) == (0.4, 500, 0.05, 0.2)


@pytest.mark.parametrize(
    ("name", "kwargs", "expected"),
    [
        ("SGD", {"momentum": 0.9}, True),
        ("sgd", {"momentum": 0}, False),
        ("sgd", {}, False),
        ("rmsprop", {"momentum": 0.5}, True),
        ("rmsprop", {"alpha": 0.9}, False),
        ("adamw", {}, True),
        ("RAdam", {}, True),
        ("adagrad", {}, False),
    ],
)
def test_momentum_is_cycled_where_there_is_one(name: str, kwargs: dict[str, float], expected: bool) -> None:
    """OneCycle would switch on a momentum that an optimizer was made without: then the plan says not to."""
    momentum = has_momentum(f"torch.optim.{name}", kwargs)
    assert momentum == expected
    plan = plan_of(schema.OneCycle(), 0.1, low=None, high=None, momentum=momentum)
    assert ("cycle_momentum=False" in plan.torch_line()) != expected


def test_parameter_groups_get_their_own_peak() -> None:
    """The ratios of the groups' LRs are in the plan and in the torch line."""
    plan = answer_of(descent(), config_with(), lr_ratios=(1.0, 10.0)).plan
    assert plan is not None
    assert "max_lr=[" in plan.torch_line()
