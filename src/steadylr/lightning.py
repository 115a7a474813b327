"""Range tests of LightningModules: by themselves, or by a callback in a script that has a Trainer.

Needs Lightning (`pip install 'steadylr[lightning]'`); modules and Trainers of `lightning` and of `pytorch_lightning`
are both taken. docs/lightning.md shows both ways.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from steadylr.core.divergence import StopRule
from steadylr.core.ramp import Ramp
from steadylr.core.settings import Reading
from steadylr.present.progress import run_progress
from steadylr.report.notebook import RangeTest
from steadylr.run.batches import kept_order
from steadylr.run.lightning_data import CombinedBatches
from steadylr.run.lightning_module import (
    TrainingStep,
    check_module,
    lr_ratios,
    mute_logger,
    silent_logging,
    take_apart,
)
from steadylr.run.optimizers import configured_lr, reference_lr
from steadylr.run.options import Options
from steadylr.run.range_test import range_test as _range_test
from steadylr.run.snapshot import restored
from steadylr.run.steps import check_trainable
from steadylr.words.python import Suggestion, suggest

try:
    from lightning.pytorch import Callback
except ModuleNotFoundError:
    try:
        from pytorch_lightning import Callback  # type: ignore[assignment]
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "steadylr.lightning needs Lightning: pip install 'steadylr[lightning]'"
        ) from error

__all__ = ["LRFinderCallback", "range_test"]

LR_NAMES = ("lr", "learning_rate")
"""What a module's attribute or hyperparameter with its LR is called."""

log = logging.getLogger("steadylr")


def range_test(
    module: Any,
    data: Any = None,
    ramp: Ramp | None = None,
    *,
    optimizer: int = 0,
    stop_rule: StopRule | None = None,
    accumulation_steps: int = 1,
    restore: bool = True,
    on_step: Callable[[int, float, float | None], None] | None = None,
) -> RangeTest:
    """Train a LightningModule, by its own training_step, along a ramp of LRs: a range test without a Trainer.

    The module trains where it is. Its schedulers are left out; the ratios of its parameter groups are kept.

    Args:
        module: a LightningModule with automatic optimisation.
        data: a LightningDataModule, a loader, any other iterable of batches, or a mapping of loaders; None: the
            module's own train_dataloader.
        ramp: start, end and number of steps; None: Ramp(), from 1e-7 to 10 in 1000 steps.
        optimizer: which optimizer of configure_optimizers is ramped, from 0; others train along at their own LRs.
        stop_rule: when a run has diverged; None: StopRule().
        accumulation_steps: batches per optimizer step, at least 1.
        restore: give the module and the loaders' random generators back as they were, also after an exception.
        on_step: on_step(step, lr, newest loss or None), after every step.

    Raises:
        ValueError: no LightningModule, one with manual optimisation, a training_step that returns no loss, no
            optimizer, or no data; and whatever steadylr.range_test refuses.
    """
    chosen = Ramp() if ramp is None else ramp
    with ExitStack() as stack:
        parts = take_apart(module, data, optimizer=optimizer, num_steps=chosen.num_iter)
        stack.callback(parts.release)
        for note in parts.notes:
            log.info("%s", note)
        options = Options(
            step=parts.step,
            stop_rule=StopRule() if stop_rule is None else stop_rule,
            accumulation_steps=accumulation_steps,
            lr_ratios=parts.lr_ratios,
            others=parts.held,
            restore=restore,
            on_step=on_step,
        )
        return RangeTest.of(_range_test(module, parts.optimizer, parts.batches, chosen, options))


class LRFinderCallback(Callback):
    """Runs a range test when a fit begins, and lets it train with the LR that was found.

    The LR is set in the optimizer (all groups in their ratios) and in its schedulers, and in the module's lr or
    learning_rate, as attribute and as hyperparameter, where it has one. All else is as if the test had not been:
    weights, buffers, metrics, optimizer state, random generators, the order of the data. The test trains as the
    Trainer does: on its device, in its precision, with its gradient clipping and its accumulate_grad_batches; it
    logs nothing, and no other callback hears of it. Where no LR was found the optimizer keeps its own, and the
    reason is printed. With Trainer(fast_dev_run=...), or ckpt_path to go on from, there is no test.

    Args:
        ramp: start, end and number of steps; None: Ramp(), from 1e-7 to 10 in 1000 steps.
        rule: which rule reads the LR off the curve: see steadylr.suggest.
        reading: how it reads it; None: Reading().
        stop_rule: when the run has diverged; None: StopRule().
        set_lr: False only measures.

    Attributes:
        result: the RangeTest of the last fit, or None.
        suggestion: what the rule read off its curve, or None.
    """

    def __init__(
        self,
        ramp: Ramp | None = None,
        *,
        rule: str = "bracket",
        reading: Reading | None = None,
        stop_rule: StopRule | None = None,
        set_lr: bool = True,
    ) -> None:
        super().__init__()
        self.ramp = Ramp() if ramp is None else ramp
        self.rule = rule
        self.reading = Reading() if reading is None else reading
        self.stop_rule = stop_rule
        self.set_lr = set_lr
        self.result: RangeTest | None = None
        self.suggestion: Suggestion | None = None

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Refuse a module that can't be tested before anything is set up."""
        if stage == "fit":
            check_module(pl_module)

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        """Test, and set the LR."""
        self.result = self.suggestion = None
        if trainer.fast_dev_run or trainer.ckpt_path is not None:
            why = "fast_dev_run" if trainer.fast_dev_run else "the fit goes on from a checkpoint"
            trainer.print(f"No range test: {why}")
            return
        self.result = _test(trainer, pl_module, self.ramp, self.stop_rule)
        found = suggest(self.result.curve, rule=self.rule, reading=self.reading)
        self.suggestion = found
        if found.lr is None:
            own = _configured_lr(trainer.optimizers[0])
            trainer.print(f"No LR was found: {found.reason}. The optimizer keeps {own:.3g}")
            return
        trainer.print(f"LR {found.lr:.3g} by {found.rule}{'' if self.set_lr else ', not set'}")
        if self.set_lr:
            _set_lr(trainer, pl_module, found.lr)


# ---- the test within a Trainer


def _test(trainer: Any, module: Any, ramp: Ramp, stop_rule: StopRule | None) -> RangeTest:
    optimizer = trainer.optimizers[0]  # with automatic optimisation a Trainer takes no second one
    check_trainable(module, optimizer)
    ratios = lr_ratios(optimizer, module)
    strategy = trainer.strategy
    shown = trainer.is_global_zero and trainer.progress_bar_callback is not None
    step = TrainingStep(
        module,
        lambda batch: strategy.batch_to_device(trainer.precision_plugin.convert_input(batch)),
        call=strategy.training_step,
    )
    with (
        _undisturbed(trainer, module, optimizer) as batches,
        run_progress(ramp.num_iter, shown=shown) as report,
    ):
        options = Options(
            step=step,
            stop_rule=StopRule() if stop_rule is None else stop_rule,
            accumulation_steps=trainer.accumulate_grad_batches,
            lr_ratios=ratios,
            backward=lambda loss: strategy.backward(loss, optimizer),
            restore=False,
            on_step=report,
        )
        stepping: Any = _TrainersOptimizer(trainer, module, optimizer)
        return RangeTest.of(_range_test(module, stepping, batches, ramp, options))


class _TrainersOptimizer:
    """An optimizer that steps as the Trainer lets it: in its precision, with its gradient clipping."""

    def __init__(self, trainer: Any, module: Any, optimizer: Optimizer) -> None:
        self._trainer = trainer
        self._module = module
        self._optimizer = optimizer
        self._done = torch.zeros(())

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        return self._optimizer.param_groups

    def zero_grad(self, set_to_none: bool = True) -> None:
        self._optimizer.zero_grad(set_to_none=set_to_none)

    def step(self) -> None:
        """One step; the loss and its gradients are there already, so that the closure has nothing to do."""
        self._trainer.strategy.optimizer_step(self._optimizer, lambda: self._done, model=self._module)


@contextmanager
def _undisturbed(trainer: Any, module: Any, optimizer: Optimizer) -> Iterator[CombinedBatches]:
    """Within this context train on the batches that it gives; afterwards the Trainer has noticed nothing."""
    trainer.fit_loop.setup_data()  # what the fit would do next: it takes what is there
    batches = CombinedBatches(copy.copy(trainer.fit_loop._combined_loader))  # with an iterator of its own
    callbacks, loggers = trainer.callbacks, trainer.loggers
    precision = copy.deepcopy(trainer.precision_plugin.state_dict())
    with restored(module, optimizer), silent_logging(module), kept_order(batches):
        trainer.callbacks, trainer.loggers = [], [mute_logger(module) for _ in loggers]
        try:
            yield batches
        finally:
            trainer.callbacks, trainer.loggers = callbacks, loggers
            trainer.precision_plugin.load_state_dict(precision)


# ---- setting the LR


def _set_lr(trainer: Any, module: Any, lr: float) -> None:
    """Let an optimizer, its schedulers and the module go on as if they had been configured with this LR."""
    groups = trainer.optimizers[0].param_groups
    factor = lr / _configured_lr(trainer.optimizers[0])
    for group in groups:
        for name in ("lr", "initial_lr", "max_lr", "min_lr"):
            if name in group:
                group[name] = _scaled(group[name], factor)
    for config in trainer.lr_scheduler_configs:
        _scale_scheduler(config.scheduler, factor)
    for name in LR_NAMES:
        if isinstance(vars(module).get(name), int | float):
            setattr(module, name, lr)
        if name in module.hparams:
            module.hparams[name] = lr


def _configured_lr(optimizer: Optimizer) -> float:
    """The LR of a group of ratio 1, as configured."""
    return reference_lr([configured_lr(group) for group in optimizer.param_groups])


def _scaled(value: Any, factor: float) -> Any:
    """A number or a tensor times a factor; tensors in place, as compiled optimizers keep theirs."""
    return value.mul_(factor) if isinstance(value, Tensor) else value * factor


def _scale_scheduler(scheduler: Any, factor: float) -> None:
    """Multiply the LRs that a scheduler, or those that it is made of, was configured with."""
    for name in ("base_lrs", "max_lrs", "_last_lr"):
        if isinstance(getattr(scheduler, name, None), list):
            setattr(scheduler, name, [_scaled(value, factor) for value in getattr(scheduler, name)])
    for inner in getattr(scheduler, "_schedulers", ()):
        _scale_scheduler(inner, factor)
