"""Launchers for clusters: what is refused before anything is sent, and what a training takes along."""

from __future__ import annotations

import pickle
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from command_line import FIND_LR, imported, process
from hydra_plugins.steadylr_launcher import RayLauncherConfig, SlurmLauncherConfig
from made_jobs import config_of
from steadylr.config import overrides
from steadylr.config.errors import BadInput
from steadylr.config.overrides import check_keys
from steadylr.jobs.launchers import engine_of
from steadylr.jobs.workers import LocalEngine
from steadylr.training.elsewhere import Needs, Parcel
from steadylr.training.identity import describe_training

OWN = ("model=own", "model._target_=own_net.layers.Net", "device.threads=1")


@pytest.mark.parametrize(
    ("name", "package", "extra"), [("ray", "ray", "ray"), ("slurm", "submitit", "slurm")]
)
def test_a_missing_package_is_named_before_anything_is_composed(
    monkeypatch: pytest.MonkeyPatch, name: str, package: str, extra: str
) -> None:
    """With the command that installs it."""
    monkeypatch.setattr(overrides, "find_spec", lambda _: None)
    with pytest.raises(
        BadInput, match=rf"steadylr_{name} needs {package}: pip install 'steadylr\[{extra}\]'"
    ):
        check_keys(["-m", f"hydra/launcher=steadylr_{name}"])


def test_a_missing_package_is_named_where_a_file_chose_the_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    """An experiment's, for example."""
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(BadInput, match=r"needs ray: pip install 'steadylr\[ray\]'"):
        engine_of(OmegaConf.structured(RayLauncherConfig))


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        (RayLauncherConfig(retries=3), "hydra.launcher.retries must be from 0 to 2; got 3"),
        (RayLauncherConfig(cores=0, gpus=-1.0), "hydra.launcher.gpus must be above 0, or null; got -1.0"),
        (SlurmLauncherConfig(cluster="moon"), "hydra.launcher.cluster must be one of slurm, local; got moon"),
        (SlurmLauncherConfig(cluster="local", minutes=0), "hydra.launcher.minutes must be at least 1; got 0"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: object, text: str) -> None:
    """By name, with what is allowed."""
    with pytest.raises(BadInput) as caught:
        engine_of(OmegaConf.structured(settings))
    assert text in str(caught.value)


def test_launchers_of_others_have_the_rest_trained_here() -> None:
    """The trials of for_length, for example."""
    basic = OmegaConf.create({"_target_": "hydra._internal.core_plugins.basic_launcher.BasicLauncher"})
    assert isinstance(engine_of(basic), LocalEngine)


def test_what_a_training_needs_follows_from_its_devices() -> None:
    """A core for each thread of each device, and a GPU for each on GPUs, unless the launcher says otherwise."""
    shared = ("device.strategy=ddp", "device.devices=2", "device.threads=3")
    on_cpu, on_gpu = (config_of(f"device={kind}", *shared).device for kind in ("cpu", "cuda"))
    assert Needs.of(on_cpu) == Needs(cores=6, gpus=0)
    assert Needs.of(on_gpu) == Needs(cores=6, gpus=2)
    one = config_of("device=cuda").device
    assert Needs.of(one) == Needs(cores=1, gpus=1)
    assert Needs.of(one, cores=4, gpus=0.5) == Needs(cores=4, gpus=0.5)
    assert Needs.of(one, cores=4).share(one).threads == 4


@pytest.mark.slow
def test_own_code_is_taken_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that sees neither folder nor path of the command trains with it; one with other code refuses."""
    package = tmp_path / "here" / "own_net"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "width.py").write_text("WIDTH = 8\n")
    (package / "layers.py").write_text(
        "from torch import nn\n\nfrom own_net.width import WIDTH\n\n\n"
        "def Net(num_classes: int, image_size: int) -> nn.Module:\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(image_size**2, WIDTH), nn.Linear(WIDTH, num_classes))\n"
    )
    monkeypatch.chdir(package.parent)
    monkeypatch.syspath_prepend(str(package.parent))
    config = config_of(*OWN, "finder.num_iter=40")
    training = describe_training(config)
    parcel = Parcel.of(config, training, None, share=Needs.of(config.device).share(config.device))
    assert sorted(parcel.code) == ["own_net/__init__.py", "own_net/layers.py", "own_net/width.py"]
    there = tmp_path / "there"
    there.mkdir()
    (there / "train.py").write_text(
        "import pickle, sys\nparcel = pickle.load(open('parcel', 'rb'))\nparcel.unpack()\n"
        "print(len(parcel.train().curve))\n"
    )
    moved = replace(parcel, folder=str(tmp_path / "nowhere"))
    (there / "parcel").write_bytes(pickle.dumps(moved))
    done = process("train.py", cwd=there)
    assert done.code == 0, done.err
    assert 10 < int(done.out) <= 40
    changed = {**parcel.code, "own_net/width.py": b"WIDTH = 9\n"}
    (there / "parcel").write_bytes(pickle.dumps(replace(moved, code=changed)))
    done = process("train.py", cwd=there)
    assert "would train something else than the one that asks, as they differ in own_code" in done.err


@pytest.mark.slow
def test_no_start_imports_a_cluster(tmp_path: Path) -> None:
    """Neither --help nor a dry run of a sweep here."""
    for arguments in (["--help"], ["-m", "seed=1,2", "dry_run=true"]):
        done = process("-X", "importtime", FIND_LR, *arguments, cwd=tmp_path)
        assert done.code == 0, done.err
        assert imported(done, "ray", "submitit", "steadylr.jobs.ray", "steadylr.jobs.slurm") == []
