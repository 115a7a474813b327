"""The schema: every key of the config, with its type, its range, its default and what it is for.

Checks, `--help` and the reference of keys (docs/config.md) come from here. The YAML files write the values down once
more, so that one sees them; a test keeps the two equal.

Five groups name a class or function under `_target_`, ours or the user's own, and its arguments stand beside that
key (docs/your-own-model.md); here they are in `arguments`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any

from omegaconf import II, MISSING, OmegaConf

from steadylr.config.choices import Accelerator as Accelerator
from steadylr.config.choices import AnnealStrategy as AnnealStrategy
from steadylr.config.choices import Choice as Choice
from steadylr.config.choices import Choose as Choose
from steadylr.config.choices import FigureFormat as FigureFormat
from steadylr.config.choices import Output as Output
from steadylr.config.choices import Smoother as Smoother
from steadylr.config.choices import StepMode as StepMode
from steadylr.config.choices import Strategy as Strategy
from steadylr.config.ranges import AT_LEAST_ONE, NOT_NEGATIVE, POSITIVE, SEED, Range
from steadylr.config.ranges import Key as Key
from steadylr.config.shared_keys import Figures, SpokenOutput, WithReport, drawn_as_png
from steadylr.config.tracker import Tracker as Tracker
from steadylr.core.latin_square import latin_seed
from steadylr.core.settings import Reading

_READING = Reading()
"""How a curve is read unless somebody says otherwise."""

TARGET_GROUPS = ("model", "data", "augmentation", "optimizer", "loss")
"""The groups whose options are a class or function with its arguments."""


@dataclass
class Seeds:
    """The seeds of the four random streams: set one of them to change only what it draws."""

    init: Annotated[int, Key("weights that the model starts with", SEED)] = II("seed")
    order: Annotated[int, Key("order in which the samples come", SEED)] = II("seed")
    augment: Annotated[int, Key("draws of the augmentation", SEED)] = II("seed")
    noise: Annotated[int, Key("all else: dropout and the like", SEED)] = II("seed")


@dataclass
class Model:
    """The network that is trained."""

    _target_: Annotated[str, Key("class or function that gives the model")] = MISSING
    name: Annotated[str | None, Key("what it is called")] = None
    min_image_size: Annotated[
        int, Key("smallest images that it takes, in pixels; smaller ones are enlarged to that", AT_LEAST_ONE)
    ] = 1
    weights: Annotated[
        str | None,
        Key("starting weights: null (random), a file, or a name that the model knows, such as DEFAULT"),
    ] = None
    freeze: Annotated[bool, Key("true trains only the last layer, and leaves all others as they are")] = False
    is_lightning: Annotated[
        bool, Key("whether it is a LightningModule, which brings its optimizers and its loss")
    ] = False
    optimizer_index: Annotated[
        int,
        Key(
            "which optimizer of configure_optimizers is ramped, from 0; others train along at the LRs that they have",
            NOT_NEGATIVE,
        ),
    ] = 0
    arguments: dict[str, Any] = field(default_factory=dict)

    @property
    def called(self) -> str:
        """What it is called, for people: its name, or else where it comes from."""
        return self.name or self._target_


@dataclass
class Data:
    """The images that it is trained on."""

    _target_: Annotated[str, Key("class or function that gives the data")] = MISSING
    name: Annotated[str | None, Key("what they are called")] = None
    root: Annotated[
        str | None, Key("folder of the data, from where the command is run; ~ is the home folder")
    ] = None
    download: Annotated[bool, Key("true fetches the images when they are not there")] = False
    image_size: Annotated[
        int | None, Key("height and width of the images that the model gets, in pixels", AT_LEAST_ONE)
    ] = None
    mean: Annotated[list[float] | None, Key("per channel, of pixels from 0 to 1; subtracted")] = None
    std: Annotated[list[float] | None, Key("per channel, of pixels from 0 to 1; divided by")] = None
    batch_size: Annotated[int, Key("images per batch", AT_LEAST_ONE)] = 64
    workers: Annotated[
        int | None,
        Key(
            "processes that prepare batches; 0: none besides the training itself; null: as suits the data and the "
            "cores",
            Range(0, note="0: none besides the training itself, null: as suits the machine"),
        ),
    ] = None
    pin_memory: Annotated[bool | None, Key("page-locked batches; null: on CUDA only")] = None
    drop_last: Annotated[
        bool, Key("leave out the last batch of an epoch when it is smaller than batch_size")
    ] = True
    fingerprint: Annotated[
        str | None, Key("of data that only your code can find: any text that you change when they change")
    ] = None
    arguments: dict[str, Any] = field(default_factory=dict)

    @property
    def called(self) -> str:
        """What they are called, for people: their name, or else where they come from."""
        return self.name or self._target_


@dataclass
class Augmentation:
    """What is done to each image before it is used: transforms, by a name for each, in order."""

    transforms: Annotated[
        dict[str, Any], Key("transforms of one image, each a _target_ with its arguments")
    ] = field(default_factory=dict)


@dataclass
class ParamGroup:
    """Parameters, by a pattern of their names, with a multiple of the LR or another weight decay."""

    pattern: Annotated[str, Key("of names of parameters; * and ? stand for any characters")] = MISSING
    lr_mult: Annotated[
        float, Key("their LR over that of the ramp; 0 leaves them as they are", NOT_NEGATIVE)
    ] = 1.0
    weight_decay: Annotated[
        float | None, Key("theirs; null: the common one", Range(0, note="null: the common one"))
    ] = None


@dataclass
class Optimizer:
    """Whose learning rate is looked for."""

    _target_: Annotated[str, Key("class or function that is called with the parameters and lr")] = MISSING
    weight_decay: Annotated[float, Key("weight decay", NOT_NEGATIVE)] = 0.0
    groups: Annotated[
        list[ParamGroup],
        Key(
            "parameters that get a multiple of the LR or another weight decay; the first pattern that matches counts"
        ),
    ] = field(default_factory=list)
    arguments: dict[str, Any] = field(default_factory=dict)


@dataclass
class Loss:
    """What is minimised."""

    _target_: Annotated[
        str, Key("function that is called with outputs and targets, or a class whose objects are")
    ] = MISSING
    label_smoothing: Annotated[
        float, Key("share of the target spread evenly over all classes, in [0, 1)", Range(0, 1))
    ] = 0.0
    as_step: Annotated[bool, Key("true calls it with the model and the whole batch")] = False
    arguments: dict[str, Any] = field(default_factory=dict)


@dataclass
class Finder:
    """The ramp, the stop rule, and how the curve is read."""

    start_lr: Annotated[float, Key("LR of the first step", POSITIVE)] = 1e-7
    end_lr: Annotated[float, Key("LR of the last step", POSITIVE)] = 10.0
    num_iter: Annotated[
        int,
        Key(
            "optimizer steps from start_lr to end_lr",
            Range(2, 1e7, open_high=False, said="from 2 (the two ends of the ramp) to ten million"),
        ),
    ] = 1000
    scout_steps: Annotated[
        int,
        Key(
            "steps of a scout, a coarse pass over the ramp, after which only the decades that matter are done; 0: none",
            Range(0, note="0: none"),
        ),
    ] = 0
    step_mode: Annotated[
        StepMode, Key("exp (equal factors from step to step) or linear (equal differences)")
    ] = StepMode.exp
    diverge_th: Annotated[
        float | None,
        Key(
            "stop once the filtered loss has climbed above its start by this many times its descent; null: never",
            Range(0, open_low=True, note="null switches the stop rule off"),
        ),
    ] = 2.0
    accumulation_steps: Annotated[
        int, Key("batches whose gradients make one optimizer step", AT_LEAST_ONE)
    ] = 1
    val_every: Annotated[
        int,
        Key(
            "read the loss on fixed validation images every so many steps, in place of the training loss; 0: never",
            Range(0, note="0: never"),
        ),
    ] = 0
    val_samples: Annotated[int, Key("how many validation images are used for that", AT_LEAST_ONE)] = 500
    smooth_f: Annotated[
        float,
        Key(
            "share of the curve that one smoothed point sees, in [0, 1); 0 is off, larger is smoother",
            Range(0, 1, note="the share of the curve that one smoothed point sees; 0 is off"),
        ),
    ] = _READING.smooth_f
    smoother: Annotated[
        Smoother, Key("local_linear (centred, without lag) or ema (lags behind, as in torch-lr-finder)")
    ] = Smoother[_READING.smoother]
    ema_weight: Annotated[
        float,
        Key(
            "for smoother ema only: weight of the newest loss, in (0, 1]; there smaller is smoother",
            Range(0, 1, open_low=True, open_high=False),
        ),
    ] = _READING.ema_weight
    skip_start: Annotated[int, Key("points left out at the start of the curve", NOT_NEGATIVE)] = (
        _READING.skip_start
    )
    skip_end: Annotated[int, Key("points left out at the end of the curve", NOT_NEGATIVE)] = _READING.skip_end
    rule: Annotated[
        str,
        Key(
            "whose suggestion is the headline: bracket, steepest, valley, slide, minimum, divergence, smith; all are "
            "shown"
        ),
    ] = "bracket"


@dataclass
class Device:
    """Where it runs, and in which precision."""

    accelerator: Annotated[Accelerator, Key("auto (cuda, then mps, then cpu), cpu, cuda or mps")] = (
        Accelerator.auto
    )
    precision: Annotated[str, Key("32, bf16-mixed or 16-mixed (not on a CPU)")] = "32"
    threads: Annotated[
        int | None,
        Key(
            "threads of one training, for each of its devices; null: the cores divided by all that train at once",
            Range(1, note="null: the cores divided by the workers"),
        ),
    ] = None
    channels_last: Annotated[
        bool, Key("memory layout of images with the channels last: often faster for convolutions on GPUs")
    ] = False
    deterministic: Annotated[
        bool, Key("true makes a GPU give the same bits every time, at some cost; a CPU does so anyway")
    ] = False
    strategy: Annotated[
        Strategy,
        Key(
            "how several devices share one training: single (there is one), ddp (each holds the model) or fsdp (each "
            "holds a part)"
        ),
    ] = Strategy.single
    devices: Annotated[
        int,
        Key(
            "devices of one training, on all machines together; data.batch_size is shared among them",
            AT_LEAST_ONE,
        ),
    ] = 1
    workers: Annotated[
        int | None,
        Key(
            "trainings side by side in a sweep; null: as many as there are cores, or GPUs, for",
            Range(1, note="null: as many as there are cores, or GPUs"),
        ),
    ] = None


PEAK = Range(1, note="it divides the peak LR")

MOMENTUM = Range(0, 1)


@dataclass
class OneCycle:
    """The schedule that the found LR is planned into."""

    div_factor: Annotated[float, Key("the LR starts at the peak divided by this", PEAK)] = 100.0
    final_div_factor: Annotated[
        float,
        Key(
            "the LR ends at the peak divided by this (torch's own argument of this name divides the first LR instead)",
            PEAK,
        ),
    ] = 1e5
    pct_start: Annotated[
        float, Key("share of the steps in which the LR rises, between 0 and 1", Range(0, 1, open_low=True))
    ] = 0.3
    cycle_momentum: Annotated[
        bool, Key("whether the momentum falls while the LR rises, and the other way round")
    ] = True
    base_momentum: Annotated[float, Key("momentum at the peak", MOMENTUM)] = 0.85
    max_momentum: Annotated[float, Key("momentum at the start and at the end", MOMENTUM)] = 0.95
    total_steps: Annotated[
        int | None,
        Key(
            "optimizer steps of the training that is planned; null: not known yet",
            Range(2, note="null: not known yet"),
        ),
    ] = None
    anneal_strategy: Annotated[AnnealStrategy, Key("cos or linear")] = AnnealStrategy.cos


@dataclass
class Consensus:
    """What is taken from many runs."""

    choose: Annotated[
        Choose, Key("geometric_mean | median | conservative (the lowest) | aggressive (the highest)")
    ] = Choose.geometric_mean
    mix: Annotated[bool, Key("true averages runs that train different things, such as two models")] = False


@dataclass
class Store:
    """Finished runs are kept, so that the same training is never done twice."""

    enabled: Annotated[bool, Key("false trains afresh")] = True
    dir: Annotated[str, Key("folder of the store, from where the command is run; ~ is the home folder")] = (
        "outputs/store"
    )


@dataclass
class Config:
    """All that find_lr.py can be told.

    sweep_name is of type Any so that a number stays one and can be refused: as text 2025_1 would have lost
    its underscore without a word.
    """

    seed: Annotated[int, Key("One seed for everything; 0 is a seed like any other.", SEED)] = 0
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
    tracker: Tracker = field(default_factory=Tracker)
    sweep_name: Annotated[
        Any,
        Key(
            "Folder of a sweep below outputs/sweeps. The same name again continues that sweep or adds to it."
        ),
    ] = MISSING
    dry_run: Annotated[bool, Key("true says what would be trained, and trains nothing")] = False
    output: SpokenOutput = Output.text
    figures: Figures = field(default_factory=drawn_as_png)
    live: Annotated[bool, Key("true serves the page of a sweep on this machine while it is under way")] = (
        False
    )
    live_port: Annotated[
        int, Key("where: a free port; 0 takes any", Range(0, 65536, note="0 takes any that is free"))
    ] = 8765
    live_host: Annotated[
        str, Key("who may see it: 127.0.0.1 (this machine alone), or an address of it that others reach")
    ] = "127.0.0.1"
    report: WithReport = True


def register() -> None:
    """Make the schema known to Hydra as base_config, and the resolvers of the YAML files to OmegaConf.

    Calling it again changes nothing. The groups of targets are open, so that arguments can stand in them;
    `steadylr.config.values` refuses every key that is neither one of theirs nor ours.
    """
    from hydra.core.config_store import ConfigStore

    OmegaConf.register_new_resolver("steadylr.larger", max, replace=True)
    OmegaConf.register_new_resolver("steadylr.latin_seed", latin_seed, replace=True)
    node = OmegaConf.structured(Config)
    for group in TARGET_GROUPS:
        OmegaConf.set_struct(node[group], False)
        node[group].pop("arguments", None)
    ConfigStore.instance().store(name="base_config", node=node)
