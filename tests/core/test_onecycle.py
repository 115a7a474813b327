"""The OneCycle plan against torch's own scheduler."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.optim.lr_scheduler import OneCycleLR

from steadylr.core.onecycle import Plan, pasted_lr, plan


def sgd(num_groups: int = 1, momentum: float = 0.9) -> torch.optim.Optimizer:
    groups = [{"params": [torch.zeros(1, requires_grad=True)]} for _ in range(num_groups)]
    return torch.optim.SGD(groups, lr=1.0, momentum=momentum)


def torch_history(
    scheduler: Any, optimizer: torch.optim.Optimizer, num_steps: int
) -> list[list[dict[str, Any]]]:
    """For each step the settings of every parameter group, as the optimizer would use them."""
    history = []
    for _ in range(num_steps):
        history.append(
            [{k: v for k, v in group.items() if k != "params"} for group in optimizer.param_groups]
        )
        optimizer.step()
        scheduler.step()
    return history


def test_both_factors_divide_the_peak() -> None:
    """A peak of 0.033 with factors 100 and 1e5 starts at 3.3e-4 and ends at 3.3e-7."""
    schedule = plan(0.033, div_factor=100, final_div_factor=1e5)
    assert schedule.initial_lr == pytest.approx(3.3e-4, rel=1e-12)
    assert schedule.final_lr == pytest.approx(3.3e-7, rel=1e-12)


@pytest.mark.parametrize("anneal_strategy", ["cos", "linear"])
@pytest.mark.parametrize(
    ("total_steps", "pct_start"),
    [
        (4, 0.3),
        (5, 0.3),
        (10, 0.3),
        (37, 0.3),
        (100, 0.3),
        (101, 0.25),
        (3, 0.5),
        (2, 0.75),
        (50, 0.99),
        (64, 0.02),
    ],
)
def test_every_step_is_torchs(total_steps: int, pct_start: float, anneal_strategy: Any) -> None:
    """LR and momentum of every step equal those of torch's OneCycleLR to 1e-12 relative."""
    schedule = plan(
        0.033,
        total_steps=total_steps,
        pct_start=pct_start,
        anneal_strategy=anneal_strategy,
        div_factor=30,
        final_div_factor=7e4,
        base_momentum=0.8,
        max_momentum=0.9,
    )
    optimizer = sgd()
    scheduler = OneCycleLR(optimizer, **schedule.torch_kwargs())
    history = torch_history(scheduler, optimizer, total_steps)
    assert [schedule.lr_at(i) for i in range(total_steps)] == pytest.approx(
        [groups[0]["lr"] for groups in history], rel=1e-12, abs=0
    )
    assert [schedule.momentum_at(i) for i in range(total_steps)] == pytest.approx(
        [groups[0]["momentum"] for groups in history], rel=1e-12, abs=0
    )
    assert schedule.lr_at(0) == pytest.approx(schedule.initial_lr, rel=1e-12)
    assert schedule.lr_at(total_steps - 1) == pytest.approx(schedule.final_lr, rel=1e-12)


def test_torch_starts_peaks_and_ends_where_the_plan_says() -> None:
    """The torch arguments give exactly the three LRs, the peak at a whole step."""
    schedule = plan(0.033, total_steps=100)
    optimizer = sgd()
    lrs = [
        groups[0]["lr"]
        for groups in torch_history(OneCycleLR(optimizer, **schedule.torch_kwargs()), optimizer, 100)
    ]
    assert lrs[0] == pytest.approx(3.3e-4, rel=1e-12)
    assert max(lrs) == lrs[29] == pytest.approx(0.033, rel=1e-12)
    assert lrs[-1] == pytest.approx(3.3e-7, rel=1e-12)


def test_beta1_cycles_with_adamw() -> None:
    """For an optimizer with betas it is beta1 that cycles."""
    schedule = plan(1e-3, total_steps=20)
    optimizer = torch.optim.AdamW([torch.zeros(1, requires_grad=True)], lr=1.0)
    history = torch_history(OneCycleLR(optimizer, **schedule.torch_kwargs()), optimizer, 20)
    assert [schedule.momentum_at(i) for i in range(20)] == pytest.approx(
        [groups[0]["betas"][0] for groups in history], rel=1e-12
    )


@pytest.mark.parametrize("max_lr", [0.033214, 1.0, 9.9994e-8, 12.3456, 0.5])
@pytest.mark.parametrize("factors", [(100.0, 1e5), (25.0, 1e4), (3.0, 1e4), (7.7, 123.4)])
def test_the_torch_line_builds_the_plan(max_lr: float, factors: tuple[float, float]) -> None:
    """The printed line, run as Python, starts, peaks and ends at the plan's LRs to 1e-3 relative."""
    schedule = plan(max_lr, div_factor=factors[0], final_div_factor=factors[1])
    optimizer = sgd()
    names = {"torch": torch, "optimizer": optimizer, "epochs": 4, "train_loader": range(25)}
    scheduler = eval(schedule.torch_line(), names)
    lrs = [groups[0]["lr"] for groups in torch_history(scheduler, optimizer, 100)]
    assert lrs[0] == pytest.approx(schedule.initial_lr, rel=1e-3)
    assert max(lrs) == pytest.approx(schedule.max_lr, rel=1e-3)
    assert lrs[-1] == pytest.approx(schedule.final_lr, rel=1e-3)


def test_the_torch_line_reads_like_written_by_hand() -> None:
    """The default line holds short numbers, the steps as an expression and no defaults of torch's."""
    assert plan(0.0332).torch_line() == (
        "torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=3.32e-2, "
        "total_steps=epochs * len(train_loader), pct_start=0.3, div_factor=100, final_div_factor=1000)"
    )


def test_the_torch_line_says_what_differs_from_torch() -> None:
    """Known steps, another annealing and other momenta appear in the line; names are the reader's."""
    line = plan(
        0.1, total_steps=500, anneal_strategy="linear", base_momentum=0.7, max_momentum=0.9
    ).torch_line("opt")
    assert line.startswith("torch.optim.lr_scheduler.OneCycleLR(opt, max_lr=1e-1, total_steps=500, ")
    assert 'anneal_strategy="linear"' in line
    assert "base_momentum=0.7, max_momentum=0.9" in line
    assert "total_steps=num_steps," in plan(0.1, total_steps=500).torch_line(total_steps="num_steps")


def test_without_momentum_the_line_says_so() -> None:
    """For an optimizer without momentum the line says cycle_momentum=False, and torch takes it."""
    optimizer = torch.optim.Adagrad([torch.zeros(1, requires_grad=True)], lr=1.0)
    names = {"torch": torch, "optimizer": optimizer}
    with pytest.raises(ValueError, match="momentum"):
        eval(plan(0.1, total_steps=10).torch_line(), names)
    schedule = plan(0.1, total_steps=10, cycle_momentum=False)
    assert schedule.torch_line().endswith("cycle_momentum=False)")
    scheduler = eval(schedule.torch_line(), names)
    assert scheduler.get_last_lr() == pytest.approx([1e-3])
    assert schedule.momentum_at(3) is None


def test_parameter_groups_get_a_list() -> None:
    """Each group's peak is its ratio times the peak, with the same factors; a group at 0 stays there."""
    schedule = plan(0.04, total_steps=20, lr_ratios=[1.0, 0.1, 0.0])
    assert "max_lr=[4e-2, 4e-3, 0e0]" in schedule.torch_line()
    assert plan(0.04, lr_ratios=(0.5,)).torch_kwargs()["max_lr"] == pytest.approx(0.02)
    for build in (
        lambda optimizer: OneCycleLR(optimizer, **schedule.torch_kwargs()),
        lambda optimizer: eval(schedule.torch_line(), {"torch": torch, "optimizer": optimizer}),
    ):
        optimizer = sgd(3)
        history = torch_history(build(optimizer), optimizer, 20)
        for group, ratio in enumerate(schedule.lr_ratios):
            assert [groups[group]["lr"] for groups in history] == pytest.approx(
                [ratio * schedule.lr_at(i) for i in range(20)], rel=1e-12
            )


def test_a_scheduler_trains_along_the_plan() -> None:
    """Step for step, with its momentum, in every group; a single ratio stands for all groups."""
    schedule = plan(0.04, lr_ratios=[1.0, 0.5], base_momentum=0.8)
    optimizer = sgd(2)
    history = torch_history(schedule.scheduler(optimizer, 20), optimizer, 20)
    assert [groups[1]["lr"] for groups in history] == pytest.approx(
        [0.5 * schedule.lr_at(i, 20) for i in range(20)]
    )
    assert [groups[0]["momentum"] for groups in history] == pytest.approx(
        [schedule.momentum_at(i, 20) for i in range(20)]
    )
    assert plan(0.04, total_steps=30).scheduler(sgd(3)).total_steps == 30


def test_a_scheduler_that_cannot_be_made_is_refused() -> None:
    """By what is wrong with the plan or the optimizer, and what to do."""
    plain = torch.optim.Adagrad([torch.zeros(1, requires_grad=True)])
    for made, message in (
        (lambda: plan(0.1).scheduler(sgd(1)), "total_steps is not known"),
        (lambda: plan(0.1).scheduler(sgd(1), 2), "total_steps must be at least 4"),
        (
            lambda: plan(0.1, lr_ratios=(1, 2)).scheduler(sgd(3), 9),
            r"one number per parameter group \(3\); got 2",
        ),
        (
            lambda: plan(0.1).scheduler(plain, 9),
            "Adagrad has no momentum .*: make the plan with cycle_momentum=False",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            made()


@pytest.mark.parametrize(
    ("total_steps", "pct_start", "least"), [(3, 0.3, 4), (10, 0.1, 11), (2, 0.5, 3), (1, 0.9, 2)]
)
def test_too_few_steps_are_refused(total_steps: int, pct_start: float, least: int) -> None:
    """Where torch would divide by zero or start behind its peak, the fewest steps that work are named."""
    with pytest.raises(ValueError, match=f"total_steps must be at least {least} with"):
        plan(0.1, total_steps=total_steps, pct_start=pct_start)
    with pytest.raises(ValueError, match=f"total_steps must be at least {least} with"):
        plan(0.1, pct_start=pct_start).lr_at(0, total_steps)
    schedule = plan(0.1, total_steps=least, pct_start=pct_start)
    assert schedule.lr_at(0) == pytest.approx(schedule.initial_lr)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"max_lr": 0.0}, "max_lr must be a finite number above 0; got 0.0"),
        ({"max_lr": math.nan}, "max_lr must be a finite number above 0; got nan"),
        ({"low": 0.01}, "low and high must be given together"),
        ({"low": 0.2, "high": 0.1}, "low must be at most high"),
        ({"low": -0.2, "high": 0.1}, "low must be a finite number above 0"),
        ({"div_factor": 0.5}, "div_factor must be at least 1"),
        ({"final_div_factor": math.inf}, "final_div_factor must be at least 1"),
        ({"pct_start": 0.0}, "pct_start must be above 0 and below 1"),
        ({"pct_start": 1}, "pct_start must be above 0 and below 1"),
        ({"base_momentum": 0.96}, "base_momentum <= max_momentum"),
        ({"max_momentum": 1.0}, "max_momentum < 1"),
        ({"anneal_strategy": "cosine"}, r"anneal_strategy must be one of \('cos', 'linear'\); got 'cosine'"),
        ({"lr_ratios": ()}, "lr_ratios must hold one number"),
        ({"lr_ratios": (1.0, -0.1)}, r"lr_ratios\[1\] must be a finite number, at least 0; got -0\.1"),
        ({"lr_ratios": (0.0, 0.0)}, r"lr_ratios must have one number above 0"),
        ({"total_steps": 10.5}, "total_steps must be a whole number"),
        ({"total_steps": True}, "total_steps must be a whole number"),
    ],
)
def test_a_wrong_argument_is_named(change: dict[str, Any], message: str) -> None:
    """Every argument outside its range raises a message that names it."""
    with pytest.raises(ValueError, match=message):
        plan(**{"max_lr": 0.1, **change})


def test_steps_outside_the_training_are_refused() -> None:
    """A step outside the training, or none known, raises."""
    schedule = plan(0.1)
    with pytest.raises(ValueError, match="total_steps is not known"):
        schedule.lr_at(0)
    for step in (-1, 10):
        with pytest.raises(ValueError, match="step must be from 0 to 9"):
            schedule.lr_at(step, 10)


@given(
    num_points=st.integers(3, 300),
    pct_start=st.floats(0.01, 0.99),
    anneal_strategy=st.sampled_from(["cos", "linear"]),
    total_steps=st.none() | st.integers(102, 5000),
)
def test_the_line_to_draw_holds_both_ends_and_the_peak(
    num_points: int, pct_start: float, anneal_strategy: Any, total_steps: int | None
) -> None:
    """The drawn schedule starts at 0, ends at 1, rises to exactly the peak, then falls."""
    schedule = plan(0.1, pct_start=pct_start, anneal_strategy=anneal_strategy, total_steps=total_steps)
    share, lr = schedule.lr_curve(num_points)
    assert share.shape == lr.shape == (num_points,)
    assert share[0] == 0
    assert share[-1] == pytest.approx(1)
    assert (np.diff(share) > 0).all()
    peak = int(np.argmax(lr))
    assert lr[peak] == pytest.approx(0.1, rel=1e-12)
    assert (np.diff(lr[: peak + 1]) > 0).all()
    assert (np.diff(lr[peak:]) < 0).all()
    assert lr[[0, -1]] == pytest.approx([schedule.initial_lr, schedule.final_lr])


def test_the_line_to_draw_runs_through_the_steps() -> None:
    """With total_steps known, a drawn point that falls on a step has that step's LR."""
    schedule = plan(0.1, total_steps=101, pct_start=31 / 101)
    share, lr = schedule.lr_curve(101)
    assert share * 100 == pytest.approx(np.arange(101))
    assert lr == pytest.approx([schedule.lr_at(i) for i in range(101)], rel=1e-9)
    with pytest.raises(ValueError, match="num_points must be at least 3"):
        schedule.lr_curve(2)


def test_a_plan_is_plain_data() -> None:
    """as_dict survives JSON and holds the three LRs and the range."""
    schedule = plan(
        np.float64(0.0332), low=0.0179, high=0.0616, total_steps=np.int64(1000), lr_ratios=np.ones(2)
    )  # type: ignore[arg-type]
    content = json.loads(json.dumps(schedule.as_dict()))
    assert content["max_lr"] == 0.0332
    assert (content["low"], content["high"], content["total_steps"]) == (0.0179, 0.0616, 1000)
    assert content["initial_lr"] == pytest.approx(3.32e-4)
    assert content["final_lr"] == pytest.approx(3.32e-7)
    fields = {k: v for k, v in content.items() if k not in ("initial_lr", "final_lr")}
    assert Plan(**{**fields, "lr_ratios": tuple(fields["lr_ratios"])}) == schedule


@pytest.mark.parametrize(
    ("lr", "text"),
    [
        (0.0332, "3.32e-2"),
        (1.0, "1e0"),
        (0.033214, "3.321e-2"),
        (9.99999, "1e1"),
        (1e-7, "1e-7"),
        (30.0, "3e1"),
    ],
)
def test_lrs_are_written_short(lr: float, text: str) -> None:
    """An LR is written with at most four digits and a short exponent."""
    assert pasted_lr(lr) == text


@given(lr=st.floats(1e-12, 1e6))
def test_written_lrs_are_exact_to_a_thousandth(lr: float) -> None:
    """Reading a written LR back gives it to 1e-3 relative."""
    assert float(pasted_lr(lr)) == pytest.approx(lr, rel=1e-3)
