"""torch-lr-finder's LRFinder over our range test. `smooth_f` has its meaning there: the weight of the newest loss."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from steadylr.compat.loader_iters import DataLoaderIter, TrainDataLoaderIter, ValDataLoaderIter, pairs_of
from steadylr.core.curve import Curve, Stop
from steadylr.core.divergence import StopRule
from steadylr.core.ramp import Ramp
from steadylr.present.progress import run_progress
from steadylr.run.batches import kept_order
from steadylr.run.fabric import move_data_to_device
from steadylr.run.loop import evaluating
from steadylr.run.losses import num_samples
from steadylr.run.optimizers import reference_lr
from steadylr.run.options import Options
from steadylr.run.range_test import range_test
from steadylr.run.snapshot import Stateful, restored, snapshot
from steadylr.run.steps import Step, check_trainable, function_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.axes import Axes
    from torch import Tensor
    from torch.amp import GradScaler
    from torch.optim import Optimizer

    from steadylr.present.progress import StepReport

__all__ = ["DataLoaderIter", "LRFinder", "TrainDataLoaderIter", "ValDataLoaderIter"]


class LRFinder:
    """A learning-rate range test as torch-lr-finder's class offers it.

    Args:
        model: what is trained.
        optimizer: its LR is where the ramp starts, unless range_test says otherwise.
        criterion: criterion(outputs, labels) -> loss.
        device: where to train; None: where the model is.
        memory_cache: of no effect: the copies of model and optimizer lie in host memory.
        cache_dir: of no effect: no file is written.
        amp_backend: "torch" trains under torch.amp.autocast; None does not.
        amp_config: arguments of torch.amp.autocast; None: {"device_type": the device's type}.
        grad_scaler: the torch.amp.GradScaler, needed with amp_backend="torch".

    Attributes:
        history: {"lr": [...], "loss": [...]} of the latest range test, the losses smoothed; finite.

    Raises:
        RuntimeError: the optimizer has a scheduler attached.
        ValueError: an unknown amp_backend, one without a grad_scaler, a cache_dir that is no folder, or a model or an
            optimizer that can't be ramped.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        criterion: Callable[[Any, Any], Tensor],
        device: torch.device | str | None = None,
        memory_cache: bool = True,
        cache_dir: str | None = None,
        amp_backend: str | None = None,
        amp_config: dict[str, Any] | None = None,
        grad_scaler: GradScaler | None = None,
    ) -> None:
        check_trainable(model, optimizer)
        self.optimizer = optimizer
        self._refuse_scheduler()
        if amp_backend not in (None, "", "torch"):
            raise ValueError(f"Unknown amp backend: {amp_backend!r}; 'torch' is the one there is")
        if amp_backend and grad_scaler is None:
            raise ValueError("`grad_scaler` is required when using `torch.amp`: give torch.amp.GradScaler()")
        if cache_dir is not None and not Path(cache_dir).is_dir():
            raise ValueError(f"Given `cache_dir` is not a valid directory: {cache_dir!r}")
        self.model = model
        self.criterion = criterion
        self.memory_cache = memory_cache
        self.cache_dir = cache_dir
        self.amp_backend = amp_backend
        self.amp_config = amp_config
        self.grad_scaler = grad_scaler
        self.model_device = next(model.parameters()).device
        self.device = self.model_device if device is None else torch.device(device)
        self.history: dict[str, list[float]] = {"lr": [], "loss": []}
        self._curve: Curve | None = None
        self._put_back = snapshot(*self._parts())

    def reset(self) -> None:
        """Bring model, optimizer and gradient scaler back to what they were when this finder was made.

        A range test gives them back by itself, so this matters only when they were trained in between. It can be
        called any number of times.
        """
        self._put_back()

    @property
    def best_loss(self) -> float | None:
        """The lowest loss in history; None before the first."""
        return min(self.history["loss"], default=None)

    @property
    def curve(self) -> Curve:
        """The raw losses of the latest range test (those on val_loader, if it was given): for steadylr.suggest,
        steadylr.diagnose and the rest.

        Raises:
            RuntimeError: no range test has ended yet.
        """
        if self._curve is None:
            raise RuntimeError("there is no curve yet: no range_test has ended")
        return self._curve

    def range_test(
        self,
        train_loader: Any,
        val_loader: Any = None,
        start_lr: float | None = None,
        end_lr: float = 10,
        num_iter: int = 100,
        step_mode: str = "exp",
        smooth_f: float = 0.05,
        diverge_th: float = 5,
        accumulation_steps: int = 1,
        non_blocking_transfer: bool = True,
    ) -> None:
        """Train along a ramp of LRs, fill history, and give model, optimizer and random generators back.

        The run ends early where the smoothed loss is above diverge_th times the best one. Where the best is not
        above 0, that says nothing: steadylr.StopRule() decides instead, on the raw losses. A NaN or an infinite
        loss ends it too, and stays out of history.

        Args:
            train_loader: a DataLoader or a TrainDataLoaderIter.
            val_loader: a DataLoader or a ValDataLoaderIter: after each step the loss on all of it, in eval mode, is
                what counts. None: the training loss.
            start_lr: LR of the first step, above 0. None: that of the optimizer, of its first group above 0. Its groups
                keep their ratios; one at 0 stays at 0.
            end_lr: LR of the last step, above start_lr.
            num_iter: steps, at least 2.
            step_mode: "exp" or "linear".
            smooth_f: weight of the newest loss in the exponential smoothing, in [0, 1); 0: no smoothing.
            diverge_th: see above.
            accumulation_steps: batches per step, at least 1.
            non_blocking_transfer: of no effect: batches go to a GPU without waiting for them.

        Raises:
            RuntimeError: the optimizer has a scheduler attached.
            ValueError: a loader of another kind, or a number outside its range.
        """
        self._refuse_scheduler()
        if not 0 <= smooth_f < 1:
            raise ValueError(f"smooth_f is outside the range [0, 1[; got {smooth_f!r}")
        ramp = self._ramp(start_lr, end_lr, num_iter, step_mode)
        self.history = {"lr": [], "loss": []}
        self._curve = None
        with (
            kept_order(train_loader),
            kept_order(val_loader),
            restored(*self._parts()),
            _moved(self.model, self.model_device, self.device),
            run_progress(num_iter) as report,
        ):
            # In this order: both draw from the random generator when they are made
            train_iter = pairs_of(train_loader, TrainDataLoaderIter, "train_loader")
            held_out = None if val_loader is None else pairs_of(val_loader, ValDataLoaderIter, "val_loader")
            validate = None if held_out is None else lambda: self._mean_loss(held_out)
            judge = _Judge(smooth_f, diverge_th, self.history, validate=validate, report=report)
            options = Options(
                step=self._step(),
                stop_rule=StopRule(None),  # the judge decides
                accumulation_steps=accumulation_steps,
                scaler=self.grad_scaler if self.amp_backend else None,
                restore=False,  # what is given back here includes where the model was
                on_step=judge.after_step,
                read_lag=0,
            )
            trained = range_test(self.model, self.optimizer, train_iter, ramp, options)
        self._curve = judge.curve_of(trained.curve)
        if self._curve.stop is Stop.DIVERGED:
            print("Stopping early, the loss has diverged")

    def plot(
        self,
        skip_start: int = 10,
        skip_end: int = 5,
        log_lr: bool = True,
        show_lr: float | None = None,
        ax: Axes | None = None,
        suggest_lr: bool = True,
    ) -> Axes | tuple[Axes, float]:
        """Draw history's losses against their LRs.

        Args:
            skip_start: points left out at the start, at least 0.
            skip_end: points left out at the end, at least 0.
            log_lr: a logarithmic LR axis.
            show_lr: mark this LR by a line; None: no line.
            ax: where to draw. None: in a new figure, which is shown.
            suggest_lr: mark, print and give the LR at which the smoothed loss falls fastest from point to point.
                With torch-lr-finder's smoothing that lags behind the true one: steadylr.suggest(finder.curve) doesn't.

        Returns:
            The axes, with suggest_lr=True the axes and the LR.

        Raises:
            ValueError: a skip below 0, or a show_lr that is no float.
            RuntimeError: suggest_lr=True with fewer than two points between the skips.
        """
        for name, value in (("skip_start", skip_start), ("skip_end", skip_end)):
            if value < 0:
                raise ValueError(f"{name} cannot be negative; got {value!r}")
        if show_lr is not None and not isinstance(show_lr, float):
            raise ValueError(f"show_lr must be float; got {show_lr!r}")
        count = len(self.history["lr"])
        if suggest_lr and count < skip_start + skip_end + 2:
            raise RuntimeError(
                f"Need at least {skip_start + skip_end + 2} iterations to suggest a learning rate. Got {count}"
            )
        shown = slice(skip_start, max(count - skip_end, 0))
        lrs, losses = self.history["lr"][shown], self.history["loss"][shown]
        with _axes(ax) as drawn:
            drawn.plot(lrs, losses)
            if log_lr:
                drawn.set_xscale("log")
            drawn.set_xlabel("Learning rate")
            drawn.set_ylabel("Loss")
            if show_lr is not None:
                drawn.axvline(x=show_lr, color="red")
            if not suggest_lr:
                return drawn
            steepest = int(np.gradient(np.array(losses)).argmin())
            drawn.scatter(
                lrs[steepest], losses[steepest], s=75, color="red", zorder=3, label="steepest gradient"
            )
            drawn.legend()
        print("LR suggestion: steepest gradient")
        print(f"Suggested LR: {lrs[steepest]:.2E}")
        return drawn, lrs[steepest]

    def _parts(self) -> list[Stateful]:
        criterion = [self.criterion] if isinstance(self.criterion, nn.Module) else []
        scaler = [] if self.grad_scaler is None else [self.grad_scaler]
        return [self.model, self.optimizer, *criterion, *scaler]

    def _refuse_scheduler(self) -> None:
        if any("initial_lr" in group for group in self.optimizer.param_groups):
            raise RuntimeError(
                "Optimizer already has a scheduler attached to it: make the finder before the scheduler"
            )

    def _ramp(self, start_lr: float | None, end_lr: float, num_iter: int, step_mode: str) -> Ramp:
        mode = step_mode.lower()
        if mode not in ("exp", "linear"):
            raise ValueError(f"step_mode: expected one of (exp, linear), got {step_mode!r}")
        if num_iter < 2:
            raise ValueError(f"`num_iter` must be larger than 1; got {num_iter!r}")
        first_lr = start_lr
        if first_lr is None:
            first_lr = reference_lr([float(group["lr"]) for group in self.optimizer.param_groups])
            if first_lr == 0:
                raise ValueError("start_lr must be above 0, and the optimizer's LR is 0: give start_lr")
        return Ramp(first_lr, end_lr, num_iter, "exp" if mode == "exp" else "linear")

    def _step(self) -> Step:
        """criterion(model(inputs), labels), under the name that the user knows."""

        def take_step(model: nn.Module, pair: tuple[Any, Any]) -> Tensor:
            inputs, labels = pair
            with self._autocast():
                return self.criterion(model(inputs), labels)

        take_step.__qualname__ = (
            f"of criterion {function_name(self.criterion)} with model {type(self.model).__name__}"
        )
        return take_step

    def _autocast(self) -> AbstractContextManager[Any]:
        if not self.amp_backend:
            return nullcontext()
        config = {"device_type": self.device.type} if self.amp_config is None else self.amp_config
        return torch.amp.autocast(**config)

    def _mean_loss(self, pairs: ValDataLoaderIter) -> float:
        """The mean loss over all samples, in eval mode; in full precision, as torch-lr-finder does it."""
        total, count = 0.0, 0
        with evaluating(self.model, self.optimizer):
            for pair in pairs:
                inputs, labels = move_data_to_device(pair, self.device)
                samples = num_samples(inputs, labels)
                total += self.criterion(self.model(inputs), labels).item() * samples
                count += samples
        if count == 0:
            raise ValueError("val_loader is empty: there is nothing to take the mean loss of")
        return total / count


class _Judge:
    """Smooths the losses and says when a run ends, as torch-lr-finder does where that makes sense.

    Args:
        smooth_f: weight of the newest loss; 0: no smoothing.
        diverge_th: times the best smoothed loss, where that is above 0.
        history: gets the LRs and the smoothed losses.
        validate: gives the loss that counts; None: the training's counts. It isn't range_test's validate, which
            keeps validation from drawing from the training's random generators: there it does.
        report: told after every step; None: nobody is.
    """

    def __init__(
        self,
        smooth_f: float,
        diverge_th: float,
        history: dict[str, list[float]],
        *,
        validate: Callable[[], float] | None,
        report: StepReport | None,
    ) -> None:
        self._smooth_f = smooth_f
        self._diverge_th = diverge_th
        self._history = history
        self._validate = validate
        self._report = report
        self._raw: list[float] = []
        self._best = math.inf
        self._by_differences = StopRule().monitor()

    def after_step(self, step: int, lr: float, loss: float | None) -> Stop | None:
        """Take the loss that counts; say whether, and why, the run ends with it."""
        if self._validate is not None:
            loss = self._validate()
        assert loss is not None  # with read_lag=0 each is read at once
        if self._report is not None:
            self._report(step, lr, loss)
        self._raw.append(loss)
        climbed = self._by_differences.update(loss)
        if not math.isfinite(loss):
            return Stop.NON_FINITE
        smoothed = self._smoothed(loss)
        self._history["lr"].append(lr)
        self._history["loss"].append(smoothed)
        self._best = min(self._best, smoothed)
        if self._best <= 0:
            return climbed
        return Stop.DIVERGED if smoothed > self._diverge_th * self._best else None

    def _smoothed(self, loss: float) -> float:
        before = self._history["loss"]
        if not before or self._smooth_f == 0:
            return loss
        return self._smooth_f * loss + (1 - self._smooth_f) * before[-1]

    def curve_of(self, trained: Curve) -> Curve:
        """The raw losses that counted: those of the training, unless there are validation losses."""
        if self._validate is None or not self._raw:
            return trained
        return Curve(trained.lr[: len(self._raw)], np.array(self._raw), trained.num_iter, trained.stop)


@contextmanager
def _moved(model: nn.Module, home: torch.device, device: torch.device) -> Iterator[None]:
    """Within this context a model is on a device; a model that is there already is left alone."""
    if device == home:
        yield
        return
    try:
        model.to(device)
        yield
    finally:
        model.to(home)


@contextmanager
def _axes(ax: Axes | None) -> Iterator[Axes]:
    """The axes given; None: those of a new figure, which is shown at the end wherever a figure can be."""
    if ax is not None:
        yield ax
        return
    from matplotlib import pyplot

    _, made = pyplot.subplots()
    yield made
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="FigureCanvas.* is non-interactive")
        pyplot.show()
