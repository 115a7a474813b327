"""What a sweep may be named."""

from __future__ import annotations

import re
from typing import Any

MAX_NAME_LENGTH = 100


def sweep_name_problem(value: Any, *, given: str | None = None) -> str | None:
    """What is wrong with a sweep_name: it becomes a folder, and must not lead anywhere else."""
    if not isinstance(value, str):
        asked = given or str(value)
        came = type(value).__name__.replace("NoneType", "null")
        return (
            f"sweep_name must be text; {asked} arrived as {value!r} ({came}): "
            f"quote it, 'sweep_name=\"{asked}\"', or begin it with a letter"
        )
    allowed = (
        f"sweep_name must be a plain folder name of 1 to {MAX_NAME_LENGTH} characters: "
        "no path separators, no dot at its start, no control characters"
    )
    plain = re.fullmatch(r"[^/\\\x00-\x1f\x7f]+", value) and value == value.strip()
    if (
        plain
        and not value.startswith(".")
        and len(value.encode("utf-8", "surrogateescape")) <= MAX_NAME_LENGTH
    ):
        return None
    return f"{allowed}; got {value!r}"
