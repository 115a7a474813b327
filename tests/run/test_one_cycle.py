"""Trainings along a plan: the LRs and momenta of torch's scheduler, and how a training is judged."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from steadylr.core.curve import Stop
from steadylr.core.onecycle import Plan, plan
from steadylr.run.one_cycle import OneCycleTraining, train_one_cycle
from steadylr.run.options import Options

STEPS = 20


class Problem:
    """A line through noisy points: one weight and one bias, the same batch in every step."""

    def __init__(self, kind: str = "sgd", **kwargs: Any) -> None:
        torch.manual_seed(0)
        self.model = nn.Linear(3, 1)
        self.x = torch.randn(16, 3)
        self.y = self.x.sum(dim=1, keepdim=True)
        made = {"sgd": torch.optim.SGD, "adamw": torch.optim.AdamW, "adagrad": torch.optim.Adagrad}[kind]
        self.optimizer = made(self.model.parameters(), lr=1e-9, **kwargs)
        self.seen: list[tuple[float, float | None]] = []

    def train(self, schedule: Plan, **kwargs: Any) -> OneCycleTraining:
        options = Options(loss_fn=nn.functional.mse_loss, **kwargs)
        return train_one_cycle(self.model, self.optimizer, [(self.x, self.y)], schedule, options)

    def note(self, step: int, lr: float, loss: float | None) -> None:
        group = self.optimizer.param_groups[0]
        momentum = group["betas"][0] if "betas" in group else group.get("momentum")
        self.seen.append((group["lr"], momentum))


@pytest.mark.parametrize("kind", ["sgd", "adamw"])
def test_lrs_and_momenta_are_those_of_torch(kind: str) -> None:
    """Step for step, as torch's OneCycleLR sets them with the arguments that the plan prints."""
    kwargs = {"momentum": 0.9} if kind == "sgd" else {}
    schedule = plan(0.05, total_steps=STEPS)
    ours, theirs = Problem(kind, **kwargs), Problem(kind, **kwargs)
    ours.train(schedule, on_step=ours.note)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(theirs.optimizer, **schedule.torch_kwargs())
    for _ in range(STEPS):
        theirs.optimizer.zero_grad()
        nn.functional.mse_loss(theirs.model(theirs.x), theirs.y).backward()  # type: ignore[no-untyped-call]
        theirs.optimizer.step()
        theirs.note(0, 0.0, None)
        if len(theirs.seen) < STEPS:
            scheduler.step()
    np.testing.assert_allclose(np.array(ours.seen), np.array(theirs.seen), rtol=1e-9)
    torch.testing.assert_close(ours.model.weight, theirs.model.weight)


def test_each_group_has_its_ratio() -> None:
    """One ratio stands for all groups; another number of ratios is refused."""
    problem = Problem()
    problem.optimizer = torch.optim.SGD([{"params": [p]} for p in problem.model.parameters()], lr=1.0)
    schedule = plan(0.05, total_steps=STEPS, cycle_momentum=False, lr_ratios=(1.0, 3.0))
    lrs: list[list[float]] = []
    problem.train(schedule, on_step=lambda *_: lrs.append([g["lr"] for g in problem.optimizer.param_groups]))
    np.testing.assert_allclose(np.array(lrs)[:, 1], 3 * np.array(lrs)[:, 0])
    with pytest.raises(ValueError, match=r"one number per parameter group \(2\); got 3"):
        problem.train(plan(0.05, total_steps=STEPS, cycle_momentum=False, lr_ratios=(1.0, 2.0, 3.0)))


def test_without_validation_data_the_last_losses_count() -> None:
    """The mean of the last tenth of the steps."""
    done = Problem(momentum=0.9).train(plan(0.05, total_steps=STEPS))
    assert done.stop is Stop.COMPLETED
    assert done.final_loss == pytest.approx(float(np.mean(done.losses[-2:])))
    assert done.losses[0] > 5 * done.final_loss


def test_with_validation_data_the_last_weights_count() -> None:
    """In eval mode, without gradients, and with modes and generators as they were."""
    problem = Problem(momentum=0.9)
    before = torch.random.get_rng_state()

    def validate(model: nn.Module) -> torch.Tensor:
        assert not model.training
        assert not torch.is_grad_enabled()
        torch.rand(3)
        return nn.functional.mse_loss(model(problem.x), problem.y)

    done = problem.train(plan(0.05, total_steps=STEPS), validate=validate)
    assert problem.model.training
    assert torch.equal(before, torch.random.get_rng_state())
    assert not done.noise_used
    expected = nn.functional.mse_loss(problem.model(problem.x), problem.y).item()
    assert done.final_loss == pytest.approx(expected)


@pytest.mark.parametrize(("lr", "stop"), [(3.0, Stop.DIVERGED), (1e30, Stop.NON_FINITE)])
def test_hopeless_trainings_are_given_up(lr: float, stop: Stop) -> None:
    """Before their last step, and without a loss; the validation data are not looked at."""

    def validate(model: nn.Module) -> float:
        raise AssertionError("validated")

    done = Problem(momentum=0.9).train(plan(lr, total_steps=200), validate=validate)
    assert done.stop is stop
    assert len(done.losses) < 200
    assert done.final_loss == math.inf


def test_a_validation_loss_that_is_no_number_is_infinite() -> None:
    """So that it counts as the worst."""
    done = Problem(momentum=0.9).train(plan(0.01, total_steps=STEPS), validate=lambda model: math.nan)
    assert done.final_loss == math.inf


def test_what_can_not_be_trained_is_refused() -> None:
    """A plan of unknown length, and momentum to cycle where there is none."""
    with pytest.raises(ValueError, match=r"plan\.total_steps is not known"):
        Problem().train(plan(0.05))
    with pytest.raises(ValueError, match="no momentum"):
        Problem("adagrad").train(plan(0.05, total_steps=STEPS))
