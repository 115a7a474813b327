"""The file of one trial's numbers. A trial is one short OneCycle training of a verification."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from steadylr.core.curve import FloatArray, Stop, frozen_array
from steadylr.store.array_file import ArrayFile, array_bytes, header_bytes, header_field
from steadylr.store.files import DamagedFile, write_atomic

TRIAL_FORMAT = 1
"""Version of the file format; raised when older readers could not read a file."""


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """The raw numbers of one trial.

    Args:
        losses: shape (n,), n >= 1: the training loss of each step. Copied and made read-only.
        total_steps: steps that were planned, at least n: a trial that was given up has fewer losses.
        stop: why it ended.
        final_loss: what it is judged by; infinite where it was given up or the loss was no number.
        meta: what else is known about it: None, bool, int, float, str, lists, mappings with text keys.

    Raises:
        ValueError: losses of another shape, or total_steps below their number.
    """

    losses: FloatArray
    total_steps: int
    stop: Stop
    final_loss: float
    meta: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "losses", frozen_array(self.losses))
        object.__setattr__(self, "stop", Stop(self.stop))
        if self.losses.ndim != 1 or self.losses.size == 0:
            raise ValueError(f"losses must be one-dimensional and not empty; got shape {self.losses.shape}")
        if self.total_steps < self.losses.size:
            raise ValueError(
                f"total_steps must be at least the {self.losses.size} losses given; got {self.total_steps}"
            )

    @property
    def initial_loss(self) -> float:
        """The loss of the first batch, before any step."""
        return float(self.losses[0])


def save_trial(
    path: str | os.PathLike[str], trial: Trial, *, temp_folder: str | os.PathLike[str] | None = None
) -> None:
    """Write a trial to one .npz file, atomically: loss, shape (n,), and header, the rest as UTF-8 bytes of JSON.

    Args:
        path: the file; missing folders are made.
        trial: the numbers.
        temp_folder: see write_atomic.

    Raises:
        ValueError: meta holds what JSON can't carry.
        OSError: the file can't be written.
    """
    header = {
        "format": TRIAL_FORMAT,
        "total_steps": trial.total_steps,
        "stop": trial.stop.value,
        "final_loss": trial.final_loss,
        "meta": trial.meta,
    }
    content = array_bytes({"loss": trial.losses, "header": header_bytes(header)})
    write_atomic(path, content, temp_folder=temp_folder)


def load_trial(path: str | os.PathLike[str]) -> Trial:
    """Read what save_trial wrote; every byte of the numbers is verified by its CRC.

    Raises:
        FileNotFoundError: there is no such file.
        DamagedFile: cut short, changed, or numbers that are no trial.
        NewerSchema: a newer steadylr wrote it.
    """
    file = ArrayFile(path)
    header = file.header(newest=TRIAL_FORMAT)
    final_loss = header_field(path, header, "final_loss", (int, float))
    if math.isnan(final_loss):
        raise DamagedFile(Path(path), "its final_loss is no number")
    try:
        return Trial(
            losses=file.floats("loss"),
            total_steps=header_field(path, header, "total_steps", int),
            stop=Stop(header_field(path, header, "stop", str)),
            final_loss=float(final_loss),
            meta=header_field(path, header, "meta", dict),
        )
    except DamagedFile:
        raise
    except ValueError as error:
        raise DamagedFile(Path(path), f"is no trial: {error}") from None
