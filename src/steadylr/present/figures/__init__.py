"""Figures: each is an info (plain numbers) and a drawing of it. Imports matplotlib, never pyplot."""

from __future__ import annotations

from steadylr.present.figures._drawing import figure_bytes, save_figure
from steadylr.present.figures.curve import CurveInfo, Mark, curve_figure, curve_info, draw_curve, draw_rules
from steadylr.present.figures.plan import PlanInfo, draw_plan, plan_figure, plan_info

__all__ = [
    "CurveInfo",
    "Mark",
    "PlanInfo",
    "curve_figure",
    "curve_info",
    "draw_curve",
    "draw_plan",
    "draw_rules",
    "figure_bytes",
    "plan_figure",
    "plan_info",
    "save_figure",
]
