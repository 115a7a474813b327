"""The notebooks in examples/: each runs from top to bottom, warns of nothing, and shows what it promises."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def executed(name: str, folder: Path) -> list[Any]:
    """The code cells of a notebook after it was run in a folder."""
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(EXAMPLES / f"{name}.ipynb", as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "notebooks are kept without outputs"
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(folder)}}).execute()
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def printed(cell: Any) -> str:
    return "".join(output.text for output in cell.outputs if output.output_type == "stream")


def shown(cell: Any) -> set[str]:
    """The kinds of what a cell shows as its last value."""
    return {kind for output in cell.outputs if output.output_type == "execute_result" for kind in output.data}


def warned(cells: list[Any]) -> str:
    """What stands in red under the cells."""
    return "".join(output.text for cell in cells for output in cell.outputs if output.get("name") == "stderr")


def test_plain_pytorch(tmp_path: Path) -> None:
    """Table and figure of one run and of three, and a training whose loss falls."""
    cells = executed("plain_pytorch", tmp_path)
    assert warned(cells) == ""
    assert "text/html" in shown(cells[1])
    assert "text/html" in shown(cells[2])
    losses = [float(line.split("loss ")[1].split(",")[0]) for line in printed(cells[3]).splitlines()]
    assert len(losses) == 3
    assert losses == sorted(losses, reverse=True)


def test_lightning(tmp_path: Path) -> None:
    """A curve, and a fit with the LR that the callback has set: another than the module's own."""
    cells = executed("lightning", tmp_path)
    assert "steadylr" not in warned(cells)  # Lightning has its own to say
    assert "text/html" in shown(cells[1])
    lr = float(printed(cells[2]).split("trained with LR ")[1])
    assert 1e-3 < lr < 10
