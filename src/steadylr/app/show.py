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
    from steadylr.app.sweep import SweepAnswer
    from steadylr.app.training import StepReport


@contextmanager
def run_progress(num_iter: int, *, shown: bool) -> Iterator[StepReport | None]:
    yield None


def show_run(folder: Path, config: Config, run: Obtained, answer: Answer) -> None:
    print(answer.headline, folder)


class SweepProgress:
    def __init__(self, runs: int, planned: int) -> None:
        pass

    def __enter__(self) -> SweepProgress:
        return self

    def __exit__(self, *exc: object) -> None:
        pass

    def run_done(self, *, failed: bool) -> None:
        pass

    def update(self, *, steps: int, running: int) -> None:
        pass


def draw_sweep(folder: Path, answer: SweepAnswer) -> None:
    pass


def print_sweep(answer: SweepAnswer, folder: Path) -> None:
    print(sweep_text(answer, folder))


def sweep_text(answer: SweepAnswer, folder: Path) -> str:
    return (
        "\n".join(f"{kind.title} {kind.verdict.summary} {kind.consensus.headline}" for kind in answer.kinds)
        + "\n"
    )
