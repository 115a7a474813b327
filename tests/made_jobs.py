"""Job folders with known curves, as sweeps leave them, made without training anything."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from omegaconf import OmegaConf

from composing import composed
from steadylr.answer.reading import answer_of
from steadylr.config.schema import Config, Optimizer
from steadylr.config.values import check_config
from steadylr.core.curve import Curve, Stop
from steadylr.core.rules import RULES
from steadylr.jobs.job import Job, build_record
from steadylr.store.curve_file import RunCurves
from steadylr.store.files import canonical_digest, read_json, write_json
from steadylr.store.job_folder import CURVE_FILE
from steadylr.store.records import JobStatus, Status
from steadylr.training.identity import Training, training_config
from steadylr.training.obtain import Trained

POINTS = 60
MLP = ("model=mlp", "sweep_name=x")
STREAMS = ("init", "order", "augment", "noise")


def config_of(*overrides: str) -> Config:
    return check_config(composed(*MLP, *overrides))


def curve_of(seed: int, *, points: int = POINTS, middle: float | None = None, noise: float = 0.01) -> Curve:
    """A descent around 10^middle and a climb two decades above."""
    rng = np.random.default_rng(seed)
    lr = np.geomspace(1e-7, 10, points)
    x = np.log10(lr)
    at = -3 + 0.15 * rng.normal() if middle is None else middle
    loss = 2.3 - 1.5 / (1 + np.exp(-4 * (x - at))) + 3 / (1 + np.exp(-8 * (x - at - 2.2)))
    return Curve(lr, loss + noise * rng.normal(size=points), num_iter=points, stop=Stop.COMPLETED)


def descent(points: int = 200) -> Curve:
    """A loss that falls around 1e-3 and climbs above 1."""
    log10_lr = np.linspace(-6, 1, points)
    loss = 2.0 - 1.5 / (1 + np.exp(-4 * (log10_lr + 3))) + 5 / (1 + np.exp(-10 * (log10_lr - 0.3)))
    return Curve(10.0**log10_lr, loss, num_iter=points, stop=Stop.COMPLETED)


def config_with(**finder: object) -> Config:
    config = Config()
    config.finder = replace(config.finder, **finder)  # type: ignore[arg-type]
    config.optimizer = Optimizer("torch.optim.SGD", arguments={"momentum": 0.9})
    return config


def make_job(
    folder: Path,
    *overrides: str,
    seed: int = 0,
    seeds: Mapping[str, int] | None = None,
    curve: Curve | None = None,
    threads: int = 1,
    validation: Curve | None = None,
    meta: dict[str, Any] | None = None,
    change: Callable[[dict[str, Any]], None] | None = None,
) -> Path:
    """Leave the folder of a finished job; seeds has streams with a seed of their own, change may spoil its record."""
    trained = curve_of(seed) if curve is None else curve
    key = repr(
        (overrides, seed, seeds, threads, meta, tuple(RULES), *map(_told_apart, (trained, validation)))
    )
    if key not in _made or any("_target_" in text or "root" in text for text in overrides):
        _made[key] = _files_of(overrides, seed, seeds or {}, threads, trained, validation, meta or {})
    folder.mkdir(parents=True)
    for name, content in _made[key].items():
        (folder / name).write_bytes(content)
    if change is not None:
        change_file(folder / "record.json", change)
    return folder


_made: dict[str, dict[str, bytes]] = {}
"""The files of the jobs that were made: the same few are asked for again and again, and no folder is named in them."""


def _told_apart(curve: Curve | None) -> tuple[Any, ...]:
    """Equal for equal curves."""
    return () if curve is None else (curve.digest(), curve.num_iter, curve.stop, curve.steps_per_point)


def _files_of(
    overrides: tuple[str, ...],
    seed: int,
    seeds: Mapping[str, int],
    threads: int,
    trained: Curve,
    validation: Curve | None,
    meta: dict[str, Any],
) -> dict[str, bytes]:
    """What a finished job leaves, by name."""
    config = replace(config_of(f"finder.num_iter={POINTS}", *overrides), seed=seed)
    drawn = {**dict.fromkeys(STREAMS, seed), **seeds}
    config.seeds = type(config.seeds)(**drawn)
    training = Training(
        {**training_config(config), "threads": threads}, drawn
    )  # other threads: another curve
    known = {
        "seeds": {name: {"seed": own, "used": name != "augment"} for name, own in drawn.items()},
        "device": {},
        "notes": [],
        "timings": {},
        **meta,
    }
    curves = RunCurves(trained, validation, trained.lr[:, None], known)
    answer = answer_of(curves.read, config)
    given = [f"seed={seed}", *(f"seeds.{name}={own}" for name, own in seeds.items()), *overrides]
    job = Job(tuple(given), lambda: OmegaConf.create({}), config, training)
    with TemporaryDirectory() as name:
        folder = Path(name)
        curves.save(folder / CURVE_FILE)
        build_record(job, curves, Trained(from_store=False, seconds=1.0), answer).write(folder)
        leave_status(folder, "finished", key=job.key, overrides=given)
        return {path.name: path.read_bytes() for path in folder.iterdir()}


def change_file(path: Path, change: Callable[[dict[str, Any]], object], *, checksum: bool = True) -> None:
    """Change a record on the disk, with a checksum that fits again, or with the old one."""
    content = read_json(path)
    change(content)
    if checksum:
        content["checksum"] = canonical_digest(
            {key: own for key, own in content.items() if key != "checksum"}
        )
    write_json(path, content)


def leave_status(
    folder: Path,
    status: Status,
    *,
    key: str = "",
    overrides: list[str] | None = None,
    error: str | None = None,
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    JobStatus(status=status, job_key=key, overrides=overrides or [], error=error).write(folder)


def make_sweep(folder: Path, *, seeds: int = 3, overrides: tuple[tuple[str, ...], ...] = ((),)) -> Path:
    """A sweep over seeds and some further overrides."""
    number = 0
    for seed in range(seeds):
        for own in overrides:
            make_job(folder / str(number), *own, seed=seed)
            number += 1
    return folder


def make_noisy_sweep(folder: Path, *overrides: str, seeds: int = 3) -> Path:
    """A sweep whose runs are lost in their noise, each alone; the mean of the first three curves shows a descent."""
    for seed in range(seeds):
        make_job(folder / str(seed), *overrides, seed=seed, curve=curve_of(seed, middle=-3.0, noise=1.0))
    return folder
