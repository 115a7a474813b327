"""Targets: found, read, identified and called by import path."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from steadylr.config.located import Located, Signature, TargetError, locate, written_signature
from steadylr.config.schema import Loss, Model
from steadylr.config.sources import files_fingerprint, reading_code, sources_of, targets_in
from steadylr.training.targets import NOTHING, Offers, called, load, target_of

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

def failing():
    return 1 / 0

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
    with pytest.raises(TargetError, match=message):
        load(path, key="model._target_")


def found(path: str) -> Located:
    return locate(path, key="k")


def test_a_signature_is_read_from_the_source(folder: Path) -> None:
    """Of functions and classes, inherited ones and imported names as well, without importing anything."""
    net = written_signature(found("own_module.Net"))
    assert net is not None
    assert (net.names, net.needed, net.more, net.is_class) == (("hidden", "inner"), {"hidden"}, False, True)
    assert written_signature(found("own_module.Child")) == net
    free = written_signature(found("own_module.free"))
    assert free is not None
    assert (free.names, free.more, free.is_class) == ((), True, False)
    loss = written_signature(found("own_module.loss"))
    assert loss is not None
    assert (loss.names, loss.needed) == (("outputs", "targets", "weight"), {"outputs", "targets"})
    assert not [name for name in sys.modules if name.startswith("own_")]


def test_what_a_source_does_not_tell_is_not_known(folder: Path) -> None:
    """A value, a class without an __init__ of its own that inherits none, a decorated function."""
    (folder / "own_odd.py").write_text(
        "import functools\n@functools.cache\ndef kept(a): pass\ndef twice(a): pass\ndef twice(b): pass\n"
    )
    for path in ("own_module.conditional", "own_parts.Thing", "own_odd.kept", "own_odd.twice"):
        assert written_signature(found(path)) is None


@pytest.mark.parametrize(
    ("path", "needed"),
    [
        ("torch.optim.SGD", {"params"}),
        ("torch.nn.CrossEntropyLoss", set()),
        ("torchvision.transforms.v2.RandomHorizontalFlip", set()),
        ("torchvision.transforms.v2.RandomCrop", {"size"}),
        ("schedulefree.AdamWScheduleFree", {"params"}),
        (
            "steadylr.run.torchvision_model.torchvision_classifier",
            {"name", "num_classes", "in_channels", "image_size"},
        ),
    ],
)
def test_signatures_of_packages_are_what_python_says(path: str, needed: set[str]) -> None:
    """Read through re-exports and bases; the same as those of the classes themselves."""
    written = written_signature(found(path))
    assert written is not None
    assert written.needed == needed
    assert written == Signature.of(load(path, key="k"))


def build(path: str, arguments: dict[str, Any], offers: Offers = NOTHING) -> Any:
    return called(target_of("model", Model(path, arguments=arguments), offers))


def test_arguments_are_checked_again_when_it_is_called(folder: Path) -> None:
    """Inherited signatures, and arguments that are missing."""
    with pytest.raises(TargetError, match=r"model\.hiden is not known"):
        build("own_module.Child", {"hiden": 3})
    with pytest.raises(
        TargetError, match=r"^model\.hidden is needed for model\._target_=own_module\.Net: give model"
    ):
        build("own_module.Net", {})
    with pytest.raises(TargetError, match="must be a class or a function; it is True"):
        build("own_module.LOADED", {})


def test_an_argument_may_be_built_itself(folder: Path) -> None:
    """At any depth; _partial_ leaves the call to whoever gets it; its own errors come as they are."""
    inner = {"_target_": "own_module.free", "a": [{"_target_": "own_parts.Thing"}]}
    net = build("own_module.Net", {"hidden": 2, "inner": inner})
    assert type(net.inner["a"][0]).__name__ == "Thing"
    later = {"_target_": "own_module.loss", "_partial_": True, "weight": 3}
    assert build("own_module.Net", {"hidden": 2, "inner": later}).inner(5, 3) == 6
    assert list(targets_in({"_target_": "a.b", "x": [inner]})) == [
        "a.b",
        "own_module.free",
        "own_parts.Thing",
    ]
    with pytest.raises(ZeroDivisionError):
        build("own_module.Net", {"hidden": 2, "inner": {"_target_": "own_module.failing"}})


def test_hydra_s_own_keys_beside_a_target_mean_what_they_mean_to_hydra(folder: Path) -> None:
    """Arguments by their place, which no offer fills a second time; conversion and recursion as asked for."""
    offers = {"hidden": lambda: pytest.fail("it is there by its place")}
    assert build("own_module.Net", {"_args_": [3]}, offers).hidden == 3
    inner = {"_target_": "own_module.loss", "_args_": [5, 3]}
    assert build("own_module.Net", {"hidden": 2, "inner": inner}).inner == 2
    assert build("own_module.Net", {"hidden": 2, "inner": inner, "_recursive_": False}).inner == inner
    as_is = build("own_module.Net", {"hidden": 2, "inner": {"a": 1}, "_convert_": "none"}).inner
    assert type(as_is).__name__ == "DictConfig"
    assert type(build("own_module.Net", {"hidden": 2, "inner": {"a": 1}}).inner) is dict
    for given, message in (
        ({"_args_": [3], "hidden": 2}, r"model\.hidden is given twice: model\._args_ has it as well"),
        ({"_args_": 3}, r"model\._args_ must be a list; got 3"),
        ({"hidden": 2, "_arg_": [3]}, r"model\._arg_ is not known"),
    ):
        with pytest.raises(TargetError, match=message):
            build("own_module.Net", given)
    with pytest.raises(
        TargetError, match=r"loss\._args_ has no place, as own_module\.loss is called with other"
    ):
        target_of("loss", Loss("own_module.loss", arguments={"_args_": [2.0]}))


def test_offers_are_taken_where_they_fit(folder: Path) -> None:
    """An argument that the config gives stays; null is as if it were not there; nothing is made in vain."""
    offers = {"inner": lambda: 5, "hidden": lambda: 1, "other": lambda: pytest.fail("nobody takes it")}
    net = called(target_of("model", Model("own_module.Net", arguments={"hidden": 2}), offers))
    assert (net.hidden, net.inner) == (2, 5)
    net = called(
        target_of("model", Model("own_module.Net", arguments={"hidden": 2}), {"inner": lambda: None})
    )
    assert net.inner is None


def test_a_function_is_bound_and_keeps_the_place_of_what_comes_later(folder: Path) -> None:
    """What is called later gets its arguments now."""
    assert target_of("loss", Loss("own_module.loss", arguments={"weight": 2.0}))(3, 1) == 4
    with pytest.raises(TargetError, match=r"loss\.wait is not known; did you mean weight"):
        target_of("loss", Loss("own_module.loss", arguments={"wait": 2.0}))


def fingerprint(path: str) -> dict[str, Any] | None:
    return sources_of([path]).fingerprint()


@pytest.mark.parametrize(
    ("code", "place"),
    [
        ("import torch\ndef data(size=3): return torch.randn(size)", None),
        ("from torch.utils.data import DataLoader\ndef data(): return DataLoader([1])", None),
        ("import numpy as np\ndef data(): return np.load('train.npy')", "line 2: load"),
        ("import torch\ndef other(): return torch.load('x')\ndef data(): return torch.ones(3)", None),
        ("import torch\ndef other(): return torch.load('x')\ndef data(): return other()", "line 2: load"),
        ("X = open('rows.csv').read()\ndef data(): return X", "line 1: "),
        ("import pandas\ndef data(): return pandas.DataFrame()", "line 1: pandas"),
        ("from pathlib import Path\ndef data(): return 3", "line 1: pathlib"),
        ("from own_reads import rows\ndef data(): return rows", "own_reads.py, line 1: genfromtxt"),
        ("import numpy as np\nclass data:\n  def __init__(self): self.x = np.memmap('x')", "line 3: memmap"),
        ("import torch\ndef data(): return getattr(torch, 'lo' + 'ad')('x')", "line 2: getattr"),
    ],
)
def test_code_that_may_read_files_is_seen(folder: Path, code: str, place: str | None) -> None:
    """By the packages that it imports and the names that it uses, what it does not need left out."""
    (folder / "own_reads.py").write_text("from numpy import genfromtxt\nrows = 3\n")
    (folder / "own_data.py").write_text(code)
    seen = reading_code(["own_data.data"])
    assert (seen is None) == (place is None), seen
    assert place is None or place in str(seen)


def test_installed_code_that_may_read_files_is_named(folder: Path) -> None:
    """Layers of torch read none; other packages may."""
    assert reading_code(["torch.nn.Linear"]) is None
    assert reading_code(["sklearn.datasets.load_digits"]) == "sklearn.datasets.load_digits"
    assert reading_code(["torchvision.datasets.FakeData"]) == "torchvision.datasets.FakeData"


def test_the_sources_that_count_are_the_users_own(folder: Path) -> None:
    """The module, and what it imports of the user's own, directly or not; packages by version."""
    before = fingerprint("own_module.Net")
    (folder / "own_other.py").write_text("x = 2\n")
    assert fingerprint("own_module.Net") == before
    assert before is not None
    assert set(before["packages"]) == {"numpy"}
    assert before["packages"]["numpy"]
    for file in ("own_module.py", "own_parts/__init__.py", "own_parts/helper.py"):
        text = (folder / file).read_text()
        (folder / file).write_text(text + "# changed\n")
        assert fingerprint("own_module.Net") != before
        (folder / file).write_text(text)
    assert fingerprint("own_module.Net") == before


def test_code_of_a_package_counts_by_its_version(folder: Path) -> None:
    """An installed class needs no source."""
    assert sources_of(["torch.nn.Linear"]).packages.keys() == {"torch"}
    assert fingerprint("torch.nn.Linear") is None


def test_a_file_that_cannot_be_read_as_python_says_where(folder: Path) -> None:
    """Before anything is trained."""
    (folder / "own_broken.py").write_text("x = 1\nclass :\n")
    with pytest.raises(TargetError, match=r"own_broken\.py, line 2: invalid syntax"):
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
