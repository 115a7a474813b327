"""What of a recorded config is an option of this project, and what is a stranger's code or file."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from made_jobs import config_of
from steadylr.config.folder import config_folder
from steadylr.config.own_options import beyond_own_options
from steadylr.config.schema import TARGET_GROUPS
from steadylr.store.files import plain_values

NEEDED = {
    "torchvision": ("model.name=regnet_y_400mf",),
    "timm": ("model.name=resnet18",),
    "muon": ("optimizer.adamw_names=[head.*]",),
}
OPTIONS = [
    (group, file.stem)
    for group in TARGET_GROUPS
    for file in sorted(Path(config_folder(), group).glob("*.yaml"))
    if file.stem not in ("lightning", "huggingface", "imagefolder", "own")  # the last has no target yet
]


def recorded(*overrides: str) -> dict[str, Any]:
    """A config as a record has it."""
    plain = plain_values(asdict(config_of(*overrides)))
    assert isinstance(plain, dict)
    return plain


@pytest.mark.parametrize(("group", "option"), OPTIONS)
def test_every_option_that_names_no_file_is_ours(group: str, option: str) -> None:
    """As it is recorded."""
    assert beyond_own_options(recorded(f"{group}={option}", *NEEDED.get(option, ()))) == []


def test_numbers_are_ours() -> None:
    """Also for arguments that the option's YAML does not have, and in parameter groups, whose patterns are texts."""
    config = recorded(
        "model=resnet18",
        "model.weights=IMAGENET1K_V1",
        "+model.zero_init_residual=true",
        "optimizer=adamw",
        "+optimizer.amsgrad=true",
        "optimizer.groups=[{pattern: fc.*, lr_mult: 10}]",
        "data.fingerprint=of May",
        "finder.rule=steepest",
    )
    assert beyond_own_options(config) == []


def spoilt(group: str, **values: Any) -> dict[str, Any]:
    """A record of the project's own options, with some values of a group changed."""
    config = recorded("augmentation=light")
    config[group] |= values
    return config


NESTED = {"_target_": "os.system", "command": 1}


@pytest.mark.parametrize(
    ("config", "named"),
    [
        (spoilt("model", _target_="os.system"), "model._target_=os.system"),
        (
            spoilt("model", _target_="steadylr.jobs.work.plan_work"),
            "model._target_=steadylr.jobs.work.plan_work",
        ),
        (spoilt("model", _target_="torch.optim.SGD"), "model._target_=torch.optim.SGD"),
        (spoilt("loss", _target_=["os.system"]), "loss._target_=['os.system']"),
        (spoilt("model", arguments={"hidden": NESTED}), "model.arguments.hidden._target_=os.system"),
        (spoilt("model", hidden=[1, {"x": NESTED}]), "model.hidden.1.x._target_=os.system"),
        (spoilt("model", arguments={"_target_": "os.system"}), "model._target_=os.system"),
        (spoilt("optimizer", arguments={"_args_": [1]}), "optimizer._args_=[1]"),
        (spoilt("optimizer", groups=[{"pattern": NESTED}]), "optimizer.groups.0.pattern._target_=os.system"),
        (spoilt("optimizer", arguments={"momentum": "x"}, name="y", kind="z"), "optimizer.kind=z"),
        (spoilt("model", arguments={"checkpoint_path": "/x"}), "model.checkpoint_path=/x"),
        (spoilt("model", arguments={"kwargs": {"file": "/x"}}), "model.kwargs.file=/x"),
        (spoilt("model", weights="/x.pt"), "model.weights=/x.pt"),
        (spoilt("model", arguments={"weights": "x.pt"}), "model.weights=x.pt"),
        (spoilt("model", weights=NESTED), f"model.weights={NESTED}"),
        (spoilt("data", root="/home/somebody"), "data.root=/home/somebody"),
        (spoilt("data", download="yes"), "data.download=yes"),
        (spoilt("model", is_lightning=True), "model.is_lightning=True"),
        (
            spoilt("augmentation", transforms={"Lambda": {"lambd": NESTED}}),
            "augmentation.transforms.Lambda._target_=torchvision.transforms.v2.Lambda",
        ),
        (
            spoilt("augmentation", transforms={"Lambda": {"lambd": NESTED}}),
            "augmentation.transforms.Lambda.lambd._target_=os.system",
        ),
        (
            spoilt("augmentation", transforms={"RandomCrop": {"size": 28, "fill": "x"}}),
            "augmentation.transforms.RandomCrop.fill=x",
        ),
        (
            spoilt("augmentation", transforms={"RandomCrop": {"size": NESTED}}),
            "augmentation.transforms.RandomCrop.size._target_=os.system",
        ),
    ],
)
def test_what_could_run_or_read_is_named(config: dict[str, Any], named: str) -> None:
    """A target that no option of its group has, targets and Hydra's keys in arguments, texts that may be files."""
    assert named.replace(".arguments.", ".") in beyond_own_options(config)


def test_weights_of_a_hub_are_anybody_s() -> None:
    """Whatever they are called."""
    target = "steadylr.run.transformers_model.transformers_model"
    assert beyond_own_options(spoilt("model", _target_=target, weights="DEFAULT")) == [
        "model.weights=DEFAULT"
    ]


def test_a_lightning_module_brings_the_rest() -> None:
    """Its own methods are no targets."""
    config = spoilt("model", _target_="mine.Net", is_lightning=True)
    config["optimizer"]["_target_"] = "configure_optimizers"
    assert beyond_own_options(config) == ["model._target_=mine.Net", "model.is_lightning=True"]
