"""What a notebook shows where a range test or an answer is a cell's last value: its table and its figure.

rich and matplotlib are loaded when it does, and no sooner.
"""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

from steadylr.core.curve import Curve
from steadylr.core.settings import Reading
from steadylr.present.notebook import picture_html, text_html
from steadylr.run.range_test import RangeTest as Measured
from steadylr.words.python import Suggestion, diagnose, suggest, suggest_all

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from steadylr.answer.reading import Answer


class RangeTest(Measured):
    """What one range test measured; a notebook shows what the rules read off it, and its figure."""

    __slots__ = ()

    @classmethod
    def of(cls, test: Measured) -> RangeTest:
        """The same measurement."""
        return cls(**{entry.name: getattr(test, entry.name) for entry in fields(test)})

    def _repr_html_(self) -> str:
        from steadylr.present.text import plain
        from steadylr.report.figures import range_test_figure
        from steadylr.report.run_text import answer_parts

        answer = answer_of_test(self)
        return figure_below(plain(answer_parts(answer)), range_test_figure(self, answer))


def figure_below(text: str, figure: Figure) -> str:
    """A text and a figure as HTML."""
    from steadylr.present.figures import figure_bytes

    return text_html(text) + picture_html(figure_bytes(figure, "png"))


def answer_of_test(
    test: Measured | Curve, suggestion: Suggestion | None = None, reading: Reading | None = None
) -> Answer:
    """What a curve says, in the words of Python; with validation losses their curve is read.

    Args:
        test: or a curve alone.
        suggestion: the headline; None: that of suggest(curve).
        reading: how the curve is smoothed and cut; None: Reading().
    """
    from steadylr.answer.reading import Answer

    reading = Reading() if reading is None else reading
    curve = test if isinstance(test, Curve) else test.read
    headline = suggest(curve, reading=reading) if suggestion is None else suggestion
    share = test.skipped_share if isinstance(test, Measured) else 0.0
    return Answer(
        reading=reading,
        rule=headline.rule,
        suggestions={**suggest_all(curve, reading=reading), headline.rule: headline},
        findings=diagnose(curve, reading, skipped_share=share),
        plan=None,
    )
