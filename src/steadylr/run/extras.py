"""Packages that only some users have: imported when asked for, with the command that installs them."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType


class MissingPackage(ValueError):
    """A package that is needed for what was asked, and isn't installed."""


def needed(package: str, *, extra: str, by: str) -> ModuleType:
    """Import a package that an extra of this project brings.

    Args:
        package: what is imported.
        extra: the extra in pyproject.toml that brings it.
        by: what needs it, as the reader of the error would name it.

    Raises:
        MissingPackage: it isn't installed.
    """
    try:
        return import_module(package)
    except ModuleNotFoundError as error:
        if error.name is None or not package.startswith(error.name):
            raise  # it is there, and something that it needs itself is not
        raise MissingPackage(f"{by} needs {package}: pip install 'steadylr[{extra}]'") from error
