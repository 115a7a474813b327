"""The schema: types, words and defaults."""

from __future__ import annotations

import inspect
from enum import Enum
from typing import Any, Literal, get_args

import pytest
from omegaconf import OmegaConf
from omegaconf.errors import ValidationError

from steadylr.config import schema
from steadylr.core import onecycle, ramp, settings

ENUMS = [
    value
    for value in vars(schema).values()
    if inspect.isclass(value) and issubclass(value, schema.Choice) and value is not schema.Choice
]


@pytest.mark.parametrize("kind", ENUMS)
def test_a_choice_is_named_as_it_is_written(kind: type[Enum]) -> None:
    """OmegaConf reads names and the program uses values, so that the two must be equal."""
    assert len(ENUMS) == 8
    for member in kind:
        assert member.name == member.value == str(member)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (schema.StepMode, ramp.StepMode),
        (schema.Smoother, settings.Smoother),
        (schema.AnnealStrategy, onecycle.AnnealStrategy),
    ],
)
def test_choices_are_those_of_the_core(kind: type[Enum], words: Any) -> None:
    """The config offers exactly what the core understands."""
    assert {member.value for member in kind} == set(get_args(words))


def test_reading_defaults_are_those_of_the_core() -> None:
    """The same defaults hold on the command line and in the library."""
    finder, reading = schema.Finder(), settings.Reading()
    for name in ("smooth_f", "smoother", "ema_weight", "skip_start", "skip_end"):
        assert getattr(finder, name) == getattr(reading, name)


def test_streams_are_those_of_the_run() -> None:
    """Every random stream has a seed in the config."""
    from steadylr.run.names import STREAMS

    assert tuple(vars(schema.Seeds())) == STREAMS


def test_registering_twice_changes_nothing() -> None:
    """Entry points and workers may register the schema whenever they like."""
    from hydra.core.config_store import ConfigStore

    schema.register()
    schema.register()
    assert OmegaConf.get_type(ConfigStore.instance().load("base_config.yaml").node) is schema.Config


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("finder.num_iter", "abc"),
        ("finder.num_iter", 10.5),
        ("finder.step_mode", "log"),
        ("device.accelerator", "tpu"),
        ("consensus.choose", "mean"),
        ("model.freeze", "perhaps"),
        ("data.mean", ["a"]),
        ("optimizer.groups", [{"pattern": "fc", "lr_mul": 3}]),
    ],
)
def test_wrong_types_and_words_are_refused(key: str, value: object) -> None:
    """The schema itself refuses a value of another type, naming the key."""
    from omegaconf.errors import OmegaConfBaseException

    config = OmegaConf.structured(schema.Config)
    with pytest.raises(OmegaConfBaseException) as caught:
        OmegaConf.update(config, key, value)
    assert isinstance(caught.value, ValidationError) or "lr_mul" in str(caught.value)


def test_transforms_keep_their_order() -> None:
    """Augmentations are applied in the order in which they are written."""
    names = ["ColorJitter", "RandomCrop", "Affine"]
    config = OmegaConf.structured(schema.Config)
    config.augmentation.transforms = {name: {"p": 0.5} for name in names}
    assert list(OmegaConf.to_object(config.augmentation).transforms) == names


def test_literals_and_enums_compare_equal() -> None:
    """A member of a choice can be handed to whatever takes the plain word."""
    word: Literal["exp"] = "exp"
    assert schema.StepMode.exp == word
    assert f"{schema.StepMode.exp}" == word
