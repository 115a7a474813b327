"""The figure of a ladder."""

from __future__ import annotations

import math

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from steadylr.core.curve import frozen_array
from steadylr.present.figures.length import LengthInfo, LengthValley, length_figure

NAMED = ["100 steps", "400 steps", "law", "95% interval"]


def info(*last: float) -> LengthInfo:
    """Two lengths of three trials; the last trial of the shorter has the loss given."""
    lrs = frozen_array([0.01, 0.02, 0.04])
    empty = frozen_array([])
    valleys = (
        LengthValley(100, lrs, frozen_array([1.0, 0.9, *last]), empty, empty, 0.02),
        LengthValley(400, lrs, frozen_array([0.7, 0.6, 0.65]), empty, empty, 0.02),
    )
    steps, line = frozen_array([100, 8000]), frozen_array([0.02, 0.01])
    return LengthInfo(valleys, steps, line, line / 2, line * 2, 8000, 0.01, 0.005, 0.02, title="mlp")


@pytest.mark.parametrize(("loss", "named"), [(0.95, []), (9.0, ["above the axis"]), (math.inf, ["given up"])])
def test_what_lies_above_the_axis_is_named(loss: float, named: list[str]) -> None:
    """In the legend, and only where there is such a trial."""
    (legend,) = length_figure(info(loss)).legends
    assert [text.get_text() for text in legend.get_texts()] == [*NAMED, *named]


@pytest.mark.parametrize("loss", [0.95, math.inf])
def test_the_axes_fill_the_figure(loss: float) -> None:
    """Between heading and legend, whatever has become of the trials: no room is left empty beside or below them."""
    figure = length_figure(info(loss))
    FigureCanvasAgg(figure).draw()
    left = figure.axes[0].get_position()
    assert left.x0 < 0.08
    assert left.y0 < 0.22
