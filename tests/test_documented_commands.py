"""Every command line that README and docs/ show names keys and options that there are."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from steadylr.cli.aggregate import AggregateConfig
from steadylr.cli.report import ReportConfig
from steadylr.cli.watch import WatchConfig
from steadylr.config.overrides import check_keys
from steadylr.config.schema import Config
from steadylr.config.verify import VerifyConfig

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
SCHEMAS = {
    **dict.fromkeys(("find_lr.py", "steadylr"), Config),
    **dict.fromkeys(("aggregate.py", "steadylr-aggregate"), AggregateConfig),
    **dict.fromkeys(("report.py", "steadylr-report"), ReportConfig),
    **dict.fromkeys(("verify_lr.py", "steadylr-verify"), VerifyConfig),
    **dict.fromkeys(("watch.py", "steadylr-watch"), WatchConfig),
}
COMMAND = re.compile(r"(?:python src/(\w+\.py)|\b(steadylr(?:-\w+)?))((?: [^`\n]+)?)")
OWN = ("mine", "--config-dir")


def commands(page: Path) -> list[tuple[str, list[str]]]:
    """The program and the arguments of each command in a page's code, those with a part left out left out."""
    text = page.read_text()
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE))
    lines = [
        line
        for language, block in re.findall(r"^```(\w+)\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
        if language == "sh"
        for line in block.replace("\\\n", " ").splitlines()
    ]
    found = []
    for line in (*spans, *lines):
        match = COMMAND.search(line)
        program = match and (match[1] or match[2])
        if match is None or program not in SCHEMAS or "..." in match[3]:
            continue
        filled = re.sub(r"<[\w-]+>", "x", match[3].rstrip(")"))
        found.append((program, shlex.split(filled, comments=True)))
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_keys_and_options_are_there(page: Path) -> None:
    """A key that was renamed, or an option that was removed, is renamed and removed in the pages, too."""
    for program, argv in commands(page):
        if not any(own in word for word in argv for own in OWN):  # options of the reader's own
            check_keys(argv, SCHEMAS[program])


def test_there_are_commands_to_check() -> None:
    """Most pages show some."""
    assert sum(len(commands(page)) for page in PAGES) > 60
