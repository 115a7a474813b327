"""Batches without end, from whatever can be iterated; loaders and samplers don't notice."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import Any

import torch

from steadylr.errors import InvalidValue


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
        for sampler in _samplers(batches):
            if hasattr(sampler, "set_epoch"):
                sampler.set_epoch(epoch)
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
            raise InvalidValue(f"batches is empty: there is nothing to train on{_why_empty(batches)}")
        if once or came == before:
            why = (
                "an iterator can't start again; give the loader itself, or a list"
                if once
                else "started again it gave none; its data set must start anew whenever it is iterated"
            )
            raise InvalidValue(
                f"batches ended after {came}, and {needed} are needed (num_iter times accumulation_steps): {why}"
            )
        epoch += 1


def _why_empty(batches: Any) -> str:
    size = getattr(batches, "batch_size", None)
    data = getattr(batches, "dataset", None)
    if size and getattr(batches, "drop_last", False) and isinstance(data, Sized) and 0 < len(data) < size:
        return (
            f"; its data set has {len(data)} samples, fewer than batch_size={size}, and drop_last=True leaves "
            "their only batch out: lower batch_size, or set drop_last=False"
        )
    return ""


@contextmanager
def kept_order(batches: Any) -> Iterator[None]:
    """Within this context batches may be iterated; afterwards loaders go on as if they had not been.

    Put back are the generators of loaders and of their samplers, what samplers count (their epoch), and persistent
    workers, whose batches stay those of a loop that is under way. What a data set keeps or draws from generators of
    its own is not.

    Args:
        batches: a DataLoader, something like it, or what has several in `loaders`; anything else is left alone.
    """
    loaders = list(getattr(batches, "loaders", (batches,)))
    samplers = [sampler for loader in loaders for sampler in _samplers(loader)]
    counts = [(vars(sampler), dict(vars(sampler))) for sampler in samplers if hasattr(sampler, "__dict__")]
    generators = {
        id(each): each for holder in (*loaders, *samplers) if (each := _generator(holder)) is not None
    }
    states = [(generator, generator.get_state()) for generator in generators.values()]
    workers = [
        (loader, loader._iterator) for loader in loaders if isinstance(loader, torch.utils.data.DataLoader)
    ]
    for loader, _ in workers:
        loader._iterator = None  # persistent workers have random states of their own
    try:
        yield
    finally:
        for attributes, held in counts:
            attributes.update(held)
        for generator, state in states:
            generator.set_state(state)
        for loader, iterator in workers:
            loader._iterator = iterator


def _samplers(loader: Any) -> list[Any]:
    """The sampler of a loader, its batch sampler, and the sampler in that, each once."""
    batch_sampler = getattr(loader, "batch_sampler", None)
    found = (getattr(loader, "sampler", None), batch_sampler, getattr(batch_sampler, "sampler", None))
    return list({id(sampler): sampler for sampler in found if sampler is not None}.values())


def _generator(holder: Any) -> torch.Generator | None:
    generator = getattr(holder, "generator", None)
    return generator if isinstance(generator, torch.Generator) else None
