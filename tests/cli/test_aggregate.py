"""aggregate.py: the same answer again, other readings, and numbers from anywhere; never torch."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from made_jobs import curve_of, leave_status, make_job, make_sweep
from steadylr.answer.readings import from_sweep
from steadylr.cli import aggregate as program
from steadylr.config.schema import Choose, Consensus, OneCycle
from steadylr.report.conclude import conclude
from steadylr.store.curve_file import RunCurves
from steadylr.store.records import JobStatus, RunRecord, SeedUse

pytestmark = pytest.mark.usefixtures("undrawn")


class Aggregates:
    """Command lines of aggregate.py, run in a folder of their own."""

    def __init__(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.folder = folder
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def run(self, *overrides: str) -> tuple[int, str, str]:
        """Exit code, what was printed, and what was complained about."""
        from hydra.core.global_hydra import GlobalHydra

        GlobalHydra.instance().clear()
        self._monkeypatch.chdir(self.folder)
        self._monkeypatch.setattr(sys, "argv", ["aggregate.py", *overrides])
        self._capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            program.main()
        out, err = self._capsys.readouterr()
        code = ended.value.code
        assert isinstance(code, int)
        return code, out, err

    def made(self) -> list[Path]:
        return sorted((self.folder / "outputs" / "aggregates").glob("*"))


@pytest.fixture
def aggregates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Aggregates:
    return Aggregates(tmp_path, monkeypatch, capsys)


def kind_of(folder: Path) -> dict[str, Any]:
    (kind,) = json.loads((folder / "summary.json").read_text())["kinds"]
    assert isinstance(kind, dict)
    return kind


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    return make_sweep(tmp_path / "outputs" / "sweeps" / "x")


@pytest.mark.parametrize("given", ["outputs/sweeps/x", "x"])
def test_a_sweep_is_aggregated_in_its_own_folder(aggregates: Aggregates, sweep: Path, given: str) -> None:
    """Given by its folder or by its name."""
    code, out, _ = aggregates.run(f"sweep={given}")
    assert code == 0
    assert out == (sweep / "answer.txt").read_text() + "\noutputs/sweeps/x\n"
    assert aggregates.made() == []


def test_the_answer_is_made_as_the_sweep_was_told(aggregates: Aggregates, tmp_path: Path) -> None:
    """consensus and onecycle come from the latest record, unless the command line gives other values."""
    own = ("consensus.choose=median", "onecycle.total_steps=500", "onecycle.div_factor=50")
    sweep = make_sweep(tmp_path / "x", overrides=(own,))
    settings = OneCycle(total_steps=500, div_factor=50.0)
    conclude(from_sweep(sweep), sweep, consensus=Consensus(choose=Choose.median), onecycle=settings)
    before = (sweep / "summary.json").read_text()
    aggregates.run("sweep=x")
    assert (sweep / "summary.json").read_text() == before
    aggregates.run("sweep=x", "consensus.choose=conservative", "onecycle.total_steps=100", "out=y")
    kind = kind_of(tmp_path / "y")
    assert kind["consensus"]["choose"] == "conservative"
    assert (kind["plan"]["total_steps"], kind["plan"]["div_factor"]) == (100, 50)
    aggregates.run("sweep=x", "onecycle=no_momentum", "out=z")
    assert kind_of(tmp_path / "z")["plan"]["div_factor"] == 100


def test_another_reading_is_another_aggregate(aggregates: Aggregates, sweep: Path) -> None:
    """In a folder of its own; the sweep's stays as it is."""
    aggregates.run("sweep=x")
    before = (sweep / "summary.json").read_text()
    for given in ("finder.smooth_f=0.3", "finder.rule=steepest", "finder.skip_end=12"):
        assert aggregates.run("sweep=x", given)[0] == 0
    assert (sweep / "summary.json").read_text() == before
    lrs = {kind_of(folder)["consensus"]["lr"] for folder in aggregates.made()}
    assert len(lrs) >= 2
    assert len(aggregates.made()) == 3


def test_several_sweeps_are_one_aggregate(aggregates: Aggregates, sweep: Path, tmp_path: Path) -> None:
    """A run that is in both counts once."""
    other = tmp_path / "outputs" / "sweeps" / "y"
    for seed in (2, 3):
        make_job(other / str(seed), seed=seed)
    code, _, _ = aggregates.run("sweep=[x,outputs/sweeps/y]")
    assert code == 0
    (folder,) = aggregates.made()
    assert kind_of(folder)["consensus"]["n"] == 4
    assert kind_of(folder)["duplicates"] == 1


def test_single_runs_and_curves_are_aggregated(aggregates: Aggregates, sweep: Path, tmp_path: Path) -> None:
    """Runs by their folders, curves by their files."""
    assert aggregates.run("runs=[outputs/sweeps/x/0,outputs/sweeps/x/2]", "out=r")[0] == 0
    assert kind_of(tmp_path / "r")["consensus"]["n"] == 2
    for seed in (1, 2):
        curve = curve_of(seed)
        rows = "".join(
            f"{lr!r},{loss!r}\n" for lr, loss in zip(curve.lr.tolist(), curve.loss.tolist(), strict=True)
        )
        (tmp_path / f"{seed}.csv").write_text("lr,loss\n" + rows)
    assert aggregates.run("curves=[1.csv,2.csv]", "out=c")[0] == 0
    assert kind_of(tmp_path / "c")["consensus"]["n"] == 2


def test_numbers_alone_have_an_answer(aggregates: Aggregates) -> None:
    """The known one, as a person reads it."""
    code, out, _ = aggregates.run("values=[6.16e-2,1.79e-2]")
    assert code == 0
    assert "Normal: 2 runs spread over a factor of 3.44, too few to be sure." in out
    assert "LR 3.32e-4 -> 3.32e-2 -> 3.32e-7" in out
    assert "no interval below 3 runs" in out


@pytest.mark.parametrize(
    ("override", "text"),
    [
        ("out=x", "nothing to aggregate: give"),
        ("values=[0.1,0]", "values must be LRs, finite and above 0; got 0 at place 2"),
        ("values=[-1e-3]", "values must be LRs, finite and above 0; got -0.001 at place 1"),
        ("values=[nan]", "values must be LRs, finite and above 0; got nan at place 1"),
        ("values=[0.1,abc]", "values must be numbers; got 'abc' at place 2"),
        ("values=[true]", "values must be numbers; got True at place 1"),
        ("sweep=missing", "sweep=missing: no such folder"),
        ("sweep=12", "sweep must be a path or a list of paths; 12 came as int: quote it"),
        ("runs=[missing]", "runs: missing is no folder"),
        ("sweep=x finder.rule=best", "finder.rule=best is not known; allowed: bracket,"),
        ("sweep=x finder.smooth_f=2", "finder.smooth_f must be in [0, 1)"),
        ("sweep=x onecycle.div_factor=0", "onecycle: div_factor must be at least 1"),
        ("sweep=x finder.smoth_f=0.1", "did you mean finder.smooth_f?"),
    ],
)
def test_bad_input_is_named(aggregates: Aggregates, sweep: Path, override: str, text: str) -> None:
    """In one message, without a traceback, with exit code 1."""
    code, out, err = aggregates.run(*override.split())
    assert code == 1
    assert text in err
    assert "Traceback" not in err
    assert out == ""


@pytest.mark.parametrize("out", ["file/x", "file"])
def test_a_folder_that_cannot_be_made_is_one_sentence(aggregates: Aggregates, sweep: Path, out: str) -> None:
    """Which it is, why, and what to do."""
    (aggregates.folder / "file").touch()
    code, printed, err = aggregates.run("sweep=x", f"out={out}")
    assert (code, printed) == (1, "")
    (said,) = err.splitlines()
    assert said.startswith("file")
    assert "give another folder with" in said


def test_what_can_be_read_is_still_aggregated(aggregates: Aggregates, sweep: Path) -> None:
    """Exit code 1, and the file is named."""
    (sweep / "1" / "curve.npz").write_bytes(b"cut")
    code, out, _ = aggregates.run("sweep=x")
    assert code == 1
    assert "2 runs with an LR" in out
    assert "curve.npz: is cut short" in out


PROGRAM = Path(__file__).parents[2] / "src" / "aggregate.py"
MEASURED = """
import runpy, sys
sys.argv = sys.argv[1:]
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
finally:
    # not ru_maxrss, which begins with the memory of the process that started this one
    print("torch" in sys.modules, open("/proc/self/status").read().split("VmHWM:")[1].split()[0], file=sys.stderr)
"""


def measured(sweep: Path, folder: Path) -> tuple[float, bool, int]:
    """CPU seconds of one aggregate, whether torch was imported, and the most memory in KB."""
    before = os.times()
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, str(PROGRAM), f"sweep={sweep}", "out=out"],
        cwd=folder,
        check=True,
        capture_output=True,
        text=True,
    )
    after = os.times()
    torch, memory = done.stderr.split()[-2:]
    seconds = after.children_user - before.children_user + after.children_system - before.children_system
    return seconds, torch == "True", int(memory)


@pytest.mark.slow
def test_a_thousand_records_take_at_most_ten_times_as_long_as_a_hundred(tmp_path: Path) -> None:
    """And less than 1 GB, without torch."""
    for n in (100, 1000):
        first = make_job(tmp_path / "made" / str(n), "finder.num_iter=1000", curve=curve_of(0, points=1000))
        record, status = RunRecord.read(first), JobStatus.read(first)
        meta = RunCurves.load(first / "curve.npz").meta
        for k in range(n):
            folder = tmp_path / f"s{n}" / str(k)
            curve = curve_of(k, points=1000)
            run = RunCurves(curve, None, curve.lr[:, None], meta)
            run.save(folder / "curve.npz")
            changes = {"curve_digest": curve.digest(), "content_digest": run.digest(), "stop": curve.stop}
            facts = record.run.model_copy(update=changes)
            seeds = {name: SeedUse(seed=k, used=use.used) for name, use in record.seeds.items()}
            own = {"run": facts, "seeds": seeds, "job_key": f"job {k}"}
            record.model_copy(update=own).write(folder)
            status.model_copy(update={"job_key": f"job {k}"}).write(folder)
    few, _, _ = measured(tmp_path / "s100", tmp_path)
    many, torch, memory = measured(tmp_path / "s1000", tmp_path)
    assert not torch
    assert memory < 1_000_000
    assert many <= 10 * few


def test_importing_the_program_takes_no_numpy() -> None:
    """So that its help and its errors come at once."""
    code = (
        "import sys, steadylr.cli.aggregate\n"
        "print([name for name in ('torch', 'numpy', 'scipy', 'matplotlib') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", ["answer.txt", "summary.json"])
def test_a_folder_in_the_place_of_a_file_is_named(aggregates: Aggregates, sweep: Path, name: str) -> None:
    """In one sentence; it stays."""
    (sweep / name).mkdir()
    code, _, err = aggregates.run("sweep=x")
    assert code == 1
    assert err.startswith(f"outputs/sweeps/x/{name}: is a folder")
    assert len(err.splitlines()) == 1
    assert (sweep / name).is_dir()


def test_nothing_that_a_record_names_is_imported(aggregates: Aggregates) -> None:
    """A record may come from anybody: the targets in its config are words, in every command that reads records."""
    (aggregates.folder / "own_danger.py").write_text("open('harmed', 'w').close()\nclass Net: pass\n")

    def name_them(content: dict[str, Any]) -> None:
        for group in ("model", "data", "optimizer", "loss"):
            content["config"][group]["_target_"] = "own_danger.Net"
        content["config"]["model"]["arguments"] = {"inner": {"_target_": "own_danger.Net"}}

    for seed in (1, 2):
        make_job(aggregates.folder / "s" / str(seed), seed=seed, change=name_them)
    code, out, _ = aggregates.run("sweep=s", "finder.rule=steepest")
    assert (code, "2 runs with an LR" in out) == (0, True)
    assert "own_danger" not in sys.modules
    assert not (aggregates.folder / "harmed").exists()


def test_records_of_earlier_versions_still_aggregate(aggregates: Aggregates) -> None:
    """Those with names and kwargs in place of targets; the plan knows whether there is a momentum."""

    def as_it_was(content: dict[str, Any]) -> None:
        config = content["config"]
        config["model"] = {"name": "mlp", "weights": None, "freeze": False, "kwargs": {"hidden": [256, 128]}}
        config["model"] |= {"min_image_size": 4, "_target_": None, "library": None, "optimizer_index": 0}
        config["data"] = {"name": "fashion_mnist_mini", "root": None, "download": False, "image_size": 28}
        config["data"] |= {"batch_size": 64, "kwargs": {}, "_target_": None}
        config["augmentation"] = {"transforms": {}}
        config["optimizer"] = {"name": "sgd", "weight_decay": 5e-4, "kwargs": {"momentum": 0.0}, "groups": []}
        config["loss"] = {"name": "cross_entropy", "label_smoothing": 0.0, "kwargs": {}, "as_step": False}

    for seed in (1, 2):
        make_job(aggregates.folder / "s" / str(seed), seed=seed, change=as_it_was)
    code, out, _ = aggregates.run("sweep=s")
    assert code == 0
    assert "2 runs with an LR" in out
    assert "cycle_momentum=False" in out


@pytest.mark.parametrize(
    ("group", "value", "reason"),
    [
        ("model", "", "model must have keys of its own; got ''"),
        ("seeds", [1], "seeds must have keys of its own"),
        ("optimizer", {"name": 3}, "its config can't be used here"),
        ("onecycle", {"total_steps": "${oc.env:STRANGER}"}, "a reference in a record is never followed"),
        ("consensus", {"choose": "${oc.env:STRANGER}"}, "a reference in a record is never followed"),
        (
            "data",
            {"name": "digits", "root": ["${oc.env:STRANGER}"]},
            "a reference in a record is never followed",
        ),
    ],
)
def test_one_bad_record_does_not_stop_the_others(
    aggregates: Aggregates,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    group: str,
    value: Any,
    reason: str,
) -> None:
    """It is named, the rest has its answer, the exit code says so; nothing of the environment is told."""
    monkeypatch.setenv("STRANGER", "12345678")
    make_sweep(tmp_path / "x")

    def spoil(record: dict[str, Any]) -> None:
        record["config"][group] = value

    make_job(tmp_path / "x" / "3", seed=3, change=spoil)
    code, out, err = aggregates.run("sweep=x")
    assert code == 1
    assert reason in " ".join(out.split())
    assert "record.json" in out
    assert "12345678" not in out + err + (tmp_path / "x" / "answer.txt").read_text()
    assert kind_of(tmp_path / "x")["consensus"]["n"] == 3


def test_a_name_can_order_nothing_of_a_terminal_or_a_spreadsheet(
    aggregates: Aggregates, tmp_path: Path
) -> None:
    """Control characters are written out in what is printed and written; a formula in runs.csv is text."""
    bell, formula = "\x1b]0;mine\x07 and \x9b31m", "=cmd|' /C calc'!A0"

    def spoil(record: dict[str, Any]) -> None:
        record["overrides"] = [formula, bell]
        record["config"]["model"]["name"] = bell

    for seed in range(2):
        make_job(tmp_path / "x" / str(seed), seed=seed, change=spoil)
    leave_status(tmp_path / "x" / "2", "failed", overrides=["-1", bell], error=f"no {bell}")
    leave_status(tmp_path / "x" / "3", "failed", overrides=["-1"], error="-1e-3")
    code, out, err = aggregates.run("sweep=x")
    assert code == 1
    assert "consensus" in out.lower(), err
    texts = [out + err, *((tmp_path / "x" / name).read_text() for name in ("answer.txt", "runs.csv"))]
    for text in texts:
        assert "\\x1b]0;mine\\x07" in text
        assert not {"\x1b", "\x07", "\x9b"} & set(text)
    with (tmp_path / "x" / "runs.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["overrides"][:2] for row in rows] == ["'=", "'=", "'-", "-1"]
    assert rows[3]["reason"] == "-1e-3"
