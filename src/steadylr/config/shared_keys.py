"""Keys that several programs have, with what they are for."""

from __future__ import annotations

from typing import Annotated

from steadylr.config.choices import FigureFormat, Output
from steadylr.config.ranges import Key

SpokenOutput = Annotated[Output, Key("what goes to standard output: json is one object, quiet the LR alone")]
Figures = Annotated[
    list[FigureFormat], Key("what figures are written as: some of png, svg and pdf; [] draws none")
]
WithReport = Annotated[
    bool, Key("false leaves report.html out, the page with all curves that a browser shows")
]


def drawn_as_png() -> list[FigureFormat]:
    """What figures are written as unless somebody says otherwise."""
    return [FigureFormat.png]
