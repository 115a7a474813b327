"""Borrowing models and optimizers: whatever is done with them, they come back as they were."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.amp import GradScaler
from torch.optim import Optimizer

from steadylr.run.randomness import GeneratorStates
from steadylr.run.updates import scaler_of

_Restore = Callable[[], Any]


Lent = nn.Module | Optimizer | GradScaler
"""What can be borrowed."""


@contextmanager
def borrowed(*lent: Lent) -> Iterator[None]:
    """Within this context train at will; after it models, optimizers and random generators are as they were.

    Restored, also after an exception or an interrupt: parameters and buffers, an optimizer's state (none, if
    it had none) and its groups, the train or eval mode of every module, gradients, the scale of a gradient
    scaler, and the global random generators of torch, Python and NumPy. Values are put back in place: tensors
    keep identity and address. The copies lie in host memory. On a CPU gradients are set aside, not copied.

    Args:
        lent: models, optimizers and gradient scalers; that of Fabric comes with the optimizer.

    Raises:
        ValueError: a model with lazy parameters, which have no values yet to go back to.
        TypeError: something that is no model, optimizer or gradient scaler.
    """
    put_back = saved(*lent)
    generators = GeneratorStates.now()
    gradients = _taken_gradients(lent)
    try:
        yield
    finally:
        put_back()
        for restore in gradients:
            restore()
        generators.restore()


def saved(*lent: Lent) -> Callable[[], None]:
    """Note how models, optimizers and gradient scalers are now; calling what it gives puts them back.

    That can be done any number of times. Gradients and random generators are left alone: see borrowed, also for
    the errors.
    """
    restores = [restore for each in lent for restore in _saved(each)]
    restores += _saved_outsiders(lent)

    def put_back() -> None:
        for restore in restores:
            restore()

    return put_back


def _saved(lent: Lent) -> list[_Restore]:
    if isinstance(lent, nn.Module):
        return _saved_modules(lent)
    if isinstance(lent, GradScaler):
        return _saved_scaler(lent)
    if hasattr(lent, "param_groups"):
        return _saved_optimizer(lent)
    raise TypeError(f"models, optimizers and gradient scalers can be lent; got {type(lent).__name__}")


def _saved_outsiders(lent: Iterable[Lent]) -> list[_Restore]:
    """The parameters that only an optimizer knows, such as those of a loss."""
    inside = {id(p) for each in lent if isinstance(each, nn.Module) for p in each.parameters()}
    outside = {id(p): p for each in lent for p in _parameters(each) if id(p) not in inside}
    return [_saved_tensor(parameter) for parameter in outside.values()]


def _saved_modules(model: nn.Module) -> list[_Restore]:
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if nn.parameter.is_lazy(tensor):
            raise ValueError(
                f"{name!r} is a lazy parameter: run one batch through the model before lending it"
            )
    restores: list[_Restore] = []
    seen: dict[int, _Restore] = {}
    for module in model.modules():
        restores.append(_saved_mode(module))
        restores += [_saved_slots(module._parameters, seen), _saved_slots(module._buffers, seen)]
    return [*restores, *seen.values()]


def _saved_mode(module: nn.Module) -> _Restore:
    training = module.training

    def restore() -> None:
        module.training = training  # not .train(), which would reach the children

    return restore


def _saved_slots(slots: dict[str, Any], seen: dict[int, _Restore]) -> _Restore:
    """Note which tensors a module holds; tensors held twice (tied weights) are copied once, into `seen`."""
    held = dict(slots)
    for tensor in held.values():
        if tensor is not None and id(tensor) not in seen:
            seen[id(tensor)] = _saved_tensor(tensor)

    def restore() -> None:
        slots.clear()
        slots.update(held)

    return restore


def _saved_tensor(tensor: Tensor) -> _Restore:
    local = _local(tensor)
    if any(stride == 0 and size > 1 for stride, size in zip(local.stride(), local.shape, strict=True)):
        return lambda: tensor  # an expanded tensor: nothing can write to it in place
    values = local.detach().to("cpu", copy=True)

    def restore() -> Tensor:
        with torch.no_grad():
            _local(tensor).copy_(values)
        return tensor

    return restore


def _local(tensor: Tensor) -> Tensor:
    """The part of a sharded tensor that lies in this process; any other tensor itself."""
    to_local = getattr(tensor, "to_local", None)
    if to_local is None:
        return tensor.detach()
    part: Tensor = to_local()
    return part.detach()


def _saved_optimizer(optimizer: Optimizer) -> list[_Restore]:
    return [
        _saved_value(optimizer.state),
        *map(_saved_group, optimizer.param_groups),
        _saved_groups(optimizer),
        *_saved_scaler(scaler_of(optimizer)),
    ]


def _saved_group(group: dict[str, Any]) -> _Restore:
    settings = {key: _saved_value(value) for key, value in group.items() if key != "params"}
    parameters = group["params"]
    members = list(parameters)

    def restore() -> None:
        values = {key: put_back() for key, put_back in settings.items()}
        parameters[:] = members
        group.clear()
        group["params"] = parameters
        group.update(values)

    return restore


def _saved_groups(optimizer: Optimizer) -> _Restore:
    groups = optimizer.param_groups
    members = list(groups)

    def restore() -> None:
        groups[:] = members

    return restore


def _saved_value(value: Any) -> _Restore:
    """What brings a value back as it is now: tensors, dicts and lists in place, anything else as a copy."""
    if isinstance(value, Tensor):
        return _saved_tensor(value)
    if isinstance(value, dict):
        return _saved_dict(value)
    if isinstance(value, list):
        return _saved_list(value)
    if type(value) is tuple:
        parts = [_saved_value(part) for part in value]
        return lambda: tuple(part() for part in parts)
    kept = copy.deepcopy(value)
    return lambda: copy.deepcopy(kept)


def _saved_dict(value: dict[Any, Any]) -> _Restore:
    parts = {key: _saved_value(part) for key, part in value.items()}

    def restore() -> dict[Any, Any]:
        restored = {key: part() for key, part in parts.items()}
        value.clear()
        value.update(restored)
        return value

    return restore


def _saved_list(value: list[Any]) -> _Restore:
    parts = [_saved_value(part) for part in value]

    def restore() -> list[Any]:
        value[:] = [part() for part in parts]
        return value

    return restore


def _saved_scaler(scaler: GradScaler | None) -> list[_Restore]:
    """All that a scaler holds, also what an exception between its calls would leave behind."""
    if scaler is None:
        return []
    attributes = vars(scaler)
    held = dict(attributes)  # numbers, or objects that are no state of its own, such as a process group
    parts = {key: _saved_value(value) for key, value in held.items() if isinstance(value, Tensor | dict)}

    def restore() -> None:
        attributes.clear()
        attributes.update(held | {key: part() for key, part in parts.items()})

    return [restore]


def _taken_gradients(lent: Iterable[Lent]) -> list[_Restore]:
    """Take all gradients off their parameters, and give what puts them back."""
    parameters = {id(parameter): parameter for each in lent for parameter in _parameters(each)}
    return [_taken_gradient(parameter) for parameter in parameters.values()]


def _parameters(lent: Lent) -> Iterator[Tensor]:
    if isinstance(lent, nn.Module):
        yield from lent.parameters()
    elif not isinstance(lent, GradScaler):
        yield from (parameter for group in lent.param_groups for parameter in group["params"])


def _taken_gradient(parameter: Tensor) -> _Restore:
    gradient = parameter.grad
    kept = gradient if gradient is None or gradient.device.type == "cpu" else gradient.to("cpu")
    device = None if gradient is None else gradient.device
    parameter.grad = None

    def restore() -> None:
        parameter.grad = None if kept is None else kept.to(device)

    return restore
