"""Aggregate again: `python src/aggregate.py 'sweep=...'`. No training, and no torch."""

from __future__ import annotations

from dataclasses import dataclass, field, make_dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, get_type_hints

from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf

from steadylr.answer.recorded import as_recorded, figures_as_recorded, given_overrides
from steadylr.answer.sweep_folder import sweep_folder
from steadylr.cli.command import run_command
from steadylr.config.choices import TrackerName
from steadylr.config.errors import BadInput
from steadylr.config.ranges import Key
from steadylr.config.schema import Consensus, Finder, OneCycle, Output, Tracker
from steadylr.config.shared_keys import Figures, SpokenOutput, WithReport, drawn_as_png
from steadylr.core.settings import READING_KEYS, Reading
from steadylr.jobs.session import SESSION

if TYPE_CHECKING:
    from steadylr.answer import readings as source


def _or_as_recorded(hint: Any) -> Any:
    """The type of a setting that may also be left as each record says; what it is for stays."""
    return Annotated[hint.__origin__ | None, hint.__metadata__[0]]


if TYPE_CHECKING:
    Rereading: TypeAlias = Any
else:
    Rereading = make_dataclass(
        "Rereading",
        [
            (name, _or_as_recorded(get_type_hints(Finder, include_extras=True)[name]), None)
            for name in READING_KEYS
        ],
    )
"""Analysis settings that replace the recorded ones; null keeps what each record says."""


@dataclass
class AggregateConfig:
    """All that aggregate.py can be told. What is given as one entry or a list of them is of type Any."""

    sweep: Annotated[Any, Key("folder or name of a sweep, or a list of them")] = None
    runs: Annotated[Any, Key("folders of single runs")] = None
    curves: Annotated[Any, Key("curves from elsewhere: CSV files with the columns lr and loss")] = None
    values: Annotated[Any, Key("LRs from elsewhere")] = None
    finder: Rereading = field(default_factory=Rereading)
    onecycle: OneCycle = field(default_factory=OneCycle)
    consensus: Consensus = field(default_factory=Consensus)
    out: Annotated[
        str | None, Key("where the answer is written; null: into the sweep, or outputs/aggregates/<time>")
    ] = None
    tracker: Tracker = field(default_factory=Tracker)
    output: SpokenOutput = Output.text
    figures: Figures = field(default_factory=drawn_as_png)
    report: WithReport = True


ConfigStore.instance().store(name="base_aggregate", node=AggregateConfig)


def main() -> None:
    """Run the command line and exit with an honest code."""
    run_command("aggregate", AggregateConfig, aggregate)


def aggregate(cfg: DictConfig) -> int:
    """Gather, answer, write and print; give the exit code.

    Raises:
        BadInput: nothing to aggregate, a folder that isn't there, or a value that is no LR.
    """
    from steadylr.answer import readings as source
    from steadylr.report.conclude import conclude
    from steadylr.tracking.send import track

    config = OmegaConf.to_object(cfg)
    assert isinstance(config, AggregateConfig)
    sweeps, runs, curves = (_paths(getattr(config, key), key) for key in ("sweep", "runs", "curves"))
    sweeps = [sweep_folder(sweep) for sweep in sweeps]
    values = _values(config.values)
    if not (sweeps or runs or curves or values):
        raise BadInput(
            "nothing to aggregate: give 'sweep=outputs/sweeps/<name>', 'runs=[folder,...]', 'curves=[a.csv,...]' "
            "or 'values=[6.16e-2,1.79e-2]'"
        )
    reread = _reread(config.finder)
    found = source.joined(
        [
            *(source.from_sweep(sweep, reread=reread, named=len(sweeps) > 1) for sweep in sweeps),
            source.from_runs(runs, reread=reread),
            source.from_curves(curves, reread=reread),
            source.from_values(values),
        ]
    )
    only_a_sweep = len(sweeps) == 1 and not (runs or curves or values or reread)
    if config.out is not None and not config.out.strip():
        raise BadInput("out must name a folder; got nothing")
    out = Path(config.out).expanduser() if config.out else sweeps[0] if only_a_sweep else _new_folder()
    if config.tracker.name is not TrackerName.none and (config.out or not only_a_sweep):
        raise BadInput(
            f"tracker={config.tracker.name} sends one sweep, read as it was: give 'sweep=...' alone, without out, "
            "finder.*, runs, curves and values"
        )
    consensus, onecycle = as_recorded(config.consensus, config.onecycle, found, given_overrides())
    formats = figures_as_recorded(config.figures, found, given_overrides())
    code, SESSION.result = conclude(
        found, out, consensus=consensus, onecycle=onecycle, formats=formats, report=config.report
    )
    track(out, config.tracker)
    return code


def _new_folder() -> Path:
    return Path("outputs/aggregates") / datetime.now().strftime("%Y%m%d-%H%M%S-%f")


def _reread(given: Rereading) -> source.Reread:
    """The analysis settings of the command line, checked before anything is read."""
    from steadylr.core.rules import RULES

    values = {name: getattr(value, "value", value) for name, value in vars(given).items()}
    reread = {name: value for name, value in values.items() if value is not None}
    if "rule" in reread and reread["rule"] not in RULES:
        raise BadInput(f"finder.rule={reread['rule']} is not known; allowed: {', '.join(sorted(RULES))}")
    try:
        Reading(**{name: value for name, value in reread.items() if name != "rule"})
    except ValueError as error:
        raise BadInput(f"finder.{error}") from None
    return reread


def _paths(given: Any, key: str) -> list[Path]:
    """One path or a list of them."""
    entries = [] if given is None else given if isinstance(given, list) else [given]
    for entry in entries:
        if not isinstance(entry, str):
            raise BadInput(
                f"{key} must be a path or a list of paths; {entry!r} came as {type(entry).__name__}: quote it"
            )
    return [Path(entry).expanduser() for entry in entries]


def _values(given: Any) -> list[float]:
    entries = [] if given is None else given if isinstance(given, list) else [given]
    for place, entry in enumerate(entries, start=1):
        if isinstance(entry, bool) or not isinstance(entry, int | float):
            raise BadInput(f"values must be numbers; got {entry!r} at place {place}")
        if not 0 < entry < float("inf"):
            raise BadInput(f"values must be LRs, finite and above 0; got {entry!r} at place {place}")
    return [float(entry) for entry in entries]
