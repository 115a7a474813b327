"""Text that came from elsewhere, such as names and values in a sweep's folder, made safe to be looked at."""

from __future__ import annotations

import re

_ORDERS = (
    r"\x00-\x08\x0b-\x1f\x7f-\x9f"  # control characters but tab and newline: what a terminal takes as orders
    r"\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # which way text runs: it would be read in another order
    r"\u00ad\u180e\u200b-\u200d\u2028\u2029\u2060-\u2065\u206a-\u206f\ufeff\ufff9-\ufffb"  # unseen, or a line's end
    r"\ud800-\udfff"  # half a pair: no text at all
    r"\U000e0000-\U000e007f"  # tags: letters that nobody sees
)

_IN_TEXT = re.compile(f"[{_ORDERS}]")

_IN_LINE = re.compile(rf"[\t\n{_ORDERS}]")


def escaped(text: str) -> str:
    r"""The text with what orders something of a terminal, or isn't seen, written out: ESC as \x1b, U+202E as \u202e.

    Newlines and tabs stay: they lay a text out.
    """
    return _IN_TEXT.sub(_written_out, text)


def escaped_line(text: str) -> str:
    r"""The same for a name or value that stands within a line: its newlines and tabs are written out as well."""
    return _IN_LINE.sub(_written_out, text)


def _written_out(match: re.Match[str]) -> str:
    short = {"\n": r"\n", "\t": r"\t", "\r": r"\r"}
    code = ord(match[0])
    wide = f"\\U{code:08x}" if code > 0xFFFF else f"\\u{code:04x}" if code > 0xFF else f"\\x{code:02x}"
    return short.get(match[0], wide)


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
