"""The words that some keys of the config choose among."""

from __future__ import annotations

from enum import Enum


class Choice(str, Enum):
    """One of a few words. Each member is named as it is written in YAML, since OmegaConf reads names."""

    def __str__(self) -> str:
        return str(self.value)


class StepMode(Choice):
    """How the LR rises: by equal factors or by equal differences."""

    exp = "exp"
    linear = "linear"


class Smoother(Choice):
    """How a curve is smoothed: centred, or with torch-lr-finder's lag."""

    local_linear = "local_linear"
    ema = "ema"


class Accelerator(Choice):
    """The kind of device."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"
    mps = "mps"


class Strategy(Choice):
    """How several devices share a training."""

    single = "single"
    ddp = "ddp"
    fsdp = "fsdp"


class AnnealStrategy(Choice):
    """The shape of the OneCycle schedule between its three LRs."""

    cos = "cos"
    linear = "linear"


class Output(Choice):
    """What goes to standard output: text for people, one JSON object, or the LR alone."""

    text = "text"
    json = "json"
    quiet = "quiet"


class FigureFormat(Choice):
    """What a figure is written as."""

    png = "png"
    svg = "svg"
    pdf = "pdf"


class TrackerName(Choice):
    """Where finished runs and answers are sent to."""

    none = "none"
    tensorboard = "tensorboard"
    mlflow = "mlflow"
    wandb = "wandb"


class Choose(Choice):
    """What is taken from many suggestions."""

    geometric_mean = "geometric_mean"
    median = "median"
    conservative = "conservative"
    aggressive = "aggressive"
