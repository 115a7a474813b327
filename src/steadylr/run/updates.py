"""Updates: from losses to steps of the optimizer, straight or through a gradient scaler."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from steadylr.run.options import Options
from steadylr.run.snapshot import scaler_of


class Updates:
    """What happens between a loss and the changed weights; holds within `watching`.

    Args:
        model: what before_step is called with.
        optimizer: steps.
        options: backward is called with each loss, once it is scaled; before_step with the model between the
            gradients, which are not scaled any more, and the step. scaler leaves out the steps whose gradients are
            not finite; where it is None and Fabric wrapped the optimizer and has one, Fabric's wrapper scales and
            steps by itself.
    """

    def __init__(self, model: nn.Module, optimizer: Optimizer, options: Options) -> None:
        self._model = model
        self._optimizer = optimizer
        self._backward = Tensor.backward if options.backward is None else options.backward
        self._own_scaler = options.scaler
        self._scaler = scaler_of(optimizer) if options.scaler is None else options.scaler
        self._before_step = options.before_step
        self._left_out: list[bool | Tensor] = []
        self._newest: bool | Tensor = False

    @property
    def backward(self) -> Callable[[Tensor], Any]:
        """Adds the gradients of a loss to those that are there."""
        scaler, backward = self._own_scaler, self._backward
        return backward if scaler is None else lambda loss: backward(scaler.scale(loss))

    def step(self) -> None:
        """Change the weights by the gradients that are there, unless a scaler finds them not finite."""
        if self._before_step is not None:
            if self._scaler is not None:
                self._scaler.unscale_(self._stepped)
            self._before_step(self._model)
        if self._scaler is None:
            self._optimizer.step()
            return
        self._newest = True
        if self._own_scaler is None:
            self._optimizer.step()
        else:
            self._own_scaler.step(self._optimizer)
            self._own_scaler.update()
        self._left_out.append(self._newest)

    def left_out(self, count: int) -> tuple[int, ...]:
        """Which of the first `count` steps a scaler left out, from 0, rising."""
        return tuple(step for step, skipped in enumerate(self._left_out[:count]) if bool(skipped))

    @property
    def _stepped(self) -> Optimizer:
        """The optimizer that the scaler knows: the one in Fabric's wrapper."""
        if self._own_scaler is not None:
            return self._optimizer
        wrapped: Optimizer = self._optimizer.optimizer  # type: ignore[attr-defined]
        return wrapped

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Within this context, see which steps are left out, without waiting for the device.

        A scaler doesn't call an optimizer whose step it leaves out, except for a fused one, which is told with a
        tensor that the step is void.
        """
        if self._scaler is None:
            yield
            return

        def note(optimizer: Optimizer, *_: Any) -> None:
            void = getattr(optimizer, "found_inf", None)
            self._newest = False if void is None else void.detach().clone()

        handle = self._stepped.register_step_post_hook(note)
        try:
            yield
        finally:
            handle.remove()
