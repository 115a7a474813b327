"""Arguments that are of another type than they can be, refused by their names before anything is computed."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any

from steadylr.errors import InvalidValue


def check_whole(**given: Any) -> None:
    """Refuse what is no whole number; those of numpy are, True and 2.0 are not.

    Raises:
        InvalidValue: the first such argument by its name.
    """
    _check(Integral, "a whole number", given)


def check_numbers(**given: Any) -> None:
    """Refuse what is no number; those of numpy are, True is not.

    Raises:
        InvalidValue: the first such argument by its name.
    """
    _check(Real, "a number", given)


def check_kind(kind: type, **given: Any) -> None:
    """Refuse what is of another class.

    Raises:
        InvalidValue: the first such argument by its name.
    """
    _check(kind, f"a steadylr.{kind.__name__}", given)


def _check(kind: type, what: str, given: Mapping[str, Any]) -> None:
    for name, value in given.items():
        if isinstance(value, bool) or not isinstance(value, kind):
            raise InvalidValue(f"{name} must be {what}; got {_shown(value)}")


def _shown(value: Any) -> str:
    """A value as a message shows it: short, or else its class."""
    text = repr(value)
    return text if len(text) <= 80 and "\n" not in text else f"a {type(value).__name__}"
