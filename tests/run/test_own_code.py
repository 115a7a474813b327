"""The user's own code: found, read, identified and called by import path."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from steadylr.run.own_code import (
    OwnCodeError,
    bound,
    build,
    check_written_arguments,
    files_fingerprint,
    load,
    locate,
    source_fingerprint,
    targets_in,
)

MODULE = '''
"""A module that says when it is imported."""
import json
from own_parts import helper
LOADED = True

class Net:
    def __init__(self, hidden, *, inner=None):
        self.hidden, self.inner = hidden, inner

class Child(Net):
    pass

def loss(outputs, targets, weight=1.0):
    return weight * (outputs - targets)

def free(**kwargs):
    return kwargs

if True:
    conditional = free
'''


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder, with a module, a helper module and a package of the user's own."""
    (tmp_path / "own_module.py").write_text(MODULE)
    (tmp_path / "own_parts").mkdir()
    (tmp_path / "own_parts" / "__init__.py").write_text("from . import helper\nfrom .helper import Thing\n")
    (tmp_path / "own_parts" / "helper.py").write_text("import numpy\nclass Thing: pass\n")
    (tmp_path / "own_other.py").write_text("x = 1\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    importlib.invalidate_caches()
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("own_")]:
        del sys.modules[name]


def test_code_in_the_current_folder_is_found_without_importing_it(folder: Path) -> None:
    """Modules, modules in packages, names in packages and conditional names; nothing is run."""
    assert locate("own_module.Net", key="k").file == folder / "own_module.py"
    assert locate("own_parts.helper.Thing", key="k").module == "own_parts.helper"
    assert locate("own_parts.Thing", key="k").attribute == "Thing"
    assert locate("own_module.conditional", key="k").attribute == "conditional"
    assert not [name for name in sys.modules if name.startswith("own_")]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("Net", r"^model\._target_ must be an import path, a module and a name in it .* got 'Net'$"),
        (
            "own_modul.Net",
            r"no module own_modul: it must be a file own_modul\.py or a package in the current folder",
        ),
        ("own_module.Nett", r"own_module\.py has no Nett; did you mean Net\?$"),
        ("own_module.Net.missing", r"own_module has no Net\.missing$"),
        ("own module.Net", r"must be an import path"),
    ],
)
def test_a_path_that_leads_nowhere_is_told(folder: Path, path: str, message: str) -> None:
    """With the key, the file that was looked in, and near names."""
    with pytest.raises(OwnCodeError, match=message):
        load(path, key="model._target_")


def test_arguments_are_checked_from_the_source(folder: Path) -> None:
    """What the source tells is checked before anything is imported; what it does not tell passes."""
    with pytest.raises(
        OwnCodeError, match=r"^model\.hiden is not known; did you mean hidden\? .*own_module\.Net\)$"
    ):
        check_written_arguments(locate("own_module.Net", key="k"), {"hiden": 3}, prefix="model")
    for path in ("own_module.Child", "own_module.free", "own_module.conditional", "own_parts.Thing"):
        check_written_arguments(locate(path, key="k"), {"hiden": 3}, prefix="model")


def test_arguments_are_checked_again_when_it_is_called(folder: Path) -> None:
    """Inherited signatures, and arguments that are missing."""
    with pytest.raises(OwnCodeError, match=r"model\.hiden is not known"):
        build("own_module.Child", {"hiden": 3}, key="k", prefix="model")
    with pytest.raises(
        OwnCodeError, match=r"own_module\.Net\(.* can't be called with no arguments: missing .*'hidden'"
    ):
        build("own_module.Net", {}, key="k", prefix="model")
    with pytest.raises(OwnCodeError, match="must be a class or a function; it is True"):
        build("own_module.LOADED", {}, key="k", prefix="model")


def test_an_argument_may_be_built_itself(folder: Path) -> None:
    """At any depth; _partial_ leaves the call to whoever gets it."""
    inner = {"_target_": "own_module.free", "a": [{"_target_": "own_parts.Thing"}]}
    net = build("own_module.Net", {"hidden": 2, "inner": inner}, key="k", prefix="model")
    assert type(net.inner["a"][0]).__name__ == "Thing"
    later = {"_target_": "own_module.loss", "_partial_": True, "weight": 3}
    assert build("own_module.Net", {"hidden": 2, "inner": later}, key="k", prefix="model").inner(5, 3) == 6
    assert list(targets_in({"_target_": "a.b", "x": [inner]})) == [
        "a.b",
        "own_module.free",
        "own_parts.Thing",
    ]


def test_a_function_is_bound_and_a_class_is_made(folder: Path) -> None:
    """What is called later gets its arguments now."""
    assert bound("own_module.loss", {"weight": 2.0}, key="k", prefix="loss", filled=2)(3, 1) == 4
    with pytest.raises(OwnCodeError, match=r"loss\.wait is not known; did you mean weight"):
        bound("own_module.loss", {"wait": 2.0}, key="k", prefix="loss", filled=2)
    with pytest.raises(OwnCodeError, match="objects can be called"):
        bound("own_module.Net", {"hidden": 1}, key="k", prefix="loss", filled=2)


def test_the_sources_that_count_are_the_users_own(folder: Path) -> None:
    """The module, and what it imports of the user's own, directly or not; packages by version."""
    before = source_fingerprint(["own_module.Net"])
    (folder / "own_other.py").write_text("x = 2\n")
    assert source_fingerprint(["own_module.Net"]) == before
    assert set(before["packages"]) == {"numpy"}
    assert before["packages"]["numpy"]
    for file in ("own_module.py", "own_parts/__init__.py", "own_parts/helper.py"):
        text = (folder / file).read_text()
        (folder / file).write_text(text + "# changed\n")
        assert source_fingerprint(["own_module.Net"]) != before
        (folder / file).write_text(text)
    assert source_fingerprint(["own_module.Net"]) == before


def test_code_of_a_package_counts_by_its_version(folder: Path) -> None:
    """An installed class needs no source."""
    assert source_fingerprint(["torch.nn.Linear"])["packages"].keys() == {"torch"}


def test_a_file_that_cannot_be_read_as_python_says_where(folder: Path) -> None:
    """Before anything is trained."""
    (folder / "own_broken.py").write_text("x = 1\nclass :\n")
    with pytest.raises(OwnCodeError, match=r"own_broken\.py, line 2: invalid syntax"):
        locate("own_broken.Net", key="k")


def test_files_that_arguments_name_are_identified(folder: Path) -> None:
    """By size and time, folders at any depth; texts that name no file don't count."""
    named: Any = {"root": "data", "mode": "train", "sizes": [1, 2]}
    assert files_fingerprint(named) is None
    (folder / "data").mkdir()
    (folder / "data" / "a.csv").write_text("1")
    first = files_fingerprint(named)
    (folder / "data" / "a.csv").write_text("12")
    assert first is not None
    assert files_fingerprint(named) not in (None, first)
