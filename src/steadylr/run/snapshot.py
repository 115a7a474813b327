"""Snapshots of models and optimizers: whatever is done with them, they come back as they were."""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.amp import GradScaler
from torch.optim import Optimizer

from steadylr.run.randomness import GeneratorStates

Stateful = nn.Module | Optimizer | GradScaler
"""What is trained, or trains, and can be given back as it was."""

_Restore = Callable[[], Any]


@contextmanager
def restored(*parts: Stateful) -> Iterator[None]:
    """Within this context train at will; after it models, optimizers and random generators are as they were.

    Restored, also after an exception or an interrupt: parameters and buffers, an optimizer's state (none, if
    it had none) and its groups, the train or eval mode of every module, all else that modules and optimizers hold (of
    their attributes the tensors, the numbers and what is in lists, dicts, sets and other optimizers, not what is in
    other objects), gradients, the scale of a gradient scaler, and the global random generators of torch, Python and
    NumPy. Values are put back in place: tensors keep identity and address. The copies lie in host memory. On a CPU
    gradients are set aside, not copied.

    Args:
        parts: models, optimizers and gradient scalers; that of Fabric comes with the optimizer.

    Raises:
        TypeError: something that is no model, optimizer or gradient scaler.
    """
    put_back = snapshot(*parts)
    generators = GeneratorStates.now()
    gradients = _taken_gradients(parts)
    try:
        yield
    finally:
        put_back()
        for restore in gradients:
            restore()
        generators.restore()


def snapshot(*parts: Stateful) -> Callable[[], None]:
    """Note how models, optimizers and gradient scalers are now; calling what it gives puts them back.

    That can be done any number of times. Gradients and random generators are left alone: see restored, also for
    the errors.
    """
    noted = _Noted()
    for part in parts:
        if isinstance(part, nn.Module):
            noted.model(part)
        elif isinstance(part, GradScaler):
            noted.attributes(part)
        elif hasattr(part, "param_groups"):
            noted.optimizer(part)
        else:
            raise TypeError(
                f"models, optimizers and gradient scalers can be given back; got {type(part).__name__}"
            )
    return noted.put_back


@contextmanager
def kept_attributes(*holders: object) -> Iterator[None]:
    """Within this context objects may be changed; after it each has the attributes that it had, with what was in them.

    What is in other objects is not looked at, except for optimizers.
    """
    noted = _Noted()
    for holder in holders:
        noted.attributes(holder)
    try:
        yield
    finally:
        noted.put_back()


def scaler_of(optimizer: Optimizer) -> GradScaler | None:
    """The gradient scaler of 16-bit training that Fabric has wrapped an optimizer with, if any."""
    scaler = getattr(getattr(getattr(optimizer, "_strategy", None), "precision", None), "scaler", None)
    return scaler if isinstance(scaler, GradScaler) else None


class _Noted:
    """What brings objects back in place, each of them once: tied weights, shared lists, a loss's parameters."""

    def __init__(self) -> None:
        self._restores: dict[
            int, tuple[Any, _Restore]
        ] = {}  # with the objects, so that their ids stay theirs

    def put_back(self) -> None:
        """Bring all of them back."""
        with torch.no_grad():
            for _, restore in self._restores.values():
                restore()

    def model(self, model: nn.Module) -> None:
        """Note all that the modules of a model hold."""
        for module in model.modules():
            self._kind(module)
            for held in (*module._parameters.values(), *module._buffers.values()):
                if held is not None:
                    self._tensor(held)
            self.attributes(module)

    def optimizer(self, optimizer: Any) -> None:
        """Note an optimizer: its groups and its state to the last value, all else as attributes."""
        self._value(optimizer.param_groups, whole=True)
        self._value(getattr(optimizer, "state", None), whole=True)
        self.attributes(optimizer)
        if (scaler := scaler_of(optimizer)) is not None:
            self.attributes(scaler)

    def attributes(self, holder: Any, *, whole: bool = False) -> None:
        """Note which attributes an object has, and what is in them."""
        attributes = vars(holder)
        held = dict(attributes)

        def restore() -> None:
            for name in attributes.keys() - held.keys():
                del attributes[name]
            attributes.update(held)

        if self._note(attributes, restore):
            for value in held.values():
                self._value(value, whole=whole)

    def _value(self, value: Any, *, whole: bool = False) -> None:
        """Note what is in a tensor, a container or an optimizer; `whole`: in any other object as well."""
        if nn.parameter.is_lazy(value):
            self._lazy(value)
        elif isinstance(value, Tensor):
            in_place = value.layout == torch.strided and not (value.is_meta or value.is_inference())
            if in_place and value.grad_fn is None:
                self._tensor(value)
        elif isinstance(value, dict | list | set | deque):
            kept = copy.copy(value)
            if self._note(value, lambda: _refill(value, kept)):
                for part in value.values() if isinstance(value, dict) else value:
                    self._value(part, whole=whole)
        elif isinstance(value, tuple):
            for part in value:
                self._value(part, whole=whole)
        elif isinstance(value, Optimizer):
            if id(vars(value)) not in self._restores:
                self.optimizer(value)
        elif whole and isinstance(value, np.ndarray):
            numbers = value.copy()
            self._note(value, lambda: np.copyto(value, numbers))
        elif whole and isinstance(getattr(value, "__dict__", None), dict):
            self.attributes(value, whole=True)

    def _kind(self, module: nn.Module) -> None:
        """Note of which class a lazy layer is: its first batch makes another of it."""
        if isinstance(module, nn.modules.lazy.LazyModuleMixin):
            kind = type(module)
            self._note(module, lambda: setattr(module, "__class__", kind))

    def _lazy(self, tensor: Any) -> None:
        """Note that a parameter or buffer has no values yet: its first batch gives it some, and another class."""
        kind = type(tensor)

        def restore() -> None:
            if type(tensor) is not kind:
                tensor.data = tensor.data.new_empty(0)
                tensor.__class__ = kind

        self._note(tensor, restore)

    def _tensor(self, tensor: Tensor) -> None:
        if nn.parameter.is_lazy(tensor):
            self._lazy(tensor)
            return
        local = _local(tensor)
        if any(stride == 0 and size > 1 for stride, size in zip(local.stride(), local.shape, strict=True)):
            return  # an expanded tensor: nothing can write to it in place
        if id(tensor) not in self._restores:
            values = local.detach().to("cpu", copy=True)
            self._note(tensor, lambda: _local(tensor).copy_(values))

    def _note(self, value: Any, restore: _Restore) -> bool:
        """Note how a value is brought back, unless it is known already: whether it was new."""
        return self._restores.setdefault(id(value), (value, restore))[1] is restore


def _refill(container: dict[Any, Any] | list[Any] | set[Any] | deque[Any], kept: Any) -> None:
    container.clear()
    if isinstance(container, list | deque):
        container.extend(kept)
    else:
        container.update(kept)


def _local(tensor: Tensor) -> Tensor:
    """The part of a sharded tensor that lies in this process; any other tensor itself."""
    to_local = getattr(tensor, "to_local", None)
    if to_local is None:
        return tensor.detach()
    part: Tensor = to_local()
    return part.detach()


def _taken_gradients(parts: Iterable[Stateful]) -> list[_Restore]:
    """Take all gradients off their parameters, and give what puts them back."""
    parameters = {id(parameter): parameter for part in parts for parameter in _parameters(part)}
    return [_taken_gradient(parameter) for parameter in parameters.values()]


def _parameters(part: Stateful) -> Iterator[Tensor]:
    if isinstance(part, nn.Module):
        yield from part.parameters()
    elif not isinstance(part, GradScaler):
        yield from (parameter for group in part.param_groups for parameter in group["params"])


def _taken_gradient(parameter: Tensor) -> _Restore:
    gradient = parameter.grad
    kept = gradient if gradient is None or gradient.device.type == "cpu" else gradient.to("cpu")
    device = None if gradient is None else gradient.device
    parameter.grad = None

    def restore() -> None:
        parameter.grad = None if kept is None else kept.to(device)

    return restore
