"""Each job of a sweep composed once, though both Hydra's sweeper and the launcher ask for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hydra.core.config_loader import ConfigLoader
from omegaconf import DictConfig


class ComposedOnce:
    """A config loader that hands what it composed for a job to the next who asks for the same job.

    Hydra's sweeper composes every job to see whether it can be composed, and throws it away; then the launcher does it
    again. What is handed over is forgotten, so that nobody gets a config that somebody else has changed.

    Args:
        loader: Hydra's; everything but the configs of jobs is left to it.
    """

    def __init__(self, loader: ConfigLoader) -> None:
        self._loader = loader
        self._waiting: dict[tuple[int, tuple[str, ...]], DictConfig] = {}

    def load_sweep_config(self, master_config: DictConfig, sweep_overrides: Sequence[str]) -> DictConfig:
        """The config of one job, as ConfigLoader.load_sweep_config gives it."""
        job = id(master_config), tuple(sweep_overrides)
        if (composed := self._waiting.pop(job, None)) is not None:
            return composed
        composed = self._loader.load_sweep_config(master_config, list(sweep_overrides))
        self._waiting[job] = composed
        return composed

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)
