"""An answer for machines: one JSON object, or the LRs alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steadylr.config.choices import Output
from steadylr.store.files import json_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from steadylr.answer.answer import SweepAnswer
    from steadylr.store.records import RunRecord, Summary, Verified


@dataclass(frozen=True, slots=True)
class Result:
    """What a command found.

    Args:
        lrs: one for each kind of run; None where there is none.
        values: all that was found, as plain values.
    """

    lrs: Sequence[float | None]
    values: Mapping[str, Any]

    def text(self, output: Output) -> str | None:
        """What standard output gets: one object, whose `lr` is that of the first kind, or a line for each LR.

        None where there is nothing to say.
        """
        if output is Output.json:
            return json_text({"lr": self.lrs[0] if self.lrs else None, **self.values}, indent=None)
        lrs = [f"{lr:.6g}" for lr in self.lrs if lr is not None]
        return "\n".join(lrs) or None


def dry_result(*, jobs: int, trainings: int) -> Result:
    """Of a dry run: how many jobs and trainings there would be."""
    return Result([], {"jobs": jobs, "trainings": trainings})


def run_result(record: RunRecord, folder: Path) -> Result:
    """Of a single run: its record.json, and the folder that holds it."""
    return Result([record.headline.lr], {"folder": str(folder), **record.to_json()})


def sweep_result(answer: SweepAnswer, summary: Summary, folder: Path) -> Result:
    """Of a sweep: its summary.json, and the folder that holds it."""
    lrs = [None if condition.plan is None else condition.plan.max_lr for condition in answer.conditions]
    return Result(lrs, {"folder": str(folder), **summary.to_json()})


def verification_result(verified: Verified, lrs: Sequence[float | None], folder: Path) -> Result:
    """Of a verification: its verification.json, and the sweep that was verified; the LRs that it says to take."""
    return Result(lrs, {"folder": str(folder), **verified.to_json()})
