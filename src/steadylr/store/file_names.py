"""What the files are called that a run or a sweep leaves for people."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

RUNS_FILE = "runs.csv"
CURVES_FILE = "curves.parquet"
ANSWER_FILE = "answer.txt"
REPORT_FILE = "report.html"
PLAN_FILE = "plan.yaml"


def plan_files(name: str) -> list[str]:
    """The files of a plan, by the name of the first of them: plan.yaml, plan.json and plan.txt."""
    return [str(Path(name).with_suffix(suffix)) for suffix in (".yaml", ".json", ".txt")]


def figure_files(name: str, formats: Sequence[str]) -> list[str]:
    """The files of one figure in some formats, by its name as a PNG."""
    return [str(Path(name).with_suffix(f".{form}")) for form in dict.fromkeys(formats)]
