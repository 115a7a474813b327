"""Parts of a text as plain values that the page's template lays out: the words of the terminal, in another dress."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from steadylr.present.text import Line, Part, Row, Table

_NUMBER = re.compile(r"[<>]?[-+]?\d[\d,.]*(e[-+]?\d+)?( ?%)?( to [-+]?\d[\d,.]*(e[-+]?\d+)?%?)?|-|")
_TONES = {"green": "good", "yellow": "fair", "red": "bad"}


def blocks(parts: Iterable[Part]) -> list[dict[str, Any]]:
    """Sentences, lines to paste and tables; headings and empty lines are left out, as sections have their own."""
    shown: list[dict[str, Any]] = []
    before: Part | None = None
    for part in parts:
        is_heading = before == Line() and isinstance(part, Line) and part.style == "bold" and not part.paste
        before = part
        if isinstance(part, Table):
            shown.append(table_block(part.header, part.rows))
        elif part.text and not is_heading:
            strong = "bold" in part.style
            tone = next((tone for colour, tone in _TONES.items() if colour in part.style), "")
            shown.append(
                {"kind": "code" if part.paste else "text", "text": part.text, "strong": strong, "tone": tone}
            )
    return shown


def table_block(header: Sequence[str], rows: Sequence[Row]) -> dict[str, Any]:
    """A table; columns in which nothing stands are left out, and those of numbers marked."""
    used = [k for k in range(len(header)) if any(row.cells[k] for row in rows)]
    return {
        "kind": "table",
        "header": [header[k] for k in used] if any(header) else [],
        "numeric": [all(_NUMBER.fullmatch(row.cells[k]) for row in rows) for k in used],
        "rows": [{"cells": [row.cells[k] for k in used], "strong": "bold" in row.style} for row in rows],
    }
