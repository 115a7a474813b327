"""The group tracker: where finished runs and answers are sent to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from steadylr.config.choices import TrackerName
from steadylr.config.ranges import Key


@dataclass
class Tracker:
    """Where finished runs and answers are sent to, beside their folder."""

    name: Annotated[TrackerName, Key("none, tensorboard, mlflow or wandb")] = TrackerName.none
    dir: Annotated[
        str,
        Key("folder of what is kept on this machine, from where the command is run; ~ is the home folder"),
    ] = "outputs/tracker"
    project: Annotated[str, Key("MLflow's experiment, or the project of Weights & Biases")] = "steadylr"
    uri: Annotated[
        str | None, Key("MLflow's store or server; null: a SQLite file in dir. No place for passwords")
    ] = None
    offline: Annotated[bool, Key("Weights & Biases only: true keeps all in dir, for `wandb sync`")] = False
