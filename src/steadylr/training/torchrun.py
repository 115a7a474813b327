"""Under torchrun: rank 0 is the program, and the other ranks train what it tells them and do nothing else.

Only rank 0 reads the command line, the store and old results, and only it prints and writes. The others wait: for a
training to take part in, or for the end.
"""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import cache
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf

from steadylr.config.errors import BadInput
from steadylr.config.schema import Config
from steadylr.exit_codes import EXIT_FAILED, EXIT_OK
from steadylr.present.streams import complain
from steadylr.run.ranks import Rank, torchrun_rank
from steadylr.store.files import plain_values
from steadylr.training.identity import Training, describe_training, differing_parts
from steadylr.training.ranks import failure_of
from steadylr.training.train import train_rank

if TYPE_CHECKING:
    from torch._C._distributed_c10d import Store

    from steadylr.present.progress import StepReport
    from steadylr.store.curve_file import RunCurves

PATIENCE_SECONDS = 5.0
"""How long a rank that failed leaves it to rank 0 to tell the reason, which is mostly the same."""

POLL_SECONDS = 0.2
"""How often a rank looks for an order: a wait in the store itself complains when it gets long."""


@contextmanager
def leading() -> Iterator[None]:
    """What rank 0 does in this context is the program; after it the other ranks end."""
    try:
        yield
    finally:
        _orders().give(None)


def train_in_torchrun(
    config: Config, training: Training, *, threads: int, report: StepReport | None = None
) -> RunCurves:
    """Train as rank 0 what a config asks for, with the other ranks of torchrun.

    Args:
        config: what to train.
        training: describe_training of it.
        threads: of each process.
        report: told after every step.
    """
    rank = torchrun_rank()
    assert rank is not None
    order = {
        "config": plain_values(asdict(config)),
        "shape": training.shape,
        "seeds": training.seeds,
        "threads": threads,
    }
    store = _orders().give(order)
    return train_rank(config, training, rank, threads=threads, report=report, gpu=rank.local, store=store)


def follow(rank: Rank) -> int:
    """Take part in what rank 0 trains until it says that all is done; give the exit code."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is rank 0's to answer; torchrun ends the others
    orders = _orders()
    try:
        while (order := orders.take()) is not None:
            content, store = order
            config, training = _understood(content, rank)
            train_rank(config, training, rank, threads=content["threads"], gpu=rank.local, store=store)
    except Exception as error:
        failure = failure_of(rank, error)
        time.sleep(PATIENCE_SECONDS)
        complain(failure.details or failure.message)
        return EXIT_FAILED
    return EXIT_OK


def _understood(content: dict[str, Any], rank: Rank) -> tuple[Config, Training]:
    """What an order asks for.

    Raises:
        BadInput: this machine would train something else than rank 0's.
    """
    merged = OmegaConf.merge(OmegaConf.structured(Config), content["config"])
    config = OmegaConf.to_object(merged)
    assert isinstance(config, Config)
    asked = Training(content["shape"], content["seeds"])
    here = describe_training(config)
    if differing := differing_parts(here, asked):
        raise BadInput(
            f"rank {rank.index} of {rank.count} would train something else than rank 0, as its machine differs in "
            f"{', '.join(differing)}: give all machines the same data and the same versions"
        )
    return config, asked


class _Orders:
    """What rank 0 tells the others, in order, through torchrun's store."""

    def __init__(self) -> None:
        from steadylr.run.process_group import torchrun_store

        self._store = torchrun_store()
        self._count = 0

    def give(self, order: dict[str, Any] | None) -> Store:
        """Tell the others to train something, None: to end; give the store where the ranks meet for it."""
        self._store.set(f"order/{self._count}", json.dumps(order))
        return self._next()

    def take(self) -> tuple[dict[str, Any], Store] | None:
        """Wait for the next order: what to train and the store where the ranks meet for it; None: to end."""
        from torch.distributed import DistNetworkError

        try:
            order = json.loads(self._waited_for(f"order/{self._count}"))
        except DistNetworkError:  # rank 0 keeps the store where torchrun doesn't, and has gone with it
            return None
        store = self._next()
        return None if order is None else (order, store)

    def _next(self) -> Store:
        from steadylr.run.process_group import part_of

        self._count += 1
        return part_of(self._store, f"training/{self._count}")

    def _waited_for(self, key: str) -> bytes:
        while not self._store.check([key]):
            time.sleep(POLL_SECONDS)
        return self._store.get(key)


@cache
def _orders() -> _Orders:
    return _Orders()
