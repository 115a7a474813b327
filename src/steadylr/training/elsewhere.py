"""A training on another machine: what it needs is taken along, and what it finds there is checked."""

from __future__ import annotations

import hashlib
import importlib
import os
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from steadylr.config.choices import Accelerator
from steadylr.config.errors import BadInput
from steadylr.config.located import TARGET, locate
from steadylr.config.sources import sources_of
from steadylr.config.targets import targets_of
from steadylr.run.environment import probe_device
from steadylr.store.files import write_atomic
from steadylr.training.devices import Share, train
from steadylr.training.identity import Training, describe_training, differing_parts
from steadylr.training.trial import describe_trial, train_trial

if TYPE_CHECKING:
    from steadylr.config.schema import Config, Device
    from steadylr.core.onecycle import Plan
    from steadylr.store.curve_file import RunCurves
    from steadylr.store.trial_file import Trial


@dataclass(frozen=True, slots=True)
class Needs:
    """What a training needs of a machine.

    Args:
        cores: for all its devices, at least 1.
        gpus: 0 for a training on CPUs.
    """

    cores: int
    gpus: float

    @classmethod
    def of(cls, device: Device, *, cores: int | None = None, gpus: float | None = None) -> Needs:
        """Of a config's trainings; what is None follows from it: device.threads or 1, and a GPU, for each device."""
        on_gpus = probe_device(device.accelerator.value) == "cuda"
        return cls(
            cores or (device.threads or 1) * device.devices, (gpus or device.devices) if on_gpus else 0
        )

    def share(self, device: Device) -> Share:
        """What each of its devices may use."""
        return Share(device.threads or max(1, self.cores // device.devices))


@dataclass(frozen=True, slots=True)
class Parcel:
    """One training with all that another machine needs beside steadylr, its packages and the data.

    Args:
        config: what to train.
        training: what identifies it, as the machine sees it that asks for it.
        plan: the schedule of a trial; None for a range test.
        share: what it may use of its machine.
        code: the user's own modules that the config leads to: relative paths and sources.
        folder: where the command was given; relative paths start there, if the machine has it.
    """

    config: Config
    training: Training
    plan: Plan | None
    share: Share
    code: Mapping[str, bytes]
    folder: str

    @classmethod
    def of(cls, config: Config, training: Training, plan: Plan | None, *, share: Share) -> Parcel:
        """Pack a training. It trains on the kind of device that identifies it, whatever else its machine has."""
        kind = Accelerator(training.shape["device_kind"])
        own = replace(config, device=replace(config.device, accelerator=kind))
        return cls(own, training, plan, share, _own_code(config), os.getcwd())

    def unpack(self) -> None:
        """Make its code importable, and have torch keep to its threads.

        Raises:
            BadInput: this machine would train something else than the one that asks.
        """
        os.environ["OMP_NUM_THREADS"] = str(self.share.threads)  # read when torch is imported
        if os.path.isdir(self.folder):
            os.chdir(self.folder)
        if self.code:
            _make_importable(self.code)
        here = describe_training(self.config) if self.plan is None else describe_trial(self.config, self.plan)
        if differing := differing_parts(here, self.training):
            raise BadInput(
                f"this machine would train something else than the one that asks, as they differ in "
                f"{', '.join(differing)}: give both the same data (with the same times: rsync -a) and the same versions"
            )

    def train(self) -> RunCurves | Trial:
        """Train it, once unpacked.

        Raises:
            Exception: whatever ended the training.
        """
        if self.plan is None:
            return train(self.config, self.training, share=self.share)
        return train_trial(self.config, self.training, self.plan, share=self.share)


def _own_code(config: Config) -> dict[str, bytes]:
    """The user's own modules behind the targets of a config: where each belongs below a folder of sys.path."""
    own = [path for path in targets_of(config) if not locate(path, key=TARGET).installed]
    return {_place(name, file): file.read_bytes() for name, file in sources_of(own).files.items()}


def _place(module: str, file: Path) -> str:
    folders = module.split(".") if file.stem == "__init__" else module.split(".")[:-1]
    return "/".join([*folders, file.name])


_FOLDERS: dict[str, tempfile.TemporaryDirectory[str]] = {}
"""By digest the folders of modules that this process has put on its search path; they go with it."""


def _make_importable(code: Mapping[str, bytes]) -> None:
    """Write modules into a folder of this process alone, and put that first on the search path."""
    digest = hashlib.sha256(repr(sorted(code.items())).encode()).hexdigest()
    if digest in _FOLDERS:
        return
    folder = _FOLDERS[digest] = tempfile.TemporaryDirectory(prefix="steadylr-code-")
    for place, content in code.items():
        write_atomic(Path(folder.name) / place, content)
    sys.path.insert(0, folder.name)
    importlib.invalidate_caches()
