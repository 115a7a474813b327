"""The words about keys: said once, in the schema."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_type_hints

import pytest

from steadylr.config import schema
from steadylr.config.folder import config_folder
from steadylr.config.reference import reference

CONF = Path(config_folder())
PAGE = Path(__file__).parents[2] / "docs" / "config.md"


def test_the_page_is_what_the_schema_says() -> None:
    """It was made after the last change: `python -m steadylr.config.reference > docs/config.md`."""
    assert PAGE.read_text(encoding="utf-8") == reference()


def comments(text: str) -> dict[str, str]:
    """What the lines above each key of a YAML text say."""
    found: dict[str, str] = {}
    above: list[str] = []
    for line in text.splitlines():
        if line.lstrip().startswith("# "):
            above.append(line.strip().removeprefix("# "))
        else:
            if key := re.match(r"\s*(\w+):", line):
                found[key[1]] = " ".join(above)
            above = []
    return found


@pytest.mark.parametrize(
    ("kind", "file"),
    [
        (schema.Finder, "finder/default.yaml"),
        (schema.Device, "device/auto.yaml"),
        (schema.OneCycle, "onecycle/default.yaml"),
        (schema.Consensus, "find_lr.yaml"),
        (schema.Store, "find_lr.yaml"),
        (schema.Seeds, "find_lr.yaml"),
    ],
)
def test_the_comments_in_yaml_are_the_words_of_the_schema(kind: type, file: str) -> None:
    """Key by key."""
    written = comments((CONF / file).read_text())
    words = {
        name: hint.__metadata__[0].words for name, hint in get_type_hints(kind, include_extras=True).items()
    }
    assert {name: written[name] for name in words} == words
