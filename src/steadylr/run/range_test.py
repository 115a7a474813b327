"""The range test: train while the LR rises, and record the loss of every step."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.amp import GradScaler
from torch.optim import Optimizer

from steadylr.core.curve import Curve, FloatArray, Stop, frozen_array
from steadylr.core.divergence import StopRule
from steadylr.core.ramp import Ramp
from steadylr.run.borrowing import Lent, borrowed
from steadylr.run.fabric import move_data_to_device
from steadylr.run.optimizers import set_train_mode
from steadylr.run.randomness import GeneratorStates, kept_generators
from steadylr.run.steps import Step, StepError, check_parameters, described, function_name, watched
from steadylr.run.updates import Updates, updating

ACCELERATOR_READ_LAG = 16
"""Steps after which a loss is read from an accelerator: by then it has long been computed."""

OnStep = Callable[[int, float, float | None], Stop | None]
"""(step, lr, newest loss or None) -> a Stop to end the run, or None."""


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
    group_lrs: FloatArray
    seconds: float
    noise_used: bool
    skipped_steps: tuple[int, ...] = ()

    @property
    def skipped_share(self) -> float:
        """The share of the curve's points that are in skipped_steps, from 0 to 1: for diagnose."""
        return len(self.skipped_steps) / len(self.curve)


def range_test(
    model: nn.Module,
    optimizer: Optimizer,
    batches: Iterable[Any],
    loss_fn: Callable[[Any, Any], Tensor] | None,
    ramp: Ramp,
    *,
    stop_rule: StopRule | None = None,
    accumulation_steps: int = 1,
    batch_weight: Callable[[Any], float] | None = None,
    lr_ratios: Sequence[float] | None = None,
    step: Step | None = None,
    others: Sequence[Lent] = (),
    backward: Callable[[Tensor], Any] | None = None,
    scaler: GradScaler | None = None,
    before_step: Callable[[nn.Module], Any] | None = None,
    validate: Callable[[nn.Module], float | Tensor] | None = None,
    val_every: int = 0,
    restore: bool = True,
    on_step: OnStep | None = None,
    read_lag: int | None = None,
) -> RangeTest:
    """Train a model, where it is and as it is wrapped, along a ramp of LRs.

    In step i, from 0, group g trains with ramp.lr_at(i) * lr_ratios[g]; point i of the curve is ramp.lr_at(i)
    with the loss of that step's forward pass, before its update (the mean over the accumulated batches). The
    run ends after the ramp's last step or where the stop rule fires: that point is the curve's last.

    Args:
        model: trained in train mode. If it is in train mode already, single modules in eval mode stay so.
        optimizer: its groups' LRs are overwritten; other settings hold.
        batches: what is iterated for batches, again and again if it ends; an iterator that ends early can't
            be.
        loss_fn: loss_fn(model(inputs), targets), for batches that are pairs; not needed with `step`.
        ramp: start, end and number of steps.
        stop_rule: when a run has diverged; None: StopRule(). NaN and infinities always end it.
        accumulation_steps: batches per optimizer step, at least 1.
        batch_weight: batch_weight(batch) -> how much it counts among the batches of its step, above 0: its
            number of samples, say, so that an epoch's short last batch counts less. None: all the same.
        lr_ratios: LR of each group over that of the ramp, above 0. None: the ratios that the optimizer's
            groups have now, the first group being 1.
        step: step(model, batch) -> loss, for batches of any other shape: dicts, several inputs, several losses. The
            batch comes on the model's device.
        others: further models, optimizers and gradient scalers that `step` trains by itself, such as a GAN's
            discriminator with its optimizer: given back like the first two. Their LRs are left alone.
        backward: called with the loss; None: loss.backward(). With Fabric: fabric.backward.
        scaler: scales the loss for fp16, and leaves out updates whose gradients overflowed; given back like the
            model. None: that of Fabric where it wrapped the optimizer for fp16, else none.
        before_step: before_step(model), called once the gradients of a step are there, unscaled: to clip them.
        validate: validate(model) -> loss, called in eval mode without gradients after steps 0, val_every,
            2 val_every, ...; neither modes nor random generators notice.
        val_every: steps from one validation to the next; 0: none.
        restore: give model and optimizer back as they were, also after an exception; see borrowed.
        on_step: on_step(step, lr, newest loss that has been read, or None), after every step. Must be quick.
            A Stop that it returns ends the run with that step, for that reason.
        read_lag: steps after which a loss is read. None: at once on a CPU, else 16, so that no step waits for
            the device. The result is the same for any: steps after the one at which the rule fired are cut
            off.

    In several processes (torch.distributed) the loss is the mean over all of them, so that all stop together.

    Raises:
        ValueError: a number outside its range, batches that end early, an optimizer with none of the model's
            parameters, or a first group with LR 0 while lr_ratios is None.
        StepError: batches that are no pairs, a loss that is not one number or has no gradient, or a step, loss or
            model that fails on the first batch; the message names the function and shows the batch's shapes.
    """
    _check(accumulation_steps, val_every, read_lag)
    check_parameters(model, optimizer.param_groups)
    ratios = _checked_ratios(optimizer, lr_ratios)
    take_step = step_of(model, loss_fn, step)
    lent = (model, optimizer, *others) if scaler is None else (model, optimizer, scaler, *others)
    with borrowed(*lent) if restore else nullcontext():
        trained = train_along(
            model,
            optimizer,
            batches,
            take_step,
            lrs=ramp.lrs().tolist(),
            rule=StopRule() if stop_rule is None else stop_rule,
            ratios=ratios,
            accumulation_steps=accumulation_steps,
            batch_weight=batch_weight,
            backward=backward,
            scaler=scaler,
            before_step=before_step,
            validation=_Validation(model, optimizer, validate, val_every),
            on_step=on_step,
            read_lag=read_lag,
        )
    lrs = ramp.lrs()[: len(trained.losses)]
    return RangeTest(
        curve=Curve(lrs, np.asarray(trained.losses), ramp.num_iter, trained.stop),
        validation=_validation_curve(trained, lrs, ramp.num_iter, val_every),
        group_lrs=frozen_array(lrs[:, None] * np.asarray(ratios)),
        seconds=trained.seconds,
        noise_used=trained.noise_used,
        skipped_steps=trained.skipped_steps,
    )


def _check(accumulation_steps: int, val_every: int, read_lag: int | None) -> None:
    if accumulation_steps < 1:
        raise ValueError(f"accumulation_steps must be at least 1; got {accumulation_steps!r}")
    if val_every < 0:
        raise ValueError(f"val_every must be at least 0 (0: no validation); got {val_every!r}")
    if read_lag is not None and read_lag < 0:
        raise ValueError(f"read_lag must be at least 0; got {read_lag!r}")


def _checked_ratios(optimizer: Optimizer, lr_ratios: Sequence[float] | None) -> tuple[float, ...]:
    groups = optimizer.param_groups
    if lr_ratios is None:
        lrs = [float(group["lr"]) for group in groups]
        if len(set(lrs)) == 1:
            return (1.0,) * len(lrs)
        if lrs[0] <= 0:
            raise ValueError(
                "the optimizer's first group has LR 0, so its groups' ratios are unknown: give lr_ratios"
            )
        return tuple(lr / lrs[0] for lr in lrs)
    ratios = tuple(float(ratio) for ratio in lr_ratios)
    if len(ratios) != len(groups):
        raise ValueError(
            f"lr_ratios must have one number per parameter group ({len(groups)}); got {len(ratios)}"
        )
    if not all(np.isfinite(ratio) and ratio > 0 for ratio in ratios):
        raise ValueError(f"lr_ratios must be finite and above 0; got {ratios}")
    return ratios


def step_of(model: nn.Module, loss_fn: Callable[[Any, Any], Tensor] | None, step: Step | None) -> Step:
    """What is called with the model and each batch; batches are moved to the model's device."""
    device = next(model.parameters()).device
    if step is None:
        if loss_fn is None:
            raise ValueError("give loss_fn, or step(model, batch) -> loss")
        return _step_on_pairs(model, loss_fn, device)
    name = f"step {function_name(step)}"
    if device.type == "cpu":
        return watched(step, name=name, expected="step(model, batch)")
    return watched(
        lambda model, batch: step(model, move_data_to_device(batch, device)),
        name=name,
        expected="step(model, batch)",
    )


def _step_on_pairs(model: nn.Module, loss_fn: Callable[[Any, Any], Tensor], device: torch.device) -> Step:
    name = f"loss_fn {function_name(loss_fn)} with model {type(model).__name__}"

    def take_step(model: Any, batch: Any) -> Tensor:
        if not isinstance(batch, tuple | list) or len(batch) != 2:
            raise StepError(
                f"a batch must be a pair (inputs, targets); got {type(batch).__name__}, {described(batch)}: "
                "give step(model, batch) -> loss for other batches (in a config a loss of your own with as_step: true)"
            )
        inputs, targets = move_data_to_device(batch, device)
        return loss_fn(model(inputs), targets)

    return watched(take_step, name=name, expected="loss_fn(model(inputs), targets)")


def _endless(batches: Iterable[Any], needed: int) -> Iterator[Any]:
    """Batches epoch after epoch.

    Raises:
        ValueError: no batches, or what can't start again (an iterator, or data that are spent) ended before
            `needed` batches.
    """
    came = 0
    epoch = 0
    while True:
        set_epoch = getattr(getattr(batches, "sampler", None), "set_epoch", None)
        if set_epoch is not None:
            set_epoch(epoch)
        iterator = iter(batches)
        once = iterator is batches
        before = came
        try:
            for batch in iterator:
                came += 1
                yield batch
        finally:
            close = getattr(iterator, "close", None)
            if close is not None and not once:
                close()
        if came == 0:
            raise ValueError("batches is empty: there is nothing to train on")
        if once or came == before:
            why = (
                "an iterator can't start again; give the loader itself, or a list"
                if once
                else "started again it gave none; its data set must start anew whenever it is iterated"
            )
            raise ValueError(
                f"batches ended after {came}, and {needed} are needed (num_iter times accumulation_steps): {why}"
            )
        epoch += 1


# ---- the loop


@dataclass(slots=True)
class _Validation:
    """Measures the validation loss every so often, and leaves no trace of it."""

    model: nn.Module
    optimizer: Optimizer
    validate: Callable[[nn.Module], float | Tensor] | None
    every: int

    def due(self, step: int) -> bool:
        return self.validate is not None and self.every > 0 and step % self.every == 0

    def measure(self) -> float | Tensor:
        assert self.validate is not None
        return validation_loss(self.model, self.optimizer, self.validate)


def validation_loss(
    model: nn.Module, optimizer: Optimizer, validate: Callable[[nn.Module], float | Tensor]
) -> float | Tensor:
    """The validation loss of a model in eval mode, without gradients; modes and generators don't notice."""
    set_train_mode(optimizer, train=False)
    with eval_mode(model), kept_generators(), torch.no_grad():
        loss = validate(model)
    set_train_mode(optimizer, train=True)
    return loss.detach() if isinstance(loss, Tensor) else float(loss)


@contextmanager
def eval_mode(model: nn.Module) -> Iterator[None]:
    """Within this context a model evaluates; after it every module has the mode that it had."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


@dataclass(slots=True)
class Trained:
    """What came of the loop.

    Args:
        losses: up to the end of the run.
        stop: why it ended.
        taken: updates that count. That of the point at which the stop rule fired doesn't: it was left out, or
            made only because the loss was read late.
        points: validation losses, each with the step that it was measured after.
        seconds, noise_used, skipped_steps: as in RangeTest.
    """

    losses: list[float]
    stop: Stop
    taken: int
    points: list[tuple[int, float | Tensor]]
    seconds: float = 0.0
    noise_used: bool = False
    skipped_steps: tuple[int, ...] = ()


def train_along(
    model: nn.Module,
    optimizer: Optimizer,
    batches: Iterable[Any],
    take_step: Step,
    *,
    lrs: Sequence[float],
    rule: StopRule,
    ratios: tuple[float, ...],
    momenta: Sequence[float] | None = None,
    accumulation_steps: int = 1,
    batch_weight: Callable[[Any], float] | None = None,
    backward: Callable[[Tensor], Any] | None = None,
    scaler: GradScaler | None = None,
    before_step: Callable[[nn.Module], Any] | None = None,
    validation: _Validation | None = None,
    on_step: OnStep | None = None,
    read_lag: int | None = None,
) -> Trained:
    """Train a model, where it is and as it is wrapped, with a given LR in each step; it stays trained.

    Args:
        take_step: as step_of gives it.
        lrs: the LR of each step, for a group of ratio 1.
        momenta: the momentum (or beta1) of each step; None leaves it to the optimizer.
        others: as range_test, which has defaults for them.

    Raises:
        ValueError: momenta for an optimizer without momentum; see range_test for others.
    """
    with updating(model, optimizer, backward=backward, scaler=scaler, before_step=before_step) as updates:
        if not model.training:
            model.train()
        set_train_mode(optimizer, train=True)
        before = GeneratorStates.now()
        start = time.perf_counter()
        trained = _train(
            model,
            optimizer,
            _endless(batches, len(lrs) * accumulation_steps),
            take_step,
            lrs=lrs,
            rule=rule,
            ratios=ratios,
            momenta=momenta,
            accumulation_steps=accumulation_steps,
            batch_weight=batch_weight,
            updates=updates,
            validation=_Validation(model, optimizer, None, 0) if validation is None else validation,
            on_step=on_step,
            read_lag=read_lag,
        )
        return replace(
            trained,
            seconds=time.perf_counter() - start,
            noise_used=not before.same_as(GeneratorStates.now()),
            skipped_steps=updates.left_out(trained.taken),
        )


def _train(
    model: nn.Module,
    optimizer: Optimizer,
    batches: Iterator[Any],
    take_step: Step,
    *,
    lrs: Sequence[float],
    rule: StopRule,
    ratios: tuple[float, ...],
    momenta: Sequence[float] | None,
    accumulation_steps: int,
    batch_weight: Callable[[Any], float] | None,
    updates: Updates,
    validation: _Validation,
    on_step: OnStep | None,
    read_lag: int | None,
) -> Trained:
    monitor = rule.monitor()
    losses: list[float] = []
    points: list[tuple[int, float | Tensor]] = []
    reader: _Reader | None = None
    fired: Stop | None = None
    asked: Stop | None = None
    backward = updates.backward
    try:
        for step, lr in enumerate(lrs):
            _set_lrs(optimizer, lr, ratios)
            if momenta is not None:
                _set_momentum(optimizer, momenta[step])
            optimizer.zero_grad(set_to_none=True)
            loss = _accumulate(model, batches, take_step, accumulation_steps, batch_weight, backward)
            if reader is None:
                reader = _reader(loss, len(lrs), read_lag)
            reader.put(loss)
            fired = _watch(monitor, reader.ready(), losses)
            if fired is not None:
                break
            updates.step()
            if validation.due(step):
                points.append((step, validation.measure()))
            if on_step is not None:
                answer = on_step(step, lr, losses[-1] if losses else None)
                if isinstance(answer, Stop):
                    asked = answer
                    break
        assert reader is not None
        if fired is None:
            fired = _watch(monitor, reader.rest(), losses)
        if fired is not None:
            return Trained(losses, fired, len(losses) - 1, points)
        return Trained(losses, Stop.COMPLETED if asked is None else asked, len(losses), points)
    finally:
        close = getattr(batches, "close", None)
        if close is not None:
            close()  # ends data workers now, not when the garbage is collected


def _set_lrs(optimizer: Optimizer, lr: float, ratios: tuple[float, ...]) -> None:
    for group, ratio in zip(optimizer.param_groups, ratios, strict=True):
        held = group["lr"]
        if isinstance(held, Tensor):
            held.fill_(lr * ratio)  # compiled or captured optimizers keep the tensor
        else:
            group["lr"] = lr * ratio


def _set_momentum(optimizer: Optimizer, momentum: float) -> None:
    """As torch's OneCycleLR does it: the first of the betas where there are some, else the momentum."""
    for group in optimizer.param_groups:
        if "betas" in group:
            group["betas"] = (momentum, *group["betas"][1:])
        elif "momentum" in group:
            group["momentum"] = momentum
        else:
            raise ValueError(
                "the optimizer has no momentum (or betas) to cycle: set onecycle.cycle_momentum=false"
            )


def _accumulate(
    model: nn.Module,
    batches: Iterator[Any],
    take_step: Step,
    accumulation_steps: int,
    batch_weight: Callable[[Any], float] | None,
    backward: Callable[[Tensor], Any],
) -> Tensor:
    """Leave the mean gradient over the batches on the parameters; give the mean loss, detached."""
    if accumulation_steps == 1:
        loss = take_step(model, next(batches))
        backward(loss)
        return _over_processes(loss.detach())
    total: Tensor | None = None
    for batch, divisor in _divided(batches, accumulation_steps, batch_weight):
        loss = take_step(model, batch) / divisor
        backward(loss)
        total = loss.detach() if total is None else total + loss.detach()
    assert total is not None
    return _over_processes(total)


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
            raise ValueError(f"batch_weight must give a finite number above 0 for every batch; got {weight}")
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


class _Watching(Protocol):
    def update(self, loss: float) -> Stop | None: ...


def _watch(monitor: _Watching, arrived: Iterable[float], losses: list[float]) -> Stop | None:
    """Take losses in their order until the rule fires; those after it are left out."""
    for loss in arrived:
        losses.append(loss)
        stop = monitor.update(loss)
        if stop is not None:
            return stop
    return None


def _points_planned(num_iter: int, val_every: int) -> int:
    """Validation points of a whole run: after steps 0, val_every, 2 val_every, ..."""
    return math.ceil(num_iter / val_every) if val_every else 0


def _validation_curve(trained: Trained, lrs: FloatArray, num_iter: int, val_every: int) -> Curve | None:
    """The points after updates that count: how late the end of a run was noticed leaves no trace."""
    kept = [(step, float(loss)) for step, loss in trained.points if step < trained.taken]
    if not kept:
        return None
    steps, losses = zip(*kept, strict=True)
    planned = _points_planned(num_iter, val_every)
    return Curve(lrs[list(steps)], np.asarray(losses), planned, trained.stop, steps_per_point=val_every)


# ---- reading losses without waiting for the device


class _Reader(Protocol):
    """Takes the loss of each step as it is made, and gives it as a number once it can be had for nothing."""

    def put(self, loss: Tensor) -> None: ...

    def ready(self) -> Iterable[float]: ...

    def rest(self) -> Iterable[float]: ...


def _reader(loss: Tensor, num_iter: int, read_lag: int | None) -> _Reader:
    on_cpu = loss.device.type == "cpu"
    lag = (0 if on_cpu else ACCELERATOR_READ_LAG) if read_lag is None else read_lag
    if lag == 0:
        return _DirectReader()
    if loss.device.type == "cuda":
        return _PinnedReader(num_iter, lag, dtype=_wide(loss))
    return _BlockReader(num_iter, lag, device=loss.device, dtype=_wide(loss))


def _wide(loss: Tensor) -> torch.dtype:
    return torch.float64 if loss.dtype == torch.float64 else torch.float32


class _DirectReader:
    """Reads each loss at once: on a CPU it is there."""

    def __init__(self) -> None:
        self._newest: list[float] = []

    def put(self, loss: Tensor) -> None:
        self._newest = [loss.item()]

    def ready(self) -> Iterable[float]:
        return self._newest

    def rest(self) -> Iterable[float]:
        return []


class _PinnedReader:
    """Copies each loss to page-locked host memory as the device gets to it, and reads it `lag` steps later.

    Waiting for the event of a step that long ago does not empty the device's queue.
    """

    def __init__(self, num_iter: int, lag: int, *, dtype: torch.dtype) -> None:
        self._host = torch.empty(num_iter, dtype=dtype, pin_memory=True)
        self._lag = lag
        self._count = 0
        self._waiting: deque[tuple[int, torch.cuda.Event]] = deque()

    def put(self, loss: Tensor) -> None:
        self._host[self._count].copy_(loss.reshape(()).to(self._host.dtype), non_blocking=True)
        event = torch.cuda.Event()  # type: ignore[no-untyped-call]
        event.record(torch.cuda.current_stream(loss.device))
        self._waiting.append((self._count, event))
        self._count += 1

    def ready(self) -> Iterable[float]:
        return self._read(self._lag)

    def rest(self) -> Iterable[float]:
        return self._read(0)

    def _read(self, keep: int) -> Iterator[float]:
        while len(self._waiting) > keep:
            position, event = self._waiting.popleft()
            event.synchronize()
            yield self._host[position].item()


class _BlockReader:
    """Keeps the losses on their device and fetches them `lag` at a time: where copies can't run alongside."""

    def __init__(self, num_iter: int, lag: int, *, device: torch.device, dtype: torch.dtype) -> None:
        self._kept = torch.empty(num_iter, device=device, dtype=dtype)
        self._lag = lag
        self._count = 0
        self._read = 0

    def put(self, loss: Tensor) -> None:
        self._kept[self._count] = loss.reshape(())
        self._count += 1

    def ready(self) -> Iterable[float]:
        return self.rest() if self._count - self._read > self._lag else []

    def rest(self) -> Iterable[float]:
        fetched: list[float] = self._kept[self._read : self._count].tolist()
        self._read = self._count
        return fetched
