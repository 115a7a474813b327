"""The public names."""

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import steadylr


def test_every_public_name_is_there():
    """Each name in __all__ can be had, and its home module defines it."""
    for name in steadylr.__all__:
        value = getattr(steadylr, name)
        assert value.__module__.startswith("steadylr.")
        assert name in dir(steadylr)


def test_an_unknown_name_is_an_attribute_error():
    """A name that isn't public raises AttributeError and names itself."""
    with pytest.raises(AttributeError, match="no attribute 'rang_test'"):
        _ = steadylr.rang_test


def test_importing_the_package_imports_no_heavy_library():
    """import steadylr loads neither torch nor numpy: they come with the first name that needs them."""
    code = "import sys, steadylr; print(sorted({'torch', 'numpy', 'scipy', 'matplotlib'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_names_that_type_checkers_see_are_those_that_are_there():
    """The table and the imports beside it name the same."""
    source = Path(steadylr.__file__).read_text()
    (block,) = (node for node in ast.parse(source).body if isinstance(node, ast.If))
    seen = {
        (node.module, alias.name)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert {name for _, name in seen} == set(steadylr.__all__)
    assert all(getattr(import_module(module), name) is getattr(steadylr, name) for module, name in seen)


@pytest.mark.slow
def test_what_is_imported_is_what_is_needed():
    """A range test loads neither Hydra nor the answers' libraries, nor rich where nothing is shown.

    A training by a config loads no library that only some users have: neither Lightning nor timm, and not what Fabric
    would load beside them, torchmetrics and transformers.
    """
    code = """if True:
    import sys, steadylr, torch
    model = torch.nn.Linear(1, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=1)
    pair = torch.ones(2, 1), torch.ones(2, 1)
    ramp = steadylr.Ramp(1e-3, 1e-2, 3)
    result = steadylr.range_test(model, optimizer, [pair], torch.nn.functional.mse_loss, ramp)
    print(*sys.modules)
    import steadylr.huggingface, steadylr.training.build
    print(*sys.modules)
    result._repr_html_()
    print(*sys.modules)
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    engine, training, notebook = (set(line.split()) for line in done.stdout.splitlines())
    heavy = {"hydra", "omegaconf", "rich", "scipy", "matplotlib", "pyarrow", "torchvision", "torchmetrics"}
    assert heavy & engine == set()
    assert {"lightning", "pytorch_lightning", "timm", "torchmetrics", "transformers"} & training == set()
    assert {"torch", "omegaconf", "lightning_fabric"} <= training  # the way to look works
    assert "matplotlib" not in training
    assert {"rich", "matplotlib"} <= notebook  # once a notebook shows the result
