"""The pages on Lightning, Hugging Face and timm: what they show is run."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from docs_programs import DOCS, run_program, write_files

pytestmark = pytest.mark.slow

FIND_LR = DOCS.parent / "src" / "find_lr.py"
ENVIRONMENT = {**os.environ, "MPLBACKEND": "Agg", "OMP_NUM_THREADS": "1"}


def commands(page: str) -> list[list[str]]:
    """The arguments of each find_lr.py command of a page."""
    (shown,) = re.findall(r"^```sh\n(.*?)^```", (DOCS / page).read_text(), re.DOTALL | re.MULTILINE)
    return [shlex.split(line)[2:] for line in shown.replace("\\\n", " ").splitlines()]


def python(*command: object, cwd: Path) -> str:
    done = subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=cwd,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("page", ["lightning.md", "hugging-face.md"])
def test_a_page_starts_with_a_program_that_runs(page: str, tmp_path: Path) -> None:
    """It finds an LR and prints the schedule."""
    assert "OneCycleLR(optimizer, max_lr=" in run_program(page, tmp_path)


def test_the_script_with_a_trainer_runs(tmp_path: Path) -> None:
    """The LR that was found is that of the module."""
    write_files("lightning.md", tmp_path)
    found, of_module = python("-W", "ignore", "fit.py", cwd=tmp_path).split()[-2:]
    assert float(found) == float(of_module) > 0


def test_the_script_with_a_trainer_of_transformers_runs(tmp_path: Path) -> None:
    """It trains as long as the plan says."""
    write_files("hugging-face.md", tmp_path)
    out = python("-W", "ignore", "fine_tune.py", cwd=tmp_path)
    assert out.splitlines()[-1].startswith("60 steps up to LR ")


@pytest.mark.parametrize(("page", "number"), [("lightning.md", 1), ("hugging-face.md", 1)])
def test_a_command_of_a_page_runs(page: str, number: int, tmp_path: Path) -> None:
    """As it stands, with fewer iterations."""
    write_files(page, tmp_path)
    few = ("finder.num_iter=60", "device.threads=1", "data.batch_size=16", "hydra.run.dir=out")
    out = python(FIND_LR, *commands(page)[number], *few, cwd=tmp_path)
    assert "seed 0: LR " in out
