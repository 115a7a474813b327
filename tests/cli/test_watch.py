"""watch.py and live=true: a sweep looked at while it is under way."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from command_line import DEADLINE, FIND_LR, SRC, TINY, environment, find_lr, main_of
from made_jobs import make_job, make_sweep
from steadylr.answer.readings import from_sweep
from steadylr.cli import watch as program
from steadylr.config.schema import Consensus, OneCycle
from steadylr.report.conclude import conclude

pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "sweep must be the folder or name of one sweep"),
        (["sweep=nowhere"], "no such folder"),
        (["sweep=x", "port=70000"], "port must be from 0"),
        (["sweep=x", "host=192.0.2.1"], "nothing can be served on 192.0.2.1"),
    ],
)
def test_what_it_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str
) -> None:
    """In one sentence, with exit code 1."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "outputs" / "sweeps" / "x").mkdir(parents=True)
    done = main_of(program, *arguments)
    assert (done.code, done.out, len(done.err.splitlines())) == (1, "", 1)
    assert said in done.err


@contextmanager
def command(*arguments: object, cwd: Path) -> Iterator[subprocess.Popen[str]]:
    """A command in a process of its own, which has ended when the context is left."""
    started = subprocess.Popen(
        [sys.executable, "-u", *map(str, arguments)],
        cwd=cwd,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield started
    finally:
        started.kill()
        started.communicate()


def port_told(started: subprocess.Popen[str]) -> int:
    """The port in the first line that names an address."""
    assert started.stdout is not None
    for line in started.stdout:
        if "http://127.0.0.1:" in line:
            return int(line.partition("http://127.0.0.1:")[2].partition("/")[0])
    raise AssertionError("no address was told")


def asked(port: int, path: str) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", path)
    body = connection.getresponse().read().decode()
    connection.close()
    return body


@pytest.mark.slow
def test_watch_shows_runs_as_they_end_and_ends_with_the_sweep(tmp_path: Path) -> None:
    """With exit code 0."""
    folder = make_sweep(tmp_path / "outputs" / "sweeps" / "x", seeds=1)
    with command(SRC / "watch.py", "sweep=x", "port=0", cwd=tmp_path) as started:
        port = port_told(started)
        assert "one run says nothing about the spread" in asked(port, "/")
        make_job(folder / "1", seed=1)
        assert json.loads(asked(port, "/now"))["changed"] is True
        assert "2 runs spread over" in asked(port, "/")
        conclude(from_sweep(folder), folder, consensus=Consensus(), onecycle=OneCycle())
        assert started.wait(DEADLINE) == 0


@pytest.mark.slow
def test_live_shows_curves_while_they_are_trained(tmp_path: Path) -> None:
    """Each longer than before; the answer is that of the sweep without it, and the last state is the answer."""
    sweep = ("-m", "seed=1,2", *TINY, "finder.num_iter=1500", "device.workers=1", "live=true", "live_port=0")
    seen: list[Any] = []
    with command(FIND_LR, *sweep, "sweep_name=x", cwd=tmp_path) as started:
        port = port_told(started)
        page, limit = asked(port, "/"), time.monotonic() + DEADLINE
        while time.monotonic() < limit:
            now = json.loads(asked(port, "/now"))
            seen += now["running"]
            if now["changed"] or str(now["version"]) not in page:
                page = asked(port, "/")
            if now["ended"]:
                page = asked(port, "/")
                break
            time.sleep(0.1)
        assert started.wait(DEADLINE) == 0
    grown = [len(one["lr"]) for one in seen if one["label"] == "seed=1"]
    assert grown == sorted(grown)
    assert len(set(grown)) > 1
    assert {len(one["lr"]) == len(one["loss"]) for one in seen} == {True}
    assert "2 runs spread over" in page


@pytest.mark.slow
def test_live_is_for_sweeps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A single run is refused before it trains; so is a port that is taken."""
    monkeypatch.chdir(tmp_path)
    done = find_lr(*TINY, "live=true")
    assert done.code == 1
    assert "live=true shows a sweep (-m)" in done.err
    assert not list(tmp_path.rglob("curve.npz"))
