"""Configs as Hydra composes them: each set of groups once, and the values of a test put onto a copy by Hydra itself."""

from __future__ import annotations

import copy
from functools import cache

from hydra import compose, initialize_config_dir
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig

from steadylr.config import schema
from steadylr.config.folder import config_folder, groups

schema.register()
GROUPS = frozenset(groups([config_folder()]))


def composed(*overrides: str) -> DictConfig:
    """What find_lr.py gets with these overrides; the config is the test's own, to change as it likes."""
    given = OverridesParser.create().parse_overrides(list(overrides))
    chosen = [o.input_line or "" for o in given if o.key_or_group in GROUPS or "/" in o.key_or_group]
    config = copy.deepcopy(_of_groups(*chosen))
    values = [o for o in given if (o.input_line or "") not in chosen]
    ConfigLoaderImpl._apply_overrides_to_config(values, config)
    return config


@cache
def _of_groups(*chosen: str) -> DictConfig:
    GlobalHydra.instance().clear()
    with initialize_config_dir(config_folder(), version_base="1.3"):
        return compose("find_lr", overrides=list(chosen))
