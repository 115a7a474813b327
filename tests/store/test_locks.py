"""Lock files: who waits says for whom, and no link decides where one is made."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from steadylr.store import locks
from steadylr.store.files import DamagedFile
from steadylr.store.locks import locked


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "QUIET_SECONDS", 0.01)


def waited(path: Path) -> bool:
    """Whether the lock was had by somebody who soon gives up."""
    with locked(
        path, busy="is training the same run", without="it may be trained twice", patience=0.05
    ) as held:
        return held


def test_who_waits_says_for_whom(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The process may have been stopped, and only its user can let it go on."""
    path = tmp_path / "locks" / "a.lock"
    with locked(path, busy="", without=""):
        assert not waited(path)
    assert re.search(
        rf"waiting for process {os.getpid()} on [\w.-]+, which is training the same run \(.*a\.lock\)",
        caplog.text,
    )
    assert waited(path)
    assert [file.name for file in path.parent.iterdir() if file.name.endswith(".by")] == []


@pytest.mark.parametrize("content", [b"process 1 on x\x1b[2J", b"\xff", b"9" * 1000])
def test_another_sign_than_ours_is_not_shown(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """It may have come with a stranger's sweep."""
    with locked(tmp_path / "a.lock", busy="", without=""):
        (tmp_path / "a.lock.by").write_bytes(content)
        assert not waited(tmp_path / "a.lock")
    assert "waiting for another process, which is training" in caplog.text


def test_a_link_is_no_lock_file(tmp_path: Path) -> None:
    """Nothing is made where it leads."""
    (tmp_path / "a.lock").symlink_to(tmp_path / "elsewhere")
    with (
        pytest.raises(DamagedFile, match=r"a\.lock: is a link"),
        locked(tmp_path / "a.lock", busy="", without=""),
    ):
        pass
    assert not (tmp_path / "elsewhere").exists()
