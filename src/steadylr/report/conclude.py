"""The end of a sweep: answer, write, print, and an honest exit code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

from omegaconf import OmegaConf

from steadylr._version import __version__
from steadylr.answer.answer import SweepAnswer, answer_sweep
from steadylr.answer.readings import each_seed_once, from_sweep
from steadylr.config.errors import BadInput
from steadylr.errors import SteadylrError
from steadylr.exit_codes import EXIT_FAILED, EXIT_NO_ANSWER, EXIT_OK
from steadylr.present.streams import complain
from steadylr.report import files
from steadylr.report.figures import draw_condition
from steadylr.report.plan_files import write_plan
from steadylr.report.result import Result, sweep_result
from steadylr.report.sweep_text import show_sweep, sweep_text
from steadylr.store.file_names import ANSWER_FILE, REPORT_FILE
from steadylr.store.files import plain_values, write_atomic
from steadylr.store.job_folder import next_job_number
from steadylr.tracking.send import track

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from steadylr.answer.readings import Gathered
    from steadylr.config.schema import Consensus, OneCycle, Tracker
    from steadylr.store.records import Summary


class Concluded(NamedTuple):
    """How a command ends: its exit code, and what it found, None where it came to no answer."""

    code: int
    result: Result | None = None


def conclude_sweep(folder: Path, config: DictConfig, *, interrupted: bool = False) -> Concluded:
    """Aggregate the sweep that a command filled, as its config says."""
    if interrupted:
        complain(
            "interrupted; what has finished is kept, and the same command with "
            f"sweep_name='{folder.name}' goes on from here"
        )
    if next_job_number(folder) == 0:
        if not interrupted:
            complain(f"{folder} holds no jobs")
        return Concluded(EXIT_FAILED)
    try:
        concluded = conclude(
            from_sweep(folder),
            folder,
            consensus=cast("Consensus", OmegaConf.to_object(config.consensus)),
            onecycle=cast("OneCycle", OmegaConf.to_object(config.onecycle)),
            formats=[str(form) for form in config.figures],
            report=config.report,
        )
        if not interrupted:
            track(folder, cast("Tracker", OmegaConf.to_object(config.tracker)))
        return concluded
    except SteadylrError as error:
        complain(error)
    except OSError as error:
        complain(f"{error.filename or folder}: can't be read ({error.strerror or error})")
    return Concluded(EXIT_FAILED)


def conclude(
    gathered: Gathered,
    folder: Path,
    *,
    consensus: Consensus,
    onecycle: OneCycle,
    formats: Sequence[str] = ("png",),
    report: bool = True,
) -> Concluded:
    """Answer from what was gathered, leave the files in the folder, and print the answer.

    Where the folder holds the aggregate of the same inputs already, each file as it was written, nothing is written or
    drawn again. What is printed is what was computed, never what a file says.

    Args:
        gathered: what takes part.
        folder: where the files go.
        consensus, onecycle: how the answer is made.
        formats: of the figures.
        report: whether report.html is one of the files.

    Raises:
        BadInput: an LR that is no number above 0, or a folder that can't be made or written.
    """
    settings = {"consensus": plain_values(asdict(consensus)), "onecycle": plain_values(asdict(onecycle))}
    gathered = each_seed_once(gathered)
    digest = files.inputs_digest(gathered, settings, __version__)
    answer = answer_sweep(gathered, choose=consensus.choose.value, onecycle=onecycle, mix=consensus.mix)
    summary = files.summary_of(answer, digest=digest, settings=settings, formats=formats, report=report)
    if not files.unchanged(folder, summary):
        try:
            _write(folder, gathered, answer, summary, formats, onecycle)
        except OSError as error:
            raise BadInput(
                f"{error.filename or folder}: can't be written ({error.strerror or error}), so the answer is not kept; "
                "give another folder with `python src/aggregate.py ... out=FOLDER`"
            ) from None
    show_sweep(answer, folder)
    return Concluded(exit_code(answer), sweep_result(answer, summary, folder))


def _write(
    folder: Path,
    gathered: Gathered,
    answer: SweepAnswer,
    summary: Summary,
    formats: Sequence[str],
    onecycle: OneCycle,
) -> None:
    """Leave all files of an answer in a folder.

    Raises:
        OSError: one of them can't be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files.remove_stale(folder, summary.files)
    files.write_runs(folder, gathered)
    files.write_curves(folder, gathered.readings)
    for number, condition in enumerate(answer.conditions, start=1):
        names = files.condition_files(number, conditions=len(answer.conditions))
        draw_condition(
            condition,
            formats,
            summary=folder / names.summary_figure,
            plan=folder / names.plan_figure,
            attribution=folder / names.attribution_figure,
            length=folder / names.length_figure,
        )
        if condition.plan is not None:
            write_plan(folder / names.plan, condition)
    write_atomic(folder / ANSWER_FILE, sweep_text(answer))
    if REPORT_FILE in summary.files:
        # a finished sweep that is read again needs none of it
        from steadylr.report.page.write import write_page

        write_page(folder, answer, onecycle)
    files.write_summary(folder, summary)


def exit_code(answer: SweepAnswer) -> int:
    """1 where a job failed or a file could not be read, 3 without a usable LR, else 0."""
    if any(job.has_failed for job in answer.failed) or answer.problems:
        return EXIT_FAILED
    return EXIT_OK if answer.usable else EXIT_NO_ANSWER
