"""What is known about optimizers by name, without importing torch: who ships them, and whether they can be ramped."""

from __future__ import annotations

import importlib.util

PACKAGE_OF = {
    "schedulefree_adamw": "schedulefree",
    "schedulefree_radam": "schedulefree",
    "schedulefree_sgd": "schedulefree",
    "prodigy": "prodigyopt",
}
"""The optimizers that don't come with torch, by name, and the package that each needs."""

CLASS_OF = {
    "schedulefree_adamw": "AdamWScheduleFree",
    "schedulefree_radam": "RAdamScheduleFree",
    "schedulefree_sgd": "SGDScheduleFree",
    "prodigy": "Prodigy",
}
"""Their classes there."""

EXTRA = "optimizers"
"""The extra of this project that brings those packages."""

REFUSED = {
    "lbfgs": (
        "it evaluates the loss several times a step and needs a closure for that, so that one step has no one loss "
        "to put against its LR; with line_search_fn='strong_wolfe' it finds its step itself"
    ),
    "sparseadam": "it takes sparse gradients only, which embeddings with sparse=True give and other layers don't",
}
"""Optimizers that can't be ramped, by name in lower case, and why."""

_OWN_STEP = (
    "{} finds its own step size, and its lr is a multiplier that is meant to stay at 1: a range test only shows which "
    "multiplier diverges. Train with lr=1 and no search, or look for the LR of AdamW instead"
)
_NO_SCHEDULE = (
    "{} replaces the schedule: train with the LR found (best its lower end) and leave the OneCycle plan out; the "
    "losses here are those in train mode, at the weights that gradients are taken at"
)
_DOUBTS = {
    "prodigy": _OWN_STEP,
    "dadaptadam": _OWN_STEP,
    "dadaptadagrad": _OWN_STEP,
    "dadaptsgd": _OWN_STEP,
    "dadaptlion": _OWN_STEP,
    "adadelta": _OWN_STEP,
    "adamwschedulefree": _NO_SCHEDULE,
    "radamschedulefree": _NO_SCHEDULE,
    "sgdschedulefree": _NO_SCHEDULE,
    "adafactor": (
        "{} takes the smaller of lr and 1 / sqrt(step) as its LR, relative to the size of each weight: above that a "
        "ramp changes nothing, and the climb that a range test looks for may never come. Keep finder.end_lr below "
        "1 / sqrt(finder.num_iter)"
    ),
    "rprop": (
        "{} uses lr in the first step only and adapts the steps of each weight from signs of gradients after that: a "
        "ramp does not reach it, and batches that differ confuse it"
    ),
}

NO_MOMENTUM_CYCLE = frozenset(
    {*PACKAGE_OF, *(name.lower() for name in CLASS_OF.values()), "muon", "muonwithadamw", "adafactor"}
)
"""Optimizers whose momentum a OneCycle schedule must not cycle, or that mix several kinds of it; classes too."""


def optimizer_doubt(name: str) -> str | None:
    """Why a learning-rate finder makes little sense for an optimizer, and what to do; None where it does.

    Args:
        name: of its class or as in optimizer.name, in any case.
    """
    shown = CLASS_OF.get(name.lower(), name)
    text = _DOUBTS.get(shown.lower())
    return None if text is None else text.format(shown)


def missing_package(name: str) -> str | None:
    """The package that an optimizer needs and that isn't installed; None where nothing is missing."""
    package = PACKAGE_OF.get(name.lower())
    return package if package is not None and importlib.util.find_spec(package) is None else None
