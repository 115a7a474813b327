"""The exit codes of all commands."""

from __future__ import annotations

from collections.abc import Iterable

EXIT_OK = 0
"""An answer, and no failed job."""

EXIT_FAILED = 1
"""Failed jobs, or bad input."""

EXIT_NO_ANSWER = 3
"""Everything ran, and there is no usable answer."""

EXIT_INTERRUPTED = 130
"""Interrupted."""


def worst(codes: Iterable[int]) -> int:
    """The code of a command that did several things: what failed counts more than what has no answer; 0 for nothing."""
    ranked = (EXIT_OK, EXIT_NO_ANSWER, EXIT_FAILED, EXIT_INTERRUPTED)
    return max(codes, key=ranked.index, default=EXIT_OK)
