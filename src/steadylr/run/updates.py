"""Updates: from losses to steps of the optimizer, straight or through a gradient scaler."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.amp import GradScaler
from torch.optim import Optimizer


def scaler_of(optimizer: Optimizer) -> GradScaler | None:
    """The gradient scaler of 16-bit training that Fabric has wrapped an optimizer with, if any."""
    scaler = getattr(getattr(getattr(optimizer, "_strategy", None), "precision", None), "scaler", None)
    return scaler if isinstance(scaler, GradScaler) else None


class Updates:
    """What happens between a loss and the changed weights; made by updating.

    Args:
        model: what before_step is called with.
        optimizer: steps.
        backward: called with each loss, once it is scaled; None: loss.backward().
        scaler: scales losses, and leaves out the steps whose gradients are not finite. None: Fabric's, where
            Fabric wrapped the optimizer and has one; its wrapper scales and steps by itself.
        before_step: called with the model between the gradients, which are not scaled any more, and the step.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        *,
        backward: Callable[[Tensor], Any] | None,
        scaler: GradScaler | None,
        before_step: Callable[[nn.Module], Any] | None,
    ) -> None:
        self._model = model
        self._optimizer = optimizer
        self._backward = torch.Tensor.backward if backward is None else backward
        self._own_scaler = scaler
        self._scaler = scaler_of(optimizer) if scaler is None else scaler
        self._before_step = before_step
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
    def _watching(self) -> Iterator[None]:
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


@contextmanager
def updating(
    model: nn.Module,
    optimizer: Optimizer,
    *,
    backward: Callable[[Tensor], Any] | None = None,
    scaler: GradScaler | None = None,
    before_step: Callable[[nn.Module], Any] | None = None,
) -> Iterator[Updates]:
    """Give the Updates of a training; see there for the arguments."""
    updates = Updates(model, optimizer, backward=backward, scaler=scaler, before_step=before_step)
    with updates._watching():
        yield updates
