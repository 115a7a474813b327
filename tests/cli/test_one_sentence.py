"""Whatever is wrong with a command line, or with the files it leads to: one sentence and exit code 1."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from command_line import find_lr, main_of
from made_jobs import make_job


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that the commands are run in, with a file and a folder of config."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    (tmp_path / "own" / "model").mkdir(parents=True)
    (tmp_path / "own" / "experiment").mkdir()
    (tmp_path / "own" / "experiment" / "empty.yaml").write_text(
        "# @package _global_\nhydra: {sweeper: {params: {seed: 'range(0,0)'}}}\n"
    )
    return tmp_path


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["seed=${foo}"], "seed: Interpolation key 'foo' not found"),
        (["data.root=${oc.env:NOPE_NOT_THERE}"], "data.root: KeyError raised while resolving interpolation"),
        (["-m", "sweep_name=${foo}"], "hydra.sweep.dir: Interpolation key 'foo' not found"),
        (["hydra.run.dir=${foo}"], "hydra.run.dir: Interpolation key 'foo' not found"),
        (["hydra.run.dir=file"], "file: can't be made or written (File exists): hydra.run.dir says where"),
        (["hydra.run.dir=file/below"], "hydra.run.dir says where the output goes"),
        (["-m", "hydra.sweep.dir=file"], "hydra.sweep.dir says where the output goes"),
        (["hydra.mode=FOO"], "hydra.mode=FOO: Invalid value 'FOO'"),
        (["hydra.verbose=7"], "Hydra can't compose this: AssertionError"),
        (["hydra=1"], "Config group override must be a string or a list"),
        (["--config-name", "nope"], "Cannot find primary config 'nope'"),
        (["hydra/job_logging=nope"], "hydra/job_logging=nope: there is no such option; allowed: "),
        (["-m", "--config-dir", "own", "+experiment=empty"], "no jobs: one of the sweeps"),
    ],
)  # fmt: skip
def test_what_hydra_cannot_compose_is_one_sentence(argv: list[str], said: str) -> None:
    """It names the key or the file; no traceback, and no folder of a sweep stays."""
    done = find_lr(*argv)
    assert done.code == 1, done
    assert said in done.err
    assert "Traceback" not in done.err
    assert "HYDRA_FULL_ERROR=1 for" not in done.err
    assert not Path("outputs/sweeps").exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a: [1, 2\nb: 3\n", "own/model/mine.yaml, line 2: is no YAML"),
        (b"a: \xff\xfe\n", "own/model/mine.yaml: is no UTF-8 text"),
        (b"- 1\n- 2\n", "mine"),
        (b"_target_: ${foo}\n", "model._target_: Interpolation key 'foo' not found"),
        (b"defaults: [nope]\n", "In 'model/mine': Could not load 'model/nope'"),
        (b"a: *anchor\n", "own/model/mine.yaml, line 1: is no YAML"),
        (b"a: 1\na: 2\n", "own/model/mine.yaml, line 2: is no YAML: found duplicate key a"),
        (b"\x00", "own/model/mine.yaml"),
    ],
)
def test_a_broken_yaml_of_ones_own_is_named(folder: Path, content: bytes, said: str) -> None:
    """With the line where there is one."""
    (folder / "own" / "model" / "mine.yaml").write_bytes(content)
    done = find_lr("--config-dir", "own", "model=mine", "dry_run=true")
    assert done.code == 1, done
    assert said in done.err
    assert "Traceback" not in done.err


def test_what_is_no_file_is_no_option(folder: Path) -> None:
    """A FIFO among the options is not opened, a folder isn't either."""
    os.mkfifo(folder / "own" / "model" / "pipe.yaml")
    (folder / "own" / "model" / "folder.yaml").mkdir()
    for name in ("pipe", "folder"):
        done = find_lr("--config-dir", "own", f"model={name}", "dry_run=true")
        assert (done.code, done.err.startswith(f"model={name} is not an option of model")) == (1, True)


def test_an_out_folder_that_cannot_be_made_is_one_sentence() -> None:
    """It names the key."""
    from steadylr.cli import aggregate

    done = main_of(aggregate, "values=[0.1,0.2]", "out=file/below")
    assert done.code == 1
    assert done.err.startswith("file/below: can't be written")


def test_errors_are_shown_in_full_on_demand(monkeypatch: pytest.MonkeyPatch) -> None:
    """HYDRA_FULL_ERROR=1 means what it means to Hydra, and stays as it was."""
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    assert find_lr("hydra.verbose=7").code == "crashed"
    assert os.environ["HYDRA_FULL_ERROR"] == "1"
    monkeypatch.delenv("HYDRA_FULL_ERROR")
    find_lr("hydra.verbose=7")
    assert "HYDRA_FULL_ERROR" not in os.environ


LONG = "x" * 300


@pytest.mark.parametrize(
    "argv",
    [[f"model={LONG}"], ["--config-dir", LONG], [f"data=imagefolder data.root={LONG}"], [f"hydra.run.dir={LONG}"]],
)  # fmt: skip
def test_a_name_that_is_too_long_for_a_file_is_one_sentence(argv: list[str]) -> None:
    """Wherever it names a file or a folder."""
    done = find_lr(*[word for text in argv for word in text.split()], "dry_run=true")
    assert done.code == 1, done
    assert "Traceback" not in done.err
    assert LONG in done.err


def test_jobs_that_a_launcher_has_lost_are_named(folder: Path) -> None:
    """As when one of its workers is killed: those without an end of their own, and how one goes on."""
    from steadylr.jobs.lost import lost_text

    asked = [(f"seed={seed}", "sweep_name=x") for seed in range(3)]
    assert lost_text(folder / "x", asked) == "none of 3 jobs has ended"
    for seed in range(2):
        make_job(folder / "x" / str(seed), "sweep_name=x", seed=seed)
    assert lost_text(folder / "x", asked).startswith(
        "1 job lost (`seed=2`). What the others found follows, and "
    )
