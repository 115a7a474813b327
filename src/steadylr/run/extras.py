"""Packages that only some users have: imported when asked for, with the command that installs them."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from steadylr.errors import InvalidValue

EXTRAS = {
    "schedulefree": "optimizers",
    "prodigyopt": "optimizers",
    "timm": "timm",
    "transformers": "hf",
    "lightning": "lightning",
    "ray": "ray",
    "submitit": "slurm",
    "tensorboard": "tensorboard",
    "mlflow": "mlflow",
    "wandb": "wandb",
}
"""The extra of this project that brings a package."""


class MissingPackage(InvalidValue):
    """A package that is needed for what was asked, and isn't installed."""


def needed(package: str, *, by: str) -> ModuleType:
    """Import one of the packages in EXTRAS.

    Args:
        package: what is imported.
        by: what needs it, as the reader of the error would name it.

    Raises:
        MissingPackage: it isn't installed.
    """
    try:
        return import_module(package)
    except ModuleNotFoundError as error:
        if error.name is None or not package.startswith(error.name):
            raise  # it is there, and something that it needs itself is not
        raise MissingPackage(missing_package(package, by=by)) from error


def missing_package(package: str, *, by: str) -> str:
    """The sentence for one of the packages in EXTRAS that isn't installed; by as in `needed`."""
    return f"{by} needs {package}: pip install 'steadylr[{EXTRAS[package]}]'"
