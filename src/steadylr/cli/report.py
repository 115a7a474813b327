"""The page of a finished sweep or run, made again: `python src/report.py 'sweep=...'`. No training, and no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

from steadylr.answer.sweep_folder import sweep_folder
from steadylr.cli.command import run_command
from steadylr.config.errors import BadInput
from steadylr.config.ranges import Key
from steadylr.exit_codes import EXIT_OK

if TYPE_CHECKING:
    from omegaconf import DictConfig


@dataclass
class ReportConfig:
    """All that report.py can be told: one of the two."""

    sweep: Annotated[str | None, Key("folder or name of a sweep")] = None
    run: Annotated[str | None, Key("folder of a single run")] = None


ConfigStore.instance().store(name="base_report", node=ReportConfig)


def main() -> None:
    """Run the command line and exit with an honest code."""
    run_command("report", ReportConfig, report)


def report(cfg: DictConfig) -> int:
    """Write report.html into the folder of a sweep or a run, and print its path; give the exit code.

    Raises:
        BadInput: not one of the two, a folder that isn't there or holds no jobs, or one that can't be written.
    """
    from steadylr.report.page.write import write_run_page, write_sweep_page

    config = OmegaConf.to_object(cfg)
    assert isinstance(config, ReportConfig)
    given = [key for key in ("sweep", "run") if (getattr(config, key) or "").strip()]
    if len(given) != 1:
        came = "both" if given else "neither"
        raise BadInput(
            "give one folder, 'sweep=outputs/sweeps/<name>' or 'run=outputs/runs/<time>'; got " + came
        )
    try:
        if config.sweep is not None and given == ["sweep"]:
            print(write_sweep_page(sweep_folder(Path(config.sweep).expanduser())))
        else:
            print(write_run_page(Path(str(config.run)).expanduser()))
    except OSError as error:
        raise BadInput(f"{error.filename}: can't be written ({error.strerror or error})") from None
    return EXIT_OK
