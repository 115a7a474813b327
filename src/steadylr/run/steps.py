"""The user's step: what it is called, what it must return, and what to say when it does not."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from steadylr.errors import InvalidValue
from steadylr.run.fabric import move_data_to_device
from steadylr.run.optimizer_facts import REFUSED

Step = Callable[[Any, Any], Tensor]
"""(model, batch) -> loss, a tensor of shape ()."""


SKIPPED = cast("Tensor", object())
"""What a step gives in place of a loss for a batch that is to be left out."""


class StepError(InvalidValue):
    """A user's step, loss or model that failed on the first batch, or gave what is no loss."""

    show_traceback = True  # it was raised here for an error in the user's code


def function_name(function: Any) -> str:
    """What a function, a method, a partial or an object that is called is called by its author."""
    if isinstance(function, functools.partial):
        return function_name(function.func)
    name = getattr(function, "__qualname__", None)
    return str(name).replace("<locals>.", "") if name is not None else type(function).__name__


def described(value: Any) -> str:
    """A batch or any other value as an error message shows it: types, dtypes and shapes."""
    if isinstance(value, Tensor):
        return f"{str(value.dtype).removeprefix('torch.')} {tuple(value.shape)}"
    if isinstance(value, dict):
        shown = ", ".join(f"{key!r}: {described(part)}" for key, part in list(value.items())[:8])
        return f"{{{shown}{', ...' if len(value) > 8 else ''}}}"
    if type(value) in (tuple, list):
        shown = ", ".join(described(part) for part in value[:4]) + (", ..." if len(value) > 4 else "")
        return f"({shown})" if isinstance(value, tuple) else f"[{shown}]"
    return repr(value) if value is None or isinstance(value, bool | int | float) else type(value).__name__


def step_of(model: nn.Module, loss_fn: Callable[[Any, Any], Tensor] | None, step: Step | None) -> Step:
    """What is called with the model and each batch; batches are moved to the model's device.

    Args:
        model: to be trained.
        loss_fn: loss_fn(model(inputs), targets), for batches that are pairs; not needed with `step`.
        step: step(model, batch) -> loss.

    Raises:
        ValueError: neither of the two.
    """
    device = next(model.parameters()).device
    if step is None:
        if loss_fn is None:
            raise InvalidValue("give loss_fn, or step(model, batch) -> loss")
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


def watched(step: Step, *, name: str, expected: str) -> Step:
    """The same step, with its results checked, and what it raises on the first batch explained.

    Args:
        step: the step.
        name: what to call it: "loss_fn my_loss with model Net".
        expected: how it is called: "loss_fn(model(inputs), targets)".
    """
    first = True

    def take_step(model: Any, batch: Any) -> Tensor:
        nonlocal first
        if not first:
            return checked_loss(step(model, batch), name=name)
        try:
            loss = step(model, batch)
        except Exception as error:
            if type(error).__module__ != "builtins" or _out_of_memory(error):
                raise  # a class of the user's own, or of a library's, says more
            raise StepError(
                f"{name} failed on the first batch, {described(batch)}, in {expected}: {type(error).__name__}: {error}"
            ) from error
        first = False
        return checked_loss(loss, name=name)

    return take_step


def checked_loss(loss: Any, *, name: str) -> Tensor:
    """The loss as it is; SKIPPED is none, and may come in its place.

    Raises:
        StepError: it is no tensor with one number, or has no gradient.
    """
    if loss is SKIPPED:
        return loss
    if not isinstance(loss, Tensor):
        hint = "; return its .loss" if hasattr(loss, "loss") else ""
        raise StepError(
            f"{name} must return the loss, a tensor with one number; it returned {described(loss)}{hint}"
        )
    if loss.numel() != 1:
        raise StepError(
            f"{name}: the loss must be one number; got a tensor of shape {tuple(loss.shape)}: take its mean or sum"
        )
    if not loss.requires_grad:
        why = (
            "it must depend on parameters of the model that require gradients, without .detach(), .item() or "
            "torch.no_grad() on the way"
            if torch.is_grad_enabled()
            else "gradients are switched off here: call range_test outside of torch.no_grad() and inference_mode()"
        )
        raise StepError(f"{name}: the loss has no gradient: {why}")
    return loss


def _out_of_memory(error: BaseException) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or "memory" in str(error).lower()


def check_trainable(model: Any, optimizer: Optimizer) -> None:
    """Refuse what no range test can train, before anything is touched.

    Raises:
        ValueError: no module, one without values (on the meta device), an optimizer that was built for another model
            or for this one before its parameters were replaced, or one that can't be ramped.
    """
    if not isinstance(model, nn.Module):
        raise InvalidValue(
            f"model must be a torch.nn.Module; got {described(model)}: tensors outside any module (a picture, "
            "a prompt) are one as torch.nn.ParameterList([parameter]), with step(model, batch) -> loss; build the "
            "optimizer from its parameters()"
        )
    if not hasattr(optimizer, "param_groups"):
        raise InvalidValue(f"optimizer must be a torch.optim.Optimizer; got {described(optimizer)}")
    parameters = list(model.parameters())
    if any(parameter.is_meta for parameter in parameters):
        raise InvalidValue(
            f"{type(model).__name__} is on the meta device, where parameters have no values: give it some first, with "
            "model.to_empty(device=...) and its own initialisation, or by loading a checkpoint"
        )
    held = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    if not any(id(parameter) in held for parameter in parameters):
        raise InvalidValue(
            f"the optimizer holds none of the parameters of the model ({type(model).__name__}), so that no step would "
            "change it: build it from model.parameters() of this very model, after whatever replaces them. To train a "
            "tensor outside of it (a picture, a prompt) give torch.nn.ParameterList([parameter]) as the model"
        )
    name = type(optimizer).__name__
    if (why := REFUSED.get(name.lower())) is not None:
        raise InvalidValue(f"{name} can't be ramped: {why}")
    closure = inspect.signature(optimizer.step).parameters.get("closure")
    if closure is not None and closure.default is inspect.Parameter.empty:
        raise InvalidValue(
            f"{name} can't be ramped: its step needs a closure, which evaluates the loss again, so that one step "
            "has no one loss to put against its LR"
        )
