"""From a config to the raw numbers of one run: what identifies a training, and how it is done."""

from __future__ import annotations

import importlib.metadata
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steadylr.app.checks import BadInput, training_config
from steadylr.app.own_config import own_code_of
from steadylr.present.numbers import count
from steadylr.run.environment import cpu_cores, package_versions, probe_device
from steadylr.run.fingerprint import NOT_DOWNLOADED, data_fingerprint
from steadylr.run.names import STREAMS
from steadylr.run.optimizer_facts import PACKAGE_OF
from steadylr.run.ranks import ALONE, Rank, torchrun_rank

if TYPE_CHECKING:
    from torch import nn
    from torch._C._distributed_c10d import Store

    from steadylr.app.schema import Config
    from steadylr.present.terminal import StepReport
    from steadylr.run.range_test import RangeTest
    from steadylr.store.curve_file import RunCurves

ENGINE_VERSION = 2
"""Raised whenever the engine would draw other numbers or take other steps from the same config."""

KEYED_PACKAGES = ("torch", "torchvision")

LIBRARY_PACKAGES = {"timm": "timm", "huggingface": "transformers", "lightning": "lightning"}
"""The package that a model's library comes in."""

RawRun = tuple["RunCurves", tuple[str, ...]]
"""The raw numbers of a run, and the names of the random streams that something drew from."""


@dataclass(frozen=True, slots=True)
class Training:
    """What identifies one distinct training: two that are equal give the same curve, bit for bit.

    Args:
        shape: everything that shapes the curve except the seeds, as plain JSON values.
        seeds: the seed of each random stream.
    """

    shape: dict[str, Any]
    seeds: dict[str, int]

    def on_device(self, kind: str) -> Training:
        """The same training on another kind of device."""
        return replace(self, shape={**self.shape, "device_kind": kind})


def describe_training(config: Config, *, threads: int) -> Training:
    """Say what identifies the training that a config asks for, without importing torch.

    Raises:
        DataError: the data isn't where the config says.
        OwnCodeError: the user's own code isn't.
    """
    versions = package_versions()
    package = PACKAGE_OF.get(config.optimizer.name.lower())
    shape = {
        **training_config(config),
        "threads": threads,
        "device_kind": probe_device(config.device.accelerator.value),
        "data_fingerprint": _fingerprint(config),
        "weights": weights_fingerprint(config.model.weights),
        "versions": {name: versions.get(name) for name in _keyed_packages(config)}
        | ({} if package is None else {package: importlib.metadata.version(package)}),
        "engine": ENGINE_VERSION,
    }
    if (own_code := own_code_of(config)) is not None:
        shape["own_code"] = own_code
    return Training(shape, {name: int(getattr(config.seeds, name)) for name in STREAMS})


def _keyed_packages(config: Config) -> tuple[str, ...]:
    library = config.model.library
    return KEYED_PACKAGES if library is None else (*KEYED_PACKAGES, LIBRARY_PACKAGES[library])


def _fingerprint(config: Config) -> str:
    """What data a config trains on. Data that are to be downloaded are, since before that nothing identifies them."""
    data = config.data
    if data._target_ is not None:
        return "own code"  # which is identified with the rest of it
    found = _known_fingerprint(data.name, data.root)
    if not data.download or not found.startswith(NOT_DOWNLOADED):
        return found
    from steadylr.run.data import load_data

    load_data(data.name, root=data.root, download=True)
    _known_fingerprint.cache_clear()
    return _known_fingerprint(data.name, data.root)


@lru_cache
def _known_fingerprint(name: str, root: str | None) -> str:
    """The fingerprint of data, looked up once a process: a large folder of images takes seconds to list."""
    return data_fingerprint(name, root=root)


def weights_fingerprint(weights: str | None) -> str | None:
    """What tells weights from others at the same path: size and time of the file, or of the files in a folder."""
    path = None if weights is None else Path(weights).expanduser()
    if path is None or not path.exists():
        return None
    files = [path] if path.is_file() else sorted(file for file in path.iterdir() if file.is_file())
    return ",".join(f"{status.st_size}:{status.st_mtime_ns}" for status in map(os.stat, files))


def threads_for(config: Config, *, workers: int) -> int:
    """Threads of one device's process: what the config says, else the cores divided by the processes that train.

    Args:
        config: of one training.
        workers: how many trainings share the machine.
    """
    if config.device.threads is not None:
        return config.device.threads
    rank = torchrun_rank()
    here = config.device.devices if rank is None else rank.local_count
    return max(1, cpu_cores() // (workers * here))


@contextmanager
def too_small_batches(config: Config) -> Iterator[None]:
    """Within this context, BatchNorm's refusal of a batch of one value per channel is explained."""
    try:
        yield
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        data, devices = config.data, config.device.devices
        where = f" on {devices} devices" if devices > 1 else ""
        last = (
            "" if data.drop_last else ", or data.drop_last=true, since an epoch's last batch may be smaller"
        )
        raise BadInput(
            f"data.batch_size={data.batch_size}{where} gives a batch of one image, in which BatchNorm has nothing to "
            f"average with model.name={config.model.name} and data.image_size={data.image_size}: "
            f"raise data.batch_size to {2 * devices} or more{last}"
        ) from error


def _skipped_note(test: RangeTest) -> Iterator[str]:
    if test.skipped_steps:
        skipped = f"{len(test.skipped_steps)} of {count(len(test.curve), 'update')}"
        yield f"The gradient scaler left out {skipped}, as gradients overflowed in fp16; their points are marked."


def train(
    config: Config, training: Training, *, report: StepReport | None = None, gpus: Sequence[int] = ()
) -> RawRun:
    """Do the training that a config asks for: in this process, or in one per device where there are several.

    Args:
        config: what to train.
        training: describe_training of it; gives the number of threads.
        report: told after every step, or every now and then by a training in other processes.
        gpus: which GPUs, one per device; empty: the first ones.

    Raises:
        ValueError: data, a model, an optimizer or a device that can't be had as the config says.
        OutOfMemory: it did not fit.
        TrainingFailed: something went wrong in one of several processes.
    """
    if config.device.devices == 1:
        return train_rank(config, training, report=report, gpu=gpus[0] if gpus else 0)
    if torchrun_rank() is not None:
        from steadylr.app.torchrun import train_in_torchrun

        return train_in_torchrun(config, training, report=report)
    from steadylr.app.ranks import in_ranks

    work = partial(train_rank, config, training)
    return in_ranks(work, config.device.devices, report=report, gpus=gpus)


def train_rank(
    config: Config,
    training: Training,
    rank: Rank = ALONE,
    *,
    report: StepReport | None = None,
    gpu: int = 0,
    store: Store | None = None,
) -> RawRun:
    """Do one rank's part of a training, in this process.

    Args:
        config: what to train.
        training: describe_training of it; gives the number of threads.
        rank: which process of the training this is. All of them must train to get anywhere.
        report: told after every step.
        gpu: which of this machine's GPUs.
        store: where the ranks meet; None: as the rank says.

    Raises:
        ValueError: data, a model, an optimizer or a device that can't be had as the config says.
        OutOfMemory: it did not fit.
    """
    from steadylr.app.parts import build_parts
    from steadylr.core.divergence import StopRule
    from steadylr.core.ramp import Ramp
    from steadylr.run.device import memory_errors, on_device, place, resolve_device
    from steadylr.run.process_group import of_any_rank
    from steadylr.run.randomness import Streams, seed_noise
    from steadylr.run.range_test import range_test
    from steadylr.store.curve_file import RunCurves

    begin = time.perf_counter()
    finder = config.finder
    streams = Streams(**training.seeds)
    device = resolve_device(
        config.device.accelerator.value,
        precision=config.device.precision,
        index=gpu,
        threads=training.shape["threads"],
        channels_last=config.device.channels_last,
        deterministic=config.device.deterministic,
        strategy=config.device.strategy.value,
        devices=rank.count,
    )
    with on_device(device, rank, store=store) as fabric:
        parts = build_parts(config, streams=streams, device=device, rank=rank)
        with (
            memory_errors(batch_size=parts.batch_size, accumulation_steps=finder.accumulation_steps),
            too_small_batches(config),
        ):
            model, optimizer = place(fabric, device, parts.model, parts.optimizer)
            seed_noise(streams, rank)
            ready = time.perf_counter()
            test = range_test(
                model,
                optimizer,
                parts.batches,
                parts.loss_fn,
                Ramp(finder.start_lr, finder.end_lr, finder.num_iter, finder.step_mode.value),
                stop_rule=StopRule(finder.diverge_th),
                accumulation_steps=finder.accumulation_steps,
                lr_ratios=parts.lr_ratios,
                step=parts.step,
                backward=fabric.backward,
                validate=parts.validate,
                val_every=finder.val_every,
                restore=False,
                on_step=report,
            )
        flags = {**parts.drawn(), "noise": test.noise_used}
        drawn = dict(zip(flags, of_any_rank(list(flags.values()), rank, fabric.device), strict=True))
    meta = {
        "seeds": {name: {"seed": seed, "used": drawn[name]} for name, seed in training.seeds.items()},
        "device": asdict(device),
        "notes": [*parts.notes, *_sharing_notes(parts.model, rank), *_skipped_note(test)],
        "skipped_steps": list(test.skipped_steps),
        "lr_ratios": list(parts.lr_ratios),
        "timings": {"prepare_seconds": ready - begin, "train_seconds": test.seconds},
    }
    used = tuple(name for name in STREAMS if drawn[name])
    return RunCurves(test.curve, test.validation, test.group_lrs, meta), used


def _sharing_notes(model: nn.Module, rank: Rank) -> list[str]:
    """What sharing its batches among devices changes for a model."""
    from torch.nn.modules.batchnorm import _BatchNorm

    if rank.alone or not any(isinstance(module, _BatchNorm) for module in model.modules()):
        return []
    return [
        f"BatchNorm averages over each device's share of a batch (1/{rank.count} of it), so the curve is not quite "
        "that of one device"
    ]
