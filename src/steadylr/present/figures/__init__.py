"""Figures: each is an info (plain numbers) and a drawing of it. Imports matplotlib, never pyplot."""

from __future__ import annotations

from steadylr.present.figures._drawing import figure_bytes, save_figure
from steadylr.present.figures.attribution import (
    AttributionInfo,
    ShareRow,
    attribution_figure,
    attribution_info,
    draw_shares,
)
from steadylr.present.figures.curve import CurveInfo, Mark, curve_figure, curve_info, draw_curve, draw_rules
from steadylr.present.figures.length import (
    LengthInfo,
    LengthValley,
    draw_law,
    draw_valleys,
    length_figure,
    length_info,
)
from steadylr.present.figures.plan import PlanInfo, draw_plan, plan_figure, plan_info
from steadylr.present.figures.summary import (
    SummaryGroup,
    SummaryInfo,
    SummaryRun,
    curves_to_draw,
    draw_curves,
    draw_spread,
    summary_figure,
)
from steadylr.present.figures.verification import (
    VerificationInfo,
    draw_verification,
    verification_figure,
    verification_info,
)

__all__ = [
    "AttributionInfo",
    "CurveInfo",
    "LengthInfo",
    "LengthValley",
    "Mark",
    "PlanInfo",
    "ShareRow",
    "SummaryGroup",
    "SummaryInfo",
    "SummaryRun",
    "VerificationInfo",
    "attribution_figure",
    "attribution_info",
    "curve_figure",
    "curve_info",
    "curves_to_draw",
    "draw_curve",
    "draw_curves",
    "draw_law",
    "draw_plan",
    "draw_rules",
    "draw_shares",
    "draw_spread",
    "draw_valleys",
    "draw_verification",
    "figure_bytes",
    "length_figure",
    "length_info",
    "plan_figure",
    "plan_info",
    "save_figure",
    "summary_figure",
    "verification_figure",
    "verification_info",
]
