"""The sweeper behind +experiment=until_stable: it adds seeds until the LR is known closely enough.

No `from __future__ import annotations` here: beside a dataclass in a plugin module it breaks every Hydra start.
Every Hydra start imports this module, so whatever is heavy is imported where it is used.
"""

from dataclasses import dataclass, field
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_store import ConfigStore


@dataclass
class UntilStableConfig:
    """Configuration of the sweeper; conf/experiment/until_stable.yaml says what each key means."""

    _target_: str = "hydra_plugins.steadylr_sweeper.UntilStableSweeper"
    factor: float = 1.25
    max_runs: int = 20
    batch: int | None = None
    params: dict[str, str] | None = field(default_factory=dict)


ConfigStore.instance().store(
    group="hydra/sweeper", name="until_stable", node=UntilStableConfig, provider="steadylr"
)


class UntilStableSweeper(BasicSweeper):
    """Hands a sweep to steadylr.jobs.until_stable, which launches one batch of seeds after the other.

    Args:
        factor: what the upper end of the interval over the geometric mean may be, above 1.
        max_runs: how many runs there may be of each kind.
        batch: seeds at a time; None for as many as are trained side by side.
        params: further overrides, as Hydra's own sweeper has them.
    """

    def __init__(
        self,
        factor: float,
        max_runs: int,
        batch: int | None = None,
        params: dict[str, str] | None = None,
    ) -> None:
        super().__init__(max_batch_size=None, params=params)
        self.factor = factor
        self.max_runs = max_runs
        self.batch = batch

    def sweep(self, arguments: list[str]) -> Any:
        """Run batches until all kinds of run are stable, or until more runs would not help."""
        from steadylr.jobs.until_stable import sweep_until_stable

        setup: Any = (self.hydra_context, self.launcher, self.config)
        assert None not in setup, "Hydra calls setup before sweep"
        return sweep_until_stable(
            [*self._parse_config(), *arguments],
            factor=self.factor,
            max_runs=self.max_runs,
            batch=self.batch,
            hydra_context=setup[0],
            launcher=setup[1],
            config=setup[2],
        )
