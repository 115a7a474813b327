"""What the jobs of a sweep ask for, composed as seldom as can be: once for all that differ in their seeds only."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hydra._internal.config_loader_impl import get_overrides_dirname
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from steadylr.run.names import STREAMS

_SEED = re.compile(rf"(seed|seeds\.(?:{'|'.join(STREAMS)}))=(0|[1-9][0-9]{{0,17}})")
"""An override that gives one seed, as people write it; below 10^18, so that none is out of range."""

_OF_SEEDS = re.compile(r"[+~]*seeds?(?:[=.@]|$)")


@dataclass(frozen=True, slots=True)
class SeedsApart:
    """The overrides of a job, told apart.

    Args:
        others: all overrides, of those that give a seed the key alone: equal for jobs that differ in seeds only.
        seeds: by key.
    """

    others: tuple[str, ...]
    seeds: Mapping[str, int]

    @classmethod
    def of(cls, overrides: Sequence[str]) -> SeedsApart | None:
        """None where no seed is given, or one in another way than as a plain number."""
        others: list[str] = []
        seeds: dict[str, int] = {}
        for text in overrides:
            if (given := _SEED.fullmatch(text)) is not None and given[1] not in seeds:
                seeds[given[1]] = int(given[2])
                others.append(f"{given[1]}=")
            elif _OF_SEEDS.match(text):
                return None
            else:
                others.append(text)
        return cls(tuple(others), seeds) if seeds else None


class ComposedOnce:
    """A config loader that composes no job twice, and of jobs that differ in their seeds only the first.

    Hydra's sweeper composes every job to see whether it can be composed, and throws it away; then the launcher does it
    again.

    Args:
        loader: Hydra's; everything but the configs of jobs is left to it.
    """

    def __init__(self, loader: ConfigLoader) -> None:
        self._loader = loader
        self._known: dict[tuple[int, tuple[str, ...]], DictConfig] = {}

    def load_sweep_config(self, master_config: DictConfig, sweep_overrides: Sequence[str]) -> DictConfig:
        """Compose a job, for one who wants to know that it can be: what comes may have another job's seeds."""
        apart = SeedsApart.of(sweep_overrides)
        job = id(master_config), tuple(sweep_overrides) if apart is None else apart.others
        if job not in self._known:
            self._known[job] = self._loader.load_sweep_config(master_config, list(sweep_overrides))
        return self._known[job]

    def config_of(self, master_config: DictConfig, overrides: Sequence[str]) -> DictConfig:
        """The config of one job, as ConfigLoader.load_sweep_config gives it, for the caller to change."""
        composed = self.load_sweep_config(master_config, overrides)
        apart = SeedsApart.of(overrides)
        if apart is None:
            del self._known[id(master_config), tuple(overrides)]
            return composed
        config = copy.deepcopy(composed)
        _give_seeds(config, apart.seeds, overrides)
        return config

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)


def _give_seeds(config: DictConfig, seeds: Mapping[str, int], overrides: Sequence[str]) -> None:
    """Turn a composed config into that of the same job with other seeds."""
    for key, seed in seeds.items():
        OmegaConf.update(config, key, seed)
    names = config.hydra.job.config.override_dirname
    own = [
        one
        for one in OverridesParser.create().parse_overrides(list(overrides))
        if not one.is_hydra_override()
    ]
    with read_write(config), open_dict(config):
        config.hydra.overrides.task = [one.input_line for one in own]
        config.hydra.job.override_dirname = get_overrides_dirname(
            overrides=own, kv_sep=names.kv_sep, item_sep=names.item_sep, exclude_keys=names.exclude_keys
        )


# ---- what follows from seeds

_RESOLVER = re.compile(r"\$\{\s*([\w.]+):")
_KNOWN_RESOLVERS = ("now", "oc.", "steadylr.")


def depends_on_seeds(config: Any) -> bool:
    """Whether anything but the seeds themselves may follow from them in a config without Hydra's part.

    Args:
        config: as plain values, references unresolved.
    """
    return any(
        "seed" in text or any(not name.startswith(_KNOWN_RESOLVERS) for name in _RESOLVER.findall(text))
        for key, value in config.items()
        if key not in ("seed", "seeds")
        for text in _references(value)
    )


def _references(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value] if "${" in value else []
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for item in inner for text in _references(item)]


def resolved_seeds(written: Mapping[str, Any], given: Mapping[str, int]) -> dict[str, Any]:
    """The seed and those of the streams that follow from it, as {"seed": ..., "seeds": {...}}.

    Args:
        written: the same before references were resolved, of a job that differs in seeds only.
        given: by the overrides of the job.

    Raises:
        OmegaConfBaseException: they follow from more than one another.
    """
    both = {"seed": written["seed"], "seeds": dict(written["seeds"])}
    for key, seed in given.items():
        _, _, stream = key.partition(".")
        if stream:
            both["seeds"][stream] = seed
        else:
            both["seed"] = seed
    if set(map(type, both["seeds"].values())) == {str} and set(both["seeds"].values()) == {"${seed}"}:
        return {"seed": both["seed"], "seeds": dict.fromkeys(both["seeds"], both["seed"])}
    resolved: Any = OmegaConf.to_container(OmegaConf.create(both), resolve=True)
    return dict(resolved)
