"""Figures: their infos by value, then that they draw without an error and that nothing overlaps."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.text import Text

from steadylr.core.attribution import Attribution, attribute
from steadylr.core.curve import Curve
from steadylr.core.onecycle import plan
from steadylr.core.settings import Reading
from steadylr.core.suggestion import Outcome
from steadylr.present.figures import (
    AttributionInfo,
    CurveInfo,
    Mark,
    PlanInfo,
    ShareRow,
    SummaryGroup,
    SummaryInfo,
    SummaryRun,
    attribution_figure,
    attribution_info,
    curve_figure,
    curve_info,
    curves_to_draw,
    draw_curve,
    figure_bytes,
    plan_figure,
    plan_info,
    save_figure,
    summary_figure,
)
from steadylr.present.figures._drawing import frame, linear_axis, loss_limits, lr_axis, lr_label, wrapped
from steadylr.words.attribution import attribution_summary
from steadylr.words.reading import ToldSuggestion

RULES = ("bracket", "steepest", "valley", "slide", "minimum", "divergence", "smith")


def ramp(num: int) -> np.ndarray:
    """LRs from 1e-7 to 10."""
    return 1e-7 * 1e8 ** (np.arange(num) / (num - 1))


def descent(num: int = 300, *, middle: float = -2.5, seed: int = 0) -> np.ndarray:
    """Losses that fall from 2.3 to 0.6 and explode from LR 1 on."""
    x = np.log10(ramp(num))
    noise = 0.05 * np.random.default_rng(seed).normal(size=num)
    return 2.3 - 1.7 / (1 + np.exp(-(x - middle) / 0.4)) + noise + np.where(x > 0, 10 ** (4 * x) - 1, 0)


def info_of(
    loss: np.ndarray, *, marks: tuple[Mark, ...] = (), reason: str = "", title: str = "mlp on digits, seed 1"
) -> CurveInfo:
    """The info of a curve whose line is the curve itself."""
    lr = ramp(loss.size)
    finite = np.isfinite(loss)
    return CurveInfo(
        lr=lr,
        loss=loss,
        smooth_lr=lr[finite],
        smooth_loss=loss[finite],
        skip_start=10,
        skip_end=5,
        marks=marks,
        headline="bracket",
        reason=reason,
        title=title,
        subtitle="The ramp reached its end and the loss never climbed back. Raise finder.end_lr, to 1e2 say.",
    )


def marks_at(*lrs: float | None) -> tuple[Mark, ...]:
    """One mark per rule; the first is a bracket."""
    first = lrs[0]
    bracket = Mark(
        RULES[0], first, None if first is None else first / 3, None if first is None else first * 3
    )
    return (bracket, *(Mark(rule, lr) for rule, lr in zip(RULES[1:], lrs[1:], strict=False)))


CURVES = {
    "descent": info_of(descent(), marks=marks_at(3e-2, 2e-3, 4e-3, 0.8, 2.5e-2, 0.2, 0.5)),
    "all rules at one LR": info_of(descent(1000), marks=marks_at(*[3e-2] * 7)),
    "at the upper end": info_of(descent(100), marks=marks_at(9.9, 8.0, 9.0, 10.0, 7.0, None, 9.99)),
    "at the lower end": info_of(descent(100), marks=marks_at(1.1e-7, 1e-7, 1.2e-7, 1e-9, None, 1e-7, 1e-7)),
    "flat": info_of(
        2.3026 + 1e-5 * np.random.default_rng(1).normal(size=100),
        marks=marks_at(*[None] * 7),
        reason="the loss never fell beyond its noise: " + "check the data, the model and the optimizer, " * 4,
    ),
    "constant": info_of(np.full(50, 1.0), reason="flat"),
    "huge": info_of(1e9 * descent(), marks=marks_at(1e-2)),
    "tiny": info_of(1e-8 * descent(), marks=marks_at(1e-2)),
    "negative": info_of(descent() - 1000, marks=marks_at(1e-2)),
    "ends in NaN": info_of(np.where(np.arange(300) > 250, np.nan, descent()), marks=marks_at(1e-2)),
    "only NaN": info_of(np.full(30, np.nan), reason="no finite losses"),
    "one point": CurveInfo(lr=np.array([1e-3]), loss=np.array([1.0]), headline="bracket"),
    "no rules, no titles": CurveInfo(lr=ramp(40), loss=descent(40)),
    "updates left out": replace(
        info_of(descent(), marks=marks_at(1e-2)), left_out_lr=ramp(300)[:60:7], left_out_loss=descent()[:60:7]
    ),
    "long title": info_of(descent(), marks=marks_at(1e-2), title="a_model_with_a_long_name on " * 12),
    "mathematics in the title": info_of(
        descent(), marks=marks_at(1e-2), title="cost $1 on $x^2$ & a_b \\alpha"
    ),
}


def summary(
    num_runs: int,
    *,
    groups: int = 0,
    failed: int = 0,
    curves: bool = True,
    spread: float = 0.2,
    label: str = "seed {}",
) -> SummaryInfo:
    """A sweep of so many runs, the last ones without an answer."""
    shifts = np.random.default_rng(3).normal(0, spread, num_runs)
    lrs = [None if i >= num_runs - failed else 3e-2 * 10 ** shifts[i] for i in range(num_runs)]
    runs = tuple(
        SummaryRun(
            label.format(i + 1),
            ramp(200) if curves else np.array([]),
            descent(200, seed=i, middle=-2.5 + shifts[i]) if curves else np.array([]),
            lr,
            "" if lr else ("flat", "too short")[i % 2],
        )
        for i, lr in enumerate(lrs)
    )
    found = [lr for lr in lrs if lr is not None]
    return SummaryInfo(
        runs=runs,
        groups=tuple(
            SummaryGroup(f"smooth_f 0.{k + 1}", tuple(None if lr is None else lr * 1.1**k for lr in lrs))
            for k in range(groups)
        ),
        lr=found[0] if found else None,
        interval=(min(found), max(found)) if len(found) > 2 else None,
        title="small_resnet on fashion_mnist_mini",
        subtitle="Normal: 3 runs spread over a factor of 3.44. Make more runs and check the plots.",
    )


SUMMARIES = {
    "1 run": summary(1),
    "2 runs, no settings": summary(2),
    "3 runs, 2 settings": summary(3, groups=2),
    "6 runs, 6 settings, 1 failed": summary(6, groups=6, failed=1),
    "7 runs with long names": summary(7, groups=1, label="seed={} data.batch_size=512 model.name=resnet18"),
    "100 runs, 2 settings, 12 failed": summary(100, groups=2, failed=12),
    "none answered": summary(3, groups=2, failed=3),
    "none answered, by their mean": replace(
        summary(3, failed=3),
        lr=2e-2,
        choose="mean curve of 3 runs",
        mean=SummaryRun("mean curve of 3 runs", ramp(200), descent(200, seed=9, middle=-2.5), 2e-2),
    ),
    "1 of 5 answered, by their mean": replace(
        summary(5, failed=4),
        lr=2e-2,
        choose="mean curve of 5 runs",
        mean=SummaryRun("mean curve of 5 runs", ramp(200), descent(200, seed=9, middle=-2.5), 2e-2),
    ),
    "values only": summary(5, curves=False),
    "nothing at all": SummaryInfo(runs=()),
    "equal LRs": summary(3, spread=0.0),
    "spread over decades": summary(8, spread=3.0, groups=2),
}

PLANS = {
    "as it comes": plan_info(plan(3.32e-2)),
    "with its range": plan_info(
        plan(3.32e-2, low=1.79e-2, high=6.16e-2), subtitle="geometric mean of 3 runs"
    ),
    "with steps": plan_info(plan(3.32e-2, low=1.79e-2, high=6.16e-2, total_steps=23400)),
    "early peak": plan_info(plan(3.32e-2, low=1e-4, high=1.0, total_steps=1000, pct_start=0.05)),
    "late peak": plan_info(plan(3.32e-2, low=1e-2, high=1e-1, total_steps=1000, pct_start=0.95)),
    "nearly constant": plan_info(plan(1e-3, div_factor=1.5, final_div_factor=2)),
    "linear": plan_info(plan(1e-3, anneal_strategy="linear", final_div_factor=1e8)),
}

FIGURES = {
    **{f"curve: {name}": (curve_figure, info) for name, info in CURVES.items()},
    **{f"summary: {name}": (summary_figure, info) for name, info in SUMMARIES.items()},
    **{f"plan: {name}": (plan_figure, info) for name, info in PLANS.items()},
}


def written_texts(figure: Figure) -> list[tuple[str, tuple[float, float, float, float]]]:
    """All visible texts with their boxes, pixels."""
    canvas = figure.canvas
    assert isinstance(canvas, FigureCanvasAgg)
    figure.draw_without_rendering()
    beyond = set()  # tick labels beyond the ends of their axis, which matplotlib keeps and doesn't draw
    for axis in [axis for ax in figure.axes for axis in (ax.xaxis, ax.yaxis)]:
        low, high = sorted(axis.get_view_interval())
        ticks = (tick for tick in axis.get_major_ticks() if not low <= tick.get_loc() <= high)
        beyond |= {label for tick in ticks for label in (tick.label1, tick.label2)}
    texts = [text for text in figure.findobj(Text) if isinstance(text, Text) and text not in beyond]
    shown = [text for text in texts if text.get_visible() and text.get_text().strip()]
    return [(text.get_text(), text.get_window_extent(canvas.get_renderer()).extents) for text in shown]


def assert_texts_apart(figure: Figure | None) -> list[tuple[str, tuple[float, float, float, float]]]:
    """All texts lie inside of a figure and none touches another; give them with their boxes."""
    assert figure is not None
    texts = written_texts(figure)
    width, height = figure.get_size_inches() * figure.dpi
    for text, (left, bottom, right, top) in texts:
        assert left >= 0, text
        assert bottom >= 0, text
        assert right <= width, text
        assert top <= height, text
    for (one, a), (other, b) in combinations(texts, 2):
        apart = a[2] <= b[0] + 1 or b[2] <= a[0] + 1 or a[3] <= b[1] + 1 or b[3] <= a[1] + 1
        assert apart, f"{one!r} overlaps {other!r}"
    return texts


@pytest.mark.parametrize("name", FIGURES)
def test_no_text_overlaps_another_or_leaves_the_figure(name: str) -> None:
    """In every figure all texts lie inside of it and none touches another."""
    make, info = FIGURES[name]
    figure = make(info)  # type: ignore[operator]
    assert_texts_apart(figure)


@pytest.mark.parametrize("form", ["png", "pdf", "svg"])
def test_equal_figures_have_equal_bytes(form: str) -> None:
    """Drawing the same info twice gives the same file, bit for bit."""
    first, second = (figure_bytes(curve_figure(CURVES["descent"]), form) for _ in range(2))
    assert first == second
    assert first != figure_bytes(curve_figure(CURVES["flat"]), form)


@pytest.mark.parametrize("name", ["summary: 3 runs, 2 settings", "plan: with its range"])
def test_sweep_figures_are_deterministic_too(name: str) -> None:
    """Drawing the same sweep or plan twice gives the same file, bit for bit."""
    make, info = FIGURES[name]
    assert figure_bytes(make(info)) == figure_bytes(make(info))  # type: ignore[operator]


def test_the_users_matplotlib_settings_change_nothing() -> None:
    """A global style, however wild, doesn't reach our figures."""
    plain = figure_bytes(curve_figure(CURVES["descent"]))
    wild = {
        "font.size": 30,
        "font.family": "serif",
        "axes.grid": False,
        "axes.labelcolor": "red",
        "figure.dpi": 20,
    }
    with mpl.rc_context(wild):
        assert figure_bytes(curve_figure(CURVES["descent"])) == plain


def test_pyplot_and_torch_are_never_imported(tmp_path: Path) -> None:
    """Drawing and saving works without pyplot, hence without a display, and without torch."""
    code = (
        "import sys, numpy as np; from steadylr.present.figures import *;"
        f"save_figure(curve_figure(CurveInfo(np.array([1.,2.]), np.array([1.,2.]))), {str(tmp_path / 'a.png')!r});"
        "sys.exit(any(m in sys.modules for m in ('matplotlib.pyplot', 'torch')))"
    )
    assert subprocess.run([sys.executable, "-W", "error", "-c", code], check=False).returncode == 0
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_a_figure_is_written_whole_into_new_folders(tmp_path: Path) -> None:
    """Saving makes the folders, replaces an older file and leaves no temporary one."""
    path = tmp_path / "new" / "lr_finder.png"
    for name in ("flat", "descent"):
        save_figure(curve_figure(CURVES[name]), path)
    assert path.read_bytes() == figure_bytes(curve_figure(CURVES["descent"]))
    assert list(path.parent.iterdir()) == [path]


def test_a_figure_that_cannot_be_written_leaves_no_part(tmp_path: Path) -> None:
    """When the file's name is taken by a folder, the error comes through and no temporary file stays."""
    (tmp_path / "taken.png").mkdir()
    with pytest.raises(OSError, match=r"taken\.png"):
        save_figure(curve_figure(CURVES["flat"]), tmp_path / "taken.png")
    assert [entry.name for entry in tmp_path.iterdir()] == ["taken.png"]


def test_an_unknown_format_is_refused(tmp_path: Path) -> None:
    """The suffix must be a format that we write reproducibly."""
    with pytest.raises(ValueError, match="png, pdf, svg; got 'gif'"):
        save_figure(curve_figure(CURVES["flat"]), tmp_path / "a.gif")


def test_the_info_of_a_run_puts_the_headline_first() -> None:
    """curve_info takes points, marks, skips and names from the core's types; the headline leads the marks."""
    curve = Curve(ramp(100), descent(100), 100)
    suggestions = {
        "steepest": ToldSuggestion("steepest", Outcome.FOUND, "steepest slope", 2e-3),
        "bracket": ToldSuggestion("bracket", Outcome.FOUND, "between", 3e-2, 1e-2, 9e-2),
        "slide": ToldSuggestion("slide", Outcome.NO_POINT, "nowhere"),
    }
    info = curve_info(curve, suggestions, "bracket", reading=Reading(skip_start=7, skip_end=3), title="t")
    assert info.marks == (Mark("bracket", 3e-2, 1e-2, 9e-2), Mark("steepest", 2e-3), Mark("slide", None))
    assert info.answer == Mark("bracket", 3e-2, 1e-2, 9e-2)
    assert (info.skip_start, info.skip_end, info.reason, info.title) == (7, 3, "", "t")
    assert info.loss_name == "Training loss"
    assert np.array_equal(info.lr, curve.lr)
    assert np.array_equal(info.loss, curve.loss)


def test_the_info_of_a_run_without_answer_carries_the_reason() -> None:
    """Where the headline rule has no LR, the figure says why, and on which loss it looked."""
    curve = Curve(ramp(100), descent(100), 100)
    suggestions = {"bracket": ToldSuggestion("bracket", Outcome.FLAT, "the loss never fell")}
    info = curve_info(curve, suggestions, "bracket", background=(ramp(5), descent(5)))
    assert info.answer is None
    assert info.reason == "the loss never fell"
    assert info.loss_name == "Validation loss"
    assert info.background_lr.size == 5
    written = [text for text, _ in written_texts(curve_figure(info))]
    assert "No answer: the loss never fell" in written


@pytest.mark.parametrize("on_validation", [False, True])
def test_points_whose_update_was_left_out_are_crossed(on_validation: bool) -> None:
    """Among the training losses, in front or behind; the legend says what the crosses are."""
    curve = Curve(ramp(100), descent(100), 100)
    half = Curve(curve.lr[::2], curve.loss[::2], 50)
    suggestions = {"bracket": ToldSuggestion("bracket", Outcome.FLAT, "the loss never fell")}
    behind = (curve.lr, curve.loss) if on_validation else None
    info = curve_info(
        half if on_validation else curve, suggestions, "bracket", background=behind, left_out=(0, 51)
    )
    assert info.left_out_lr.tolist() == curve.lr[[0, 51]].tolist()
    assert info.left_out_loss.tolist() == curve.loss[[0, 51]].tolist()
    assert "update left out (overflow in fp16)" in [text for text, _ in written_texts(curve_figure(info))]


def test_an_unknown_headline_rule_is_refused() -> None:
    """The headline must be one of the suggestions."""
    with pytest.raises(ValueError, match=r"rule must be one of \[\]; got 'bracket'"):
        curve_info(Curve(ramp(5), descent(5), 5), {}, "bracket")


def test_infos_refuse_arrays_of_different_lengths() -> None:
    """An LR without its loss, a group without its runs: the error names what came."""
    with pytest.raises(ValueError, match="lr and loss must be equally long; got 2 and 1 points"):
        CurveInfo(lr=np.array([1.0, 2.0]), loss=np.array([1.0]))
    with pytest.raises(ValueError, match="seed 1: lr and loss must be equally long"):
        SummaryRun("seed 1", np.array([1.0]), np.array([]))
    with pytest.raises(ValueError, match="one entry for each of the 1 runs; got 2"):
        SummaryInfo(runs=(SummaryRun("seed 1"),), groups=(SummaryGroup("smooth_f 0.1", (1.0, 2.0)),))
    with pytest.raises(ValueError, match="share and lr must be equally long"):
        PlanInfo(np.array([0.0]), np.array([]), 1.0)


def test_the_figure_of_a_run_names_every_rule_and_its_lr() -> None:
    """Each rule stands there with its LR; the headline's LR also above the curve, with its range."""
    written = [text for text, _ in written_texts(curve_figure(CURVES["descent"]))]
    assert set(RULES) <= set(written)
    assert {"LR 3.00e-2", "3.00e-2", "2.00e-3", "8.00e-1", "Learning rate", "Training loss"} <= set(written)
    assert any("1.00e-2 to 9.00e-2" in text for text in written)
    assert "mlp on digits, seed 1" in written


def test_dollar_signs_stay_dollar_signs() -> None:
    """Names from users are never read as mathematics."""
    written = [text for text, _ in written_texts(curve_figure(CURVES["mathematics in the title"]))]
    assert "cost $1 on $x^2$ & a_b \\alpha" in written


def test_names_in_a_sweeps_figure_are_shown_as_they_are() -> None:
    """Those of runs and of the sweep: no mathematics, and no letter that isn't seen."""
    info = replace(summary(3, groups=2, label="$x^{}$"), title="$y^2$ \x1b[2J\u202e on data")
    texts = [text for text in summary_figure(info).findobj(Text) if "$" in text.get_text()]
    assert {"$x^1$", r"$y^2$ \x1b[2J\u202e on data"} <= {text.get_text() for text in texts}
    own = [text for text in texts if "mathdefault" not in text.get_text()]
    assert not any(text.get_parse_math() for text in own)


def test_divergence_does_not_squash_the_descent() -> None:
    """However far the losses explode, the descent takes over half of the axis; the same for shifted losses."""
    low, high = loss_limits(descent(), descent())
    assert descent().max() > 1000
    assert 1.7 / (high - low) > 0.5
    assert low < 0.6 < 2.3 < high
    shifted = loss_limits(descent() - 50, descent() - 50)
    assert shifted == pytest.approx((low - 50, high - 50))


def test_curves_draw_on_axes_that_somebody_else_made() -> None:
    """draw_curve needs no figure of ours and gives the axes back."""
    ax = Figure().add_subplot()
    assert draw_curve(ax, CURVES["descent"]) is ax
    assert ax.get_xscale() == "log"
    assert ax.get_xlabel() == "Learning rate"


def test_the_summary_lists_who_has_no_answer() -> None:
    """A few runs without an answer are named with their outcome, many are counted."""
    few = [text for text, _ in written_texts(summary_figure(SUMMARIES["6 runs, 6 settings, 1 failed"]))]
    many = [text for text, _ in written_texts(summary_figure(SUMMARIES["100 runs, 2 settings, 12 failed"]))]
    assert "No answer from 1 of 6 runs: seed 6 (too short)." in few
    assert "No answer from 12 of 100 runs: 6 flat, 6 too short." in many
    assert "100 runs" in many


def test_the_summary_shows_the_runs_lrs_before_each_setting() -> None:
    """With several settings the first dots are each run's own LR; with one or none there is one kind of dot."""
    assert [group.label for group in SUMMARIES["3 runs, 2 settings"].series] == [
        "LR of the run",
        "smooth_f 0.1",
        "smooth_f 0.2",
    ]
    assert [group.label for group in summary(3, groups=1).series] == ["smooth_f 0.1"]
    assert len(summary(3).series) == 1
    assert summary(2).series[0].suggestions == tuple(run.suggestion for run in summary(2).runs)


def spread_dots(info: SummaryInfo) -> list[list[tuple[float, float]]]:
    """Where the dots of each kind stand at the right of the figure of a sweep: LR and row."""
    return [
        [(float(x), float(y)) for x, y in collection.get_offsets()]  # type: ignore[misc, union-attr]
        for collection in summary_figure(info).axes[1].collections
    ]


def test_few_runs_have_a_row_and_a_colour_each() -> None:
    """A dot stands in its run's row, whatever the setting; the row is named; a run without an LR says so."""
    info = summary(6, groups=2, failed=1)
    figure = summary_figure(info)
    for group, dots in zip(info.series, spread_dots(info), strict=True):
        assert dots == [(lr, row) for row, lr in enumerate(group.suggestions) if lr is not None]
    written = [text for text, _ in written_texts(figure)]
    assert {*(run.label for run in info.runs), "no answer", "LR of the run", "smooth_f 0.1"} <= set(written)
    lines = next(c for c in figure.axes[0].collections if type(c) is LineCollection)
    assert len({tuple(colour) for colour in lines.get_colors()}) == 6  # type: ignore[union-attr]


def test_many_runs_are_sorted_by_their_lr() -> None:
    """From top to bottom the LR rises; the LRs of a setting stand in the rows of their runs."""
    info = summary(40, groups=2, failed=3)
    own, first, second = spread_dots(info)
    answered = sorted(run.suggestion for run in info.runs if run.suggestion is not None)
    assert own == first == [(lr, row) for row, lr in enumerate(answered)]
    assert np.array(second) == pytest.approx(np.array([(lr * 1.1, row) for row, lr in enumerate(answered)]))
    written = [text for text, _ in written_texts(summary_figure(info))]
    assert {"40 runs", "smooth_f 0.1", "smooth_f 0.2", "Runs, sorted by their LR"} <= set(written)


def test_the_lr_of_a_sweep_stands_above_its_line() -> None:
    """The label of the consensus covers its LR and stays above its axes, wherever on them that is."""
    for info in (summary(3), summary(2), summary(12), summary(1)):
        figure = summary_figure(info)
        assert info.lr is not None
        boxes = dict(written_texts(figure))
        at = figure.axes[1].transData.transform((info.lr, 0))[0]
        left, _, right, _ = next(box for text, box in boxes.items() if text.startswith("geometric mean "))
        assert left - 1 <= at <= right + 1
        assert figure.axes[1].bbox.x0 - 1 <= left < right <= figure.axes[1].bbox.x1 + 1


def test_each_rule_has_the_same_shape_on_the_curve_and_in_its_row() -> None:
    """The marker on the curve is the one beside the rule's name, and no two rules share one."""
    info = CURVES["descent"]
    curve, rows = curve_figure(info).axes

    def shapes(ax: Axes) -> dict[float, object]:
        single = (line for line in ax.get_lines() if len(line.get_xdata()) == 1)  # type: ignore[arg-type]
        return {float(line.get_xdata()[0]): line.get_marker() for line in single}  # type: ignore[index]

    assert shapes(curve) == shapes(rows)
    assert len(set(shapes(rows).values())) == len(info.marks) == 7


@pytest.mark.parametrize(
    ("lr", "label"),
    [
        (4.7, "4.7"),
        (1.0, "1"),
        (29.7, "29.7"),
        (0.0616, "6.16e-2"),
        (0.9996, "1"),
        (999.7, "1.00e3"),
        (1234.0, "1.23e3"),
    ],
)
def test_an_lr_of_one_and_more_has_no_exponent(lr: float, label: str) -> None:
    """Below 1 it reads as on the terminal."""
    assert lr_label(lr) == label


def test_thousands_of_runs_are_thinned_and_it_is_said() -> None:
    """Above 300 curves a part is drawn, and a note says so; all suggestions stay."""
    info = summary(700)
    drawn_runs = curves_to_draw(700)
    assert (drawn_runs[0], drawn_runs[-1]) == (0, 699)
    assert curves_to_draw(300) == list(range(300))
    assert curves_to_draw(0) == []
    none = np.array([])
    runs = tuple(
        run if i in drawn_runs else replace(run, lr=none, loss=none) for i, run in enumerate(info.runs)
    )
    figure = summary_figure(replace(info, runs=runs, num_curves=700))
    drawn = [c for c in figure.axes[0].collections if type(c) is LineCollection]
    assert len(drawn[0].get_segments()) == 300
    assert any("300 of 700 curves are drawn." in text for text, _ in written_texts(figure))
    assert len(figure.axes[1].collections[-1].get_offsets()) == 700


def test_the_plan_figure_names_its_three_lrs_and_its_range() -> None:
    """Start, peak and end stand there with their LRs, and the range of the peak."""
    written = [text for text, _ in written_texts(plan_figure(PLANS["with its range"]))]
    assert {"start 3.32e-4", "peak 3.32e-2", "end 3.32e-7", "range of the peak 1.79e-2 to 6.16e-2"} <= set(
        written
    )
    assert "Share of the training" in written
    assert "Step" in [text for text, _ in written_texts(plan_figure(PLANS["with steps"]))]


def test_the_plan_info_is_the_plans_own_schedule() -> None:
    """plan_info takes share, LRs, peak and range from the plan."""
    made = plan(1e-2, low=5e-3, high=2e-2, total_steps=100)
    info = plan_info(made)
    share, lr = made.lr_curve(401)
    assert np.array_equal(info.share, share)
    assert np.array_equal(info.lr, lr)
    assert (info.peak_lr, info.low, info.high, info.total_steps) == (1e-2, 5e-3, 2e-2, 100)


def axes_of(width: float) -> Axes:
    """Axes of a width in inches, on a figure of somebody else."""
    figure = Figure(figsize=(width / 0.6, 3))
    FigureCanvasAgg(figure)
    return figure.add_axes((0.2, 0.2, 0.6, 0.7))


@pytest.mark.parametrize("low", [1e-12, 3e-5, 1.7e-2])
@pytest.mark.parametrize("ratio", [1.05, 1.5, 4.0, 50.0, 1e4, 1e30])
@pytest.mark.parametrize("room", [3.0, 7.0])
def test_lr_ticks_lie_in_range_and_leave_gaps(low: float, ratio: float, room: float) -> None:
    """An LR axis, however long, has labels, they tell the LRs apart, and none touches another."""
    ax = axes_of(room)
    frame(ax)
    lr_axis(ax, low, low * ratio)
    ax.set_yticks([])
    texts = [text for text, _ in assert_texts_apart(ax.get_figure())]
    assert len(set(texts)) == len(texts) >= (2 if ratio >= 4 else 1)


@pytest.mark.parametrize(
    ("low", "high"), [(0.4, 3.3), (2.30258, 2.30262), (-1001.0, -998.0), (1e8, 2.4e9), (0, 1e-8)]
)
def test_loss_ticks_have_different_labels(low: float, high: float) -> None:
    """No two ticks of a loss axis read the same, however narrow the range; a common power stands at its end."""
    ax = axes_of(4.0)
    frame(ax)
    linear_axis(ax.yaxis, low, high)
    ax.set_xticks([])
    texts = [text.replace("\N{MINUS SIGN}", "-") for text, _ in assert_texts_apart(ax.get_figure())]
    power = next((float(texts.pop(i)) for i, text in enumerate(texts) if "e" in text), 1.0)
    assert len(set(texts)) == len(texts) >= 3
    positions = [tick for tick in ax.get_yticks() if low <= tick <= high]
    for position, label in zip(positions, texts, strict=True):
        assert float(label) * power == pytest.approx(position, abs=(high - low) / 100)


def test_text_is_broken_by_its_width() -> None:
    """What is too much for the lines ends in an ellipsis; a word longer than the line is cut."""
    lines = wrapped("some words that need more than a line " * 4, 2.0, lines=2)
    assert len(lines) == 2
    assert lines[-1].endswith("…")
    assert wrapped("  short  ", 2.0, lines=2) == ["short"]
    assert wrapped("", 2.0, lines=2) == []
    assert "".join(wrapped("x" * 100, 1.0, lines=9)) == "x" * 100


def split_of(seeds: int = 8, *, unused: tuple[str, ...] = ("noise",)) -> Attribution:
    """Init and order fully crossed, order the larger; noise changes with init."""
    rng = np.random.default_rng(0)
    init, order = (
        column.ravel() for column in np.meshgrid(np.arange(seeds), np.arange(seeds), indexing="ij")
    )
    y = (
        0.05 * rng.normal(size=seeds)[init]
        + 0.2 * rng.normal(size=seeds)[order]
        + 0.05 * rng.normal(size=init.size)
    )
    found = attribute(
        [float(lr) for lr in 10**y], {"init": init, "order": order, "noise": init}, unused=unused
    )
    assert isinstance(found, Attribution)
    return found


def test_the_info_of_an_attribution_has_a_row_for_each_source() -> None:
    """With share, interval and seeds; an unused stream says so; the subtitle names the largest."""
    found = split_of()
    info = attribution_info(found, title="mlp on digits")
    assert [(row.label, row.note, row.used) for row in info.rows] == [
        ("init", "8 seeds", True),
        ("order", "8 seeds", True),
        ("noise", "unused", False),
        ("interactions and rest", "", True),
    ]
    assert [(row.share, row.low, row.high) for row in info.rows] == [
        (source.share, *source.interval) for source in found.sources
    ]
    assert info.subtitle == attribution_summary(found)
    assert info.note == "Dot: estimate from 64 runs. Line: 95% interval over new seeds."


ATTRIBUTIONS = {
    "two streams": attribution_info(split_of(), title="small_resnet on fashion_mnist_mini"),
    "interactions": AttributionInfo(
        tuple(
            ShareRow(label, share, low, high, note)
            for label, share, low, high, note in (
                ("init", 1.0, 0.0, 1.0, "3 seeds"),
                ("a stream with a very long name of somebody's own", 0.0, 0.0, 0.004, "1,000 seeds"),
                ("init x order", 0.004, 0.0, 0.997, ""),
                ("rest", 0.0, 0.0, 0.0, ""),
            )
        ),
        title="a model with a long name " * 4,
        subtitle="The largest source is the starting weights (init). " * 4,
        note="One seed in all runs, so not shown: augment and noise. " * 4,
    ),
    "bare": AttributionInfo((ShareRow("init", 0.5, 0.1, 0.9), ShareRow("rest", 0.5, 0.1, 0.9))),
}


@pytest.mark.parametrize("name", ATTRIBUTIONS)
def test_an_attribution_is_drawn_without_overlaps(name: str) -> None:
    """All texts lie inside of the figure and none touches another; the same info gives the same bytes."""
    figure = attribution_figure(ATTRIBUTIONS[name])
    assert_texts_apart(figure)
    assert figure_bytes(figure) == figure_bytes(attribution_figure(ATTRIBUTIONS[name]))
