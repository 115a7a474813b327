"""Muon for whole models, and the optimizers of packages."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from built import OPTIMIZERS, optimizer_of
from steadylr import range_test
from steadylr.config import located
from steadylr.core.divergence import StopRule
from steadylr.core.ramp import Ramp
from steadylr.run.muon import MuonWithAdamW
from steadylr.run.optimizer_facts import optimizer_doubt
from steadylr.run.optimizers import build_optimizer


class Words(nn.Module):
    """An embedding, a hidden layer, a norm and a head."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embedding = nn.Embedding(5, 4)
        self.hidden = nn.Linear(4, 4)
        self.norm = nn.LayerNorm(4)
        self.head = nn.Linear(4, 3)

    def forward(self, words: Tensor) -> Tensor:
        out: Tensor = self.head(self.norm(self.hidden(self.embedding(words))))
        return out


BATCH = (torch.tensor([0, 1, 2, 3]), torch.tensor([0, 1, 2, 0]))


def names_of(optimizer: torch.optim.Optimizer, model: nn.Module) -> list[set[str]]:
    by_id = {id(parameter): name for name, parameter in model.named_parameters()}
    return [{by_id[id(p)] for p in group["params"]} for group in optimizer.param_groups]


def test_muon_gets_the_matrices_and_adamw_the_rest() -> None:
    """Embeddings, biases and norms go to AdamW; so does what is named; each at its own multiple of the LR."""
    model = Words()
    kwargs = {"adamw_lr_mult": 0.5, "adamw_names": ["head.*"], "momentum": 0.9, "adamw_betas": [0.8, 0.9]}
    optimizer, ratios = optimizer_of("muon", model, lr=0.1, weight_decay=0.0, **kwargs)
    matrices, rest = names_of(optimizer, model)
    assert matrices == {"hidden.weight"}
    assert rest == {name for name, _ in model.named_parameters()} - matrices
    assert ratios == (1.0, 0.5)
    assert [group["lr"] for group in optimizer.param_groups] == [0.1, 0.05]
    assert optimizer.param_groups[0]["momentum"] == 0.9
    assert optimizer.param_groups[1]["betas"] == (0.8, 0.9)


def test_groups_by_name_are_split_too() -> None:
    """The multiples of both multiply."""
    optimizer, ratios = optimizer_of(
        "muon", Words(), lr=0.1, adamw_lr_mult=0.5, groups=[("head.*", 10.0, None)]
    )
    assert ratios == (1.0, 10.0, 0.5, 5.0)
    assert [group["use_muon"] for group in optimizer.param_groups] == [True, True, False, False]
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.1 * each for each in ratios])


def test_a_step_is_a_step_of_each() -> None:
    """Bit for bit what the two optimizers do by themselves, at the LRs of the ramp."""
    model, twin = Words(), Words()
    optimizer, _ = optimizer_of("muon", model, lr=1.0, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    range_test(
        model,
        optimizer,
        [BATCH],
        nn.functional.cross_entropy,
        Ramp(1e-3, 1e-2, 4),
        stop_rule=StopRule(None),
        restore=False,
    )
    matrices = [twin.hidden.weight, twin.head.weight]
    rest = [p for p in twin.parameters() if not any(p is m for m in matrices)]
    muon = torch.optim.Muon(matrices, lr=1.0, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    adamw = torch.optim.AdamW(rest, lr=1.0, weight_decay=0.1)
    for lr in Ramp(1e-3, 1e-2, 4).lrs():
        for group in (*muon.param_groups, *adamw.param_groups):
            group["lr"] = float(lr)
        twin.zero_grad()
        nn.functional.cross_entropy(twin(BATCH[0]), BATCH[1]).backward()
        muon.step()
        adamw.step()
    for mine, its in zip(model.parameters(), twin.parameters(), strict=True):
        assert torch.equal(mine, its)


def test_muon_is_given_back_and_can_be_saved() -> None:
    """State, groups and weights come back after a range test; a state dict goes on where it was."""
    model = Words()
    optimizer, ratios = optimizer_of("muon", model, lr=0.01)
    settings: dict[str, Any] = {"lr_ratios": ratios, "stop_rule": StopRule(None)}
    range_test(
        model, optimizer, [BATCH], nn.functional.cross_entropy, Ramp(1e-3, 1e-2, 3), restore=False, **settings
    )
    before = copy.deepcopy(optimizer.state_dict())
    range_test(model, optimizer, [BATCH], nn.functional.cross_entropy, Ramp(1e-3, 1, 3), **settings)
    after = optimizer.state_dict()
    assert after["param_groups"] == before["param_groups"]
    twin = copy.deepcopy(model)
    other, _ = optimizer_of("muon", twin, lr=0.01)
    other.load_state_dict(copy.deepcopy(after))
    for net, chosen in ((model, optimizer), (twin, other)):
        net.zero_grad()
        nn.functional.cross_entropy(net(BATCH[0]), BATCH[1]).backward()
        chosen.step()
        net.zero_grad()
        nn.functional.cross_entropy(net(BATCH[0]), BATCH[1]).backward()
        chosen.step()
    for mine, its in zip(model.parameters(), twin.parameters(), strict=True):
        assert torch.equal(mine, its)


def test_a_model_without_matrices_has_nothing_for_muon() -> None:
    """Nor does a pattern that matches nothing pass."""
    with pytest.raises(
        ValueError, match=r"steadylr\.run\.muon\.muon refuses .*: Muon moves matrices, and the model has none"
    ):
        optimizer_of("muon", nn.LayerNorm(3), lr=0.1)
    with pytest.raises(ValueError, match=r"adamw_names: the pattern 'haed\.\*' matches no parameter"):
        optimizer_of("muon", Words(), lr=0.1, adamw_names=["haed.*"])
    with pytest.raises(ValueError, match=r"optimizer\.momentun is not known; did you mean momentum"):
        optimizer_of("muon", Words(), lr=0.1, momentun=0.9)
    assert optimizer_of("muon", nn.Linear(3, 2, bias=False), lr=0.1)[1] == (1.0,)


@pytest.mark.filterwarnings(
    "ignore:(Prodigy|.*ScheduleFree) "
)  # which say that a range test is of little use
@pytest.mark.parametrize(
    "name", sorted(name for name, path in OPTIMIZERS.items() if not path.startswith(("torch", "steadylr")))
)
def test_optimizers_of_packages_run_and_come_back(name: str) -> None:
    """In train mode for training, in evaluation mode for validation; weights, modes and state as before."""
    pytest.importorskip(OPTIMIZERS[name].partition(".")[0])
    model = Words()
    optimizer, _ = optimizer_of(name, model, lr=0.1)
    assert type(optimizer).__name__ == OPTIMIZERS[name].rpartition(".")[2]
    before = {key: value.clone() for key, value in model.state_dict().items()}
    groups = copy.deepcopy(
        [{k: v for k, v in group.items() if k != "params"} for group in optimizer.param_groups]
    )
    modes = []

    def validate(trained: nn.Module) -> float:
        modes.append(optimizer.param_groups[0].get("train_mode"))
        return 1.0

    test = range_test(
        model,
        optimizer,
        [BATCH],
        nn.functional.cross_entropy,
        Ramp(1e-3, 1e-1, 6),
        validate=validate,
        val_every=2,
    )
    assert len(test.curve) == 6
    assert modes == ([None] * 3 if name == "prodigy" else [False] * 3)
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert [{k: v for k, v in group.items() if k != "params"} for group in optimizer.param_groups] == groups


def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """What to install is in the message; nothing is imported for that."""
    monkeypatch.setitem(located.EXTRAS, "no_such_package", "optimizers")
    with pytest.raises(
        ValueError,
        match=r"optimizer\._target_=no_such_package\.X needs no_such_package: .*steadylr\[optimizers\]",
    ):
        located.locate("no_such_package.X", key="optimizer._target_")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Prodigy", "Prodigy finds its own step size"),
        ("Adadelta", "Adadelta finds its own"),
        ("AdamWScheduleFree", "AdamWScheduleFree replaces the schedule"),
        ("SGDScheduleFree", "SGDScheduleFree replaces"),
        ("adafactor", "adafactor takes the smaller of lr and 1"),
        ("rprop", "uses lr in the first step only"),
    ],
)
def test_doubts_name_the_optimizer(name: str, words: str) -> None:
    """By its class; the others have none."""
    assert words in (optimizer_doubt(name) or "")
    assert optimizer_doubt("SGD") is None
    assert optimizer_doubt("muon") is None


def test_an_optimizer_of_ones_own_keeps_its_groups() -> None:
    """It is called with groups, lr, and weight_decay where it takes one; it must be an optimizer with these groups."""
    groups = [("head.*", 3.0, None)]
    optimizer, ratios = optimizer_of("sgd", Words(), lr=0.1, momentum=0.5, groups=groups)
    assert (ratios, optimizer.param_groups[1]["momentum"]) == ((1.0, 3.0), 0.5)

    def merging(groups: list[dict[str, Any]], lr: float) -> torch.optim.Optimizer:
        return torch.optim.SGD([p for group in groups for p in group["params"]], lr=lr)

    with pytest.raises(ValueError, match=r"mine made 1 parameter groups of the 2 that it was given"):
        build_optimizer(merging, Words(), lr=0.1, groups=groups, called="mine")
    with pytest.raises(ValueError, match=r"mine must give a torch\.optim\.Optimizer; it gave 3"):
        build_optimizer(lambda groups, lr: 3, Words(), lr=0.1, called="mine")


def test_muon_can_be_copied() -> None:
    """Copies work on their own groups."""
    optimizer, _ = optimizer_of("muon", nn.Linear(3, 2), lr=0.1)
    twin = copy.deepcopy(optimizer)
    assert isinstance(twin, MuonWithAdamW)
    twin.param_groups[0]["lr"] = 5.0
    assert optimizer.param_groups[0]["lr"] == 0.1
    assert twin._muon.param_groups[0]["lr"] == 5.0
