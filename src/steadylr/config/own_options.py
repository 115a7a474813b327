"""What a recorded config names beyond this project's own options: it would be imported, called, read or written to.

Whoever sends a sweep writes its records. What is no option of conf/ is therefore only told, until the user trusts it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from steadylr.config.folder import config_folder
from steadylr.config.located import TARGET
from steadylr.config.schema import TARGET_GROUPS
from steadylr.config.targets import TRANSFORMS, is_hydras

PUBLISHED = re.compile(r"[A-Z][A-Z0-9_]*")
"""What the names of published weights look like: DEFAULT, IMAGENET1K_V2. They never lead to a file elsewhere."""

BY_HUB = ("steadylr.run.transformers_model.transformers_model",)
"""Targets whose weights are a folder or anybody's model on a hub, whatever their name."""

TEXTS = frozenset({"name", "fingerprint", "groups"})
"""Keys of the schema that hold text which neither names a file nor code."""


def beyond_own_options(config: Mapping[str, Any]) -> list[str]:
    """What of a recorded config is more than an option of this project with other numbers, as "key=value".

    Own is a target that a YAML of conf/ names for its group, with numbers for any argument and texts for those that the
    YAML has. A target anywhere else, a file or folder, and what would be fetched are beyond that.

    Args:
        config: as a record has it; groups that are no mappings are left out, as nothing can be built of them.
    """
    groups = {name: part for name in TARGET_GROUPS if isinstance(part := config.get(name), Mapping)}
    transforms = groups.pop("augmentation", {}).get("transforms")
    if _is_set(groups.get("model", {}).get("is_lightning")):  # it brings the others itself
        groups = {name: part for name, part in groups.items() if name in ("model", "data")}
    found = [one for group, part in groups.items() for one in _beyond_group(group, part)]
    return [*found, *_beyond_transforms(transforms)]


@cache
def _own(group: str) -> dict[str, dict[str, Any]]:
    """By target the keys that the options of a group give to it, with their values."""
    import yaml

    found: dict[str, dict[str, Any]] = {}
    for file in sorted(Path(config_folder(), group).glob("*.yaml")):
        option = yaml.safe_load(file.read_text(encoding="utf-8"))
        entries = option["transforms"].values() if "transforms" in option else [option]
        for entry in entries:
            found.setdefault(entry[TARGET], {}).update(entry)
    found.pop("???", None)
    return found


def _beyond_group(group: str, part: Mapping[str, Any]) -> Iterator[str]:
    target = part.get(TARGET)
    own = _own(group).get(target) if isinstance(target, str) else None
    if own is None and target is not None:
        yield f"{group}.{TARGET}={target}"
    inner = part.get("arguments")
    given = [(name, value) for name, value in part.items() if name != TARGET]
    if isinstance(inner, Mapping):
        given = [entry for entry in given if entry[0] != "arguments"] + list(inner.items())
    for name, value in given:
        key = f"{group}.{name}"
        if key == "model.weights":
            if value is not None and not (PUBLISHED.fullmatch(str(value)) and target not in BY_HUB):
                yield f"{key}={value}"
        elif key == "data.root":
            if value is not None and value != (own or {}).get("root"):
                yield f"{key}={value}"
        elif key in ("data.download", "model.is_lightning"):
            if _is_set(value):
                yield f"{key}={value}"
        else:
            yield from _beyond_value(key, value, text=name in TEXTS or name in (own or {}))


def _beyond_transforms(transforms: Any) -> Iterator[str]:
    own = _own("augmentation")
    for name, entry in transforms.items() if isinstance(transforms, Mapping) else ():
        given = entry if isinstance(entry, Mapping) else {}
        target = given.get(TARGET, f"{TRANSFORMS}.{name}")
        known = own.get(target) if isinstance(target, str) else None
        key = f"augmentation.transforms.{name}"
        if known is None:
            yield f"{key}.{TARGET}={target}"
        for argument, value in given.items():
            if argument != TARGET:
                yield from _beyond_value(f"{key}.{argument}", value, text=argument in (known or {}))


def _beyond_value(key: str, value: Any, *, text: bool) -> Iterator[str]:
    """What an argument holds besides numbers, and besides texts where those are allowed."""
    name = key.rpartition(".")[2]
    if is_hydras(name):
        yield f"{key}={value}"
    elif isinstance(value, Mapping):
        for inner, own in value.items():
            yield from _beyond_value(f"{key}.{inner}", own, text=text)
    elif isinstance(value, list):
        for place, own in enumerate(value):
            yield from _beyond_value(f"{key}.{place}", own, text=text)
    elif isinstance(value, str) and not text:
        yield f"{key}={value}"


def _is_set(value: Any) -> bool:
    """Whether the config would take a value for true."""
    return value not in (None, False, 0, "false", "False", "no", "off", "0")
