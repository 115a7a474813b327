"""The targets of a config: what each group calls, with which arguments, and what is wrong with that."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any

from steadylr.config.folder import config_folder, group_options
from steadylr.config.located import (
    TARGET,
    Located,
    Signature,
    TargetError,
    locate,
    names_in,
    written_signature,
)
from steadylr.config.schema import Augmentation, Config, Data, Loss, Model, Optimizer
from steadylr.config.sources import files_fingerprint, reading_code, targets_in
from steadylr.run.names import did_you_mean, nearest

Part = Model | Data | Optimizer | Loss

OFFERED: dict[str, tuple[str, ...]] = {
    "model": ("num_classes", "in_channels", "image_size"),
    "data": ("augmentation", "channels_last"),
    "augmentation": ("size",),
    "optimizer": ("lr", "model"),
    "loss": ("num_classes",),
}
"""What follows from the rest of a training, and is given to a target that takes an argument of that name."""

FILLED = {"optimizer": 1, "loss": 2}
"""How many positional arguments a function is given when it is called: parameters, or outputs and targets."""

OWN = ("model", "data", "optimizer", "loss")
"""The groups with an option that holds nothing but a place for the user's own target."""

PASSED = {
    "model": ("name", "weights", "freeze"),
    "data": ("name", "root", "download", "image_size", "mean", "std", "batch_size", "drop_last"),
    "optimizer": ("weight_decay",),
    "loss": ("label_smoothing",),
}
"""Keys of the schema that are given to a target that takes an argument of that name; null counts as not given."""

FOR_THE_TARGET = {
    "model": (),
    "data": ("root", "download", "image_size", "mean", "std"),
    "optimizer": (),
    "loss": ("label_smoothing",),
}
"""Those of them that mean nothing to a target that does not take them."""

TRANSFORMS = "torchvision.transforms.v2"
"""Where a transform comes from whose entry names no target."""


RAMPED = "is the ramp's to set, from finder.start_lr to finder.end_lr"
"""Why no optimizer takes an LR."""

EXAMPLES = {
    "model._target_": "my_module.MyModel, or take one of the options of model",
    "model.name": "regnet_y_400mf",
    "data.root": "/path/to/images",
}
"""How keys are given that must be."""


def parts_of(config: Config) -> dict[str, Part]:
    """The groups of a config that name one target each; without those that a LightningModule brings itself."""
    parts: dict[str, Part] = {"model": config.model, "data": config.data}
    return (
        parts if config.model.is_lightning else {**parts, "optimizer": config.optimizer, "loss": config.loss}
    )


def transforms_of(augmentation: Augmentation) -> dict[str, dict[str, Any]]:
    """The transforms with their targets; an entry that names none is one of torchvision's, by its class name."""
    return {
        str(name): {TARGET: f"{TRANSFORMS}.{name}", **(entry or {})}
        for name, entry in augmentation.transforms.items()
    }


def arguments_of(group: str, part: Part, signature: Signature | None) -> dict[str, Any]:
    """The arguments that a config gives to the target of a group.

    Args:
        group: its name.
        part: its part of the config.
        signature: what the target takes; None where that isn't known.
    """
    shared = (
        {}
        if signature is None
        else {
            name: getattr(part, name)
            for name in PASSED[group]
            if signature.takes(name) and name not in signature.by_place(part.arguments)
        }
    )
    return {name: value for name, value in shared.items() if value is not None} | part.arguments


def targets_of(config: Config) -> list[str]:
    """All import paths in a config."""
    parts = [{TARGET: part._target_, "arguments": part.arguments} for part in parts_of(config).values()]
    return list(targets_in([*parts, transforms_of(config.augmentation)]))


def signature_of(path: str, *, key: str = TARGET) -> Signature | None:
    """What the class or function behind an import path takes, read from its source; None where that does not tell.

    Raises:
        TargetError: a path that leads nowhere.
    """
    return written_signature(locate(path, key=key))


# ---- what is wrong


def target_problems(config: Config) -> Iterator[str]:
    """What is wrong with the targets of a config and their arguments, as far as can be told without importing them."""
    for group, part in parts_of(config).items():
        yield from _part_problems(group, part)
    for name, entry in transforms_of(config.augmentation).items():
        prefix = f"augmentation.transforms.{name}"
        yield from _call_problems(entry, prefix=prefix, offered=OFFERED["augmentation"])
    if config.augmentation.transforms and not _takes(config.data._target_, "augmentation"):
        yield (
            f"augmentation is handed to data that take an argument of that name, and {config.data._target_} does not: "
            "let your data set do it, and take augmentation=none"
        )
    ours = config.data._target_.startswith("steadylr.") and config.model._target_.startswith("steadylr.")
    if config.loss.as_step and ours:
        yield "loss.as_step=true is for data and models of your own: name one under data._target_ or model._target_"


def _takes(path: str, name: str) -> bool:
    """Whether a target takes an argument of this name; True where that can't be told."""
    try:
        signature = signature_of(path)
    except TargetError:
        return True  # which is told elsewhere
    return signature is None or signature.takes(name)


def _part_problems(group: str, part: Part) -> Iterator[str]:
    key = f"{group}.{TARGET}"
    try:
        target = locate(part._target_, key=key)
        signature = written_signature(target)
    except TargetError as error:
        yield str(error)
        return
    moved = dict(_moved(group, part, target, signature))
    yield from moved.values()
    if group == "optimizer" and "lr" in part.arguments:
        moved["lr"] = f"optimizer.lr {RAMPED}: take it out of optimizer's arguments"
        yield moved["lr"]
    given = {name: value for name, value in part.arguments.items() if name not in moved}
    if signature is not None:
        yield from _useless(group, part, signature)
        declared = [entry.name for entry in fields(part) if entry.name != "arguments"]
        filled = 0 if group == "loss" and signature.is_class else FILLED.get(group, 0)
        known = arguments_of(group, part, signature) | dict.fromkeys(OFFERED[group])
        yield from argument_problems(
            part._target_, signature, given, prefix=group, known=known, filled=filled, near=declared
        )
    for name, value in given.items():
        yield from _inner_problems(value, f"{group}.{name}")


def _useless(group: str, part: Part, signature: Signature) -> Iterator[str]:
    """Keys of the schema that are for a target which does not take them."""
    for entry in fields(part):
        value = getattr(part, entry.name)
        if entry.name in FOR_THE_TARGET[group] and value != entry.default and not signature.takes(entry.name):
            yield (
                f"{group}.{entry.name} has no meaning with {group}.{TARGET}={part._target_}, which takes no "
                f"argument of that name; got {value}"
            )


def argument_problems(
    path: str,
    signature: Signature,
    given: Mapping[str, Any],
    *,
    prefix: str,
    known: Mapping[str, Any],
    filled: int = 0,
    near: Sequence[str] = (),
) -> Iterator[str]:
    """Arguments that a target does not take, with the nearest names, and those that it lacks.

    Args:
        path: of the target.
        signature: what it takes.
        given: the arguments that a config names; those under _args_ by their place.
        prefix: the config key that they stand under.
        known: all arguments that it will be given by name.
        filled: how many positional ones come before them.
        near: other names that may have been meant.
    """
    own = [name for name in signature.names[filled:] if name != "lr" or prefix != "optimizer"]
    by_place = given.get("_args_", [])
    if not isinstance(by_place, list) or (by_place and filled):
        why = (
            "must be a list"
            if not filled
            else f"has no place, as {path} is called with other arguments first"
        )
        yield f"{prefix}._args_ {why}; got {by_place}: give arguments by name"
        return
    placed = signature.by_place(given)
    for name in given:
        if name in placed:
            yield f"{prefix}.{name} is given twice: {prefix}._args_ has it as well"
        if name not in own and not signature.more and not is_hydras(name):
            hint = did_you_mean(str(name), sorted({*own, *near}))
            afresh = f", {prefix}=own begins without any" if prefix in OWN else ""
            about = f"(these are the arguments of {path}; ~{prefix}.{name} takes it away{afresh})"
            yield f"{prefix}.{name} is not known; {hint} {about}"
    for name in own:
        if name in signature.needed and name not in known and name not in placed:
            key = f"{prefix}.{name}"
            yield f"{key} is needed for {prefix}.{TARGET}={path}: give {key}={EXAMPLES.get(key, 'VALUE')}"


def _call_problems(entry: Mapping[str, Any], *, prefix: str, offered: Sequence[str] = ()) -> Iterator[str]:
    """What is wrong with one target and its arguments, at any depth."""
    path = str(entry[TARGET])
    given = {name: value for name, value in entry.items() if name != TARGET}
    try:
        signature = signature_of(path, key=f"{prefix}.{TARGET}")
    except TargetError as error:
        yield str(error)
        return
    if signature is not None:
        known = dict.fromkeys((*offered, *given, *(signature.names if entry.get("_partial_") else ())))
        yield from argument_problems(path, signature, given, prefix=prefix, known=known)
    for name, value in given.items():
        yield from _inner_problems(value, f"{prefix}.{name}")


def is_hydras(name: str) -> bool:
    """Whether a key says how Hydra calls a target, and is no argument of it."""
    return name in (TARGET, "_args_", "_convert_", "_partial_", "_recursive_")


def _inner_problems(value: Any, prefix: str) -> Iterator[str]:
    if isinstance(value, Mapping) and TARGET in value:
        yield from _call_problems(value, prefix=prefix)
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _inner_problems(inner, f"{prefix}.{name}")
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from _inner_problems(inner, f"{prefix}.{place}")


# ---- keys that have moved


def _moved(group: str, part: Part, target: Located, signature: Signature | None) -> Iterator[tuple[str, str]]:
    """Keys of earlier versions, each with what stands in its place now."""
    given = part.arguments
    taken = () if signature is None else signature.names
    if isinstance(given.get("kwargs"), Mapping) and "kwargs" not in taken:
        moved = [
            f"{group}.kwargs.lr {RAMPED}"
            if (group, name) == ("optimizer", "lr")
            else f"{group}.kwargs.{name} is now {group}.{name}"
            for name in given["kwargs"]
        ]
        yield (
            "kwargs",
            "; ".join(moved or [f"{group}.kwargs is gone"]) + f": arguments stand beside {group}.{TARGET}",
        )
    if group == "model" and "library" in given and "library" not in taken:
        yield (
            "library",
            (
                "model.library is gone: take model=timm or model=huggingface, or put is_lightning: true beside the "
                "_target_ of a LightningModule"
            ),
        )
    if group in ("optimizer", "loss") and "name" in given and "name" not in taken:
        yield "name", f"{group}.name is now {group}.{TARGET}; {_meant(group, str(given['name']))}"
    if isinstance(part, Model | Data) and part.name is not None and target.path.startswith("steadylr."):
        called = target.attribute.lower()
        if "name" not in taken and part.name.replace("_", "").lower() != called.replace("_", ""):
            yield (
                "name",
                f"{group}.name={part.name} is another than {group}.{TARGET}={target.path}: {_option(group, part.name)}",
            )


def _option(group: str, name: str) -> str:
    """How an option is taken that has such a name; where there is none, the nearest ones."""
    options = sorted(group_options(group, [config_folder()]))
    if name in options:
        return f"take {group}={name}"
    hint = f"{group} has no option of that name; {did_you_mean(name, options, count=2)}"
    also = " (any classifier of torchvision: model=torchvision model.name=NAME)" if group == "model" else ""
    return hint + also


def _meant(group: str, name: str) -> str:
    """What an earlier version called by a name: an option, or a class of torch.optim."""
    options = sorted(group_options(group, [config_folder()]))
    if name in options or group != "optimizer":
        return f"take {group}={nearest(name, options, count=1)[0] if nearest(name, options) else options[0]}"
    file = locate("torch.optim.SGD", key=TARGET).file
    classes = [each for each in (names_in(file) if file is not None else None) or () if each[:1].isupper()]
    return did_you_mean(
        f"{group}.{TARGET}=torch.optim.{name}",
        [f"{group}.{TARGET}=torch.optim.{each}" for each in classes],
        count=1,
    )


# ---- what can be identified, and what can't


def named_files(config: Config) -> dict[str, str]:
    """By group what the files and folders are that its arguments name; see files_fingerprint.

    Left out: groups that name none, and the data of this project, which have a fingerprint of their own.
    """
    found: dict[str, str] = {}
    for group, (targets, named) in _foreign(config).items():
        fingerprint = files_fingerprint(named) if targets else None
        if fingerprint is not None:
            found[group] = fingerprint
    return found


def unidentified(config: Config) -> str | None:
    """Why a training can't be told from another one by its key, and what to do; None where it can.

    Code of the user's own that may read files which no argument of its group names could give other numbers the next
    time. So may installed code, unless it is of one of QUIET's packages.
    """
    if config.data.fingerprint is not None:
        return None
    named = named_files(config)
    for group, (targets, _) in _foreign(config).items():
        place = None if group in named else reading_code(targets)
        if place is not None:
            return (
                f"this training is not kept for later, as {group}.{TARGET}={targets[0]} may read files that no "
                f"argument names ({place}): name them in an argument of {group}, or give data.fingerprint=TEXT and "
                "another text whenever they change"
            )
    return None


def _foreign(config: Config) -> dict[str, tuple[list[str], Any]]:
    """By group the targets that are not this project's own, and the values that may name files."""
    groups: dict[str, tuple[Any, Any]] = {
        group: (
            {TARGET: part._target_, "arguments": part.arguments},
            [part.arguments, *(getattr(part, name, None) for name in ("root", "weights"))],
        )
        for group, part in parts_of(config).items()
    }
    transforms = transforms_of(config.augmentation)
    groups["augmentation"] = (transforms, transforms)
    return {
        group: ([path for path in targets_in(calls) if not path.startswith("steadylr.")], named)
        for group, (calls, named) in groups.items()
    }
