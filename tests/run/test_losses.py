from __future__ import annotations

import pytest
import torch
from torch import nn

from steadylr.run.losses import OneHotMSE, mean_loss, num_samples


def test_mse_is_against_one_hot_targets() -> None:
    """All-zero outputs for n classes: one error of 1 among n, so 1 / n."""
    loss = OneHotMSE(5)
    assert loss(torch.zeros(3, 5), torch.tensor([0, 4, 2])).item() == pytest.approx(1 / 5)
    assert loss(torch.eye(5), torch.arange(5)).item() == 0


def test_the_mean_loss_weighs_samples_not_batches() -> None:
    """A smaller last batch counts by its samples."""
    model = nn.Linear(1, 1)
    nn.init.ones_(model.weight)
    nn.init.zeros_(model.bias)

    def loss(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return outputs.mean()

    batches = [(torch.ones(3, 1), torch.zeros(3)), (torch.full((1, 1), 5.0), torch.zeros(1))]
    assert mean_loss(model, batches, loss).item() == pytest.approx(2.0)
    with pytest.raises(ValueError, match="at least one batch"):
        mean_loss(model, [], loss)


def test_the_mean_loss_counts_samples_where_targets_are_several() -> None:
    """A batch has as many samples as its tensors have rows, however many kinds of target there are."""
    model = nn.Linear(1, 1)
    batches = [(torch.ones(n, 1), {"a": torch.zeros(n), "b": torch.zeros(n)}) for n in (3, 1)]
    losses = iter([1.0, 5.0])
    assert mean_loss(model, batches, lambda *_: torch.tensor(next(losses))).item() == pytest.approx(2.0)
    assert num_samples([torch.ones(3)], [{"boxes": torch.zeros(5, 4)}] * 2) == 3
    assert num_samples(["a", "b"], ["x", "y"]) == 2
