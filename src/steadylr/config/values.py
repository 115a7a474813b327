"""Bad input: what may be in a config, and one clear message for whatever may not."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import is_dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, cast, get_args, get_origin

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from steadylr.config.composing import composition_problem
from steadylr.config.errors import BadInput
from steadylr.config.keys import ARGUMENTS, hints, is_number, is_open, key_problem, ranges, without_none
from steadylr.config.schema import Config, Finder, Loss, Optimizer, ParamGroup, StepMode
from steadylr.config.sweep_name import sweep_name_problem
from steadylr.config.targets import EXAMPLES, target_problems, unidentified
from steadylr.run.environment import cpu_cores, probe_device, visible_gpus
from steadylr.run.names import did_you_mean
from steadylr.run.optimizer_facts import REFUSED, optimizer_doubt
from steadylr.run.ranks import torchrun_rank
from steadylr.words.program import other_program

if TYPE_CHECKING:
    from omegaconf import DictConfig

PRECISIONS = ("32", "bf16-mixed", "16-mixed")


def check_config(cfg: DictConfig) -> Config:
    """Turn a composed config into dataclasses, or say all that is wrong with it.

    ~ is expanded in data.root and store.dir. With a LightningModule the groups optimizer and loss name its own methods,
    which is what is trained with.

    Args:
        cfg: as Hydra composed it, or loaded from a file.

    Raises:
        BadInput: unknown keys, missing values, wrong types, values outside their range, or arguments that a target does
            not take.
    """
    try:
        given = cast("dict[str, Any]", OmegaConf.to_container(cfg, resolve=True))
        given.pop("hydra", None)
        asked = {key for key in OmegaConf.missing_keys(cfg) if not key.startswith("hydra.")}
        problems, known = _known_part(given, Config, "")
        typed = OmegaConf.merge(_schema(), known)
    except OmegaConfBaseException as error:
        raise BadInput(composition_problem(error)) from None
    brought = {"optimizer._target_", "loss._target_"} if typed.model.is_lightning else set()
    missing = [_missing(key) for key in sorted((asked | OmegaConf.missing_keys(typed)) - brought)]
    if missing:
        raise BadInput.of([*problems, *missing])
    if brought:
        typed.optimizer, typed.loss = Optimizer("configure_optimizers"), Loss("training_step")
    config = cast(Config, OmegaConf.to_object(typed))
    problems += _value_problems(config)
    if problems:
        raise BadInput.of(problems)
    if config.data.root is not None:
        config.data.root = os.path.expanduser(config.data.root)
    config.store.dir = os.path.expanduser(config.store.dir)
    return config


@cache
def _schema() -> DictConfig:
    """The schema as OmegaConf holds it, which a merge copies: making it takes as long as all else of a check."""
    schema: DictConfig = OmegaConf.structured(Config)
    return schema


def _known_part(given: Mapping[str, Any], node: type, prefix: str) -> tuple[list[str], dict[str, Any]]:
    """What is wrong with the keys of a mapping, and the mapping without the unknown ones."""
    problems: list[str] = []
    known: dict[str, Any] = {}
    for name, value in given.items():
        key = f"{prefix}{name}"
        hint = hints(node).get(str(name))
        if name == ARGUMENTS and is_open(node) and isinstance(value, Mapping):  # as a record has them
            known.setdefault(ARGUMENTS, {}).update(value)
        elif hint is None and is_open(node):
            if name != "_partial_":  # what is called later is called later anyway
                known.setdefault(ARGUMENTS, {})[str(name)] = value
        elif hint is None:
            problems.append(key_problem(key, Config) or f"{key} is not a key of the config")
        elif isinstance(hint, type) and is_dataclass(hint) and isinstance(value, Mapping):
            inner, known[str(name)] = _known_part(value, hint, f"{key}.")
            problems += inner
        elif (element := _element_class(hint)) is not None and isinstance(value, list):
            parts = [_known_part(entry, element, f"{key}.{i}.") for i, entry in enumerate(value)]
            problems += [problem for inner, _ in parts for problem in inner]
            known[str(name)] = [entry for _, entry in parts]
        elif without_none(hint) is bool and is_number(value):
            problems.append(f"{key} must be true or false; got {value!r}")
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
    return f"{key} is missing: give {key}={EXAMPLES.get(key, 'VALUE')}"


def _value_problems(config: Config) -> list[str]:
    """All that is wrong with the values of a config, in the order of its groups."""
    problems = []
    for key, allowed in ranges(Config).items():
        value = _value(config, key)
        follows = key.startswith("seeds.") and value == config.seed  # then the seed itself is named
        if value is not None and not follows and not allowed.holds(value):
            problems.append(f"{key} must be {allowed.words(value)}; got {value}")
    checks = (
        _model_problems,
        target_problems,
        _data_problems,
        _optimizer_problems,
        _finder_problems,
        _device_problems,
    )
    for check in checks:
        problems += check(config)
    problems += _onecycle_problems(config)
    if (problem := sweep_name_problem(config.sweep_name)) is not None:
        problems.append(problem)
    if not config.store.dir.strip():
        problems.append("store.dir must name a folder; got nothing: give one, or store.enabled=false")
    return problems


def _value(config: Config, key: str) -> Any:
    value: Any = config
    for part in key.split("."):
        value = getattr(value, part)
    return value


def _model_problems(config: Config) -> Iterator[str]:
    model = config.model
    if model.optimizer_index and not model.is_lightning:
        yield "model.optimizer_index is for LightningModules, which bring their optimizers: take model=lightning"
    if model.freeze and model._target_.endswith(".transformers_model"):
        yield "model.freeze is not for model=huggingface: freeze in a function of yours, under model._target_"


def _data_problems(config: Config) -> Iterator[str]:
    mean, std = config.data.mean, config.data.std
    if (mean is None) != (std is None) or (
        mean is not None and std is not None and not len(mean) == len(std) > 0
    ):
        yield (
            "data.mean and data.std must have one number per channel, as many of one as of the other; "
            f"got {mean} and {std}"
        )
    if not all(math.isfinite(value) for value in mean or ()):
        yield f"data.mean must be finite; got {mean}"
    if not all(math.isfinite(value) and value > 0 for value in std or ()):
        yield f"data.std must be above 0; got {std}"


def _optimizer_problems(config: Config) -> Iterator[str]:
    optimizer = config.optimizer
    for name, value in optimizer.arguments.items():
        if any(math.isnan(number) for number in _numbers_in(value)):
            yield f"optimizer.{name} must be a number; got {value}"
    if (reason := REFUSED.get(optimizer._target_.rpartition(".")[2].lower())) is not None:
        yield f"optimizer._target_={optimizer._target_} can't be ramped: {reason}"
    for position, group in enumerate(optimizer.groups):
        key = f"optimizer.groups.{position}"
        if not group.pattern:
            yield f"{key}.pattern must match names of parameters, such as fc.*; got an empty text"
        for name, allowed in ranges(ParamGroup).items():
            value = getattr(group, name)
            if value is not None and not allowed.holds(value):
                yield f"{key}.{name} must be {allowed.words(value)}; got {value}"


def _numbers_in(value: Any) -> Iterator[float]:
    """The floats in an argument, in whatever lists and mappings."""
    if isinstance(value, float):
        yield value
    elif isinstance(value, list | tuple):
        for entry in value:
            yield from _numbers_in(entry)
    elif isinstance(value, Mapping):
        yield from _numbers_in(list(value.values()))


def _finder_problems(config: Config) -> Iterator[str]:
    finder = config.finder
    if finder.start_lr >= finder.end_lr:
        yield (
            "finder.start_lr must be below finder.end_lr; "
            f"got finder.start_lr={finder.start_lr:g} and finder.end_lr={finder.end_lr:g}"
        )
    if min(finder.skip_start, finder.skip_end, finder.val_every) >= 0 and finder.num_iter >= 2:
        yield from _too_few_points(finder)
    if finder.scout_steps > 0:
        yield from _scout_problems(finder)
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


def _scout_problems(finder: Finder) -> Iterator[str]:
    from steadylr.core.scout import LEAST_STEPS

    if not LEAST_STEPS <= finder.scout_steps < finder.num_iter:
        yield (
            f"finder.scout_steps must be 0 (none), or at least {LEAST_STEPS} and below finder.num_iter="
            f"{finder.num_iter}; got {finder.scout_steps}"
        )
    if finder.step_mode is not StepMode.exp:
        yield (
            "finder.scout_steps needs finder.step_mode=exp, as a linear ramp spends hardly any steps on the decades "
            "that a scout would leave out; got finder.step_mode=linear"
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
    if not config.data._target_.startswith("steadylr."):
        yield (
            f"device.devices={count} can't share out batches of your own (data._target_): "
            "set device.devices=1, or take one of the data sets of this project"
        )
    if config.model.is_lightning:
        yield f"device.devices={count} does not train a LightningModule (model=lightning): set device.devices=1"
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
            f"{other_program('aggregate')} 'runs=[...]' with the folders of the runs"
        )


def doubts(config: Config) -> list[str]:
    """What is allowed in a config and yet probably not meant, as warnings."""
    found = []
    if config.model.freeze and config.model.weights is None:
        found.append(
            "model.freeze=true without model.weights freezes random weights: only the last layer learns, "
            "on random features; give model.weights, or leave model.freeze out"
        )
    if (doubt := optimizer_doubt(config.optimizer._target_.rpartition(".")[2])) is not None:
        found.append(doubt)
    if (reason := unidentified(config)) is not None:
        found.append(reason)
    device, rank = config.device, torchrun_rank()
    here = device.devices if rank is None else rank.local_count
    if here > cpu_cores() and probe_device(device.accelerator.value) == "cpu":
        found.append(
            f"device.devices={device.devices} starts {here} processes on {cpu_cores()} cores: they will wait for each "
            "other; lower device.devices"
        )
    return found
