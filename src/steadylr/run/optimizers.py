"""The optimizers: torch's, by name, with parameter groups by name pattern."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from steadylr.run.names import check_kwargs, did_you_mean, keyword_names

NEED_MORE = frozenset({"Optimizer", "LBFGS", "SparseAdam"})
"""Optimizers that want a closure or sparse gradients, which a range test does not give."""

Group = tuple[str, float, "float | None"]
"""A pattern of parameter names, the multiplier of their LR, their weight decay (None: the common one)."""


def optimizer_classes() -> dict[str, type[Optimizer]]:
    """The offered optimizers by lower-case name: sgd, adamw, rmsprop and the rest of torch.optim."""
    return {
        name.lower(): value
        for name, value in vars(torch.optim).items()
        if isinstance(value, type) and issubclass(value, Optimizer) and name not in NEED_MORE
    }


def build_optimizer(
    name: str,
    model: nn.Module,
    *,
    lr: float,
    weight_decay: float = 0.0,
    kwargs: Mapping[str, Any] | None = None,
    groups: Sequence[Group] = (),
) -> tuple[Optimizer, tuple[float, ...]]:
    """Build an optimizer over the trainable parameters of a model.

    Args:
        name: a class of torch.optim, in any case: sgd, adamw, rmsprop, ...
        model: its parameters with requires_grad are trained.
        lr: the LR of a group with multiplier 1, finite and above 0.
        weight_decay: of all groups that set none of their own, finite and at least 0.
        kwargs: further arguments of the class, such as {"momentum": 0.9}.
        groups: (pattern, multiplier, weight decay or None). The pattern (of fnmatch: * and ?) is matched
            against the full parameter names; the first that matches wins. Parameters that none matches form a
            group of their own, the first, with multiplier 1.

    Returns:
        The optimizer, and the multiplier of each of its groups: what range_test takes as lr_ratios.

    Raises:
        ValueError: an unknown name or argument (with the nearest ones), a pattern that matches nothing, a
        value
            outside its range, or a model without trainable parameters.
    """
    classes = optimizer_classes()
    if name.lower() not in classes:
        raise ValueError(
            f"optimizer.name={name!r} is not known; {did_you_mean(name.lower(), sorted(classes))}"
        )
    chosen = classes[name.lower()]
    allowed = keyword_names(chosen, without={"params", "lr", "weight_decay"})
    check_kwargs(kwargs or {}, allowed, key="optimizer.kwargs")
    _check_number("lr", lr, above_zero=True)
    _check_number("weight_decay", weight_decay)
    decays = "weight_decay" in keyword_names(chosen)
    if not decays and (weight_decay or any(decay for _, _, decay in groups)):
        raise ValueError(f"optimizer.weight_decay must be 0 for {name}: it has no weight decay")
    parts, ratios = _split(model, groups, lr=lr)
    arguments = dict(kwargs or {}) | ({"weight_decay": weight_decay} if decays else {})
    arguments = {key: tuple(v) if isinstance(v, list) else v for key, v in arguments.items()}
    try:
        return chosen(parts, lr=lr, **arguments), ratios  # type: ignore[call-arg]
    except (TypeError, ValueError) as error:
        raise ValueError(f"optimizer.name={name} refuses {arguments}: {error}") from error


def _split(
    model: nn.Module, groups: Sequence[Group], *, lr: float
) -> tuple[list[dict[str, Any]], tuple[float, ...]]:
    named = [(name, value) for name, value in model.named_parameters() if value.requires_grad]
    if not named:
        raise ValueError("the model has no parameter to train: all are frozen")
    members: list[list[nn.Parameter]] = [[] for _ in groups]
    rest: list[nn.Parameter] = []
    for name, value in named:
        first = next((i for i, (pattern, _, _) in enumerate(groups) if fnmatchcase(name, pattern)), None)
        (rest if first is None else members[first]).append(value)
    parts: list[dict[str, Any]] = [{"params": rest, "lr": lr}] if rest else []
    ratios = [1.0] if rest else []
    for position, ((pattern, multiplier, decay), values) in enumerate(zip(groups, members, strict=True)):
        _check_number(f"groups[{position}].lr_mult", multiplier, above_zero=True)
        if not values:
            raise ValueError(_no_match(model, pattern, position, [name for name, _ in named]))
        part: dict[str, Any] = {"params": values, "lr": lr * multiplier}
        if decay is not None:
            _check_number(f"groups[{position}].weight_decay", decay)
            part["weight_decay"] = decay
        parts.append(part)
        ratios.append(float(multiplier))
    return parts, tuple(ratios)


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
        raise ValueError(
            f"optimizer.{key} must be finite and {'above' if above_zero else 'at least'} 0; got {value!r}"
        )
