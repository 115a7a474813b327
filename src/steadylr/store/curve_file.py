"""The file of one run's raw numbers, and curves from CSV files that others wrote."""

from __future__ import annotations

import csv
import io
import math
import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
from pydantic import ConfigDict, Strict

from steadylr.core.curve import Curve, FloatArray, Stop, frozen_array
from steadylr.store.array_file import ArrayFile, Arrays, Header, StoredArrays
from steadylr.store.files import DamagedFile, read_bytes
from steadylr.store.stored_file import Part

if TYPE_CHECKING:
    from typing_extensions import Self


class CurveShape(Part):
    """What isn't an array in a curve: how many points were planned, and why it ended."""

    model_config = ConfigDict(extra="ignore")

    num_iter: int
    stop: Annotated[Stop, Strict(False)]


class RunHeader(Header, CurveShape):
    """What a run's file holds beside its arrays; validation is None where it wasn't measured."""

    validation: CurveShape | None


@dataclass(frozen=True, slots=True, eq=False)
class RunCurves(StoredArrays):
    """The raw numbers of one run; save and load put them into a file.

    Its arrays: lr and loss, shape (n,); group_lrs, shape (n, groups); validation_lr and validation_loss, shape
    (m,), where there is a validation curve; header, the rest as UTF-8 bytes of JSON: format, num_iter, stop,
    validation (its num_iter and stop, or null) and meta.

    Args:
        curve: the training losses.
        validation: the losses on the fixed validation subset, or None when they weren't measured.
        group_lrs: shape (n, groups), groups >= 1: the LR of each parameter group at each of the n points of
            curve; finite, at least 0. Copied and made read-only.
        meta: what else is known about the run: None, bool, int, float, str, lists, mappings with text keys.

    Raises:
        ValueError: group_lrs of another shape, not finite or below 0.
    """

    FORMAT: ClassVar[int] = 1
    HEADER: ClassVar[type[Header]] = RunHeader

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

    def _content(self) -> tuple[Arrays, dict[str, Any]]:
        arrays = {"lr": self.curve.lr, "loss": self.curve.loss, "group_lrs": self.group_lrs}
        shape = {**_shape_of(self.curve), "validation": None}
        if self.validation is not None:
            arrays |= {"validation_lr": self.validation.lr, "validation_loss": self.validation.loss}
            shape["validation"] = _shape_of(self.validation)
        return arrays, shape

    @classmethod
    def _from_content(cls, file: ArrayFile, header: RunHeader) -> Self:
        curve = _curve(file, "", header)
        held_out = None if header.validation is None else _curve(file, "validation_", header.validation)
        if held_out is not None and len(held_out) > 1:
            first, second = np.searchsorted(curve.lr, held_out.lr[:2]).tolist()
            held_out = replace(held_out, steps_per_point=max(1, second - first))
        return cls(curve, held_out, file.floats("group_lrs"), header.meta)


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
        text = read_bytes(path).decode("utf-8-sig")
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


def _curve(file: ArrayFile, prefix: str, shape: CurveShape) -> Curve:
    lr, loss = file.floats(f"{prefix}lr"), file.floats(f"{prefix}loss")
    try:
        return Curve(lr, loss, shape.num_iter, shape.stop)
    except ValueError as error:
        raise DamagedFile(file.path, f"{prefix}lr and {prefix}loss are no curve: {error}") from None


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
