"""The plan as files: YAML for other Hydra programs, JSON with all of it, and lines that are ready to paste."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steadylr.report.length_text import length_plan
from steadylr.store.file_names import PLAN_FILE, plan_files
from steadylr.store.files import json_text, write_atomic
from steadylr.words.length import PROVEN
from steadylr.words.plan_lines import plan_lines, plan_text

if TYPE_CHECKING:
    from steadylr.answer.answer import ConditionAnswer
    from steadylr.core.onecycle import Plan


def write_plan(path: Path, condition: ConditionAnswer) -> None:
    """The files of a condition's plan.

    Args:
        path: of the first of them.
        condition: one that has a plan.

    Raises:
        OSError: one can't be written.
    """
    assert condition.plan is not None
    if condition.length is not None:
        found = condition.length.answer
        said: dict[str, Any] = {"n": len(found.trials), "verdict": found.settled.value}
        _write(path, condition.plan, length_plan(condition.length), said)
        return
    head, suggested = condition.consensus.headline, condition.suggested
    which = (f"{head.choose.replace('_', ' ')} of the suggestions", "lowest suggestion", "highest suggestion")
    if condition.mean is not None:
        which = (f"read off the {condition.mean.name}", "lower end of its range", "upper end")
    lines = [
        "# What the range tests say; include it in another Hydra program, or copy it.",
        f"# Proven for trainings of {PROVEN}; longer ones want lower LRs.",
        f"max_lr: {suggested.lr!r} # {which[0]}: the peak of OneCycle",
        f"low: {suggested.low!r} # {which[1]}",
        f"high: {suggested.high!r} # {which[2]}",
        f"n: {head.n} # runs that gave an LR",
        f"verdict: {condition.verdict.level.value}",
    ]
    said = {"n": head.n, "verdict": condition.verdict.level.value}
    _write(path, condition.plan, "\n".join(lines) + "\n", said)


def write_run_plan(folder: Path, plan: Plan | None) -> None:
    """The files of a single run's plan, which has no verdict; without a plan those of an earlier run are removed.

    Raises:
        OSError: one can't be written.
    """
    if plan is None:
        for name in plan_files(PLAN_FILE):
            (folder / name).unlink(missing_ok=True)
        return
    lines = [
        "# What one range test says, and nothing of its spread; include it in another Hydra program, or copy it.",
        f"# Proven for trainings of {PROVEN}; longer ones want lower LRs.",
        f"max_lr: {plan.max_lr!r} # the suggestion: the peak of OneCycle",
        *(f"{end}: {getattr(plan, end)!r}" for end in ("low", "high") if plan.low is not None),
        "n: 1 # runs",
    ]
    _write(folder / PLAN_FILE, plan, "\n".join(lines) + "\n", {"n": 1})


def _write(path: Path, plan: Plan, yaml: str, said: Mapping[str, Any]) -> None:
    values = json_text({**plan.as_dict(), **said, "lines": plan_lines(plan)})
    for name, text in zip(plan_files(path.name), (yaml, values, plan_text(plan)), strict=True):
        write_atomic(path.with_name(name), text)
