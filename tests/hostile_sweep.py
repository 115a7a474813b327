"""A sweep's folder as a stranger may send it: targets, references, escapes, links, FIFOs and changed numbers."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from made_jobs import change_file, leave_status, make_job

SECRET = "STEADYLR_SECRET"
"""The environment variable that the sweep's records refer to."""

ESCAPE = "\x1b]0;owned\x07"

MARKER = "marker"
"""The file that a target leaves, if it is run, in the folder from where a command is run."""

STORE = "store-of-a-record"
"""The store that the good jobs' records name."""


def _store(record: dict[str, Any]) -> None:
    record["config"]["store"] = {"enabled": True, "dir": STORE}


def _target(record: dict[str, Any]) -> None:
    record["config"]["model"]["_target_"] = "os.system"
    record["config"]["model"]["kwargs"] = {"command": f"touch {MARKER}"}


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


def make_jobs(folder: Path) -> Path:
    """The jobs that have a folder with regular files, by their numbers; 0 to 2 are good."""
    for number in range(3):
        make_job(folder / str(number), seed=number, change=_store)
    for number, change in CHANGED.items():
        make_job(folder / str(number), seed=number)
        change_file(folder / str(number) / "record.json", change, checksum=False)
    make_job(folder / "6", seed=6, change=_target)
    make_job(folder / "7", seed=7, change=_reference)
    leave_status(folder / "8", "failed", overrides=[f"+model.name={ESCAPE}"], error=f"no {ESCAPE} there")
    make_job(folder / "9", seed=9)
    make_job(folder / "13", seed=13)
    (folder / "13" / "curve.npz").write_bytes((folder / "0" / "curve.npz").read_bytes())
    return folder


def make_hostile_sweep(folder: Path, jobs: Path) -> Path:
    """A sweep with the jobs that make_jobs has made, and with links and FIFOs among them."""
    shutil.copytree(jobs, folder)
    (folder / "9" / "record.json").unlink()
    os.mkfifo(folder / "9" / "record.json")
    shutil.copytree(jobs / "0", folder.with_name("elsewhere"))
    (folder / "10").symlink_to(folder.with_name("elsewhere"))
    (folder / "11").symlink_to("11")
    os.mkfifo(folder / "12")
    return folder
