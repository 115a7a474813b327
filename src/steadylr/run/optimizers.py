"""The optimizers by name: torch's, some packages', the user's own; with parameter groups by name pattern."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from steadylr.run.extras import needed
from steadylr.run.muon import MuonWithAdamW, muon_takes, split_groups
from steadylr.run.names import check_kwargs, did_you_mean, keyword_names
from steadylr.run.optimizer_facts import CLASS_OF, EXTRA, PACKAGE_OF, REFUSED

Group = tuple[str, float, "float | None"]
"""A pattern of parameter names, the multiplier of their LR, their weight decay (None: the common one)."""


def optimizer_classes() -> dict[str, type[Optimizer]]:
    """The offered optimizers of torch by lower-case name: sgd, adamw, rmsprop and the rest of torch.optim.

    muon stands for MuonWithAdamW, as torch's own takes matrices only.
    """
    found = {
        name.lower(): value
        for name, value in vars(torch.optim).items()
        if isinstance(value, type) and issubclass(value, Optimizer) and value is not Optimizer
    }
    if "muon" in found:
        found["muon"] = MuonWithAdamW
    return {name: value for name, value in found.items() if name not in REFUSED}


def _named_optimizer(name: str) -> type[Optimizer]:
    """The class that a name in a config stands for.

    Raises:
        ValueError: an unknown name, or an optimizer that can't be ramped.
        MissingPackage: the package that ships it isn't installed.
    """
    folded = name.lower()
    if folded in REFUSED:
        raise ValueError(f"optimizer.name={name} can't be ramped: {REFUSED[folded]}")
    if folded in PACKAGE_OF:
        package = needed(PACKAGE_OF[folded], extra=EXTRA, by=f"optimizer.name={name}")
        found: type[Optimizer] = getattr(package, CLASS_OF[folded])
        return found
    classes = optimizer_classes()
    if folded not in classes:
        hint = did_you_mean(folded, sorted({*classes, *PACKAGE_OF}))
        raise ValueError(f"optimizer.name={name!r} is not known; {hint}")
    return classes[folded]


def build_optimizer(
    name: str,
    model: nn.Module,
    *,
    lr: float,
    weight_decay: float = 0.0,
    kwargs: Mapping[str, Any] | None = None,
    groups: Sequence[Group] = (),
    own: Callable[..., Optimizer] | None = None,
) -> tuple[Optimizer, tuple[float, ...]]:
    """Build an optimizer over the trainable parameters of a model.

    A schedule-free one is put into train mode. With muon, matrices go to Muon and all else to AdamW in groups of
    their own, at kwargs["adamw_lr_mult"] (1 unless given) times the LR.

    Args:
        name: a class of torch.optim, in any case: sgd, adamw, rmsprop, ...; or one of optimizer_facts.PACKAGE_OF.
        model: its parameters with requires_grad are trained.
        lr: the LR of a group with multiplier 1, finite and above 0.
        weight_decay: of all groups that set none of their own, finite and at least 0.
        kwargs: further arguments of the class, such as {"momentum": 0.9}. Of muon also adamw_lr_mult, and
            adamw_names: patterns of names of matrices that go to AdamW as well.
        groups: (pattern, multiplier, weight decay or None). The pattern (of fnmatch: * and ?) is matched
            against the full parameter names; the first that matches wins. Parameters that none matches form a
            group of their own, the first, with multiplier 1.
        own: the user's class (or function), called with parameter groups, lr, kwargs, and weight_decay where it
            takes one; then `name` is only what it is called.

    Returns:
        The optimizer, and the multiplier of each of its groups: what range_test takes as lr_ratios.

    Raises:
        ValueError: an unknown name or argument (with the nearest ones), an optimizer that can't be ramped, a pattern
            that matches nothing, a value outside its range, or a model without trainable parameters.
        MissingPackage: the package that ships it isn't installed.
    """
    chosen: Callable[..., Optimizer] = _named_optimizer(name) if own is None else own
    arguments: dict[str, Any] = {
        key: tuple(v) if isinstance(v, list) else v for key, v in (kwargs or {}).items()
    }
    taken = _keywords(chosen)
    if own is None:
        allowed = taken - {"params", "lr", "weight_decay"}
        check_kwargs(arguments, allowed, key="optimizer.kwargs")
    _check_number("lr", lr, above_zero=True)
    _check_number("weight_decay", weight_decay)
    decays = "weight_decay" in taken
    if not decays and (weight_decay or any(decay for _, _, decay in groups)):
        raise ValueError(f"optimizer.weight_decay must be 0 for {name}: it has no weight decay")
    parts, ratios = _split(model, groups, lr=lr)
    if chosen is MuonWithAdamW:
        multiple = float(arguments.pop("adamw_lr_mult", 1.0))
        _check_number("kwargs.adamw_lr_mult", multiple, above_zero=True)
        matrices = muon_takes(model, adamw_names=arguments.pop("adamw_names", ()))
        parts, ratios = split_groups(parts, ratios, matrices=matrices, adamw_lr_mult=multiple)
    arguments |= {"weight_decay": weight_decay} if decays else {}
    try:
        optimizer = chosen(parts, lr=lr, **arguments)
    except (TypeError, ValueError) as error:
        raise ValueError(f"optimizer.name={name} refuses {arguments}: {error}") from error
    if not isinstance(optimizer, Optimizer):
        raise ValueError(f"optimizer.name={name} must give a torch.optim.Optimizer; it gave {optimizer!r}")
    if len(optimizer.param_groups) != len(ratios):
        raise ValueError(
            f"optimizer.name={name} made {len(optimizer.param_groups)} parameter groups of the {len(ratios)} that "
            "it was given: it must keep them, so that each trains at its own multiple of the LR"
        )
    return optimizer, ratios


def _keywords(chosen: Callable[..., Optimizer]) -> frozenset[str]:
    """What an optimizer takes as keywords; with muon also what torch's Muon does."""
    if chosen is not MuonWithAdamW:
        return keyword_names(chosen)
    return keyword_names(MuonWithAdamW) | keyword_names(torch.optim.Muon) | {"adamw_lr_mult", "adamw_names"}


def set_train_mode(optimizer: Optimizer, *, train: bool) -> None:
    """Put an optimizer that has modes (a schedule-free one) into the one for training or for evaluation."""
    change = getattr(optimizer, "train" if train else "eval", None)
    if callable(change):
        change()


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
