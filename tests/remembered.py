"""What Hydra makes of the groups of conf/, remembered from test to test: it takes longer than most tests' own work."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

from hydra._internal import config_loader_impl
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import ConfigRepository
from hydra._internal.defaults_list import DefaultsList, Overrides, create_defaults_list
from hydra.plugins.config_source import ConfigResult
from omegaconf import DictConfig, OmegaConf

from steadylr.config.folder import config_folder

UNCHANGING = {f"file://{config_folder()}", "pkg://hydra.conf", "structured://"}
"""Where configs come from that no test writes."""

_load = ConfigRepository.load_config
_add_places = ConfigLoaderImpl._process_config_searchpath
_merge = ConfigLoaderImpl._compose_config_from_defaults_list
_defaults_of: dict[tuple[object, ...], DefaultsList] = {}
_loaded: dict[str, ConfigResult | None] = {}
_merged: dict[str, DictConfig] = {}
_without_places: set[str] = set()


def remember_groups() -> None:
    """Have Hydra put equal choices of groups together once; the values of a command line it sets each time."""
    ConfigRepository.load_config = _file_loaded  # type: ignore[method-assign]
    config_loader_impl.create_defaults_list = _defaults  # type: ignore[attr-defined]
    ConfigLoaderImpl._compose_config_from_defaults_list = _composed  # type: ignore[method-assign]
    ConfigLoaderImpl._process_config_searchpath = _places_added  # type: ignore[method-assign]


def _changes(repo: Any) -> bool:
    return not {source.full_path() for source in repo.get_sources()} <= UNCHANGING


def _file_loaded(self: ConfigRepository, config_path: str) -> ConfigResult | None:
    if _changes(self):
        return _load(self, config_path)
    if config_path not in _loaded:
        _loaded[config_path] = _load(self, config_path)
    return copy.deepcopy(_loaded[config_path])


def _places_added(self: ConfigLoaderImpl, config_name: str, overrides: list[Any], repo: Any) -> None:
    """Have further places searched, where the command line or the config that it begins with names any."""
    named = any(given.key_or_group == "hydra.searchpath" for given in overrides)
    if not named and not _changes(repo) and config_name in _without_places:
        return
    _add_places(self, config_name, overrides, repo)
    if not named and not _changes(repo):
        _without_places.add(config_name)


def _defaults(repo: Any, config_name: str, overrides_list: list[Any], **how: bool) -> DefaultsList:
    if _changes(repo):
        return create_defaults_list(repo, config_name, overrides_list, **how)
    values = Overrides(repo=repo, overrides_list=overrides_list).config_overrides
    groups = [given.input_line for given in overrides_list if given not in values]
    key = (config_name, *groups, *how.items())
    if key not in _defaults_of:
        _defaults_of[key] = create_defaults_list(repo, config_name, overrides_list, **how)
    return replace(_defaults_of[key], config_overrides=values)


def _composed(self: ConfigLoaderImpl, defaults: list[Any], repo: Any) -> DictConfig:
    if _changes(repo):
        return _merge(self, defaults, repo)
    key = repr(defaults)
    if key not in _merged:
        _merged[key] = _merge(self, defaults, repo)
        OmegaConf.clear_cache(_merged[key])  # the time that names a run's folder
    return copy.deepcopy(_merged[key])
