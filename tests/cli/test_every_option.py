"""Every option of every group runs: a few steps on the default images, or on a few made here."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from command_line import Finished, find_lr, only_run
from steadylr.config.folder import config_folder, group_options, groups
from steadylr.store.records import RunRecord

pytestmark = pytest.mark.slow

CONF = Path(config_folder())
FEW = (
    "finder.num_iter=14",
    "finder.skip_start=2",
    "finder.skip_end=2",
    "device.threads=1",
    "store.enabled=false",
)
HERE = {"cpu", "auto"} | ({"cuda"} if torch.cuda.is_available() else set())
HERE |= {"mps"} if torch.backends.mps.is_available() else set()


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that the commands are run in; figures are not drawn."""
    from steadylr.jobs import job

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(job, "draw_run", lambda *_: None)
    return tmp_path


def ran(*overrides: str, points: int | None = None) -> RunRecord:
    """Run a few steps: the record that is left, whether or not so few steps give an answer."""
    done = find_lr(*FEW, *overrides)
    assert done.code in (0, 3), done
    record = RunRecord.read(only_run(Path.cwd()))
    assert 0 < record.run.num_points <= record.run.num_iter
    assert points is None or record.run.num_points == points
    return record


def options(group: str) -> list[str]:
    """All but `own`, which is nothing without a target."""
    return sorted(group_options(group, [CONF]) - {"own"})


def test_targets_of_ones_own_begin_with_nothing() -> None:
    """No key of a default option is in their way."""
    record = ran(
        *("model=own", "model._target_=steadylr.run.models.mlp"),
        *("optimizer=own", "optimizer._target_=torch.optim.Adagrad", "+optimizer.lr_decay=0.1"),
        *("loss=own", "loss._target_=torch.nn.CrossEntropyLoss", "data.batch_size=8"),
    )
    assert record.config["optimizer"]["arguments"] == {"lr_decay": 0.1}


def test_a_list_where_a_tensor_is_wanted_is_named_with_the_way_out() -> None:
    """And the way works."""
    weights = [1.0] * 10
    done = find_lr(*FEW, "model=mlp", f"+loss.weight={weights}", "hydra.run.dir=refused")
    assert done.code == 1
    assert f"weight: {{_target_: torch.tensor, data: {weights}}}" in done.err
    ran("model=mlp", f"+loss.weight={{_target_:torch.tensor,data:{weights}}}")


def test_every_group_is_run_here() -> None:
    """A new group of options can't be forgotten; trackers are run in tests/tracking."""
    run_here = {
        "model",
        "data",
        "augmentation",
        "optimizer",
        "loss",
        "finder",
        "device",
        "onecycle",
        "experiment",
    }
    assert set(groups([CONF])) == run_here | {"tracker"}


# ---- models


LARGE = {
    "vit_b_16": 2,
    "resnet50": 4,
    "convnext_tiny": 4,
    "resnet18": 8,
    "mobilenet_v3_small": 8,
    "torchvision": 8,
}


@pytest.mark.parametrize(
    "name", [name for name in options("model") if name not in ("timm", "huggingface", "lightning")]
)
def test_a_model_runs_on_the_default_images(name: str) -> None:
    """Images that are too small for a model are enlarged to what it takes, and the record says to what."""
    chosen = ["model.name=squeezenet1_1"] if name == "torchvision" else []
    record = ran(f"model={name}", *chosen, f"data.batch_size={LARGE.get(name, 32)}")
    least = yaml.safe_load((CONF / "model" / f"{name}.yaml").read_text())["min_image_size"]
    assert record.config["data"]["image_size"] == max(28, least)
    written = yaml.safe_load((only_run(Path.cwd()) / "config.yaml").read_text())
    assert written["data"]["image_size"] == max(28, least)


def test_an_image_size_that_is_given_wins() -> None:
    """data.image_size is not raised to what the model asks for: a size that it can't take is refused."""
    assert ran("model=resnet18", "data.image_size=20", "data.batch_size=4").config["data"]["image_size"] == 20
    done = find_lr(*FEW, "model=convnext_tiny", "data.image_size=20")
    assert done.code == 1
    assert done.err.startswith("model.name=convnext_tiny can't take images of data.image_size=20: ")


def test_a_model_of_ones_own_starts_from_a_file(folder: Path) -> None:
    """Weights of a file with another last layer are loaded, that layer is fresh, and all else can be frozen."""
    from steadylr.run.models import mlp

    model = mlp(3, 1, 28)
    torch.save(model.state_dict(), folder / "weights.pt")
    done = find_lr(*FEW, "model=mlp", "model.weights=weights.pt", "model.freeze=true")
    assert done.code in (0, 3), done
    assert "the last layer (5) is fresh" in done.out
    assert done.err == ""
    assert RunRecord.read(only_run(folder)).notes


def test_frozen_random_weights_are_warned_of() -> None:
    """It is allowed, and said on standard error."""
    done = find_lr(*FEW, "model=mlp", "model.freeze=true")
    assert done.code in (0, 3)
    assert done.err.startswith("WARNING: model.freeze=true without model.weights")


# ---- data


def write_images(root: Path, *, size: int = 40, count: int = 12) -> None:
    """An ImageNet-style tree of JPEG files in two classes."""
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        for name in ("cat", "dog"):
            (root / split / name).mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(0, 256, (size, size + number, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(root / split / name / f"{number}.jpg")


def write_cifar10(root: Path) -> None:
    """The files of CIFAR-10 as torchvision leaves them, with 20 images each."""
    rng = np.random.default_rng(0)
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    for name in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"):
        images = {
            "data": rng.integers(0, 256, (20, 3072), dtype=np.uint8),
            "labels": [i % 10 for i in range(20)],
        }
        (folder / name).write_bytes(pickle.dumps(images))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": [f"class {i}" for i in range(10)]}))


def write_fashion_mnist(root: Path) -> None:
    """The files of Fashion-MNIST as torchvision leaves them, with 100 and 20 images."""
    rng = np.random.default_rng(0)
    folder = root / "FashionMNIST" / "raw"
    folder.mkdir(parents=True)
    for part, count in (("train", 100), ("t10k", 20)):
        sizes = np.array([count, 28, 28], dtype=">u4").tobytes()
        pixels = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8).tobytes()
        (folder / f"{part}-images-idx3-ubyte").write_bytes(b"\0\0\x08\x03" + sizes + pixels)
        labels = bytes(i % 10 for i in range(count))
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(b"\0\0\x08\x01" + sizes[:4] + labels)


FILES: dict[str, Callable[[Path], None]] = {
    "imagefolder": write_images,
    "fashion_mnist": write_fashion_mnist,
    "cifar10": write_cifar10,
}


@pytest.mark.parametrize("name", options("data"))
def test_a_data_set_runs(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each data set is read in the format in which it lies on disk; the model follows its classes and channels."""
    from torchvision import datasets

    monkeypatch.setattr(
        datasets.CIFAR10, "_check_integrity", lambda self: True
    )  # files made here have other sums
    monkeypatch.setattr(datasets.CIFAR10, "_load_meta", _load_meta)
    if name in FILES:
        FILES[name](folder / "files")
    root = ["data.root=files"] if name in FILES else []
    record = ran(f"data={name}", *root, "model=mlp", "data.batch_size=8")
    native = {"imagefolder": 224, "cifar10": 32}
    assert record.config["data"]["image_size"] == native.get(name, 28)


def _load_meta(self: Any) -> None:
    self.classes = [f"class {i}" for i in range(10)]


def test_images_in_files_run_through_data_workers(folder: Path) -> None:
    """The curve is the same, bit for bit, with a data worker and without."""
    write_images(folder / "files")
    digests = []
    for workers in (0, 1):
        done = find_lr(*FEW, "data=imagefolder", "data.root=files", "data.image_size=32", "data.batch_size=6",
                       "augmentation=standard", f"data.workers={workers}", f"hydra.run.dir=run{workers}")  # fmt: skip
        assert done.code in (0, 3), done
        digests.append(RunRecord.read(folder / f"run{workers}").run.curve_digest)
    assert digests[0] == digests[1]


# ---- the other groups


@pytest.mark.parametrize("name", options("augmentation"))
def test_an_augmentation_runs(name: str) -> None:
    """Also where images are enlarged; the augment stream is used where something is drawn."""
    record = ran(f"augmentation={name}", "data.image_size=32", "data.batch_size=8")
    assert record.seeds["augment"].used == (name != "none")


@pytest.mark.parametrize("name", options("optimizer"))
def test_an_optimizer_runs(name: str) -> None:
    """Each trains, and its plan cycles a momentum that it has; Prodigy finds its own LR, so that ours may fail."""
    done = find_lr("finder=quick", "finder.num_iter=40", "device.threads=1", f"optimizer={name}", "model=mlp")
    assert done.code == 0 or (name == "prodigy" and done.code == 3), done
    kwargs = RunRecord.read(only_run(Path.cwd())).config["optimizer"]["arguments"]
    cycles = name == "adamw" or (name in ("sgd", "rmsprop") and bool(kwargs.get("momentum")))
    assert ("OneCycleLR(" in done.out) == (done.code == 0)
    assert ("cycle_momentum=False" in done.out) == (done.code == 0 and not cycles)


@pytest.mark.parametrize("name", options("loss"))
def test_a_loss_runs(name: str) -> None:
    """Cross entropy and squared error both train."""
    ran(f"loss={name}", "model=mlp")


@pytest.mark.parametrize("name", options("finder"))
def test_a_finder_runs(name: str) -> None:
    """Each ramp, shortened; its own rule is the headline."""
    done = find_lr(
        *(text for text in FEW if "num_iter" not in text),
        f"finder={name}",
        "finder.num_iter=120",
        "model=mlp",
    )
    record = RunRecord.read(only_run(Path.cwd()))
    assert done.code in (0, 3), done
    assert record.rule == record.config["finder"]["rule"]


@pytest.mark.parametrize("name", options("device"))
def test_a_device_runs_or_says_that_it_is_not_there(name: str) -> None:
    """No device is pretended."""
    if name in HERE:
        assert ran(f"device={name}", "model=mlp").device["kind"] in ("cpu", "cuda", "mps")
        return
    done = find_lr(*FEW, f"device={name}", "model=mlp")
    assert done.code == 1
    assert done.err.startswith(f"device.accelerator={name} is not there: this machine has ")


@pytest.mark.parametrize("name", options("onecycle"))
def test_a_onecycle_runs(name: str) -> None:
    """The plan follows the option."""
    done = find_lr("finder=quick", "finder.num_iter=40", "device.threads=1", f"onecycle={name}", "model=mlp")
    plan = RunRecord.read(only_run(Path.cwd())).plan
    assert plan is not None, done
    assert plan["cycle_momentum"] == (name == "default")


def test_the_quick_experiment_runs() -> None:
    """100 steps of the default model."""
    done = find_lr("+experiment=quick", "device.threads=1")
    assert done.code == 0, done
    assert RunRecord.read(only_run(Path.cwd())).run.num_iter == 100


def test_the_imagenet_experiment_runs_on_a_small_tree(folder: Path) -> None:
    """Standard augmentation at 224 pixels from JPEG files, in the memory layout for GPUs."""
    write_images(folder / "files", size=60, count=6)
    record = ran("+experiment=imagenet_local_dev", "data.root=files", "data.batch_size=2", "data.workers=0")
    assert record.config["data"]["image_size"] == 224
    assert record.device["channels_last"]


# ---- single values


def test_values_that_change_the_training_run() -> None:
    """Groups, accumulation, validation, no stop, lagging smoother, bfloat16, determinism, channels last."""
    record = ran(
        'optimizer.groups=[{pattern:"fc.*",lr_mult:10,weight_decay:0.0}]',
        *("finder.accumulation_steps=2", "finder.diverge_th=null", "finder.smoother=ema"),
        *("device.deterministic=true", "device.channels_last=true", "device.precision=bf16-mixed"),
        *("data.batch_size=16", "data.drop_last=false", "loss.label_smoothing=0.1"),
        points=14,
    )
    assert record.run.stop == "completed"
    assert record.device["precision"] == "bf16-mixed"
    assert record.device["deterministic"]


def test_validation_losses_make_the_curve(folder: Path) -> None:
    """Read every second step on fixed images, beside the training losses; rules read the validation's."""
    done = find_lr("finder=quick", "finder.num_iter=60", "finder.val_every=2", "finder.val_samples=200",
                   "finder.skip_start=3", "finder.skip_end=2", "device.threads=1", "model=mlp")  # fmt: skip
    assert done.code == 0, done
    with np.load(only_run(folder) / "curve.npz", allow_pickle=False) as arrays:
        sizes = {name: arrays[name].size for name in arrays.files}
    assert any("val" in name and 0 < size <= 30 for name, size in sizes.items()), sizes


@pytest.mark.parametrize("smoother", ["local_linear", "ema"])
@pytest.mark.parametrize("rule", ["bracket", "steepest", "valley", "slide", "minimum", "divergence", "smith"])
def test_every_rule_can_be_the_headline(rule: str, smoother: str) -> None:
    """The title, the plan and the exit code follow the rule that was picked."""
    tiny = ("finder=quick", "finder.num_iter=60", "device.threads=1", "model=mlp")
    done: Finished = find_lr(*tiny, f"finder.rule={rule}", f"finder.smoother={smoother}")
    record = RunRecord.read(only_run(Path.cwd()))
    chosen = record.suggestions[rule]
    assert done.code == (3 if chosen.lr is None else 0)
    assert (record.plan is None) == (chosen.lr is None)
    assert record.plan is None or record.plan["max_lr"] == chosen.lr
