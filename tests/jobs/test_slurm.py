"""Sweeps on Slurm: by submitit's processes on this machine, and on a real Slurm of one node where there is one."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from clusters import begun, curves_in, end, fated, is_answered_as_here, start
from test_sweep_processes import statuses, until

from needed import need

need("submitit")

pytestmark = pytest.mark.slow

LOCAL = ("hydra/launcher=steadylr_slurm", "hydra.launcher.cluster=local")
REAL = ("hydra/launcher=steadylr_slurm",)
SCRIPT = Path(__file__).with_name("slurm_here.sh")
PROGRAMS = ("slurmctld", "slurmd", "munged", "sbatch", "squeue", "scontrol")


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A real Slurm, started for these tests, that SLURM_CONF leads to."""
    if missing := [name for name in PROGRAMS if shutil.which(name) is None]:
        pytest.skip(f"no Slurm on this machine: {', '.join(missing)} (Debian's slurm-wlm and munge)")
    if os.geteuid() != 0:
        pytest.skip("Slurm's daemons are started by root")
    folder = tmp_path_factory.mktemp("slurm")
    subprocess.run(["bash", str(SCRIPT), "start", str(folder)], check=True, timeout=120)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_CONF", str(folder / "slurm.conf"))
        yield
    subprocess.run(["bash", str(SCRIPT), "stop", str(folder)], check=True, timeout=60)


def listed(state: str) -> str:
    """The task in a state, of the only sweep; empty where there is none."""
    command = ["squeue", "--noheader", f"--states={state}", "--format=%i"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_a_sweep_is_answered_as_here(tmp_path: Path) -> None:
    """Bit for bit."""
    is_answered_as_here(tmp_path, *LOCAL)


def test_a_training_out_of_memory_costs_its_own_job(tmp_path: Path) -> None:
    """Told by torch or killed by the system; its reason is told."""
    folder = fated(tmp_path)
    done = end(start(folder, "+model.fate=dies,fine,hungry", *LOCAL))
    assert done.code == 1
    assert list(statuses(folder / "outputs/sweeps/x").values()) == ["failed", "finished", "failed"]
    assert "ended without a result (its process died)" in done.err
    assert sorted(begun(folder)) == ["dies", "fine", "hungry"]


def test_a_real_slurm_answers_as_here(tmp_path: Path, slurm: None) -> None:
    """Bit for bit, through sbatch, slurmctld and slurmd."""
    is_answered_as_here(tmp_path, *REAL)
    assert list((tmp_path / "there" / "outputs" / "store" / "tmp").iterdir()) == []


def test_a_preempted_training_begins_again(tmp_path: Path, slurm: None) -> None:
    """Slurm has it wait, and later it is begun at its first step; what has ended is not."""
    folder = fated(tmp_path)
    program = start(folder, "+model.fate=fine,waits", "device.workers=1", *REAL)
    until(lambda: begun(folder) == ["fine", "waits"])
    subprocess.run(["scontrol", "requeue", listed("running")], check=True)
    job = until(lambda: listed("pending"))
    subprocess.run(["scontrol", "update", f"jobid={job}", "starttime=now"], check=True)  # else in two minutes
    until(lambda: begun(folder) == ["fine", "waits", "waits"])
    (folder / "go").touch()
    done = end(program)
    assert (done.code, statuses(folder / "outputs/sweeps/x")) == (0, {"0": "finished", "1": "finished"}), done


def test_a_task_that_slurm_ends_is_told(tmp_path: Path, slurm: None) -> None:
    """With its state, though Slurm's history is switched off; the same command trains what is missing."""
    folder = fated(tmp_path)
    program = start(folder, "+model.fate=fine,waits", *REAL)
    until(lambda: begun(folder).count("waits") == 1 and len(curves_in(folder)) == 1)
    subprocess.run(["scancel", listed("running")], check=True)
    done = end(program)
    assert (done.code, statuses(folder / "outputs/sweeps/x")) == (1, {"0": "finished", "1": "failed"}), done
    assert "ended without a result (CANCELLED)" in done.err
    (folder / "go").touch()
    assert end(start(folder, "+model.fate=fine,waits", *REAL)).code == 0
    assert sorted(begun(folder)) == ["fine", "waits", "waits"]


def test_an_interrupt_cancels_the_array(tmp_path: Path, slurm: None) -> None:
    """What has finished gets its answer."""
    folder = fated(tmp_path)
    program = start(folder, "+model.fate=fine,waits", *REAL)
    until(lambda: begun(folder).count("waits") == 1 and len(curves_in(folder)) == 1)
    os.killpg(program.pid, signal.SIGINT)
    done = end(program)
    assert done.code == 130, done
    assert "1 run with an LR" in done.out
    until(lambda: not listed("running"))
