"""The store that a config names."""

from __future__ import annotations

from pathlib import Path

import pytest

from made_jobs import config_of
from steadylr.store.curve_store import StoreError
from steadylr.store.files import temp_name
from steadylr.training.obtain import open_store


def test_a_folder_without_anything_in_it_is_no_store_yet(tmp_path: Path) -> None:
    """Nor is one in which a kill has left half a marker: whoever trains next makes it one."""
    config = config_of(f"store.dir={tmp_path / 'store'}")
    assert open_store(config, create=False) is None
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / temp_name("STEADYLR_STORE")).write_text("{")
    assert open_store(config, create=False) is None
    assert open_store(config) is not None
    assert open_store(config, create=False) is not None


def test_a_folder_with_other_things_is_refused(tmp_path: Path) -> None:
    """Before anything is trained."""
    (tmp_path / "mine.txt").write_text("")
    with pytest.raises(StoreError, match="is no steadylr store"):
        open_store(config_of(f"store.dir={tmp_path}"), create=False)
