"""The schema: every key of the config with its type.

Values live in the YAML files; a default here serves those who build a Config in Python or bring a YAML file
that leaves a key out, and a test keeps the two equal. Ranges are checked in `steadylr.config.values`.

Four groups take the user's own class or function under `_target_` (docs/your-own-model.md). In YAML its arguments
stand beside that key; here they are in `kwargs`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from omegaconf import II, MISSING, OmegaConf

from steadylr.core.latin_square import latin_seed

OWN_GROUPS = ("model", "data", "optimizer", "loss")
"""The groups that take the user's own code."""

OWN_KEYS = frozenset(
    {"_target_", "data.kwargs", "loss.kwargs", "as_step", "model.library", "model.optimizer_index"}
)
"""Keys that have a meaning with code from elsewhere only: the options of this project leave them out."""

LIBRARIES = ("timm", "huggingface", "lightning")
"""Whose models there are besides this project's and torchvision's."""


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


class Choose(Choice):
    """What is taken from many suggestions."""

    geometric_mean = "geometric_mean"
    median = "median"
    conservative = "conservative"
    aggressive = "aggressive"


@dataclass
class Seeds:
    """The seeds of the four random streams."""

    init: int = II("seed")
    order: int = II("seed")
    augment: int = II("seed")
    noise: int = II("seed")


@dataclass
class Model:
    """The network that is trained."""

    name: str = MISSING
    min_image_size: int = 1
    weights: str | None = None
    freeze: bool = False
    kwargs: dict[str, Any] = field(default_factory=dict)
    _target_: str | None = None
    library: str | None = None
    optimizer_index: int = 0


@dataclass
class Data:
    """The images that it is trained on."""

    name: str = MISSING
    root: str | None = None
    download: bool = False
    image_size: int = MISSING
    mean: list[float] = MISSING
    std: list[float] = MISSING
    batch_size: int = 64
    workers: int | None = None
    pin_memory: bool | None = None
    drop_last: bool = True
    kwargs: dict[str, Any] = field(default_factory=dict)
    _target_: str | None = None


@dataclass
class Augmentation:
    """What is done to each image: class names of torchvision.transforms.v2 with their arguments, in order."""

    transforms: dict[str, dict[str, Any] | None] = field(default_factory=dict)


@dataclass
class ParamGroup:
    """Parameters, by a pattern of their names, with a multiple of the LR or another weight decay."""

    pattern: str = MISSING
    lr_mult: float = 1.0
    weight_decay: float | None = None


@dataclass
class Optimizer:
    """Whose learning rate is looked for."""

    name: str = MISSING
    weight_decay: float = 0.0
    kwargs: dict[str, Any] = field(default_factory=dict)
    groups: list[ParamGroup] = field(default_factory=list)
    _target_: str | None = None


@dataclass
class Loss:
    """What is minimised."""

    name: str = MISSING
    label_smoothing: float = 0.0
    kwargs: dict[str, Any] = field(default_factory=dict)
    as_step: bool = False
    _target_: str | None = None


@dataclass
class Finder:
    """The ramp, the stop rule, and how the curve is read."""

    start_lr: float = 1e-7
    end_lr: float = 10.0
    num_iter: int = 1000
    step_mode: StepMode = StepMode.exp
    diverge_th: float | None = 2.0
    accumulation_steps: int = 1
    val_every: int = 0
    val_samples: int = 500
    smooth_f: float = 0.05
    smoother: Smoother = Smoother.local_linear
    ema_weight: float = 0.05
    skip_start: int = 10
    skip_end: int = 5
    rule: str = "bracket"


@dataclass
class Device:
    """Where it runs, and in which precision."""

    accelerator: Accelerator = Accelerator.auto
    precision: str = "32"
    threads: int | None = None
    channels_last: bool = False
    deterministic: bool = False
    strategy: Strategy = Strategy.single
    devices: int = 1
    workers: int | None = None


@dataclass
class OneCycle:
    """The schedule that the found LR is planned into."""

    div_factor: float = 100.0
    final_div_factor: float = 1e5
    pct_start: float = 0.3
    cycle_momentum: bool = True
    base_momentum: float = 0.85
    max_momentum: float = 0.95
    total_steps: int | None = None
    anneal_strategy: AnnealStrategy = AnnealStrategy.cos


@dataclass
class Consensus:
    """What is taken from many runs."""

    choose: Choose = Choose.geometric_mean
    mix: bool = False


@dataclass
class Store:
    """Where finished runs are kept."""

    enabled: bool = True
    dir: str = "outputs/store"


@dataclass
class Config:
    """All that find_lr.py can be told.

    sweep_name is of type Any so that a number stays one and can be refused: as text 2025_1 would have lost
    its underscore without a word.
    """

    seed: int = 0
    seeds: Seeds = field(default_factory=Seeds)
    model: Model = field(default_factory=Model)
    data: Data = field(default_factory=Data)
    augmentation: Augmentation = field(default_factory=Augmentation)
    optimizer: Optimizer = field(default_factory=Optimizer)
    loss: Loss = field(default_factory=Loss)
    finder: Finder = field(default_factory=Finder)
    device: Device = field(default_factory=Device)
    onecycle: OneCycle = field(default_factory=OneCycle)
    consensus: Consensus = field(default_factory=Consensus)
    store: Store = field(default_factory=Store)
    sweep_name: Any = MISSING
    dry_run: bool = False


def register() -> None:
    """Make the schema known to Hydra as base_config, and the resolvers of the YAML files to OmegaConf.

    Calling it again changes nothing. The groups for the user's own code are open, so that its arguments can stand in
    them; `steadylr.config.values` refuses every key that is neither theirs nor ours.
    """
    from hydra.core.config_store import ConfigStore

    OmegaConf.register_new_resolver("steadylr.larger", max, replace=True)
    OmegaConf.register_new_resolver("steadylr.latin_seed", latin_seed, replace=True)
    node = OmegaConf.structured(Config)
    for group in OWN_GROUPS:
        OmegaConf.set_struct(node[group], False)
    ConfigStore.instance().store(name="base_config", node=node)
