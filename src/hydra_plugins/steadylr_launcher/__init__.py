"""The launchers of steadylr: each distinct training once, in workers here (the default), on Ray or on Slurm.

No `from __future__ import annotations` here: beside a dataclass in a plugin module it breaks every Hydra start.
Every Hydra start imports this module, so whatever is heavy is imported where it is used.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
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


@dataclass
class RayLauncherConfig:
    """Configuration of hydra/launcher=steadylr_ray; docs/clusters.md says what each key means."""

    _target_: str = "hydra_plugins.steadylr_launcher.RayLauncher"
    address: str | None = None
    cores: int | None = None
    gpus: float | None = None
    retries: int = 2
    runtime_env: dict[str, Any] = field(default_factory=dict)


@dataclass
class SlurmLauncherConfig:
    """Configuration of hydra/launcher=steadylr_slurm; docs/clusters.md says what each key means."""

    _target_: str = "hydra_plugins.steadylr_launcher.SlurmLauncher"
    cluster: str = "slurm"
    partition: str | None = None
    minutes: int = 60
    cores: int | None = None
    gpus: int | None = None
    memory_gb: float | None = None
    more: dict[str, Any] = field(default_factory=dict)


for _name, _config in (
    ("steadylr", SteadyLauncherConfig),
    ("steadylr_ray", RayLauncherConfig),
    ("steadylr_slurm", SlurmLauncherConfig),
):
    ConfigStore.instance().store(group="hydra/launcher", name=_name, node=_config, provider="steadylr")


class SteadyLauncher(Launcher):
    """Hands a sweep's jobs to steadylr.jobs.launch, which finds its settings in the config.

    Args:
        **settings: as Hydra gives them to every launcher.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__()
        self.config: DictConfig | None = None
        self.hydra_context: HydraContext | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keep what Hydra hands to every launcher before the first launch, and have each job composed once.

        The sweeper composes each job to see whether it can be, and the launcher takes what came of it.
        """
        from steadylr.jobs.composing import ComposedOnce

        loader: Any = ComposedOnce(hydra_context.config_loader)
        hydra_context.config_loader = loader
        self.hydra_context = hydra_context
        self.config = config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run all jobs; a job that fails leaves its status.json and costs no other job."""
        from steadylr.jobs.launch import launch

        context: Any = self.hydra_context
        config: Any = self.config
        assert None not in (context, config), "Hydra calls setup before launch"
        return launch(job_overrides, hydra_context=context, config=config)


class RayLauncher(SteadyLauncher):
    """Trains on a Ray cluster."""


class SlurmLauncher(SteadyLauncher):
    """Trains on a Slurm cluster."""
