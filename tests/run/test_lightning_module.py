"""LightningModules, taken apart for a range test."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from lightning_modules import PACKAGES, batches, loader, module_of, ours, package
from steadylr.core.ramp import Ramp
from steadylr.run.lightning_module import lr_ratios, take_apart
from steadylr.run.steps import StepError

pytestmark = pytest.mark.slow

RAMP = Ramp(1e-4, 1e-1, 9)


def test_the_curve_is_that_of_the_module_in_a_bare_loop() -> None:
    """Bit for bit the losses of training_step, backward and step, with the LR set by hand."""
    module = module_of()
    module.log = module.log_dict = lambda *_, **__: None
    optimizer = module.configure_optimizers()
    wanted = []
    torch.manual_seed(5)
    for number, lr in enumerate(RAMP.lrs().tolist()):
        optimizer.param_groups[0]["lr"] = lr
        optimizer.zero_grad()
        loss = module.training_step(batches()[number % 6], number)["loss"]
        loss.backward()
        optimizer.step()
        wanted.append(loss.item())
    torch.manual_seed(5)
    assert ours().range_test(module_of_same(), batches(), RAMP).curve.loss.tolist() == wanted


def module_of_same(**members: Any) -> Any:
    """A module with equal weights, leaving torch's generator where it was."""
    state = torch.get_rng_state()
    try:
        return module_of(**members)
    finally:
        torch.set_rng_state(state)


@pytest.mark.parametrize("name", PACKAGES)
def test_a_module_comes_back_as_it_was(name: str) -> None:
    """Weights, buffers, lists that it collects in, its Trainer, its log, and the order of its data; twice alike."""
    module = module_of(name)
    data = loader(generator=torch.Generator().manual_seed(2))
    order, noise = data.generator.get_state(), torch.get_rng_state()
    weights = {key: value.clone() for key, value in module.state_dict().items()}
    first, second = (ours().range_test(module, data, RAMP).curve.digest() for _ in range(2))
    assert first == second
    assert all(torch.equal(value, weights[key]) for key, value in module.state_dict().items())
    assert (module.outputs, module.numbers, module._trainer) == ([], [], None)
    assert not {"log", "log_dict"} & set(vars(module))
    assert torch.equal(order, data.generator.get_state())
    assert torch.equal(noise, torch.get_rng_state())


def test_a_module_that_has_a_trainer_keeps_it() -> None:
    """Also after an exception, which the first batch's is told with the step's name."""
    module, trainer = module_of(training_step=lambda self, batch: 1 / 0), object()
    module._trainer = trainer
    with pytest.raises(StepError, match="ZeroDivisionError"):
        ours().range_test(module, batches(), RAMP)
    assert module._trainer is trainer


# ---- optimizers


def two_groups(module: Any) -> torch.optim.Optimizer:
    groups = [
        {"params": module.net[0].parameters(), "lr": 0.01},
        {"params": module.net[4].parameters(), "lr": 0.2},
    ]
    return torch.optim.SGD(groups, lr=0.1)


def warmed_up(module: Any) -> Any:
    optimizer = two_groups(module)
    return [optimizer], [torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: step / 10)]


def one_cycle(module: Any) -> Any:
    optimizer = two_groups(module)
    steps = module.trainer.estimated_stepping_batches
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=[0.01, 0.2], total_steps=steps)
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


@pytest.mark.parametrize(
    ("configure", "noted"),
    [(two_groups, ()), (warmed_up, ("LambdaLR",)), (one_cycle, ("OneCycleLR",))],
    ids=["plain", "warm-up from 0", "one cycle"],
)
def test_groups_keep_the_ratios_that_they_were_configured_with(
    configure: Callable[[Any], Any], noted: tuple[str, ...]
) -> None:
    """A scheduler is left out, with a note, and what it made of the LRs at the start does not count."""
    parts = take_apart(module_of(configure=configure), batches(), num_steps=50)
    assert parts.lr_ratios == pytest.approx((1, 20))
    assert [kind for note in parts.notes for kind in noted if f"({kind})" in note] == list(noted)
    assert len(parts.notes) == len(noted)


def test_a_group_at_0_stays_at_0() -> None:
    """Also the first one: the ramp is then that of the next."""
    groups = [{"params": [torch.ones(1)], "lr": lr} for lr in (0.0, 0.1, 0.2)]
    assert lr_ratios(torch.optim.SGD(groups), object()) == pytest.approx((0, 1, 2))


def apart(module: Any) -> list[torch.optim.Optimizer]:
    return [
        torch.optim.SGD(module.net[0].parameters(), lr=0.01),
        torch.optim.Adam(module.net[4].parameters(), lr=0.002),
    ]


@pytest.mark.parametrize("index", [0, 1])
def test_one_of_several_optimizers_is_ramped_and_the_others_train_along(
    index: int, caplog: pytest.LogCaptureFixture
) -> None:
    """The ramped one has the ramp's LRs, the other its own; both move their parameters; all comes back."""
    module = module_of(configure=apart)
    seen: list[list[float]] = []
    moved: list[bool] = []
    before = [module.net[place].weight.detach().clone() for place in (0, 4)]

    def look(*_: Any) -> None:
        seen.append([each.param_groups[0]["lr"] for each in module.optimizers()])
        moved[:] = [not torch.equal(module.net[p].weight, old) for p, old in zip((0, 4), before, strict=True)]

    with caplog.at_level(logging.INFO):
        result = ours().range_test(module, batches(), RAMP, optimizer=index, on_step=look)
    assert [lrs[index] for lrs in seen] == result.curve.lr.tolist()
    assert {lrs[1 - index] for lrs in seen} == {(0.01, 0.002)[1 - index]}
    assert moved == [True, True]
    assert all(torch.equal(module.net[p].weight, old) for p, old in zip((0, 4), before, strict=True))
    assert "trains along at its own LR" in caplog.text


def test_held_optimizers_step_once_a_step() -> None:
    """Also with accumulated batches, with the mean gradient: the curve is that of one optimizer over all."""

    def together(module: Any) -> torch.optim.Optimizer:
        return torch.optim.SGD(module.parameters(), lr=1e-3)

    def split(module: Any) -> list[torch.optim.Optimizer]:
        first, *rest = module.parameters()
        return [torch.optim.SGD([first], lr=1e-3), torch.optim.SGD(rest, lr=1e-3)]

    flat = Ramp(1e-3, 1e-3 * (1 + 1e-12), 6)
    one, two = (
        ours().range_test(module_of_same(configure=way), batches(), flat, accumulation_steps=2)
        for way in (together, split)
    )
    assert one.curve.loss == pytest.approx(two.curve.loss, rel=1e-6)


# ---- data


def data_module(**members: Any) -> Any:
    made = type(
        "Points", (package().LightningDataModule,), {"train_dataloader": lambda self: batches(), **members}
    )
    return made()


def test_a_data_module_is_set_up_and_its_hooks_are_called() -> None:
    """prepare_data, setup('fit'), train_dataloader, and its own hooks in place of the module's."""
    calls: list[str] = []

    def doubled(self: Any, batch: Any, number: int) -> Any:
        return batch[0] * 2, batch[1]

    data = data_module(
        prepare_data=lambda self: calls.append("prepare_data"),
        setup=lambda self, stage: calls.append(f"setup {stage}"),
        on_after_batch_transfer=doubled,
        train_dataloader=lambda self: calls.append("train_dataloader") or Halves(),
    )
    halves, whole = (
        ours().range_test(module_of_same(), each, RAMP).curve.loss.tolist() for each in (data, batches())
    )
    assert calls == ["prepare_data", "setup fit", "train_dataloader"]
    assert halves == whole
    assert data.trainer is None


class Halves:
    """Batches of half their values, in a loader of a user's own."""

    def __iter__(self) -> Any:
        return iter([(inputs / 2, targets) for inputs, targets in batches()])


@pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")  # Lightning 2.6 with torch 2.14
def test_loaders_in_a_mapping_are_combined() -> None:
    """As a Trainer does it: batches come under the loaders' names."""
    seen: list[set[str]] = []

    def step(self: Any, batch: Any) -> Any:
        seen.append(set(batch))
        return nn.functional.cross_entropy(self.net(batch["a"][0]), batch["b"][1])

    data = data_module(train_dataloader=lambda self: {"a": loader(), "b": loader()})
    assert len(ours().range_test(module_of(training_step=step), data, RAMP).curve) == 9
    assert seen == [{"a", "b"}] * 9


def test_the_module_may_bring_its_own_loader() -> None:
    """Without data the module's train_dataloader is used."""
    module = module_of(train_dataloader=lambda self: loader())
    assert len(ours().range_test(module, None, RAMP).curve) == 9


def test_a_batch_is_left_out_where_training_step_returns_none() -> None:
    """As in a fit; the next one takes its place, so that every point of the curve has a loss."""

    def step(self: Any, batch: Any, batch_idx: int) -> Any:
        seen.append(batch_idx)
        return None if batch_idx % 3 == 1 else self.net(batch[0]).square().mean()

    seen: list[int] = []
    test = ours().range_test(module_of(training_step=step), batches(), RAMP)
    assert len(test.curve) == RAMP.num_iter
    assert seen == list(range(len(seen)))
    assert len([number for number in seen if number % 3 != 1]) == RAMP.num_iter
    accumulated = ours().range_test(module_of(training_step=step), batches(), RAMP, accumulation_steps=2)
    assert len(accumulated.curve) == RAMP.num_iter


def test_the_trainer_has_its_train_dataloader() -> None:
    """As in a fit, when training_step asks for it."""

    def step(self: Any, batch: Any) -> Any:
        seen.append(self.trainer.train_dataloader)
        return self.net(batch[0]).square().mean()

    seen: list[Any] = []
    given = loader()
    ours().range_test(module_of(training_step=step), given, RAMP)
    assert len(seen) == RAMP.num_iter
    assert all(each is given for each in seen)


# ---- what can't be tested


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "manual": (
        {"automatic_optimization": False},
        r"^Classifier has automatic_optimization=False: .* step\(model, batch\)",
    ),
    "none": (
        {"training_step": lambda self, batch, batch_idx: None},
        r"^Classifier\.training_step returned None for 100 batches in a row: .*return a tensor of shape \(\)",
    ),
    "no loss": (
        {"training_step": lambda self, batch, batch_idx: {"los": 1}},
        r"^Classifier\.training_step returned a mapping of 'los': ",
    ),
    "number": (
        {"training_step": lambda self, batch, batch_idx: 0.3},
        r"^step Classifier\.training_step must return the loss, .* returned 0\.3$",
    ),
    "no scalar": (
        {"training_step": lambda self, batch, batch_idx: self.net(batch[0])},
        r"^step Classifier\.training_step: the loss must be one number; got .*\(16, 2\)",
    ),
    "detached": (
        {"training_step": lambda self, batch, batch_idx: self.net(batch[0]).mean().detach()},
        r"^step Classifier\.training_step: the loss has no gradient",
    ),
    "iterator": (
        {"training_step": lambda self, dataloader_iter: None},
        r"^Classifier\.training_step takes dataloader_iter: let it",
    ),
    "no optimizer": (
        {"configure_optimizers": lambda self: None},
        r"^Classifier\.configure_optimizers returned None; it must return an optimizer",
    ),
    "odd optimizer": (
        {"configure_optimizers": lambda self: {"optimiser": 1}},
        r"^Classifier\.configure_optimizers returned dict; it must return an optimizer",
    ),
    "lr 0": (
        {"configure_optimizers": lambda self: torch.optim.SGD(self.parameters(), lr=0.0)},
        r"^Classifier\.configure_optimizers gives SGD with the LRs 0: one must be above 0",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_module_that_cannot_be_tested_is_named(case: str) -> None:
    """With what it must be, and the module is given back as it was."""
    members, message = BAD[case]
    module = module_of(**members)
    weights = {key: value.clone() for key, value in module.state_dict().items()}
    if "automatic_optimization" in members:
        module.automatic_optimization = False
    with pytest.raises(ValueError, match=message):
        ours().range_test(module, batches(), RAMP)
    assert all(torch.equal(value, weights[key]) for key, value in module.state_dict().items())


def test_other_wrong_arguments_are_named_too() -> None:
    """No LightningModule, an optimizer that is not there, no data."""
    with pytest.raises(
        ValueError, match=r"^a LightningModule is needed; got Linear: steadylr\.range_test takes"
    ):
        ours().range_test(nn.Linear(1, 1), batches(), RAMP)
    with pytest.raises(ValueError, match=r"^optimizer=2 is none of those that .* gives: 0 SGD, 1 Adam$"):
        ours().range_test(module_of(configure=apart), batches(), RAMP, optimizer=2)
    with pytest.raises(ValueError, match=r"^Classifier has no train_dataloader: define it, or give a loader"):
        ours().range_test(module_of(), None, RAMP)
    bare = package().LightningModule()
    with pytest.raises(ValueError, match=r"^LightningModule has no training_step: define"):
        ours().range_test(bare, batches(), RAMP)
