"""500 seeded cases over all that is given on a command line or read from a file.

There are two ends: as if nothing had happened, or one sentence that names the place, with exit code 1. What was changed
together with its checksum is another record, which nobody can tell from a true one: it may change the answer, and ends
in an answer or a sentence.
"""

from __future__ import annotations

import contextlib
import io
import os
import random
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from command_line import Finished, find_lr
from made_jobs import change_file, curve_of, make_sweep
from steadylr.answer.readings import from_sweep
from steadylr.config.schema import Consensus, OneCycle
from steadylr.report import conclude as concluding
from steadylr.store.curve_file import RunCurves
from steadylr.store.curve_store import CurveStore

pytestmark = pytest.mark.slow

RECORDS, WRITTEN, ENTRIES, YAMLS, LINES = 220, 60, 120, 40, 60
assert RECORDS + WRITTEN + ENTRIES + YAMLS + LINES == 500

MOST_SECONDS = 60


@contextlib.contextmanager
def ending() -> Iterator[None]:
    """Fail where a case hangs, as a FIFO would make it."""

    def hangs(*_: Any) -> None:
        raise AssertionError("the case hangs")

    before = signal.signal(signal.SIGALRM, hangs)
    signal.alarm(MOST_SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


# ---- what a file can become


ODD: tuple[Any, ...] = (None, True, -1, 0, 1.5, 1e308, float("nan"), float("inf"), "", "x" * 5000, "${oc.env:HOME}", [],
                        {}, [1, "a"], {"a": {"b": None}}, "\x1b[31m", "../../etc", 2**70)  # fmt: skip


def parts(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every place in nested plain values: its owner and its key there."""
    keys: Any = (
        list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    )
    for key in keys:
        yield value, key
        yield from parts(value[key])


def change_a_field(rng: random.Random, content: dict[str, Any]) -> None:
    """Another value, none, or a field too many, somewhere."""
    owner, key = rng.choice([place for place in parts(content) if place[1] != "checksum"])
    what = rng.choice(("replace", "replace", "replace", "remove", "add"))
    if what == "replace":
        owner[key] = rng.choice(ODD)
    elif what == "remove":
        del owner[key]
    elif isinstance(owner, dict):
        owner[f"{key}_"] = rng.choice(ODD)
    else:
        owner.append(rng.choice(ODD))


def change_bytes(rng: random.Random, path: Path) -> None:
    """A file cut off, emptied, with another byte or more bytes."""
    content = path.read_bytes()
    at = rng.randrange(len(content))
    path.write_bytes(
        rng.choice(
            (
                content[:at],
                b"",
                content[:at] + bytes([content[at] ^ rng.randrange(1, 256)]) + content[at + 1 :],
                content[:at] + rng.randbytes(20) + content[at:],
                content + b"\n{}",
                rng.randbytes(200),
            )
        )
    )


def put_something_else(rng: random.Random, path: Path) -> None:
    """In the place of a file."""
    path.unlink()
    what = rng.choice(("nothing", "folder", "FIFO", "dangling", "loop", "device"))
    if what == "folder":
        path.mkdir()
    elif what == "FIFO":
        os.mkfifo(path)
    elif what != "nothing":
        path.symlink_to({"dangling": "nowhere", "loop": path.name, "device": "/dev/zero"}[what])


def spoil(rng: random.Random, path: Path) -> None:
    """Something happens to a file; its content still has the old checksum, if any."""
    happens: list[Callable[[random.Random, Path], None]] = [change_bytes, put_something_else]
    if path.suffix == ".json":
        happens += [lambda rng, path: change_file(path, lambda c: change_a_field(rng, c), checksum=False)] * 2
    rng.choice(happens)(rng, path)


# ---- a sweep's folder


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep of three jobs with its answer."""
    folder = make_sweep(tmp_path_factory.mktemp("made") / "x")
    concluded(folder)
    return folder


@pytest.fixture
def sweep(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it; figures are not drawn."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(concluding, "draw_condition", lambda *_, **named: [
        path.write_bytes(b"") for name, path in named.items() if name != "attribution"
    ])  # fmt: skip
    return Path(shutil.copytree(made, tmp_path / "x"))


def concluded(folder: Path) -> Finished:
    """The sweep's answer as the commands give it."""
    from steadylr.errors import SteadylrError

    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        try:
            code = concluding.conclude(
                from_sweep(folder), folder, consensus=Consensus(), onecycle=OneCycle()
            ).code
        except SteadylrError as error:
            return Finished(1, out.getvalue(), str(error))
    return Finished(code, out.getvalue(), "")


def answer_in(folder: Path) -> tuple[str, str]:
    return (folder / "answer.txt").read_text(), (folder / "runs.csv").read_text()


@pytest.mark.parametrize("case", range(RECORDS))
def test_a_jobs_file_that_was_spoiled_is_named_or_does_not_matter(sweep: Path, made: Path, case: int) -> None:
    """Record, status and curve; with a checksum that fits, it is another record."""
    rng = random.Random(case)
    job = sweep / str(rng.randrange(3))
    path = job / rng.choice(("record.json", "record.json", "status.json", "curve.npz"))
    forged = path.suffix == ".json" and rng.random() < 0.5
    if forged:
        change_file(path, lambda content: change_a_field(rng, content))
    else:
        spoil(rng, path)
    with ending():
        done = concluded(sweep)
    if done.code == 0 and not forged:
        assert answer_in(sweep) == answer_in(made)
    elif not forged:
        assert done.code == 1
        assert f"x/{job.name}" in " ".join((done.out + done.err).split()), done
    assert done.code in (0, 1, 3)


@pytest.mark.parametrize("case", range(WRITTEN))
def test_a_written_file_that_was_spoiled_is_written_again_or_named(
    sweep: Path, made: Path, case: int
) -> None:
    """Summary, answer, plan, table and curves of a sweep."""
    rng = random.Random(1000 + case)
    concluded(sweep)
    path = sweep / rng.choice(("summary.json", "answer.txt", "plan.yaml", "runs.csv", "curves.parquet"))
    before = path.read_bytes()
    spoil(rng, path)
    with ending():
        done = concluded(sweep)
    if done.code == 0:
        assert answer_in(sweep) == answer_in(made)
        assert path.name == "summary.json" or path.read_bytes() == before
    else:
        assert (done.code, path.name in done.err) == (1, True), done


@pytest.mark.parametrize("case", range(ENTRIES))
def test_a_spoiled_entry_of_the_store_is_trained_again_or_named(tmp_path: Path, case: int) -> None:
    """What comes from the store is always what was trained."""
    from steadylr.errors import SteadylrError

    rng = random.Random(2000 + case)
    curve = curve_of(0)
    run = RunCurves(curve, None, curve.lr[:, None], {})
    store, shape, seeds = tmp_path / "store", {"model": "m"}, {"init": 0}
    trained, _ = CurveStore(store).obtain(shape, seeds, lambda: run)
    files = sorted(path for path in store.rglob("*") if path.is_file() and path.stat().st_size)
    path = rng.choice(files)
    spoil(rng, path)
    with ending():
        try:
            ends_in = CurveStore(store).obtain(shape, seeds, lambda: run)[0].digest()
        except SteadylrError as error:
            ends_in = str(error)
    assert ends_in == trained.digest() or str(store) in ends_in


# ---- YAML below --config-dir, and command lines


OWN = b"""# mine
_target_: steadylr.run.models.mlp
name: mlp
min_image_size: 1
weights: null
freeze: false
"""


def sentence(done: Finished) -> None:
    """An end of one of the two kinds."""
    assert done.code in (0, 1), done
    assert "Traceback" not in done.err
    assert (done.code == 0) == (done.err == "" or "WARNING" in done.err), done
    assert len(done.err) < 2500


@pytest.mark.parametrize("case", range(YAMLS))
def test_a_spoiled_yaml_of_ones_own_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: int
) -> None:
    """Or composes, where what it says can be."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "own" / "model" / "mine.yaml"
    path.parent.mkdir(parents=True)
    path.write_bytes(OWN)
    spoil(random.Random(3000 + case), path)
    with ending():
        sentence(find_lr("--config-dir", "own", "model=mine", "dry_run=true"))


KEYS = (
    *(
        "seed",
        "finder.num_iter",
        "model",
        "optimizer.lr",
        "+x",
        "++model.x",
        "~data",
        "hydra.run.dir",
        "sweep_name",
    ),
    *(
        "consensus.mix",
        "store.dir",
        "hydra/launcher",
        "hydra/sweeper",
        "optimizer.groups",
        "data.mean",
        "device.devices",
    ),
    *(
        "+experiment",
        "hydra.job.name",
        "augmentation.transforms",
        "seeds.init",
        "hydra.searchpath",
        "data._target_",
    ),
)
VALUES = (
    *(
        "1",
        "-1",
        "nan",
        "1e400",
        "''",
        "null",
        "${foo}",
        "${seed}",
        "[1,2",
        "{a:1}",
        "range(0,0)",
        "range(0,3,0)",
    ),
    *(
        "interval(0,1)",
        "glob(*)",
        "a,b",
        "\xe9",
        "/proc/nope",
        "x" * 300,
        "true",
        "${oc.env:NOPE}",
        "[[1],[2]]",
        "~",
    ),
    *("sort(3,1)", "choice(1)", "float(1)", "os.system", "\x00", "\n"),
)
OPTIONS = (
    "-m",
    "--cfg",
    "--resolve",
    "--info",
    "--run",
    "--package",
    "--foo",
    "-c",
    "job",
    "--config-dir",
    "=",
    "",
)


@pytest.mark.parametrize("case", range(LINES))
def test_a_command_line_ends_in_a_dry_run_or_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: int
) -> None:
    """Overrides and options drawn at random."""
    monkeypatch.chdir(tmp_path)
    rng = random.Random(4000 + case)
    line = [f"{rng.choice(KEYS)}={rng.choice(VALUES)}" for _ in range(rng.choice((1, 1, 1, 2)))]
    if rng.random() < 0.4:
        line.insert(rng.randrange(len(line) + 1), rng.choice(OPTIONS))
    with ending():
        done = find_lr(*line, "dry_run=true")
    sentence(done)
