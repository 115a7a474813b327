"""What a sweep is about to do: which jobs, which trainings, how many workers, and in whose name."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from omegaconf import ValidationError

from command_line import find_lr
from composing import composed
from fake_workers import MadeCurves
from made_jobs import MLP, config_of, leave_status, make_job
from steadylr.answer import left
from steadylr.config.errors import BadInput
from steadylr.jobs import workers as local
from steadylr.jobs.engine import Task
from steadylr.jobs.job import Job
from steadylr.jobs.places import Place, places
from steadylr.jobs.session import SESSION, leave_no_trace
from steadylr.jobs.work import check_jobs, differing, plan_work, training_tasks
from steadylr.jobs.workers import LocalEngine, Workers
from steadylr.run.extras import MissingPackage
from steadylr.run.fingerprint import DataError
from steadylr.store.files import temp_name
from steadylr.store.records import JobStatus, RunRecord
from steadylr.training.identity import Training


def job(*overrides: str, seed: int = 0) -> Job:
    given = (f"seed={seed}", *overrides)
    config = config_of(*given)
    training = Training({"batch_size": config.data.batch_size, "device_kind": "cpu"}, {"init": seed})
    return Job(given, lambda: composed(*MLP, *given), config, training)


class Asked(NamedTuple):
    """A job, as far as its place depends on it."""

    key: str
    overrides: tuple[str, ...]


@pytest.fixture
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(local, "cpu_cores", lambda: 4)
    monkeypatch.setattr(local, "probe_device", lambda accelerator: "cpu")
    return tmp_path


@pytest.mark.parametrize(
    ("seeds", "readings", "text"),
    [
        (1, 1, "1 job, 1 training, 1 worker"),
        (3, 2, "6 jobs, 3 trainings, 3 workers"),
        (7, 1, "7 jobs, 7 trainings, 7 workers"),
        (8, 1, "8 jobs, 8 trainings, 4 workers"),
        (9, 1, "9 jobs, 9 trainings, 4 workers"),
    ],
)
def test_a_sweep_says_how_much_it_is(in_folder: Path, seeds: int, readings: int, text: str) -> None:
    """Jobs, distinct trainings, and no more workers than trainings; than cores, where each gets two or more to do."""
    jobs = [job(f"finder.smooth_f=0.{k + 1}", seed=seed) for seed in range(seeds) for k in range(readings)]
    assert plan_work(in_folder / "x", jobs, LocalEngine(), reserve=False).announcement() == text
    assert list(in_folder.iterdir()) == []


def test_the_number_of_workers_can_be_given(in_folder: Path) -> None:
    """But never more than there are trainings."""
    jobs = [job("device.workers=8", seed=seed) for seed in range(6)]
    assert (
        plan_work(in_folder, jobs, LocalEngine(), reserve=False).announcement()
        == "6 jobs, 6 trainings, 6 workers"
    )


@pytest.mark.parametrize(("gpus", "workers"), [(["0"], 1), (["0", "1", "2"], 3), ([], 1)])
def test_each_gpu_has_one_worker(
    in_folder: Path, monkeypatch: pytest.MonkeyPatch, gpus: list[str], workers: int
) -> None:
    """However many cores there are."""
    monkeypatch.setattr(local, "probe_device", lambda accelerator: "cuda")
    monkeypatch.setattr(local, "visible_gpus", lambda: gpus)
    planned = plan_work(in_folder, [job(seed=seed) for seed in range(6)], LocalEngine(), reserve=False)
    assert planned.workers == workers


def test_a_bug_met_while_jobs_are_checked_is_none_of_their_problems(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is raised as it is, with its traceback; what a job can't have is told as the jobs' problem."""

    class Loader:
        def load_sweep_config(self, config: Any, overrides: Any) -> Any:
            return config

    def check(error: Exception) -> None:
        def refuse(composed: Any, overrides: Any) -> Job:
            raise error

        monkeypatch.setattr(Job, "of", refuse)
        context: Any = SimpleNamespace(config_loader=Loader())
        check_jobs(
            [["finder.num_iter=1"], ["finder.num_iter=2"]], hydra_context=context, config=composed(*MLP)
        )

    with pytest.raises(ValueError, match=r"^argument 2 is longer$") as raised:
        check(ValueError("argument 2 is longer"))
    assert not isinstance(raised.value, BadInput)
    for problem in (
        DataError("no such data"),
        MissingPackage("no such data"),
        ValidationError("no such data"),
    ):
        with pytest.raises(BadInput, match=r"jobs `finder\.num_iter=1`, `finder\.num_iter=2`: no such data"):
            check(problem)


def test_a_job_asked_for_twice_is_done_once(in_folder: Path) -> None:
    """It has one place."""
    planned = plan_work(in_folder / "x", [job(seed=1), job(seed=1)], LocalEngine(), reserve=True)
    assert [place.number for place, _ in planned.jobs] == [0, 0]
    assert [list(group) for group in planned.runs.values()] == [[0]]


def test_places_are_taken_at_once_and_kept(tmp_path: Path) -> None:
    """The same jobs have the same numbers the next time; new ones follow, whatever their order."""
    first = places(tmp_path, [Asked("a", ("seed=1",)), Asked("b", ("seed=2",))])
    assert first == [Place(0, False), Place(1, False)]
    later = places(tmp_path, [Asked("c", ("seed=3",)), Asked("b", ("seed=2",))])
    assert later == [Place(2, False), Place(1, False)]
    assert places(tmp_path, [Asked("d", ())], reserve=False) == [Place(3, False)]
    assert not (tmp_path / "3").exists()


def test_a_job_whose_status_is_lost_is_known_by_its_overrides(tmp_path: Path) -> None:
    """As Hydra kept them."""
    (tmp_path / "4" / ".hydra").mkdir(parents=True)
    (tmp_path / "4" / ".hydra" / "overrides.yaml").write_text("- seed=1\n")
    leave_status(tmp_path / "5", "failed", overrides=["seed=2"])
    asked = [Asked("a", ("seed=2",)), Asked("b", ("seed=1",)), Asked("c", ("seed=3",))]
    assert [place.number for place in places(tmp_path, asked)] == [5, 4, 6]


def test_a_place_that_a_kill_left_empty_is_taken_first(tmp_path: Path) -> None:
    """Half a status is none: the next new job gets that folder, and the ones after it those after the last."""
    places(tmp_path, [Asked("a", ()), Asked("b", ()), Asked("c", ())])
    (tmp_path / "1" / "status.json").rename(tmp_path / "1" / ".status.json.12-ab.tmp")
    asked = [Asked("a", ()), Asked("d", ()), Asked("e", ())]
    assert [place.number for place in places(tmp_path, asked)] == [0, 1, 3]


def test_what_a_kill_left_half_written_is_removed_when_the_job_is_done_again(tmp_path: Path) -> None:
    """But not what is being written at this moment, by another process."""
    places(tmp_path, [Asked("a", ())])
    old, young = (tmp_path / "0" / temp_name("record.json") for _ in range(2))
    for path in (old, young):
        path.touch()
    os.utime(old, (0, 0))
    places(tmp_path, [Asked("a", ())], reserve=False)
    assert old.exists()
    places(tmp_path, [Asked("a", ())])
    assert (old.exists(), young.exists()) == (False, True)


def test_what_a_kill_left_half_written_is_removed_from_a_job_that_is_done(tmp_path: Path) -> None:
    """Its kill may have come too soon before the command that did the job again."""
    make_job(tmp_path / "0")
    left = tmp_path / "0" / temp_name("record.json")
    left.touch()
    os.utime(left, (0, 0))
    done = JobStatus.read(tmp_path / "0")
    assert places(tmp_path, [Asked(done.job_key, tuple(done.overrides))]) == [Place(0, True)]
    assert not left.exists()


def test_nothing_is_written_through_the_links_of_a_job_that_is_to_do(tmp_path: Path) -> None:
    """Whoever sent the sweep would choose where Hydra's files lie; in a job that is done nothing is written."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    sweep = tmp_path / "x"
    leave_status(sweep / "0", "failed", key="a")
    (sweep / "0" / ".hydra").symlink_to(elsewhere)
    leave_status(sweep / "1", "failed", key="b")
    (sweep / "1" / ".hydra").mkdir()
    (sweep / "1" / ".hydra" / "config.yaml").symlink_to(elsewhere / "config.yaml")
    make_job(sweep / "2")
    (sweep / "2" / "notes").symlink_to(elsewhere)
    done = JobStatus.read(sweep / "2")
    places(sweep, [Asked("a", ()), Asked("b", ()), Asked(done.job_key, tuple(done.overrides))])
    assert not (sweep / "0" / ".hydra").exists()
    assert list((sweep / "1" / ".hydra").iterdir()) == []
    assert (sweep / "2" / "notes").is_symlink()
    assert elsewhere.is_dir()


@pytest.mark.usefixtures("undrawn")
def test_a_sweep_reads_each_record_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Six jobs that have just been done; six that another command has done, of which one record was changed since."""
    monkeypatch.chdir(tmp_path)
    MadeCurves.take_over(monkeypatch)
    read, original = list[str](), RunRecord.from_json

    def counting(content: object, *, source: Any) -> RunRecord:
        read.append(Path(source).parent.name)
        return original(content, source=source)

    command = ("-m", *MLP, "seed=0,1,2", "finder.smooth_f=0.05,0.15", "finder.num_iter=60")
    assert find_lr(*command).code == 0
    monkeypatch.setattr(RunRecord, "from_json", staticmethod(counting))
    left._read.cache_clear()
    again = find_lr(*command)
    assert (again.code, again.out.splitlines()[0]) == (0, "6 jobs, 0 trainings (6 jobs already finished)")
    assert sorted(read) == ["0", "1", "2", "3", "4", "5"]
    record = tmp_path / "outputs" / "sweeps" / "x" / "4" / "record.json"
    record.write_text(record.read_text().replace("mlp", "mlq"))
    told = find_lr(*command).out.splitlines()[0]
    assert told == "6 jobs, 0 trainings (5 jobs already finished, 1 run from the store)"
    assert "mlp" in record.read_text()


def test_runs_are_named_by_what_sets_them_apart() -> None:
    """Not by what all share, nor by how curves are read; a long name is cut."""
    jobs = [
        job("data.batch_size=32", "finder.smooth_f=0.1", seed=1),
        job("data.batch_size=32", "finder.smooth_f=0.2", "onecycle.total_steps=9", seed=2),
        job("data.batch_size=32", *[f"optimizer.weight_decay={k}e-4" for k in range(1, 9)], seed=3),
    ]
    labels = [task.label for task in training_tasks(jobs)]
    assert labels[:2] == ["seed=1", "seed=2"]
    assert len(labels[2]) == 60
    assert labels[2].endswith("...")


def test_differing_overrides_keep_their_order() -> None:
    """Those in all lists are left out; nothing differs in one list alone."""
    assert differing([("a=1", "b=2", "c=3"), ("c=4", "b=2", "a=1")]) == [("c=3",), ("c=4",)]
    assert differing([("a=1",)]) == [()]
    assert differing([]) == []


def test_a_sweep_in_which_nothing_runs_leaves_only_what_was_there(tmp_path: Path) -> None:
    """Hydra's multirun.yaml goes, and empty folders of ours."""
    sweep = tmp_path / "outputs" / "sweeps" / "x"
    sweep.mkdir(parents=True)
    (sweep / "multirun.yaml").write_text("")
    leave_no_trace(sweep)
    assert list(tmp_path.iterdir()) == []
    sweep.mkdir(parents=True)
    (sweep / "notes.txt").write_text("mine")
    leave_no_trace(sweep)
    assert (sweep / "notes.txt").read_text() == "mine"
    assert SESSION.sweep_folder is None


def test_workers_share_the_gpus_in_turn() -> None:
    """Two of three workers are on the first of two GPUs."""
    config = config_of()
    tasks = [Task(str(k), "", config, Training({}, {})) for k in range(3)]
    made: Any = Workers(3, tasks, Path("store"), gpus=["a", "b"])
    assert made._gpus == [(0,), (1,), (0,)]
    assert Workers(3, tasks, Path("store"))._gpus == [()] * 3


def test_a_training_on_several_gpus_gets_as_many() -> None:
    """Two trainings on two of four GPUs each share none; a third shares the first's."""
    config = config_of("device=cuda", "device.strategy=ddp", "device.devices=2")
    tasks = [Task(str(k), "", config, Training({}, {})) for k in range(3)]
    made: Any = Workers(3, tasks, Path("store"), gpus=["a", "b", "c", "d"])
    assert made._gpus == [(0, 1), (2, 3), (0, 1)]


def test_trainings_on_several_devices_leave_room_for_fewer_workers(in_folder: Path) -> None:
    """Four cores hold two trainings on two devices each, and one on eight."""
    for devices, workers in ((2, 2), (8, 1)):
        overrides = ("device.strategy=ddp", f"device.devices={devices}", "data.batch_size=48", "device=cpu")
        jobs = [job(*overrides, seed=seed) for seed in range(3)]
        assert plan_work(in_folder, jobs, LocalEngine(), reserve=False).workers == workers
