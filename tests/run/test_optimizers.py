from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from built import OPTIMIZERS, optimizer_of
from steadylr.run.optimizer_facts import REFUSED
from steadylr.run.optimizers import set_train_mode


def model() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 2))


@pytest.mark.parametrize("name", ["sgd", "adamw", "rmsprop"])
def test_the_named_optimizers_take_a_step(name: str) -> None:
    """Each is torch's class, with the LR and the weight decay given."""
    optimizer, ratios = optimizer_of(name, model(), lr=0.1, weight_decay=0.01)
    assert f"torch.optim.{type(optimizer).__name__}" == OPTIMIZERS[name]
    assert ratios == (1.0,)
    assert optimizer.param_groups[0]["lr"] == 0.1
    assert optimizer.param_groups[0]["weight_decay"] == 0.01
    optimizer.step()


@pytest.mark.parametrize(
    "name", sorted(name for name in OPTIMIZERS if name != "optimizer" and name not in REFUSED)
)
def test_every_offered_optimizer_can_be_built(name: str) -> None:
    """Of torch and of the packages that options name; those that can't be ramped are refused before."""
    matrices = nn.Linear(3, 2, bias=False)  # Muon takes matrices only
    optimizer, _ = optimizer_of(name, matrices, lr=0.01)
    matrices(torch.ones(1, 3)).sum().backward()
    set_train_mode(optimizer, train=True)
    optimizer.step()


def test_arguments_reach_the_optimizer() -> None:
    """Lists, as a config has them, will do."""
    optimizer, _ = optimizer_of("adamw", model(), lr=0.1, betas=[0.5, 0.6])
    assert list(optimizer.param_groups[0]["betas"]) == [0.5, 0.6]


def test_groups_follow_the_first_pattern_that_matches() -> None:
    """Unmatched parameters come first with ratio 1; LRs and decays follow the groups."""
    groups = [("2.*", 10.0, None), ("*.bias", 0.5, 0.0), ("1.*", 2.0, None)]
    optimizer, ratios = optimizer_of("sgd", model(), lr=0.1, weight_decay=0.3, groups=groups)
    assert ratios == (1.0, 10.0, 0.5, 2.0)
    assert [len(group["params"]) for group in optimizer.param_groups] == [1, 2, 2, 1]
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.1, 1.0, 0.05, 0.2])
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.3, 0.3, 0.0, 0.3]


def test_without_unmatched_parameters_there_is_no_group_for_them() -> None:
    """A pattern that takes all leaves one group."""
    _, ratios = optimizer_of("sgd", model(), lr=0.1, groups=[("*", 3.0, None)])
    assert ratios == (3.0,)


def test_frozen_parameters_are_left_out() -> None:
    """Only what requires a gradient is trained."""
    net = model()
    net[0].requires_grad_(False)
    optimizer, _ = optimizer_of("sgd", net, lr=0.1)
    assert len(optimizer.param_groups[0]["params"]) == 4


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        (
            "sgd",
            {"momentun": 0.9},
            r"optimizer\.momentun is not known; did you mean momentum",
        ),
        (
            "sgd",
            {"nesterov": True},
            r"SGD refuses \{.*'nesterov': True.*\}",
        ),
        ("sgd", {"lr": 0.0}, r"optimizer\.lr must be finite and above 0; got 0.0"),
        ("sgd", {"weight_decay": -1.0}, r"SGD refuses .*: Invalid weight_decay"),
        (
            "sgd",
            {"groups": [("fc.*", 1.0, None)]},
            r"pattern 'fc\.\*' matches no .*names are 0\.weight, 0\.bias",
        ),
        (
            "sgd",
            {"groups": [("0.*", 1.0, None), ("0.bias", 2.0, None)]},
            "that an earlier pattern has not taken",
        ),
        (
            "sgd",
            {"groups": [("*", -1.0, None)]},
            r"groups\[0\]\.lr_mult must be finite and at least 0; got -1.0",
        ),
    ],
)
def test_an_optimizer_that_cannot_be_built_is_refused(
    name: str, changes: dict[str, Any], message: str
) -> None:
    """Names, arguments, values and patterns are told by key, with what is there."""
    with pytest.raises(ValueError, match=message):
        optimizer_of(name, model(), **{"lr": 0.1, **changes})


def test_patterns_that_match_frozen_parameters_only_say_so() -> None:
    """Freezing and patterns together are the commonest cause of an empty group."""
    net = model()
    net[0].requires_grad_(False)
    with pytest.raises(ValueError, match="those that it matches are frozen"):
        optimizer_of("sgd", net, lr=0.1, groups=[("0.*", 1.0, None)])
    net.requires_grad_(False)
    with pytest.raises(ValueError, match="no parameter to train"):
        optimizer_of("sgd", net, lr=0.1)
