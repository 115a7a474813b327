"""The YAML files: every option composes, says the same as the schema, and explains itself."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from composing import composed
from steadylr.cli import aggregate, report, watch
from steadylr.config import schema
from steadylr.config.folder import config_folder, group_options, groups
from steadylr.config.help import WIDTH, help_for, help_text, told
from steadylr.config.overrides import unknown_override
from steadylr.config.targets import transforms_of
from steadylr.config.values import check_config
from steadylr.config.verify import VerifyConfig

CONF = Path(config_folder())
GROUPS = {group: sorted(group_options(group, [CONF])) for group in groups([CONF])}
OPTIONS = [(group, option) for group, options in GROUPS.items() for option in options]
GIVEN = {
    ("model", "torchvision"): ["model.name=regnet_y_400mf"],
    ("model", "timm"): ["model.name=resnet18"],
    ("model", "huggingface"): ["model.name=ViTForImageClassification"],
    ("model", "lightning"): ["model._target_=lightning_modules.Behaviour"],
    ("model", "own"): ["model._target_=torchvision.models.resnet34"],
    ("data", "own"): ["data._target_=collections.OrderedDict"],
    ("optimizer", "own"): ["optimizer._target_=torch.optim.Adagrad"],
    ("loss", "own"): ["loss._target_=torch.nn.MSELoss"],
    ("data", "imagefolder"): ["data.root=/images"],
    ("experiment", "imagenet_local_dev"): ["data.root=/images"],
}

ISSUE = {
    "augmentation": {"none", "light", "standard"},
    "data": {"fashion_mnist_mini", "fashion_mnist", "cifar10", "imagefolder"},
    "device": {"auto", "cpu", "cuda", "mps"},
    "experiment": {"attribution", "imagenet_local_dev", "quick"},
    "finder": {"default", "quick", "scout", "smith"},
    "loss": {"cross_entropy", "mse"},
    "model": {
        *("small_resnet", "mlp", "torchvision"),
        *("resnet18", "resnet50", "mobilenet_v3_small", "convnext_tiny", "vit_b_16"),
    },
    "onecycle": {"default"},
    "optimizer": {"sgd", "adamw", "rmsprop"},
}


def checked(*overrides: str) -> schema.Config:
    unknown_override(overrides, folders=[CONF])
    return check_config(composed(*overrides))


@pytest.mark.parametrize("group", ISSUE)
def test_every_group_has_the_promised_options(group: str) -> None:
    """All options that are promised are there."""
    assert ISSUE[group] <= set(GROUPS[group])


@pytest.mark.parametrize(("group", "option"), OPTIONS, ids=str)
def test_every_option_composes_and_passes_the_checks(group: str, option: str) -> None:
    """Each option alone, with what it asks for, gives a config that may run."""
    choice = f"+experiment={option}" if group == "experiment" else f"{group}={option}"
    config = checked(choice, *GIVEN.get((group, option), []))
    named_by_user = option == "own" or (GIVEN.get((group, option), []) and group == "model")
    if group in ("model", "data") and not named_by_user:
        assert getattr(config, group).name == option


def test_the_default_is_what_the_documents_say() -> None:
    """The plain command tests a small ResNet on the embedded images, from 1e-7 to 10 in 1000 steps."""
    config = checked()
    assert (config.model.name, config.data.name, config.seed) == ("small_resnet", "fashion_mnist_mini", 0)
    assert config.finder == schema.Finder(
        start_lr=1e-7, end_lr=10, num_iter=1000, smooth_f=0.05, skip_start=10, skip_end=5, rule="bracket"
    )
    onecycle = config.onecycle
    assert (onecycle.div_factor, onecycle.final_div_factor, onecycle.pct_start) == (100, 1e5, 0.3)
    assert config.consensus.choose == schema.Choose.geometric_mean
    assert config.store == schema.Store(enabled=True, dir="outputs/store")
    assert re.fullmatch(r"\d{8}-\d{6}-\d{6}", config.sweep_name)


def test_the_defaults_in_yaml_and_in_the_schema_are_equal() -> None:
    """A default that the schema has is the one that the default options write down."""
    config = checked()
    for group in (schema.Finder, schema.OneCycle, schema.Device, schema.Consensus, schema.Store):
        name = group.__name__.lower()
        assert getattr(config, name) == group()
    for name in ("workers", "pin_memory", "drop_last", "batch_size"):
        assert getattr(config.data, name) == getattr(schema.Data(), name)


NOT_TAKEN = {"fashion_mnist_mini": ["root", "download"], "imagefolder": ["download"]}
"""Keys that the target of an option does not take."""


@pytest.mark.parametrize(("group", "option"), [o for o in OPTIONS if o[0] != "experiment"], ids=str)
def test_every_option_names_every_key(group: str, option: str) -> None:
    """No value is left to a default that one can't see: an option file has all keys of its group.

    Those that mean nothing to its target are left out; the arguments of the target follow.
    """
    written = OmegaConf.to_container(OmegaConf.load(CONF / group / f"{option}.yaml"))
    kind = type(getattr(schema.Config(), group))
    assert isinstance(written, dict)
    names = [field.name for field in fields(kind)]
    if group in schema.TARGET_GROUPS:
        left_out = {
            "is_lightning",
            "optimizer_index",
            "fingerprint",
            "as_step",
            "arguments",
            *NOT_TAKEN.get(option, ()),
        }
        left_out |= {"name", "min_image_size", "weights", "freeze"} if option == "lightning" else set()
        left_out |= {"label_smoothing"} if option == "mse" else set()
        assert set(names) - left_out <= set(written)
    else:
        assert list(written) == names


OVERRIDES: list[tuple[list[str], Callable[[schema.Config], Any], Any]] = [
    (["model=resnet18"], lambda c: c.model.name, "resnet18"),
    (["model=torchvision", "model.name=regnet_y_400mf"], lambda c: c.model.name, "regnet_y_400mf"),
    (["model.weights=DEFAULT", "model.freeze=true"], lambda c: (c.model.weights, c.model.freeze), ("DEFAULT", True)),
    (["model=small_vit", "model.depth=5"], lambda c: c.model.arguments["depth"], 5),
    (["model=resnet18", "+model.zero_init_residual=true"], lambda c: c.model.arguments, {"zero_init_residual": True}),
    (["augmentation=standard"], lambda c: list(c.augmentation.transforms), [
        "RandomResizedCrop", "RandomHorizontalFlip", "ColorJitter"]),
    (["augmentation=standard", "data.image_size=40"],
     lambda c: c.augmentation.transforms["RandomResizedCrop"]["size"], 40),
    (["augmentation=standard", "~augmentation.transforms.ColorJitter"], lambda c: len(c.augmentation.transforms), 2),
    (["+augmentation.transforms.RandomGrayscale={p:0.1}"],
     lambda c: c.augmentation.transforms, {"RandomGrayscale": {"p": 0.1}}),
    (["+augmentation.transforms.RandomGrayscale=null"], lambda c: transforms_of(c.augmentation), {
        "RandomGrayscale": {"_target_": "torchvision.transforms.v2.RandomGrayscale"}}),
    (["finder.num_iter=300", "seed=7"], lambda c: (c.finder.num_iter, c.seed), (300, 7)),
    (["seed=7"], lambda c: vars(c.seeds), dict.fromkeys(("init", "order", "augment", "noise"), 7)),
    (["seed=7", "seeds.order=3"], lambda c: (c.seeds.init, c.seeds.order), (7, 3)),
    (["seed=0"], lambda c: c.seeds.noise, 0),
    (["finder=smith"], lambda c: (c.finder.step_mode.value, c.finder.rule), ("linear", "smith")),
    (["finder=quick"], lambda c: c.finder.num_iter, 100),
    (["finder.diverge_th=null"], lambda c: c.finder.diverge_th, None),
    (["finder.accumulation_steps=4", "finder.val_every=10"],
     lambda c: (c.finder.accumulation_steps, c.finder.val_every), (4, 10)),
    (["finder.smoother=ema", "finder.ema_weight=0.05"], lambda c: c.finder.smoother.value, "ema"),
    (["optimizer=adamw", "optimizer.weight_decay=0.1"], lambda c: c.optimizer.weight_decay, 0.1),
    (["optimizer.momentum=0"], lambda c: c.optimizer.arguments["momentum"], 0),
    (['optimizer.groups=[{pattern:"fc.*",lr_mult:10}]'],
     lambda c: c.optimizer.groups, [schema.ParamGroup("fc.*", 10.0)]),
    (["optimizer._target_=torch.optim.Adagrad", "~optimizer.momentum", "~optimizer.nesterov"],
     lambda c: (c.optimizer._target_, c.optimizer.arguments), ("torch.optim.Adagrad", {})),
    (["loss=cross_entropy", "loss.label_smoothing=0.1"], lambda c: c.loss.label_smoothing, 0.1),
    (["device=cpu", "device.precision=bf16-mixed"],
     lambda c: (str(c.device.accelerator), c.device.precision), ("cpu", "bf16-mixed")),
    (["device.precision=32"], lambda c: c.device.precision, "32"),
    (["device.workers=2", "device.threads=1"], lambda c: (c.device.workers, c.device.threads), (2, 1)),
    (["onecycle=no_momentum"], lambda c: c.onecycle.cycle_momentum, False),
    (["onecycle.total_steps=5000"], lambda c: c.onecycle.total_steps, 5000),
    (["consensus.choose=conservative"], lambda c: c.consensus.choose.value, "conservative"),
    (["store.enabled=false"], lambda c: c.store.enabled, False),
    (["sweep_name=night_1"], lambda c: c.sweep_name, "night_1"),
    (['sweep_name="2025_1"'], lambda c: c.sweep_name, "2025_1"),
    (["dry_run=true"], lambda c: c.dry_run, True),
    (["+experiment=imagenet_local_dev", "data.root=/i"],
     lambda c: (c.data.name, c.model.name, c.data.root), ("imagefolder", "resnet18", "/i")),
    (["+experiment=imagenet_local_dev", "data.root=/i", "model=resnet50", "data.batch_size=32"],
     lambda c: (c.model.name, c.data.batch_size), ("resnet50", 32)),
    (["+experiment=quick"], lambda c: c.finder.num_iter, 100),
]  # fmt: skip


@pytest.mark.parametrize(
    ("overrides", "read", "expected"), OVERRIDES, ids=[" ".join(o[0]) for o in OVERRIDES]
)
def test_overrides_set_what_they_name(
    overrides: Sequence[str], read: Callable[[schema.Config], Any], expected: Any
) -> None:
    """Every kind of override that the documents show is accepted and arrives."""
    assert read(checked(*overrides)) == expected


@pytest.mark.parametrize("name", ["attribution", "imagenet_local_dev", "quick"])
def test_an_experiment_opens_with_its_command(name: str) -> None:
    """An experiment says first which command runs it."""
    first, second = (CONF / "experiment" / f"{name}.yaml").read_text().splitlines()[:2]
    assert first == "# @package _global_"  # Hydra looks for it on the first line only
    assert (
        second.removeprefix("# python src/find_lr.py ").removeprefix("-m ").startswith(f"+experiment={name}")
    )


def bare_keys(text: str) -> list[str]:
    """The keys of a YAML text that have a comment neither on their line nor above it."""
    bare = []
    before, block_indent = "", None
    for line in text.splitlines():
        indent = len(line) - len(line.lstrip())
        if block_indent is not None and (not line.strip() or indent > block_indent):
            continue
        block_indent = indent if line.rstrip().endswith("|") else None
        key = re.match(r"\s*(?:- )?([\w/ ]+):(?:\s|$)", line)
        if key and " # " not in line and not before.lstrip().startswith("#") and key[1] != "defaults":
            bare.append(key[1])
        before = line
    return bare


def test_a_bare_key_is_found() -> None:
    """The check below sees a key without a comment, and not the lines of a block of text."""
    text = "# x\na: 1\nb: 2\nc: 3 # y\n# z\nd: |\n  e: 4\nf:\n  g: 5\n"
    assert bare_keys(text) == ["b", "f", "g"]


@pytest.mark.parametrize(
    "path", sorted(CONF.rglob("*.yaml")), ids=lambda path: str(path.relative_to(CONF).with_suffix(""))
)
def test_every_key_has_a_comment(path: Path) -> None:
    """Whoever opens a config file reads what each key means."""
    assert bare_keys(path.read_text()) == []


def test_the_folders_of_runs_and_sweeps() -> None:
    """Runs are told apart by microseconds, sweeps by their name, jobs by their number; nothing changes folder."""
    schema.register()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("find_lr", overrides=["sweep_name=night"], return_hydra_config=True)
    assert re.fullmatch(r"outputs/runs/\d{8}-\d{6}-\d{6}", cfg.hydra.run.dir)
    assert cfg.hydra.sweep.dir == "outputs/sweeps/night"
    assert cfg.hydra.job.name == "find_lr"
    assert cfg.hydra.job.chdir is False


def test_no_experiment_in_the_defaults() -> None:
    """An experiment in the defaults list would lose its values: it comes with +experiment=NAME only."""
    defaults = OmegaConf.load(CONF / "find_lr.yaml")["defaults"]
    assert not [entry for entry in defaults if "experiment" in str(entry)]
    assert defaults[-1] == "_self_"


def test_config_folder_is_absolute() -> None:
    """Hydra takes a relative folder to be relative to a script; ours isn't."""
    assert CONF.is_absolute()
    assert (CONF / "find_lr.yaml").is_file()


PROGRAM = """
import sys
import hydra
from steadylr.config.folder import config_folder
from steadylr.config.help import register_help
from steadylr.config.schema import Config, register
register()
register_help(Config)
hydra.main(version_base="1.3", config_path=config_folder(), config_name="find_lr")(lambda cfg: None)()
"""


def run_python(program: str, *arguments: str, cwd: Path) -> str:
    command = [sys.executable, "-W", "error", "-c", program, *arguments]
    return subprocess.run(command, cwd=cwd, check=True, capture_output=True, text=True).stdout


def test_help_is_what_hydra_would_print(tmp_path: Path) -> None:
    """The quick way to the help text gives the same text as Hydra's own."""
    assert run_python(PROGRAM, "--help", cwd=tmp_path) == help_text([CONF], schema=schema.Config) + "\n"


def test_help_names_every_option_and_only_real_keys() -> None:
    """The help text lists the groups, and what it shows to type is accepted."""
    text = help_for(["--help"], schema=schema.Config)
    assert text is not None
    for group, options in GROUPS.items():
        assert f"{group}: {', '.join(options)}\n" in text
    commonest = re.findall(r"^  (\S+=\S+)  ", text, flags=re.M)
    assert len(commonest) > 8
    unknown_override(commonest, folders=[CONF])
    for line in re.findall(r"^  python src/find_lr.py (?:-m )?(\S+=.*)$", text, flags=re.M):
        unknown_override(line.split(), folders=[CONF])


def test_help_says_of_a_key_what_the_schema_says() -> None:
    """Beside its example, in lines of one width that hang below it."""
    text = help_for(["--help"], schema=schema.Config)
    assert text is not None
    hints = get_type_hints(schema.Finder, include_extras=True)
    words = hints["rule"].__metadata__[0].words
    beside = re.search(r"^  finder\.rule=steepest +(.*(?:\n {34}.*)*)$", text, flags=re.M)
    assert beside is not None
    assert " ".join(beside[1].split()) == words
    assert max(map(len, beside[0].splitlines())) <= WIDTH


@pytest.mark.parametrize(
    ("program", "options"),
    [
        ("aggregate", aggregate.AggregateConfig),
        ("report", report.ReportConfig),
        ("verify_lr", VerifyConfig),
        ("watch", watch.WatchConfig),
    ],
)
def test_the_other_programs_are_helped_as_well(program: str, options: type) -> None:
    """Each key that is shown is one of theirs, and all of their own are shown."""
    text = help_text([CONF], schema=options, program=program)
    shown = [line.strip("'") for line in re.findall(r"^  ('?[a-z_.]+=\S+)  ", text, flags=re.M)]
    unknown_override([line for line in shown if "<" not in line], schema=options, folders=[CONF])
    assert {entry.name for entry in fields(options)} <= {re.split(r"[.=]", line)[0] for line in shown}
    assert "steadylr.told" not in text


def test_a_key_that_is_not_in_the_schema_cannot_be_told() -> None:
    """So that no help is left behind."""
    with pytest.raises(KeyError, match=r"finder\.nothing"):
        told("finder.nothing=1", schema=schema.Config)


def test_help_lists_the_users_own_options(tmp_path: Path) -> None:
    """Groups in --config-dir are in the help text as well."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "mine.yaml").write_text("name: mine\n")
    text = help_for(["-h", "--config-dir", str(tmp_path)], schema=schema.Config)
    assert text is not None
    assert re.search(r"^model: .*\bmine\b", text, flags=re.M)


@pytest.mark.parametrize(
    "argv", [[], ["seed=1"], ["--help", "hydra.help.template=x"], ["--help", "-cn", "other"]]
)
def test_help_is_left_to_hydra(argv: list[str]) -> None:
    """Without --help there is no text; with another config or template Hydra makes it."""
    assert help_for(argv, schema=schema.Config) is None


def test_composing_loads_nothing_heavy(tmp_path: Path) -> None:
    """--help and --cfg job need neither torch nor numpy, scipy, matplotlib, rich."""
    program = (
        "import sys\n"
        "from steadylr.config import folder, help, overrides, schema\n"
        "from hydra import compose, initialize_config_dir\n"
        "schema.register()\n"
        "overrides.check_keys(['-m', 'seed=1,2', 'model=mlp', 'finder.smooth_f=0.1'])\n"
        "help.help_for(['--help'], schema=schema.Config)\n"
        "with initialize_config_dir(folder.config_folder(), version_base='1.3'):\n"
        "    compose('find_lr', overrides=['+experiment=quick'])\n"
        "heavy = {'torch', 'torchvision', 'numpy', 'scipy', 'matplotlib', 'rich', 'pyarrow'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    assert run_python(program, cwd=tmp_path).strip() == "[]"


def test_checking_a_config_loads_no_torch(tmp_path: Path) -> None:
    """The checks of a job run where torch is not imported."""
    program = (
        "import sys\n"
        "from steadylr.config import folder, schema, values\n"
        "from steadylr.training import identity\n"
        "from hydra import compose, initialize_config_dir\n"
        "schema.register()\n"
        "with initialize_config_dir(folder.config_folder(), version_base='1.3'):\n"
        "    identity.training_config(values.check_config(compose('find_lr')))\n"
        "print(sorted({'torch', 'torchvision', 'matplotlib'} & set(sys.modules)))\n"
    )
    assert run_python(program, cwd=tmp_path).strip() == "[]"


@pytest.mark.slow
def test_the_attribution_experiment_lets_all_streams_vary_independently() -> None:
    """Its two derived seeds make a Graeco-Latin square, and it is a sweep of 64 trainings read twice."""
    cells = []
    for init in range(8):
        config = checked("+experiment=attribution", f"seeds.init={init}", "seeds.order=3")
        cells.append((config.seeds.augment, config.seeds.noise))
    assert sorted(augment for augment, _ in cells) == sorted(noise for _, noise in cells) == list(range(8))
    experiment = OmegaConf.load(CONF / "experiment" / "attribution.yaml")
    assert experiment.hydra.mode == "MULTIRUN"
    assert dict(experiment.hydra.sweeper.params) == {
        "seeds.init": "range(0,8)",
        "seeds.order": "range(0,8)",
        "finder.smooth_f": "0.05,0.15",
    }
