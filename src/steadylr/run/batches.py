"""Batches without end, from whatever can be iterated."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import Any


def endless(batches: Iterable[Any], needed: int) -> Generator[Any, None, None]:
    """Batches epoch after epoch; closing it ends data workers now, not when the garbage is collected.

    Args:
        batches: what is iterated. Samplers of a loader that want to know the number of the epoch are told.
        needed: how many are to come, for the message.

    Raises:
        ValueError: no batches, or what can't start again (an iterator, or data that are spent) ended before
            `needed` batches.
    """
    came = 0
    epoch = 0
    while True:
        set_epoch = getattr(getattr(batches, "sampler", None), "set_epoch", None)
        if set_epoch is not None:
            set_epoch(epoch)
        iterator = iter(batches)
        once = iterator is batches
        before = came
        try:
            for batch in iterator:
                came += 1
                yield batch
        finally:
            close = getattr(iterator, "close", None)
            if close is not None and not once:
                close()
        if came == 0:
            raise ValueError("batches is empty: there is nothing to train on")
        if once or came == before:
            why = (
                "an iterator can't start again; give the loader itself, or a list"
                if once
                else "started again it gave none; its data set must start anew whenever it is iterated"
            )
            raise ValueError(
                f"batches ended after {came}, and {needed} are needed (num_iter times accumulation_steps): {why}"
            )
        epoch += 1
