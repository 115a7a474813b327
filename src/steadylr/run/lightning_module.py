"""A LightningModule as a range test takes it: its training_step, one of its optimizers, its batches.

Lightning is not imported here until a module of its own is there. Modules of `lightning` and of `pytorch_lightning`
are both taken; each finds the package that it was made with.
"""

from __future__ import annotations

import inspect
import logging
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Any, cast

from torch import Tensor, nn
from torch.optim import Optimizer

from steadylr.errors import InvalidValue
from steadylr.run.lightning_data import loader_of, show_loader, to_device
from steadylr.run.optimizers import configured_lr, ratios_of, reference_lr
from steadylr.run.steps import SKIPPED, Step, StepError

PACKAGES = ("lightning.pytorch", "pytorch_lightning")
"""The packages that Lightning comes in."""


@dataclass(frozen=True, slots=True, eq=False)
class LightningParts:
    """What a range test takes of a LightningModule and its data; made by take_apart.

    Args:
        module: the module itself.
        optimizer: the one of its optimizers whose LR is ramped.
        held: its other optimizers: each takes a step with every step of the ramped one, at the LR that it has.
        lr_ratios: the LR of each group of the ramped optimizer over the first above 0, as configured.
        batches: what is iterated for batches.
        step: step(module, batch) -> loss, by the module's training_step.
        notes: what was left out.
        release: to be called when training is over: the module has its own Trainer and its log again. So it has
            when nobody holds the step any more.
    """

    module: nn.Module
    optimizer: Optimizer
    held: tuple[Optimizer, ...]
    lr_ratios: tuple[float, ...]
    batches: Iterable[Any]
    step: Step
    notes: tuple[str, ...]
    release: Callable[[], None]


def take_apart(
    module: Any,
    data: Any = None,
    *,
    optimizer: int = 0,
    num_steps: int = 1000,
    drawing_data: AbstractContextManager[Any] | None = None,
) -> LightningParts:
    """Take a LightningModule apart for a range test.

    In the order of a Trainer: the data module's prepare_data and setup, the module's setup and configure_model,
    its configure_optimizers. Each batch passes the three hooks of its way to the device. No other hook is called.
    Until release is called self.log does nothing, and self.trainer is a Trainer that trains nothing.

    Args:
        module: a LightningModule with automatic optimisation.
        data: a LightningDataModule, a loader, any other iterable of batches, or a mapping of loaders, whose
            batches come as Lightning combines them; None: the module's own train_dataloader.
        optimizer: which of the optimizers of configure_optimizers is ramped, from 0.
        num_steps: steps of the ramp, which self.trainer gives as its own.
        drawing_data: within this context a data module is set up; None: as it stands.

    Raises:
        ValueError: no LightningModule, one with manual optimisation or without training_step, optimizers or
            training data.
    """
    package = check_module(module)
    with ExitStack() as stack:
        stack.enter_context(silent_logging(module))
        stack.enter_context(_stand_in_trainer(package, module, data, num_steps))
        with drawing_data or nullcontext():
            loader = loader_of(package, module, data)
        show_loader(module.trainer, loader)
        module.setup("fit")
        module.configure_model()
        optimizers, schedulers = _configured(module)
        ramped = _chosen(optimizers, optimizer, module)
        held = tuple(other for other in optimizers if other is not ramped)
        module.trainer.strategy.optimizers = list(optimizers)  # what self.optimizers() gives
        ratios = lr_ratios(ramped, module)
        stack.enter_context(_stepping_along(ramped, held))
        until_released = stack.pop_all()
        return LightningParts(
            module=module,
            optimizer=ramped,
            held=held,
            lr_ratios=ratios,
            batches=loader,
            step=TrainingStep(module, to_device(package, module, data), keeps=until_released),
            notes=_notes(module, ramped, held, schedulers),
            release=until_released.close,
        )


# ---- the module


def check_module(module: Any) -> ModuleType:
    """The package of a LightningModule that a range test can train.

    Raises:
        ValueError: no LightningModule, or one with manual optimisation or without a training_step for batches.
    """
    package = _package(module)
    name = type(module).__name__
    if not module.automatic_optimization:
        raise InvalidValue(
            f"{name} has automatic_optimization=False: its training_step steps the optimizers by itself, so that "
            "no ramp can be put under them. Set it to True and return the loss; or call steadylr.range_test with "
            "the optimizer to ramp and a step(model, batch) that returns its loss"
        )
    if type(module).training_step is package.LightningModule.training_step:
        raise InvalidValue(
            f"{name} has no training_step: define training_step(self, batch, batch_idx) -> loss"
        )
    if "dataloader_iter" in inspect.signature(module.training_step).parameters:
        raise InvalidValue(
            f"{name}.training_step takes dataloader_iter: let it take (batch, batch_idx), one batch at a time"
        )
    return package


def _package(module: Any) -> ModuleType:
    package = _package_of(module, "LightningModule")
    if package is None:
        raise InvalidValue(
            f"a LightningModule is needed; got {type(module).__name__}: steadylr.range_test takes any other model"
        )
    return import_module(package)


def _package_of(value: Any, kind: str) -> str | None:
    for base in type(value).__mro__:
        for package in PACKAGES:
            if base.__name__ == kind and base.__module__.startswith(f"{package}."):
                return package
    return None


def is_lightning(value: Any, *, kind: str = "LightningModule") -> bool:
    """Whether something is a LightningModule, or a LightningDataModule, of either package."""
    return _package_of(value, kind) is not None


def loss_of(output: Any, module: Any) -> Tensor:
    """The loss in what a module's training_step returned: the tensor itself, or what a mapping has as "loss".

    SKIPPED where it returned None, by which a Trainer leaves a batch out. Whether it is one number with a gradient is
    for range_test to say.

    Raises:
        StepError: a mapping without a loss.
    """
    if output is None:
        return SKIPPED
    loss = output.get("loss") if isinstance(output, Mapping) else output
    if loss is not None:
        return cast("Tensor", loss)
    raise StepError(
        f"{_step_name(module)} returned a mapping of {', '.join(map(repr, output)) or 'nothing'}: return a tensor of "
        'shape (), a mapping with it as "loss", or None to leave the batch out'
    )


class TrainingStep:
    """step(module, batch) -> loss, by a module's training_step: called with the batch, and its number from 0 if taken.

    Args:
        module: the LightningModule.
        to_device: what is done to each batch before.
        call: what calls training_step with its arguments; None: the module itself, or what wraps it.
        keeps: kept as long as the step is.
    """

    def __init__(
        self,
        module: Any,
        to_device: Callable[[Any], Any],
        *,
        call: Callable[..., Any] | None = None,
        keeps: Any = None,
    ) -> None:
        self.__qualname__ = _step_name(module)  # by which the user knows it
        self._module = module
        self._to_device = to_device
        self._call = call
        self._keeps = keeps
        self._takes_number = len(inspect.signature(module.training_step).parameters) > 1
        self._number = -1

    def __call__(self, wrapped: Any, batch: Any) -> Tensor:
        self._number += 1
        number = (self._number,) if self._takes_number else ()
        call = wrapped.training_step if self._call is None else self._call
        return loss_of(call(self._to_device(batch), *number), self._module)


def _step_name(module: Any) -> str:
    return f"{type(module).__name__}.training_step"


@contextmanager
def silent_logging(module: Any) -> Iterator[None]:
    """Within this context self.log and self.log_dict of a module do nothing."""
    own = vars(module)
    before = {name: own[name] for name in ("log", "log_dict") if name in own}
    own.update(log=_nothing, log_dict=_nothing)
    try:
        yield
    finally:
        for name in ("log", "log_dict"):
            del own[name]
        own.update(before)


def mute_logger(module: Any) -> Any:
    """A logger of Lightning that takes anything and keeps nothing: self.logger while a module is tested."""
    return import_module(f"{_package(module).__name__}.loggers.logger").DummyLogger()


def _nothing(*_: Any, **__: Any) -> None:
    return None


@contextmanager
def _stand_in_trainer(package: ModuleType, module: Any, data: Any, num_steps: int) -> Iterator[None]:
    """Within this context a module, and its data module, has a Trainer; its logger keeps nothing."""
    has_module = isinstance(data, package.LightningDataModule)
    before = [(module, vars(module)["_trainer"]), *([(data, data.trainer)] if has_module else [])]
    environments = import_module(f"{package.__name__}.plugins.environments")
    with quiet_lightning():
        trainer = package.Trainer(
            accelerator="cpu",
            devices=1,
            max_epochs=-1,
            max_steps=num_steps,
            logger=[mute_logger(module)],
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            plugins=[environments.LightningEnvironment()],  # one process: no cluster is to be looked for
        )
    trainer.datamodule = data if has_module else None
    for owner, _ in before:
        owner.trainer = trainer
    try:
        yield
    finally:
        for owner, own in before:
            owner.trainer = own


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Within this context Lightning says nothing of accelerators, tips and loaders."""
    from lightning_utilities.core import rank_zero  # its log is that of the package that was imported last

    level = rank_zero.log.level
    rank_zero.log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        rank_zero.log.setLevel(level)


# ---- its optimizers


def _configured(module: Any) -> tuple[list[Optimizer], list[Any]]:
    """The optimizers and schedulers of configure_optimizers, in any of the shapes that Lightning takes."""
    answer = module.configure_optimizers()
    optimizers, schedulers = _parsed(answer)
    if optimizers and all(isinstance(optimizer, Optimizer) for optimizer in optimizers):
        return optimizers, schedulers
    name = f"{type(module).__name__}.configure_optimizers"
    raise InvalidValue(
        f"{name} returned {'None' if answer is None else type(answer).__name__}; it must return an optimizer, "
        'several in a list, ([optimizers], [schedulers]), or a mapping with "optimizer"'
    )


def _parsed(answer: Any) -> tuple[list[Any], list[Any]]:
    if isinstance(answer, Mapping):
        schedulers = [answer["lr_scheduler"]] if answer.get("lr_scheduler") is not None else []
        return [answer.get("optimizer")], schedulers
    if not isinstance(answer, list | tuple):
        return [] if answer is None else [answer], []
    if len(answer) == 2 and isinstance(answer[0], list | tuple):
        second = answer[1]
        return list(answer[0]), list(second) if isinstance(second, list | tuple) else [second]
    parts = [_parsed(part) for part in answer]
    return [o for found, _ in parts for o in found], [s for _, found in parts for s in found]


def _chosen(optimizers: Sequence[Optimizer], index: int, module: Any) -> Optimizer:
    """The optimizer with a number from 0.

    Raises:
        ValueError: there is none with that number.
    """
    if 0 <= index < len(optimizers):
        return optimizers[index]
    names = ", ".join(f"{number} {type(each).__name__}" for number, each in enumerate(optimizers))
    raise InvalidValue(
        f"optimizer={index} is none of those that {type(module).__name__}.configure_optimizers gives: {names}"
    )


def lr_ratios(optimizer: Optimizer, module: Any) -> tuple[float, ...]:
    """The configured LR of each parameter group over the first above 0; a group at 0 stays at 0.

    Raises:
        ValueError: an optimizer without LRs, or with no LR above 0.
    """
    groups = optimizer.param_groups
    name = f"{type(module).__name__}.configure_optimizers"
    if any("lr" not in group for group in groups):
        raise InvalidValue(f"{name} gives no optimizer with an LR; got {type(optimizer).__name__}")
    lrs = [configured_lr(group) for group in groups]
    if reference_lr(lrs) <= 0:
        raise InvalidValue(
            f"{name} gives {type(optimizer).__name__} with the LRs {', '.join(f'{lr:g}' for lr in lrs)}: one must "
            "be above 0, whichever number, since their ratios are what the ramp keeps; a group at 0 stays at 0"
        )
    return ratios_of(lrs)


@contextmanager
def _stepping_along(ramped: Optimizer, held: Sequence[Optimizer]) -> Iterator[None]:
    """Within this context the held optimizers take a step, at their own LRs, whenever the ramped one does."""

    def step_held(*_: Any) -> None:
        for optimizer in held:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    hook = ramped.register_step_post_hook(step_held) if held else None
    try:
        yield
    finally:
        if hook is not None:
            hook.remove()


def _notes(
    module: Any, ramped: Optimizer, held: Sequence[Optimizer], schedulers: Sequence[Any]
) -> tuple[str, ...]:
    name = f"{type(module).__name__}.configure_optimizers"
    notes = []
    if schedulers:
        kinds = ", ".join(type(_scheduler_of(scheduler)).__name__ for scheduler in schedulers)
        notes.append(f"{name}: its scheduler ({kinds}) is not used, since the ramp sets the LR")
    if held:
        kinds = ", ".join(type(optimizer).__name__ for optimizer in held)
        notes.append(
            f"{name}: the LR of {type(ramped).__name__} is ramped; {kinds} trains along at its own LR"
        )
    return tuple(notes)


def _scheduler_of(entry: Any) -> Any:
    """The scheduler itself, which configure_optimizers may give in a mapping."""
    return entry["scheduler"] if isinstance(entry, Mapping) else entry
