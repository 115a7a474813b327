"""The default launcher: one training per distinct training, side by side in worker processes.

No `from __future__ import annotations` here: beside a dataclass in a plugin module it breaks every Hydra start.
Every Hydra start imports this module, so whatever is heavy is imported where it is used.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


@dataclass
class SteadyLauncherConfig:
    """Configuration of the launcher; how many workers it uses is `device.workers`."""

    _target_: str = "hydra_plugins.steadylr_launcher.SteadyLauncher"


ConfigStore.instance().store(
    group="hydra/launcher", name="steadylr", node=SteadyLauncherConfig, provider="steadylr"
)


class SteadyLauncher(Launcher):
    """Hands a sweep's jobs to steadylr.jobs.launch."""

    def __init__(self) -> None:
        super().__init__()
        self.config: DictConfig | None = None
        self.task_function: TaskFunction | None = None
        self.hydra_context: HydraContext | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keep what Hydra hands to every launcher before the first launch."""
        self.hydra_context = hydra_context
        self.task_function = task_function
        self.config = config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run all jobs; a job that fails leaves its status.json and costs no other job."""
        from steadylr.jobs.launch import launch

        setup: Any = (self.hydra_context, self.task_function, self.config)
        assert None not in setup, "Hydra calls setup before launch"
        return launch(
            job_overrides,
            initial_job_idx,
            hydra_context=setup[0],
            task_function=setup[1],
            config=setup[2],
        )
