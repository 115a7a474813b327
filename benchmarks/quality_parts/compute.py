"""Units of computing, each one small file in the cache: a truth of one seed, a range test, a peer's suggestion."""

from __future__ import annotations

import hashlib
import json
import math
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

from steadylr.core.curve import Curve, FloatArray, Stop

Kind = Literal["truth", "range", "peer"]

COMPUTE_VERSION = 1
"""Raise it when the loops below change: it is part of every key."""

GRID = tuple(1e-5 * 2.0**k for k in range(21))
"""Peak LRs of the truth: 1e-5 to 10.5, a factor of 2 apart."""

TRUTH_SEEDS = (1001, 1002, 1003)
ORACLE_SEEDS = (2001, 2002, 2003)
START_LR, END_LR = 1e-7, 10.0


@dataclass(frozen=True, slots=True)
class Unit:
    """One thing to compute: `variant` is what the kind needs beside the task and the seed.

    Args:
        task: a task's name.
        kind: "truth": OneCycle trainings at all LRs of the grid; "range": a range test; "peer": a peer's
            suggestion from its own range test.
        seed: of weights, batches and noise.
        num_iter: points of the range test; for a truth the steps of each training.
        peer: a name in peers.PEERS.
    """

    task: str
    kind: Kind
    seed: int
    num_iter: int
    peer: str = ""

    @property
    def steps(self) -> int:
        """Optimizer steps at most."""
        return self.num_iter * (len(GRID) if self.kind == "truth" else 1)


@cache
def _definition(task: str) -> dict[str, Any]:
    from quality_parts.tasks import all_tasks

    return next(t for t in all_tasks() if t.name == task).definition()


def path_of(folder: Path, unit: Unit) -> Path:
    """Where a unit's numbers lie: the name ends with a hash of all that shapes them."""
    content: dict[str, Any] = {
        "task": _definition(unit.task),
        "unit": [unit.kind, unit.seed, unit.num_iter, unit.peer],
        "version": COMPUTE_VERSION,
        "lrs": GRID if unit.kind == "truth" else (START_LR, END_LR),
    }
    if unit.kind != "truth":
        content["task"] = {key: value for key, value in content["task"].items() if key != "steps"}
    if unit.kind == "peer":
        from quality_parts.peers import peer_version

        content["peer_version"] = peer_version(unit.peer)
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]
    label = "-".join(filter(None, (unit.kind, unit.peer, str(unit.num_iter), f"seed{unit.seed}")))
    return folder / unit.task / f"{label}-{digest}.npz"


def save(path: Path, arrays: dict[str, Any]) -> None:
    """Write the arrays under a temporary name, then rename: what is there is always whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("wb") as file:
        np.savez(file, **arrays)
    temporary.replace(path)


def read(path: Path) -> dict[str, np.ndarray] | None:
    """The arrays of a unit; None where it has not been computed."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {key: arrays[key] for key in arrays}
    except FileNotFoundError:
        return None


def compute(folder: Path, unit: Unit) -> float:
    """Compute one unit unless it is there; gives the seconds it took."""
    path = path_of(folder, unit)
    if path.exists():
        return 0.0
    start = time.perf_counter()
    makers = {"truth": _truth, "range": _range, "peer": _peer}
    arrays = makers[unit.kind](unit)
    seconds = time.perf_counter() - start
    save(path, {**arrays, "seconds": np.float64(seconds)})
    return seconds


# ---- the three kinds


def _task(name: str) -> Any:
    from quality_parts.tasks import all_tasks

    return next(task for task in all_tasks() if task.name == name)


def _truth(unit: Unit) -> dict[str, Any]:
    losses = [train_one_cycle(_task(unit.task), unit.seed, lr, steps=unit.num_iter) for lr in GRID]
    return {"lr": np.array(GRID), "loss": np.array(losses)}


def train_one_cycle(task: Any, seed: int, max_lr: float, *, steps: int) -> float:
    """The validation loss after a training along steadylr's plan; infinite where the training loss became so.

    The momentum cycles where the optimizer has one, as the plan that people paste does it.
    """
    from quality_parts.tasks import Batches, build, load, loss_fn, validation_loss
    from steadylr.core.onecycle import plan
    from steadylr.run.randomness import Streams, seed_noise

    model, optimizer = build(task, seed, lr=max_lr)
    seed_noise(Streams.same(seed))
    group = optimizer.param_groups[0]
    key = "betas" if "betas" in group else "momentum"
    schedule = plan(max_lr, total_steps=steps, cycle_momentum=bool(group.get(key)))
    model.train()
    for step, (x, y) in zip(range(steps), Batches(task, seed), strict=False):
        group["lr"] = schedule.lr_at(step)
        momentum = schedule.momentum_at(step)
        if momentum is not None:
            group[key] = (momentum, *group[key][1:]) if key == "betas" else momentum
        optimizer.zero_grad(set_to_none=True)
        loss = loss_fn(model(x), y)
        if not math.isfinite(loss.item()):
            return math.inf
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return validation_loss(model, load(task.data))


def _range(unit: Unit) -> dict[str, Any]:
    from quality_parts.tasks import Batches, build, loss_fn
    from steadylr.core.ramp import Ramp
    from steadylr.run.options import Options
    from steadylr.run.randomness import Streams, seed_noise
    from steadylr.run.range_test import range_test

    task = _task(unit.task)
    model, optimizer = build(task, unit.seed, lr=START_LR)
    seed_noise(Streams.same(unit.seed))
    ramp = Ramp(START_LR, END_LR, unit.num_iter)
    options = Options(loss_fn=loss_fn, restore=False)
    curve = range_test(model, optimizer, Batches(task, unit.seed), ramp, options).curve
    return {
        "lr": curve.lr,
        "loss": curve.loss,
        "num_iter": np.int64(curve.num_iter),
        "stop": np.array(curve.stop.value),
    }


def _peer(unit: Unit) -> dict[str, Any]:
    from quality_parts.peers import PEERS

    lrs = PEERS[unit.peer].suggest(_task(unit.task), unit.seed, unit.num_iter)
    return {
        "names": np.array(list(lrs)),
        "lr": np.array([math.nan if v is None else v for v in lrs.values()]),
    }


# ---- reading


def read_curve(folder: Path, unit: Unit) -> Curve | None:
    """The curve of a range test in the cache."""
    arrays = read(path_of(folder, unit))
    if arrays is None:
        return None
    return Curve(arrays["lr"], arrays["loss"], int(arrays["num_iter"]), Stop(str(arrays["stop"])))


def read_truth(folder: Path, task: str, steps: int, seeds: Iterable[int]) -> FloatArray | None:
    """The losses of the truth, shape (seeds, LRs of the grid); None while some are missing."""
    rows = [read(path_of(folder, Unit(task, "truth", seed, steps))) for seed in seeds]
    if any(row is None for row in rows):
        return None
    return np.stack([row["loss"] for row in rows if row is not None])


# ---- side by side


def _prepare() -> None:
    import torch

    torch.set_num_threads(1)


def compute_all(folder: Path, units: list[Unit], *, workers: int) -> Iterator[tuple[Unit, float]]:
    """Compute what is missing, in the given order, in processes with one thread each.

    Gives each unit when it is done with the seconds it took; what was there comes first, with 0.
    """
    missing = []
    for unit in units:
        if path_of(folder, unit).exists():
            yield unit, 0.0
        else:
            missing.append(unit)
    if not missing:
        return
    if workers == 1:
        _prepare()
        for unit in missing:
            yield unit, compute(folder, unit)
        return
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor, as_completed

    os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")  # read when the workers import torch
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_prepare) as pool:
        futures = {pool.submit(compute, folder, unit): unit for unit in missing}
        try:
            for future in as_completed(futures):
                unit = futures[future]
                try:
                    seconds = future.result()
                except Exception as error:  # one unit's trouble must not cost the others
                    print(f"{unit} failed, the next run tries it again: {type(error).__name__}: {error}")
                    continue
                yield unit, seconds
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
