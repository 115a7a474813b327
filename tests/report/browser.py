"""A real browser for tests: the system's Chromium, driven by Playwright."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Browser

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def chromium() -> str | None:
    """The path of a Chromium: STEADYLR_CHROMIUM, or one on the path."""
    given = os.environ.get("STEADYLR_CHROMIUM")
    return given or next((path for name in NAMES if (path := shutil.which(name))), None)


def missing() -> str | None:
    """Why there is no browser to test with; None where there is one."""
    try:
        import playwright  # noqa: F401
    except ImportError:
        return "no Playwright: pip install '.[dev]'"
    if chromium() is None:
        return f"no Chromium: none of {', '.join(NAMES)} is on the path, and STEADYLR_CHROMIUM names none"
    return None


@contextmanager
def open_browser(**options: Any) -> Iterator[Browser]:
    """A browser without a window."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium(), args=list(ARGUMENTS), **options)
        try:
            yield browser
        finally:
            browser.close()
