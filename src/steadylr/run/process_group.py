"""Joining the ranks of a training, and what Lightning Fabric must know to run it in them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

import torch
from torch import distributed, nn
from torch.optim import Optimizer

from steadylr.errors import InvalidValue
from steadylr.run.fabric import DDPStrategy, LightningEnvironment, ModelParallelStrategy, Strategy
from steadylr.run.ranks import Rank

if TYPE_CHECKING:
    from torch._C._distributed_c10d import Store

BACKENDS = {"cpu": "gloo", "cuda": "nccl"}
"""What the ranks talk through, by the kind of their devices."""


@contextmanager
def joined(rank: Rank, device: torch.device, store: Store | None = None) -> Iterator[None]:
    """Within this context a process belongs to the group of its training; nothing happens when it is alone.

    An error leaves the group as it is: the ranks that wait for this one then go on waiting until they are ended,
    instead of failing for no reason of their own before this one has told its.

    Args:
        rank: which process this is.
        device: what it trains on, cpu or cuda.
        store: where the ranks meet; None: meeting_point(rank).
    """
    if rank.alone:
        yield
        return
    distributed.init_process_group(
        BACKENDS[device.type],
        store=meeting_point(rank) if store is None else store,
        rank=rank.index,
        world_size=rank.count,
        device_id=device if device.type == "cuda" else None,
    )
    yield
    distributed.destroy_process_group()


def meeting_point(rank: Rank) -> Store:
    """Where the ranks of a training find each other."""
    if rank.meeting_file is None:
        return torchrun_store()
    return distributed.FileStore(rank.meeting_file, rank.count)  # type: ignore[attr-defined]


@cache
def torchrun_store() -> Store:
    """What all processes of a torchrun read and write; one connection per process, a new store for each restart."""
    store: Store = next(distributed.rendezvous("env://"))[0]  # type: ignore[attr-defined]
    return part_of(store, f"steadylr/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}")


def part_of(store: Store, name: str) -> Store:
    """A store within a store: its keys are apart from all others."""
    return distributed.PrefixStore(name, store)  # type: ignore[attr-defined]


def of_any_rank(flags: Sequence[bool], rank: Rank, device: torch.device) -> tuple[bool, ...]:
    """Which of some flags are true on any rank."""
    if rank.alone:
        return tuple(flags)
    numbers = torch.tensor(flags, dtype=torch.int32, device=device)
    distributed.all_reduce(numbers, distributed.ReduceOp.MAX)
    return tuple(bool(number) for number in numbers.tolist())


class OneDeviceRanks(LightningEnvironment):
    """Tells Fabric about ranks that are there already.

    Fabric counts nodes with equally many devices each. To it every rank is a node with one device, which holds for
    any number of machines and any choice of their devices.
    """

    def __init__(self, rank: Rank) -> None:
        super().__init__()
        self._rank = rank

    @property
    def creates_processes_externally(self) -> bool:
        """True: Fabric starts none."""
        return True

    def world_size(self) -> int:
        """How many ranks there are."""
        return self._rank.count

    def global_rank(self) -> int:
        """Which rank this is."""
        return self._rank.index

    def local_rank(self) -> int:
        """0: the only one of its node."""
        return 0

    def node_rank(self) -> int:
        """Which rank this is."""
        return self._rank.index

    def teardown(self) -> None:
        """What torchrun has put into the environment stays."""


# ---- how a model is spread


def ddp() -> Strategy:
    """Each rank holds the whole model, and gradients are averaged."""
    return DDPStrategy()


def fsdp() -> Strategy:
    """Each rank holds a part of every weight, with its gradient and the optimizer's state (FSDP2)."""
    return ModelParallelStrategy(_sharded)


def has_fsdp() -> bool:
    """Whether the installed torch has FSDP2, under its final name."""
    return hasattr(import_module("torch.distributed.fsdp"), "fully_shard")


STRATEGIES: dict[str, Callable[[], Strategy]] = {"ddp": ddp, "fsdp": fsdp}


def _sharded(model: nn.Module, mesh: Any) -> nn.Module:
    from torch.distributed.fsdp import fully_shard

    shard = partial(fully_shard, mesh=mesh["data_parallel"])
    for block in blocks(model):
        shard(block)
    shard(model)
    return model


_CONTAINERS = (nn.Sequential, nn.ModuleList)


def blocks(model: nn.Module) -> list[nn.Module]:
    """The parts of a model whose weights are gathered together: each member of an outermost list or sequence.

    Members that are plain lists or sequences themselves are looked into. Weights outside any block are gathered
    with the whole model.
    """
    found: list[nn.Module] = []
    for child in model.children():
        if type(model) not in _CONTAINERS or type(child) in _CONTAINERS:
            found += blocks(child)
        elif any(True for _ in child.parameters()):
            found.append(child)
    return found


def rebound(optimizer: Optimizer, before: dict[str, nn.Parameter], model: nn.Module) -> None:
    """Let an optimizer of a model's parameters go on with those that have taken their places under their names.

    Args:
        optimizer: has not stepped yet.
        before: the model's parameters when the optimizer was made, by name.
        model: with its new parameters.

    Raises:
        ValueError: an optimizer that keeps numbers for each parameter from the start, such as Adagrad.
    """
    if optimizer.state:
        raise InvalidValue(
            f"device.strategy=fsdp can't be used with {type(optimizer).__name__}, which keeps numbers for every "
            "weight from the start: use device.strategy=ddp, or another optimizer"
        )
    after = dict(model.named_parameters())
    taken = {id(parameter): after[name] for name, parameter in before.items()}
    for group in optimizer.param_groups:
        group["params"] = [taken[id(parameter)] for parameter in group["params"]]
