"""The callback that finds the LR when a Trainer begins to fit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.optim import lr_scheduler

from lightning_modules import PACKAGES, loader, module_of, ours, package
from steadylr.core.ramp import Ramp

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning"),  # Lightning 2.6 with torch 2.14
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
]

RAMP = Ramp(1e-4, 10, 60)


def trainer_of(name: str = PACKAGES[0], **settings: Any) -> Any:
    quiet = dict.fromkeys(
        ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False
    )
    fixed = {"accelerator": "cpu", "devices": 1, "max_epochs": 2, "log_every_n_steps": 1}
    return package(name).Trainer(**{**quiet, **fixed, **settings})


def fitted(
    *callbacks: Any, name: str = PACKAGES[0], data: Any = None, module: Any = None, **settings: Any
) -> tuple[Any, Any]:
    """A module after two epochs, and its Trainer; everything seeded alike."""
    trained = module_of(name) if module is None else module
    torch.manual_seed(4)
    trainer = trainer_of(name, callbacks=list(callbacks), **settings)
    trainer.fit(trained, loader() if data is None else data)
    return trained, trainer


def same(one: Any, two: Any) -> bool:
    pairs = zip(one.state_dict().items(), two.state_dict().items(), strict=True)
    weights = all(first == second and torch.equal(a, b) for (first, a), (second, b) in pairs)
    return weights and (one.epochs, one.numbers) == (two.epochs, two.numbers)


def with_schedule(module: Any) -> Any:
    optimizer = torch.optim.SGD(module.parameters(), lr=module.lr, momentum=0.9)
    steps = module.trainer.estimated_stepping_batches  # has the Trainer load the data before the fit begins
    return [optimizer], [
        {"scheduler": lr_scheduler.OneCycleLR(optimizer, module.lr, total_steps=steps), "interval": "step"}
    ]


@pytest.mark.parametrize("configure", [None, with_schedule], ids=["plain", "loaded early"])
@pytest.mark.parametrize(
    "options",
    [{}, {"seeded": True}, {"num_workers": 1, "persistent_workers": True}],
    ids=["global generator", "own generator", "persistent worker"],
)
def test_a_fit_after_the_test_is_the_fit_without_it(
    configure: Callable[[Any], Any] | None, options: dict[str, Any]
) -> None:
    """Bit for bit: weights, BatchNorm, dropout, order of the data, metrics, and what the module has collected."""

    def fit(*callbacks: Any) -> tuple[Any, Any]:
        settings = dict(options)
        generator = torch.Generator().manual_seed(3) if settings.pop("seeded", False) else None
        return fitted(
            *callbacks,
            module=module_of(configure=configure),
            data=loader(generator=generator, **settings),
            gradient_clip_val=1.0,
        )

    finder = ours().LRFinderCallback(RAMP, set_lr=False)
    (plain, alone), (tested, trainer) = fit(), fit(finder)
    assert same(plain, tested)
    assert alone.callback_metrics == trainer.callback_metrics
    assert alone.global_step == trainer.global_step == 12
    assert len(finder.result.curve) > 30


@pytest.mark.parametrize("name", PACKAGES)
def test_the_lr_that_was_found_is_trained_with(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """It stands in the optimizer, in module.lr and in the hyperparameters, and the fit is one that began with it."""
    finder = ours().LRFinderCallback(RAMP)
    module, trainer = fitted(finder, name=name)
    found = finder.suggestion.lr
    assert found is not None
    assert (module.lr, module.hparams.lr) == (found, found)
    assert [group["lr"] for group in trainer.optimizers[0].param_groups] == [pytest.approx(found)]
    assert f"LR {found:.3g} by bracket" in capsys.readouterr().out
    began_with, _ = fitted(name=name, module=module_of(name, lr=found))
    assert began_with.epochs == [(count, pytest.approx(total)) for count, total in module.epochs]


def halves(optimizer: Any) -> Any:
    return lr_scheduler.StepLR(optimizer, 3, gamma=0.5)


def cosine(optimizer: Any) -> Any:
    return lr_scheduler.CosineAnnealingLR(optimizer, 12)


def one_cycle(optimizer: Any) -> Any:
    peaks = [group["lr"] for group in optimizer.param_groups]
    return lr_scheduler.OneCycleLR(optimizer, max_lr=peaks, total_steps=13)


def warmed_up(optimizer: Any) -> Any:
    first = lr_scheduler.LinearLR(optimizer, 0.1, total_iters=4)
    return lr_scheduler.SequentialLR(optimizer, [first, cosine(optimizer)], milestones=[4])


@pytest.mark.filterwarnings("ignore:.*epoch parameter in .scheduler.step:UserWarning")  # torch's SequentialLR
@pytest.mark.parametrize("schedule", [halves, cosine, one_cycle, warmed_up])
def test_schedulers_and_groups_go_on_from_the_lr_that_was_found(schedule: Callable[[Any], Any]) -> None:
    """All LRs of the fit are those of a fit that was configured with it; groups keep their ratio."""

    def configure(module: Any) -> Any:
        parts = [{"params": module.net[0].parameters()}, {"params": module.net[4].parameters()}]
        parts[1]["lr"] = module.lr / 4
        optimizer = torch.optim.SGD(parts, lr=module.lr)
        return [optimizer], [{"scheduler": schedule(optimizer), "interval": "step"}]

    def lrs_of(*callbacks: Any, lr: float) -> list[list[float]]:
        seen: list[list[float]] = []

        class Looks(package().Callback):  # type: ignore[misc,name-defined]
            def on_before_optimizer_step(self, trainer: Any, module: Any, optimizer: Any) -> None:
                seen.append([group["lr"] for group in optimizer.param_groups])

        fitted(*callbacks, Looks(), module=module_of(lr=lr, configure=configure))
        return seen

    finder = ours().LRFinderCallback(RAMP)
    after = lrs_of(finder, lr=0.1)
    wanted = lrs_of(lr=finder.suggestion.lr)
    assert len(after) == 12  # other callbacks hear of the fit's steps only
    assert after == [pytest.approx(lrs) for lrs in wanted]


def test_the_test_trains_as_the_trainer_does() -> None:
    """In its precision, with its clipping and its accumulated batches."""
    seen: list[float] = []

    def clipping(self: Any, optimizer: Any, gradient_clip_val: Any, gradient_clip_algorithm: Any) -> None:
        self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)
        seen.append(float(torch.nn.utils.get_total_norm([p.grad for p in self.parameters()])))

    def step(self: Any, batch: Any, batch_idx: int) -> Any:
        assert torch.is_autocast_enabled("cpu")
        assert self.net(batch[0]).dtype == torch.bfloat16
        return torch.nn.functional.cross_entropy(self.net(batch[0]).float() * 100, batch[1])

    module = module_of(training_step=step, configure_gradient_clipping=clipping)
    finder = ours().LRFinderCallback(Ramp(1e-4, 1e-2, 20))
    settings = {"precision": "bf16-mixed", "gradient_clip_val": 0.01, "accumulate_grad_batches": 2}
    fitted(finder, module=module, max_epochs=1, **settings)
    assert len(seen) == 20 + 3
    assert max(seen) == pytest.approx(0.01, rel=1e-3)


def test_nothing_is_logged_of_the_test() -> None:
    """Neither by self.log nor by what a module does with its logger: the logger gets what it gets without a test."""

    def logged_by(*callbacks: Any) -> list[dict[str, float]]:
        logged: list[dict[str, float]] = []

        class Recorder(package().loggers.Logger):  # type: ignore[misc,name-defined]
            name = version = None

            def log_hyperparams(self, *_: Any) -> None: ...

            def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
                logged.append(metrics)

        fitted(*callbacks, logger=Recorder())
        return logged

    logged = logged_by()
    assert len(logged) > 12
    assert logged_by(ours().LRFinderCallback(RAMP, set_lr=False)) == logged


def test_without_an_lr_the_optimizer_keeps_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    """The reason is printed, and the fit is the one without the callback."""
    finder = ours().LRFinderCallback(Ramp(1e-9, 1e-8, 40))
    module, trainer = fitted(finder)
    assert finder.suggestion.lr is None
    assert (module.lr, trainer.optimizers[0].param_groups[0]["lr"]) == (0.1, 0.1)
    assert "No LR was found: " in capsys.readouterr().out
    assert same(module, fitted()[0])


def test_a_fit_that_goes_on_from_a_checkpoint_is_left_alone(
    tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its LR is that of the checkpoint; so it is with fast_dev_run, which is no training."""
    _, trainer = fitted()
    trainer.save_checkpoint(tmp_path / "model.ckpt")
    finder = ours().LRFinderCallback(RAMP)
    trainer_of(callbacks=[finder], max_epochs=3).fit(
        module_of(), loader(), ckpt_path=str(tmp_path / "model.ckpt"), weights_only=False
    )
    assert finder.result is None
    assert "No range test: the fit goes on from a checkpoint" in capsys.readouterr().out
    trainer_of(callbacks=[finder], fast_dev_run=True).fit(module_of(), loader())
    assert finder.result is None


def test_a_module_with_manual_optimisation_is_refused_at_once() -> None:
    """With its name and what to do, before the Trainer has set anything up."""
    module = module_of()
    module.automatic_optimization = False
    with pytest.raises(
        ValueError, match=r"^Classifier has automatic_optimization=False: .*steadylr\.range_test"
    ):
        fitted(ours().LRFinderCallback(RAMP), module=module)


def test_after_an_exception_in_the_test_the_module_is_as_it_was() -> None:
    """The error is the user's own; the Trainer has its callbacks back."""

    def step(self: Any, batch: Any, batch_idx: int) -> Any:
        if batch_idx == 7:
            raise ZeroDivisionError
        return torch.nn.functional.cross_entropy(self.net(batch[0]), batch[1])

    module, fresh = module_of(training_step=step), module_of(training_step=step)
    finder = ours().LRFinderCallback(RAMP)
    trainer = trainer_of(callbacks=[finder])
    with pytest.raises(ZeroDivisionError):
        trainer.fit(module, loader())
    assert same(module, fresh)
    assert finder in trainer.callbacks
    assert same(module, fresh)
    assert finder in trainer.callbacks


def test_an_optimizer_that_cannot_be_ramped_is_refused() -> None:
    """LBFGS would call the loss, which does not change with its trials, again and again."""
    module = module_of(configure=lambda module: torch.optim.LBFGS(module.parameters()))
    with pytest.raises(ValueError, match=r"^LBFGS can't be ramped"):
        fitted(ours().LRFinderCallback(RAMP), module=module)


@pytest.mark.filterwarnings("ignore:`training_step` returned `None`")
def test_a_fit_with_lazy_layers_and_skipped_batches_is_the_one_without_the_test() -> None:
    """Bit for bit: the layers get their first values in the fit."""

    def step(self: Any, batch: Any, batch_idx: int) -> Any:
        outputs = self.net(batch[0])
        return None if batch_idx % 4 == 2 else torch.nn.functional.cross_entropy(outputs, batch[1])

    def lazy() -> Any:
        module = module_of(training_step=step)
        module.net[0] = torch.nn.LazyLinear(16)
        return module

    finder = ours().LRFinderCallback(RAMP, set_lr=False)
    assert same(fitted(module=lazy())[0], fitted(finder, module=lazy())[0])
    assert finder.result is not None
    assert len(finder.result.curve) > 20
