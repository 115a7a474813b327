from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn

from steadylr.run.losses import build_loss, mean_loss


def test_cross_entropy_of_equal_logits_is_the_log_of_the_class_count() -> None:
    """The known answer for a model that knows nothing, with and without smoothing."""
    for kwargs in ({}, {"label_smoothing": 0.1}):
        loss = build_loss("cross_entropy", num_classes=10, kwargs=kwargs)
        assert loss(torch.zeros(4, 10), torch.arange(4)).item() == pytest.approx(math.log(10))


def test_mse_is_against_one_hot_targets() -> None:
    """All-zero outputs for n classes: one error of 1 among n, so 1 / n."""
    loss = build_loss("mse", num_classes=5)
    assert loss(torch.zeros(3, 5), torch.tensor([0, 4, 2])).item() == pytest.approx(1 / 5)
    assert loss(torch.eye(5), torch.arange(5)).item() == 0


@pytest.mark.parametrize(
    ("name", "kwargs", "message"),
    [
        ("crossentropy", {}, r"loss\.name='crossentropy' is not known; did you mean cross_entropy"),
        ("cross_entropy", {"smoothing": 0.1}, r"loss\.smoothing is not known; did you mean label_smoothing"),
        ("cross_entropy", {"label_smoothing": 1.5}, r"loss\.label_smoothing must be from 0 to 1; got 1.5"),
        ("mse", {"label_smoothing": 0.1}, r"loss\.label_smoothing is not known; allowed: nothing"),
    ],
)
def test_a_loss_that_cannot_be_built_is_refused(name: str, kwargs: dict[str, Any], message: str) -> None:
    """The message names the key and what is allowed."""
    with pytest.raises(ValueError, match=message):
        build_loss(name, num_classes=10, kwargs=kwargs)


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
