"""Learning-rate range tests over several seeds, and how far their answer can be trusted."""

import random
from importlib import import_module
from typing import TYPE_CHECKING, Any

from steadylr._version import __version__ as __version__

if TYPE_CHECKING:
    from steadylr.api import plot as plot
    from steadylr.api import range_test as range_test
    from steadylr.core.consensus import Consensus as Consensus
    from steadylr.core.consensus import consensus as consensus
    from steadylr.core.curve import Curve as Curve
    from steadylr.core.curve import Stop as Stop
    from steadylr.core.divergence import StopRule as StopRule
    from steadylr.core.length.answer import LengthAnswer as LengthAnswer
    from steadylr.core.length.ladder import Ladder as Ladder
    from steadylr.core.length.ladder import lr_for_length as lr_for_length
    from steadylr.core.length.law import Start as Start
    from steadylr.core.onecycle import Plan as Plan
    from steadylr.core.onecycle import plan as plan
    from steadylr.core.ramp import Ramp as Ramp
    from steadylr.core.rules import register_rule as register_rule
    from steadylr.core.settings import Reading as Reading
    from steadylr.core.suggestion import Outcome as Outcome
    from steadylr.repeats import FoundLR as FoundLR
    from steadylr.repeats import Run as Run
    from steadylr.repeats import find_lr as find_lr
    from steadylr.report.notebook import RangeTest as RangeTest
    from steadylr.run.steps import StepError as StepError
    from steadylr.words.consensus import Verdict as Verdict
    from steadylr.words.consensus import verdict as verdict
    from steadylr.words.plan_lines import plan_lines as plan_lines
    from steadylr.words.python import Finding as Finding
    from steadylr.words.python import Suggestion as Suggestion
    from steadylr.words.python import diagnose as diagnose
    from steadylr.words.python import suggest as suggest
    from steadylr.words.python import suggest_all as suggest_all

_HOMES = {
    "api": ("plot", "range_test"),
    "core.consensus": ("Consensus", "consensus"),
    "core.curve": ("Curve", "Stop"),
    "core.divergence": ("StopRule",),
    "core.length.answer": ("LengthAnswer",),
    "core.length.ladder": ("Ladder", "lr_for_length"),
    "core.length.law": ("Start",),
    "core.onecycle": ("Plan", "plan"),
    "core.ramp": ("Ramp",),
    "core.rules": ("register_rule",),
    "core.settings": ("Reading",),
    "core.suggestion": ("Outcome",),
    "repeats": ("FoundLR", "Run", "find_lr"),
    "report.notebook": ("RangeTest",),
    "run.steps": ("StepError",),
    "words.consensus": ("Verdict", "verdict"),
    "words.plan_lines": ("plan_lines",),
    "words.python": ("Finding", "Suggestion", "diagnose", "suggest", "suggest_all"),
}
_HOME_OF = {name: f"steadylr.{home}" for home, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME_OF)


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for: the command line's --help needs neither torch nor numpy."""
    if name not in _HOME_OF:
        raise AttributeError(f"module 'steadylr' has no attribute {name!r}")
    state = random.getstate()  # rich draws from it when it is imported
    try:
        value = globals()[name] = getattr(import_module(_HOME_OF[name]), name)
    finally:
        random.setstate(state)
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
