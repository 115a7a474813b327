"""Tests of what is taken of Lightning Fabric."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from steadylr.run.fabric import version_only


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A package that is installed, as far as Python can tell, and not imported."""
    name = "steady_slow_package"
    (tmp_path / f"{name}.py").write_text("__version__ = '1.2'\nwhole = True\n")
    info = tmp_path / f"{name}-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, name, raising=False)
    return name


def test_within_the_context_there_is_a_version_and_nothing_else(package: str) -> None:
    """A version is all that an import gives; afterwards the package itself is imported."""
    with version_only(package):
        inside = importlib.import_module(package)
        assert inside.__version__ == "1.2"
        assert not hasattr(inside, "whole")
    assert importlib.import_module(package).whole


def test_a_package_that_is_there_is_left_alone(package: str) -> None:
    """What has been imported stays what it is."""
    before = importlib.import_module(package)
    with version_only(package):
        assert importlib.import_module(package) is before
    assert sys.modules[package] is before


def test_a_package_that_is_not_installed_is_still_missing() -> None:
    """Nothing stands in for what isn't there."""
    with version_only("steady_no_such_package"), pytest.raises(ModuleNotFoundError):
        importlib.import_module("steady_no_such_package")


@pytest.mark.slow
def test_the_engine_comes_without_torchmetrics() -> None:
    """Fabric reads the version of torchmetrics and loads neither it nor what it brings; asked for, it is whole."""
    pytest.importorskip("torchmetrics")
    program = (
        "import sys, steadylr.run.range_test, steadylr.run.device\n"
        "print(sorted({'torchmetrics', 'torchvision', 'transformers'} & set(sys.modules)))\n"
        "import torchmetrics\n"
        "print(torchmetrics.Metric.__name__)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["[]", "Metric"]
