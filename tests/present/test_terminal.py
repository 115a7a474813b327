"""What a person reads on the terminal."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import product

import pytest
from rich.console import Console

from steadylr.core.attribution import attribute
from steadylr.core.consensus import consensus
from steadylr.core.diagnosis import Code
from steadylr.core.not_split import NotSplit, Unsplit
from steadylr.core.onecycle import plan
from steadylr.core.suggestion import Outcome
from steadylr.core.sweep_consensus import Observation, SweepConsensus, consensus_of
from steadylr.core.verdict import Level
from steadylr.present import terminal
from steadylr.present.progress import run_progress
from steadylr.present.terminal import (
    FailedRow,
    KindView,
    RunRow,
    RunView,
    SweepProgress,
    SweepView,
    answer_console,
    print_run,
    print_sweep,
    run_text,
    sweep_text,
)
from steadylr.words.consensus import verdict
from steadylr.words.names import PYTHON
from steadylr.words.reading import ToldFinding, ToldSuggestion

FOLDER = "outputs/sweeps/a name with spaces [and brackets] :smile:/" + "very_long_" * 12
TORCH_LINE = plan(3.3e-2).torch_line()
LONG = "no LR has a slope steeper than the threshold within reach: raise finder.end_lr or take another rule"


def run_view() -> RunView:
    """One run with an answer, a rule without one, a finding and a note."""
    return RunView(
        title="small_resnet on fashion_mnist_mini, seed 1",
        rule="bracket",
        suggestions=(
            ToldSuggestion("bracket", Outcome.FOUND, "between", 3.3e-2, 1.1e-2, 9.8e-2),
            ToldSuggestion("steepest", Outcome.FOUND, "steepest", 2.6e-3),
            ToldSuggestion("slide", Outcome.NO_POINT, LONG),
        ),
        findings=(
            ToldFinding(
                Code.NEVER_DIVERGED,
                text="the loss never climbed back",
                advice="raise finder.end_lr, to 100 say",
            ),
        ),
        plan=plan(3.3e-2, low=1.1e-2, high=9.8e-2),
        folder=FOLDER,
        notes=("This run came from the store; for independent ones: -m 'seed=range(0,5)'",),
    )


def sweep_view(num_runs: int = 4, *, values: int = 0) -> SweepView:
    """A sweep of so many runs read with two settings; the last one is flat, one job failed."""
    observations = [
        Observation(f"run {i:04}", lr, "flat" if lr is None else "found", {"smooth_f": smooth_f})
        for i in range(num_runs)
        for smooth_f, factor in ((0.05, 1.0), (0.15, 1.1))
        for lr in [None if i == num_runs - 1 else 1e-2 * factor * (1 + i % 7)]
    ]
    found = consensus_of(observations)
    by_run = {o.run: [x.lr for x in observations if x.run == o.run] for o in observations}
    rows = tuple(
        RunRow(
            f"seed={i}",
            lr,
            "" if lr is not None else "the loss never fell beyond its noise: check the data",
            tuple(by_run[run]),
            ("noisy",) if i == 1 else (),
        )
        for i, (run, lr) in enumerate(found.run_lrs.items())
    )
    head = found.headline
    assert head.lr is not None
    kind = KindView(
        "small_resnet on digits", rows, found, verdict(head), plan(head.lr, low=head.low, high=head.high)
    )
    failed = FailedRow(
        "7", "RuntimeError: CUDA out of memory\nat batch size 512", ("seed=7", "data.batch_size=512")
    )
    return SweepView((kind,), (failed,), ("3/record.json: has version 9",), FOLDER)


def values_view(*lrs: float) -> SweepView:
    """Numbers that somebody brought along."""
    found = consensus(lrs)
    rows = tuple(RunRow(f"value {i}", lr) for i, lr in enumerate(lrs, start=1))
    made = None if found.lr is None else plan(found.lr, low=found.low, high=found.high)
    return SweepView((KindView("values", rows, SweepConsensus(found), verdict(found), made),))


def shown(show: Callable[[Console], None], *, width: int = 80, terminal: bool = False) -> str:
    """What is printed on a console of that width."""
    file = io.StringIO()
    show(
        Console(
            file=file, force_terminal=terminal, width=width, color_system="standard" if terminal else None
        )
    )
    return file.getvalue()


VIEWS: dict[str, Callable[[Console], None]] = {
    "run": lambda console: print_run(console, run_view()),
    "sweep": lambda console: print_sweep(console, sweep_view()),
}


@pytest.mark.parametrize("name", VIEWS)
@pytest.mark.parametrize("is_terminal", [False, True])
def test_what_is_pasted_is_never_broken(name: str, is_terminal: bool) -> None:
    """The torch line and the folder stand on one line each, at a width of 40, exactly as they are."""
    lines = shown(VIEWS[name], width=40, terminal=is_terminal).splitlines()
    plain = [line.removeprefix("\x1b[36m").removesuffix("\x1b[0m") for line in lines]
    torch_lines = [line for line in plain if line.startswith("torch.optim.lr_scheduler.OneCycleLR(")]
    assert len(torch_lines) == 1
    assert torch_lines[0].endswith(")")
    assert FOLDER in plain
    if name == "run":
        assert torch_lines == [TORCH_LINE]


@pytest.mark.parametrize("name", VIEWS)
def test_without_a_terminal_there_are_no_escape_codes_and_no_breaks(name: str) -> None:
    """Piped output is plain, doesn't depend on the width and has no trailing spaces."""
    narrow, wide = (shown(VIEWS[name], width=width) for width in (30, 300))
    assert "\x1b" not in narrow
    assert narrow == wide
    assert all(line == line.rstrip() for line in narrow.splitlines())


@pytest.mark.parametrize("name", VIEWS)
def test_on_a_terminal_prose_is_broken_between_words(name: str) -> None:
    """Prose on a terminal fits its width, and no word is lost or cut."""
    narrow = shown(lambda c: VIEWS[name](Console(file=c.file, force_terminal=True, width=72, no_color=True)))
    for mark in ("\x1b[1m", "\x1b[2m", "\x1b[0m"):
        narrow = narrow.replace(mark, "")
    pasted = ("torch.optim", FOLDER, "This run came from the store")
    lines = [line for line in narrow.splitlines() if not line.startswith(pasted)]
    assert max(map(len, lines)) <= 72
    assert sorted(narrow.split()) == sorted(shown(VIEWS[name]).split())


def test_the_text_of_a_run_says_everything() -> None:
    """Suggestions with the headline marked, the short reason, diagnosis with advice, plan and folder."""
    lines = run_text(run_view()).splitlines()
    assert lines[0] == "small_resnet on fashion_mnist_mini, seed 1"
    assert "  >  bracket   3.30e-2  1.10e-2  9.80e-2" in lines
    assert "     steepest  2.60e-3" in lines
    assert "     slide     no answer: no LR has a slope steeper than the threshold within reach" in lines
    assert "  The loss never climbed back. Raise finder.end_lr, to 100 say." in lines
    assert "  LR 3.30e-4 -> 3.30e-2 -> 3.30e-7 (start, peak, end)" in lines
    assert "  range of the peak 1.10e-2 to 9.80e-2" in lines
    assert lines[-1] == FOLDER
    assert "This run came from the store; for independent ones: -m 'seed=range(0,5)'" in lines


def test_a_run_without_answer_says_why_in_full_and_has_no_plan() -> None:
    """Without an LR there is no plan and no torch line, but the whole reason with the next step."""
    view = RunView("mlp", "bracket", (ToldSuggestion("bracket", Outcome.FLAT, LONG),), folder="here")
    text = run_text(view)
    assert f"No answer: {LONG}" in text
    assert "OneCycle" not in text


def test_the_text_of_a_sweep_says_everything() -> None:
    """Runs, groups, shift, consensus, verdict, guide, plan, failed jobs and what was left out."""
    view = sweep_view()
    text = sweep_text(view)
    kind = view.kinds[0]
    assert "  seed=1  2.10e-2  2.00e-2        2.20e-2        noisy" in text
    assert "  seed=3  no answer: the loss never fell beyond its noise\n" in text
    assert (
        "from smooth_f 0.05 to smooth_f 0.15: the LR of a run times 1.10 (n = 3, 95% interval 1.10 to 1.10)"
        in text
    )
    assert "  3 runs with an LR, 1 without (1 flat)" in text
    assert f"  {kind.verdict.summary}" in text
    assert all(f"  {advice}\n" in text for advice in kind.verdict.advice)
    assert "1 job failed" in text
    assert "  7    seed=7 data.batch_size=512  RuntimeError: CUDA out of memory at batch size 512" in text
    assert "  3/record.json: has version 9" in text


def test_the_split_of_the_spread_is_shown_by_source() -> None:
    """Share, interval and seeds of each, two sentences, and what the runs leave out."""
    cells = list(product(range(8), range(8)))
    seeds = {
        "init": [i for i, _ in cells],
        "order": [j for _, j in cells],
        "noise": [0] * 64,
        "augment": [1] * 64,
    }
    lrs = [10 ** (0.02 * (i % 3) + 0.1 * (j % 2) + 0.01 * (i * j % 5)) for i, j in cells]
    found = attribute(lrs, seeds, unused=("augment",))
    view = sweep_view()
    text = sweep_text(replace(view, kinds=(replace(view.kinds[0], attribution=found),)))
    part = text.partition("Where the spread comes from\n")[2].partition("\n\n")[0].splitlines()
    assert part[0].split("  ")[1] == "source"
    assert [line.split()[0] for line in part[1:5]] == ["init", "order", "augment", "interactions"]
    assert part[3].split() == ["augment", "0%", "unused:", "nothing", "draws", "from", "it"]
    assert part[5].startswith("  The largest source is the order of the samples (order): ")
    assert part[6].startswith("  To reduce it use larger batches (data.batch_size)")
    assert part[7] == "  One seed in all runs, so not in these shares: noise."
    assert part[8].startswith("  Runs that share seeds are not independent: ")


def test_why_a_spread_is_not_split_is_one_line() -> None:
    """The reason and what to run."""
    view = sweep_view()
    missing = NotSplit(Unsplit.ONE_STREAM_VARIES, ("init",), to_cross=("init", "order"))
    text = sweep_text(replace(view, kinds=(replace(view.kinds[0], attribution=missing),)))
    assert (
        "\n  Not known: only init varies, so there is nothing to tell it from. Let them vary independently: "
        in text
    )


def test_two_values_give_the_known_answer() -> None:
    """6.16e-2 and 1.79e-2: ratio 3.44, geometric mean 3.32e-2, no interval, plan 3.3e-4, 3.3e-2, 3.3e-7."""
    text = sweep_text(values_view(6.16e-2, 1.79e-2))
    assert "geometric mean  3.32e-2             no interval below 3 runs" in text
    assert "range           1.79e-2 to 6.16e-2  ratio 3.44" in text
    assert "LR 3.32e-4 -> 3.32e-2 -> 3.32e-7 (start, peak, end)" in text
    assert "By analysis setting" not in text


def test_the_guide_marks_the_chosen_number() -> None:
    """Each purpose has its LR and the option that picks it; the one in use is marked."""
    lines = sweep_text(values_view(6.16e-2, 1.79e-2, 3.45e-2)).splitlines()
    guide = [line for line in lines if "consensus.choose=" in line]
    assert [line.split()[0] for line in guide] == [">", "careful", "bold", "scientific"]
    assert [line.split()[1] for line in guide[1:]] == ["1.79e-2", "6.16e-2", "3.45e-2"]


def test_many_runs_are_summed_up() -> None:
    """Above ten runs only the lowest and the highest are listed."""
    text = sweep_text(sweep_view(100))
    assert "  100 runs, each with its LR in runs.csv" in text
    listed = [line for line in text.splitlines() if line.startswith("  seed=") and not line.endswith("yes")]
    assert len(listed) == 2
    assert listed[0].endswith("lowest")
    assert listed[1].endswith("highest")
    assert len(text.splitlines()) < 60


def test_many_failed_jobs_are_cut_short() -> None:
    """Twenty failed jobs are listed, the rest counted."""
    text = sweep_text(SweepView((), tuple(FailedRow(str(i), "killed") for i in range(50))))
    assert "50 jobs failed" in text
    assert text.count("killed") == 20
    assert "  and 30 more" in text


def test_nothing_answered_is_said_and_planned_nothing() -> None:
    """A sweep without a single LR has a verdict, but no guide, plan or torch line."""
    text = sweep_text(values_view())
    assert "  0 runs with an LR" in text
    assert "No answer" in text
    assert "Which LR" not in text
    assert "OneCycleLR" not in text


def test_answers_go_to_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    """The answer's console is standard output, unmarked up: brackets in names stay."""
    print_run(answer_console(), RunView("[red]mlp[/red] :smile:", "bracket", ()))
    out, err = capsys.readouterr()
    assert out.startswith("[red]mlp[/red] :smile:\n")
    assert err == ""


def test_there_is_no_bar_without_a_terminal() -> None:
    """Where standard error is no terminal, or nothing shall be shown, there is nothing to call per step."""
    file = io.StringIO()
    with run_progress(10, console=Console(file=file, force_terminal=False)) as report:
        assert report is None
    with run_progress(10, shown=False, console=Console(file=file, force_terminal=True)) as report:
        assert report is None
    assert file.getvalue() == ""


def test_the_bar_shows_loss_lr_and_speed() -> None:
    """The last picture of the bar has the last step, the last known loss, the LR and a speed."""
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=100, color_system=None)
    with run_progress(1000, console=console) as report:
        assert report is not None
        report(0, 1e-7, None)
        report(510, 1e-3, 2.25)
        report(511, 2e-3, None)
    last = file.getvalue().split("\r")[-1]
    assert "512/1000" in last
    assert "loss 2.250  LR 2.00e-3" in last
    assert "it/s" in last


def test_most_steps_draw_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many steps are reported, the bar is drawn once at the start and then when its time has come."""
    clock = [100.0]
    monkeypatch.setattr(terminal.time, "perf_counter", lambda: clock[0])
    drawn = []
    monkeypatch.setattr(terminal.Progress, "refresh", lambda self: drawn.append(clock[0]))
    with run_progress(10_000, console=Console(file=io.StringIO(), force_terminal=True)) as report:
        assert report is not None
        drawn.clear()
        for step in range(10_000):
            report(step, 1e-3, 1.0)
            clock[0] += 1e-4
        assert len(drawn) == pytest.approx(1.0 / terminal.REFRESH_SECONDS, abs=1)


def test_a_sweep_without_a_terminal_has_a_line_per_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each run that ends leaves one plain line with how many have ended and the time left."""
    clock = [0.0]
    monkeypatch.setattr(terminal.time, "perf_counter", lambda: clock[0])
    file = io.StringIO()
    with SweepProgress(3, 3000, console=Console(file=file, force_terminal=False)) as progress:
        clock[0] = 60.0
        progress.update(steps=1500, running=2)
        progress.run_done("seed=1")
        progress.run_done(failed=True)
        progress.run_done()
    assert file.getvalue().splitlines() == [
        "run seed=1 done (1 of 3), about 1 min left",
        "run failed (2 of 3), about 30 s left",
        "run done (3 of 3)",
    ]


def test_the_time_left_is_told_as_soon_as_it_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a terminal in a line of its own, once; the time that processes take to start is not counted."""
    clock = [0.0]
    monkeypatch.setattr(terminal.time, "perf_counter", lambda: clock[0])
    file = io.StringIO()
    with SweepProgress(3, 3000, console=Console(file=file, force_terminal=False)) as progress:
        for second, steps in ((10.0, 0), (20.0, 30), (21.0, 60), (22.0, 190), (23.0, 400), (24.0, 500)):
            clock[0] = second
            progress.update(steps=steps, running=2)
    assert file.getvalue().splitlines() == ["0 of 3 runs done, 2 running, about 15 s left"]


def test_a_sweep_on_a_terminal_has_one_display() -> None:
    """Done, running, failed and time left stand in one line that is drawn over and over."""
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=120, color_system=None)
    with SweepProgress(5, total_jobs=10, console=console) as progress:
        progress.update(running=2)
        progress.run_done()
        progress.run_done(failed=True)
        progress.update(running=2)
        assert progress.text().startswith("1 of 5 runs (10 jobs) done, 2 running, 1 failed, about ")
    assert file.getvalue().count("\n") == 1


def test_every_level_of_a_verdict_has_its_colour() -> None:
    """The colours are kept by the text of levels that exist."""
    assert set(terminal._LEVEL_COLOURS) <= {level.value for level in Level}


def test_progress_loads_neither_numpy_nor_matplotlib() -> None:
    """Importing the terminal is quick: what the statistics and the figures need comes later."""
    code = (
        "import sys, steadylr.present.terminal;"
        "sys.exit(any(m in sys.modules for m in ('numpy', 'scipy', 'matplotlib', 'torch')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_empty_sweep_shows_nothing() -> None:
    """Where nothing is to be trained there is no display."""
    file = io.StringIO()
    with SweepProgress(0, 0, console=Console(file=file, force_terminal=True)) as progress:
        progress.update(steps=0, running=0)
    assert file.getvalue() == ""


def test_the_guide_names_what_the_door_calls_it() -> None:
    """A key on the command line, an argument in Python."""
    view = values_view(6.16e-2, 1.79e-2)
    python = sweep_text(replace(view, kinds=(replace(view.kinds[0], names=PYTHON),)))
    assert 'choose="median"' in python
    assert "consensus." not in python
    assert "consensus.choose=median" in sweep_text(view)
