"""The reference of all keys, made of the schema: `python -m steadylr.config.reference > docs/config.md`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import MISSING as NOTHING
from dataclasses import fields, is_dataclass
from typing import Any, get_type_hints

from omegaconf import MISSING

from steadylr.config.keys import ARGUMENTS
from steadylr.config.overrides import type_words
from steadylr.config.schema import Config, Key

HEAD = """# Every key

Made by `python -m steadylr.config.reference` from `src/steadylr/config/schema.py`, which the checks read too.
`python src/find_lr.py --cfg job` prints all values of a command, `conf/` has them with comments.

| key | type | unless given | what it is |
|---|---|---|---|
"""


def reference() -> str:
    """The page, as Markdown."""
    return HEAD + "".join(f"| {' | '.join(cells)} |\n" for cells in _rows(Config, ""))


def _rows(node: type, prefix: str) -> Iterator[tuple[str, str, str, str]]:
    hints = get_type_hints(node, include_extras=True)
    for entry in fields(node):
        key, hint = f"{prefix}{entry.name}", hints[entry.name]
        if isinstance(hint, type) and is_dataclass(hint):
            yield f"**`{key}`**", "", "", (hint.__doc__ or "").strip().partition("\n")[0]
            yield from _rows(hint, f"{key}.")
        elif entry.name == ARGUMENTS:
            yield f"`{prefix}*`", "", "", "an argument of what `_target_` names"
        else:
            about: Key = hint.__metadata__[0]
            kind = "text" if hint.__origin__ is Any else type_words(hint.__origin__)
            allowed = "" if about.allowed is None else f", {about.allowed.words()}"
            yield f"`{key}`", f"{kind}{allowed}", _default(entry), about.words.replace("|", "or")


def _default(entry: Any) -> str:
    value = entry.default if entry.default is not NOTHING else entry.default_factory()
    if value == MISSING:
        return "must be given"
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


if __name__ == "__main__":
    print(reference(), end="")
