"""Progress and figures in a notebook."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from steadylr.present.figures import CurveInfo, curve_figure
from steadylr.present.notebook import in_notebook
from steadylr.present.progress import run_progress


class ZMQInteractiveShell:
    """What get_ipython() gives in the kernel of a notebook."""


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A notebook's display, as the HTML that it was given."""
    pictures: list[str] = []
    handle = SimpleNamespace(update=pictures.append)

    def display(picture: str, *, display_id: bool) -> Any:
        assert display_id
        pictures.append(picture)
        return handle

    shell, part = ModuleType("IPython"), ModuleType("IPython.display")
    shell.get_ipython = ZMQInteractiveShell  # type: ignore[attr-defined]
    part.HTML, part.display = str, display  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", shell)
    monkeypatch.setitem(sys.modules, "IPython.display", part)
    return pictures


def test_a_bar_is_drawn_below_the_cell(shown: list[str]) -> None:
    """One element, replaced in place, with the loss and the LR; at its end it is full."""
    assert in_notebook()
    with run_progress(20, label="seed <3>") as report:
        assert report is not None
        for step in range(20):
            report(step, 1e-3, 0.5)
    assert 'value="0" max="20"' in shown[0]
    assert 'value="20" max="20"' in shown[-1]
    assert "seed &lt;3&gt;  loss 0.5" in shown[-1]
    assert "LR 1.00e-3" in shown[-1]
    assert len(shown) < 20


def test_no_bar_where_none_is_asked_for(shown: list[str]) -> None:
    """shown=False shows nothing in a notebook either."""
    with run_progress(20, shown=False) as report:
        assert report is None
    assert shown == []


def test_outside_of_a_notebook_there_is_no_notebook() -> None:
    """A plain process has no kernel."""
    assert not in_notebook()


def test_a_notebook_shows_a_figure_without_pyplot() -> None:
    """A figure that is a cell's last value is drawn."""
    figure = curve_figure(CurveInfo(lr=[1e-3, 1e-2], loss=[1.0, 0.5]))  # type: ignore[arg-type]
    picture = figure._repr_png_()  # type: ignore[attr-defined]
    assert picture.startswith(b"\x89PNG")
