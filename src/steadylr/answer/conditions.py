"""What a config trains, its seeds aside: runs that train the same thing are of one condition, and may be averaged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from steadylr.config.keys import ranges
from steadylr.config.schema import Config
from steadylr.core.settings import READING_KEYS
from steadylr.store.curve_store import run_key

if TYPE_CHECKING:
    from steadylr.store.records import RunRecord

Seeds = tuple[tuple[str, int], ...]
"""The seeds of a run, by stream, in the order of the streams' names."""

HOW_NOT_WHAT = frozenset(
    {"model.min_image_size", "data.root", "data.download", "data.workers", "data.pin_memory"}
)
UNSET = frozenset(
    {
        *("_target_", "kwargs", "as_step", "library", "is_lightning", "optimizer_index"),
        *("fingerprint", "own_code", "scout_steps"),
    }
)
"""Keys that say nothing of a run where they have no value."""


def check_recorded(config: Mapping[str, Any]) -> None:
    """Refuse a recorded config that no job of ours has left: what it holds is data, and nothing in it is followed.

    Raises:
        ValueError: a group that is none, a value that OmegaConf would resolve, such as "${oc.env:HOME}", or one outside
            of its range.
    """
    for name in ("model", "data", "augmentation", "optimizer", "loss", "finder", "device", "seeds"):
        if not isinstance(config.get(name), Mapping):
            raise ValueError(f"{name} must have keys of its own; got {config.get(name)!r}")
    for key, value in flat(config).items():
        if "${" in repr(value):
            raise ValueError(f"{key}={value!r}: a reference in a record is never followed")
    for key, allowed in ranges(Config).items():
        value = _at(config, key)
        if value is None:  # not set, or not known to the version that wrote it
            continue
        if isinstance(value, bool) or not isinstance(value, int | float) or not allowed.holds(value):
            raise ValueError(f"{key} must be {allowed.words()}; got {value!r}")


def _at(config: Mapping[str, Any], key: str) -> Any:
    """The value of a dotted key; None where there is none."""
    value: Any = config
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def check_key(record: RunRecord, stored_as: object) -> None:
    """Refuse a record whose config is not the one that its training and its key were made from.

    Args:
        record: of a job.
        stored_as: what the curve's file says that it is stored as; records of curves without it are not compared.

    Raises:
        ValueError: the config gives another key than the record's own.
    """
    if record.run.content_digest is None or not isinstance(
        stored_as, Mapping
    ):  # version 1, or made elsewhere
        return
    training, config = stored_as["training"], record.config
    reading = {"finder": config["finder"], "onecycle": config.get("onecycle")}
    made_from = run_key({"training": training, **reading}, stored_as["seeds"])
    if made_from != record.job_key:
        raise ValueError("its config does not give its own key")
    for group in ("model", "data", "optimizer", "loss", "finder", "device"):
        recorded = _as_written(config[group])
        for name, value in training.get(group, {}).items():
            if name in recorded and recorded[name] != value:
                raise ValueError(f"{group}.{name} is {recorded[name]!r}, and {value!r} was trained")


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
        key: value for key, value in flat(parts).items() if key not in left_out and not _is_unset(key, value)
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
    outer = {name: value for name, value in part.items() if name not in inner}
    return {**outer, **{name: value for key in inner for name, value in (part.get(key) or {}).items()}}


def _is_unset(key: str, value: Any) -> bool:
    return not value and key.rpartition(".")[2] in UNSET


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, with dotted keys."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found
