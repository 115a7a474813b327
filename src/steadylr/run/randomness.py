"""The four random streams: what each draws depends on its own seed only."""

from __future__ import annotations

import hashlib
import operator
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch

from steadylr.errors import InvalidValue
from steadylr.run.names import STREAMS
from steadylr.run.ranks import ALONE, Rank

MAX_SEED = 2**63 - 1
_MASK = 2**64 - 1


@dataclass(frozen=True, slots=True)
class Streams:
    """The seed of each random stream; equal seeds in two streams do not give equal draws.

    Args:
        init: seed of the initial weights.
        order: seed of the order in which samples come.
        augment: seed of the augmentation draws.
        noise: seed of all other draws during training (dropout, stochastic depth).

    Each is an integer from 0 to 2**63 - 1; 0 is a seed like any other.

    Raises:
        ValueError: a seed that is no such integer; the message names its stream.
    """

    init: int
    order: int
    augment: int
    noise: int

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_SEED:
                raise InvalidValue(
                    f"seeds.{field.name} must be a whole number from 0 to {MAX_SEED}; got {value!r}"
                )

    @classmethod
    def same(cls, seed: int) -> Streams:
        """All four streams from one seed."""
        return cls(seed, seed, seed, seed)

    def derive(self, stream: str, *parts: int) -> int:
        """A number from 0 to 2**64 - 1 that depends on the stream's name, its seed and the parts, and nothing
        else.

        Raises:
            ValueError: a stream that is none of the four.
        """
        if stream not in STREAMS:
            raise InvalidValue(f"stream must be one of {STREAMS}; got {stream!r}")
        text = "/".join(["steadylr", stream, str(getattr(self, stream)), *map(str, parts)])
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")


def _numpy_state(state: Any) -> tuple[Any, ...]:
    name, keys, *rest = state
    return (name, keys.tobytes(), *rest)


@dataclass(frozen=True, slots=True)
class GlobalGenerator:
    """One of the global random generators of the CPU, whose states can be compared.

    Args:
        seed: seeds it with a number from 0 to 2**32 - 1.
        state: gives its state.
        set_state: puts a state back.
        same: whether two states are equal.
    """

    seed: Callable[[int], Any]
    state: Callable[[], Any]
    set_state: Callable[[Any], Any]
    same: Callable[[Any, Any], bool]


CPU_GENERATORS = (
    GlobalGenerator(
        torch.default_generator.manual_seed,
        torch.default_generator.get_state,
        torch.default_generator.set_state,
        torch.equal,
    ),
    GlobalGenerator(random.seed, random.getstate, random.setstate, operator.eq),
    GlobalGenerator(
        np.random.seed,
        np.random.get_state,
        np.random.set_state,
        lambda one, other: _numpy_state(one) == _numpy_state(other),
    ),
)
"""torch's on the CPU, Python's, NumPy's: what a data set may draw from."""


@dataclass(frozen=True, slots=True, eq=False)
class GeneratorStates:
    """The states of all global random generators: those of the CPU, and torch's on the accelerators in use."""

    cpu: tuple[Any, ...]
    cuda: tuple[torch.Tensor, ...]
    mps: torch.Tensor | None

    @classmethod
    def now(cls) -> GeneratorStates:
        """The states at this moment. Reads no accelerator that is not in use."""
        return cls(
            cpu=tuple(generator.state() for generator in CPU_GENERATORS),
            cuda=tuple(generator.get_state() for generator in _cuda_generators()),
            mps=torch.mps.get_rng_state() if _uses_mps() else None,
        )

    def restore(self) -> None:
        """Put all generators back."""
        for known, state in zip(CPU_GENERATORS, self.cpu, strict=True):
            known.set_state(state)
        for generator, state in zip(_cuda_generators(), self.cuda, strict=False):
            generator.set_state(state)
        if self.mps is not None:
            torch.mps.set_rng_state(self.mps)

    def same_as(self, other: GeneratorStates) -> bool:
        """Whether no generator that both know has drawn or been seeded in between."""
        tensors = list(zip(self.cuda, other.cuda, strict=False))
        if self.mps is not None and other.mps is not None:
            tensors.append((self.mps, other.mps))
        return all(torch.equal(one, two) for one, two in tensors) and all(
            generator.same(one, two)
            for generator, one, two in zip(CPU_GENERATORS, self.cpu, other.cpu, strict=True)
        )


def _cuda_generators() -> tuple[torch.Generator, ...]:
    return tuple(torch.cuda.default_generators) if torch.cuda.is_initialized() else ()  # type: ignore[no-untyped-call]


def _uses_mps() -> bool:
    return torch.backends.mps.is_available()


@contextmanager
def kept_generators() -> Iterator[GeneratorStates]:
    """Within this context anything may be drawn; after it all global generators are as they were before."""
    states = GeneratorStates.now()
    try:
        yield states
    finally:
        states.restore()


def seed_generators(seed: int) -> None:
    """Seed all global generators: torch's on every device, Python's and NumPy's."""
    torch.manual_seed(seed & MAX_SEED)
    random.seed(seed)
    np.random.seed(seed & 0xFFFFFFFF)  # noqa: NPY002


@dataclass(slots=True)
class Draws:
    """Whether anything was drawn from a stream."""

    used: bool = False


@contextmanager
def drawing_init(streams: Streams) -> Iterator[Draws]:
    """Build a model within this context: its weights are drawn from the init stream.

    The Draws that it gives says, once the context has ended, whether anything was drawn. The global
    generators are as they were before.
    """
    draws = Draws()
    with kept_generators():
        seed_generators(streams.derive("init"))
        before = GeneratorStates.now()
        yield draws
        draws.used = not before.same_as(GeneratorStates.now())


def seed_noise(streams: Streams, rank: Rank = ALONE) -> None:
    """Let everything that draws from the global generators from now on draw from the noise stream.

    Each rank draws other numbers from it, rank 0 those of a training in one process. Call it once the model is on
    its device and before training.
    """
    seed_generators(streams.derive("noise", *([rank.index] if rank.index else [])))


class SampleDraws:
    """Lets the samples of any data set draw from the augment stream, whichever global generators they draw from.

    What a sample draws depends on (augment seed, how often it was drawn, its index) and on nothing else: neither on the
    process that makes it nor on what was drawn before. Seeding torch's generator object takes 1 us;
    torch.manual_seed would seed the accelerators as well.
    Seeding all three generators takes 20 us a sample, so that only those are seeded that something draws from: a
    batch in which another one was drawn from is made again. After each batch they are as they were before it.

    Args:
        streams: the seeds.
    """

    def __init__(self, streams: Streams) -> None:
        self._base = streams.derive("augment")
        self._seeded: tuple[int, ...] = ()

    @property
    def used(self) -> bool:
        """Whether anything was drawn."""
        return bool(self._seeded)

    def samples(
        self,
        items: Sequence[tuple[int, int]],
        get_one: Callable[[int], Any],
        get_all: Callable[[list[int]], Any],
    ) -> Any:
        """The samples of a batch.

        Args:
            items: (index, draw number) of each.
            get_one: gives a sample by its index.
            get_all: gives the samples of all indices at once: used as long as nothing is drawn.
        """
        while True:
            before = [generator.state() for generator in CPU_GENERATORS]
            if self._seeded:
                made = [self._seeded_sample(item, get_one) for item in items]
            else:
                made = get_all([index for index, _ in items])
            drawn = []
            for place, (generator, state) in enumerate(zip(CPU_GENERATORS, before, strict=True)):
                known = place in self._seeded
                if known or not generator.same(generator.state(), state):
                    generator.set_state(state)
                    drawn += [] if known else [place]
            if not drawn:
                return made
            self._seeded = (*self._seeded, *drawn)

    def _seeded_sample(self, item: tuple[int, int], get_one: Callable[[int], Any]) -> Any:
        index, draw_number = item
        seed = _mixed(_mixed(self._base + draw_number) + index) & 0xFFFFFFFF
        for place in self._seeded:
            CPU_GENERATORS[place].seed(seed)
        return get_one(index)


def _mixed(value: int) -> int:
    """The finaliser of SplitMix64 (Steele, Lea and Flood, 2014): each bit of value moves all bits."""
    value = (value + 0x9E3779B97F4A7C15) & _MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
    return value ^ (value >> 31)


class DrawSampler:
    """Batches of (index, draw number) without end: epoch after epoch, each in an order of its own.

    The draw number of a sample counts how often it was drawn before, from 0. The order of an epoch depends on
    (order seed, epoch) only. When one batch holds all samples there is no order to draw, and they come as
    they are.

    Args:
        size: number of samples, at least 1.
        batch_size: samples per batch, at least 1.
        drop_last: leave out each epoch's last batch if it is smaller than batch_size.
        streams: the seeds.
        rank: whose share of each batch comes. All ranks together draw what one process would.

    Each call of iter() starts again at the first epoch.

    Raises:
        ValueError: a size or batch size below 1, drop_last with a batch larger than the data, or a batch that the
            ranks can't share equally.
    """

    def __init__(
        self, size: int, *, batch_size: int, drop_last: bool, streams: Streams, rank: Rank = ALONE
    ) -> None:
        if size < 1:
            raise InvalidValue(f"there must be at least 1 sample to draw; got {size}")
        if batch_size < 1:
            raise InvalidValue(f"data.batch_size must be at least 1; got {batch_size}")
        if drop_last and batch_size > size:
            raise InvalidValue(
                f"data.batch_size={batch_size} is above the {size} training samples, and data.drop_last=true "
                "then leaves no batch: lower data.batch_size or set data.drop_last=false"
            )
        if batch_size % rank.count:
            raise InvalidValue(
                f"data.batch_size={batch_size} can't be shared equally by {rank.count} devices: "
                f"make it a multiple of {rank.count}"
            )
        last = size % batch_size
        if not drop_last and last % rank.count:
            raise InvalidValue(
                f"data.drop_last=false leaves a last batch of {last} samples, which {rank.count} devices can't share "
                "equally: set data.drop_last=true, or choose another data.batch_size"
            )
        self.size = size
        self._batch_size = batch_size
        self._drop_last = drop_last
        self._streams = streams
        self._rank = rank

    @property
    def order_used(self) -> bool:
        """Whether the order stream is drawn from."""
        return self._batch_size < self.size

    def order(self, epoch: int) -> list[int]:
        """The sample indices of one epoch in its order, those of a dropped last batch included."""
        if not self.order_used:
            return list(range(self.size))
        generator = torch.Generator()
        generator.manual_seed(self._streams.derive("order", epoch) & MAX_SEED)
        order: list[int] = torch.randperm(self.size, generator=generator).tolist()
        return order

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        drawn = np.zeros(self.size, dtype=np.int64)
        epoch = 0
        while True:
            order = self.order(epoch)
            for start in range(0, self.size, self._batch_size):
                batch = order[start : start + self._batch_size]
                if self._drop_last and len(batch) < self._batch_size:
                    break
                share = self._rank.share(batch)
                yield list(zip(share, drawn[share].tolist(), strict=True))
                drawn[batch] += 1
            epoch += 1
