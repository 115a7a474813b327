"""Which engine does the trainings, by the launcher that a config names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf

from steadylr.config.errors import BadInput
from steadylr.jobs.workers import LocalEngine
from steadylr.run.extras import MissingPackage

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from steadylr.jobs.engine import Engine


def engine_of(launcher: DictConfig) -> Engine:
    """The engine behind `hydra.launcher`. With launchers of others, what is trained beside their jobs is trained here.

    Raises:
        BadInput: settings that can't be, or a package that isn't installed.
    """
    given: Any = OmegaConf.to_container(launcher, resolve=True)
    name = given.pop("_target_").rpartition(".")[2]
    try:
        if name == "RayLauncher":
            from steadylr.jobs.ray import RayEngine

            return RayEngine(**given)
        if name == "SlurmLauncher":
            from steadylr.jobs.slurm import SlurmEngine

            return SlurmEngine(**given)
    except MissingPackage as error:
        raise BadInput(str(error)) from error
    return LocalEngine()
