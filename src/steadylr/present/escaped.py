"""Text that came from elsewhere, such as names and values in a sweep's folder, made safe to be looked at."""

from __future__ import annotations

import re

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""Control characters but tab and newline: what a terminal takes as orders."""


def escaped(text: str) -> str:
    r"""The text with its control characters written out, ESC as \x1b: they order nothing of a terminal."""
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def spreadsheet_cell(value: object) -> object:
    """A value for a cell of a CSV file: text that a spreadsheet would take as a formula gets a ' before it.

    Numbers stay numbers, also in text ("-1e-3").
    """
    if not isinstance(value, str):
        return value
    text = escaped(value)
    if not text.startswith(("=", "+", "-", "@", "\t")):
        return text
    try:
        float(text)
    except ValueError:
        return f"'{text}"
    return text
