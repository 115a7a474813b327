"""The peers, run by their own code at their own defaults, on the same models, data and seeds."""

from __future__ import annotations

import contextlib
import io
import logging
import math
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from quality_parts.tasks import Batches, Task, build, loss_fn, optimizer_over

Lrs = dict[str, "float | None"]
"""An LR, or None, by the name of the row in the table."""

START_LR = 1e-7
"""Where the peers start that begin at the optimizer's own LR, as their READMEs do."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A package, its rows in the table, and a function (task, seed, num_iter) that gives its suggestions."""

    package: str
    rows: tuple[str, ...]
    function: Callable[[Task, int, int], Lrs]

    def suggest(self, task: Task, seed: int, num_iter: int) -> Lrs:
        """Its suggestions; a peer that raises gives no answer."""
        try:
            with _quiet():
                return self.function(task, seed, num_iter)
        except ImportError:
            raise
        except Exception as error:
            print(
                f"{self.package} on {task.name}, N={num_iter}, seed={seed}: {type(error).__name__}: {error}"
            )
            return dict.fromkeys(self.rows)


def available(names: Sequence[str]) -> list[str]:
    """Those of the peers that are installed; says which are not.

    Raises:
        ValueError: an unknown peer.
    """
    found = []
    for name in names:
        if name not in PEERS:
            raise ValueError(f"unknown peer {name!r}; allowed: {', '.join(PEERS)}")
        if peer_version(name) == "none":
            print(
                f"{name}: {PEERS[name].package} is not installed and left out; pip install .[bench] brings it"
            )
            continue
        found.append(name)
    return found


@cache
def peer_version(name: str) -> str:
    """The installed version of a peer, or "none"."""
    try:
        return version(PEERS[name].package)
    except PackageNotFoundError:
        return "none"


@contextmanager
def _quiet() -> Iterator[None]:
    os.environ["TQDM_DISABLE"] = "1"
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


def _torch_lr_finder(task: Task, seed: int, num_iter: int) -> Lrs:
    """range_test(end_lr=10) and what plot(suggest_lr=True) returns; None where it prints that it failed."""
    from matplotlib.figure import Figure
    from torch_lr_finder import LRFinder, TrainDataLoaderIter

    model, optimizer = build(task, seed, lr=START_LR)
    finder = LRFinder(model, optimizer, loss_fn, device="cpu")
    finder.range_test(TrainDataLoaderIter(Batches(task, seed)), end_lr=10, num_iter=num_iter)
    answer = finder.plot(ax=Figure().add_subplot(), suggest_lr=True)
    lr = answer[1] if isinstance(answer, tuple) else None
    return {"torch-lr-finder": _number(lr)}


_FASTAI = ("minimum", "steep", "valley", "slide")


def _fastai(task: Task, seed: int, num_iter: int) -> Lrs:
    """Learner.lr_find with all four of its rules, in a folder of its own, as it saves the weights to a file."""
    from fastai.callback.schedule import minimum, slide, steep, valley  # also gives Learner its lr_find
    from fastai.data.core import DataLoaders
    from fastai.learner import Learner
    from fastai.optimizer import OptimWrapper

    loader = _Loader(task, seed)
    rules = (minimum, steep, valley, slide)
    with tempfile.TemporaryDirectory() as folder:
        model, _ = build(task, seed, lr=START_LR)
        learner = Learner(
            DataLoaders(loader, loader, device="cpu"),
            model,
            loss_func=loss_fn,
            opt_func=lambda _groups, lr, **_: OptimWrapper(opt=optimizer_over(task, model, lr)),
            path=folder,
        )
        with learner.no_bar(), learner.no_logging():
            found = learner.lr_find(num_it=num_iter, show_plot=False, suggest_funcs=rules)
    return {f"fastai {rule}": _number(getattr(found, rule)) for rule in _FASTAI}


def _lightning(task: Task, seed: int, num_iter: int) -> Lrs:
    """Tuner.lr_find at its defaults (1e-8 to 1) and its suggestion()."""
    import lightning
    from lightning.pytorch.tuner.tuning import Tuner

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.lr = START_LR
            self.model, self.optimizer = build(task, seed, lr=self.lr)

        def training_step(self, batch: Any, _index: int) -> Any:
            return loss_fn(self.model(batch[0]), batch[1])

        def configure_optimizers(self) -> Any:
            return optimizer_over(task, self.model, self.lr)

    with tempfile.TemporaryDirectory() as folder:
        trainer = lightning.Trainer(
            accelerator="cpu",
            devices=1,
            max_epochs=-1,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=folder,
        )
        finder = Tuner(trainer).lr_find(
            Module(), train_dataloaders=_Loader(task, seed), num_training=num_iter
        )
        return {"lightning": _number(None if finder is None else finder.suggestion())}


def _ignite(task: Task, seed: int, num_iter: int) -> Lrs:
    """FastaiLRFinder at its defaults and its lr_suggestion()."""
    from ignite.engine import create_supervised_trainer
    from ignite.handlers import FastaiLRFinder

    model, optimizer = build(task, seed, lr=START_LR)
    trainer = create_supervised_trainer(model, optimizer, loss_fn)
    finder = FastaiLRFinder()
    states = {"model": model, "optimizer": optimizer}
    with finder.attach(trainer, to_save=states, num_iter=num_iter) as finding:
        finding.run(_Loader(task, seed), max_epochs=math.ceil(num_iter / len(Batches(task, seed))) + 1)
    return {"ignite": _number(finder.lr_suggestion())}


PEERS: dict[str, Peer] = {
    "torch-lr-finder": Peer("torch-lr-finder", ("torch-lr-finder",), _torch_lr_finder),
    "fastai": Peer("fastai", tuple(f"fastai {rule}" for rule in _FASTAI), _fastai),
    "lightning": Peer("lightning", ("lightning",), _lightning),
    "ignite": Peer("pytorch-ignite", ("ignite",), _ignite),
}


class _Loader:
    """Epochs of the task's batches, for those who want an end; the next epoch goes on where the last one ended."""

    def __init__(self, task: Task, seed: int) -> None:
        self._batches = Batches(task, seed)
        self._endless = iter(self._batches)
        self.batch_size = task.batch_size
        self.dataset = self._batches.samples.x

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[Any]:
        for _ in range(len(self)):
            yield next(self._endless)


def _number(lr: Any) -> float | None:
    if lr is None:
        return None
    value = float(lr)
    return value if math.isfinite(value) and value > 0 else None
