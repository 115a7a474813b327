"""What identifies a training: all that shapes its curve, and the key that follows."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import lru_cache
from typing import Any, cast

from steadylr.config.located import TARGET, locate
from steadylr.config.schema import Config
from steadylr.config.sources import files_fingerprint, sources_of
from steadylr.config.targets import (
    Part,
    named_files,
    signature_of,
    targets_of,
    transforms_of,
    unidentified,
)
from steadylr.run.environment import package_versions, probe_device
from steadylr.run.fingerprint import NOT_DOWNLOADED, data_fingerprint
from steadylr.run.names import STREAMS
from steadylr.store.curve_store import run_key
from steadylr.store.files import plain_values


def training_config(config: Config) -> dict[str, Any]:
    """All of a config that shapes a curve, as plain JSON values; equal for two configs that train alike.

    Seeds are not in it, nor what the caller adds from the machine: threads, the kind of device, and
    fingerprints of the data and of a file of weights. A key that nothing depends on is left out: val_samples
    without val_every, scout_steps of 0, the strategy of one device. The transforms are a list of pairs, as their
    order counts.
    """
    finder, device = config.finder, config.device
    sharing = ("strategy", "devices") if device.devices > 1 else ()
    samples = ("val_samples",) if finder.val_every else ()
    scout = ("scout_steps",) if finder.scout_steps else ()
    ramp = ("start_lr", "end_lr", "num_iter", "step_mode", "diverge_th", "accumulation_steps", "val_every")
    trained = {
        "model": _trained_part(config.model),
        "data": _trained_part(config.data),
        "augmentation": [[name, entry] for name, entry in transforms_of(config.augmentation).items()],
        "optimizer": _trained_part(config.optimizer),
        "loss": _trained_part(config.loss),
        "finder": _some(finder, (*ramp, *samples, *scout)),
        "device": _some(device, ("precision", "channels_last", "deterministic", *sharing)),
    }
    return cast("dict[str, Any]", plain_values(trained))


ONLY_IF_TAKEN = {"name", "root", "download"}
"""Keys that shape a curve only if a target takes them; where the data of this project lie, their fingerprint says."""

NEVER_TAKEN = {"arguments", "min_image_size", "workers", "pin_memory", "fingerprint"}
"""Keys that shape no curve, or whose arguments stand beside them."""


def _trained_part(part: Part) -> dict[str, Any]:
    """What shapes a curve of a group that names a target: the target, its arguments, and the keys that count."""
    ours = part._target_.startswith("steadylr.")
    signature = None if part._target_ in METHODS else signature_of(part._target_)

    def counts(name: str) -> bool:
        if name not in ONLY_IF_TAKEN or (ours and name == "name"):
            return True
        return not ours and (signature is None or signature.takes(name))

    kept = [entry.name for entry in fields(part) if entry.name not in NEVER_TAKEN]
    values = asdict(part)
    return {**{name: values[name] for name in kept if counts(name)}, **part.arguments}


METHODS = ("configure_optimizers", "training_step")
"""What stands in for a target where a LightningModule brings its optimizers and its loss."""


def _some(node: Any, names: Sequence[str]) -> dict[str, Any]:
    return {name: getattr(node, name) for name in names}


ENGINE_VERSION = 2
"""Raised whenever the engine would draw other numbers or take other steps from the same config."""

KEYED_PACKAGES = ("torch", "torchvision")

LIBRARY_PACKAGES = {
    "steadylr.run.timm_model.timm_classifier": "timm",
    "steadylr.run.transformers_model.transformers_model": "transformers",
}
"""The package that a target of this project takes its models from."""


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
        TargetError: a target isn't.
    """
    targets = targets_of(config)
    shape = {
        **training_config(config),
        "threads": config.device.threads,
        "device_kind": probe_device(config.device.accelerator.value),
        "data_fingerprint": _fingerprint(config),
        "weights": files_fingerprint(config.model.weights),
        "files": named_files(config),
        "versions": _versions(targets),
        "engine": ENGINE_VERSION,
    }
    own = sources_of(path for path in targets if not locate(path, key=TARGET).installed).fingerprint()
    if own is not None:
        shape["own_code"] = {**own, "files": shape["files"] or None}
    if unidentified(config) is not None:
        shape[UNIQUE] = _THIS_PROCESS
    return Training(shape, {name: int(getattr(config.seeds, name)) for name in STREAMS})


def differing_parts(one: Training, other: Training) -> list[str]:
    """In what the trainings of two processes differ that were asked to do one; seeds and UNIQUE aside."""
    shapes = [{**plain_values(training.shape), UNIQUE: None} for training in (one, other)]
    return [key for key, value in shapes[0].items() if value != shapes[1].get(key)]


UNIQUE = "unidentified"
"""What stands in the shape of a training that can't be told from others: a text of this process alone."""

_THIS_PROCESS = uuid.uuid4().hex


def _versions(targets: Sequence[str]) -> dict[str, str | None]:
    """The versions of the packages that a training rests on."""
    found = dict.fromkeys(
        (*KEYED_PACKAGES, *(LIBRARY_PACKAGES[path] for path in targets if path in LIBRARY_PACKAGES))
    )
    installed = [path for path in targets if locate(path, key=TARGET).installed]
    return {**{name: package_versions().get(name) for name in found}, **sources_of(installed).packages}


def _fingerprint(config: Config) -> str | None:
    """What data a config trains on. Data that are to be downloaded are, since before that nothing identifies them."""
    data = config.data
    name = data._target_.rpartition(".")[2]
    if data._target_ != f"steadylr.run.datasets.{name}":
        return data.fingerprint
    found = _known_fingerprint(name, data.root)
    if not data.download or not found.startswith(NOT_DOWNLOADED):
        return found
    from steadylr.training.targets import called, target_of

    called(target_of("data", data))
    _known_fingerprint.cache_clear()
    return _known_fingerprint(name, data.root)


@lru_cache
def _known_fingerprint(name: str, root: str | None) -> str:
    """The fingerprint of data, looked up once a process: a large folder of images takes seconds to list."""
    return data_fingerprint(name, root=root)


def full_key(training: Training) -> str:
    """The hash of a training with all its seeds, used or not."""
    return run_key(training.shape, training.seeds)


def job_key(config: Config, training: Training) -> str:
    """What identifies a job: its training and all that shapes the reading of its curve and its plan."""
    reading = {"finder": asdict(config.finder), "onecycle": asdict(config.onecycle)}
    return run_key({"training": training.shape, **plain_values(reading)}, training.seeds)
