"""report.html: written beside the other files of an answer, and made again from what a folder holds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from steadylr.answer.answer import answer_sweep
from steadylr.answer.readings import each_seed_once, from_runs, from_sweep
from steadylr.answer.recorded import as_recorded
from steadylr.config.schema import Consensus, OneCycle
from steadylr.report.files import earlier_summary, note_written
from steadylr.report.page.data import page_data
from steadylr.report.page.html import page_html
from steadylr.store.file_names import REPORT_FILE
from steadylr.store.files import DamagedFile, NewerSchema, write_atomic
from steadylr.store.records import Verified

if TYPE_CHECKING:
    from steadylr.answer.answer import SweepAnswer
    from steadylr.answer.readings import Gathered


def write_page(folder: Path, answer: SweepAnswer, onecycle: OneCycle, *, single: bool = False) -> None:
    """Write the page of an answer into its folder, with the verification that lies there.

    Raises:
        OSError: the file can't be written.
    """
    verified = None
    try:
        verified = Verified.read(folder)
    except FileNotFoundError:
        pass  # most sweeps have none
    except (DamagedFile, NewerSchema) as error:
        answer = replace(answer, problems=(*answer.problems, str(error)))
    data = page_data(answer, onecycle=onecycle, verified=verified, single=single)
    write_atomic(folder / REPORT_FILE, page_html(data))


def write_run_page(folder: Path) -> Path:
    """Write the page of a single run from its folder, and say where.

    Raises:
        BadInput: no such folder, or one of a sweep.
    """
    gathered = from_runs([folder])
    consensus, onecycle = as_recorded(Consensus(), OneCycle(), gathered, ())
    write_page(folder, _answer(gathered, consensus, onecycle), onecycle, single=True)
    return folder / REPORT_FILE


def write_sweep_page(folder: Path) -> Path:
    """Write the page of a sweep from its folder, for the answer that its summary is of, and say where.

    Raises:
        BadInput: no such folder, or no jobs in it.
    """
    gathered = from_sweep(folder)
    summary = earlier_summary(folder)
    consensus, onecycle = as_recorded(
        Consensus(), OneCycle(), gathered, (), settings=None if summary is None else summary.settings
    )
    write_page(folder, _answer(gathered, consensus, onecycle), onecycle)
    note_written(folder, REPORT_FILE)
    return folder / REPORT_FILE


def _answer(gathered: Gathered, consensus: Consensus, onecycle: OneCycle) -> SweepAnswer:
    return answer_sweep(
        each_seed_once(gathered), choose=consensus.choose.value, onecycle=onecycle, mix=consensus.mix
    )
