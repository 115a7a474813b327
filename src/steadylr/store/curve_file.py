"""The file of one run's raw numbers, and curves from CSV files that others wrote."""

from __future__ import annotations

import csv
import io
import math
import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from steadylr.core.curve import Curve, FloatArray, Stop, frozen_array
from steadylr.store.array_file import ArrayFile, array_bytes, header_bytes, header_field
from steadylr.store.files import DamagedFile, NewerSchema, write_atomic

CURVE_FORMAT = 1
"""Version of the file format; raised when older readers could not read a file."""


@dataclass(frozen=True, slots=True, eq=False)
class RunCurves:
    """The raw numbers of one run.

    Args:
        curve: the training losses.
        validation: the losses on the fixed validation subset, or None when they weren't measured.
        group_lrs: shape (n, groups), groups >= 1: the LR of each parameter group at each of the n points of
            curve; finite, at least 0. Copied and made read-only.
        meta: what else is known about the run: None, bool, int, float, str, lists, mappings with text keys.

    Raises:
        ValueError: group_lrs of another shape, not finite or below 0.
    """

    curve: Curve
    validation: Curve | None
    group_lrs: FloatArray
    meta: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "group_lrs", frozen_array(self.group_lrs))
        shape = self.group_lrs.shape
        if len(shape) != 2 or shape[0] != len(self.curve) or shape[1] == 0:
            raise ValueError(
                f"group_lrs must have the shape ({len(self.curve)}, groups), one row a point of the curve, "
                f"with at least one group; got {shape}"
            )
        bad = self.group_lrs[~(np.isfinite(self.group_lrs) & (self.group_lrs >= 0))]
        if bad.size:
            raise ValueError(f"group_lrs must be finite and at least 0; got {bad[0]}")

    @property
    def read(self) -> Curve:
        """The curve that the rules read: validation where there is one, else the training losses."""
        return self.curve if self.validation is None else self.validation

    @property
    def lr_ratios(self) -> tuple[float, ...]:
        """Each parameter group's LR over that of the ramp, to 12 digits: the quotient has rounding errors."""
        return tuple(float(f"{lr / self.curve.lr[0]:.12g}") for lr in self.group_lrs[0])

    @property
    def skipped_steps(self) -> tuple[int, ...]:
        """The points of curve, from 0, whose update a gradient scaler left out: see RangeTest."""
        return tuple(self.meta.get("skipped_steps", ()))

    @property
    def skipped_share(self) -> float:
        """The share of the points whose update a gradient scaler left out, from 0 to 1."""
        return len(self.skipped_steps) / len(self.curve)


def save_run_curves(
    path: str | os.PathLike[str], run: RunCurves, *, temp_folder: str | os.PathLike[str] | None = None
) -> None:
    """Write a run's raw numbers to one .npz file, atomically.

    The arrays: lr and loss, shape (n,); group_lrs, shape (n, groups); validation_lr and validation_loss,
    shape (m,), where there is a validation curve; header, the rest as UTF-8 bytes of JSON: format, num_iter,
    stop, validation (its num_iter and stop, or null) and meta. No pickle; nothing is compressed, since losses
    hardly compress and reading is what counts.

    Args:
        path: the file; missing folders are made.
        run: the numbers.
        temp_folder: see write_atomic.

    Raises:
        ValueError: meta holds what JSON can't carry.
        OSError: the file can't be written.
    """
    header = {
        "format": CURVE_FORMAT,
        **_shape_of(run.curve),
        "validation": None if run.validation is None else _shape_of(run.validation),
        "meta": run.meta,
    }
    arrays: dict[str, npt.NDArray[Any]] = {
        "lr": run.curve.lr,
        "loss": run.curve.loss,
        "group_lrs": run.group_lrs,
        "header": header_bytes(header),
    }
    if run.validation is not None:
        arrays |= {"validation_lr": run.validation.lr, "validation_loss": run.validation.loss}
    write_atomic(path, array_bytes(arrays), temp_folder=temp_folder)


def load_run_curves(path: str | os.PathLike[str]) -> RunCurves:
    """Read what save_run_curves wrote; every byte of the numbers is verified by its CRC.

    Raises:
        FileNotFoundError: there is no such file.
        DamagedFile: cut short, changed, no such arrays, arrays of another type, or numbers that are no curve.
        NewerSchema: a newer steadylr wrote it.
    """
    members = ArrayFile(path)
    header = members.header(newest=CURVE_FORMAT)
    validation = header_field(path, header, "validation", (dict, type(None)))
    curve = _curve(members, "", header)
    held_out = None if validation is None else _curve(members, "validation_", validation)
    group_lrs = members.floats("group_lrs")
    if held_out is not None and len(held_out) > 1:
        first, second = np.searchsorted(curve.lr, held_out.lr[:2]).tolist()
        held_out = replace(held_out, steps_per_point=max(1, second - first))
    try:
        return RunCurves(curve, held_out, group_lrs, header_field(path, header, "meta", dict))
    except ValueError as error:
        raise DamagedFile(path, str(error)) from None


def load_meta(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read only the meta of a run's file; raises as load_run_curves does."""
    meta: dict[str, Any] = header_field(path, ArrayFile(path).header(newest=CURVE_FORMAT), "meta", dict)
    return meta


def load_csv_curve(path: str | os.PathLike[str]) -> Curve:
    """Read a curve from a CSV file with the columns lr and loss.

    Comma-separated UTF-8 with a header line; columns in any order, others ignored, empty lines skipped. A
    loss may be nan or inf. num_iter is the number of points, since the file can't say how many were planned.

    Raises:
        FileNotFoundError: there is no such file.
        DamagedFile: no header, a missing column, a value that is no number, an LR that isn't positive or
            doesn't rise; the message names the line and the value.
    """
    path = Path(path)
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DamagedFile(path, f"is no UTF-8 text (byte {error.start})") from None
    try:
        lrs, losses = _csv_columns(path, csv.reader(io.StringIO(text, newline=""), strict=True))
    except csv.Error as error:
        raise DamagedFile(path, f"is no CSV: {error}") from None
    if not lrs:
        raise DamagedFile(path, "holds no points below its header line")
    stop = Stop.COMPLETED if math.isfinite(losses[-1]) else Stop.NON_FINITE
    return Curve(np.array(lrs), np.array(losses), num_iter=len(lrs), stop=stop)


def _shape_of(curve: Curve) -> dict[str, Any]:
    return {"num_iter": curve.num_iter, "stop": curve.stop.value}


def _curve(members: ArrayFile, prefix: str, shape: dict[str, Any]) -> Curve:
    path = members.path
    lr, loss = members.floats(f"{prefix}lr"), members.floats(f"{prefix}loss")
    num_iter = header_field(path, shape, "num_iter", int)
    stop = header_field(path, shape, "stop", str)
    try:
        return Curve(lr, loss, num_iter, Stop(stop))
    except ValueError as error:
        raise DamagedFile(path, f"{prefix}lr and {prefix}loss are no curve: {error}") from None


def _csv_columns(path: Path, rows: Any) -> tuple[list[float], list[float]]:
    names = [name.strip().lower() for name in next(rows, [])]
    for column in ("lr", "loss"):
        if names.count(column) != 1:
            raise DamagedFile(
                path,
                "line 1 must be a header with the columns lr and loss, once each, separated by commas; "
                f"got {names}",
            )
    lr_at, loss_at = names.index("lr"), names.index("loss")
    lrs: list[float] = []
    losses: list[float] = []
    for row in rows:
        if not any(cell.strip() for cell in row):
            continue
        lr = _csv_number(path, rows.line_num, "lr", row, lr_at)
        if not (math.isfinite(lr) and lr > 0):
            raise DamagedFile(
                path, f"line {rows.line_num}: lr must be finite and above 0; got {row[lr_at]!r}"
            )
        if lrs and lr <= lrs[-1]:
            raise DamagedFile(
                path, f"line {rows.line_num}: lr must rise from line to line; got {lrs[-1]!r} then {lr!r}"
            )
        lrs.append(lr)
        losses.append(_csv_number(path, rows.line_num, "loss", row, loss_at))
    return lrs, losses


def _csv_number(path: Path, line: int, name: str, row: list[str], index: int) -> float:
    if index >= len(row):
        raise DamagedFile(path, f"line {line}: has no {name}; got {row}")
    try:
        return float(row[index])
    except ValueError:
        raise DamagedFile(path, f"line {line}: {name} must be a number; got {row[index]!r}") from None


__all__ = [
    "CURVE_FORMAT",
    "DamagedFile",
    "NewerSchema",
    "RunCurves",
    "load_csv_curve",
    "load_meta",
    "load_run_curves",
    "save_run_curves",
]
