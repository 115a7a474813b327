"""An optimizer over the parameters of a model, in groups by name pattern."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from torch import nn
from torch.optim import Optimizer

from steadylr.errors import InvalidValue

Group = tuple[str, float, "float | None"]
"""A pattern of parameter names, the multiplier of their LR, their weight decay (None: the common one)."""

RATIO = "lr_ratio"
"""The key of a parameter group that holds its LR over that of the ramp, while an optimizer is made of it."""


def build_optimizer(
    make: Callable[..., Any], model: nn.Module, *, lr: float, groups: Sequence[Group] = (), called: str
) -> tuple[Optimizer, tuple[float, ...]]:
    """Build an optimizer over the trainable parameters of a model.

    Args:
        make: make(parameter groups, lr=lr) -> an optimizer over these groups; it may split them, and keeps `lr_ratio`
            in each.
        model: its parameters with requires_grad are trained.
        lr: the LR of a group with multiplier 1, finite and above 0.
        groups: (pattern, multiplier, weight decay or None). The pattern (of fnmatch: * and ?) is matched
            against the full parameter names; the first that matches wins. Parameters that none matches form a
            group of their own, the first, with multiplier 1.
        called: the optimizer, for messages.

    Returns:
        The optimizer, and the multiplier of each of its groups: what range_test takes as lr_ratios.

    Raises:
        ValueError: a pattern that matches nothing, a value outside its range, a model without trainable parameters,
            or what is no optimizer over these groups.
    """
    _check_number("lr", lr, above_zero=True)
    parts = _split(model, groups, lr=lr)
    optimizer = make(parts, lr=lr)
    if not isinstance(optimizer, Optimizer):
        raise InvalidValue(f"{called} must give a torch.optim.Optimizer; it gave {optimizer!r}")
    if not all(RATIO in group for group in optimizer.param_groups):
        raise InvalidValue(
            f"{called} made {len(optimizer.param_groups)} parameter groups of the {len(parts)} that it was given: it "
            "must keep them, so that each trains at its own multiple of the LR"
        )
    return optimizer, tuple(group.pop(RATIO) for group in optimizer.param_groups)


def configured_lr(group: Mapping[str, Any]) -> float:
    """The LR that a parameter group was configured with, whatever its scheduler has made of it at the start.

    A OneCycle or cyclic schedule notes its peak, any other schedule the LR that it multiplies.
    """
    return float(group.get("max_lr", group.get("initial_lr", group["lr"])))


def reference_lr(lrs: Sequence[float]) -> float:
    """The LR of a group of ratio 1: the first one above 0; 0 where there is none."""
    return next((lr for lr in lrs if lr > 0), 0.0)


def ratios_of(lrs: Sequence[float]) -> tuple[float, ...]:
    """Each LR over the first one above 0: a group whose LR is 0 stays at 0. One of them must be above 0."""
    reference = reference_lr(lrs)
    return tuple(lr / reference for lr in lrs)


def current_ratios(optimizer: Optimizer) -> tuple[float, ...]:
    """The ratios that the LRs of an optimizer's groups have now.

    Where they are all alike, as under a warm-up that starts at 0, those that they were configured with.

    Warns:
        UserWarning: several groups, all with LR 0, and nothing that tells what they are to have: they get ratio 1.
    """
    lrs = [float(group["lr"]) for group in optimizer.param_groups]
    if math.isclose(min(lrs), max(lrs)):
        lrs = [configured_lr(group) for group in optimizer.param_groups]
    if reference_lr(lrs) > 0:
        return ratios_of(lrs)
    if len(lrs) > 1:
        warnings.warn(
            f"all {len(lrs)} parameter groups have LR 0, which says nothing of their ratios: each trains at the ramp's "
            "LR. Give lr_ratios, one number per group, or LRs above 0",
            stacklevel=5,
        )
    return (1.0,) * len(lrs)


def set_train_mode(optimizer: Optimizer, *, train: bool) -> None:
    """Put an optimizer that has modes (a schedule-free one) into the one for training or for evaluation."""
    change = getattr(optimizer, "train" if train else "eval", None)
    if callable(change):
        change()


def _split(model: nn.Module, groups: Sequence[Group], *, lr: float) -> list[dict[str, Any]]:
    named = [(name, value) for name, value in model.named_parameters() if value.requires_grad]
    if not named:
        raise InvalidValue("the model has no parameter to train: all are frozen")
    members: list[list[nn.Parameter]] = [[] for _ in groups]
    rest: list[nn.Parameter] = []
    for name, value in named:
        first = next((i for i, (pattern, _, _) in enumerate(groups) if fnmatchcase(name, pattern)), None)
        (rest if first is None else members[first]).append(value)
    parts: list[dict[str, Any]] = [{"params": rest, "lr": lr, RATIO: 1.0}] if rest else []
    for position, ((pattern, multiplier, decay), values) in enumerate(zip(groups, members, strict=True)):
        _check_number(f"groups[{position}].lr_mult", multiplier)
        if not values:
            raise InvalidValue(_no_match(model, pattern, position, [name for name, _ in named]))
        part: dict[str, Any] = {"params": values, "lr": lr * multiplier, RATIO: float(multiplier)}
        if decay is not None:
            _check_number(f"groups[{position}].weight_decay", decay)
            part["weight_decay"] = decay
        parts.append(part)
    return parts


def _no_match(model: nn.Module, pattern: str, position: int, trainable: Sequence[str]) -> str:
    start = f"optimizer.groups[{position}]: the pattern {pattern!r} matches no trainable parameter"
    if any(fnmatchcase(name, pattern) for name in trainable):
        return f"{start} that an earlier pattern has not taken; put it before that one"
    if any(fnmatchcase(name, pattern) for name, _ in model.named_parameters()):
        return f"{start}; those that it matches are frozen"
    shown = ", ".join(trainable[:5])
    more = f" and {len(trainable) - 5} more" if len(trainable) > 5 else ""
    return f"{start}; their names are {shown}{more}"


def _check_number(key: str, value: float, *, above_zero: bool = False) -> None:
    if not math.isfinite(value) or value < 0 or (above_zero and value == 0):
        raise InvalidValue(
            f"optimizer.{key} must be finite and {'above' if above_zero else 'at least'} 0; got {value!r}"
        )
