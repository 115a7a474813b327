"""The live page: what its server answers and refuses, and what is new on it as a sweep goes on."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from made_jobs import leave_status, make_job
from steadylr.config.errors import BadInput
from steadylr.present.sweep_progress import Running
from steadylr.report.page.live import LivePage, served
from steadylr.report.page.serve import PageServer


@pytest.fixture
def server() -> Iterator[PageServer]:
    with PageServer("127.0.0.1", 0, lambda: "<p>page</p>", lambda: "{}") as made:
        yield made


def asked(
    server: PageServer, path: str = "/", *, method: str = "GET", host: str | None = None
) -> tuple[int, str]:
    """The status and the body that come back."""
    port = int(server.address.rpartition(":")[2].strip("/"))
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request(method, path, headers={} if host is None else {"Host": host})
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    return answer.status, body


def test_it_serves_the_page_and_what_is_new(server: PageServer) -> None:
    """And nothing else: no other path, no file, no other method."""
    assert asked(server) == (200, "<p>page</p>")
    assert asked(server, "/now") == (200, "{}")
    for path in ("/summary.json", "/../etc/passwd", "/now?x=1", "/%2e%2e/"):
        assert asked(server, path)[0] == 404
    assert asked(server, method="POST")[0] == 501


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8765", 200),
        ("localhost:8765", 200),
        ("evil.example:8765", 403),
        ("127.0.0.1.evil.example:8765", 403),
        ("", 403),
    ],
)
def test_who_asks_by_another_name_is_refused(server: PageServer, host: str, status: int) -> None:
    """As a page from elsewhere would, whose name was made to lead here."""
    assert asked(server, host=host)[0] == status
    assert asked(server, "/now", host=host)[0] == status


def test_it_listens_on_this_machine_alone(server: PageServer) -> None:
    """Unless it is told otherwise."""
    assert server.address.startswith("http://127.0.0.1:")


def test_a_port_that_is_taken_is_one_sentence() -> None:
    """With another to give."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(BadInput, match=f"^live_port={port} is taken by another program: give another"):
            PageServer("127.0.0.1", port, str, str, key="live_port")


def test_a_host_of_another_machine_is_one_sentence() -> None:
    """As the system has it."""
    with pytest.raises(BadInput, match=r"nothing can be served on 192\.0\.2\.1"):
        PageServer("192.0.2.1", 0, str, str)


def test_a_browser_that_goes_away_costs_nothing(
    server: PageServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the middle of a request, or before its answer; the next one is served, and nothing is printed."""
    port = int(server.address.rpartition(":")[2].strip("/"))
    for sent in (b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
            connection.sendall(sent)
    assert asked(server)[0] == 200
    assert capsys.readouterr() == ("", "")


def now_of(page: LivePage) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(page.now())
    return found


def test_a_run_that_ends_makes_another_page(tmp_path: Path) -> None:
    """Before that the same page is given again; a failure shows as well."""
    page = LivePage(tmp_path / "x")
    assert "No run has ended yet" in page.html()
    make_job(tmp_path / "x" / "0")
    assert now_of(page)["changed"] is True
    first = page.html()
    assert (now_of(page)["changed"], now_of(page)["version"]) == (False, 1)
    assert "Too few runs: one run says nothing about the spread." in first
    assert page.html() is first
    make_job(tmp_path / "x" / "1", seed=1)
    leave_status(tmp_path / "x" / "2", "failed", error="no memory")
    assert now_of(page)["changed"] is True
    second = page.html()
    assert "2 runs spread over a factor of" in second
    assert "no memory" in second
    assert 'data-live="2"' in second


def test_curves_under_way_are_among_the_news(tmp_path: Path) -> None:
    """As numbers, with names that are text."""
    page = LivePage(tmp_path, lambda: [Running("seed=1\x1b", (1e-5, 1e-4), (2.3, 2.2), 0.25)])
    assert now_of(page)["running"] == [
        {"label": "seed=1\\x1b", "lr": [1e-5, 1e-4], "loss": [2.3, 2.2], "share": 0.25}
    ]


def test_a_sweep_has_ended_once_its_answer_is_newer_than_its_jobs(tmp_path: Path) -> None:
    """A job that begins anew reopens it."""
    import os

    page = LivePage(tmp_path)
    job = make_job(tmp_path / "0")
    assert not page.has_ended()
    (tmp_path / "summary.json").write_text("{}")
    os.utime(tmp_path / "summary.json", ns=(2 * 10**18, 2 * 10**18))
    assert page.has_ended()
    os.utime(job / "status.json", ns=(3 * 10**18, 3 * 10**18))
    assert not page.has_ended()


def test_without_a_browser_it_ends_at_once(tmp_path: Path) -> None:
    """And says then that it has."""
    page = LivePage(tmp_path)
    with served(page, host="127.0.0.1", port=0, key="port"):
        pass
    assert now_of(page)["ended"] is True
