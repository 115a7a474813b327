"""The page of a sweep, served by the command that runs it: from its first batch of jobs until its answer is there."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from steadylr.config.schema import Config
    from steadylr.jobs.engine import AtWork
    from steadylr.present.sweep_progress import Running


class Live:
    """Serves one page for all batches of a command.

    Args:
        sweep: the folder of the sweep.
        config: where to listen.

    Raises:
        BadInput: the port is taken, or the host is none of this machine.
    """

    def __init__(self, sweep: Path, config: Config) -> None:
        from steadylr.report.page.live import LivePage, served

        self._at_work: AtWork | None = None
        self._open = ExitStack()
        page = LivePage(sweep, self.running)
        self.address = self._open.enter_context(
            served(page, host=config.live_host, port=config.live_port, key="live_port")
        )

    def follow(self, at_work: AtWork | None) -> None:
        """Show these trainings from now on; None: none."""
        self._at_work = at_work

    def running(self) -> Sequence[Running]:
        """The trainings under way."""
        at_work = self._at_work
        return () if at_work is None else at_work.running()

    def close(self) -> None:
        """Show the last state to whoever is there, and end."""
        self._open.close()
