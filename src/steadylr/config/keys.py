"""The keys of a schema, and the nearest ones to a key that it doesn't have."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, get_args, get_origin, get_type_hints

from steadylr.config.ranges import Key, Range

FREE = object()

ARGUMENTS = "arguments"
"""The field of a node that holds the keys which the schema does not know."""


@cache
def hints(node: type) -> dict[str, Any]:
    """The keys of one node of a schema, with their types."""
    return {name: hint for name, hint in get_type_hints(node).items() if name != ARGUMENTS}


def is_open(node: type) -> bool:
    """Whether any other key may stand in a node, as an argument of the target that it names."""
    return any(entry.name == ARGUMENTS for entry in fields(node))


@cache
def described(schema: type, prefix: str = "") -> dict[str, Key]:
    """What each key of a schema is; those inside of lists left out."""
    found: dict[str, Key] = {}
    for name, hint in get_type_hints(schema, include_extras=True).items():
        if isinstance(hint, type) and is_dataclass(hint):
            found |= described(hint, f"{prefix}{name}.")
        for about in getattr(hint, "__metadata__", ()):
            found[prefix + name] = about
    return found


@cache
def ranges(schema: type) -> dict[str, Range]:
    """The range of every number of a schema, by its key; those inside of lists left out."""
    return {key: about.allowed for key, about in described(schema).items() if about.allowed is not None}


def without_none(hint: Any) -> Any:
    """X of Optional[X]; anything else as it is."""
    kinds = [kind for kind in get_args(hint) if kind is not type(None)]
    is_optional = type(None) in get_args(hint) and len(kinds) == 1
    return kinds[0] if is_optional and get_origin(hint) not in (list, dict) else hint


def is_number(value: Any) -> bool:
    """Whether a value is a number, which OmegaConf would take for true or false."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _inside(hint: Any, part: str) -> Any:
    """The type of what one part of a key leads to; FREE where anything goes, None where nothing is."""
    hint = without_none(hint)
    if hint is FREE:
        return FREE
    if isinstance(hint, type) and is_dataclass(hint):
        return hints(hint).get(part, FREE if is_open(hint) else None)
    if get_origin(hint) is dict:
        value = without_none(get_args(hint)[1])
        return FREE if value is Any else value
    if get_origin(hint) is list and part.isdecimal():
        return get_args(hint)[0]
    return None


@cache
def all_keys(schema: type) -> tuple[str, ...]:
    """Every key of a schema, parents before their children."""

    def below(node: type, prefix: str) -> Iterator[str]:
        for name, hint in hints(node).items():
            yield prefix + name
            if isinstance(hint, type) and is_dataclass(hint):
                yield from below(hint, f"{prefix}{name}.")

    return tuple(below(schema, ""))


def hint_of(key: str, schema: type) -> Any:
    """The type of a key that a schema has; FREE where anything goes."""
    hint: Any = schema
    for part in key.split("."):
        inner = without_none(hint)
        hint = _inside(inner, part)
    return hint


def key_problem(key: str, schema: type, *, groups: Sequence[str] = ()) -> str | None:
    """None for a key that a schema has, else what is wrong, with the nearest keys or groups."""
    hint: Any = schema
    parts = key.split(".")
    for position, part in enumerate(parts):
        inside = _inside(hint, part)
        if inside is None:
            return _unknown_key(parts, position, without_none(hint), schema=schema, groups=groups)
        hint = inside
    return None


def _unknown_key(
    parts: Sequence[str], position: int, parent_hint: Any, *, schema: type, groups: Sequence[str]
) -> str:
    """The message about a key whose part at a position is not known."""
    parent, rest = ".".join(parts[:position]), parts[position:]
    start = f"{'.'.join(parts)} is not a key of the config"
    if not (isinstance(parent_hint, type) and is_dataclass(parent_hint)):
        return f"{start}: {parent} is a value, with no keys of its own"
    names = list(hints(parent_hint))
    if rest == ["lr"] and "lr_mult" in names:
        return f"{start}: the ramp sets the LR, and {parent}.lr_mult the multiple of it that this group gets"
    siblings = names if parent else [*names, *groups]
    if near := difflib.get_close_matches(rest[0], siblings, n=1, cutoff=0.7):
        meant = ".".join([*parts[:position], near[0], *rest[1:]])
        known = meant if key_problem(meant, schema) is None else ".".join([*parts[:position], near[0]])
        return f"{start}; did you mean {known}?"
    if elsewhere := _same_name_elsewhere(parts[-1], schema):
        return f"{start}; did you mean {' or '.join(elsewhere)}?"
    if not parent:
        return f"{start}; allowed: {', '.join(names)}"
    return f"{start}; {parent} has {', '.join(names)}"


def _same_name_elsewhere(name: str, schema: type) -> list[str]:
    """Keys that end in this name; none for names that several groups have."""
    if name in ("name", "_target_"):
        return []
    return [key for key in all_keys(schema) if key.rpartition(".")[2] == name]
