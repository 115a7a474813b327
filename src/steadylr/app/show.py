"""What a person sees: gathers what present/ prints."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from steadylr.app.analysis import Answer
    from steadylr.app.job import Obtained
    from steadylr.app.schema import Config
    from steadylr.app.training import StepReport


@contextmanager
def run_progress(num_iter: int, *, shown: bool) -> Iterator[StepReport | None]:
    yield None


def show_run(folder: Path, config: Config, run: Obtained, answer: Answer) -> None:
    print(answer.headline, folder)
