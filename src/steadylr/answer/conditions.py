"""What a config trains, its seeds aside: runs that train the same thing are of one condition, and may be averaged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from steadylr.core.settings import Reading

Seeds = tuple[tuple[str, int], ...]
"""The seeds of a run, by stream, in the order of the streams' names."""

READING_KEYS = frozenset({*Reading.__dataclass_fields__, "rule"})
HOW_NOT_WHAT = frozenset(
    {"model.min_image_size", "data.root", "data.download", "data.workers", "data.pin_memory"}
)
UNSET = frozenset(
    {"_target_", "kwargs", "as_step", "library", "is_lightning", "optimizer_index", "fingerprint", "own_code"}
)
"""Keys that say nothing of a run where they have no value."""


def check_recorded(config: Mapping[str, Any]) -> None:
    """Refuse a recorded config that no job of ours has left: what it holds is data, and nothing in it is followed.

    Raises:
        ValueError: a group that is none, or a value that OmegaConf would resolve, such as "${oc.env:HOME}".
    """
    for name in ("model", "data", "augmentation", "optimizer", "loss", "finder", "device", "seeds"):
        if not isinstance(config.get(name), Mapping):
            raise ValueError(f"{name} must have keys of its own; got {config.get(name)!r}")
    for key, value in _flat(config).items():
        if "${" in repr(value):
            raise ValueError(f"{key}={value!r}: a reference in a record is never followed")


def condition_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """What must be equal for the suggestions of two runs to be averaged: what is trained, by dotted key.

    Left out: seeds, how a curve is read, where data lie and how they are loaded, and how fast it went. A folder
    of images counts, as nothing else says which images they are.
    """
    parts = {
        name: _as_written(config[name]) for name in ("model", "data", "augmentation", "optimizer", "loss")
    }
    parts["finder"] = {key: value for key, value in config["finder"].items() if key not in READING_KEYS}
    device = config["device"]
    parts["device"] = {"precision": device["precision"]}
    if device.get("devices", 1) > 1:  # BatchNorm sees each device's share of a batch
        parts["device"]["devices"] = device["devices"]
    parts["own_code"] = config.get("own_code") or {}
    data = config["data"]
    is_folder = "imagefolder" in (data.get("name"), str(data.get("_target_")).rpartition(".")[2])
    left_out = HOW_NOT_WHAT - ({"data.root"} if is_folder else set())
    return {
        key: value for key, value in _flat(parts).items() if key not in left_out and not _is_unset(key, value)
    }


def condition_key(condition: Mapping[str, Any]) -> str:
    """A condition as text: equal for its runs."""
    return repr(sorted(condition.items(), key=lambda item: item[0]))


def seeds_of(config: Mapping[str, Any]) -> Seeds:
    """The seeds that a config gives to the random streams."""
    return tuple(sorted((str(name), int(seed)) for name, seed in config["seeds"].items()))


def optimizer_of(part: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """The target of a recorded optimizer, and its arguments; older records have a name in place of torch's classes."""
    path = part.get("_target_")
    if not path:
        path = part["name"] if "_" in part["name"] else f"torch.optim.{part['name']}"
    return path, part.get("arguments") or part.get("kwargs") or {}


def _as_written(part: Mapping[str, Any]) -> dict[str, Any]:
    """A group as its YAML has it: the arguments of its target stand beside _target_, in older records too."""
    if not part.get("_target_"):
        return dict(part)
    inner = ("arguments", "kwargs")
    flat = {name: value for name, value in part.items() if name not in inner}
    return {**flat, **{name: value for key in inner for name, value in (part.get(key) or {}).items()}}


def _is_unset(key: str, value: Any) -> bool:
    return not value and key.rpartition(".")[2] in UNSET


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, with dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
