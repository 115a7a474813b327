"""A short training along a plan: what a verification tries peak LRs with."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch import nn
from torch.optim import Optimizer

from steadylr.core.curve import FloatArray, Stop, frozen_array
from steadylr.core.onecycle import Plan
from steadylr.errors import InvalidValue
from steadylr.run.loop import Schedule, train_along, validation_loss
from steadylr.run.options import Options

LAST_SHARE = 0.1
"""Share of the steps, the last ones, whose mean training loss stands in for a validation loss."""


@dataclass(frozen=True, slots=True, eq=False)
class OneCycleTraining:
    """What one training along a plan came to.

    Args:
        losses: shape (n,): the training losses, up to and including the step at which the stop rule fired.
        stop: why it ended.
        final_loss: the validation loss after the last step, or without validation data the mean training loss of the
            last tenth of the steps; infinite where the training was given up or the loss is no number.
        seconds: wall time of the training.
        noise_used: whether the training drew from a global random generator (dropout and the like).
    """

    losses: FloatArray
    stop: Stop
    final_loss: float
    seconds: float
    noise_used: bool


def train_one_cycle(
    model: nn.Module, optimizer: Optimizer, batches: Iterable[Any], plan: Plan, options: Options
) -> OneCycleTraining:
    """Train a model, where it is and as it is wrapped, along a plan; it stays trained.

    A training is given up where the stop rule of range tests fires: where the loss has climbed so far above its start
    that no decay of the LR makes up for it, or is no number any more.

    Args:
        model, optimizer, batches: as for range_test.
        plan: the schedule, with its total_steps. Group g trains with plan.lr_ratios[g] times the plan's LR; a single
            ratio stands for all groups.
        options: as for range_test; lr_ratios, others, val_every and restore are of no account, and validate is
            called once, at the end.

    Raises:
        ValueError: a plan without total_steps or with ratios for other groups, momentum to cycle in an optimizer that
            has none, or batches that don't do.
    """
    if plan.total_steps is None:
        raise InvalidValue("plan.total_steps is not known: make a plan with the number of optimizer steps")
    steps = range(plan.total_steps)
    ratios = _ratios(plan, len(optimizer.param_groups))
    schedule = Schedule([plan.lr_at(step) for step in steps], ratios, _momenta(plan, steps))
    trained = train_along(model, optimizer, batches, schedule, replace(options, val_every=0))
    final = math.inf
    if trained.stop is Stop.COMPLETED:
        validate = options.validate
        final = (
            _last(trained.losses) if validate is None else float(validation_loss(model, optimizer, validate))
        )
    return OneCycleTraining(
        losses=frozen_array(trained.losses),
        stop=trained.stop,
        final_loss=final if math.isfinite(final) else math.inf,
        seconds=trained.seconds,
        noise_used=trained.noise_used,
    )


def _ratios(plan: Plan, groups: int) -> tuple[float, ...]:
    ratios = plan.lr_ratios * groups if len(plan.lr_ratios) == 1 else plan.lr_ratios
    if len(ratios) != groups:
        raise InvalidValue(
            f"plan.lr_ratios must have one number per parameter group ({groups}); got {len(ratios)}"
        )
    return ratios


def _momenta(plan: Plan, steps: Sequence[int]) -> list[float] | None:
    found = [plan.momentum_at(step) for step in steps]
    known = [momentum for momentum in found if momentum is not None]
    return known or None


def _last(losses: Sequence[float]) -> float:
    """The mean of the last tenth of the losses, at least one of them."""
    return float(np.mean(losses[-max(1, round(LAST_SHARE * len(losses))) :]))
