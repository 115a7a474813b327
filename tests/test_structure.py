"""The house stays readable: small files, small functions, few parameters. import-linter holds the rooms."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

SRC = Path(__file__).resolve().parents[1] / "src"
MOST_LINES = 400
MOST_BODY_LINES = 45
MOST_PARAMETERS = 10
MANY_PARAMETERS = {"steadylr/api.py:range_test"}
"""The public function that takes all that a range test can be told, by name."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions() -> Iterator[tuple[str, Function]]:
    """Every function in src, with its file and name."""
    for file in sorted(SRC.rglob("*.py")):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, Function):
                yield f"{file.relative_to(SRC).as_posix()}:{node.name}", node


def body_lines(function: Function) -> int:
    """The lines of a function's body, its docstring aside."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return 0 if not body else (body[-1].end_lineno or 0) - body[0].lineno + 1


def num_parameters(function: Function) -> int:
    """How many parameters a function has, self and cls aside."""
    arguments = function.args
    names = [part.arg for part in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
    return len([name for name in names if name not in ("self", "cls")])


def test_no_file_is_long() -> None:
    """A file of more than 400 lines holds more than one concept."""
    lengths = {
        file.relative_to(SRC).as_posix(): len(file.read_text().splitlines()) for file in SRC.rglob("*.py")
    }
    assert {name: length for name, length in lengths.items() if length > MOST_LINES} == {}


def test_no_function_is_long() -> None:
    """A body of more than 45 lines does more than one thing."""
    lengths = {name: body_lines(function) for name, function in functions()}
    assert {name: length for name, length in lengths.items() if length > MOST_BODY_LINES} == {}


def test_no_function_takes_many_parameters() -> None:
    """What takes more than ten parameters wants an object; the public range_test alone keeps its many options."""
    counts = {name: num_parameters(function) for name, function in functions() if name not in MANY_PARAMETERS}
    assert {name: count for name, count in counts.items() if count > MOST_PARAMETERS} == {}


def test_a_long_function_would_be_seen() -> None:
    """The measures themselves: a docstring is no body, self is no parameter."""
    source = 'def f(self, a, /, b, *, c):\n    """Doc.\n\n    More.\n    """\n    x = 1\n\n    return x\n'
    (function,) = ast.parse(source).body
    assert isinstance(function, ast.FunctionDef)
    assert (body_lines(function), num_parameters(function)) == (3, 3)
