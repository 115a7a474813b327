"""Bad input: one clear message for whatever can't be used."""

from __future__ import annotations

from collections.abc import Sequence

from steadylr.errors import InvalidValue


class BadInput(InvalidValue):
    """Input that can't be used. The message names the key, what came, what is allowed and what to do."""

    @classmethod
    def of(cls, problems: Sequence[str]) -> BadInput:
        """One error for one or more problems."""
        if len(problems) == 1:
            return cls(problems[0])
        return cls("\n".join([f"{len(problems)} problems:", *(f"  - {problem}" for problem in problems)]))
