"""The training loop: a model, where it is and as it is wrapped, with a given LR in each step."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from steadylr.core.curve import Stop
from steadylr.errors import InvalidValue
from steadylr.run.batches import endless
from steadylr.run.loss_readers import LossReader, loss_reader
from steadylr.run.optimizers import set_train_mode
from steadylr.run.options import Options
from steadylr.run.randomness import GeneratorStates, kept_generators
from steadylr.run.steps import SKIPPED, Step, StepError, function_name, step_of
from steadylr.run.updates import Updates

MOST_SKIPPED = 100
"""Batches that a step may leave out in a row: more than any filter of bad batches, and soon over."""

Validate = Callable[[nn.Module], "float | Tensor"]


@dataclass(frozen=True, slots=True, eq=False)
class Schedule:
    """The LR of each step, and the momentum where that moves too.

    Args:
        lrs: the LR of each step, for a group of ratio 1.
        ratios: the LR of each parameter group over that.
        momenta: the momentum (or beta1) of each step; None leaves it to the optimizer.
    """

    lrs: Sequence[float]
    ratios: tuple[float, ...]
    momenta: Sequence[float] | None = None

    def apply(self, optimizer: Optimizer, step: int) -> None:
        """Set what an optimizer trains with in a step, from 0.

        Raises:
            ValueError: momenta for an optimizer without momentum.
        """
        lr = self.lrs[step]
        for group, ratio in zip(optimizer.param_groups, self.ratios, strict=True):
            held = group["lr"]
            if isinstance(held, Tensor):
                held.fill_(lr * ratio)  # compiled or captured optimizers keep the tensor
            else:
                group["lr"] = lr * ratio
        if self.momenta is not None:
            _set_momentum(optimizer, self.momenta[step])


def _set_momentum(optimizer: Optimizer, momentum: float) -> None:
    """As torch's OneCycleLR does it: the first of the betas where there are some, else the momentum."""
    for group in optimizer.param_groups:
        if "betas" in group:
            group["betas"] = (momentum, *group["betas"][1:])
        elif "momentum" in group:
            group["momentum"] = momentum
        else:
            raise InvalidValue(
                "the optimizer has no momentum (or betas) to cycle: set onecycle.cycle_momentum=false"
            )


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """What came of the loop.

    Args:
        losses: up to the end of the run.
        stop: why it ended.
        taken: updates that count. That of the point at which the stop rule fired doesn't: it was left out, or
            made only because the loss was read late.
        points: validation losses, each with the step that it was measured after.
        seconds: wall time.
        noise_used: whether the training drew from a global random generator.
        skipped_steps: the steps, from 0, whose update a gradient scaler left out.
    """

    losses: list[float]
    stop: Stop
    taken: int
    points: list[tuple[int, float | Tensor]]
    seconds: float = 0.0
    noise_used: bool = False
    skipped_steps: tuple[int, ...] = ()


def train_along(
    model: nn.Module, optimizer: Optimizer, batches: Iterable[Any], schedule: Schedule, options: Options
) -> Trained:
    """Train a model along a schedule; it stays trained.

    Args:
        model: trained in train mode. If it is in train mode already, single modules in eval mode stay so.
        optimizer: its groups' LRs are overwritten; other settings hold.
        batches: what is iterated for batches, again and again if it ends.
        schedule: its length is the number of optimizer steps.
        options: all but lr_ratios, others and restore, which are the callers' to heed.

    Raises:
        ValueError: see range_test and Schedule.apply.
    """
    take_step = step_of(model, options.loss_fn, options.step)
    updates = Updates(model, optimizer, options)
    with updates.watching():
        if not model.training:
            model.train()
        set_train_mode(optimizer, train=True)
        before = GeneratorStates.now()
        start = time.perf_counter()
        with closing(endless(batches, len(schedule.lrs) * options.accumulation_steps)) as stream:
            trained = _Loop(model, optimizer, schedule, options, updates, take_step).run(stream)
        return replace(
            trained,
            seconds=time.perf_counter() - start,
            noise_used=not before.same_as(GeneratorStates.now()),
            skipped_steps=updates.left_out(trained.taken),
        )


class _Loop:
    """One pass over a schedule; the arguments as train_along has them."""

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        schedule: Schedule,
        options: Options,
        updates: Updates,
        take_step: Step,
    ) -> None:
        self._model = model
        self._optimizer = optimizer
        self._schedule = schedule
        self._options = options
        self._updates = updates
        self._take_step = take_step
        self._monitor = options.stop_rule.monitor()
        self._losses: list[float] = []

    def run(self, batches: Iterator[Any]) -> Trained:
        """Train until the schedule ends, the stop rule fires or on_step asks for the end."""
        losses, options = self._losses, self._options
        points: list[tuple[int, float | Tensor]] = []
        reader: LossReader | None = None
        stop = Stop.COMPLETED
        for step, lr in enumerate(self._schedule.lrs):
            self._schedule.apply(self._optimizer, step)
            self._optimizer.zero_grad(set_to_none=True)
            loss = self._backward(batches)
            if reader is None:
                reader = loss_reader(loss, len(self._schedule.lrs), options.read_lag)
            reader.put(loss)
            if (fired := self._watch(reader.ready())) is not None:
                return Trained(losses, fired, len(losses) - 1, points)
            self._updates.step()
            if options.validate is not None and options.val_every and step % options.val_every == 0:
                points.append((step, validation_loss(self._model, self._optimizer, options.validate)))
            if options.on_step is not None:
                answer = options.on_step(step, lr, losses[-1] if losses else None)
                if isinstance(answer, Stop):
                    stop = answer
                    break
        assert reader is not None
        if (fired := self._watch(reader.rest())) is not None:
            return Trained(losses, fired, len(losses) - 1, points)
        return Trained(losses, stop, len(losses), points)

    def _watch(self, arrived: Iterable[float]) -> Stop | None:
        """Take losses in their order until the rule fires; those after it are left out."""
        for loss in arrived:
            self._losses.append(loss)
            stop = self._monitor.update(loss)
            if stop is not None:
                return stop
        return None

    def _backward(self, batches: Iterator[Any]) -> Tensor:
        """Leave the mean gradient over the batches of a step on the parameters; give the mean loss, detached."""
        count, backward = self._options.accumulation_steps, self._updates.backward
        if count == 1:
            loss = self._loss(next(batches), batches)
            backward(loss)
            return _over_processes(loss.detach())
        total: Tensor | None = None
        for batch, divisor in _divided(batches, count, self._options.batch_weight):
            loss = self._loss(batch, batches) / divisor
            backward(loss)
            total = loss.detach() if total is None else total + loss.detach()
        assert total is not None
        return _over_processes(total)

    def _loss(self, batch: Any, batches: Iterator[Any]) -> Tensor:
        """The loss of a batch; of the next one where the step leaves this one out.

        Raises:
            StepError: so many batches in a row are left out that this is hardly meant.
        """
        for _ in range(MOST_SKIPPED):
            loss = self._take_step(self._model, batch)
            if loss is not SKIPPED:
                return loss
            batch = next(batches)
        raise StepError(
            f"{function_name(self._options.step)} returned None for {MOST_SKIPPED} batches in a row: some may be left "
            'out, but a range test needs losses; return a tensor of shape (), or a mapping with it as "loss"'
        )


def _divided(
    batches: Iterator[Any], count: int, batch_weight: Callable[[Any], float] | None
) -> Iterator[tuple[Any, float]]:
    """The batches of one step, each with what its loss is divided by, so that the sum is the mean.

    Only with weights are they fetched together: their sum has to be known before the first is used.

    Raises:
        ValueError: a weight that is not finite or not above 0.
    """
    if batch_weight is None:
        for _ in range(count):
            yield next(batches), count
        return
    held = [next(batches) for _ in range(count)]
    weights = [float(batch_weight(batch)) for batch in held]
    for weight in weights:
        if not (math.isfinite(weight) and weight > 0):
            raise InvalidValue(
                f"batch_weight must give a finite number above 0 for every batch; got {weight}"
            )
    total = sum(weights)
    yield from ((batch, total / weight) for batch, weight in zip(held, weights, strict=True))


def _over_processes(loss: Tensor) -> Tensor:
    """The mean over all processes of a distributed training; the loss itself in any other."""
    distributed = torch.distributed
    if not distributed.is_available() or not distributed.is_initialized():
        return loss
    mean = loss / distributed.get_world_size()
    distributed.all_reduce(mean)
    return mean


# ---- validation


def validation_loss(model: nn.Module, optimizer: Optimizer, validate: Validate) -> float | Tensor:
    """The validation loss of a model; modes and generators don't notice."""
    with evaluating(model, optimizer), kept_generators():
        loss = validate(model)
    return loss.detach() if isinstance(loss, Tensor) else float(loss)


@contextmanager
def evaluating(model: nn.Module, optimizer: Optimizer) -> Iterator[None]:
    """Within this context a model, with the weights that its optimizer would give it, evaluates without gradients.

    After it every module has the mode that it had, and the optimizer is in train mode.
    """
    modes = [(module, module.training) for module in model.modules()]
    set_train_mode(optimizer, train=False)
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, training in modes:
            module.training = training
        set_train_mode(optimizer, train=True)
