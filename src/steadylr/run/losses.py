"""Losses: from a model's outputs and the class numbers to one number, and its mean over many batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from steadylr.errors import InvalidValue

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
        samples = num_samples(inputs, targets)
        part = loss_fn(model(inputs), targets).detach() * samples
        total = part if total is None else total + part
        count += samples
    if total is None:
        raise InvalidValue("there must be at least one batch to take the mean loss of")
    return total / count


def num_samples(inputs: Any, targets: Any) -> int:
    """How many samples a batch has: the length of its targets, or of the first tensor in it where they are several.

    A dict or list of targets has as many entries as there are kinds of target, which says nothing of the samples.
    """
    if isinstance(targets, Mapping | list | tuple):
        tensors = (tensor for part in (inputs, targets) for tensor in _tensors(part) if tensor.ndim)
        if (first := next(tensors, None)) is not None:
            return len(first)
    return len(targets)


def _tensors(value: Any) -> Iterator[Tensor]:
    """The tensors in a batch, in whatever mappings and lists."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping | list | tuple):
        for part in value.values() if isinstance(value, Mapping) else value:
            yield from _tensors(part)
