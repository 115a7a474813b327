"""What is known about optimizers by their class, without importing torch: whether they can be ramped, and how well."""

from __future__ import annotations

REFUSED = {
    "lbfgs": (
        "it evaluates the loss several times a step and needs a closure for that, so that one step has no one loss "
        "to put against its LR; with line_search_fn='strong_wolfe' it finds its step itself"
    ),
    "sparseadam": "it takes sparse gradients only, which embeddings with sparse=True give and other layers don't",
}
"""Optimizers that can't be ramped, by class in lower case, and why."""

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
    {
        "adamwschedulefree",
        "radamschedulefree",
        "sgdschedulefree",
        "prodigy",
        "muon",
        "muonwithadamw",
        "adafactor",
    }
)
"""Optimizers whose momentum a OneCycle schedule must not cycle, or that mix several kinds of it."""


def optimizer_doubt(name: str) -> str | None:
    """Why a learning-rate finder makes little sense for an optimizer, and what to do; None where it does.

    Args:
        name: of its class, in any case.
    """
    text = _DOUBTS.get(name.lower())
    return None if text is None else text.format(name)
