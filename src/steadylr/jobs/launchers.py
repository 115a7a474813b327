"""Which engine does the trainings, by the launcher that a config names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from steadylr.jobs.workers import LocalEngine

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from steadylr.jobs.engine import Engine


def engine_of(launcher: DictConfig) -> Engine:
    """The engine behind `hydra.launcher`. With launchers of others, what is trained beside their jobs is trained here.

    Raises:
        BadInput: settings that can't be, or a package that isn't installed.
    """
    return LocalEngine()
