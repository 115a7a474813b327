"""The losses: each takes the model's outputs and the class numbers, and gives one number."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from steadylr.run.names import check_kwargs, did_you_mean

Loss = Callable[[Tensor, Tensor], Tensor]


class OneHotMSE(nn.Module):
    """Mean squared error between the outputs and the one-hot targets.

        mean over samples and classes of (output - [class == target])^2

    outputs: float of shape (n, num_classes); targets: int64 of shape (n,).
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The loss of one batch, a tensor of shape ()."""
        wanted = functional.one_hot(targets, self.num_classes).to(outputs.dtype)
        return functional.mse_loss(outputs, wanted)


def _cross_entropy(_num_classes: int, *, label_smoothing: float = 0.0) -> Loss:
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"loss.label_smoothing must be from 0 to 1; got {label_smoothing!r}")
    return nn.CrossEntropyLoss(label_smoothing=label_smoothing)


LOSSES: dict[str, tuple[Callable[..., Loss], frozenset[str]]] = {
    "cross_entropy": (_cross_entropy, frozenset({"label_smoothing"})),
    "mse": (OneHotMSE, frozenset()),
}
"""From a name to what builds the loss, and the keyword arguments that it takes."""


def build_loss(name: str, *, num_classes: int, kwargs: Mapping[str, Any] | None = None) -> Loss:
    """Build a loss by name.

    Args:
        name: "cross_entropy" (label_smoothing from 0 to 1) or "mse" (against one-hot targets).
        num_classes: number of classes, at least 1.
        kwargs: keyword arguments of the loss.

    Raises:
        ValueError: an unknown name or argument (with the nearest ones), or a value outside its range.
    """
    if name not in LOSSES:
        raise ValueError(f"loss.name={name!r} is not known; {did_you_mean(name, list(LOSSES))}")
    build, allowed = LOSSES[name]
    check_kwargs(kwargs or {}, allowed, key="loss")
    return build(num_classes, **dict(kwargs or {}))


@torch.no_grad()
def mean_loss(model: nn.Module, batches: Any, loss_fn: Loss) -> Tensor:
    """The mean loss over batches of (inputs, targets), each sample weighing the same; a tensor of shape ().

    Runs the model in the mode that it is in, on its own device, without gradients.

    Raises:
        ValueError: no batches.
    """
    from steadylr.run.fabric import move_data_to_device

    device = next(model.parameters()).device
    total: Tensor | None = None
    count = 0
    for batch in batches:
        inputs, targets = move_data_to_device(batch, device)
        part = loss_fn(model(inputs), targets).detach() * len(targets)
        total = part if total is None else total + part
        count += len(targets)
    if total is None:
        raise ValueError("there must be at least one batch to take the mean loss of")
    return total / count
