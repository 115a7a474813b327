"""The command line, checked before Hydra composes anything: keys, options, and the types of values."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, is_dataclass
from enum import Enum
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args, get_origin
from urllib.parse import unquote, urlparse

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from steadylr.config.command_line import CommandLine
from steadylr.config.errors import BadInput
from steadylr.config.folder import config_folder, group_options, groups
from steadylr.config.keys import FREE, hint_of, hints, is_number, key_problem, without_none
from steadylr.config.schema import Config
from steadylr.config.sweep_name import sweep_name_problem
from steadylr.run.extras import missing_package

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override


def check_keys(argv: Sequence[str], schema: type = Config) -> None:
    """Refuse a command line with keys that a schema doesn't have, or options that no group has.

    Args:
        argv: the command line without the program's name, Hydra's own options included.
        schema: the dataclass of the whole config.

    Raises:
        BadInput: see unknown_override and CommandLine.of.
    """
    line = CommandLine.of(argv)
    if line.is_question:
        return
    own = [line.options.config_dir] if line.options.config_dir else []
    replaced = line.options.config_path or line.options.config_name
    unknown_override(line.overrides, schema=schema, folders=None if replaced else [config_folder(), *own])


def unknown_override(
    overrides: Sequence[str], *, schema: type = Config, folders: Sequence[str | Path] | None = None
) -> None:
    """Refuse overrides whose key the schema doesn't have, whose option no group has, or that can't be read.

    Free are hydra.* and everything below augmentation.transforms. In the groups that name a target any key may be an
    argument of it: check_config tells.

    Args:
        overrides: as given on the command line, with or without +, ++ or ~.
        schema: the dataclass of the whole config.
        folders: the config folders, the project's first; None: options of groups are left to Hydra.

    Raises:
        BadInput: with the nearest names. All that is wrong is reported together.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    parser = OverridesParser.create()
    parsed: list[Override] = []
    problems: list[str] = []

    def parse(text: str) -> None:
        try:
            parsed.append(parser.parse_override(text))
        except HydraException:
            problems.append(_unreadable(text))

    for text in overrides:
        parse(text)
    known = _Folders.of(folders, parsed)
    problems += [problem for override in parsed for problem in _override_problems(override, known, schema)]
    if problems:
        raise BadInput.of(problems)


@dataclass(frozen=True, slots=True)
class _Folders:
    """The folders that groups are looked up in; options are only checked when all of them can be listed."""

    paths: tuple[Path, ...]
    complete: bool

    @classmethod
    def of(cls, folders: Sequence[str | Path] | None, overrides: Sequence[Override]) -> _Folders:
        added = [_local_path(entry) for override in overrides for entry in _searchpath(override)]
        own = folders if folders is not None else [config_folder()]
        paths = [Path(entry) for entry in [*own, *added] if entry is not None]
        complete = folders is not None and None not in added
        return cls(tuple(path for path in paths if os.path.isdir(path)), complete)


def _searchpath(override: Override) -> list[str]:
    if override.key_or_group != "hydra.searchpath":
        return []
    value = override.value()
    return [str(entry) for entry in value] if isinstance(value, list) else [str(value)]


def _local_path(entry: str) -> Path | None:
    """The folder that an entry of hydra.searchpath means; None for one inside a package."""
    parts = urlparse(entry)
    if parts.scheme not in ("", "file"):
        return None
    return Path(unquote(parts.path) if parts.scheme else entry)


def _unreadable(text: str) -> str:
    key, equals, value = text.partition("=")
    if not equals:
        return f"{text!r} can't be read as an override: write key=value, or ~key to take a key away"
    if re.search(r"^\s*,|,\s*(,|$)", value):
        return f"{text!r} can't be read as an override: a value is missing beside a comma"
    if any(value.count(opens) != value.count(closes) for opens, closes in ("()", "[]", "{}")):
        return (
            f"{text!r} can't be read as an override: a bracket has no counterpart; one that belongs to the value needs "
            f"quotes inside the shell's, {_quoted(key, value)}"
        )
    return (
        f"{text!r} can't be read as an override: a value with accents or characters such as ~ = ( ) [ ] {{ }} : needs "
        f"quotes inside the shell's, {_quoted(key, value)}"
    )


def _quoted(key: str, value: str) -> str:
    """An override whose value Hydra takes as it is."""
    return f"""'{key}="{value}"'""" if not re.search("[\"']", value) else "'key=\"value\"'"


def _override_problems(override: Override, folders: _Folders, schema: type) -> Iterator[str]:
    key = override.key_or_group
    names = groups(folders.paths)
    if (problem := _sweep_problem(override, is_group="/" in key or key in names)) is not None:
        yield problem
        return
    if key in PLUGINS:
        yield from _plugin_problems(override)
    if key == "hydra" or key.startswith(("hydra.", "hydra/")):
        return
    if "/" in key or key in names:
        if folders.complete and not override.is_delete():
            yield from _option_problems(override, folders.paths)
        return
    if (problem := key_problem(key, schema, groups=names)) is not None:
        yield problem
    elif key == "sweep_name" and not override.is_delete():
        yield from _sweep_name_override_problems(override)
    else:
        yield from _type_problems(override, schema)


def _sweep_problem(override: Override, *, is_group: bool) -> str | None:
    """What is wrong with the values that a key is to have one after the other; None for one value."""
    from hydra.core.override_parser.types import Glob

    if not override.is_sweep_override():
        return None
    given = override.input_line
    if not override.is_discrete_sweep():
        return (
            f"{given}: a sweep needs single values, and an interval has none; give them, "
            f"{override.key_or_group}=1,2,3, or range(0,5)"
        )
    if isinstance(override.value(), Glob):
        return (
            None if is_group else f"{given}: glob() chooses among the options of a group, and this is a key"
        )
    try:
        first = next(iter(override.sweep_iterator()), None)
    except ValueError as error:  # a step of 0
        return f"{given}: {error}"
    return None if first is not None else f"{given} has no values: there is nothing to run"


LAUNCHERS = {
    "joblib": "pip install 'steadylr[launchers]'",
    "submitit_local": "pip install 'steadylr[launchers]'",
    "submitit_slurm": "pip install 'steadylr[launchers]'",
    "ray": "pip install hydra-ray-launcher",
    "ray_aws": "pip install hydra-ray-launcher",
    "rq": "pip install hydra-rq-launcher",
}
"""Launchers of others, and what brings their plugins."""

OWN_LAUNCHERS = {"steadylr_ray": "ray", "steadylr_slurm": "submitit"}
"""Launchers of this project that need a package beside it."""

OPTIMIZING = ("optuna", "ax", "nevergrad")
"""Sweepers that look for the best value of an objective."""

PLUGINS = ("hydra/launcher", "hydra/sweeper", "hydra.launcher.backend")
"""Where plugins of Hydra are chosen, and the setting that one of them passes over."""


def _plugin_problems(override: Override) -> Iterator[str]:
    """What is known beforehand of plugins that aren't there, or can't be of use."""
    given = _given_options(override)
    if override.key_or_group == "hydra/launcher":
        for name in given:
            if name in LAUNCHERS and not _is_there("launcher", name):
                yield f"hydra/launcher={name} is a plugin that is not installed: {LAUNCHERS[name]}"
            elif name in OWN_LAUNCHERS and find_spec(OWN_LAUNCHERS[name]) is None:
                yield missing_package(OWN_LAUNCHERS[name], by=f"hydra/launcher={name}")
    elif override.key_or_group == "hydra/sweeper":
        for name in given:
            if name in OPTIMIZING:
                yield (
                    f"hydra/sweeper={name} looks for the best value of an objective, and there is none here: an LR is "
                    "no better for being larger or smaller. Sweep with -m over the values themselves, or let "
                    "-m +experiment=until_stable add seeds"
                )
    elif given and given != ["loky"]:
        yield (
            f"hydra.launcher.backend={given[0]} would be passed over: hydra-joblib-launcher runs all jobs by loky; "
            "leave it out"
        )


def _is_there(kind: str, name: str) -> bool:
    """Whether a plugin of Hydra has registered an option: plugins do so when Hydra looks for them."""
    from hydra.core.config_store import ConfigStore
    from hydra.core.plugins import Plugins

    Plugins.instance()
    registered = ConfigStore.instance().repo.get("hydra", {}).get(kind, {})
    return f"{name}.yaml" in registered


def _type_problems(override: Override, schema: type) -> Iterator[str]:
    """What is wrong with the types of the values that an override gives to a key, each value of a sweep alone."""
    key = override.key_or_group
    hint = hint_of(key, schema)
    if hint in (FREE, Any) or any(part.isdecimal() for part in key.split(".")):
        return
    group, _, rest = key.partition(".")
    within = without_none(hint_of(group, schema))
    # Only the group, as the whole takes ten times as long
    config, inside = (within, rest) if rest and is_dataclass(within) else (schema, key)
    node = OmegaConf.structured(config)
    for value in _given_values(override):
        if "${" in str(value):
            continue
        try:
            OmegaConf.update(node, inside, value, force_add=True)
            OmegaConf.to_container(node)
            fits = without_none(hint) is not bool or not is_number(value)
            fits = fits and not _has_a_list_inside(value)
        except OmegaConfBaseException:
            fits = False
        if not fits:
            shown = "null" if value is None else str(value).lower() if isinstance(value, bool) else value
            unknown = list(_unknown_in_entries(key, value, schema))
            yield from unknown or [f"{key} must be {type_words(hint)}; got {shown}"]


def _has_a_list_inside(value: Any) -> bool:
    """Whether a list holds lists, which OmegaConf takes for words; no key has such."""
    return isinstance(value, list) and any(isinstance(entry, list) for entry in value)


def _unknown_in_entries(key: str, value: Any, schema: type) -> Iterator[str]:
    """The unknown keys of the mappings in a list."""
    entries = enumerate(value) if isinstance(value, list) else ()
    for position, entry in entries:
        for name in entry if isinstance(entry, dict) else ():
            if (problem := key_problem(f"{key}.{position}.{name}", schema)) is not None:
                yield problem


def _given_values(override: Override) -> list[Any]:
    """The values that an override gives to its key; none where only Hydra can tell."""
    from hydra.core.override_parser.types import ValueType

    if override.is_delete():
        return []
    if override.value_type == ValueType.ELEMENT:
        return [override.value()]
    if override.value_type in (ValueType.CHOICE_SWEEP, ValueType.SIMPLE_CHOICE_SWEEP):
        return [getattr(value, "text", value) for value in override.sweep_iterator()]
    return []


_WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}

_PLURALS = {int: "whole numbers", float: "numbers", str: "texts"}


def type_words(hint: Any) -> str:
    """A type as one would say it."""
    kind = without_none(hint)
    end = " or null" if kind is not hint else ""
    if kind in _WORDS:
        return _WORDS[kind] + end
    if isinstance(kind, type) and issubclass(kind, Enum):
        return f"one of {', '.join(str(member.value) for member in kind)}{end}"
    if get_origin(kind) is list:
        element = get_args(kind)[0]
        if isinstance(element, type) and is_dataclass(element):
            return f"a list of mappings with {', '.join(hints(element))}{end}"
        if isinstance(element, type) and issubclass(element, Enum):
            return f"a list of {', '.join(str(member.value) for member in element)}{end}"
        return f"a list of {_PLURALS[element]}{end}"
    if isinstance(kind, type) and is_dataclass(kind):
        return f"a mapping with {', '.join(hints(kind))}{end}"
    return f"a mapping{end}"


def _option_problems(override: Override, folders: Sequence[Path]) -> Iterator[str]:
    group = override.key_or_group
    options = sorted(group_options(group, folders))
    if override.value_type is None or override.value() is None:
        yield f"{group}=null: a group needs one of its options; allowed: {', '.join(options)}"
        return
    for option in _given_options(override):
        if any(os.path.isfile(folder / group / f"{option}.yaml") for folder in folders):
            continue
        near = difflib.get_close_matches(option, options, n=2, cutoff=0.6)
        allowed = f"allowed: {', '.join(options) or 'nothing, as no folder has this group'}"
        hint = f"did you mean {' or '.join(near)}?" if near else allowed
        if group == "model":
            hint += f" (any classifier of torchvision: model=torchvision model.name={option})"
        yield f"{group}={option} is not an option of {group}; {hint}"


def _given_options(override: Override) -> list[str]:
    from hydra.core.override_parser.types import ValueType

    if override.value_type in (ValueType.CHOICE_SWEEP, ValueType.SIMPLE_CHOICE_SWEEP):
        values: list[Any] = [_plain_text(entry) for entry in override.sweep_iterator()]
    elif override.value_type == ValueType.ELEMENT:
        value = override.value()
        values = value if isinstance(value, list) else [value]
    else:
        return []
    texts = [str(value).removesuffix(".yaml") for value in values if value is not None]
    return [text for text in texts if text not in ("", "null") and "${" not in text]


def _plain_text(value: Any) -> str:
    return str(getattr(value, "text", value)).strip("\"'")


def _sweep_name_override_problems(override: Override) -> Iterator[str]:
    given = (override.input_line or "").partition("=")[2]
    if override.is_sweep_override():
        yield f"sweep_name names one folder; got {given!r}: give one name"
        return
    value = override.value()
    if isinstance(value, str) and "${" in value:
        return
    if (problem := sweep_name_problem(value, given=given)) is not None:
        yield problem
