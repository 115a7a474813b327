"""Models of other libraries from the command line: timm, transformers, Lightning."""

from __future__ import annotations

from pathlib import Path

import pytest

from command_line import find_lr, only_run
from composing import composed
from made_jobs import config_of
from steadylr.config.errors import BadInput
from steadylr.config.values import check_config
from steadylr.core.curve import Curve
from steadylr.store.records import RunRecord
from steadylr.training.devices import Share, train
from steadylr.training.identity import describe_training, training_config

FEW = (
    *("finder.num_iter=14", "finder.skip_start=2", "finder.skip_end=2", "finder.diverge_th=null"),
    *("finder.end_lr=0.1", "device.threads=1", "data.batch_size=8"),
)
TINY_VIT = (
    *("model=huggingface", "model.name=ViTForImageClassification", "optimizer=adamw"),
    *(
        f"+model.{key}={value}"
        for key, value in {
            "hidden_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "intermediate_size": 32,
            "patch_size": 7,
        }.items()
    ),
)
LIGHTNING = ("model=lightning", "model._target_=my_modules.Classifier")

MY_MODULES = """
import torch
from lightning.pytorch import LightningDataModule, LightningModule
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, random_split


class Classifier(LightningModule):
    def __init__(self, width: int = 8, inputs: int = 784):
        super().__init__()
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(inputs, width), nn.Dropout(0.2), nn.Linear(width, 10))

    def training_step(self, batch, batch_idx):
        loss = nn.functional.cross_entropy(self.net(batch[0]), batch[1])
        self.log("loss", loss)
        return loss

    def configure_optimizers(self):
        first = {"params": self.net[1].parameters(), "lr": 0.01}
        optimizer = torch.optim.SGD([first, {"params": self.net[3].parameters()}], lr=0.1)
        steps = self.trainer.estimated_stepping_batches
        return [optimizer], [torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)]


class Adversaries(Classifier):
    def configure_optimizers(self):
        return [torch.optim.SGD(part.parameters(), lr=0.02, momentum=0.9) for part in (self.net[1], self.net[3])]


class ByHand(Classifier):
    def __init__(self):
        super().__init__()
        self.automatic_optimization = False


class Points(LightningDataModule):
    def setup(self, stage):
        points = TensorDataset(torch.rand(64, 5), torch.arange(64) % 10)
        self.part, _ = random_split(points, [48, 16])

    def train_dataloader(self):
        return DataLoader(self.part, 8, shuffle=True)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with modules of a user's own, in which the commands are run; figures are not drawn."""
    import sys

    from steadylr.jobs import job

    (tmp_path / "my_modules.py").write_text(MY_MODULES)
    (tmp_path / "conf" / "data").mkdir(parents=True)
    (tmp_path / "conf" / "data" / "points.yaml").write_text("_target_: my_modules.Points\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(job, "draw_run", lambda *_: None)
    monkeypatch.delitem(sys.modules, "my_modules", raising=False)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return tmp_path


def ran(*overrides: str) -> RunRecord:
    done = find_lr(*overrides, *FEW)
    assert done.code in (0, 3), done
    record = RunRecord.read(only_run(Path.cwd()))
    assert record.run.num_points == 14
    return record


# ---- what is said of a config, without importing any of them


BAD: list[tuple[tuple[str, ...], str]] = [
    (
        ("model=lightning",),
        r"^model\._target_ is missing: give model\._target_=my_module",
    ),
    (("model=timm",), r"^model\.name is needed"),
    (("+model.library=tim",), r"^model\.library is gone: take model=timm or"),
    (("model.optimizer_index=1",), r"^model\.optimizer_index is for LightningModules"),
    ((*TINY_VIT, "model.freeze=true"), r"^model\.freeze is not for model=huggingface"),
    ((*LIGHTNING, "model.optimizer_index=-1"), r"model\.optimizer_index must be at least 0; got -1"),
]


@pytest.mark.parametrize(("overrides", "message"), BAD, ids=[given[-1] for given, _ in BAD])
def test_what_does_not_go_together_is_said(overrides: tuple[str, ...], message: str, folder: Path) -> None:
    """By key, before anything is imported."""
    with pytest.raises(BadInput, match=message):
        config_of(*overrides)


def test_a_library_is_part_of_what_identifies_a_training(folder: Path) -> None:
    """A model of timm is no model of torchvision of the same name; the library's version counts."""
    ours, theirs = config_of("model=resnet18"), config_of("model=timm", "model.name=resnet18")
    assert training_config(ours)["model"] != training_config(theirs)["model"]
    assert "library" not in training_config(ours)["model"]
    assert "timm" in describe_training(theirs).shape["versions"]


def test_optimizer_and_loss_of_a_lightning_module_are_its_own(folder: Path) -> None:
    """The config says so, whatever the groups were set to: they shape nothing."""
    one, two = config_of(*LIGHTNING), config_of(*LIGHTNING, "optimizer=adamw", "loss=mse")
    assert (one.optimizer._target_, one.loss._target_) == ("configure_optimizers", "training_step")
    assert training_config(one) == training_config(two)


# ---- runs


@pytest.mark.slow
def test_a_model_of_timm_runs(folder: Path) -> None:
    """By its name, on the default images, enlarged."""
    record = ran("model=timm", "model.name=test_resnet")
    assert record.config["data"]["image_size"] == 32


@pytest.mark.slow
def test_a_model_of_transformers_runs(folder: Path) -> None:
    """Its config is filled from the images; the loss is its own."""
    assert ran(*TINY_VIT).seeds["noise"].used is False


@pytest.mark.slow
def test_a_lightning_module_runs_on_our_images(folder: Path) -> None:
    """With all four random streams, the ratios of its groups, validation by training_step, and from the store again."""
    wanted = (*LIGHTNING, "model.width=4", "finder.val_every=1", "finder.val_samples=8")
    record = ran(*wanted)
    assert {name: use.used for name, use in record.seeds.items()} == {
        "init": True,
        "order": True,
        "augment": False,
        "noise": True,
    }
    assert record.notes == (
        [
            "Classifier.configure_optimizers: its scheduler (CosineAnnealingLR) is not used, since the ramp sets the LR"
        ]
    )
    again = find_lr(*FEW, *wanted, "hydra.run.dir=again")
    assert again.code in (0, 3), again
    assert RunRecord.read(folder / "again").run.from_store
    changed = (folder / "my_modules.py").read_text().replace("Dropout(0.2)", "Dropout(0.3)")
    (folder / "my_modules.py").write_text(changed)
    assert find_lr(*FEW, *wanted, "hydra.run.dir=changed").code in (0, 3)
    assert not RunRecord.read(folder / "changed").run.from_store


@pytest.mark.slow
def test_a_lightning_data_module_is_taken(folder: Path) -> None:
    """Its order is drawn from the noise stream, its split is the same for every seed; both are noted or hold."""
    record = ran("--config-dir", "conf", *LIGHTNING, "data=points", "model.inputs=5")
    assert record.seeds["order"].used is False
    assert any("drawn from the noise stream" in note for note in record.notes)


@pytest.mark.slow
@pytest.mark.parametrize(
    "given",
    [
        ("model._target_=my_modules.Adversaries",),
        (
            "model._target_=my_modules.Classifier",
            "data=own",
            "data._target_=my_modules.Points",
            "+model.inputs=5",
        ),
    ],
    ids=["two optimizers", "own loaders"],
)
def test_a_scout_leaves_nothing_behind_in_a_module(
    given: tuple[str, ...], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ramp after it is bit for bit that of a training without one: optimizers, loaders and noise are fresh."""
    overrides = ("model=lightning", *given, "finder.num_iter=120", "finder.diverge_th=null", "device=cpu")
    monkeypatch.syspath_prepend(str(folder))

    def curve(*more: str) -> Curve:
        config = check_config(composed(*overrides, *more))
        return train(config, describe_training(config), share=Share(threads=1)).curve

    scouted = curve("finder.scout_steps=40")
    assert len(scouted) > 2
    monkeypatch.setattr("steadylr.core.ramp.Ramp.lrs", lambda self: scouted.lr)
    assert curve().digest() == scouted.digest()


@pytest.mark.slow
@pytest.mark.parametrize("index", [0, 1])
def test_the_optimizer_to_ramp_is_chosen(index: int, folder: Path) -> None:
    """The other one trains along, and a note says so."""
    record = ran("model=lightning", "model._target_=my_modules.Adversaries", f"model.optimizer_index={index}")
    assert any("trains along at its own LR" in note for note in record.notes)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ("model=lightning", "model._target_=my_modules.ByHand"),
            "ByHand has automatic_optimization=False: ",
        ),
        (("model=lightning", "model._target_=torch.nn.ReLU"), "a LightningModule is needed; got ReLU"),
        (
            ("model=lightning", "model._target_=my_modules.Adversaries", "model.optimizer_index=2"),
            "optimizer=2 is none of those that Adversaries.configure_optimizers gives: 0 SGD, 1 SGD",
        ),
        (
            ("--config-dir", "conf", "data=points"),
            "data._target_=my_modules.Points gives a LightningDataModule, ",
        ),
        (
            ("--config-dir", "conf", *LIGHTNING, "data=points", "model.inputs=5", "finder.val_every=1"),
            "finder.val_every=1 needs validation data, ",
        ),
    ],
    ids=["manual", "no module", "no such optimizer", "data module alone", "no validation"],
)
def test_a_lightning_module_that_cannot_be_tested_is_named(
    overrides: tuple[str, ...], message: str, folder: Path
) -> None:
    """One line on standard error, exit status 1."""
    done = find_lr(*overrides, *FEW)
    assert done.code == 1
    assert done.err.startswith(message), done
