"""Many trainings of one task at once, each with its own weights, batches and schedule, in step on one core.

A training of such a small model spends its time in calls, not in numbers. Stacked on one another and mapped with
torch.func.vmap, fifty of them take a fifth to an eighth of the time. Each keeps its own numbers: a training's losses
are those of quality_parts.compute.train_one_cycle but for rounding, whatever else is trained beside it.
"""

from __future__ import annotations

import math
import queue
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from quality_parts.tasks import Batches, Task, build, load, loss_fn, validation_loss
from steadylr.core.onecycle import plan
from steadylr.core.ramp import Ramp

SLOTS = 96
"""Trainings in step at most. More gain little: the caches are full."""

Judge = Callable[[int, float], bool]


@dataclass(slots=True, eq=False)
class Training:
    """One training to do.

    Args:
        seed: of weights and batches.
        lrs: the LR of each step.
        momenta: the momentum (or beta1) of each step; None leaves it as the task says.
        validates: whether the result is the validation loss; if not, it is the loss of each step.
        judge: asked after the steps in judged_after, with the step and the validation loss; True ends the training.
        judged_after: steps, rising.
        done: the validation loss, or the losses; infinite where a training loss became so (losses end there).
    """

    seed: int
    lrs: Sequence[float]
    momenta: Sequence[float] | None = None
    validates: bool = True
    judge: Judge | None = None
    judged_after: tuple[int, ...] = ()
    done: Future[Any] = field(default_factory=Future)
    losses: list[float] = field(default_factory=list)

    @property
    def step(self) -> int:
        """Steps taken."""
        return len(self.losses)


def one_cycle(task: Task, lr: float, steps: int, seed: int, **more: Any) -> Training:
    """A OneCycle training along steadylr's plan, as people paste it."""
    lrs, momenta = _one_cycle(steps, cycles=_usual_momentum(task) is not None)
    return Training(seed, [lr * share for share in lrs], momenta, **more)


def ramp(num_iter: int, seed: int, *, start_lr: float, end_lr: float) -> Training:
    """A range test without a stop rule: its result is the loss of each step, up to one that is no number."""
    lrs = Ramp(start_lr, end_lr, num_iter)
    return Training(seed, [lrs.lr_at(step) for step in range(num_iter)], validates=False)


@cache
def _one_cycle(steps: int, *, cycles: bool) -> tuple[list[float], list[float] | None]:
    schedule = plan(1.0, total_steps=steps, cycle_momentum=cycles)
    lrs = [schedule.lr_at(step) for step in range(steps)]
    return lrs, [float(schedule.momentum_at(step) or 0.0) for step in range(steps)] if cycles else None


def _usual_momentum(task: Task) -> float | None:
    """The momentum (or beta1) of the task's optimizer outside a schedule; None where it has none."""
    if task.optimizer == "adamw":
        return 0.9
    return float(task.settings.get("momentum", 0.0)) or None


class Lockstep:
    """Does the trainings of one task that are submitted, as many at once as fit."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._samples = load(task.data)
        self._model, _ = build(task, 0, lr=1.0)
        self._judged, _ = build(task, 0, lr=1.0)
        self._begun: dict[int, tuple[Tensor, dict[str, Tensor]]] = {}
        self._names = [name for name, _ in self._model.named_parameters()]
        self._shapes = [parameter.shape for parameter in self._model.parameters()]
        self._losses = vmap(self._loss)
        self._orders: dict[int, Tensor] = {}
        self._todo: queue.SimpleQueue[Training] = queue.SimpleQueue()
        self._active: list[Training] = []
        self._weights = _flat(self._model)[None][:0]
        self._buffers = {name: value[None][:0] for name, value in _buffers(self._model).items()}
        self._optimizer = OPTIMIZERS[task.optimizer](task, self._weights)

    def submit(self, training: Training) -> Future[Any]:
        """Hand over a training, from any thread. Its future is set by run."""
        self._todo.put(training)
        return training.done

    def run(self, goes_on: Callable[[], bool] = lambda: False) -> None:
        """Train until nothing is left to do, and goes_on says that nothing will come either."""
        while True:
            self._take(wait=not self._active and goes_on())
            if self._active:
                self._advance()
            elif self._todo.empty() and not goes_on():
                return

    # ---- who is there

    def _take(self, *, wait: bool) -> None:
        """Let in what fits."""
        room = SLOTS - len(self._active)
        fresh = [self._todo.get_nowait() for _ in range(min(room, self._todo.qsize()))]
        if wait and not fresh:
            with suppress(queue.Empty):
                fresh = [self._todo.get(timeout=0.01)]
        if not fresh:
            return
        begun = [self._begin(training.seed) for training in fresh]
        self._weights = torch.cat([self._weights, torch.stack([weights for weights, _ in begun])])
        for name, value in self._buffers.items():
            self._buffers[name] = torch.cat([value, torch.stack([buffers[name] for _, buffers in begun])])
        self._optimizer.grow(len(fresh))
        self._active += fresh

    def _begin(self, seed: int) -> tuple[Tensor, dict[str, Tensor]]:
        """The weights and buffers that trainings of a seed begin with."""
        if seed not in self._begun:
            model, _ = build(self._task, seed, lr=1.0)
            self._begun[seed] = _flat(model), _buffers(model)
        return self._begun[seed]

    def _drop(self, places: Sequence[int]) -> None:
        keep = [place for place in range(len(self._active)) if place not in set(places)]
        self._weights = self._weights[keep]
        self._buffers = {name: value[keep] for name, value in self._buffers.items()}
        self._optimizer.keep(keep)
        self._active = [self._active[place] for place in keep]

    # ---- one step of all

    def _advance(self) -> None:
        index = torch.stack([self._order(training)[training.step] for training in self._active])
        views = [view.detach().requires_grad_() for view in self._views(self._weights)]
        named = dict(zip(self._names, views, strict=True))
        losses = self._losses(named, self._buffers, self._samples.x[index], self._samples.y[index])
        gradients = torch.autograd.grad(losses.sum(), views)
        with torch.no_grad():
            self._optimizer.step(
                self._weights,
                torch.cat([gradient.reshape(len(self._active), -1) for gradient in gradients], 1),
                torch.tensor([training.lrs[training.step] for training in self._active])[:, None],
                self._momenta(),
            )
        for training, loss in zip(self._active, losses.tolist(), strict=True):
            training.losses.append(loss)
        self._drop([place for place, training in enumerate(self._active) if self._ended(place, training)])

    def _loss(self, weights: dict[str, Tensor], buffers: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        return loss_fn(functional_call(self._model, (weights, buffers), (x,)), y)

    def _views(self, weights: Tensor) -> list[Tensor]:
        parts = weights.split([shape.numel() for shape in self._shapes], dim=-1)
        return [
            part.reshape(*weights.shape[:-1], *shape) for part, shape in zip(parts, self._shapes, strict=True)
        ]

    def _momenta(self) -> Tensor | None:
        usual = _usual_momentum(self._task)
        if usual is None:
            return None
        own = [t.momenta[t.step] if t.momenta is not None else usual for t in self._active]
        return torch.tensor(own)[:, None]

    def _order(self, training: Training) -> Tensor:
        """Which samples each batch of a training holds, shape (steps, batch size)."""
        known = self._orders.get(training.seed)
        if known is None or len(known) < len(training.lrs):
            batches = Batches(self._task, training.seed)
            known = torch.stack(list(islice(batches.indices(batches.generator()), len(training.lrs))))
            self._orders[training.seed] = known
        return known

    # ---- how one ends

    def _ended(self, place: int, training: Training) -> bool:
        if not math.isfinite(training.losses[-1]):
            training.done.set_result(math.inf if training.validates else training.losses)
            return True
        if training.step == len(training.lrs):
            training.done.set_result(self._validation(place) if training.validates else training.losses)
            return True
        if training.judge is None or training.step not in training.judged_after:
            return False
        loss = self._validation(place)
        if training.judge(training.step, loss):
            training.done.set_result(loss)
            return True
        return False

    def _validation(self, place: int) -> float:
        model = self._judged
        with torch.no_grad():
            for parameter, value in zip(model.parameters(), self._views(self._weights[place]), strict=True):
                parameter.copy_(value)
            for name, buffer in model.named_buffers():
                buffer.copy_(self._buffers[name][place])
        return validation_loss(model, self._samples)


def _flat(model: nn.Module) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


def _buffers(model: nn.Module) -> dict[str, Tensor]:
    return dict(model.named_buffers())


# ---- torch's optimizers over weights of shape (trainings, parameters), with an LR and a momentum for each


class _Optimizer(ABC):
    """Its states are rows like the weights'."""

    num_states = 1

    def __init__(self, task: Task, weights: Tensor) -> None:
        self.settings = {"weight_decay": 0.0, **task.settings}
        self.states = [torch.zeros_like(weights) for _ in range(self.num_states)]
        self.taken = torch.zeros(0, 1)

    def grow(self, number: int) -> None:
        """Begin so many trainings."""
        self.states = [torch.cat([state, state.new_zeros(number, state.shape[1])]) for state in self.states]
        self.taken = torch.cat([self.taken, torch.zeros(number, 1)])

    def keep(self, places: list[int]) -> None:
        """Forget all others."""
        self.states = [state[places] for state in self.states]
        self.taken = self.taken[places]

    @abstractmethod
    def step(self, weights: Tensor, gradients: Tensor, lrs: Tensor, momenta: Tensor | None) -> None:
        """One step of all, in place."""


class _SGD(_Optimizer):
    def step(self, weights: Tensor, gradients: Tensor, lrs: Tensor, momenta: Tensor | None) -> None:
        if momenta is not None:
            moving = self.states[0].mul_(momenta).add_(gradients)
            gradients = gradients + momenta * moving if self.settings.get("nesterov") else moving
        weights.sub_(lrs * gradients)


class _AdamW(_Optimizer):
    num_states = 2

    def step(self, weights: Tensor, gradients: Tensor, lrs: Tensor, momenta: Tensor | None) -> None:
        assert momenta is not None
        self.taken += 1
        weights.mul_(1 - lrs * self.settings["weight_decay"])
        first, second = self.states
        first.lerp_(gradients, (1 - momenta).expand_as(first))
        second.mul_(0.999).addcmul_(gradients, gradients, value=0.001)
        lengths = (second.sqrt() / (1 - 0.999**self.taken).sqrt()).add_(1e-8)
        weights.sub_(lrs / (1 - momenta**self.taken) * first / lengths)


class _RMSprop(_Optimizer):
    def step(self, weights: Tensor, gradients: Tensor, lrs: Tensor, momenta: Tensor | None) -> None:
        squares = self.states[0].mul_(0.99).addcmul_(gradients, gradients, value=0.01)
        weights.sub_(lrs * gradients / squares.sqrt().add_(1e-8))


OPTIMIZERS: dict[str, type[_Optimizer]] = {"sgd": _SGD, "adamw": _AdamW, "rmsprop": _RMSprop}
