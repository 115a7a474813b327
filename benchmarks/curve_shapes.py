"""Four shapes of curve, by real range tests on the embedded images, for docs/why-suggestions-vary.md.

    python benchmarks/curve_shapes.py    draws docs/images/curve-shapes.png: under a minute on a free core

Each panel names the overrides of `python src/find_lr.py` that give the same curve.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from hydra import compose, initialize_config_dir
from matplotlib.figure import Figure

import steadylr.cli.find_lr  # noqa: F401  (registers the config)
from steadylr.answer.reading import Answer, answer_of
from steadylr.config.folder import config_folder
from steadylr.config.schema import Config
from steadylr.config.values import check_config
from steadylr.core.landmarks import find_landmarks
from steadylr.present.figures import CurveInfo, curve_info, draw_curve, save_figure
from steadylr.present.figures._drawing import SMALL_SIZE, TITLE_SIZE, font, new_figure, wrapped
from steadylr.present.numbers import format_lr
from steadylr.store.curve_file import RunCurves
from steadylr.training.devices import Share, train
from steadylr.training.identity import describe_training

OUT = Path(__file__).parents[1] / "docs" / "images" / "curve-shapes.png"


@dataclass(frozen=True)
class Shape:
    """One panel: its name, and the overrides that give it."""

    name: str
    overrides: tuple[str, ...]


SHAPES = (
    Shape("Good", ("model=mlp", "finder.num_iter=300")),
    Shape("Flat", ("model=mlp", "finder.num_iter=300", "finder.end_lr=1e-5")),
    Shape("Exploding", ("model=mlp", "finder.num_iter=300", "finder.start_lr=0.3", "finder.end_lr=3")),
    Shape("Noisy", ("model=mlp", "finder.num_iter=100", "data.batch_size=2")),
)


def main() -> None:
    """Train, read and draw."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=OUT, help="the picture")
    out = parser.parse_args().out
    panels = []
    for shape in SHAPES:
        config = config_of(shape)
        curves = train(config, describe_training(config), share=Share(threads=1))
        answer = answer_of(curves.read, config)
        panels.append((shape, info_of(curves, answer), said(answer)))
        print(f"{shape.name}: {' '.join(shape.overrides)}\n  {said(answer)}")
    out.parent.mkdir(parents=True, exist_ok=True)
    save_figure(drawn(panels), out)


def config_of(shape: Shape) -> Config:
    """The config that find_lr.py would have."""
    with initialize_config_dir(config_folder(), version_base="1.3"):
        return check_config(compose("find_lr", overrides=[*shape.overrides, "sweep_name=shapes"]))


def said(answer: Answer) -> str:
    """What find_lr.py says of a curve: its LR and the diagnosis, or why there is none."""
    lr = answer.headline.lr
    if lr is None:
        return f"No answer: {answer.headline.reason}"
    return "; ".join([f"LR {format_lr(lr)}", *(finding.text for finding in answer.findings)])


def info_of(curves: RunCurves, answer: Answer) -> CurveInfo:
    """What the figure of such a run shows."""
    line = find_landmarks(curves.read, answer.reading).line
    return curve_info(
        curves.read,
        {answer.rule: answer.headline},
        answer.rule,
        smooth_lr=10.0**line.log10_lr,
        smooth_loss=line.loss,
        reading=answer.reading,
    )


def drawn(panels: list[tuple[Shape, CurveInfo, str]]) -> Figure:
    """Two by two, each with its name, its overrides and what is said of it."""
    figure = new_figure(11.0, 7.6)
    for part, (shape, info, words) in zip(figure.subfigures(2, 2).flat, panels, strict=True):
        part.suptitle(shape.name, x=0.02, ha="left", **font(TITLE_SIZE, weight="bold"))
        ax = draw_curve(part.add_subplot(), info)
        said = [" ".join(shape.overrides), *wrapped(words, 5.0, size=SMALL_SIZE, lines=3)]
        ax.set_title("\n".join(said), loc="left", linespacing=1.2, **font(SMALL_SIZE))
    return figure


if __name__ == "__main__":
    main()
