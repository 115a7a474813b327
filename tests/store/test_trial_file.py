"""Trials on disk: what is written comes back, what is damaged is named, and the store keeps them beside runs."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from steadylr.core.curve import Stop
from steadylr.store.array_file import array_bytes, header_bytes
from steadylr.store.curve_store import STORED_AS, CurveStore, TrialStore
from steadylr.store.files import DamagedFile, NewerSchema
from steadylr.store.trial_file import Trial


def trial(**change: Any) -> Trial:
    """A whole one, but for a change."""
    values: dict[str, Any] = {
        "losses": np.array([2.0, 1.5, 1.0]),
        "total_steps": 3,
        "stop": Stop.COMPLETED,
        "final_loss": 0.9,
        "meta": {"judged_by": "validation loss"},
    }
    return Trial(**(values | change))


@pytest.mark.parametrize(
    "given",
    [trial(), trial(losses=np.array([2.0, math.nan]), stop=Stop.NON_FINITE, final_loss=math.inf)],
)
def test_a_trial_comes_back(tmp_path: Path, given: Trial) -> None:
    """Bit for bit, given up or not."""
    given.save(tmp_path / "t.npz")
    back = Trial.load(tmp_path / "t.npz")
    np.testing.assert_array_equal(back.losses, given.losses)
    assert (back.total_steps, back.stop, back.final_loss) == (given.total_steps, given.stop, given.final_loss)
    assert (back.meta, back.initial_loss) == (given.meta, 2.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"losses": np.zeros((2, 2))}, "losses must be one-dimensional and not empty"),
        ({"losses": np.zeros(0)}, "losses must be one-dimensional and not empty"),
        ({"total_steps": 2}, "total_steps must be at least the 3 losses given; got 2"),
        ({"stop": "bored"}, "bored"),
    ],
)
def test_what_is_no_trial_is_refused(change: dict[str, Any], message: str) -> None:
    """When it is made."""
    with pytest.raises(ValueError, match=message):
        trial(**change)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({"format": 1}, "header lacks meta"),
        (
            {"format": 1, "meta": {}, "total_steps": 2, "stop": "completed", "final_loss": "low"},
            "header.final_loss must be a valid number; got 'low'",
        ),
        (
            {"format": 1, "meta": {}, "total_steps": 2, "stop": "completed", "final_loss": math.nan},
            "header.final_loss must be a number",
        ),
        (
            {"format": 1, "final_loss": 1.0, "total_steps": 1, "stop": "completed", "meta": {}},
            "total_steps must be at least the 2",
        ),
        (
            {"format": 1, "final_loss": 1.0, "total_steps": 3, "stop": "bored", "meta": {}},
            "header.stop must be .* got 'bored'",
        ),
    ],
)
def test_a_damaged_trial_is_named(tmp_path: Path, header: dict[str, Any], message: str) -> None:
    """With its file and what is wrong."""
    path = tmp_path / "t.npz"
    path.write_bytes(array_bytes({"loss": np.array([2.0, 1.0]), "header": header_bytes(header)}))
    with pytest.raises(DamagedFile, match=message):
        Trial.load(path)
    path.write_bytes(array_bytes({"loss": np.array([2.0]), "header": header_bytes({"format": 2})}))
    with pytest.raises(NewerSchema, match="upgrade steadylr"):
        Trial.load(path)


def test_the_store_keeps_trials_beside_runs(tmp_path: Path) -> None:
    """Each is trained once; a listing and a clearing see both kinds."""
    trained = []

    def train() -> Trial:
        trained.append(1)
        return trial()

    store = TrialStore(tmp_path)
    first, from_store = store.obtain({"one_cycle": {}}, {"init": 1, "noise": 2}, train)
    assert not from_store
    again, from_store = store.obtain({"one_cycle": {}}, {"init": 1, "noise": 2}, train)
    assert (from_store, len(trained)) == (True, 1)
    np.testing.assert_array_equal(first.losses, again.losses)
    runs = CurveStore(tmp_path)
    (entry,) = runs.entries()
    assert entry.problem is None
    assert entry.meta[STORED_AS]["seeds"] == {"init": 1, "noise": 2}
    assert runs.find({"finder": {}}, {"init": 1, "noise": 2}) is None
    assert runs.clear() == 1
