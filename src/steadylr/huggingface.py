"""Range tests of Hugging Face's Trainer, the step for models of transformers, and a plan as TrainingArguments.

It imports neither transformers nor accelerate: whoever has a Trainer has both. docs/hugging-face.md shows it at work.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from steadylr.core.divergence import StopRule
from steadylr.core.ramp import Ramp
from steadylr.errors import InvalidValue
from steadylr.present.progress import run_progress
from steadylr.report.notebook import RangeTest
from steadylr.run.batches import endless
from steadylr.run.optimizers import current_ratios
from steadylr.run.options import Options
from steadylr.run.range_test import range_test as _range_test
from steadylr.run.snapshot import kept_attributes, restored
from steadylr.run.steps import check_trainable, described
from steadylr.run.transformers_model import step
from steadylr.words.plan_lines import training_arguments

__all__ = ["range_test", "step", "training_arguments"]


def range_test(
    trainer: Any, ramp: Ramp | None = None, *, stop_rule: StopRule | None = None, progress: bool = True
) -> RangeTest:
    """Train a Trainer's model along a ramp of LRs, as its train() would, and give everything back as it was.

    It sets itself up as for train() and trains by its own training_step and compute_loss, on its own batches (sampler,
    collator), with its gradient accumulation, gradient clipping and precision. It evaluates, logs and saves nothing,
    and no callback hears of it. The train() that follows is, bit for bit, the one without the test.

    Args:
        trainer: a Trainer of transformers, or of a class of one's own over it, on one device. Where it has no optimizer
            yet it makes the one that its arguments ask for; one that it was given keeps the ratios of its groups.
        ramp: start, end and number of steps; None: Ramp(), from 1e-7 to 10 in 1000 steps.
        stop_rule: when the run has diverged; None: StopRule().
        progress: show a bar, on a terminal or in a notebook.

    Raises:
        ValueError: no Trainer, one on several devices or with DeepSpeed or FSDP; and whatever steadylr.range_test
            refuses.
        StepError: a ValueError as well: a training_step that fails on the first batch.
    """
    _check_trainer(trainer)
    chosen = Ramp() if ramp is None else ramp
    rule = StopRule() if stop_rule is None else stop_rule
    tests: list[RangeTest] = []

    def instead(batch_size: int | None = None, **_: Any) -> None:
        if batch_size is not None:  # train() lowers it where auto_find_batch_size says so
            trainer._train_batch_size = batch_size
        tests.append(_test(trainer, chosen, rule, progress=progress))

    with _undisturbed(trainer):
        trainer._inner_training_loop = instead
        trainer.train()
    return tests[-1]


def _check_trainer(trainer: Any) -> None:
    bases = type(trainer).__mro__
    if not any(base.__name__ == "Trainer" and base.__module__.startswith("transformers.") for base in bases):
        raise InvalidValue(
            f"trainer must be a transformers.Trainer; got {described(trainer)}: steadylr.range_test takes a model, "
            "its optimizer and batches"
        )
    engines = [name for name in ("deepspeed", "fsdp") if getattr(trainer, f"is_{name}_enabled", False)]
    if engines or trainer.args.world_size > 1 or trainer.args.n_gpu > 1:
        where = engines[0] if engines else "several devices"
        raise InvalidValue(
            f"this Trainer trains with {where}, and a range test needs it on one device: start it in one process with "
            "one device in sight, and raise gradient_accumulation_steps until a step has as many samples"
        )


# ---- the test within a Trainer


def _test(trainer: Any, ramp: Ramp, stop_rule: StopRule, *, progress: bool) -> RangeTest:
    """The test itself, once train() has set up all that is not of its loop."""
    loader = trainer.get_train_dataloader()
    trainer.create_optimizer()
    check_trainable(trainer.model, getattr(trainer.optimizer, "optimizer", trainer.optimizer))
    ratios = current_ratios(trainer.optimizer)
    model, trainer.optimizer = trainer.accelerator.prepare(trainer.model, trainer.optimizer)

    def take_step(model: nn.Module, batch: tuple[list[Any], Any]) -> Tensor:
        """The mean loss of a step's batches; training_step has taken their gradients, too."""
        samples, num_items = batch
        trainer.current_gradient_accumulation_steps = len(samples)
        losses = [trainer.training_step(model, inputs, num_items) for inputs in samples]
        return torch.stack(losses).sum().requires_grad_()

    take_step.__qualname__ = f"{type(trainer).__name__}.training_step"  # by which the user knows it
    stepping: Any = _TrainersOptimizer(trainer, model)
    updates = _Updates(trainer, loader, num_iter=ramp.num_iter)
    with run_progress(ramp.num_iter, shown=progress) as report:
        options = Options(
            step=take_step,
            stop_rule=stop_rule,
            lr_ratios=ratios,
            backward=lambda loss: None,
            restore=False,
            on_step=report,
        )
        return RangeTest.of(_range_test(model, stepping, updates, ramp, options))


class _Updates:
    """The batches of a Trainer, as many together as one update takes, with the number of items that their loss is over.

    An update goes on into the next epoch, where its own loop would make a smaller one: a smaller loss would look like
    a better one.
    """

    def __init__(self, trainer: Any, loader: Any, *, num_iter: int) -> None:
        self._take = trainer.get_batch_samples
        self._loader = loader
        self._count = trainer.args.gradient_accumulation_steps
        self._needed = num_iter * self._count
        takes_device = "device" in inspect.signature(self._take).parameters  # not before transformers 4.50
        self._device = [trainer.args.device] if takes_device else []

    def __iter__(self) -> Iterator[tuple[list[Any], Any]]:
        with closing(endless(self._loader, self._needed)) as batches:
            while True:
                yield self._take(batches, self._count, *self._device)


class _TrainersOptimizer:
    """An optimizer that steps as its Trainer lets it: in its precision, with its gradient clipping."""

    def __init__(self, trainer: Any, model: nn.Module) -> None:
        self._trainer = trainer
        self._model = model

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        groups: list[dict[str, Any]] = self._trainer.optimizer.param_groups
        return groups

    def zero_grad(self, set_to_none: bool = True) -> None:
        self._model.zero_grad(set_to_none=set_to_none)

    def step(self) -> None:
        """One step, with the gradients that are there."""
        most = self._trainer.args.max_grad_norm
        if most is not None and most > 0:
            self._trainer.accelerator.clip_grad_norm_(self._model.parameters(), most)
        self._trainer.optimizer.step()


@contextmanager
def _undisturbed(trainer: Any) -> Iterator[None]:
    """Within this context a Trainer may train; afterwards it, and what it holds, has noticed nothing."""
    accelerator = trainer.accelerator
    holders = (
        accelerator,
        accelerator.gradient_state,
        trainer.callback_handler,
        trainer.state,
        trainer.control,
    )
    lent = (trainer.optimizer, getattr(accelerator, "scaler", None))
    with ExitStack() as stack:
        stack.enter_context(kept_attributes(trainer, *holders))
        stack.enter_context(restored(trainer.model, *(part for part in lent if part is not None)))
        trainer.log = _nothing
        yield


def _nothing(*_: Any, **__: Any) -> None:
    return None
