"""Learning-rate range tests over several seeds, and how far their answer can be trusted."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from steadylr._version import __version__ as __version__

if TYPE_CHECKING:
    from steadylr.api import FoundLR, Run, find_lr, plot, range_test
    from steadylr.core.consensus import Consensus, consensus
    from steadylr.core.curve import Curve, Stop
    from steadylr.core.diagnosis import Finding, diagnose
    from steadylr.core.divergence import StopRule
    from steadylr.core.onecycle import Plan, plan
    from steadylr.core.ramp import Ramp
    from steadylr.core.rules import register_rule, suggest, suggest_all
    from steadylr.core.settings import Reading
    from steadylr.core.suggestion import Outcome, Suggestion
    from steadylr.core.verdict import Verdict, verdict
    from steadylr.run.range_test import RangeTest
    from steadylr.run.steps import StepError

__all__ = [
    "Consensus",
    "Curve",
    "Finding",
    "FoundLR",
    "Outcome",
    "Plan",
    "Ramp",
    "RangeTest",
    "Reading",
    "Run",
    "StepError",
    "Stop",
    "StopRule",
    "Suggestion",
    "Verdict",
    "consensus",
    "diagnose",
    "find_lr",
    "plan",
    "plot",
    "range_test",
    "register_rule",
    "suggest",
    "suggest_all",
    "verdict",
]

_HOMES = {
    "api": ("FoundLR", "Run", "find_lr", "plot", "range_test"),
    "core.consensus": ("Consensus", "consensus"),
    "core.curve": ("Curve", "Stop"),
    "core.diagnosis": ("Finding", "diagnose"),
    "core.divergence": ("StopRule",),
    "core.onecycle": ("Plan", "plan"),
    "core.ramp": ("Ramp",),
    "core.rules": ("register_rule", "suggest", "suggest_all"),
    "core.settings": ("Reading",),
    "core.suggestion": ("Outcome", "Suggestion"),
    "core.verdict": ("Verdict", "verdict"),
    "run.range_test": ("RangeTest",),
    "run.steps": ("StepError",),
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for: the command line's --help needs neither torch nor numpy."""
    for module, names in _HOMES.items():
        if name in names:
            value = getattr(import_module(f"steadylr.{module}"), name)
            globals()[name] = value
            return value
    raise AttributeError(f"module 'steadylr' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
