"""What a verification prints."""

from __future__ import annotations

import math

from steadylr.core.verification import Suggested, Verification, verify
from steadylr.present.text import plain
from steadylr.report.verification_text import verification_parts

LRS = (0.01, 0.03, 0.05, 0.1, 0.3)


def verified() -> Verification:
    losses = [[0.9, 0.52, 0.5, 0.53, math.inf], [0.94, 0.5, 0.5, 0.55, math.inf]]
    return verify(LRS, losses, initial_loss=2.3, suggested=Suggested(0.03, 0.05, 0.1))


def shown(*titles: str) -> str:
    kinds = [(title, verified()) for title in titles]
    return plain(verification_parts(kinds, steps=300, judged_by="validation loss"))


def test_the_text() -> None:
    """A table with the suggestions named, the sentence, what the seeds can tell, and the flat region."""
    lines = shown("mlp on made data").splitlines()
    assert lines[0] == "mlp on made data: 300 steps of OneCycle, 2 seeds, by validation loss"
    table = "\n".join(lines)
    for part in (
        "  >  5.00e-2  chosen   0.5000  0.5000 to 0.5000  0.0%    0.0%",
        "2 of 2 given up",
        "  The spread is harmless:",
        "flat region      3.00e-2 to 1.00e-1",
        "LR sensitivity",
        "of the descent, over 1.00e-2 to 3.00e-1",
    ):
        assert part in table


def test_several_kinds_have_a_block_each() -> None:
    """In their order."""
    text = shown("first", "second")
    assert text.count("Verification\n") == 2
