"""The documentation site: it builds without a warning, from all pages, and needs no network."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built from a copy; links and anchors that lead nowhere would end the build."""
    copy = tmp_path_factory.mktemp("site")
    for name in ("docs", "src"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "zensical.toml", copy)
    done = subprocess.run(
        [sys.executable, "-m", "zensical", "build", "--strict", "--clean"],
        cwd=copy,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert "No issues found" in said
    assert "griffe" not in said, said  # a docstring that doesn't fit its signature
    return copy / "site"


def test_every_page_is_in_the_site_and_in_its_navigation(site: Path) -> None:
    """What is written is found."""
    start = (site / "index.html").read_text()
    for page in (ROOT / "docs").glob("*.md"):
        html = page.with_suffix(".html").name
        assert (site / html).is_file()
        assert f'href="./{html}"' in start or html == "index.html", f"{page.name} is not in the navigation"


def test_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    """Pages open from disk: scripts, styles, fonts and pictures lie beside them, the search too."""
    fetched = re.compile(r"<(?:script|img|iframe|link)\b[^>]*\b(?:src|href)=\"(?:https?:)?//[^\"]*\"")
    pages = sorted(site.glob("*.html"))
    assert pages
    found = {page.name: fetched.findall(page.read_text()) for page in pages}
    assert not {name: links for name, links in found.items() if links}
    assert (site / "assets" / "iframe-worker.js").is_file()


def test_every_public_name_is_in_the_reference(site: Path) -> None:
    """With its docstring."""
    import steadylr

    page = (site / "reference.html").read_text()
    missing = [
        name for name in steadylr.__all__ if f'id="{getattr(steadylr, name).__module__}.{name}"' not in page
    ]
    assert not missing


@pytest.mark.parametrize("page", ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"])
def test_links_outside_the_site_lead_somewhere(page: str) -> None:
    """Files that README and its like point to are there."""
    linked = re.findall(r"\]\((?!https?:|#)([^)#]+)", (ROOT / page).read_text())
    assert linked or page == "SECURITY.md"
    assert not [target for target in linked if not (ROOT / target).exists()]


def test_readme_is_a_first_screen() -> None:
    """What is detail is in docs/."""
    assert len((ROOT / "README.md").read_text().splitlines()) <= 120
