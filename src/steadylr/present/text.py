"""What a person reads, in parts: headings, sentences, tables, and lines to paste. rich lays them out.

On a terminal sentences and the last column of a table are broken at its edge. Everywhere else nothing is broken, and
there are neither colours nor spaces at the ends of lines. What is meant to be pasted is never broken.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, TypeAlias

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

Part: TypeAlias = Text | Padding | Table

MOST_WIDTH = 100  # longer lines read badly
_ENDLESS = 100_000


class Row(NamedTuple):
    """A row of a table: a cell for each column, the rest empty, and the style of them all."""

    cells: Sequence[str]
    style: str = ""


def pasted(text: str = "", style: str = "") -> Text:
    """A line that is never broken."""
    return Text(text, style=style, no_wrap=True)


def title(text: str) -> Text:
    """What the parts that follow are about."""
    return Text(text, style="bold")


def heading(text: str) -> Iterator[Part]:
    """A heading after an empty line."""
    yield pasted()
    yield title(text)


def sentence(text: str, style: str = "", *, indent: int = 2) -> Padding:
    """A sentence, which a terminal breaks between words and continues two steps further in."""
    return Padding(Text(text, style=style), (0, 0, 0, indent + 2))


def table(header: Sequence[str], rows: Iterable[Row]) -> Table:
    """Columns without lines between them; one in which nothing stands is left out.

    Args:
        header: the names of the columns; no line of names where all are empty.
        rows: the cells. Those of the last column may be text of any length, the others are never broken.
    """
    full = [Row([*row.cells, *[""] * (len(header) - len(row.cells))], row.style) for row in rows]
    used = [column for column in range(len(header)) if any(row.cells[column] for row in full)]
    made = Table(box=None, padding=(0, 0, 0, 2), show_header=any(header), header_style="dim")
    for column in used:
        is_last = column == len(header) - 1
        made.add_column(Text(header[column]), no_wrap=not is_last, overflow="fold" if is_last else "ignore")
    for row in full:
        made.add_row(*(Text(row.cells[column]) for column in used), style=row.style)
    return made


def answer_console() -> Console:
    """Standard output."""
    return Console(highlight=False, markup=False, emoji=False)


def show(parts: Iterable[Part], console: Console | None = None) -> None:
    """Print parts, on standard output unless another console is given."""
    console = answer_console() if console is None else console
    if not console.is_terminal:
        console.file.write(plain(parts))
        return
    width = max(20, min(console.width, MOST_WIDTH))
    for part in parts:
        if isinstance(part, Table):
            needed = console.measure(part, options=console.options.update(width=_ENDLESS))
            if needed.maximum > width:  # rather wider than the terminal than cut
                part.width = max(width, needed.minimum)
            console.print(part, crop=False)
        elif isinstance(part, Padding):
            _print_sentence(part, console, width)
        else:
            console.print(part, soft_wrap=bool(part.no_wrap), width=None if part.no_wrap else width)


def _print_sentence(part: Padding, console: Console, width: int) -> None:
    """The first line begins two steps before the others."""
    first, *others = _text_of(part).wrap(console, width - part.left)
    console.print(Text(" " * (part.left - 2)) + first, soft_wrap=True)
    for line in others:
        console.print(Text(" " * part.left) + line, soft_wrap=True)


def plain(parts: Iterable[Part]) -> str:
    """The same parts as plain text, for a file."""
    file = io.StringIO()
    console = Console(file=file, width=_ENDLESS, color_system=None, force_terminal=False)
    for part in parts:
        if isinstance(part, Padding):
            console.print(Text(" " * (part.left - 2)) + _text_of(part), soft_wrap=True)
        else:
            console.print(part, soft_wrap=isinstance(part, Text), crop=False)
    return "".join(f"{line.rstrip()}\n" for line in file.getvalue().splitlines())


def _text_of(part: Padding) -> Text:
    assert isinstance(part.renderable, Text)
    return part.renderable
