"""What one command remembers until it exits: the single run's result, or which sweep it filled.

Hydra's entry point returns nothing, and an error in one of its callbacks is a mere warning: so what happened in there
can only be left here for the code after it. No run travels this way.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.experimental.callback import Callback
from omegaconf.errors import OmegaConfBaseException

from steadylr.config.choices import Output
from steadylr.present.streams import Lenient
from steadylr.report.result import Result
from steadylr.store.job_folder import next_job_number, remove_links

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from steadylr.jobs.live import Live


JOB_OFFSET = "STEADYLR_JOB_OFFSET"
"""Environment variable: the number of the first job folder that this command may write.

Hydra's other launchers count a command's jobs from 0, and make the folders in processes of their own, which inherit it.
"""


@dataclass
class Session:
    """State of one command, in the parent process only.

    result is what machines read of the answer, where output says that it is for them.
    """

    sweep_folder: Path | None = None
    exit_code: int | None = None
    sweep_config: DictConfig | None = None
    output: Output = Output.text
    result: Result | None = None
    live: Live | None = None

    def speak(self, output: Output) -> None:
        """Set standard output aside where it is not for people."""
        self.output = output
        if output is not Output.text and isinstance(sys.stdout, Lenient):
            sys.stdout.set_aside()

    def close_live(self) -> None:
        """End the live page, if there is one."""
        live, self.live = self.live, None
        if live is not None:
            live.close()


SESSION = Session()


class SweepCallback(Callback):
    """Tells the session which folder a sweep writes to, before its first job.

    The aggregation itself runs after Hydra has returned: an error inside a callback is only a warning to Hydra.
    """

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Let a single run say what it was told to."""
        with suppress(OmegaConfBaseException):  # Hydra meets it next
            SESSION.speak(config.output)

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Note the folder, and let new jobs be numbered after those that are already there."""
        try:
            SESSION.sweep_folder = Path(str(config.hydra.sweep.dir))
        except OmegaConfBaseException:  # of which Hydra would make a warning; its sweeper meets it next
            return
        SESSION.sweep_config = config
        SESSION.speak(config.output)
        remove_links(SESSION.sweep_folder, names=("multirun.yaml",))  # Hydra writes it next
        os.environ[JOB_OFFSET] = str(next_job_number(SESSION.sweep_folder))


def leave_no_trace(sweep: Path) -> None:
    """Remove what Hydra made for a sweep in which nothing has run, and have nothing concluded; all else stays."""
    SESSION.sweep_folder = None
    if next_job_number(sweep) > 0:
        return
    with suppress(OSError):
        (sweep / "multirun.yaml").unlink(missing_ok=True)
        for folder in (sweep, *sweep.parents[:2]):
            if folder == sweep or folder.name in ("sweeps", "outputs"):
                folder.rmdir()  # only when empty


def is_dry(sweep: Path, config: DictConfig) -> bool:
    """Whether a command of another launcher than ours was a dry run, and left no job that failed."""
    return bool(config.dry_run) and next_job_number(sweep) == int(os.environ.get(JOB_OFFSET, "0"))


def job_number(number: Any) -> int:
    """Hydra's number of a job, moved past the job folders that the sweep already has."""
    return int(number) + int(os.environ.get(JOB_OFFSET, "0"))
