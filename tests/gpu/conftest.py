"""Every test in this folder is marked `gpu`, and skipped where torch sees no CUDA device."""

from __future__ import annotations

from pathlib import Path

import pytest

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of this folder; without a GPU, skip them."""
    own = [item for item in items if HERE in item.path.parents]
    if not own:
        return
    import torch

    lacking = pytest.mark.skip(reason="no CUDA device: these have to be run on a machine with one")
    for item in own:
        item.add_marker("gpu")
        if not torch.cuda.is_available():
            item.add_marker(lacking)
