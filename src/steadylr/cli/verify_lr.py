"""Does the spread matter: `python src/verify_lr.py 'sweep=...'`, or `steadylr-verify` once installed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from steadylr.answer.recorded import given_overrides
from steadylr.answer.sweep_folder import sweep_folder
from steadylr.cli.command import run_command
from steadylr.config.errors import BadInput
from steadylr.config.ranges import Range
from steadylr.config.verify import VerifyConfig

if TYPE_CHECKING:
    from omegaconf import DictConfig


ConfigStore.instance().store(name="base_verify", node=VerifyConfig)

RANGES = {
    "beyond": Range(1, open_low=True, note="a factor"),
    "lrs": Range(0, open_low=True),
    "steps": Range(2, 1e7, open_high=False, said="from 2 to ten million"),
    "seeds": Range(0, 2**63, said="from 0 to 2**63 - 1"),
    "tolerance": Range(0, 1, open_low=True, note="a share of the descent"),
    "val_samples": Range(1, note="null: all"),
    "workers": Range(1, note="null: as the sweep was told"),
    "kind": Range(1, note="null: all kinds"),
}
"""What every number may be, each of a list's alone."""


def main() -> None:
    """Run the command line and exit with an honest code."""
    run_command("verify_lr", VerifyConfig, _verify)


def _verify(cfg: DictConfig) -> int:
    """Check what was asked for, and verify the sweep; give the exit code."""
    from steadylr.jobs.launchers import engine_of
    from steadylr.verify.verify import verify_sweep

    config = OmegaConf.to_object(cfg)
    assert isinstance(config, VerifyConfig)
    check_values(config)
    return verify_sweep(config, given_overrides(), engine_of(HydraConfig.get().launcher))


def check_values(config: VerifyConfig) -> None:
    """Make lists of what may be given as one entry, and find the sweep's folder.

    Raises:
        BadInput: all that is wrong, in one message.
    """
    problems = list(_ambiguous_seeds(config.seeds))
    for key, whole in (("beyond", False), ("lrs", False), ("seeds", True)):
        given = getattr(config, key)
        entries = [] if given is None else given if isinstance(given, list) else [given]
        kinds = (int,) if whole else (int, float)
        for entry in entries:
            if isinstance(entry, bool) or not isinstance(entry, kinds):
                wanted = "whole numbers" if whole else "numbers"
                problems.append(f"{key} must be {wanted}, as in '{key}=[{_EXAMPLES[key]}]'; got {entry!r}")
            elif not RANGES[key].holds(entry):
                problems.append(f"{key} must be {RANGES[key].words(entry)}; got {entry}")
        setattr(config, key, entries)
    if not config.seeds:
        problems.append("seeds must hold at least one seed, better three: 'seeds=[0,1,2]'; got none")
    elif not problems and len(set(config.seeds)) < len(config.seeds):
        problems.append(f"seeds must differ, as equal ones are one training; got {config.seeds}")
    for key in ("steps", "tolerance", "val_samples", "workers", "kind"):
        value = getattr(config, key)
        if value is not None and not RANGES[key].holds(value):
            problems.append(f"{key} must be {RANGES[key].words(value)}; got {value}")
    if not isinstance(config.sweep, str) or not config.sweep.strip():
        came = "nothing" if config.sweep is None else repr(config.sweep)
        problems.append(
            f"sweep must be the folder or name of one sweep: 'sweep=outputs/sweeps/<name>'; got {came}"
        )
    if not config.store.dir.strip():
        problems.append("store.dir must name a folder; got nothing: give one, or store.enabled=false")
    if problems:
        raise BadInput.of(problems)
    config.store.dir = str(Path(config.store.dir).expanduser())
    config.sweep = str(sweep_folder(Path(config.sweep).expanduser()))


def _ambiguous_seeds(given: object) -> Iterator[str]:
    """One number could be how many seeds there are, or which one."""
    if isinstance(given, int) and not isinstance(given, bool):
        some = ",".join(map(str, range(given))) if 1 < given <= MOST_LISTED else "0,1,2"
        yield f"seeds={given} could be how many or which one: give a list, 'seeds=[{some}]' or 'seeds=[{given}]'"


MOST_LISTED = 10

_EXAMPLES = {"beyond": "3,10", "lrs": "0.01,0.05", "seeds": "0,1,2"}
