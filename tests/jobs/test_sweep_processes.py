"""Sweeps as people run them, with real processes: what they leave, and what survives when they die."""

from __future__ import annotations

import csv
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from command_line import process as python

pytestmark = pytest.mark.slow

PROGRAM = Path(__file__).with_name("sweep_process.py")
SEEDS = ("seed=1,2,3", "finder.smooth_f=0.05,0.15")
COMMON = ("-m", "model=mlp", "finder=quick", "finder.num_iter=40", "device.threads=1", "device.workers=2")
DEADLINE = 120.0


class Sweeps:
    """A folder in which sweeps are run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.trained_file = folder / "trained.txt"
        self.go = folder / "go"

    def start(self, *overrides: str, **environment: str) -> subprocess.Popen[str]:
        given = {"TRAINED": str(self.trained_file), "WAIT_FOR": str(self.go), "OMP_NUM_THREADS": "1"}
        return subprocess.Popen(
            [sys.executable, str(PROGRAM), *COMMON, *overrides],
            cwd=self.folder,
            env={**os.environ, **given, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, *overrides: str, code: int = 0, **environment: str) -> tuple[str, str]:
        process = self.start(*overrides, **environment)
        out, err = process.communicate(timeout=DEADLINE)
        assert process.returncode == code, (process.returncode, out, err)
        return out, err

    def sweep(self, name: str = "x") -> Path:
        return self.folder / "outputs" / "sweeps" / name

    def trained(self) -> list[int]:
        """The seeds of all trainings that ended, sorted."""
        return sorted(map(int, self.trained_file.read_text().split())) if self.trained_file.exists() else []

    def entries(self) -> dict[str, int]:
        """When each run in the store was written, in ns."""
        return {path.name: path.stat().st_mtime_ns for path in self.folder.glob("outputs/store/v1/*/*.npz")}


@pytest.fixture
def sweeps(tmp_path: Path) -> Iterator[Sweeps]:
    made = Sweeps(tmp_path)
    yield made
    made.go.touch()  # whoever still waits, after a test that failed


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Sweeps:
    """A folder with the undisturbed sweep x; its tests only read it."""
    made = Sweeps(tmp_path_factory.mktemp("finished"))
    out, _ = made.run(*SEEDS, "sweep_name=x")
    (made.folder / "printed.txt").write_text(out)
    return made


def until(condition: Callable[[], Any]) -> Any:
    """Wait until something holds; what it gave."""
    end = time.monotonic() + DEADLINE
    while not (found := condition()):
        assert time.monotonic() < end, "it never came to be"
        time.sleep(0.01)
    return found


def children(pid: int) -> list[int]:
    """The processes that a process has started and that are still there, without the helper of Python's own."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            command = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if parent == pid and b"resource_tracker" not in command:
            found.append(int(entry.name))
    return found


def workers_of(pid: int) -> list[int]:
    """The workers of a sweep: forked by the one child that has torch imported."""
    return [worker for server in children(pid) for worker in children(server)]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def summary_of(folder: Path) -> dict[str, Any]:
    """summary.json without what differs from one time to the next."""
    summary: dict[str, Any] = json.loads((folder / "summary.json").read_text())
    del summary["created"], summary["inputs"], summary["checksum"]  # the checksum is over the others, too
    del summary["digests"]["report.html"]  # which tells when each run was made
    return summary


def rows(folder: Path) -> list[dict[str, str]]:
    with open(folder / "runs.csv", newline="") as file:
        return list(csv.DictReader(file))


def statuses(folder: Path) -> dict[str, str]:
    found = {}
    for file in sorted(folder.glob("*/status.json"), key=lambda path: int(path.parent.name)):
        found[file.parent.name] = json.loads(file.read_text())["status"]
    return found


def times(folder: Path) -> Mapping[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in sorted(folder.rglob("*")) if path.is_file()}


# ---- what an undisturbed sweep leaves


def test_a_sweep_says_first_what_it_will_do_and_trains_each_training_once(finished: Sweeps) -> None:
    """Six jobs that read three curves train three times."""
    assert (finished.folder / "printed.txt").read_text().startswith("6 jobs, 3 trainings, 2 workers\n")
    assert finished.trained() == [1, 2, 3]


def test_every_job_leaves_what_a_single_run_leaves(finished: Sweeps) -> None:
    """Numbered from 0, each with config, curve, record, figure, status and log."""
    folder = finished.sweep()
    assert statuses(folder) == {str(k): "finished" for k in range(6)}
    for k in range(6):
        names = {path.name for path in (folder / str(k)).iterdir()}
        assert names >= {
            "config.yaml",
            "curve.npz",
            "record.json",
            "lr_finder.png",
            "status.json",
            "find_lr.log",
        }


def test_the_printed_answer_is_kept_word_for_word(finished: Sweeps) -> None:
    """answer.txt is what stood between the first line and the folder."""
    printed = (finished.folder / "printed.txt").read_text().partition("\n")[2]
    assert printed.startswith((finished.sweep() / "answer.txt").read_text())
    assert printed.splitlines()[-1].endswith(finished.sweep().name)


def test_runs_csv_has_a_row_for_each_job(finished: Sweeps) -> None:
    """With its overrides, its run, the LR by each rule and the outcome."""
    table = rows(finished.sweep())
    assert [row["job"] for row in table] == list("012345")
    assert len({row["run"] for row in table}) == 3
    assert {row["outcome"] for row in table} == {"found"}
    assert all(float(row["lr_bracket"]) == float(row["lr"]) > 0 for row in table)
    assert {row["smooth_f"] for row in table} == {"0.05", "0.15"}
    assert "seed=2" in table[2]["overrides"]


def test_curves_parquet_has_each_curve_once(finished: Sweeps) -> None:
    """Three runs of forty steps, read by six jobs."""
    import pyarrow.parquet as pq

    table = pq.read_table(finished.sweep() / "curves.parquet")
    assert table.column_names == ["run", "step", "lr", "loss"]
    assert table.num_rows == 3 * 40
    assert table["step"].to_pylist()[:40] == list(range(40))
    assert set(table["run"].to_pylist()) == {row["run"] for row in rows(finished.sweep())}


def test_plan_yaml_is_a_config_that_others_can_include(finished: Sweeps) -> None:
    """It loads, and holds the LR, its range, n and the verdict."""
    from omegaconf import OmegaConf

    plan = OmegaConf.load(finished.sweep() / "plan.yaml")
    assert set(plan) == {"max_lr", "low", "high", "n", "verdict"}
    assert plan.low <= plan.max_lr <= plan.high
    assert plan.n == 3


def test_a_finished_sweep_run_again_does_nothing(finished: Sweeps) -> None:
    """No training, no file written, the same answer."""
    folder = finished.sweep()
    before = {path: when for path, when in times(folder).items() if not path.endswith("multirun.yaml")}
    out, _ = finished.run(*SEEDS, "sweep_name=x")
    assert out.startswith("6 jobs, 0 trainings (6 jobs already finished)\n")
    assert out.partition("\n")[2] == (finished.folder / "printed.txt").read_text().partition("\n")[2]
    after = {path: when for path, when in times(folder).items() if not path.endswith("multirun.yaml")}
    assert {path: after[path] for path in before} == before
    assert finished.trained() == [1, 2, 3]


def test_aggregating_again_gives_the_same_summary(finished: Sweeps) -> None:
    """By the folder of the sweep, from nothing but what its jobs left."""
    folder = finished.sweep()
    before = summary_of(folder)
    (folder / "summary.json").unlink()
    program = Path(__file__).parents[2] / "src" / "aggregate.py"
    subprocess.run(
        [sys.executable, str(program), f"sweep={folder}"],
        cwd=finished.folder,
        check=True,
        capture_output=True,
    )
    assert summary_of(folder) == before


def test_a_dry_run_says_what_would_be_done_and_leaves_nothing(sweeps: Sweeps) -> None:
    """Neither a sweep nor a store; and it removes nothing that was there."""
    out, _ = sweeps.run(*SEEDS, "sweep_name=x", "dry_run=true")
    assert out == "6 jobs, 3 trainings, 2 workers\n"
    assert list(sweeps.folder.iterdir()) == []
    kept = sweeps.folder / "notes.txt"
    kept.write_text("mine")
    sweeps.run("seed=1", "dry_run=true", "hydra.sweep.dir=.")
    assert [path.name for path in sweeps.folder.iterdir()] == ["notes.txt"]


def test_what_is_swept_first_changes_no_count_of_trainings(sweeps: Sweeps) -> None:
    """With the analysis first on the command line the jobs of one run are not neighbours."""
    sweeps.run("finder.smooth_f=0.05,0.15", "seed=1,2", "sweep_name=x")
    assert sweeps.trained() == [1, 2]


def test_other_overrides_add_to_a_sweep(sweeps: Sweeps) -> None:
    """New jobs are numbered after the last, and the answer takes all."""
    sweeps.run("seed=1,2", "sweep_name=x")
    out, _ = sweeps.run("seed=2,3,4", "sweep_name=x")
    assert out.startswith("3 jobs, 2 trainings, 2 workers (1 job already finished)\n")
    assert list(statuses(sweeps.sweep())) == list("0123")
    assert sweeps.trained() == [1, 2, 3, 4]
    (kind,) = summary_of(sweeps.sweep())["kinds"]
    assert kind["consensus"]["n"] == 4


def test_without_the_store_a_sweep_trains_afresh(sweeps: Sweeps) -> None:
    """Once for each training even so, and it leaves no store."""
    sweeps.run("seed=1", "finder.smooth_f=0.05,0.15", "sweep_name=x")
    sweeps.run("seed=1", "finder.smooth_f=0.05,0.15", "sweep_name=y", "store.enabled=false")
    assert sweeps.trained() == [1, 1]


def test_what_was_damaged_is_done_again_in_its_place(sweeps: Sweeps) -> None:
    """A curve cut short, a record that is no JSON, a status that is gone, an entry of the store."""
    sweeps.run("seed=1,2,3", "sweep_name=x")
    folder = sweeps.sweep()
    before = summary_of(folder)
    curve = folder / "0" / "curve.npz"
    curve.write_bytes(curve.read_bytes()[:200])
    (folder / "1" / "record.json").write_text("{")
    (folder / "2" / "status.json").unlink()
    for path in sweeps.folder.glob("outputs/store/v1/*/*.npz"):
        path.write_bytes(b"damaged")
    _, err = sweeps.run("seed=1,2,3", "sweep_name=x")
    assert "damaged entry in the store" in err
    assert statuses(folder) == {"0": "finished", "1": "finished", "2": "finished"}
    assert summary_of(folder) == before
    assert sweeps.trained() == [1, 1, 2, 2, 3, 3]


def test_a_sweep_that_trains_is_served_again_without_torch(tmp_path: Path) -> None:
    """The program itself, with a real model: the second time it imports no torch, and says the same."""
    program = Path(__file__).parents[2] / "src" / "find_lr.py"
    command = [str(program), *COMMON, "seed=1,2", "finder.smooth_f=0.05,0.15", "sweep_name=x"]
    kept = {"cwd": tmp_path, "check": True, "capture_output": True, "text": True, "timeout": DEADLINE}
    first = subprocess.run([sys.executable, *command], **kept)  # type: ignore[call-overload]
    again = subprocess.run([sys.executable, "-X", "importtime", *command], **kept)  # type: ignore[call-overload]
    assert first.stdout.startswith("4 jobs, 2 trainings, 2 workers\n")
    assert again.stdout.startswith("4 jobs, 0 trainings (4 jobs already finished)\n")
    assert again.stdout.partition("\n")[2] == first.stdout.partition("\n")[2]
    imported = {line.rpartition("|")[2].strip() for line in again.stderr.splitlines()}
    assert "hydra" in imported
    assert not {"torch", "torchvision"} & imported


# ---- what goes wrong


def test_a_worker_that_dies_costs_its_own_run(sweeps: Sweeps) -> None:
    """The others finish, the failed jobs are listed with why, and the same command makes them good."""
    out, _ = sweeps.run(*SEEDS, "sweep_name=x", code=1, DIE="2")
    assert "the worker process died (SIGKILL)" in out
    assert "2 jobs failed" in out
    assert sweeps.trained() == [1, 3]
    assert list(statuses(sweeps.sweep()).values()) == ["finished"] * 2 + ["failed"] * 2 + ["finished"] * 2
    out, _ = sweeps.run(*SEEDS, "sweep_name=x")
    assert out.startswith("6 jobs, 1 training, 1 worker (4 jobs already finished)\n")
    assert sweeps.trained() == [1, 2, 3]


def test_workers_that_are_killed_while_they_start_cost_their_own_runs(sweeps: Sweeps) -> None:
    """A later run gets a new worker."""
    process = sweeps.start("seed=1,2,3", "sweep_name=x", WAIT="1,2")
    for pid in until(lambda: len(found := workers_of(process.pid)) == 2 and found):
        os.kill(pid, signal.SIGKILL)
    out, err = process.communicate(timeout=DEADLINE)
    assert process.returncode == 1, err
    assert "2 jobs failed" in out
    assert sweeps.trained() == [3]


def test_what_the_workers_are_forked_from_may_die(sweeps: Sweeps) -> None:
    """While it starts, and while they train: the first costs nothing, the second the trainings that are under way."""
    process = sweeps.start("seed=1,2,3,4", "sweep_name=x", WAIT="3,4")
    (first,) = until(lambda: children(process.pid))
    os.kill(first, signal.SIGKILL)
    until(
        lambda: list(statuses(sweeps.sweep()).values())[:2] == ["finished"] * 2
    )  # the workers have new work
    (second,) = until(lambda: children(process.pid))
    os.kill(second, signal.SIGKILL)
    out, err = process.communicate(timeout=DEADLINE)
    assert process.returncode == 1, err
    assert "Traceback" not in err
    assert "2 jobs failed" in out
    sweeps.run("seed=1,2,3,4", "sweep_name=x")
    assert sweeps.trained() == [1, 2, 3, 4]


def test_a_job_that_raises_fails_alone(sweeps: Sweeps) -> None:
    """Its reason stands in the table and in runs.csv."""
    out, err = sweeps.run("seed=1,2,3", "sweep_name=x", code=1, RAISE="3")
    assert "seed 3 can't be trained" in out
    assert "run seed=3 failed" in err
    assert [row["outcome"] for row in rows(sweeps.sweep())] == ["found", "found", "failed"]


def test_bad_values_are_refused_before_anything_is_trained(sweeps: Sweeps) -> None:
    """Each problem once, with the jobs that have it, by what sets them apart."""
    _, err = sweeps.run("seed=1,2", "finder.smooth_f=0.05,1.5", "sweep_name=x", code=1)
    assert err.startswith(
        "jobs `seed=1 finder.smooth_f=1.5`, `seed=2 finder.smooth_f=1.5`: finder.smooth_f must"
    )
    assert list(sweeps.folder.iterdir()) == []


def test_what_belongs_to_the_sweep_is_not_swept(sweeps: Sweeps) -> None:
    """Two ways to choose would be two answers."""
    _, err = sweeps.run("seed=1", "consensus.choose=median,conservative", "sweep_name=x", code=1)
    assert err.startswith("consensus.choose can have one value in a sweep")


def test_runs_without_an_answer_give_exit_code_3(sweeps: Sweeps) -> None:
    """Nothing failed, but there is no LR to use."""
    out, _ = sweeps.run("seed=1,2", "sweep_name=x", code=3, FLAT="1,2")
    assert "No answer: 2 of 2 runs gave no answer (2 flat)" in out
    assert not (sweeps.sweep() / "plan.yaml").exists()


def test_an_error_in_the_aggregation_is_seen(sweeps: Sweeps) -> None:
    """With a traceback and exit code 1; the jobs are kept."""
    _, err = sweeps.run("seed=1", "sweep_name=x", code=1, BREAK_SUMMARY="1")
    assert "RuntimeError: the summary broke" in err
    assert statuses(sweeps.sweep()) == {"0": "finished"}


@pytest.mark.parametrize("to_all", [True, False], ids=["to the group", "to the parent"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_keeps_what_has_finished(sweeps: Sweeps, number: signal.Signals, to_all: bool) -> None:
    """The workers stop, the answer so far is printed, the exit code is 130, and the same command goes on."""
    process = sweeps.start("seed=1,2,3", "sweep_name=x", WAIT="2,3")
    until(lambda: statuses(sweeps.sweep()).get("0") == "finished")
    workers = until(lambda: workers_of(process.pid))
    (os.killpg if to_all else os.kill)(process.pid, number)
    if to_all and number is signal.SIGTERM:
        process.communicate(timeout=DEADLINE)  # the workers die of it, too
        assert process.returncode == 130
        return
    out, err = process.communicate(timeout=DEADLINE)
    assert process.returncode == 130, (out, err)
    assert "Traceback" not in err
    assert "1 run with an LR" in out
    assert not any(map(alive, workers))
    assert statuses(sweeps.sweep()) == {"0": "finished", "1": "interrupted", "2": "interrupted"}
    sweeps.run("seed=1,2,3", "sweep_name=x")
    assert sweeps.trained() == [1, 2, 3]


def test_an_interrupt_is_heard_where_it_was_inherited_as_ignored(sweeps: Sweeps) -> None:
    """As from a shell's `command &`, nohup, and many CI runners: who sends one all the same means it."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        process = sweeps.start("seed=1,2", "sweep_name=x", WAIT="2")
    finally:
        signal.signal(signal.SIGINT, before)
    until(lambda: statuses(sweeps.sweep()).get("0") == "finished")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=DEADLINE)
    assert process.returncode == 130, (out, err)
    assert "1 run with an LR" in out


def test_workers_end_with_a_parent_that_is_killed(sweeps: Sweeps) -> None:
    """Nobody would take their results."""
    process = sweeps.start("seed=1,2", "sweep_name=x", WAIT="1,2")
    workers = until(lambda: len(found := workers_of(process.pid)) == 2 and found)
    process.kill()
    process.communicate()
    until(lambda: not any(map(alive, workers)))


def test_a_sweep_killed_at_any_moment_goes_on_to_the_same_summary(tmp_path: Path, finished: Sweeps) -> None:
    """Twenty times: run again, it says what an undisturbed one says, and trains nothing that was stored."""
    undisturbed = summary_of(finished.sweep())
    rng = random.Random(20)
    kills = 0
    for round_ in range(20):
        sweeps = Sweeps(tmp_path / str(round_))
        sweeps.folder.mkdir()
        process = sweeps.start(*SEEDS, "sweep_name=x", PLAIN="1")
        # Moments are spread over what a sweep does: so many files are there, and then a little later.
        files = rng.randrange(0, 75)
        pause = rng.uniform(0, 0.1)
        until(lambda: process.poll() is not None or len(times(sweeps.folder)) >= files)  # noqa: B023
        time.sleep(pause)
        if process.poll() is None:
            kills += 1
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        stored = sweeps.entries()
        sweeps.run(*SEEDS, "sweep_name=x", PLAIN="1")
        assert summary_of(sweeps.sweep()) == undisturbed
        assert {name: sweeps.entries()[name] for name in stored} == stored
        assert len(sweeps.entries()) == 3
    assert kills >= 15


@pytest.mark.parametrize("names", [("x", "x"), ("x", "y")], ids=["one name", "two names"])
def test_two_sweeps_at_once_lose_nothing_and_train_once(sweeps: Sweeps, names: tuple[str, str]) -> None:
    """The same jobs under one name share their folders; under two names they share the trainings."""
    processes = [sweeps.start(*SEEDS, f"sweep_name={name}") for name in names]
    for process in processes:
        out, err = process.communicate(timeout=DEADLINE)
        assert process.returncode == 0, (out, err)
    assert sweeps.trained() == [1, 2, 3]
    for name in names:
        assert statuses(sweeps.sweep(name)) == {str(k): "finished" for k in range(6)}


def test_two_sweeps_at_once_fill_one_folder_with_different_jobs(sweeps: Sweeps) -> None:
    """No two jobs get one number."""
    processes = [sweeps.start(f"seed={seeds}", "sweep_name=x") for seeds in ("1,2", "3,4")]
    for process in processes:
        process.communicate(timeout=DEADLINE)
        assert process.returncode in (0, 1)  # one may end while the other's jobs are still to come
    sweeps.run("seed=1,2,3,4", "sweep_name=x")
    assert statuses(sweeps.sweep()) == {str(k): "finished" for k in range(4)}
    assert sweeps.trained() == [1, 2, 3, 4]


def test_seeds_that_are_added_train_nothing_again(sweeps: Sweeps) -> None:
    """However many trainings share the cores: threads follow the load, and what was trained stays trained."""
    freely = ("device.threads=null", "device.workers=null", "sweep_name=grow")
    sweeps.run("seed=1", *freely)
    out, _ = sweeps.run("seed=1,2", *freely)
    assert out.startswith("2 jobs, 1 training, 1 worker (1 job already finished)")
    assert sweeps.trained() == [1, 2]
    assert sorted(entry.name for entry in sweeps.sweep("grow").iterdir() if entry.is_dir()) == ["0", "1"]


def test_without_a_store_a_sweep_has_one_for_the_time_being(sweeps: Sweeps, finished: Sweeps) -> None:
    """Each distinct training is done once all the same, the answer is the same, and nothing stays of it."""
    sweeps.run(*SEEDS, "sweep_name=x", "store.enabled=false")
    assert sweeps.trained() == [1, 2, 3]
    assert not (sweeps.folder / "outputs" / "store").exists()
    assert not list(sweeps.sweep().glob(".store-*"))
    ours, theirs = (summary_of(made.sweep())["kinds"][0]["consensus"] for made in (sweeps, finished))
    assert ours == theirs


def test_each_thing_is_done_once(sweeps: Sweeps) -> None:
    """Jobs that differ in their seeds only are composed, checked and described once, and each record is read once."""
    sweeps.run(*SEEDS, "sweep_name=x", COUNT=str(sweeps.folder / "counts"))
    counts = (sweeps.folder / "counts").read_text().split()
    assert {name: counts.count(name) for name in set(counts)} == {
        "composed": 2,
        "checked": 2,
        "described": 2,
        "record": 6,
    }


def test_what_workers_are_forked_from_leaves_without_taking_torch_apart(tmp_path: Path) -> None:
    """As multiprocessing starts it, when it has said what it had to; any other process ends as usual."""
    code = "import atexit; atexit.register(print, 'taken apart'); import steadylr.jobs.preload; print('said', end='')"
    done = python("-c", code, cwd=tmp_path)
    assert (done.code, done.out) == (0, "said")
    (tmp_path / "program.py").write_text(code)
    usual = python(tmp_path / "program.py", cwd=tmp_path)
    assert (usual.code, usual.out) == (0, "saidtaken apart\n")
