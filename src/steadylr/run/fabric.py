"""What is taken of Lightning Fabric, imported without what it does not need.

When it is imported, lightning-fabric imports torchmetrics, where that is installed, to read its version and nothing
else; torchmetrics brings torchvision and transformers along, and together they take several times as long as torch.
Here it reads the version off a stand-in.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType


@contextmanager
def version_only(package: str) -> Iterator[None]:
    """Within this context, importing a package gives a module that holds its `__version__` and nothing else.

    A package that is imported already, or that isn't installed, is left alone.
    """
    try:
        installed = None if package in sys.modules else version(package)
    except PackageNotFoundError:
        installed = None
    if installed is None:
        yield
        return
    stand_in = ModuleType(package)
    stand_in.__version__ = installed  # type: ignore[attr-defined]
    sys.modules[package] = stand_in
    try:
        yield
    finally:
        if sys.modules.get(package) is stand_in:
            del sys.modules[package]


with version_only("torchmetrics"):
    from lightning_fabric import Fabric
    from lightning_fabric.plugins.environments.lightning import LightningEnvironment
    from lightning_fabric.strategies.ddp import DDPStrategy
    from lightning_fabric.strategies.model_parallel import ModelParallelStrategy
    from lightning_fabric.strategies.strategy import Strategy
    from lightning_fabric.utilities.apply_func import move_data_to_device

__all__ = [
    "DDPStrategy",
    "Fabric",
    "LightningEnvironment",
    "ModelParallelStrategy",
    "Strategy",
    "move_data_to_device",
]
