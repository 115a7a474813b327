"""A sweep's folder as a stranger may send it: targets, references, escapes, links, FIFOs and changed numbers."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from made_jobs import change_file, leave_status, make_job, make_sweep

SECRET = "STEADYLR_SECRET"
"""The environment variable that the sweep's records refer to."""

ESCAPE = "\x1b]0;owned\x07"


def _target(marker: Path) -> Callable[[dict[str, Any]], None]:
    def change(record: dict[str, Any]) -> None:
        record["config"]["model"]["_target_"] = "os.system"
        record["config"]["model"]["kwargs"] = {"command": f"touch {marker}"}

    return change


def _reference(record: dict[str, Any]) -> None:
    for group, key in (("onecycle", "anneal_strategy"), ("consensus", "choose"), ("data", "root")):
        record["config"][group][key] = f"${{oc.env:{SECRET}}}"


def _doubled(record: dict[str, Any]) -> None:
    record["suggestions"]["bracket"]["lr"] *= 2


def _other_digit(record: dict[str, Any]) -> None:
    record["config"]["data"]["batch_size"] += 1


def _other_seed(record: dict[str, Any]) -> None:
    record["seeds"]["init"]["seed"] += 1


CHANGED = {3: _doubled, 4: _other_digit, 5: _other_seed}
"""Changes to the numbers of a record that a checksum tells, by job."""


def make_hostile_sweep(folder: Path, *, marker: Path) -> Path:
    """Jobs 0 to 2 are good; all others are as named above; `marker` is what a target that ran would leave."""
    make_sweep(folder, seeds=3)
    for number, change in CHANGED.items():
        make_job(folder / str(number), seed=number)
        change_file(folder / str(number) / "record.json", change, checksum=False)
    make_job(folder / "6", seed=6, change=_target(marker))
    make_job(folder / "7", seed=7, change=_reference)
    leave_status(folder / "8", "failed", overrides=[f"+model.name={ESCAPE}"], error=f"no {ESCAPE} there")
    make_job(folder / "9", seed=9)
    (folder / "9" / "record.json").unlink()
    os.mkfifo(folder / "9" / "record.json")
    make_job(folder.with_name("elsewhere"), seed=10)
    (folder / "10").symlink_to(folder.with_name("elsewhere"))
    (folder / "11").symlink_to("11")
    os.mkfifo(folder / "12")
    make_job(folder / "13", seed=13)
    curve = folder / "13" / "curve.npz"
    curve.write_bytes((folder / "0" / "curve.npz").read_bytes())
    return folder
