"""Several devices on the command line: alone, in a sweep, under torchrun on two machines (of which this is both)."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from command_line import DEADLINE, FIND_LR, environment, find_lr, only_run, process
from docs_programs import blocks
from steadylr.store.curve_file import RunCurves

pytestmark = pytest.mark.slow

PAGE = "several-devices.md"
SHORT = ("finder.num_iter=40", "device.threads=1", "store.enabled=false")


def command(block: int, program: str) -> list[str]:
    """What follows a program on the command line that a block of the page shows."""
    words = blocks(PAGE)[block].text.split()
    return words[words.index(program) + 1 :]


def curves_of(folder: Path) -> RunCurves:
    return RunCurves.load(folder / "curve.npz")


@pytest.fixture(scope="module")
def on_two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that the first command of the page leaves."""
    folder = tmp_path_factory.mktemp("run")
    done = process(FIND_LR, *command(0, "src/find_lr.py"), *SHORT, cwd=folder)
    assert done.code == 0, done
    assert done.err == ""
    return only_run(folder)


def test_one_run_is_left_and_its_curve_is_that_of_one_device(
    on_two: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """mlp has neither BatchNorm nor dropout: rounding is all that differs, and the record says what it was."""
    given = [word for word in command(0, "src/find_lr.py") if not word.startswith(("device.s", "device.d"))]
    monkeypatch.chdir(tmp_path)
    assert find_lr(*given, *SHORT).code == 0
    found, alone = curves_of(on_two), curves_of(only_run(tmp_path))
    assert found.curve.loss == pytest.approx(alone.curve.loss, rel=1e-3)
    assert found.curve.digest() != alone.curve.digest()
    assert (found.meta["device"]["strategy"], found.meta["device"]["devices"]) == ("ddp", 2)
    assert (alone.meta["device"]["strategy"], alone.meta["device"]["devices"]) == ("single", 1)


def test_a_sweep_starts_ranks_for_each_of_its_runs(on_two: Path, tmp_path: Path) -> None:
    """From its worker; and fsdp gives the bits of ddp, as two ranks have one way to add two numbers."""
    given = ("-m", *command(0, "src/find_lr.py"), *SHORT, "device.strategy=fsdp", "sweep_name=x")
    done = process(FIND_LR, *given, cwd=tmp_path)
    assert done.code == 0, done
    found = curves_of(tmp_path / "outputs" / "sweeps" / "x" / "0")
    assert found.meta["device"]["strategy"] == "fsdp"
    assert found.curve.digest() == curves_of(on_two).curve.digest()


def test_torchrun_on_two_machines_makes_one_run(on_two: Path, tmp_path: Path) -> None:
    """Of the same bits; rank 0 alone prints and writes."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    where = ["--rdzv-backend", "c10d", "--rdzv-endpoint", f"127.0.0.1:{port}", "--rdzv-id", "test"]
    torchrun = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nnodes",
        "2",
        "--nproc-per-node",
        "1",
        *where,
    ]
    machines = [
        subprocess.Popen(
            [*torchrun, str(FIND_LR), *command(0, "src/find_lr.py"), *SHORT],
            cwd=tmp_path,
            env=environment(),
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    said = [machine.communicate(timeout=DEADLINE)[0] for machine in machines]
    assert [machine.returncode for machine in machines] == [0, 0]
    assert sorted(map(bool, said)) == [False, True]
    assert "".join(said).count("OneCycle plan") == 1
    assert curves_of(only_run(tmp_path)).curve.digest() == curves_of(on_two).curve.digest()


def test_a_program_of_ones_own_runs_under_torchrun(tmp_path: Path) -> None:
    """The page's own loop: every rank takes part, and rank 0 tells the answer."""
    (program,) = (block.text for block in blocks(PAGE) if block.language == "python")
    (tmp_path / "program.py").write_text(program)
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "program.py"]
    done = process(*torchrun, cwd=tmp_path)
    assert done.code == 0, done
    lr, points, ranks = done.out.split()
    assert 0 < float(lr) < 1
    assert (int(ranks), int(points) <= 60) == (2, True)
