"""The user's own code in a config: keys, checks before training, what identifies it, and a run with it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir

from command_line import find_lr, only_run
from steadylr.answer.readings import kind_of
from steadylr.config import schema
from steadylr.config.errors import BadInput
from steadylr.config.folder import config_folder
from steadylr.config.overrides import check_overrides
from steadylr.config.values import check_config, doubts
from steadylr.training.devices import train
from steadylr.training.identity import describe_training, training_config

CODE = """
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

class OwnNet(nn.Module):
    def __init__(self, hidden: int, dropout: float = 0.0):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(6, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, 3))

    def forward(self, inputs):
        return self.layers(inputs)

def pairs(size: int = 90, root: str = "", as_loader: bool = False):
    inputs = torch.randn(size, 6, generator=torch.Generator().manual_seed(0))
    data = TensorDataset(inputs, inputs[:, :3].argmax(dim=1))
    return DataLoader(data, batch_size=9, shuffle=True) if as_loader else (data, data)

def weighted(outputs, targets, weight: float = 1.0):
    return weight * nn.functional.cross_entropy(outputs, targets)

def stepping(model, batch, weight: float = 1.0):
    return weighted(model(batch[0]), batch[1], weight)

def not_a_model():
    return 3

class OwnSGD(torch.optim.SGD):
    pass
"""

MODEL, DATA = (
    "_target_: own_code_here.OwnNet\nhidden: 8\n",
    "_target_: own_code_here.pairs\nsize: 90\nbatch_size: 9\n",
)
LOSS, STEP = (
    "_target_: own_code_here.weighted\n",
    "_target_: own_code_here.stepping\nas_step: true\nweight: 2.0\n",
)
OPTIMIZER = "_target_: own_code_here.OwnSGD\nmomentum: 0.9\n"
SHORT = ("device=cpu", "device.threads=1", "finder.num_iter=30")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder, with the user's code and config folder."""
    (tmp_path / "own_code_here.py").write_text(CODE)
    options = {
        "model/mine": MODEL,
        "data/mine": DATA,
        "loss/mine": LOSS,
        "loss/step": STEP,
        "optimizer/mine": OPTIMIZER,
    }
    options["experiment/mine"] = (
        "# @package _global_\ndefaults:\n  - override /model: mine\n  - override /data: mine\n"
    )
    for name, text in options.items():
        file = tmp_path / "conf" / f"{name}.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    sys.modules.pop("own_code_here", None)


def checked(folder: Path, *overrides: str) -> schema.Config:
    """The config of a command line with --config-dir, after all checks."""
    check_overrides(["--config-dir", "conf", *overrides])
    schema.register()
    with initialize_config_dir(config_folder(), version_base="1.3"):
        path = f"hydra.searchpath=[file://{folder / 'conf'}]"
        return check_config(compose("find_lr", overrides=[path, *overrides]))


def trained(config: schema.Config) -> Any:
    return train(config, describe_training(config, threads=1))


def test_arguments_stand_beside_the_target(folder: Path) -> None:
    """And can be set from the command line; keys of the group keep their meaning; what it is called is its path."""
    config = checked(folder, "model=mine", "data=mine", "model.hidden=5", "+model.kwargs.dropout=0.5")
    assert config.model.kwargs == {"hidden": 5, "dropout": 0.5}
    assert (config.model.name, config.data.kwargs, config.data.batch_size) == (
        "own_code_here.OwnNet",
        {"size": 90},
        9,
    )
    assert "own_code_here" not in sys.modules
    assert checked(folder, "model=mine", "data=mine", "model.name=small").model.name == "small"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["model.hiden=5"],
            r"^model\.hiden is not known; did you mean hidden\? \(.*own_code_here\.OwnNet\)$",
        ),
        (
            ["model._target_=own_code_here.OwnNe"],
            r"^model\._target_=own_code_here\.OwnNe: .* did you mean OwnNet or",
        ),
        (["model._target_=nowhere.Net"], r"there is no module nowhere"),
        (
            ["data.image_size=9"],
            r"^data\.image_size has no meaning with .*below data\.kwargs: \+data\.kwargs\.image_size=9",
        ),
        (["model.freeze=true"], r"^model\.freeze has no meaning with model\._target_"),
        (["augmentation=light"], r"^augmentation works on the data sets of this project"),
        (["optimizer=mine", "optimizer.lr=3"], r"^optimizer\.lr is the ramp's to set"),
        (["loss.as_step=true"], r"^loss\.kwargs and loss\.as_step have a meaning with loss\._target_ only"),
        (["optimizer.name=lbfgs"], r"^optimizer\.name=lbfgs can't be ramped: "),
        (["data.batch_size=0"], r"^data\.batch_size must be at least 1"),
        (
            ["model.kwargs.inner={_target_: own_code_here.OwnNet, hiden: 3}"],
            r"model\.inner\.hiden is not known",
        ),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_what_is_wrong_is_told_before_anything_is_imported(
    folder: Path, overrides: list[str], message: str
) -> None:
    """By the key that the user wrote, with near names."""
    with pytest.raises(BadInput, match=message):
        checked(folder, "model=mine", "data=mine", *[f"+{o}" if "inner" in o else o for o in overrides])
    assert "own_code_here" not in sys.modules


def test_keys_of_groups_without_own_code_are_checked_as_ever(folder: Path) -> None:
    """A group is open only where one of its options names a _target_, directly or through an experiment."""
    with pytest.raises(BadInput, match=r"arguments of the model itself go below model\.kwargs"):
        check_overrides(["--config-dir", "conf", "data=mine", "model.hidden=3"])
    assert checked(folder, "+experiment=mine", "model.hidden=3").model.kwargs["hidden"] == 3
    with pytest.raises(BadInput, match=r"^data\.kwargs has a meaning with data\._target_ only"):
        checked(folder, "+data.kwargs.a=1")


@pytest.mark.slow
def test_the_source_is_part_of_what_identifies_a_training(folder: Path) -> None:
    """An edited model is another training, and so are other arguments and files that they name; names don't count."""
    base = ["model=mine", "data=mine", "data.root=null", *SHORT]

    def shape(*overrides: str) -> dict[str, Any]:
        return describe_training(checked(folder, *base, *overrides), threads=1).shape

    before = shape()
    assert "own_code_here" not in sys.modules
    assert before["own_code"]["packages"]["torch"]
    assert shape("model.name=other", "data.workers=1") == before
    assert shape("model.hidden=9") != before
    (folder / "rows.csv").write_text("1")
    named = shape("+data.kwargs.root=rows.csv")
    (folder / "rows.csv").write_text("12")
    assert shape("+data.kwargs.root=rows.csv") != named
    (folder / "own_code_here.py").write_text(CODE + "# edited\n")
    assert shape() != before


def test_the_projects_own_trainings_keep_their_keys() -> None:
    """Without own code nothing of it is in the key, and runs of a record without it are of the same kind."""
    schema.register()
    with initialize_config_dir(config_folder(), version_base="1.3"):
        config = check_config(compose("find_lr", overrides=["device=cpu"]))
    assert "own_code" not in describe_training(config, threads=1).shape
    keys = training_config(config)
    assert set(keys["model"]) == {"name", "weights", "freeze", "kwargs"}
    assert set(keys["loss"]) == {"name", "label_smoothing"}
    from dataclasses import asdict

    from steadylr.store.files import plain_values

    old = plain_values(asdict(config))
    for group in schema.OWN_GROUPS:
        old[group] = {key: value for key, value in old[group].items() if key != "_target_"}
    del old["data"]["kwargs"], old["loss"]["kwargs"], old["loss"]["as_step"]
    assert kind_of(old) == kind_of({**plain_values(asdict(config)), "own_code": None})


def test_own_code_trains_with_every_stream_of_its_own(folder: Path) -> None:
    """Weights from init, order from order, dropout from noise; equal seeds give equal bits."""
    own = ("model=mine", "data=mine", "optimizer=mine", "loss=mine", "model.dropout=0.5")
    validated = ("finder.val_every=2", "finder.val_samples=20", "finder.skip_start=0", "finder.skip_end=0")
    config = checked(folder, *own, *validated, *SHORT)
    run, used = trained(config)
    assert used == ("init", "order", "noise")
    assert run.validation is not None
    torch.manual_seed(7)
    assert trained(config)[0].curve.digest() == run.curve.digest()
    for stream in used:
        setattr(config.seeds, stream, 5)
        assert trained(config)[0].curve.digest() != run.curve.digest()
        setattr(config.seeds, stream, 0)


def test_a_step_and_a_loader_train_too(folder: Path) -> None:
    """The step is given model and batch with its arguments bound; a loader shuffles from the noise stream."""
    config = checked(
        folder, "model=mine", "data=mine", "loss=step", "data.as_loader=true", "+data.kwargs.root=''", *SHORT
    )
    run, used = trained(config)
    assert used == ("init", "noise")
    assert any("loader of your own" in note for note in run.meta["notes"])
    config.seeds.noise = 3
    assert trained(config)[0].curve.digest() != run.curve.digest()
    plain = checked(folder, "model=mine", "data=mine", "loss=mine", *SHORT)
    double = checked(folder, "model=mine", "data=mine", "loss=step", *SHORT)
    assert trained(double)[0].curve.loss[0] == pytest.approx(2 * trained(plain)[0].curve.loss[0])


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["model._target_=own_code_here.not_a_model", "~model.hidden"],
            r"must give a torch\.nn\.Module; it gave a int",
        ),
        (
            ["~model.hidden"],
            r"own_code_here\.OwnNet\(.*\) can't be called with no arguments: missing .* 'hidden'",
        ),
        (["data.as_loader=true", "finder.val_every=1"], r"finder\.val_every=1 needs validation data"),
        (["model=mlp"], r"a model of this project needs to know what images it gets"),
    ],
    ids=["no model", "missing argument", "no validation data", "no images"],
)
def test_what_only_shows_when_it_is_built_is_told(folder: Path, overrides: list[str], message: str) -> None:
    """With the import path, and what was expected."""
    config = checked(folder, "model=mine", "data=mine", *SHORT, *overrides)
    with pytest.raises(ValueError, match=message):
        trained(config)


def test_doubtful_optimizers_are_doubted() -> None:
    """Before the training, by name or by class."""
    config = schema.Config(optimizer=schema.Optimizer(name="prodigy"))
    assert any("finds its own step size" in doubt for doubt in doubts(config))
    own = schema.Optimizer(name="x", _target_="dadaptation.DAdaptAdam")
    assert any("finds its own step size" in doubt for doubt in doubts(schema.Config(optimizer=own)))
    assert doubts(schema.Config(optimizer=schema.Optimizer(name="sgd"))) == []


@pytest.mark.slow
def test_the_whole_command_gives_an_answer_and_keeps_a_traceback(folder: Path) -> None:
    """From --config-dir to the answer; an error in the user's code names it and leaves its traceback."""
    done = find_lr(
        "--config-dir", "conf", "model=mine", "data=mine", *SHORT, "finder.skip_start=1", "finder.skip_end=1"
    )
    assert done.out.startswith("own_code_here.OwnNet on own_code_here.pairs, seed 0: ")
    assert (only_run(folder) / "record.json").is_file()
    done = find_lr(
        "--config-dir", "conf", "model=mine", "data=mine", *SHORT, "loss=step", "loss.as_step=false"
    )
    assert done.code == 1
    assert done.err.startswith(
        "loss_fn stepping with model OwnNet failed on the first batch, [float32 (9, 6), int64 (9,)]"
    )
    assert "The traceback is in" in done.err
