"""What a job's folder says of what the job was asked for, whatever became of it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from steadylr.store.files import DamagedFile, NewerSchema, read_bytes
from steadylr.store.records import JobStatus, RunRecord

MOST_OVERRIDES = 2**20
"""Bytes that Hydra's list of a job's overrides may have."""


def key_of(folder: Path) -> str:
    """The key of the job in a folder, from its status or else its record; empty where neither says it."""
    with suppress(OSError, DamagedFile, NewerSchema):
        return JobStatus.read(folder).job_key
    with suppress(OSError, DamagedFile, NewerSchema):
        return RunRecord.read(folder).job_key
    return ""


def rule_of(folder: Path) -> str | None:
    """The rule that the job in a folder was asked for, whatever became of it; None where nothing there says it."""
    config: Mapping[str, Any] | None = None
    with suppress(OSError, DamagedFile, NewerSchema):
        config = JobStatus.read(folder).config
    if config is None:
        with suppress(OSError, DamagedFile, NewerSchema):
            config = RunRecord.read(folder).config
    finder = {} if config is None else config.get("finder")
    rule = finder.get("rule") if isinstance(finder, Mapping) else None
    if rule is None:  # it failed before there was a config
        named = [
            text.partition("=")[2] for text in overrides_of(folder) or () if text.startswith("finder.rule=")
        ]
        rule = named[-1].strip("'\"") if named else None
    return rule if isinstance(rule, str) else None


def overrides_of(folder: Path) -> tuple[str, ...] | None:
    """The overrides of the job in a folder, from its status or else what Hydra kept; None where neither says."""
    import yaml

    with suppress(OSError, DamagedFile, NewerSchema):
        return tuple(JobStatus.read(folder).overrides)
    try:
        kept = yaml.safe_load(read_bytes(folder / ".hydra" / "overrides.yaml", most=MOST_OVERRIDES))
    except (OSError, ValueError, yaml.YAMLError):
        return None
    if not isinstance(kept, list) or not all(isinstance(override, str) for override in kept):
        return None
    return tuple(kept)
