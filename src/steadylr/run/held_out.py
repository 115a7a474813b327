"""Validation data: which samples of it are looked at, and the loss over them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset

from steadylr.errors import InvalidValue
from steadylr.run.losses import mean_loss
from steadylr.run.steps import SKIPPED
from steadylr.run.training_data import TrainingData, collated, is_dataset


def validation_batches(data: TrainingData, *, size: int, batch_size: int) -> Iterable[Any] | None:
    """Batches of the validation data, or None where there are none.

    Of a data set `size` samples, spread evenly over it (all when there are fewer); of a loader all batches.

    Raises:
        ValueError: a size or batch size below 1.
    """
    if size < 1 or batch_size < 1:
        raise InvalidValue(f"size and batch_size must be at least 1; got {size} and {batch_size}")
    held_out: Iterable[Any] | None = data.validation
    if held_out is None or not is_dataset(held_out):
        return held_out
    dataset: Any = held_out
    count = min(size, len(dataset))
    chosen = [position * len(dataset) // count for position in range(count)]
    return DataLoader(
        Subset(dataset, chosen),
        batch_size=batch_size,
        collate_fn=lambda samples: collated(dataset, samples, path=data.path),
        generator=torch.Generator(),
    )


def validation_of(
    batches: Iterable[Any],
    *,
    loss_fn: Callable[[Any, Any], Tensor] | None,
    step: Callable[[Any, Any], Tensor] | None,
) -> Callable[[nn.Module], Tensor]:
    """validate(model) -> mean loss over batches: with a loss_fn each sample weighs the same, with a step each batch."""
    if step is None:
        assert loss_fn is not None
        return lambda model: mean_loss(model, batches, loss_fn)
    return lambda model: _mean_of_steps(model, batches, step)


@torch.no_grad()
def _mean_of_steps(model: nn.Module, batches: Iterable[Any], step: Callable[[Any, Any], Tensor]) -> Tensor:
    from steadylr.run.fabric import move_data_to_device

    device = next(model.parameters()).device
    found = (step(model, move_data_to_device(batch, device)) for batch in batches)
    losses = [loss.detach() for loss in found if loss is not SKIPPED]
    if not losses:
        raise InvalidValue("there must be at least one batch to take the mean loss of")
    return torch.stack(losses).mean()
