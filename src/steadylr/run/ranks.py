"""Ranks: the processes that share one training. Found and described without importing torch."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

Item = TypeVar("Item")

TORCHRUN = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""The environment variables by which torchrun, or what stands in for it, tells a process its rank."""


@dataclass(frozen=True, slots=True)
class Rank:
    """One process of a training that runs in `count` processes, each with one device.

    Args:
        index: which one it is, from 0; rank 0 reports.
        count: how many there are, on all machines together.
        local: which one it is on its own machine, from 0.
        local_count: how many there are on its own machine.
        meeting_file: the path of a file, not there yet, through which the ranks of one machine find each other;
            None: through what torchrun has set up.
    """

    index: int = 0
    count: int = 1
    local: int = 0
    local_count: int = 1
    meeting_file: str | None = None

    @property
    def alone(self) -> bool:
        """Whether the training runs in one process."""
        return self.count == 1

    def share(self, batch: Sequence[Item]) -> Sequence[Item]:
        """This rank's part of a batch whose length is a multiple of `count`: the parts in order are the batch."""
        size = len(batch) // self.count
        return batch[self.index * size : (self.index + 1) * size]


ALONE = Rank()
"""The only rank of a training in one process."""


def torchrun_rank(environment: Mapping[str, str] = os.environ) -> Rank | None:
    """Which rank torchrun has started this process as; None where it didn't, or started one process only."""
    if any(name not in environment for name in TORCHRUN):
        return None
    index, count, local, local_count = (int(environment[name]) for name in TORCHRUN[:4])
    return Rank(index, count, local, local_count) if count > 1 else None
