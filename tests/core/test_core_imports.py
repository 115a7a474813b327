"""core stands on numpy and scipy alone."""

from __future__ import annotations

import pkgutil
import subprocess
import sys

import steadylr.core

HEAVY = ("torch", "torchvision", "matplotlib", "hydra", "omegaconf", "rich", "pyarrow", "lightning_fabric")


def test_core_loads_neither_torch_nor_matplotlib_nor_hydra() -> None:
    """Every module of core is imported in a fresh process, and none of these comes along."""
    names = [module.name for module in pkgutil.walk_packages(steadylr.core.__path__, "steadylr.core.")]
    assert "steadylr.core.smoothing" in names
    code = (
        "import importlib, sys\n"
        f"for name in {names!r}: importlib.import_module(name)\n"
        f"print(' '.join(name for name in {HEAVY!r} if name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
