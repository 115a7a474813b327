"""The user's own code in a config: keys, checks before training, what identifies it, and a run with it."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir

from command_line import FIND_LR, find_lr, only_run, process
from composing import composed
from steadylr.config import schema
from steadylr.config.errors import BadInput
from steadylr.config.folder import config_folder
from steadylr.config.overrides import check_keys
from steadylr.config.targets import arguments_of, signature_of
from steadylr.config.values import check_config, doubts
from steadylr.store.records import RunRecord
from steadylr.training.devices import Share, train
from steadylr.training.identity import describe_training

CODE = """
import numpy as np
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

def stored():
    inputs = torch.from_numpy(np.load("train.npy"))
    return TensorDataset(inputs, inputs[:, :3].argmax(dim=1))

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
    check_keys(["--config-dir", "conf", *overrides])
    schema.register()
    with initialize_config_dir(config_folder(), version_base="1.3"):
        path = f"hydra.searchpath=[file://{folder / 'conf'}]"
        return check_config(compose("find_lr", overrides=[path, *overrides]))


def trained(config: schema.Config) -> Any:
    run = train(config, describe_training(config), share=Share(threads=1))
    return run, tuple(name for name, use in run.meta["seeds"].items() if use["used"])


def test_arguments_stand_beside_the_target(folder: Path) -> None:
    """And can be set from the command line; keys of the group keep their meaning; what it is called is its path."""
    config = checked(folder, "model=mine", "data=mine", "model.hidden=5", "model.dropout=0.5")
    assert config.model.arguments == {"hidden": 5, "dropout": 0.5}
    assert (config.model.called, config.data.arguments, config.data.batch_size) == (
        "own_code_here.OwnNet",
        {"size": 90},
        9,
    )
    assert "own_code_here" not in sys.modules
    assert checked(folder, "model=mine", "data=mine", "model.name=small").model.called == "small"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["model.hiden=5"],
            r"^model\.hiden is not known; did you mean hidden\? \(.*own_code_here\.OwnNet; ~model\.hiden takes",
        ),
        (
            ["model._target_=own_code_here.OwnNe"],
            r"^model\._target_=own_code_here\.OwnNe: .* did you mean OwnNet or",
        ),
        (["model._target_=nowhere.Net"], r"there is no module nowhere"),
        (
            ["data.image_size=9"],
            r"^data\.image_size has no meaning with data\._target_=own_code_here\.pairs, .*; got 9$",
        ),
        (
            ["augmentation=light"],
            r"^augmentation is handed to data that take an argument of that name, and own_",
        ),
        (
            ["~model.hidden"],
            r"^model\.hidden is needed for model\._target_=own_code_here\.OwnNet: give model\.hid",
        ),
        (["optimizer=mine", "optimizer.lr=3"], r"^optimizer\.lr is the ramp's to set"),
        (
            ["model=mlp", "data=fashion_mnist_mini", "loss.as_step=true"],
            r"^loss\.as_step=true is for data and mod",
        ),
        (["data.batch_size=0"], r"^data\.batch_size must be at least 1"),
        (
            ["model.dropout={_target_: own_code_here.OwnNet, hiden: 3}"],
            r"model\.dropout\.hiden is not known.*\n  - model\.dropout\.hidden is needed",
        ),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_what_is_wrong_is_told_before_anything_is_imported(
    folder: Path, overrides: list[str], message: str
) -> None:
    """By the key that the user wrote, with near names."""
    with pytest.raises(BadInput, match=message):
        checked(folder, "model=mine", "data=mine", *overrides)
    assert "own_code_here" not in sys.modules


def test_an_experiment_may_choose_them(folder: Path) -> None:
    """Arguments can be set beside it."""
    assert checked(folder, "+experiment=mine", "model.hidden=3").model.arguments["hidden"] == 3


def test_a_key_of_the_group_reaches_a_target_that_takes_it(folder: Path) -> None:
    """data.root is an argument of `pairs`; weights and freezing are done to any model."""
    config = checked(folder, "model=mine", "data=mine", "data.root=rows", "model.freeze=true", *SHORT)
    assert arguments_of("data", config.data, signature_of("own_code_here.pairs")) == {
        "root": "rows",
        "size": 90,
    }
    from steadylr.training.setup import build_model

    model = build_model(config, lambda: pytest.fail("nothing of it is taken"))
    assert [name for name, value in model.named_parameters() if value.requires_grad] == [
        "layers.3.weight",
        "layers.3.bias",
    ]


def test_what_only_the_code_can_find_is_not_served_from_the_store(folder: Path) -> None:
    """An edited file that no argument names trains anew, and so it does unedited: nothing tells the two apart.

    A declared fingerprint, or a file that is named, says what the data are.
    """
    here = ["model=mine", "data=mine", "data._target_=own_code_here.stored", "~data.size", *SHORT]
    config = checked(folder, *here)
    (doubt,) = doubts(config)
    assert re.match(
        r"this training is not kept for later, as data\._target_=own_code_here\.stored may read files that no argument "
        r"names \(own_code_here\.py, line \d+: load\): .* give data\.fingerprint=TEXT",
        doubt,
    )
    assert describe_training(config).shape["unidentified"]
    first, second = (checked(folder, *here, f"data.fingerprint={text}") for text in "ab")
    assert doubts(first) == []
    shapes = [describe_training(each).shape for each in (first, first, second)]
    assert shapes[0] == shapes[1] != shapes[2]
    assert "unidentified" not in shapes[0]
    assert doubts(checked(folder, "model=mine", "data=mine", *SHORT)) == []


def test_installed_data_are_known_by_the_files_that_are_named(folder: Path) -> None:
    """A folder by its content; data that no argument names are trained on afresh."""
    here = ["model=mine", "data=mine", "~data.size", *SHORT]
    made_up = checked(folder, *here, "data._target_=torchvision.datasets.FakeData")
    assert "unidentified" in describe_training(made_up).shape
    (folder / "images").mkdir()
    named = checked(folder, *here, "data._target_=torchvision.datasets.ImageFolder", "data.root=images")
    before = describe_training(named).shape
    assert doubts(named) == []
    (folder / "images" / "one.png").write_text("x")
    after = describe_training(named).shape
    assert before != after
    assert "unidentified" not in before


@pytest.mark.slow
def test_an_edited_file_is_seen_by_the_next_run(folder: Path) -> None:
    """The whole command, twice: the second trains on what the file holds by then."""
    command = [
        "--config-dir",
        "conf",
        "model=mine",
        "data=mine",
        "data._target_=own_code_here.stored",
        "~data.size",
    ]
    losses = []
    for place, seed in enumerate((0, 1)):
        np.save(folder / "train.npy", np.random.default_rng(seed).normal(size=(90, 6)).astype("float32"))
        done = process(FIND_LR, *command, *SHORT, f"hydra.run.dir=run{place}", cwd=folder)
        assert done.code in (0, 3), done
        assert "not kept for later" in done.err
        assert "from the store" not in done.out
        losses.append(RunRecord.read(folder / f"run{place}").run.curve_digest)
    assert losses[0] != losses[1]


@pytest.mark.slow
def test_the_source_is_part_of_what_identifies_a_training(folder: Path) -> None:
    """An edited model is another training, and so are other arguments and files that they name; names don't count."""
    base = ["model=mine", "data=mine", *SHORT]

    def shape(*overrides: str) -> dict[str, Any]:
        return describe_training(checked(folder, *base, *overrides)).shape

    before = shape()
    assert "own_code_here" not in sys.modules
    assert before["own_code"]["packages"]["torch"]
    assert shape("model.name=other", "data.workers=1") == before
    assert shape("model.hidden=9") != before
    (folder / "rows.csv").write_text("1")
    named = shape("data.root=rows.csv")
    (folder / "rows.csv").write_text("12")
    assert shape("data.root=rows.csv") != named
    (folder / "own_code_here.py").write_text(CODE + "# edited\n")
    assert shape() != before


def test_the_projects_own_code_is_keyed_by_its_version() -> None:
    """Its targets are no code of the user's."""
    config = check_config(composed("device=cpu"))
    shape = describe_training(config).shape
    assert not {"own_code", "unidentified"} & set(shape)
    assert set(shape["versions"]) == {"torch", "torchvision"}
    timm = replace(config, model=schema.Model("steadylr.run.timm_model.timm_classifier", name="resnet18"))
    assert "timm" in describe_training(timm).shape["versions"]


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
    config = checked(folder, "model=mine", "data=mine", "loss=step", "data.as_loader=true", *SHORT)
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
            ["model.hidden=many"],
            r"must be tuple of ints, but found element of type str",
        ),
        (["data.as_loader=true", "finder.val_every=1"], r"finder\.val_every=1 needs validation data"),
        (["model=mlp"], r"a model of this project needs to know what images it gets"),
    ],
    ids=["no model", "its own error", "no validation data", "no images"],
)
def test_what_only_shows_when_it_is_built_is_told(folder: Path, overrides: list[str], message: str) -> None:
    """With the import path, and what was expected."""
    config = checked(folder, "model=mine", "data=mine", *SHORT, *overrides)
    with pytest.raises((ValueError, TypeError), match=message):
        trained(config)


def test_doubtful_optimizers_are_doubted() -> None:
    """Before the training, by name or by class."""
    config = check_config(composed("device=cpu"))
    assert doubts(config) == []
    for path in ("prodigyopt.Prodigy", "torch.optim.Adadelta"):
        doubtful = replace(config, optimizer=schema.Optimizer(path))
        assert any("finds its own step size" in doubt for doubt in doubts(doubtful))


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
