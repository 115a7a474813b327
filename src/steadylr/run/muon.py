"""Muon for whole models: torch's Muon moves the matrices, AdamW all other parameters, as one optimizer."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from steadylr.errors import InvalidValue
from steadylr.run.extras import MissingPackage
from steadylr.run.names import check_kwargs, keyword_names

BETAS = (0.9, 0.999)


def muon_takes(model: nn.Module, *, adamw_names: Iterable[str] = ()) -> set[int]:
    """The ids of the parameters that Muon is made for: matrices of a model, less those of embeddings.

    Args:
        model: the model.
        adamw_names: patterns (of fnmatch: * and ?) of full parameter names that go to AdamW all the same.

    Raises:
        ValueError: a pattern that matches no parameter.

    Reference: K. Jordan et al., "Muon: an optimizer for hidden layers in neural networks" (2024),
    https://kellerjordan.github.io/posts/muon/ (which leaves the output layer to AdamW too: name it).
    """
    patterns = list(adamw_names)
    names = [name for name, _ in model.named_parameters()]
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise InvalidValue(f"optimizer.adamw_names: the pattern {pattern!r} matches no parameter")
    embedded = {
        id(parameter)
        for module in model.modules()
        if isinstance(module, nn.Embedding | nn.EmbeddingBag)
        for parameter in module.parameters(recurse=False)
    }
    return {
        id(parameter)
        for name, parameter in model.named_parameters()
        if parameter.ndim == 2
        and id(parameter) not in embedded
        and not any(fnmatchcase(name, pattern) for pattern in patterns)
    }


def muon(
    params: Iterable[dict[str, Any]],
    lr: float,
    *,
    model: nn.Module,
    weight_decay: float = 0.1,
    adamw_lr_mult: float = 1.0,
    adamw_names: Iterable[str] = (),
    **kwargs: Any,
) -> MuonWithAdamW:
    """Muon for the matrices of a model, AdamW for all else, in parameter groups of their own.

    Args:
        params: parameter groups of the model, each with its lr (and its lr_ratio, see `build_optimizer`).
        lr: of groups that set none, finite and above 0.
        model: whose parameters these are.
        weight_decay: of groups that set none, decoupled in both.
        adamw_lr_mult: LR of AdamW over Muon's, finite and above 0.
        adamw_names: patterns of names of matrices that go to AdamW as well.
        kwargs: of MuonWithAdamW.

    Raises:
        ValueError: a pattern that matches nothing, an unknown argument, a multiple outside its range, or a model
            without matrices.
        MissingPackage: this torch has no Muon.
    """
    if not hasattr(torch.optim, "Muon"):
        raise MissingPackage(f"optimizer=muon needs torch 2.9 or newer; this is {torch.__version__}")
    allowed = keyword_names(MuonWithAdamW) | keyword_names(torch.optim.Muon)
    check_kwargs(kwargs, allowed - {"params", "lr", "weight_decay"}, key="optimizer")
    if not (math.isfinite(adamw_lr_mult) and adamw_lr_mult > 0):
        raise InvalidValue(f"optimizer.adamw_lr_mult must be finite and above 0; got {adamw_lr_mult!r}")
    matrices = muon_takes(model, adamw_names=adamw_names)
    groups = split_groups(params, matrices=matrices, adamw_lr_mult=float(adamw_lr_mult))
    return MuonWithAdamW(groups, lr=lr, weight_decay=weight_decay, **kwargs)


class MuonWithAdamW(Optimizer):
    """torch's Muon and AdamW as one optimizer: one step of it is a step of each.

    Args:
        params: parameter groups; those with use_muon=True hold matrices only and go to Muon, the others to AdamW.
        lr: of groups that set none.
        weight_decay: of groups that set none, decoupled in both.
        adamw_betas, adamw_eps: of AdamW.
        kwargs: further arguments of torch.optim.Muon.

    Raises:
        ValueError: no group for Muon.
    """

    def __init__(
        self,
        params: Iterable[dict[str, Any]],
        lr: float = 1e-3,
        weight_decay: float = 0.1,
        adamw_betas: tuple[float, float] = BETAS,
        adamw_eps: float = 1e-8,
        **kwargs: Any,
    ) -> None:
        groups = [dict(group) for group in params]
        if not any(group["use_muon"] for group in groups):
            raise ValueError(
                "Muon moves matrices, and the model has none outside of embeddings: take optimizer=adamw"
            )
        parts = [
            {"lr": lr, "weight_decay": weight_decay, **_without_flag(group), "use_muon": group["use_muon"]}
            for group in groups
        ]
        self._muon = torch.optim.Muon(
            [part for part in parts if part["use_muon"]], lr=lr, weight_decay=weight_decay, **kwargs
        )
        rest = [part for part in parts if not part["use_muon"]]
        self._adamw = (
            AdamW(rest, lr=lr, weight_decay=weight_decay, betas=adamw_betas, eps=adamw_eps) if rest else None
        )
        super().__init__(
            self._muon.param_groups + (self._adamw.param_groups if self._adamw else []), {"lr": lr}
        )
        self._share()

    def _share(self) -> None:
        """Let both optimizers work on the groups and the state of this one."""
        self.state = defaultdict(dict, self.state)
        for inner, muon in ((self._muon, True), (self._adamw, False)):
            if inner is not None:
                inner.state = self.state
                inner.param_groups = [group for group in self.param_groups if group["use_muon"] is muon]

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_muon": self._muon, "_adamw": self._adamw}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._share()

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """A step of Muon, then one of AdamW.

        Args:
            closure: evaluates the model once more; its loss is returned.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        self._muon.step()  # type: ignore[no-untyped-call]
        if self._adamw is not None:
            self._adamw.step()
        return loss


def _without_flag(group: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in group.items() if name != "use_muon"}


def split_groups(
    params: Iterable[dict[str, Any]], *, matrices: set[int], adamw_lr_mult: float
) -> list[dict[str, Any]]:
    """Split each parameter group into what Muon moves and what AdamW moves, the latter at a multiple of the LR.

    Args:
        params: the groups, each with params and lr, and lr_ratio: its LR over that of the ramp.
        matrices: ids of the parameters for Muon.
        adamw_lr_mult: LR of AdamW over Muon's, above 0.
    """
    split: list[dict[str, Any]] = []
    for group in params:
        for takes_muon, factor in ((True, 1.0), (False, adamw_lr_mult)):
            members: list[Tensor] = [p for p in group["params"] if (id(p) in matrices) is takes_muon]
            if members:
                scaled: dict[str, Any] = {
                    name: group[name] * factor for name in ("lr", "lr_ratio") if name in group
                }
                split.append({**group, **scaled, "params": members, "use_muon": takes_muon})
    return split
