"""Trackers: what they are sent, that it comes once, and that a failure costs nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from command_line import TINY, find_lr, main_of, only_run
from composing import composed
from made_jobs import change_file, make_job, make_sweep
from steadylr.answer.readings import from_sweep
from steadylr.cli import aggregate as aggregating
from steadylr.config.choices import TrackerName
from steadylr.config.schema import Consensus, OneCycle, Tracker
from steadylr.report.conclude import conclude, conclude_sweep
from steadylr.store.records import JobStatus, RunRecord, Summary
from steadylr.tracking import trackers
from steadylr.tracking.entry import _params
from steadylr.tracking.send import track
from steadylr.tracking.trackers import TRACKERS

POINTS = 60

pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """A sweep of two runs, with its answer."""
    folder = make_sweep(tmp_path / "night", seeds=2)
    answered(folder)
    return folder


def answered(folder: Path) -> None:
    """The folder's answer, with figures that are pictures."""
    conclude(from_sweep(folder), folder, consensus=Consensus(), onecycle=OneCycle())
    from matplotlib.image import imsave

    for path in (*folder.glob("*.png"), folder / "0" / "lr_finder.png"):
        imsave(path, [[0.0, 1.0], [1.0, 0.0]])


def grown(folder: Path) -> None:
    """One job more, and the answer of all."""
    make_job(folder / "2", seed=2)
    answered(folder)


def tracker_in(tmp_path: Path, name: str, **changes: Any) -> Tracker:
    return Tracker(TrackerName(name), str(tmp_path / "home"), offline=name == "wandb", **changes)


# ---- what each is sent


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0, "tensors": 0})
    found.Reload()
    kept = {tag: [(one.step, one.value) for one in found.Scalars(tag)] for tag in found.Tags()["scalars"]}
    kept["images"] = [(0, 0.0) for _ in found.Tags()["images"]]
    return kept


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tensorboard_has_a_folder_for_the_sweep_and_one_in_it_for_each_run(
    sweep: Path, tmp_path: Path
) -> None:
    """With the curve, suggestions and figures; continued, there is one run more, and one answer."""
    pytest.importorskip("tensorboard")
    tracker = tracker_in(tmp_path, "tensorboard")
    track(sweep, tracker)
    (home,) = (tmp_path / "home").iterdir()
    assert sorted(path.name for path in home.iterdir() if path.is_dir()) == ["0", "1"]
    record = RunRecord.read(sweep / "0")
    seen = scalars(home / "0")
    assert [step for step, _ in seen["loss"]] == list(range(POINTS))
    assert [lr for _, lr in seen["lr"]] == pytest.approx([1e-7 * 10 ** (8 * at / 59) for at in range(60)])
    assert seen["suggestion/bracket"][0][1] == pytest.approx(record.suggestions["bracket"].lr)
    assert len(seen["images"]) == 1
    (kind,) = Summary.read(sweep).kinds
    assert scalars(home)["plan.max_lr"] == [(0, pytest.approx(kind["plan"]["max_lr"]))]
    grown(sweep)
    track(sweep, tracker)
    track(sweep, tracker)
    assert sorted(path.name for path in home.iterdir() if path.is_dir()) == ["0", "1", "2"]
    assert all(len(list(path.glob("events*"))) == 1 for path in (home, home / "0", home / "2"))
    assert scalars(home)["consensus.n"] == [(0, 3.0)]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_mlflow_nests_the_runs_in_the_sweep(sweep: Path, tmp_path: Path) -> None:
    """In a SQLite store: params, the whole curve, suggestions, figures and tags; verdict and plan on the parent."""
    mlflow = pytest.importorskip("mlflow")
    pytest.importorskip("alembic")
    tracker = tracker_in(tmp_path, "mlflow")

    def runs() -> list[Any]:
        client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'home' / 'mlflow.db'}")
        (experiment,) = client.search_experiments(filter_string="name = 'steadylr'")
        return list(client.search_runs([experiment.experiment_id], order_by=["tags.mlflow.runName"]))

    track(sweep, tracker)
    parent, first, second = runs()
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'home' / 'mlflow.db'}")
    assert [run.data.tags["mlflow.runName"] for run in (parent, first, second)] == [
        "night",
        "night/0",
        "night/1",
    ]
    assert {run.data.tags["mlflow.parentRunId"] for run in (first, second)} == {parent.info.run_id}
    assert {run.info.status for run in (parent, first, second)} == {"FINISHED"}
    assert first.data.params["finder.num_iter"] == "60"
    assert first.data.params["optimizer.arguments.momentum"] == "0.9"
    record = RunRecord.read(sweep / "0")
    assert first.data.metrics["suggested_lr"] == record.headline.lr
    losses = client.get_metric_history(first.info.run_id, "loss")
    assert [one.step for one in losses] == list(range(POINTS))
    assert [path.path for path in client.list_artifacts(first.info.run_id)] == ["lr_finder.png"]
    summary = Summary.read(sweep)
    (kind,) = summary.kinds
    assert parent.data.metrics["plan.max_lr"] == kind["plan"]["max_lr"]
    assert parent.data.tags["verdict.level"] == kind["verdict"]["level"]
    sent = {path.path for path in client.list_artifacts(parent.info.run_id)}
    assert sent == set(summary.files) - {"curves.parquet"}
    grown(sweep)
    track(sweep, tracker)
    (sweep / "tracker.json").write_text(  # as after a kill: what was sent last is not noted
        json.dumps(json.loads((sweep / "tracker.json").read_text()))
    )
    change_file(sweep / "tracker.json", lambda told: next(iter(told["sent"].values())).pop())
    track(sweep, tracker)
    again = runs()
    assert [run.data.tags["mlflow.runName"] for run in again] == ["night", "night/0", "night/1", "night/2"]
    assert again[0].info.run_id == parent.info.run_id
    assert again[0].data.metrics["consensus.n"] == 3
    assert len(client.get_metric_history(first.info.run_id, "loss")) == POINTS


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_wandb_groups_the_runs_by_their_sweep(sweep: Path, tmp_path: Path) -> None:
    """Offline; the id of a run follows from its job, so that no second one can come of it."""
    pytest.importorskip("wandb")
    tracker = tracker_in(tmp_path, "wandb")
    track(sweep, tracker)
    track(sweep, tracker)

    def ids() -> list[str]:
        kept = (tmp_path / "home").glob("wandb/offline-run-*/run-*.wandb")
        return sorted(path.stem.partition("-")[2] for path in kept)

    before = ids()
    assert len(before) == len(set(before)) == 3
    grown(sweep)
    track(sweep, tracker)
    assert len(set(ids())) == 4
    assert sum(ids().count(own) for own in before) == 4, "only the answer was sent once more"
    read = [history_of(path) for path in (tmp_path / "home").glob("wandb/offline-run-*/run-*.wandb")]
    assert sorted(len([row for row in rows if "loss" in row]) for rows in read) == [
        0,
        0,
        POINTS,
        POINTS,
        POINTS,
    ]


def history_of(path: Path) -> list[dict[str, Any]]:
    """The rows of a run that Weights & Biases keeps in a file: a log of LevelDB with records of protobuf."""
    from wandb.proto import wandb_internal_pb2

    content, at, part, rows = path.read_bytes(), 7, b"", []
    while at + 7 <= len(content):
        if (left := 32768 - at % 32768) < 7:  # no room for a header at the end of a block
            at += left
            continue
        length, kind = int.from_bytes(content[at + 4 : at + 6], "little"), content[at + 6]
        part += content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # a whole record, or the last part of one
            record = wandb_internal_pb2.Record.FromString(part)
            part = b""
            if record.WhichOneof("record_type") == "history":
                rows.append({item.key or item.nested_key[0]: item.value_json for item in record.history.item})
    return rows


# ---- once, and at no cost


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """A tracker that only notes what comes."""
    noted: list[Any] = []
    monkeypatch.setitem(TRACKERS, "mlflow", lambda entry, tracker: noted.append(entry))
    return noted


def test_nothing_is_sent_twice(sweep: Path, tmp_path: Path, sent: list[Any]) -> None:
    """The sweep first; of a sweep that was continued what is new, and its answer; to another place all of it."""
    tracker = tracker_in(tmp_path, "mlflow")
    track(sweep, tracker)
    assert [entry.name for entry in sent] == ["night", "night/0", "night/1"]
    assert [entry.parent for entry in sent] == [None, sent[0].key, sent[0].key]
    track(sweep, tracker)
    assert len(sent) == 3
    grown(sweep)
    track(sweep, tracker)
    assert [entry.name for entry in sent[3:]] == ["night", "night/2"]
    assert sent[3].key == sent[0].key
    track(sweep, tracker_in(tmp_path, "mlflow", project="other"))
    assert len(sent) == 5 + 4


def test_without_a_tracker_nothing_is_left(sweep: Path, sent: list[Any]) -> None:
    """Not even a file."""
    track(sweep, Tracker())
    assert not (sweep / "tracker.json").exists()


def test_a_tracker_that_fails_says_so_once_and_goes_on_where_it_was(
    sweep: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One sentence, without what a terminal would obey; the next command sends the rest."""
    noted: list[str] = []
    broken = True

    def sometimes(entry: Any, tracker: Tracker) -> None:
        if broken and entry.name.endswith("/1"):
            raise ConnectionError("no route \x1b[31m to host\nand much more")
        noted.append(entry.name)

    monkeypatch.setitem(TRACKERS, "mlflow", sometimes)
    tracker = tracker_in(tmp_path, "mlflow")
    track(sweep, tracker)
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert said.err.startswith(
        r"tracker=mlflow: not all was sent (ConnectionError: no route \x1b[31m to host)."
    )
    broken = False
    track(sweep, tracker)
    assert noted == ["night", "night/0", "night/1"]


def test_a_sweep_keeps_its_exit_code(
    sweep: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever a tracker raises; after Ctrl-C nothing is sent."""

    def broken(entry: Any, tracker: Tracker) -> None:
        raise RuntimeError("no such luck")

    monkeypatch.setitem(TRACKERS, "mlflow", broken)
    config = composed("tracker=mlflow", "sweep_name=night")
    assert conclude_sweep(sweep, config).code == 0
    assert capsys.readouterr().err.count("no such luck") == 1
    assert conclude_sweep(sweep, config, interrupted=True).code == 0
    assert "no such luck" not in capsys.readouterr().err


def test_an_interrupt_while_it_is_sent_costs_no_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run is over: it stays finished, and the exit code is its own."""

    def interrupted(entry: Any, tracker: Tracker) -> None:
        raise KeyboardInterrupt

    monkeypatch.setitem(TRACKERS, "mlflow", interrupted)
    monkeypatch.chdir(tmp_path)
    done = find_lr(*TINY, "tracker=mlflow")
    assert done.code == 0
    assert "tracker=mlflow: not all was sent (interrupted)." in done.err
    assert JobStatus.read(only_run(tmp_path)).status == "finished"


@pytest.mark.parametrize("package", ["tensorboard", "mlflow", "wandb"])
def test_one_that_is_not_installed_costs_no_run(
    package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The exit code is that of the run, and the sentence has the command that installs it."""
    import importlib

    there = importlib.import_module

    def gone(name: str, *rest: Any) -> Any:
        if name == package:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return there(name, *rest)

    monkeypatch.setattr("steadylr.run.extras.import_module", gone)
    monkeypatch.chdir(tmp_path)
    done = find_lr(*TINY, f"tracker={package}")
    assert done.code == 0
    assert RunRecord.read(only_run(tmp_path)).headline.lr
    said = [line for line in done.err.splitlines() if "tracker=" in line]
    assert len(said) == 1
    assert f"pip install 'steadylr[{package}]'" in said[0]


def test_a_single_run_is_sent_as_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sent: list[Any]
) -> None:
    """By itself, with the config by its keys, and without that of the tracker, which may name who one is."""
    monkeypatch.chdir(tmp_path)
    assert find_lr(*TINY, "tracker=mlflow", "tracker.uri=http://me:secret@host").code == 0
    (entry,) = sent
    assert (entry.parent, entry.place[0][:8]) == (None, only_run(tmp_path).name[:8])
    assert entry.params["finder.num_iter"] == 40
    assert not [name for name in entry.params if name.startswith("tracker")]
    assert [path.name for path in entry.files] == ["lr_finder.png", *PLANS, "report.html"]


def test_a_finished_sweep_is_sent_later(
    sweep: Path, monkeypatch: pytest.MonkeyPatch, sent: list[Any]
) -> None:
    """By aggregate.py; one that is read otherwise than it was is not."""
    monkeypatch.chdir(sweep.parent)
    assert main_of(aggregating, "sweep=night", "tracker=mlflow").code == 0
    assert len(sent) == 3
    refused = main_of(aggregating, "sweep=night", "tracker=mlflow", "finder.smooth_f=0.2")
    assert refused.code == 1
    assert "tracker=mlflow sends one sweep" in refused.err


def test_what_a_folder_says_stays_text(sweep: Path, tmp_path: Path, sent: list[Any]) -> None:
    """What orders something of a terminal is written out; files of elsewhere are not sent, and links are no files."""
    (sweep / "secret").symlink_to("/etc/hostname")
    named = ["secret", "../x", "/etc/hostname"]
    change_file(sweep / "summary.json", lambda told: told["files"].extend(named))
    odd = "\x1b[31m${oc.env:HOME}"
    change_file(sweep / "0" / "record.json", lambda told: told.update(git_commit=odd))
    track(sweep, tracker_in(tmp_path, "mlflow"))
    parent, first = sent[:2]
    figures = {"summary.png", "plan.png"}
    assert {path.name for path in parent.files} == {"runs.csv", "answer.txt", "report.html", *figures, *PLANS}
    assert first.tags["commit"] == r"\x1b[31m${oc.env:HOME}"


def test_params_have_names_that_every_tracker_takes() -> None:
    """As the keys are typed; what is null is left out."""
    config = {
        "model": {"${oc.env:HOME}`\n": "a\x1b", "sizes": [1, 2], "name": None, "freeze": False},
        "seed": 0,
    }
    assert _params(config) == {
        "model.__oc.env_HOME___": r"a\x1b",
        "model.sizes": "[1, 2]",
        "model.freeze": False,
        "seed": 0,
    }


PLANS = ("plan.yaml", "plan.json", "plan.txt")


@pytest.mark.parametrize("spoilt", [lambda told: told.update(id="../../x"), lambda told: told.update(sent=3)])
def test_a_damaged_note_is_named(
    sweep: Path,
    tmp_path: Path,
    sent: list[Any],
    capsys: pytest.CaptureFixture[str],
    spoilt: Callable[[dict[str, Any]], None],
) -> None:
    """And nothing is sent under it."""
    tracker = tracker_in(tmp_path, "mlflow")
    track(sweep, tracker)
    sent.clear()
    change_file(sweep / "tracker.json", spoilt)
    track(sweep, tracker)
    assert sent == []
    assert "tracker.json" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_server_that_is_not_there_costs_a_sentence(
    sweep: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And no minutes of waiting for it."""
    pytest.importorskip("mlflow")
    track(sweep, tracker_in(tmp_path, "mlflow", uri="http://127.0.0.1:9"))
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert "tracker=mlflow: not all was sent" in said.err


def test_every_tracker_of_the_config_is_there() -> None:
    """And none besides."""
    assert {name.value for name in TrackerName} - {"none"} == set(trackers.TRACKERS)
