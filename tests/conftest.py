"""Settings for all tests."""

import os
import signal
from pathlib import Path

import pytest
from hypothesis import settings

from remembered import remember_groups

settings.register_profile("steady", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("steady")

remember_groups()
os.fsync = lambda _: None  # no test needs its files after a power cut, and each would wait for the disk

# A shell's `make test &` and many CI runners start processes with SIGINT ignored, and programs inherit that: Ctrl-C
# would reach none of those that tests start. Every worker of xdist comes through here as well.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGTERM, signal.SIG_DFL)


@pytest.fixture
def undrawn(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are gathered and not drawn: a line stands in their files. Drawing takes longer than a small sweep."""
    if "drawn" in request.fixturenames:
        return
    from steadylr.present import figures

    for name in figures.__all__:
        if name.endswith("_figure"):
            monkeypatch.setattr(figures, name, lambda _: None)
    monkeypatch.setattr(figures, "save_figure", lambda _, path: Path(path).write_text("a figure\n"))


@pytest.fixture
def drawn() -> None:
    """Figures are drawn after all, by one test of a file in which they are not."""
