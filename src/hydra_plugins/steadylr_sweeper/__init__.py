"""The sweepers behind +experiment=until_stable, which adds seeds, and +experiment=for_length, which adds trainings.

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


@dataclass
class ForLengthConfig:
    """Configuration of the sweeper; conf/experiment/for_length.yaml says what each key means."""

    _target_: str = "hydra_plugins.steadylr_sweeper.ForLengthSweeper"
    budget: float = 0.1
    budget_steps: int | None = None
    budget_minutes: float | None = None
    val_samples: int | None = None
    shortest: int = 128
    params: dict[str, str] | None = field(default_factory=dict)


ConfigStore.instance().store(
    group="hydra/sweeper", name="for_length", node=ForLengthConfig, provider="steadylr"
)


class ForLengthSweeper(BasicSweeper):
    """Makes the range tests of a sweep, then lets steadylr.verify.for_length find the LR for the planned length.

    Args:
        params: further overrides, as Hydra's own sweeper has them.
        **budget: how much it may take, as in ForLengthConfig.
    """

    def __init__(self, params: dict[str, str] | None = None, **budget: Any) -> None:
        super().__init__(max_batch_size=None, params=params)
        self.budget = budget

    def sweep(self, arguments: list[str]) -> Any:
        """Run the range tests, then the trials."""
        from steadylr.verify.for_length import sweep_for_length

        setup: Any = (self.hydra_context, self.config)
        assert None not in setup, "Hydra calls setup before sweep"
        return sweep_for_length(
            [*self._parse_config(), *arguments],
            budget=self.budget,
            range_tests=lambda more: BasicSweeper.sweep(self, [*arguments, *more]),
            hydra_context=setup[0],
            config=setup[1],
        )
