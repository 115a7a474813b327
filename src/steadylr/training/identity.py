"""What identifies a training: all that shapes its curve, and the key that follows."""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

from steadylr.config.schema import Config, Model
from steadylr.config.targets import own_code_of
from steadylr.run.environment import package_versions, probe_device
from steadylr.run.fingerprint import NOT_DOWNLOADED, data_fingerprint
from steadylr.run.names import STREAMS
from steadylr.run.optimizer_facts import PACKAGE_OF
from steadylr.store.curve_store import run_key
from steadylr.store.files import plain_values


def training_config(config: Config) -> dict[str, Any]:
    """All of a config that shapes a curve, as plain JSON values; equal for two configs that train alike.

    Seeds are not in it, nor what the caller adds from the machine: threads, the kind of device, and
    fingerprints of the data and of a file of weights. A key that nothing depends on is left out: val_samples
    without val_every, the strategy of one device. The transforms are a list of pairs, as their order counts.
    """
    finder, device = config.finder, config.device
    sharing = ("strategy", "devices") if device.devices > 1 else ()
    ramp = ("start_lr", "end_lr", "num_iter", "step_mode", "diverge_th", "accumulation_steps", "val_every")
    trained = {
        "model": _trained_part(
            config.model, ("name", "weights", "freeze", "kwargs", *_library_key(config.model))
        ),
        "data": _trained_part(config.data, ("name", "image_size", "mean", "std", "batch_size", "drop_last")),
        "augmentation": [
            [name, arguments or {}] for name, arguments in config.augmentation.transforms.items()
        ],
        "optimizer": _trained_part(config.optimizer, ("name", "weight_decay", "kwargs", "groups")),
        "loss": _trained_part(config.loss, ("name", "label_smoothing")),
        "finder": _some(finder, (*ramp, "val_samples") if finder.val_every else ramp),
        "device": _some(device, ("precision", "channels_last", "deterministic", *sharing)),
    }
    return cast("dict[str, Any]", plain_values(trained))


def _library_key(model: Model) -> tuple[str, ...]:
    return () if model.library is None else ("library",)


def _trained_part(node: Any, names: Sequence[str]) -> dict[str, Any]:
    """What shapes a curve of a group that takes the user's own code: these keys, or all of them with such code."""
    values = asdict(node)
    if node._target_ is None:
        return {name: values[name] for name in names}
    how = ("name", "root", "download", "workers", "pin_memory", "min_image_size")
    return {name: value for name, value in values.items() if name not in how}


def _some(node: Any, names: Sequence[str]) -> dict[str, Any]:
    return {name: getattr(node, name) for name in names}


ENGINE_VERSION = 2
"""Raised whenever the engine would draw other numbers or take other steps from the same config."""

KEYED_PACKAGES = ("torch", "torchvision")

LIBRARY_PACKAGES = {"timm": "timm", "huggingface": "transformers", "lightning": "lightning"}
"""The package that a model's library comes in."""


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


def describe_training(config: Config) -> Training:
    """Say what identifies the training that a config asks for, without importing torch.

    Threads are a part of it where the config names their number: else that follows the machine and its load, which
    moves the last digits of a curve and nothing that an answer rests on.

    Raises:
        DataError: the data isn't where the config says.
        OwnCodeError: the user's own code isn't.
    """
    versions = package_versions()
    package = PACKAGE_OF.get(config.optimizer.name.lower())
    shape = {
        **training_config(config),
        "threads": config.device.threads,
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


def full_key(training: Training) -> str:
    """The hash of a training with all its seeds, used or not."""
    return run_key(training.shape, training.seeds)


def job_key(config: Config, training: Training) -> str:
    """What identifies a job: its training and all that shapes the reading of its curve and its plan."""
    reading = {"finder": asdict(config.finder), "onecycle": asdict(config.onecycle)}
    return run_key({"training": training.shape, **plain_values(reading)}, training.seeds)
