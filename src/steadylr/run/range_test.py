"""The range test: train while the LR rises, and record the loss of every step."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import nn
from torch.optim import Optimizer

from steadylr.core.arguments import check_kind
from steadylr.core.curve import Curve, FloatArray, frozen_array
from steadylr.core.ramp import Ramp
from steadylr.errors import InvalidValue
from steadylr.run.batches import kept_order
from steadylr.run.loop import Schedule, Trained, train_along
from steadylr.run.optimizers import current_ratios
from steadylr.run.options import Options
from steadylr.run.snapshot import restored
from steadylr.run.steps import check_trainable, described


@dataclass(frozen=True, slots=True, eq=False)
class RangeTest:
    """What one range test measured.

    Args:
        curve: the raw training losses, up to and including the point at which the stop rule fired.
        validation: the validation losses, each against the LR of the step that it was measured after; its
            num_iter counts the validation points of a whole run. None when none were asked for, or the run
            ended before the first.
        group_lrs: shape (points of the curve, parameter groups): the LRs that were used.
        seconds: wall time of the training, without copying and restoring.
        noise_used: whether the training drew from a global random generator (dropout and the like).
        skipped_steps: the points, from 0, whose update the gradient scaler of fp16 training left out because
            gradients overflowed: their losses stand, but the weights did not move.
    """

    curve: Curve
    validation: Curve | None
    group_lrs: FloatArray = field(repr=False)
    seconds: float
    noise_used: bool
    skipped_steps: tuple[int, ...] = ()

    @property
    def read(self) -> Curve:
        """The curve that rules read: the validation losses, where there are any."""
        return self.curve if self.validation is None else self.validation

    @property
    def skipped_share(self) -> float:
        """The share of the curve's points that are in skipped_steps, from 0 to 1: for diagnose."""
        return len(self.skipped_steps) / len(self.curve)


def range_test(
    model: nn.Module, optimizer: Optimizer, batches: Iterable[Any], ramp: Ramp, options: Options
) -> RangeTest:
    """Train a model, where it is and as it is wrapped, along a ramp of LRs.

    In step i, from 0, group g trains with ramp.lr_at(i) * lr_ratios[g]; point i of the curve is ramp.lr_at(i)
    with the loss of that step's forward pass, before its update (the mean over the accumulated batches). The
    run ends after the ramp's last step or where the stop rule fires: that point is the curve's last. In several
    processes (torch.distributed) the loss is the mean over all of them, so that all stop together.

    Args:
        model: trained in train mode. If it is in train mode already, single modules in eval mode stay so.
        optimizer: its groups' LRs are overwritten; other settings hold.
        batches: what is iterated for batches, again and again if it ends; an iterator that ends early can't
            be.
        ramp: start, end and number of steps.
        options: all else.

    Raises:
        ValueError: batches that end early, a model or an optimizer that no range test can train (see
            check_trainable), or ratios that don't fit its groups.
        StepError: batches that are no pairs, a loss that is not one number or has no gradient, or a step, loss or
            model that fails on the first batch; the message names the function and shows the batch's shapes.
    """
    check_trainable(model, optimizer)
    check_kind(Ramp, ramp=ramp)
    if not hasattr(batches, "__iter__") and not hasattr(batches, "__getitem__"):
        raise InvalidValue(
            f"data must be what batches come from, a DataLoader or a list; got {described(batches)}"
        )
    ratios = _checked_ratios(optimizer, options.lr_ratios)
    lrs = ramp.lrs()
    with _as_before(model, optimizer, batches, options) if options.restore else nullcontext():
        trained = train_along(model, optimizer, batches, Schedule(lrs.tolist(), ratios), options)
    lrs = lrs[: len(trained.losses)]
    return RangeTest(
        curve=Curve(lrs, np.asarray(trained.losses), ramp.num_iter, trained.stop),
        validation=_validation_curve(trained, lrs, ramp.num_iter, options.val_every),
        group_lrs=frozen_array(lrs[:, None] * np.asarray(ratios)),
        seconds=trained.seconds,
        noise_used=trained.noise_used,
        skipped_steps=trained.skipped_steps,
    )


@contextmanager
def _as_before(
    model: nn.Module, optimizer: Optimizer, batches: Iterable[Any], options: Options
) -> Iterator[None]:
    """Within this context train at will; afterwards nothing that a range test is given has changed."""
    also = [getattr(each, "__self__", each) for each in (options.loss_fn, options.step)]
    modules = [each for each in also if isinstance(each, nn.Module)]
    scaler = () if options.scaler is None else (options.scaler,)
    with kept_order(batches), restored(model, optimizer, *scaler, *options.others, *modules):
        yield


def _checked_ratios(optimizer: Optimizer, lr_ratios: Sequence[float] | None) -> tuple[float, ...]:
    groups = optimizer.param_groups
    if lr_ratios is None:
        return current_ratios(optimizer)
    ratios = tuple(float(ratio) for ratio in lr_ratios)
    if len(ratios) != len(groups):
        raise InvalidValue(
            f"lr_ratios must have one number per parameter group ({len(groups)}); got {len(ratios)}"
        )
    if not all(np.isfinite(ratio) and ratio >= 0 for ratio in ratios) or not any(ratios):
        raise InvalidValue(f"lr_ratios must be finite and at least 0, one of them above 0; got {ratios}")
    return ratios


def _validation_curve(trained: Trained, lrs: FloatArray, num_iter: int, val_every: int) -> Curve | None:
    """The points after updates that count: how late the end of a run was noticed leaves no trace."""
    kept = [(step, float(loss)) for step, loss in trained.points if step < trained.taken]
    if not kept:
        return None
    steps, losses = zip(*kept, strict=True)
    planned = math.ceil(num_iter / val_every)  # after steps 0, val_every, 2 val_every, ...
    return Curve(lrs[list(steps)], np.asarray(losses), planned, trained.stop, steps_per_point=val_every)
