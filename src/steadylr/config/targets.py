"""The user's own code in a config: `_target_` in the groups model, data, optimizer and loss."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf

from steadylr.config.schema import OWN_GROUPS, Config

if TYPE_CHECKING:
    from omegaconf import DictConfig

TARGET = "_target_"

USELESS = {
    "model": ("weights", "freeze"),
    "data": ("root", "download", "image_size", "mean", "std"),
    "optimizer": (),
    "loss": ("label_smoothing",),
}
"""Keys of the project's own options that mean nothing beside a _target_."""

STAND_INS: dict[str, dict[str, Any]] = {
    "model": {},
    "data": {"image_size": 1, "mean": [0.0], "std": [1.0]},
    "optimizer": {},
    "loss": {},
}
"""What keys that an option must have, and that mean nothing beside a _target_, are set to."""


def is_open(group: str, chosen: Mapping[str, Sequence[str]], folders: Sequence[Path]) -> bool:
    """Whether an option that is chosen for a group names the user's own code, so that any key may be its argument.

    Args:
        group: one of OWN_GROUPS.
        chosen: the options that the command line gives to each group.
        folders: the config folders.
    """
    options = list(chosen.get(group, ()))
    for experiment in chosen.get("experiment", ()):
        for text in _read_all("experiment", experiment, folders):
            options += [
                str(value)
                for entry in text.get("defaults", ())
                if isinstance(entry, Mapping)
                for key, value in entry.items()
                if str(key).removeprefix("override").strip() in (f"/{group}", group)
            ]
            if isinstance(text.get(group), Mapping) and TARGET in text[group]:
                return True
    return any(TARGET in text for option in options for text in _read_all(group, option, folders))


def _read_all(group: str, option: str, folders: Sequence[Path]) -> Iterator[Mapping[str, Any]]:
    """The YAML files of an option; one that can't be read is left to Hydra, which says why."""
    import yaml

    for folder in folders:
        file = folder / group / f"{option}.yaml"
        try:
            found = yaml.safe_load(file.read_text(encoding="utf-8")) if file.is_file() else None
        except (OSError, ValueError, yaml.YAMLError):
            continue
        if isinstance(found, Mapping):
            yield found


def with_stand_ins(cfg: DictConfig) -> DictConfig:
    """The config with values for keys that must be given and mean nothing beside a _target_; a copy if it has one.

    What the user's own code is called, unless the config says it, is its import path.
    """
    targets = {group: OmegaConf.select(cfg, f"{group}.{TARGET}") for group in OWN_GROUPS}
    if not any(targets.values()):
        return cfg
    filled = cfg.copy()
    OmegaConf.set_readonly(filled, False)
    for group, target in targets.items():
        if target:
            for name, value in {"name": target, **STAND_INS[group]}.items():
                if OmegaConf.is_missing(filled[group], name) or name not in filled[group]:
                    filled[group][name] = value
    return filled


def with_own_code(given: dict[str, Any]) -> None:
    """Bring groups with a _target_ into the form of the schema, in place: its arguments go into kwargs.

    Args:
        given: the whole config as plain values.
    """
    for group in OWN_GROUPS:
        part = given.get(group)
        if not isinstance(part, dict) or not part.get(TARGET):
            continue
        known = {entry.name for entry in fields(type(getattr(Config(), group)))}
        arguments = dict(part.get("kwargs") or {})
        for name in [name for name in part if name not in known]:
            value = part.pop(name)
            if name != "_partial_" or group not in ("optimizer", "loss"):  # these two are called later anyway
                arguments[name] = value
        part["kwargs"] = arguments


def own_problems(config: Config) -> Iterator[str]:
    """What is wrong with the user's own code in a config, as far as can be told without importing it."""
    for group in OWN_GROUPS:
        part = getattr(config, group)
        if part._target_ is not None:
            yield from _useless(group, part)
            yield from _argument_problems(part._target_, part.kwargs, key=f"{group}.{TARGET}", prefix=group)
            if group == "optimizer" and "lr" in part.kwargs:
                yield "optimizer.lr is the ramp's to set: take it out of optimizer's arguments"
        elif group == "data" and part.kwargs:
            yield f"data.kwargs has a meaning with data.{TARGET} only; got {part.kwargs}"
        elif group == "loss" and (part.kwargs or part.as_step):
            yield f"loss.kwargs and loss.as_step have a meaning with loss.{TARGET} only: name your function there"
    if config.data._target_ is not None and config.augmentation.transforms:
        yield (
            "augmentation works on the data sets of this project; with data._target_ your data set does it: "
            "take augmentation=none"
        )
    if config.loss.as_step and config.data._target_ is None and config.model._target_ is None:
        yield "loss.as_step=true is for data and models of your own: name one under data._target_ or model._target_"


def _useless(group: str, part: Any) -> Iterator[str]:
    for entry in fields(part):
        default = STAND_INS[group].get(entry.name, entry.default)
        value = getattr(part, entry.name)
        if entry.name in USELESS[group] and value != default:
            yield (
                f"{group}.{entry.name} has no meaning with {group}.{TARGET}={part._target_}: an argument of that name "
                f"goes below {group}.kwargs: +{group}.kwargs.{entry.name}={value}"
            )


def _argument_problems(path: str, kwargs: Mapping[str, Any], *, key: str, prefix: str) -> Iterator[str]:
    from steadylr.run.own_code import OwnCodeError, check_written_arguments, locate

    arguments = {name: value for name, value in kwargs.items() if name not in (TARGET, "_partial_")}
    try:
        check_written_arguments(locate(path, key=key), arguments, prefix=prefix)
    except OwnCodeError as error:
        yield str(error)
    for name, value in arguments.items():
        yield from _inner_problems(value, f"{prefix}.{name}")


def _inner_problems(value: Any, key: str) -> Iterator[str]:
    if isinstance(value, Mapping) and TARGET in value:
        yield from _argument_problems(str(value[TARGET]), value, key=f"{key}.{TARGET}", prefix=key)
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _inner_problems(inner, f"{key}.{name}")
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from _inner_problems(inner, f"{key}.{place}")


def own_code_of(config: Config) -> dict[str, Any] | None:
    """What identifies the user's own code in a config, with the files that its arguments name; None without any.

    Raises:
        OwnCodeError: a path that leads nowhere.
    """
    parts = [getattr(config, group) for group in OWN_GROUPS]
    own = [{TARGET: part._target_, "kwargs": part.kwargs} for part in parts if part._target_ is not None]
    if not own:
        return None
    from steadylr.run.own_code import files_fingerprint, source_fingerprint, targets_in

    return {
        **source_fingerprint(targets_in(own)),
        "files": files_fingerprint([part["kwargs"] for part in own]),
    }
