"""Files of tests that need a package, which is looked for and not imported: a worker may do none of their tests."""

from __future__ import annotations

from importlib.util import find_spec

import pytest


def need(*packages: str) -> None:
    """Skip the rest of a file where a package isn't installed."""
    lacking = [name for name in packages if find_spec(name) is None]
    if lacking:
        pytest.skip(f"not installed: {', '.join(lacking)}", allow_module_level=True)
