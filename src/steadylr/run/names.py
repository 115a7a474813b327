"""Names and keyword arguments from a config, checked without importing torch."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from steadylr.errors import InvalidValue

STREAMS = ("init", "order", "augment", "noise")
"""The random streams: weights, order of the samples, augmentation draws, the rest (dropout and the like)."""


def nearest(name: str, choices: Iterable[str], *, count: int = 3) -> tuple[str, ...]:
    """The choices that look most like a name, best first; empty when none comes close."""
    by_folded = {_folded(choice): choice for choice in choices}
    matches = difflib.get_close_matches(_folded(name), list(by_folded), n=count, cutoff=0.5)
    return tuple(by_folded[match] for match in matches)


def did_you_mean(name: str, choices: Collection[str], *, count: int = 3) -> str:
    """The end of an error message: near choices, or all of them when none is near and they are few."""
    near = nearest(name, choices, count=count)
    if near:
        return f"did you mean {' or '.join(near)}?"
    if len(choices) <= 20:
        return f"allowed: {', '.join(choices) or 'nothing'}"
    return f"{len(choices)} names are allowed, none like it"


def check_kwargs(kwargs: Mapping[str, Any], allowed: Collection[str], *, key: str) -> None:
    """Refuse keyword arguments that a config gives and nothing takes.

    Args:
        kwargs: what came.
        allowed: the names that are taken.
        key: the config key that they stand under, for the message.

    Raises:
        ValueError: naming the first unknown key and the nearest allowed ones.
    """
    for name in kwargs:
        if name not in allowed:
            raise InvalidValue(f"{key}.{name} is not known; {did_you_mean(str(name), sorted(allowed))}")


def keyword_names(function: Callable[..., Any], *, without: Collection[str] = ()) -> frozenset[str]:
    """The names that a function or class takes as keywords, less those in `without`."""
    parameters = inspect.signature(function).parameters.values()
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return frozenset(p.name for p in parameters if p.kind in kinds and p.name not in without)


def _folded(name: str) -> str:
    return name.lower().replace("-", "_")
