"""The page of a sweep that runs elsewhere, served while it is under way: `python src/watch.py 'sweep=...'`."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

from steadylr.answer.sweep_folder import check_sweep, sweep_folder
from steadylr.cli.command import run_command
from steadylr.config.errors import BadInput
from steadylr.config.ranges import Key
from steadylr.exit_codes import EXIT_OK

if TYPE_CHECKING:
    from omegaconf import DictConfig

LOOK_SECONDS = 1.0


@dataclass
class WatchConfig:
    """All that watch.py can be told."""

    sweep: Annotated[str | None, Key("folder or name of a sweep")] = None
    port: Annotated[int, Key("where: a free port; 0 takes any")] = 8765
    host: Annotated[
        str, Key("who may see it: 127.0.0.1 (this machine alone), or an address of it that others reach")
    ] = "127.0.0.1"


ConfigStore.instance().store(name="base_watch", node=WatchConfig)


def main() -> None:
    """Run the command line and exit with an honest code."""
    run_command("watch", WatchConfig, watch)


def watch(cfg: DictConfig) -> int:
    """Serve the page of a sweep until it has its answer, or until Ctrl-C where it has it already.

    Raises:
        BadInput: no folder, or a port or host that can't be had.
    """
    from steadylr.report.page.live import LivePage, served

    config = OmegaConf.to_object(cfg)
    assert isinstance(config, WatchConfig)
    if not (config.sweep or "").strip():
        raise BadInput(
            "sweep must be the folder or name of one sweep: 'sweep=outputs/sweeps/<name>'; got nothing"
        )
    if not 0 <= config.port < 65536:
        raise BadInput(f"port must be from 0 (any that is free) to 65535; got {config.port}")
    folder = sweep_folder(Path(str(config.sweep)).expanduser())
    check_sweep(folder)
    page = LivePage(folder)
    had_ended = page.has_ended()
    with served(page, host=config.host, port=config.port, key="port") as address:
        until = "Ctrl-C ends it" if had_ended else "ends with the sweep, or with Ctrl-C"
        print(f"{address} ({until})", flush=True)
        while had_ended or not page.has_ended():
            time.sleep(LOOK_SECONDS)
    return EXIT_OK
