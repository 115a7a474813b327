"""The wheel: what an installed steadylr brings along, and that it works from any folder."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from command_line import DEADLINE, environment, process

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
PROGRAM = """
import sys
sys.path.insert(0, sys.argv.pop(1))
import steadylr
from steadylr.config.folder import config_folder
from steadylr.cli.{module} import main
assert steadylr.__file__.startswith(sys.path[0]), steadylr.__file__
assert config_folder().startswith(sys.path[0]), config_folder()
main()
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this working copy, built without network."""
    folder = tmp_path_factory.mktemp("wheel")
    command = ["wheel", str(ROOT), "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), "--quiet"]
    subprocess.run([sys.executable, "-m", "pip", *command], check=True, timeout=DEADLINE, env=environment())
    (built,) = folder.glob("steadylr-*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path) -> Path:
    """A folder for sys.path that holds what the wheel would install."""
    folder = wheel.parent / "installed"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def test_the_wheel_holds_config_data_and_licences(wheel: Path) -> None:
    """Every YAML file, the embedded images with their licence, the launcher; no tests, no outputs."""
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    conf = {f"steadylr/conf/{path.relative_to(ROOT / 'conf')}" for path in (ROOT / "conf").rglob("*.yaml")}
    assert conf <= names
    assert "steadylr/run/embedded/fashion_mnist_mini.npz" in names
    assert "hydra_plugins/steadylr_launcher/__init__.py" in names
    assert "hydra_plugins/__init__.py" not in names
    assert any(name.endswith("LICENSE-fashion-mnist.txt") and ".dist-info/" in name for name in names)
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {"steadylr", "hydra_plugins"}


def test_the_wheel_installs_three_commands(installed: Path) -> None:
    """steadylr and its three companions each lead to a main() that is there."""
    import importlib

    (file,) = installed.glob("*.dist-info/entry_points.txt")
    entries = configparser.ConfigParser()
    entries.read(file)
    scripts = dict(entries["console_scripts"])
    names = {"steadylr", "steadylr-aggregate", "steadylr-report", "steadylr-store", "steadylr-verify"}
    names.add("steadylr-watch")
    assert set(scripts) == names
    for target in scripts.values():
        module, _, function = target.partition(":")
        assert callable(getattr(importlib.import_module(module), function))


def test_an_installed_steadylr_takes_the_users_own_code(installed: Path, tmp_path: Path) -> None:
    """The example, copied out of the repository: a sweep with its model, data and loss, then an edited model."""
    shutil.copytree(ROOT / "examples" / "bring_your_own", tmp_path, dirs_exist_ok=True)
    (command,) = re.findall(r"^steadylr (.*)$", (tmp_path / "README.md").read_text(), flags=re.M)
    short = ("seed=1,2", "device.threads=1", "finder.num_iter=40", "data.size=300", "sweep_name=own")
    arguments = [*command.replace(" seed=1,2,3", "").split(), *short]
    program = PROGRAM.format(module="find_lr")
    done = process("-c", program, installed, *arguments, cwd=tmp_path)
    assert done.out.startswith("2 jobs, 2 trainings")
    assert "signals.SignalNet on signals.train_and_validation" in done.out
    again = process("-c", program, installed, *arguments, "dry_run=true", cwd=tmp_path)
    assert again.out.startswith("2 jobs, 0 trainings")
    code = tmp_path / "signals.py"
    code.write_text(code.read_text().replace("nn.ReLU()", "nn.GELU()"))
    edited = process("-c", program, installed, *arguments, "dry_run=true", cwd=tmp_path)
    assert edited.out.startswith("2 jobs, 2 trainings")


def test_what_is_installed_works_from_a_foreign_folder(installed: Path, tmp_path: Path) -> None:
    """One run from an empty folder: the bundled config and images are used, everything lands there."""
    program = PROGRAM.format(module="find_lr")
    arguments = ("model=mlp", "finder=quick", "finder.num_iter=40", "device.threads=1")
    done = process("-c", program, installed, *arguments, cwd=tmp_path)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("mlp on fashion_mnist_mini, seed 0: LR ")
    assert (tmp_path / done.out.splitlines()[-1] / "record.json").is_file()
    listed = process("-c", PROGRAM.format(module="store"), installed, "list", cwd=tmp_path)
    assert "mlp on fashion_mnist_mini, 40 iterations" in listed.out
    again = process(
        "-c", PROGRAM.format(module="aggregate"), installed, "values=[0.02,0.03,0.04]", cwd=tmp_path
    )
    assert again.code == 0
