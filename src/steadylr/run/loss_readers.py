"""Reading the losses of a training without making it wait for its device."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Protocol

import torch
from torch import Tensor

ACCELERATOR_READ_LAG = 16
"""Steps after which a loss is read from an accelerator: by then it has long been computed."""


class LossReader(Protocol):
    """Takes the loss of each step as it is made, and gives it as a number once it can be had for nothing."""

    def put(self, loss: Tensor) -> None:
        """Take the loss of the next step, of shape () or (1,)."""

    def ready(self) -> Iterable[float]:
        """Those losses, in their order, that can be read now and were not before."""

    def rest(self) -> Iterable[float]:
        """All that were not read yet; waits for them."""


def loss_reader(loss: Tensor, num_steps: int, read_lag: int | None) -> LossReader:
    """The reader for losses like this one.

    Args:
        loss: the first one.
        num_steps: how many there will be at most.
        read_lag: steps after which one is read, at least 0; None: at once on a CPU, else ACCELERATOR_READ_LAG.
    """
    on_cpu = loss.device.type == "cpu"
    lag = (0 if on_cpu else ACCELERATOR_READ_LAG) if read_lag is None else read_lag
    if lag == 0:
        return _DirectReader()
    dtype = torch.float64 if loss.dtype == torch.float64 else torch.float32
    if loss.device.type == "cuda":
        return _PinnedReader(torch.empty(num_steps, dtype=dtype, pin_memory=True), lag)
    return _BlockReader(torch.empty(num_steps, dtype=dtype, device=loss.device), lag)


class _DirectReader:
    """Reads each loss at once: on a CPU it is there."""

    def __init__(self) -> None:
        self._newest: list[float] = []

    def put(self, loss: Tensor) -> None:
        self._newest = [loss.item()]

    def ready(self) -> Iterable[float]:
        return self._newest

    def rest(self) -> Iterable[float]:
        return []


class _PinnedReader:
    """Copies each loss to page-locked host memory as the device gets to it, and reads it `lag` steps later.

    Waiting for the event of a step that long ago does not empty the device's queue.
    """

    def __init__(self, host: Tensor, lag: int) -> None:
        self._host = host
        self._lag = lag
        self._count = 0
        self._waiting: deque[tuple[int, torch.cuda.Event]] = deque()

    def put(self, loss: Tensor) -> None:
        self._host[self._count].copy_(loss.reshape(()).to(self._host.dtype), non_blocking=True)
        event = torch.cuda.Event()  # type: ignore[no-untyped-call]
        event.record(torch.cuda.current_stream(loss.device))
        self._waiting.append((self._count, event))
        self._count += 1

    def ready(self) -> Iterable[float]:
        return self._read(self._lag)

    def rest(self) -> Iterable[float]:
        return self._read(0)

    def _read(self, keep: int) -> Iterator[float]:
        while len(self._waiting) > keep:
            position, event = self._waiting.popleft()
            event.synchronize()
            yield self._host[position].item()


class _BlockReader:
    """Keeps the losses on their device and fetches them `lag` at a time: where copies can't run alongside."""

    def __init__(self, kept: Tensor, lag: int) -> None:
        self._kept = kept
        self._lag = lag
        self._count = 0
        self._read = 0

    def put(self, loss: Tensor) -> None:
        self._kept[self._count] = loss.reshape(())
        self._count += 1

    def ready(self) -> Iterable[float]:
        return self.rest() if self._count - self._read > self._lag else []

    def rest(self) -> Iterable[float]:
        fetched: list[float] = self._kept[self._read : self._count].tolist()
        self._read = self._count
        return fetched
