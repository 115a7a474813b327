"""The figure of one run: its curve, what each rule reads off it, and the LR that is suggested."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.transforms import blended_transform_factory

from steadylr.core.curve import FloatArray, frozen_array
from steadylr.present.figures._drawing import (
    BLUE,
    FAINT,
    INK,
    SKIPPED,
    SMALL_SIZE,
    SOFT_INK,
    TEXT_SIZE,
    VERMILLION,
    Heading,
    axes_at,
    axis_length,
    font,
    frame,
    heading_of,
    legend_below,
    loss_axis,
    loss_limits,
    loss_ticks,
    lr_axis,
    name_axes,
    new_figure,
    no_points,
    text_width,
    widest,
)
from steadylr.present.numbers import format_lr, format_lr_range

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from steadylr.core.curve import Curve
    from steadylr.core.settings import Reading
    from steadylr.words.reading import ToldSuggestion


@dataclass(frozen=True, slots=True)
class Mark:
    """What one rule reads off the curve: an LR (None for no answer), low and high if the rule brackets."""

    rule: str
    lr: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class CurveInfo:
    """All that the figure of one run shows.

    Args:
        lr: LRs of the raw points, shape (n,), rising, above 0.
        loss: losses of the raw points, shape (n,); NaN and infinities are not drawn.
        smooth_lr: LRs of the smoothed line, shape (m,); may be empty.
        smooth_loss: losses of the smoothed line, shape (m,).
        skip_start: points left out at the start, at least 0.
        skip_end: points left out at the end, at least 0.
        marks: what each rule reads off the curve, in the order in which they are shown.
        headline: the rule whose LR is the answer.
        reason: why the headline rule has no answer; empty if it has one.
        title: which model, data and seed.
        subtitle: what the curve is diagnosed with, or empty.
        loss_name: what the losses are, "Training loss" or "Validation loss".
        background_lr: LRs of losses drawn behind the others, shape (k,); empty for none.
        background_loss: those losses, shape (k,).
        background_name: what they are.
        left_out_lr: LRs of the training losses whose update a gradient scaler left out, shape (l,); may be empty.
        left_out_loss: those losses, shape (l,).

    Raises:
        ValueError: an LR and a loss array of different lengths.
    """

    lr: FloatArray
    loss: FloatArray
    smooth_lr: FloatArray = field(default_factory=no_points)
    smooth_loss: FloatArray = field(default_factory=no_points)
    skip_start: int = 0
    skip_end: int = 0
    marks: tuple[Mark, ...] = ()
    headline: str = ""
    reason: str = ""
    title: str = ""
    subtitle: str = ""
    loss_name: str = "Training loss"
    background_lr: FloatArray = field(default_factory=no_points)
    background_loss: FloatArray = field(default_factory=no_points)
    background_name: str = "Training loss"
    left_out_lr: FloatArray = field(default_factory=no_points)
    left_out_loss: FloatArray = field(default_factory=no_points)

    def __post_init__(self) -> None:
        for kind in ("", "smooth_", "background_", "left_out_"):
            lr, loss = f"{kind}lr", f"{kind}loss"
            sizes = np.size(getattr(self, lr)), np.size(getattr(self, loss))
            if sizes[0] != sizes[1]:
                raise ValueError(
                    f"{lr} and {loss} must be equally long; got {sizes[0]} and {sizes[1]} points"
                )
            object.__setattr__(self, lr, frozen_array(getattr(self, lr)))
            object.__setattr__(self, loss, frozen_array(getattr(self, loss)))

    @property
    def answer(self) -> Mark | None:
        """The headline rule's mark, or None if that rule has no answer."""
        return next((m for m in self.marks if m.rule == self.headline and m.lr is not None), None)


def curve_info(
    curve: Curve,
    suggestions: Mapping[str, ToldSuggestion],
    rule: str,
    *,
    smooth_lr: npt.ArrayLike = (),
    smooth_loss: npt.ArrayLike = (),
    reading: Reading | None = None,
    title: str = "",
    subtitle: str = "",
    on_validation: bool = False,
    background: tuple[npt.ArrayLike, npt.ArrayLike] | None = None,
    left_out: Sequence[int] = (),
) -> CurveInfo:
    """Gather what the figure of one run shows.

    Args:
        curve: the raw points that the rules read.
        suggestions: by rule.
        rule: the headline rule, one of the suggestions.
        smooth_lr: LRs of the smoothed line.
        smooth_loss: losses of the smoothed line.
        reading: the settings that the rules read with; None greys nothing.
        title: which model, data and seed.
        subtitle: what the curve is diagnosed with.
        on_validation: the curve holds validation losses.
        background: LRs and losses to draw behind, the training losses of such a run.
        left_out: the training losses, from 0, whose update a gradient scaler left out.

    Raises:
        ValueError: rule is not one of the suggestions.
    """
    if rule not in suggestions:
        raise ValueError(f"rule must be one of {sorted(suggestions)}; got {rule!r}")
    headline = suggestions[rule]
    ordered = [headline, *(s for name, s in suggestions.items() if name != rule)]
    behind_lr, behind_loss = ((), ()) if background is None else background
    trained_lr, trained_loss = (curve.lr, curve.loss) if background is None else background
    marked = np.array(left_out, dtype=np.int64)
    return CurveInfo(
        lr=curve.lr,
        loss=curve.loss,
        smooth_lr=frozen_array(smooth_lr),
        smooth_loss=frozen_array(smooth_loss),
        skip_start=0 if reading is None else reading.skip_start,
        skip_end=0 if reading is None else reading.skip_end,
        marks=tuple(Mark(s.rule, s.lr, s.low, s.high) for s in ordered),
        headline=rule,
        reason="" if headline.lr is not None else headline.reason,
        title=title,
        subtitle=subtitle,
        loss_name="Validation loss" if on_validation else "Training loss",
        background_lr=frozen_array(behind_lr),
        background_loss=frozen_array(behind_loss),
        left_out_lr=np.asarray(trained_lr)[marked],
        left_out_loss=np.asarray(trained_loss)[marked],
    )


def draw_curve(ax: Axes, info: CurveInfo) -> Axes:
    """Loss against LR on a log axis, with the headline LR, its bracket and the other rules' places.

    One looks at it to see whether the suggested LR lies where the loss still falls, well before it climbs.
    The loss axis shows the descent: points of a divergence far above it are left out of sight.
    """
    frame(ax)
    lr_axis(ax, *_lr_limits(info))
    loss_axis(ax, *_limits(info))
    _grey_the_skipped(ax, info)
    _mark_answer(ax, info.answer)
    if info.background_lr.size:
        ax.plot(info.background_lr, info.background_loss, color="#CFCFCF", linewidth=0.8, zorder=1.5)
    _scatter(ax, info)
    ax.plot(info.left_out_lr, info.left_out_loss, **_LEFT_OUT, markersize=4.5, zorder=2.2)
    if info.smooth_lr.size:
        ax.plot(info.smooth_lr, info.smooth_loss, color=BLUE, linewidth=2.0, solid_capstyle="round", zorder=3)
    _mark_rules(ax, info)
    name_axes(ax, x="Learning rate", y=info.loss_name)
    return ax


def draw_rules(ax: Axes, info: CurveInfo) -> Axes:
    """One row per rule below the curve: its LR with the value, and from low to high if it brackets."""
    frame(ax)
    low, high = _lr_limits(info)
    lr_axis(ax, low, high)
    rows = len(info.marks)
    ax.set_ylim(rows - 0.4, -0.6)
    ax.set_yticks(range(rows), [mark.rule for mark in info.marks])
    ax.tick_params(axis="y", length=0, pad=6)
    ax.grid(visible=False, axis="y")
    ax.spines["left"].set_visible(False)
    _mark_answer(ax, info.answer)
    width = axis_length(ax)
    line = None if info.answer is None else info.answer.lr
    for row, mark in enumerate(info.marks):
        _draw_row(
            ax, row, mark, headline=mark.rule == info.headline, limits=(low, high), width=width, line=line
        )
    for label, mark in zip(ax.get_yticklabels(), info.marks, strict=True):
        is_headline = mark.rule == info.headline
        label.set_color(VERMILLION if is_headline and mark.lr is not None else INK)
        label.set_fontweight("bold" if is_headline else "normal")
    name_axes(ax, x="Learning rate")
    return ax


def curve_figure(info: CurveInfo) -> Figure:
    """The whole figure of one run: title, curve, rules, legend; 8 inches wide, as high as its parts need."""
    width, right, panel, row = 8.0, 0.25, 3.1, 0.2
    heading = _heading(info, width - 0.5)
    top = 0.17 + heading.height + (0.3 if info.answer is not None else 0.12)
    strip = row * len(info.marks) + 0.08 if info.marks else 0.0
    bottom, gap = 0.88, 0.1 if info.marks else 0.0
    figure = new_figure(width, top + panel + gap + strip + bottom)
    across, up = width, top + panel + gap + strip + bottom

    left = _left_margin(info)
    heading.write(figure, left=0.25)
    main = axes_at(figure, left, up - top - panel, across - left - right, panel)
    draw_curve(main, info)
    _write_answer(main, info.answer, width=across - left - right)
    if info.marks:
        below = axes_at(figure, left, bottom, across - left - right, strip)
        draw_rules(below, info)
        main.tick_params(axis="x", which="both", labelbottom=False)
        main.set_xlabel("")
    _legend(figure, info, centre=(left + across - right) / 2 / across)
    return figure


def _heading(info: CurveInfo, width: float) -> Heading:
    if info.answer is not None:
        return heading_of(info.title, info.subtitle, width)
    reason = info.reason or info.subtitle
    return heading_of(info.title, f"No answer: {reason}" if reason else "No answer", width, colour="#A63C00")


def _left_margin(info: CurveInfo) -> float:
    ticks = widest(loss_ticks(*_limits(info))[1], SMALL_SIZE) + 0.5
    names = max((text_width(m.rule, SMALL_SIZE, "bold") for m in info.marks), default=0.0) + 0.25
    return max(ticks, names, 0.7)


def _limits(info: CurveInfo) -> tuple[float, float]:
    return loss_limits(info.loss, info.smooth_loss)


def _lr_limits(info: CurveInfo) -> tuple[float, float]:
    """The LRs of the points and the marks, with a little room at both ends."""
    all_lrs = [
        float(lr)
        for lr in (info.lr[:1], info.lr[-1:], info.background_lr[:1], info.background_lr[-1:])
        if lr.size
        for lr in lr
    ]
    all_lrs += [lr for m in info.marks for lr in (m.lr, m.low, m.high) if lr is not None]
    low, high = min(all_lrs, default=1e-7), max(all_lrs, default=10.0)
    room = max((high / low) ** 0.015, 1.05)
    return low / room, high * room


def _grey_the_skipped(ax: Axes, info: CurveInfo) -> None:
    edges = _between(info.lr)
    low, high = ax.get_xlim()
    if info.skip_start > 0 and info.lr.size:
        ax.axvspan(low, edges[min(info.skip_start, info.lr.size)], color=SKIPPED, linewidth=0, zorder=0)
    if info.skip_end > 0 and info.lr.size:
        ax.axvspan(edges[max(info.lr.size - info.skip_end, 0)], high, color=SKIPPED, linewidth=0, zorder=0)


def _between(lr: FloatArray) -> FloatArray:
    """Borders between points, shape (n + 1,): element i lies before point i."""
    if lr.size == 0:
        return lr
    return np.concatenate([lr[:1], np.sqrt(lr[:-1] * lr[1:]), lr[-1:]])


_LEFT_OUT: dict[str, Any] = {"linestyle": "none", "marker": "x", "markeredgewidth": 1.1, "color": INK}


def _scatter(ax: Axes, info: CurveInfo) -> None:
    # Many points need smaller and fainter ones for the line to stay readable among them.
    many = info.lr.size > 300
    ax.plot(
        info.lr,
        info.loss,
        linestyle="none",
        marker="o",
        markersize=2.0 if many else 3.0,
        markeredgewidth=0,
        color=FAINT,
        alpha=0.55 if many else 0.85,
        zorder=2,
    )


def _mark_answer(ax: Axes, answer: Mark | None) -> None:
    if answer is None or answer.lr is None:
        return
    if answer.low is not None and answer.high is not None:
        ax.axvspan(answer.low, answer.high, color=VERMILLION, alpha=0.10, linewidth=0, zorder=0.5)
    ax.axvline(answer.lr, color=VERMILLION, linewidth=1.6, zorder=2.5)


def _mark_rules(ax: Axes, info: CurveInfo) -> None:
    """Each rule's place on the smoothed line; the headline's is filled."""
    finite = np.isfinite(info.smooth_loss)
    if not finite.any():
        return
    x, y = np.log10(info.smooth_lr[finite]), info.smooth_loss[finite]
    for mark in info.marks:
        if mark.lr is None or not x[0] - 1e-6 <= math.log10(mark.lr) <= x[-1] + 1e-6:
            continue
        headline = mark.rule == info.headline
        ax.plot(
            [mark.lr],
            [np.interp(math.log10(mark.lr), x, y)],
            marker="o",
            markersize=7 if headline else 5.5,
            markerfacecolor=VERMILLION if headline else "white",
            markeredgecolor="white" if headline else INK,
            markeredgewidth=1.0,
            linestyle="none",
            zorder=5 if headline else 4,
        )


def _write_answer(ax: Axes, answer: Mark | None, *, width: float) -> None:
    """The headline LR and its range above the axes, over its line as far as the edges allow."""
    if answer is None or answer.lr is None:
        return
    lr = f"LR {format_lr(answer.lr)}"
    between = answer.rule
    if answer.low is not None and answer.high is not None:
        between = f"{answer.rule} {format_lr_range(answer.low, answer.high)}"
    bold = text_width(lr, TEXT_SIZE + 0.5, "bold")
    plain, gap = text_width(between, SMALL_SIZE), 0.13
    low, high = ax.get_xlim()
    at = math.log(answer.lr / low) / math.log(high / low) * width
    start = min(max(at - bold / 2, 0.0), width - bold)
    fits_right = start + bold + gap + plain <= width
    for content, offset, properties in (
        (lr, start, font(TEXT_SIZE + 0.5, VERMILLION, "bold")),
        (between, start + bold + gap if fits_right else start - gap - plain, font(SMALL_SIZE, SOFT_INK)),
    ):
        ax.annotate(
            content,
            xy=(offset / width, 1.0),
            xycoords="axes fraction",
            xytext=(0, 5),
            textcoords="offset points",
            ha="left",
            va="baseline",
            annotation_clip=False,
            **properties,
        )


def _draw_row(
    ax: Axes,
    row: int,
    mark: Mark,
    *,
    headline: bool,
    limits: tuple[float, float],
    width: float,
    line: float | None,
) -> None:
    if mark.lr is None:
        at = blended_transform_factory(ax.transAxes, ax.transData)
        ax.text(
            0.008,
            row,
            "no answer",
            transform=at,
            va="center_baseline",
            ha="left",
            **font(SMALL_SIZE, SOFT_INK),
        )
        return
    colour = VERMILLION if headline else INK
    low, high = mark.low or mark.lr, mark.high or mark.lr
    if high > low:
        ax.plot(
            [low, high], [row, row], color=colour, linewidth=3.0, alpha=0.35, solid_capstyle="butt", zorder=3
        )
    ax.plot(
        [mark.lr],
        [row],
        marker="o",
        linestyle="none",
        markersize=7 if headline else 5.5,
        markerfacecolor=VERMILLION if headline else "white",
        markeredgecolor="white" if headline else INK,
        markeredgewidth=1.0,
        zorder=4,
    )
    value = format_lr(mark.lr)
    weight = "bold" if headline else "normal"
    fits_right = _fits_right(high, text_width(value, SMALL_SIZE, weight) + 0.15, limits, width, line)
    ax.annotate(
        value,
        xy=(high if fits_right else low, row),
        xytext=(8 if fits_right else -8, 0),
        textcoords="offset points",
        ha="left" if fits_right else "right",
        va="center_baseline",
        zorder=3.5,
        **font(SMALL_SIZE, colour, weight),
    )


def _fits_right(
    lr: float, needed: float, limits: tuple[float, float], width: float, line: float | None
) -> bool:
    """Whether a value stands right of its mark: there is room, and the headline's line doesn't cross it."""

    def place(at: float) -> float:
        return math.log(at / limits[0]) / math.log(limits[1] / limits[0]) * width

    end = place(lr) + needed
    if end > width:
        return False
    crossed = line is not None and place(lr) + 0.02 < place(line) < end + 0.03
    return not crossed or place(lr) < needed


def _legend(figure: Figure, info: CurveInfo, *, centre: float) -> None:
    handles: list[Line2D | Patch] = [
        Line2D([], [], linestyle="none", marker="o", markersize=4, markeredgewidth=0, color=FAINT)
    ]
    names = [info.loss_name.lower() if info.background_lr.size else "one step"]
    if info.smooth_lr.size:
        handles.append(Line2D([], [], color=BLUE, linewidth=2.0))
        names.append("smoothed")
    if info.background_lr.size:
        handles.append(Line2D([], [], color="#CFCFCF", linewidth=1.2))
        names.append(info.background_name.lower())
    if info.left_out_lr.size:
        handles.append(Line2D([], [], **_LEFT_OUT, markersize=5))
        names.append("update left out")
    answer = info.answer
    if answer is not None and answer.low is not None and answer.high is not None:
        handles.append(Patch(facecolor=VERMILLION, alpha=0.18, linewidth=0))
        names.append("low to high")
    if any(m.lr is not None and m.rule != info.headline for m in info.marks):
        handles.append(
            Line2D(
                [],
                [],
                linestyle="none",
                marker="o",
                markersize=5,
                markerfacecolor="white",
                markeredgecolor=INK,
            )
        )
        names.append("other rules")
    if info.skip_start or info.skip_end:
        handles.append(Patch(facecolor=SKIPPED, edgecolor="#D5D5D5", linewidth=0.5))
        names.append("skipped")
    legend_below(figure, handles, names, centre=centre)
