"""One job: what identifies it, where its run comes from, and how errors are told."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from made_jobs import config_of, descent
from steadylr.config import schema
from steadylr.config.errors import BadInput
from steadylr.errors import InvalidValue
from steadylr.run.device import DeviceError, OutOfMemory
from steadylr.run.fingerprint import DataError
from steadylr.run.names import did_you_mean
from steadylr.run.steps import StepError
from steadylr.store.curve_file import RunCurves
from steadylr.store.curve_store import CurveStore, StoreError
from steadylr.store.job_folder import job_folders, next_job_number, odd_places
from steadylr.training import obtain as obtaining
from steadylr.training.devices import Share
from steadylr.training.failure import as_failure
from steadylr.training.identity import Training, describe_training, full_key, job_key
from steadylr.training.obtain import IN_USE, Trained, open_store, store_folder, train_into


def described(*overrides: str) -> tuple[schema.Config, Training]:
    config = config_of(*overrides)
    return config, describe_training(config)


def test_a_job_is_its_training_and_its_reading() -> None:
    """Another smooth_f or plan is another job of the same run; another seed is another run."""
    base = described()
    for overrides in (["finder.smooth_f=0.15"], ["finder.rule=valley"], ["onecycle.total_steps=100"]):
        other = described(*overrides)
        assert job_key(*other) != job_key(*base)
        assert full_key(other[1]) == full_key(base[1])
    seeded = described("seed=1")
    assert job_key(*seeded) != job_key(*base)
    assert full_key(seeded[1]) != full_key(base[1])


def test_a_job_is_the_same_wherever_it_is_written() -> None:
    """The names of folders, the store, and where trainings run side by side change no key."""
    same = described(
        "store.enabled=false", "store.dir=x", "sweep_name=y", "device.workers=3", "consensus.mix=true"
    )
    assert job_key(*same) == job_key(*described())


def test_job_folders_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    """10 comes after 9; files and other folders are no jobs."""
    for name in ("10", "9", "0", "summary", ".hydra"):
        (tmp_path / name).mkdir()
    (tmp_path / "7").touch()
    assert [folder.name for folder in job_folders(tmp_path)] == ["0", "9", "10"]


@pytest.mark.parametrize("name", ["007", "٣", "1" + 30 * "0"])
def test_a_name_that_is_nearly_a_number_is_no_job(tmp_path: Path, name: str) -> None:
    """007 beside 7 would be the same job, and no folder's name has room for a number after the longest; it is named."""
    for each in (name, "7"):
        (tmp_path / each).mkdir()
    assert [folder.name for folder in job_folders(tmp_path)] == ["7"]
    assert next_job_number(tmp_path) == 8
    (said,) = odd_places(tmp_path)
    assert said.startswith(f"{tmp_path / name}: is not read as a job")


# ---- where a run comes from


def trained_into(store: Path, *overrides: str) -> Trained:
    config, training = described(*overrides)
    return train_into(store, config, training, share=Share(threads=1))


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A training that takes no time; the seeds that were trained."""
    seeds: list[int] = []
    curve = descent()

    def fake(config: schema.Config, *_: object, **__: object) -> RunCurves:
        seeds.append(config.seed)
        return RunCurves(curve, None, curve.lr[:, None])

    monkeypatch.setattr(obtaining, "train", fake)
    return seeds


def test_a_training_goes_through_the_store(tmp_path: Path, trainings: list[int]) -> None:
    """It is done once, whoever asks; the numbers are read from the store."""
    first, again = (trained_into(tmp_path / "s", "seed=3") for _ in range(2))
    assert trainings == [3]
    assert (first.from_store, again.from_store) == (False, True)
    _, training = described("seed=3")
    stored = CurveStore(tmp_path / "s").find(training.shape, training.seeds)
    assert stored is not None
    assert stored.curve.digest() == descent().digest()


def test_a_store_that_is_switched_off_is_one_for_the_time_being(tmp_path: Path, trainings: list[int]) -> None:
    """It lies inside the folder of the sweep, and goes with the command; the one that is named stays away."""
    config = config_of("store.enabled=false", f"store.dir={tmp_path / 'named'}")
    with store_folder(config, tmp_path / "sweep") as store:
        assert store.parent == tmp_path / "sweep"
        trained_into(store)
        assert trained_into(store).from_store
    assert list((tmp_path / "sweep").iterdir()) == []
    assert not (tmp_path / "named").exists()
    with store_folder(config_of(f"store.dir={tmp_path / 'named'}"), tmp_path / "sweep") as store:
        assert store == tmp_path / "named"
    with store_folder(config, tmp_path / "sweep") as store:
        assert not trained_into(store).from_store
    assert trainings == [0, 0]


def test_what_killed_commands_left_of_such_stores_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the next command, there and in folders of runs beside it; not what another command holds, or others made."""
    monkeypatch.setattr(obtaining, "YOUNG_SECONDS", -60.0)  # older than in a minute: all
    config = config_of("store.enabled=false")
    here, beside = tmp_path / "runs" / "1", tmp_path / "runs" / "0"
    for folder in (here / ".store-dead", beside / ".store-dead", here / "store-mine"):
        folder.mkdir(parents=True)
        Path(f"{folder}{IN_USE}").touch()
    (here / ".store-theirs").mkdir()
    (here / ".store-link").symlink_to(here / "store-mine")
    (here / f".store-link{IN_USE}").touch()
    with store_folder(config, beside) as held, store_folder(config, here):
        assert held.is_dir()
    assert {path.name for path in here.iterdir()} == {
        ".store-link",
        ".store-theirs",
        "store-mine",
        f"store-mine{IN_USE}",
    }
    assert list(beside.iterdir()) == []


def test_a_store_that_is_off_or_absent_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking makes no folder; a folder that is no store is an error."""
    monkeypatch.chdir(tmp_path)
    assert open_store(config_of("store.enabled=false")) is None
    assert open_store(config_of(), create=False) is None
    assert not list(tmp_path.iterdir())
    assert open_store(config_of()) is not None
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "x").touch()
    with pytest.raises(StoreError, match="no steadylr store"):
        open_store(config_of("store.dir=mine"))


# ---- errors


def raised(error: Exception) -> Exception:
    try:
        raise error
    except Exception as caught:
        return caught


def raised_by_numpy() -> Exception:
    try:
        np.zeros(3) + np.zeros(4)
    except ValueError as error:
        return error
    raise AssertionError


def raised_here() -> Exception:
    try:
        config_of("finder.smooth_f=1")
    except ValueError as error:
        return error
    raise AssertionError


def raised_by_a_bug() -> Exception:
    try:
        did_you_mean(3, ["x"])  # type: ignore[arg-type]
    except Exception as error:
        return error
    raise AssertionError


def raised_in_our_frames() -> Exception:
    """A bug's ValueError, raised by Python in a frame of ours."""
    try:
        split_off([[1, 2], [3]])
    except ValueError as error:
        return error
    raise AssertionError


def split_off(columns: list[list[int]]) -> list[tuple[int, ...]]:
    """What zip refuses, as though steadylr had called it."""
    here = {"__name__": "steadylr.core.curve", "columns": columns}
    return list(eval("list(zip(*columns, strict=True))", here))


OURS = (InvalidValue, BadInput, DataError, StoreError, OutOfMemory, DeviceError, StepError)


@pytest.mark.parametrize(
    "error", [*(raised(kind("x")) for kind in OURS), raised_here()], ids=lambda error: type(error).__name__
)
def test_our_own_errors_need_no_traceback(error: Exception) -> None:
    """A message of ours says all, wherever it is raised."""
    assert as_failure(error).details == ""
    assert as_failure(error).message == str(error)


@pytest.mark.parametrize(
    "error",
    [
        raised_by_numpy(),
        raised_by_a_bug(),
        raised_in_our_frames(),
        raised(ValueError("x")),
        raised(KeyError(1)),
    ],
    ids=["numpy", "a wrong type", "our frames", "a plain ValueError", "KeyError"],
)
def test_any_other_error_keeps_its_traceback(error: Exception) -> None:
    """Whoever's frame raised it: a ValueError of zip or int in ours is a bug, which its message doesn't explain."""
    assert as_failure(error).message == f"{type(error).__name__}: {error}"
    assert "Traceback" in as_failure(error).details


def test_a_failure_crosses_from_process_to_process() -> None:
    """Message and details survive pickling, and a failure is not wrapped again."""
    failure = as_failure(raised_by_numpy())
    again = pickle.loads(pickle.dumps(failure))
    assert (again.message, again.details, str(again)) == (failure.message, failure.details, failure.message)
    assert as_failure(again) is again
