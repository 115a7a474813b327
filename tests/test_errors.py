"""Our own errors are marked by their class."""

from __future__ import annotations

import ast
import builtins
from pathlib import Path

SRC = Path(__file__).parents[1] / "src" / "steadylr"
EXCEPTIONS = {
    name for name, value in vars(builtins).items() if isinstance(value, type) and issubclass(value, Exception)
}


def test_every_error_of_ours_bears_the_mark() -> None:
    """None derives from Python's exceptions alone, but steadylr.errors itself and what never leaves its module."""
    bases = {
        f"{file.relative_to(SRC)}:{node.name}": {ast.unparse(base) for base in node.bases}
        for file in SRC.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    }
    assert len(bases) > 50
    assert [name for name, own in bases.items() if own and own <= EXCEPTIONS] == ["errors.py:SteadylrError"]
