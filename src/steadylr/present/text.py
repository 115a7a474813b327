"""What a person reads, in parts: headings, sentences, tables, and lines to paste.

On a terminal sentences and the last column of a table are broken between words at its edge. Everywhere else nothing is
broken, and there are no colours. What is meant to be pasted is never broken.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, TypeAlias

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from steadylr.present.escaped import escaped, escaped_line

MOST_WIDTH = 100  # longer lines read badly
_LEAST_ROOM = 24  # columns in which a text reads well beside a table; below its row where it has fewer
_ENDLESS = 100_000


class Line(NamedTuple):
    """A line of text in one style, `indent` steps in; a line to paste is never broken."""

    text: str = ""
    style: str = ""
    indent: int = 0
    paste: bool = False


class Row(NamedTuple):
    """A row of a table: a cell for each column, the rest empty, and the style of them all."""

    cells: Sequence[str]
    style: str = ""


class Table(NamedTuple):
    """Columns without lines between them; see `table`. Each row has as many cells as the header."""

    header: Sequence[str]
    rows: Sequence[Row]


Part: TypeAlias = Line | Table


def pasted(text: str = "", style: str = "") -> Line:
    """A line that is never broken."""
    return Line(text, style, paste=True)


def title(text: str) -> Line:
    """What the parts that follow are about."""
    return Line(text, "bold")


def heading(text: str) -> Iterator[Part]:
    """A heading after an empty line."""
    yield Line()
    yield title(text)


def sentence(text: str, style: str = "", *, indent: int = 2) -> Line:
    """A sentence, which a terminal breaks between words and continues two steps further in."""
    return Line(text.rstrip(), style, indent)


def table(header: Sequence[str], rows: Iterable[Row]) -> Table:
    """Columns without lines between them; one in which nothing stands is left out.

    Args:
        header: the names of the columns; no line of names where all are empty.
        rows: the cells. The last column is for text of any length; where a terminal has no room for it, it stands
            below its rows, without its name. The others are never broken: after numbers add a column without a name.
    """
    return Table(
        header, [Row([*row.cells, *[""] * (len(header) - len(row.cells))], row.style) for row in rows]
    )


def answer_console() -> Console:
    """Standard output."""
    return Console(highlight=False, markup=False, emoji=False)


def text_width(console: Console) -> int:
    """The columns that a text may fill: a terminal's, from 20 to MOST_WIDTH; elsewhere MOST_WIDTH."""
    return max(20, min(console.width, MOST_WIDTH)) if console.is_terminal else MOST_WIDTH


def show(parts: Iterable[Part], console: Console | None = None) -> None:
    """Print parts, on standard output unless another console is given; control characters in them are written out."""
    console = answer_console() if console is None else console
    width = text_width(console) if console.is_terminal else _ENDLESS
    for part in map(_escaped, parts):
        lines = _table_lines(part, console, width) if isinstance(part, Table) else _broken(part, width)
        for line in lines:
            console.print(line, soft_wrap=True)  # rich breaks and crops nothing more


def _escaped(part: Part) -> Part:
    if isinstance(part, Line):
        return part._replace(text=_escaped_text(part))
    rows = [Row([escaped_line(cell) for cell in row.cells], row.style) for row in part.rows]
    return Table([escaped_line(name) for name in part.header], rows)


def _escaped_text(line: Line) -> str:
    """The text of a line; a sentence of several lines stays indented, so that none of them passes for a heading."""
    if line.paste:
        return escaped(line.text)
    if not line.indent:
        return escaped_line(line.text)
    return escaped(line.text).replace("\n", "\n" + " " * (line.indent + 2))


def plain(parts: Iterable[Part]) -> str:
    """The same parts as plain text, for a file."""
    file = io.StringIO()
    show(parts, Console(file=file, force_terminal=False, color_system=None))
    return file.getvalue()


def _broken(line: Line, width: int) -> Iterator[Text]:
    indent = " " * line.indent
    if line.paste or len(indent + line.text) <= width:
        yield Text(indent + line.text, line.style)
        return
    for part in textwrap.wrap(
        line.text,
        width,
        initial_indent=indent,
        subsequent_indent=f"{indent}  ",
        break_long_words=False,
        break_on_hyphens=False,
    ):
        yield Text(part, line.style)


def _table_lines(part: Table, console: Console, width: int) -> Iterator[Text]:
    """The lines of a table; a last column without room for its words stands below its rows instead."""
    texts = [row.cells[-1] for row in part.rows]
    others = Table(part.header[:-1], [Row(row.cells[:-1], row.style) for row in part.rows])
    endless = console.options.update(width=_ENDLESS)
    room = width - console.measure(_laid_out(others), options=endless).maximum - 2
    longest_word = max((cell_len(word) for text in texts for word in text.split()), default=0)
    if room >= min(max(map(cell_len, texts), default=0), max(_LEAST_ROOM, longest_word)):
        yield from _rendered(_laid_out(part, wrapping=True), console, width)
        return
    lines = _rendered(_laid_out(others), console, _ENDLESS)
    if any(others.header):
        yield next(lines)
    for line, text, row in zip(lines, texts, part.rows, strict=True):
        yield line
        if text:
            yield from _broken(Line(text, row.style, indent=6), width)


def _laid_out(part: Table, *, wrapping: bool = False) -> RichTable:
    """rich's table; the last column breaks between words where wrapping."""
    used = [k for k in range(len(part.header)) if any(row.cells[k] for row in part.rows)]
    made = RichTable(box=None, padding=(0, 0, 0, 2), show_header=any(part.header), header_style="dim")
    for k in used:
        made.add_column(Text(part.header[k]), no_wrap=not (wrapping and k == len(part.header) - 1))
    for row in part.rows:
        made.add_row(*(Text(row.cells[k]) for k in used), style=row.style)
    return made


def _rendered(made: RichTable, console: Console, width: int) -> Iterator[Text]:
    """The lines of rich's table, without spaces at their ends."""
    for segments in console.render_lines(made, console.options.update(width=width), pad=False):
        line = Text.assemble(*((segment.text, segment.style or "") for segment in segments))
        line.rstrip()
        yield line
