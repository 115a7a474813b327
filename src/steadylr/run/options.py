"""How a training along a schedule of LRs is done, in one object: what the doors take apart and the loop reads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn
from torch.amp import GradScaler

from steadylr.core.arguments import check_kind, check_whole
from steadylr.core.curve import Stop
from steadylr.core.divergence import StopRule
from steadylr.errors import InvalidValue
from steadylr.run.snapshot import Stateful
from steadylr.run.steps import Step

LossFn = Callable[[Any, Any], Tensor]
"""(model(inputs), targets) -> loss, a tensor of shape ()."""

OnStep = Callable[[int, float, float | None], Stop | None]
"""(step, lr, newest loss or None) -> a Stop to end the run, or None."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Options:
    """Everything about a training but the model, its optimizer, its batches and its schedule.

    Args:
        loss_fn: loss_fn(model(inputs), targets), for batches that are pairs; not needed with `step`.
        step: step(model, batch) -> loss, for batches of any other shape: dicts, several inputs, several losses. The
            batch comes on the model's device.
        stop_rule: when a run has diverged. NaN and infinities always end it.
        accumulation_steps: batches per optimizer step, at least 1.
        batch_weight: batch_weight(batch) -> how much it counts among the batches of its step, above 0: its
            number of samples, say, so that an epoch's short last batch counts less. None: all the same.
        lr_ratios: LR of each group over that of the ramp, at least 0. None: the ratios that the optimizer's
            groups have now, the first group being 1. (A plan has ratios of its own.)
        others: further models, optimizers and gradient scalers that `step` trains by itself, such as a GAN's
            discriminator with its optimizer: given back like the first two. Their LRs are left alone.
        backward: called with the loss; None: loss.backward(). With Fabric: fabric.backward.
        scaler: scales the loss for fp16, and leaves out updates whose gradients overflowed; given back like the
            model. None: that of Fabric where it wrapped the optimizer for fp16, else none.
        before_step: before_step(model), called once the gradients of a step are there, unscaled: to clip them.
        validate: validate(model) -> loss, called in eval mode without gradients; neither modes nor random generators
            notice. A range test calls it after steps 0, val_every, 2 val_every, ..., a plan's training at its end.
        val_every: steps from one validation to the next; 0: none.
        restore: give model and optimizer back as they were, also after an exception; see restored. (A training along
            a plan stays.)
        on_step: called after every step; must be quick. A Stop that it returns ends the run with that step, for that
            reason.
        read_lag: steps after which a loss is read. None: at once on a CPU, else 16, so that no step waits for
            the device. The result is the same for any: steps after the one at which the rule fired are cut
            off.

    Raises:
        ValueError: accumulation_steps, val_every or read_lag outside its range.
    """

    loss_fn: LossFn | None = None
    step: Step | None = None
    stop_rule: StopRule = field(default_factory=StopRule)
    accumulation_steps: int = 1
    batch_weight: Callable[[Any], float] | None = None
    lr_ratios: Sequence[float] | None = None
    others: Sequence[Stateful] = ()
    backward: Callable[[Tensor], Any] | None = None
    scaler: GradScaler | None = None
    before_step: Callable[[nn.Module], Any] | None = None
    validate: Callable[[nn.Module], float | Tensor] | None = None
    val_every: int = 0
    restore: bool = True
    on_step: OnStep | None = None
    read_lag: int | None = None

    def __post_init__(self) -> None:
        check_kind(StopRule, stop_rule=self.stop_rule)
        check_whole(accumulation_steps=self.accumulation_steps, val_every=self.val_every)
        if self.read_lag is not None:
            check_whole(read_lag=self.read_lag)
        if self.accumulation_steps < 1:
            raise InvalidValue(f"accumulation_steps must be at least 1; got {self.accumulation_steps!r}")
        if self.val_every < 0:
            raise InvalidValue(f"val_every must be at least 0 (0: no validation); got {self.val_every!r}")
        if self.read_lag is not None and self.read_lag < 0:
            raise InvalidValue(f"read_lag must be at least 0; got {self.read_lag!r}")
