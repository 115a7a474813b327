"""Bad input: what may be in a config, and one clear message for whatever may not."""

from __future__ import annotations

import difflib
import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from enum import Enum
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, get_args, get_origin, get_type_hints
from urllib.parse import unquote, urlparse

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from steadylr.app.config_folder import config_folder, group_options, groups
from steadylr.app.own_config import is_open, own_problems, with_own_code, with_stand_ins
from steadylr.app.schema import LIBRARIES, OWN_GROUPS, Config, Finder, Loss, Model, Optimizer
from steadylr.run.environment import cpu_cores, probe_device, visible_gpus
from steadylr.run.names import did_you_mean
from steadylr.run.optimizer_facts import optimizer_doubt
from steadylr.run.ranks import torchrun_rank

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override
    from omegaconf import DictConfig

PRECISIONS = ("32", "bf16-mixed", "16-mixed")
MAX_NAME_LENGTH = 100

LIGHTNING = "lightning"
"""The library whose models bring their optimizers and their loss."""

ANALYSIS_KEYS = tuple(
    f"finder.{name}" for name in ("smooth_f", "smoother", "ema_weight", "skip_start", "skip_end", "rule")
)
"""The keys that change how a curve is read, and never what is trained."""


class BadInput(ValueError):
    """Input that can't be used. The message names the key, what came, what is allowed and what to do."""

    @classmethod
    def of(cls, problems: Sequence[str]) -> BadInput:
        """One error for one or more problems."""
        if len(problems) == 1:
            return cls(problems[0])
        return cls("\n".join([f"{len(problems)} problems:", *(f"  - {problem}" for problem in problems)]))


# --- keys ---


def check_overrides(argv: Sequence[str]) -> None:
    """Refuse a command line of find_lr.py with unknown keys or options, before Hydra composes anything.

    Args:
        argv: the command line without the program's name, Hydra's own options included.

    Raises:
        BadInput: see unknown_override; also for a --config-dir that is not there.
    """
    check_keys(argv, Config)


def check_keys(argv: Sequence[str], schema: type) -> None:
    """Refuse a command line with keys that a schema doesn't have, or options that no group has.

    Args:
        argv: the command line without the program's name, Hydra's own options included.
        schema: the dataclass of the whole config.

    Raises:
        BadInput: see unknown_override; also for a --config-dir that is not there.
    """
    from hydra._internal.utils import get_args_parser

    args = get_args_parser().parse_known_args(list(argv))[0]
    if args.shell_completion or args.help or args.hydra_help or args.experimental_rerun:
        return
    if args.config_dir and not Path(args.config_dir).is_dir():
        raise BadInput(
            f"--config-dir {args.config_dir} is not a folder: give the folder that holds your groups"
        )
    own = [args.config_dir] if args.config_dir else []
    replaced = args.config_path or args.config_name
    unknown_override(args.overrides, schema=schema, folders=None if replaced else [config_folder(), *own])


def unknown_override(
    overrides: Sequence[str], *, schema: type = Config, folders: Sequence[str | Path] | None = None
) -> None:
    """Refuse overrides whose key the schema doesn't have, whose option no group has, or that can't be read.

    Free are hydra.* and everything below model.kwargs, optimizer.kwargs and augmentation.transforms. In a group
    whose option may name the user's own code any key may be an argument of that: check_config tells.

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
        except HydraException as error:
            problems.append(_unreadable(text, error))

    for text in overrides:
        parse(text)
    known = _Folders.of(folders, parsed)
    problems += [problem for override in parsed for problem in _override_problems(override, known, schema)]
    if problems:
        raise BadInput.of(problems)


@dataclass(frozen=True, slots=True)
class _Folders:
    """The folders that groups are looked up in; options are only checked when all of them can be listed.

    open_groups are those that the user's own code may have arguments in.
    """

    paths: tuple[Path, ...]
    complete: bool
    open_groups: frozenset[str] = frozenset()

    @classmethod
    def of(cls, folders: Sequence[str | Path] | None, overrides: Sequence[Override]) -> _Folders:
        added = [_local_path(entry) for override in overrides for entry in _searchpath(override)]
        own = folders if folders is not None else [config_folder()]
        paths = [Path(entry) for entry in [*own, *added] if entry is not None]
        complete = folders is not None and None not in added
        there = tuple(path for path in paths if path.is_dir())
        chosen = {
            override.key_or_group: _given_options(override)
            for override in overrides
            if not override.is_delete()
        }
        named = {key.partition("._target_")[0] for key in chosen if key.endswith("._target_")}
        is_named = [group for group in OWN_GROUPS if group in named or is_open(group, chosen, there)]
        return cls(there, complete, frozenset(OWN_GROUPS if not complete else is_named))


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


def _unreadable(text: str, error: Exception) -> str:
    key, equals, value = text.partition("=")
    if not equals:
        return f"{text!r} can't be read as an override: write key=value, or ~key to take a key away"
    reason = str(error).partition("\n")[0]
    quoted = f"""'{key}="{value}"'""" if not re.search("[\"']", value) else "'key=\"value\"'"
    return (
        f"{text!r} can't be read as an override ({reason}). "
        f"A value with accents or characters such as ~ = ( ) [ ] {{ }} : needs quotes inside the shell's: "
        f"{quoted}"
    )


def _override_problems(override: Override, folders: _Folders, schema: type) -> Iterator[str]:
    key = override.key_or_group
    if key == "hydra" or key.startswith(("hydra.", "hydra/")):
        return
    names = groups(folders.paths)
    if "/" in key or key in names:
        if folders.complete and not override.is_delete():
            yield from _option_problems(override, folders.paths)
        return
    if (problem := _key_problem(key, schema, groups=names)) is not None:
        if schema is not Config or key.partition(".")[0] not in folders.open_groups:
            yield problem
    elif key == "sweep_name" and not override.is_delete():
        yield from _sweep_name_override_problems(override)
    else:
        yield from _type_problems(override, schema)


def _type_problems(override: Override, schema: type) -> Iterator[str]:
    """What is wrong with the types of the values that an override gives to a key, each value of a sweep alone."""
    key = override.key_or_group
    hint = _hint_of(key, schema)
    if hint in (_FREE, Any) or any(part.isdecimal() for part in key.split(".")):
        return
    config = OmegaConf.structured(schema)
    for value in _given_values(override):
        if "${" in str(value):
            continue
        try:
            OmegaConf.update(config, key, value, force_add=True)
            OmegaConf.to_container(config)
        except OmegaConfBaseException:
            shown = "null" if value is None else str(value).lower() if isinstance(value, bool) else value
            yield f"{key} must be {_type_words(hint)}; got {shown}"


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


def _type_words(hint: Any) -> str:
    """A type as one would say it."""
    kind = _without_none(hint)
    end = " or null" if kind is not hint else ""
    if kind in _WORDS:
        return _WORDS[kind] + end
    if isinstance(kind, type) and issubclass(kind, Enum):
        return f"one of {', '.join(str(member.value) for member in kind)}{end}"
    if get_origin(kind) is list:
        element = get_args(kind)[0]
        if isinstance(element, type) and is_dataclass(element):
            return f"a list of mappings with {', '.join(_hints(element))}{end}"
        return f"a list of {_PLURALS[element]}{end}"
    if isinstance(kind, type) and is_dataclass(kind):
        return f"a mapping with {', '.join(_hints(kind))}{end}"
    return f"a mapping{end}"


def _option_problems(override: Override, folders: Sequence[Path]) -> Iterator[str]:
    group = override.key_or_group
    options = sorted(group_options(group, folders))
    if override.value_type is None or override.value() is None:
        yield f"{group}=null: a group needs one of its options; allowed: {', '.join(options)}"
        return
    for option in _given_options(override):
        if any((folder / group / f"{option}.yaml").is_file() for folder in folders):
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
    if (problem := _sweep_name_problem(value, given=given)) is not None:
        yield problem


def _sweep_name_problem(value: Any, *, given: str | None = None) -> str | None:
    """What is wrong with a sweep_name: it becomes a folder, and must not lead anywhere else."""
    if not isinstance(value, str):
        asked = given or str(value)
        came = type(value).__name__.replace("NoneType", "null")
        return (
            f"sweep_name must be text; {asked} arrived as {value!r} ({came}): "
            f"quote it, 'sweep_name=\"{asked}\"', or begin it with a letter"
        )
    allowed = (
        f"sweep_name must be a plain folder name of 1 to {MAX_NAME_LENGTH} characters: "
        "no path separators, no dot at its start, no control characters"
    )
    plain = re.fullmatch(r"[^/\\\x00-\x1f\x7f]+", value) and value == value.strip()
    if plain and not value.startswith(".") and len(value.encode()) <= MAX_NAME_LENGTH:
        return None
    return f"{allowed}; got {value!r}"


_FREE = object()


@cache
def _hints(node: type) -> dict[str, Any]:
    return get_type_hints(node)


def _without_none(hint: Any) -> Any:
    """X of Optional[X]; anything else as it is."""
    kinds = [kind for kind in get_args(hint) if kind is not type(None)]
    is_optional = type(None) in get_args(hint) and len(kinds) == 1
    return kinds[0] if is_optional and get_origin(hint) not in (list, dict) else hint


def _inside(hint: Any, part: str) -> Any:
    """The type of what one part of a key leads to; _FREE where anything goes, None where nothing is."""
    hint = _without_none(hint)
    if hint is _FREE:
        return _FREE
    if isinstance(hint, type) and is_dataclass(hint):
        return _hints(hint).get(part)
    if get_origin(hint) is dict:
        value = _without_none(get_args(hint)[1])
        return _FREE if value is Any else value
    if get_origin(hint) is list and part.isdecimal():
        return get_args(hint)[0]
    return None


@cache
def _all_keys(schema: type) -> tuple[str, ...]:
    """Every key of a schema, parents before their children."""

    def below(node: type, prefix: str) -> Iterator[str]:
        for name, hint in _hints(node).items():
            yield prefix + name
            if isinstance(hint, type) and is_dataclass(hint):
                yield from below(hint, f"{prefix}{name}.")

    return tuple(below(schema, ""))


def _hint_of(key: str, schema: type) -> Any:
    """The type of a key that a schema has; _FREE where anything goes."""
    hint: Any = schema
    for part in key.split("."):
        inner = _without_none(hint)
        hint = _hints(inner)[part] if isinstance(inner, type) and is_dataclass(inner) else _inside(hint, part)
    return hint


def _key_problem(key: str, schema: type, *, groups: Sequence[str] = ()) -> str | None:
    """None for a key that a schema has, else what is wrong, with the nearest keys or groups."""
    hint: Any = schema
    parts = key.split(".")
    for position, part in enumerate(parts):
        inside = _inside(hint, part)
        if inside is None:
            return _unknown_key(parts, position, _without_none(hint), schema=schema, groups=groups)
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
    names = list(_hints(parent_hint))
    siblings = names if parent else [*names, *groups]
    if near := difflib.get_close_matches(rest[0], siblings, n=1, cutoff=0.7):
        meant = ".".join([*parts[:position], near[0], *rest[1:]])
        known = meant if _key_problem(meant, schema) is None else ".".join([*parts[:position], near[0]])
        return f"{start}; did you mean {known}?"
    if elsewhere := _same_name_elsewhere(parts[-1], schema):
        return f"{start}; did you mean {' or '.join(elsewhere)}?"
    if not parent:
        return f"{start}; allowed: {', '.join(names)}"
    more = ""
    if "kwargs" in names:
        free = ".".join([parent, "kwargs", *rest])
        more = f"; arguments of the {parent} itself go below {parent}.kwargs: ++{free}=VALUE"
    return f"{start}; {parent} has {', '.join(names)}{more}"


def _same_name_elsewhere(name: str, schema: type) -> list[str]:
    """Keys that end in this name; none for names that every group has."""
    if name in ("name", "kwargs"):
        return []
    return [key for key in _all_keys(schema) if key.rpartition(".")[2] == name]


# --- values ---


def check_config(cfg: DictConfig) -> Config:
    """Turn a composed config into dataclasses, or say all that is wrong with it.

    ~ is expanded in data.root and store.dir; a transform without arguments gets an empty mapping. With a
    LightningModule the groups optimizer and loss name its own methods, which is what is trained with.

    Args:
        cfg: as Hydra composed it, or loaded from a file.

    Raises:
        BadInput: unknown keys, missing values, wrong types, or values outside their range.
    """
    try:
        cfg = with_stand_ins(cfg)
        given = cast("dict[str, Any]", OmegaConf.to_container(cfg, resolve=True))
        given.pop("hydra", None)
        asked = {key for key in OmegaConf.missing_keys(cfg) if key in _all_keys(Config)}
        with_own_code(given)
        if given.get("model", {}).get("library") == LIGHTNING and not given["model"].get("_target_"):
            raise BadInput(
                "model=lightning needs the import path of your LightningModule: give model._target_=my_module.MyModule"
            )
        problems, known = _known_part(given, Config, "")
        typed = OmegaConf.merge(OmegaConf.structured(Config), known)
    except OmegaConfBaseException as error:
        raise BadInput(_omegaconf_message(error)) from None
    missing = [_missing(key) for key in sorted(asked | OmegaConf.missing_keys(typed))]
    if missing:
        raise BadInput.of([*problems, *missing])
    config = cast(Config, OmegaConf.to_object(typed))
    if config.model.library == LIGHTNING:
        config.optimizer, config.loss = Optimizer("configure_optimizers"), Loss("training_step")
    problems += _value_problems(config)
    if problems:
        raise BadInput.of(problems)
    if config.data.root is not None:
        config.data.root = os.path.expanduser(config.data.root)
    config.store.dir = os.path.expanduser(config.store.dir)
    transforms = config.augmentation.transforms
    config.augmentation.transforms = {name: arguments or {} for name, arguments in transforms.items()}
    return config


def _omegaconf_message(error: OmegaConfBaseException) -> str:
    key = getattr(error, "full_key", None)
    reason = str(error).partition("\n")[0]
    return f"{key}: {reason}" if key else reason


def _known_part(given: Mapping[str, Any], node: type, prefix: str) -> tuple[list[str], dict[str, Any]]:
    """What is wrong with the keys of a mapping, and the mapping without the unknown ones."""
    problems: list[str] = []
    known: dict[str, Any] = {}
    for name, value in given.items():
        key = f"{prefix}{name}"
        hint = _hints(node).get(str(name))
        if hint is None:
            problems.append(_key_problem(key, Config) or f"{key} is not a key of the config")
        elif isinstance(hint, type) and is_dataclass(hint) and isinstance(value, Mapping):
            inner, known[str(name)] = _known_part(value, hint, f"{key}.")
            problems += inner
        elif (element := _element_class(hint)) is not None and isinstance(value, list):
            parts = [_known_part(entry, element, f"{key}.{i}.") for i, entry in enumerate(value)]
            problems += [problem for inner, _ in parts for problem in inner]
            known[str(name)] = [entry for _, entry in parts]
        else:
            known[str(name)] = value
    return problems, known


def _element_class(hint: Any) -> type | None:
    """The dataclass X of list[X]."""
    if get_origin(hint) is not list:
        return None
    element = get_args(hint)[0]
    return element if isinstance(element, type) and is_dataclass(element) else None


def _missing(key: str) -> str:
    example = "model.name=regnet_y_400mf" if key == "model.name" else f"{key}=VALUE"
    return f"{key} is missing: give {example}"


@dataclass(frozen=True, slots=True)
class Range:
    """The allowed values of a number: from low to high, an end left out where it is open.

    Args:
        low, high: the ends.
        open_low, open_high: whether an end is left out.
        note: what the words of the range are followed by, in brackets.
        said: the range in other words.
    """

    low: float
    high: float = math.inf
    open_low: bool = False
    open_high: bool = True
    note: str = ""
    said: str = ""

    def holds(self, value: float) -> bool:
        """Whether a value is allowed; NaN never is."""
        above = value > self.low if self.open_low else value >= self.low
        return above and (value < self.high if self.open_high else value <= self.high)

    def words(self) -> str:
        """The range as one would say it."""
        if self.said:
            return self.said
        note = f" ({self.note})" if self.note else ""
        if self.high == math.inf:
            return f"{'above' if self.open_low else 'at least'} {self.low:g}{note}"
        ends = f"{'(' if self.open_low else '['}{self.low:g}, {self.high:g}{')' if self.open_high else ']'}"
        return f"in {ends}{note}"


_SEED = Range(0, 2**63, said="from 0 to 2**63 - 1")
_COUNT = Range(1)
_POSITIVE = Range(0, open_low=True)
_NOT_NEGATIVE = Range(0)

RANGES: dict[str, Range] = {
    "seed": _SEED,
    "seeds.init": _SEED,
    "seeds.order": _SEED,
    "seeds.augment": _SEED,
    "seeds.noise": _SEED,
    "model.min_image_size": _COUNT,
    "data.image_size": _COUNT,
    "data.batch_size": _COUNT,
    "data.workers": Range(0, note="0: none besides the training itself, null: as suits the machine"),
    "optimizer.weight_decay": _NOT_NEGATIVE,
    "loss.label_smoothing": Range(0, 1),
    "finder.start_lr": _POSITIVE,
    "finder.end_lr": _POSITIVE,
    "finder.num_iter": Range(
        2, 1e7, open_high=False, said="from 2 (the two ends of the ramp) to ten million"
    ),
    "finder.diverge_th": Range(0, open_low=True, note="null switches the stop rule off"),
    "finder.accumulation_steps": _COUNT,
    "finder.val_every": Range(0, note="0: never"),
    "finder.val_samples": _COUNT,
    "finder.smooth_f": Range(0, 1, note="the share of the curve that one smoothed point sees; 0 is off"),
    "finder.ema_weight": Range(0, 1, open_low=True, open_high=False),
    "finder.skip_start": _NOT_NEGATIVE,
    "finder.skip_end": _NOT_NEGATIVE,
    "device.threads": Range(1, note="null: the cores divided by the workers"),
    "device.devices": _COUNT,
    "device.workers": Range(1, note="null: as many as there are cores, or GPUs"),
    "onecycle.div_factor": Range(1, note="it divides the peak LR"),
    "onecycle.final_div_factor": Range(1, note="it divides the peak LR"),
    "onecycle.pct_start": Range(0, 1, open_low=True),
    "onecycle.base_momentum": Range(0, 1),
    "onecycle.max_momentum": Range(0, 1),
    "onecycle.total_steps": Range(2, note="null: not known yet"),
}
"""What every number of the config may be. null is allowed where the schema says so."""


def _value_problems(config: Config) -> list[str]:
    """All that is wrong with the values of a config, in the order of its groups."""
    problems = []
    for key, allowed in RANGES.items():
        value = _value(config, key)
        follows = key.startswith("seeds.") and value == config.seed  # then the seed itself is named
        if value is not None and not follows and not allowed.holds(value):
            problems.append(f"{key} must be {allowed.words()}; got {value}")
    checks = (
        own_problems,
        _library_problems,
        _data_problems,
        _optimizer_problems,
        _loss_problems,
        _finder_problems,
        _device_problems,
    )
    for check in checks:
        problems += check(config)
    problems += _onecycle_problems(config)
    if (problem := _sweep_name_problem(config.sweep_name)) is not None:
        problems.append(problem)
    if not config.store.dir.strip():
        problems.append("store.dir must name a folder; got nothing: give one, or store.enabled=false")
    return problems


def _value(config: Config, key: str) -> Any:
    value: Any = config
    for part in key.split("."):
        value = getattr(value, part)
    return value


def _library_problems(config: Config) -> Iterator[str]:
    model = config.model
    if model.library is not None and model.library not in LIBRARIES:
        yield (
            f"model.library={model.library} is not known; {did_you_mean(model.library, LIBRARIES)} "
            "(null: this project or torchvision, or a model of your own under model._target_)"
        )
    if model.library in ("timm", "huggingface") and model._target_ is not None:
        yield f"model.library={model.library} looks model.name up; with model._target_ leave it out"
    if model.library == "huggingface" and model.freeze:
        yield "model.freeze is not for model.library=huggingface: freeze in a function of yours, under model._target_"
    if model.optimizer_index < 0:
        yield f"model.optimizer_index must be {_NOT_NEGATIVE.words()}; got {model.optimizer_index}"
    if model.optimizer_index and model.library != LIGHTNING:
        yield "model.optimizer_index is for LightningModules, which bring their optimizers: take model=lightning"


def _data_problems(config: Config) -> Iterator[str]:
    from steadylr.run.fingerprint import DATASETS

    data = config.data
    if data._target_ is not None:
        return
    if data.name not in DATASETS:
        yield f"data.name={data.name} is not known; {did_you_mean(data.name, DATASETS, count=1)}"
    elif data.name != "fashion_mnist_mini" and not (data.root or "").strip():
        yield f"data.root is needed for data.name={data.name}: give data.root=/path/to/images"
    if not data.mean or len(data.mean) != len(data.std):
        yield (
            "data.mean and data.std must have one number per channel, as many of one as of the other; "
            f"got {data.mean} and {data.std}"
        )
    if not all(math.isfinite(value) for value in data.mean):
        yield f"data.mean must be finite; got {data.mean}"
    if not all(math.isfinite(value) and value > 0 for value in data.std):
        yield f"data.std must be above 0; got {data.std}"


def _optimizer_problems(config: Config) -> Iterator[str]:
    from steadylr.run.optimizer_facts import EXTRA, REFUSED, missing_package

    name = config.optimizer.name
    if config.optimizer._target_ is None:
        if name.lower() in REFUSED:
            yield f"optimizer.name={name} can't be ramped: {REFUSED[name.lower()]}"
        if (package := missing_package(name)) is not None:
            yield f"optimizer.name={name} needs {package}: pip install 'steadylr[{EXTRA}]'"
    for position, group in enumerate(config.optimizer.groups):
        key = f"optimizer.groups.{position}"
        if not group.pattern:
            yield f"{key}.pattern must match names of parameters, such as fc.*; got an empty text"
        if not _POSITIVE.holds(group.lr_mult):
            yield f"{key}.lr_mult must be above 0; got {group.lr_mult}"
        if group.weight_decay is not None and not _NOT_NEGATIVE.holds(group.weight_decay):
            yield f"{key}.weight_decay must be at least 0 (null: the common one); got {group.weight_decay}"


def _loss_problems(config: Config) -> Iterator[str]:
    if config.loss.name == "mse" and config.loss.label_smoothing != 0:
        yield (
            f"loss.label_smoothing must be 0 with loss.name=mse; got {config.loss.label_smoothing}: "
            "leave it out, or take loss=cross_entropy"
        )


def _finder_problems(config: Config) -> Iterator[str]:
    finder = config.finder
    if finder.start_lr >= finder.end_lr:
        yield (
            "finder.start_lr must be below finder.end_lr; "
            f"got finder.start_lr={finder.start_lr:g} and finder.end_lr={finder.end_lr:g}"
        )
    if min(finder.skip_start, finder.skip_end, finder.val_every) >= 0 and finder.num_iter >= 2:
        yield from _too_few_points(finder)
    rules = _rule_names()
    if finder.rule not in rules:
        yield f"finder.rule={finder.rule} is not known; {did_you_mean(finder.rule, rules, count=1)}"


def _too_few_points(finder: Finder) -> Iterator[str]:
    from steadylr.core.landmarks import MIN_POINTS  # numpy comes with it

    points = math.ceil(finder.num_iter / max(1, finder.val_every))
    left = points - finder.skip_start - finder.skip_end
    if left >= MIN_POINTS:
        return
    needed = (MIN_POINTS + finder.skip_start + finder.skip_end) * max(1, finder.val_every)
    every = f" read every finder.val_every={finder.val_every} steps" if finder.val_every > 1 else ""
    yield (
        f"finder.num_iter={finder.num_iter}{every} leaves {max(0, left)} points after "
        f"finder.skip_start={finder.skip_start} and finder.skip_end={finder.skip_end}; "
        f"at least {MIN_POINTS} are needed: raise finder.num_iter to {needed} or more, or lower the skips"
    )


def _rule_names() -> list[str]:
    """The rules of the registry, the user's own included. numpy comes with them."""
    from steadylr.core.rules import RULES

    return sorted(RULES)


def _device_problems(config: Config) -> Iterator[str]:
    device = config.device
    if device.precision not in PRECISIONS:
        yield f"device.precision must be one of {', '.join(PRECISIONS)}; got {device.precision}"
    if device.precision == "16-mixed" and probe_device(device.accelerator.value) == "cpu":
        why = "" if device.accelerator == "cpu" else ", which is all that this machine has"
        yield (
            f"device.precision=16-mixed does not work on a CPU{why}: "
            "use device.precision=bf16-mixed or device.precision=32"
        )
    yield from _sharing_problems(config)


def _sharing_problems(config: Config) -> Iterator[str]:
    """What keeps several devices from sharing a training."""
    device, count = config.device, config.device.devices
    rank = torchrun_rank()
    if rank is not None and rank.count != count:
        strategy = "" if device.strategy != "single" else "device.strategy=ddp "
        yield (
            f"torchrun has started {rank.count} processes, and device.devices={count}: "
            f"give {strategy}device.devices={rank.count}"
        )
    if count < 2:
        return
    if device.strategy == "single":
        yield (
            f"device.devices={count} with device.strategy=single: give device.strategy=ddp (each device holds the "
            "whole model) or device.strategy=fsdp (each holds a part of it)"
        )
    if device.strategy == "fsdp" and device.precision == "16-mixed":
        yield (
            "device.precision=16-mixed does not work with device.strategy=fsdp: "
            "use device.precision=bf16-mixed or device.precision=32"
        )
    if config.data.batch_size % count:
        yield (
            f"data.batch_size={config.data.batch_size} can't be shared equally by device.devices={count}: "
            f"make it a multiple of {count}"
        )
    if config.data._target_ is not None:
        yield (
            f"device.devices={count} can't share out batches of your own (data._target_): "
            "set device.devices=1, or take one of the data sets of this project"
        )
    if config.model.library == LIGHTNING:
        yield (
            f"device.devices={count} does not train a LightningModule (model.library=lightning): set "
            "device.devices=1"
        )
    kind = probe_device(device.accelerator.value)
    here, there = count if rank is None else rank.local_count, len(visible_gpus())
    if kind == "mps":
        yield f"device.devices={count} does not work on a Mac, which has one GPU: use device=cpu, or device.devices=1"
    elif kind == "cuda" and 0 < there < here:
        yield f"device.devices={count} needs {here} GPUs on this machine, and {there} can be seen"


def _onecycle_problems(config: Config) -> Iterator[str]:
    onecycle = config.onecycle
    if onecycle.base_momentum > onecycle.max_momentum:
        yield (
            "onecycle.base_momentum must not be above onecycle.max_momentum; "
            f"got {onecycle.base_momentum} and {onecycle.max_momentum}"
        )
    steps = onecycle.total_steps
    if steps is not None and steps >= 2 and 0 < onecycle.pct_start < 1 and steps * onecycle.pct_start <= 1:
        yield (
            "onecycle.pct_start * onecycle.total_steps must be above 1, so that the LR has steps to rise in; "
            f"got {onecycle.pct_start} * {steps}"
        )


def refuse_sweep_in_torchrun() -> None:
    """Refuse a sweep in processes that torchrun has started, which share one training.

    Raises:
        BadInput: saying what to do instead.
    """
    if torchrun_rank() is not None:
        raise BadInput(
            "a sweep can't run under torchrun: on one machine leave torchrun out, and device.devices=N starts N "
            "processes for each run; on several machines give torchrun one command for each seed, without -m, then "
            "python src/aggregate.py 'runs=[...]' with the folders of the runs"
        )


def doubts(config: Config) -> list[str]:
    """What is allowed in a config and yet probably not meant, as warnings."""
    found = []
    if config.model.freeze and config.model.weights is None:
        found.append(
            "model.freeze=true without model.weights freezes random weights: only the last layer learns, "
            "on random features; give model.weights, or leave model.freeze out"
        )
    optimizer = config.optimizer
    called = optimizer.name if optimizer._target_ is None else optimizer._target_.rpartition(".")[2]
    if (doubt := optimizer_doubt(called)) is not None:
        found.append(doubt)
    device, rank = config.device, torchrun_rank()
    here = device.devices if rank is None else rank.local_count
    if here > cpu_cores() and probe_device(device.accelerator.value) == "cpu":
        found.append(
            f"device.devices={device.devices} starts {here} processes on {cpu_cores()} cores: they will wait for each "
            "other; lower device.devices"
        )
    return found


# --- what is trained ---


def training_config(config: Config) -> dict[str, Any]:
    """All of a config that shapes a curve, as plain JSON values; equal for two configs that train alike.

    Seeds are not in it, nor what the caller adds from the machine: threads, the kind of device, and
    fingerprints of the data and of a file of weights. A key that nothing depends on is left out: val_samples
    without val_every, the strategy of one device. The transforms are a list of pairs, as their order counts.
    """
    finder, device = config.finder, config.device
    sharing = ("strategy", "devices") if device.devices > 1 else ()
    ramp = ("start_lr", "end_lr", "num_iter", "step_mode", "diverge_th", "accumulation_steps", "val_every")
    trained = {
        "model": _trained_part(
            config.model, ("name", "weights", "freeze", "kwargs", *_library_key(config.model))
        ),
        "data": _trained_part(config.data, ("name", "image_size", "mean", "std", "batch_size", "drop_last")),
        "augmentation": [
            [name, arguments or {}] for name, arguments in config.augmentation.transforms.items()
        ],
        "optimizer": _trained_part(config.optimizer, ("name", "weight_decay", "kwargs", "groups")),
        "loss": _trained_part(config.loss, ("name", "label_smoothing")),
        "finder": _some(finder, (*ramp, "val_samples") if finder.val_every else ramp),
        "device": _some(device, ("precision", "channels_last", "deterministic", *sharing)),
    }
    return cast("dict[str, Any]", plain_values(trained))


def _library_key(model: Model) -> tuple[str, ...]:
    return () if model.library is None else ("library",)


def _trained_part(node: Any, names: Sequence[str]) -> dict[str, Any]:
    """What shapes a curve of a group that takes the user's own code: these keys, or all of them with such code."""
    values = asdict(node)
    if node._target_ is None:
        return {name: values[name] for name in names}
    how = ("name", "root", "download", "workers", "pin_memory", "min_image_size")
    return {name: value for name, value in values.items() if name not in how}


def _some(node: Any, names: Sequence[str]) -> dict[str, Any]:
    return {name: getattr(node, name) for name in names}


def plain_values(value: Any) -> Any:
    """Enums as their values, tuples as lists, keys as text, all the way down."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(key): plain_values(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain_values(item) for item in value]
    return value
