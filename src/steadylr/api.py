"""The library: a range test of a model in hand, and its figure, for programs and notebooks.

docs/from-python.md shows it at work. It loads no more than the engine, until something is drawn.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn
from torch.amp import GradScaler
from torch.optim import Optimizer

from steadylr.core.arguments import check_kind
from steadylr.core.curve import Curve, Stop
from steadylr.core.divergence import StopRule
from steadylr.core.ramp import Ramp
from steadylr.core.settings import Reading
from steadylr.present.progress import run_progress
from steadylr.report.notebook import RangeTest, answer_of_test
from steadylr.run.optimizer_facts import optimizer_doubt
from steadylr.run.options import LossFn, OnStep, Options
from steadylr.run.range_test import range_test as _range_test
from steadylr.run.snapshot import Stateful
from steadylr.run.steps import Step
from steadylr.words.python import Suggestion

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def range_test(
    model: nn.Module,
    optimizer: Optimizer,
    data: Iterable[Any],
    loss_fn: LossFn | None = None,
    ramp: Ramp | None = None,
    *,
    step: Step | None = None,
    stop_rule: StopRule | None = None,
    accumulation_steps: int = 1,
    batch_weight: Callable[[Any], float] | None = None,
    lr_ratios: Sequence[float] | None = None,
    others: Sequence[Stateful] = (),
    backward: Callable[[Tensor], Any] | None = None,
    scaler: GradScaler | None = None,
    before_step: Callable[[nn.Module], Any] | None = None,
    validate: Callable[[nn.Module], float | Tensor] | None = None,
    val_every: int = 0,
    restore: bool = True,
    progress: bool = True,
    on_step: OnStep | None = None,
    read_lag: int | None = None,
) -> RangeTest:
    """Train a model along a rising LR, where it is and as it is wrapped, and give it back as it was.

    In step i, from 0, group g trains with ramp.lr_at(i) * lr_ratios[g]; point i of the curve is ramp.lr_at(i) with
    the loss of that step's forward pass, before its update (the mean over the accumulated batches). The run ends
    after the ramp's last step or where the stop rule fires: that point is the curve's last.

    Args:
        model: trained in train mode, on the device that it is on. If it is in train mode already, single modules in
            eval mode stay so.
        optimizer: over its parameters. Its groups' LRs are overwritten; other settings hold. One that has modes
            (schedule-free) is put into train mode.
        data: what is iterated for batches, again and again if it ends: a DataLoader, a list of batches. An iterator
            that ends early can't be started again.
        loss_fn: loss_fn(model(inputs), targets), for batches that are pairs; not needed with `step`.
        ramp: start, end and number of steps; None: Ramp(), from 1e-7 to 10 in 1000 steps.
        step: step(model, batch) -> loss, for any other batch: dicts, several inputs, several losses. The batch comes
            on the model's device.
        stop_rule: when a run has diverged; None: StopRule(). NaN and infinities always end it.
        accumulation_steps: batches per optimizer step, at least 1.
        batch_weight: batch_weight(batch) -> how much it counts among the batches of its step; None: all the same.
        lr_ratios: LR of each group over that of the ramp, at least 0; a group at 0 stays as it is. None: the ratios to
            the first LR above 0 that the groups have now; where they are alike now, as at the start of a warm-up, those
            that their scheduler notes (max_lr, initial_lr).
        others: further models, optimizers and gradient scalers that `step` trains by itself; given back as well.
        backward: called with the loss; None: loss.backward(). With Fabric: fabric.backward.
        scaler: of fp16: scales the loss, and leaves out updates whose gradients overflowed.
        before_step: before_step(model), called once the gradients of a step are there, unscaled: to clip them.
        validate: validate(model) -> loss, called in eval mode without gradients after steps 0, val_every, ...
        val_every: steps from one validation to the next; 0: none.
        restore: give model, optimizer and random generators back as they were, also after an exception: with them a
            loss that is a module, and the generators, epochs and workers of the loader and its samplers. What the data
            set itself keeps is not.
        progress: show a bar, on a terminal or in a notebook; elsewhere there is none.
        on_step: on_step(step, lr, newest loss that has been read, or None), after every step. Must be quick. A Stop
            that it returns ends the run with that step.
        read_lag: steps after which a loss is read; None: at once on a CPU, else 16. Changes no result.

    Raises:
        ValueError: a number outside its range, batches that end early, no module or one without values, an optimizer
            with none of the model's parameters or one that needs a closure (LBFGS).
        StepError: a ValueError as well: batches that are no pairs, a loss that is not one number or has no gradient,
            or a step, loss or model that fails on the first batch.

    Warns:
        UserWarning: an optimizer for which a learning-rate finder makes little sense, such as Prodigy, or groups that
            all have LR 0.
    """
    ramp = Ramp() if ramp is None else ramp
    check_kind(Ramp, ramp=ramp)
    doubt = optimizer_doubt(type(optimizer).__name__)
    if doubt is not None:
        warnings.warn(doubt, stacklevel=2)
    with run_progress(ramp.num_iter, shown=progress) as bar:
        options = Options(
            loss_fn=loss_fn,
            step=step,
            stop_rule=StopRule() if stop_rule is None else stop_rule,
            accumulation_steps=accumulation_steps,
            batch_weight=batch_weight,
            lr_ratios=lr_ratios,
            others=others,
            backward=backward,
            scaler=scaler,
            before_step=before_step,
            validate=validate,
            val_every=val_every,
            restore=restore,
            on_step=_both(bar, on_step),
            read_lag=read_lag,
        )
        return RangeTest.of(_range_test(model, optimizer, data, ramp, options))


def _both(one: OnStep | None, other: OnStep | None) -> OnStep | None:
    if one is None or other is None:
        return one if other is None else other

    def report(step: int, lr: float, loss: float | None) -> Stop | None:
        one(step, lr, loss)
        return other(step, lr, loss)

    return report


def plot(
    result: RangeTest | Curve,
    suggestion: Suggestion | None = None,
    *,
    reading: Reading | None = None,
    title: str = "",
    path: str | PathLike[str] | None = None,
) -> Figure:
    """Draw a curve with the suggested LR and, beside it, what the other rules read off it.

    Shows the raw losses, the smoothed line that is read, and the bracket: whether the LR lies where one would put it
    by eye. Needs a run with finite losses; one without an LR shows its reason. A notebook shows the figure where it is
    a cell's last value; it belongs to no pyplot state.

    Args:
        result: what range_test gave, or a curve alone. With validation losses, these are drawn.
        suggestion: the headline; None: that of suggest(curve).
        reading: how the curve is smoothed and cut; None: Reading().
        title: above the figure; empty for none.
        path: where to save it as well: a png, pdf or svg file.
    """
    from steadylr.present.figures import save_figure
    from steadylr.report.figures import range_test_figure

    check_kind(Curve, result=getattr(result, "curve", result))
    check_kind(Reading, reading=Reading() if reading is None else reading)
    figure = range_test_figure(result, answer_of_test(result, suggestion, reading), title=title)
    if path is not None:
        save_figure(figure, Path(path))
    return figure
