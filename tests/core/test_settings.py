"""The reading settings: every value is checked where it is given."""

from __future__ import annotations

import math
from typing import Any

import pytest

from steadylr.core.settings import Reading


def test_the_defaults_are_those_of_finder_default() -> None:
    """Light, centred smoothing; 10 points left out at the start, 5 at the end."""
    assert Reading() == Reading(smooth_f=0.05, smoother="local_linear", skip_start=10, skip_end=5)


@pytest.mark.parametrize(
    "arguments",
    [{"smooth_f": 0.0}, {"smooth_f": 0.999}, {"ema_weight": 1.0}, {"skip_start": 0, "skip_end": 0}],
)
def test_the_ends_of_the_ranges_are_allowed(arguments: dict[str, Any]) -> None:
    """0 smooths nothing, a weight of 1 is the newest loss itself, no skip is a skip of 0."""
    reading = Reading(**arguments)
    assert {name: getattr(reading, name) for name in arguments} == arguments


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"smooth_f": 1.0}, r"smooth_f must be in \[0, 1\).*got 1\.0"),
        ({"smooth_f": -0.1}, r"smooth_f must be in \[0, 1\).*got -0\.1"),
        ({"smooth_f": math.nan}, r"smooth_f must be in \[0, 1\).*got nan"),
        ({"smoother": "median"}, r"smoother must be one of \('local_linear', 'ema'\); got 'median'"),
        ({"ema_weight": 0.0}, r"ema_weight must be in \(0, 1\]; got 0\.0"),
        ({"ema_weight": math.nan}, r"ema_weight must be in \(0, 1\]; got nan"),
        ({"skip_start": -1}, "skip_start must be at least 0; got -1"),
        ({"skip_end": -5}, "skip_end must be at least 0; got -5"),
    ],
)
def test_a_wrong_setting_is_named(arguments: dict[str, Any], message: str) -> None:
    """The message says which setting, what is allowed and what came."""
    with pytest.raises(ValueError, match=message):
        Reading(**arguments)
