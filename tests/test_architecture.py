"""docs/architecture.md says what is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SRC = ROOT / "src" / "steadylr"
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
NAMED = re.findall(r"`(\w+/\w+\.py): (\w+)`", PAGE)


def defined_in(file: Path) -> set[str]:
    """The names that a module defines."""
    names: set[str] = set()
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            names |= {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
    return names


def test_what_the_page_names_is_there() -> None:
    """Every file with its function, class or constant."""
    assert len(NAMED) > 20
    missing = [f"{file}: {name}" for file, name in NAMED if name not in defined_in(SRC / file)]
    assert missing == []


def test_every_room_has_its_sentence() -> None:
    """And the table names no room that isn't there."""
    rooms = {path.name for path in SRC.iterdir() if (path / "__init__.py").is_file()}
    described = set(re.findall(r"^\| .*?`(\w+)/`.*? \|", PAGE, re.MULTILINE))
    assert described == rooms
