"""Where a spread comes from, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from steadylr.core.attribution import ENOUGH_LEVELS, Attribution, Source
from steadylr.core.not_split import NotSplit, Unsplit
from steadylr.words.names import Names

_STREAMS: Mapping[str, str] = {
    "init": "the starting weights",
    "order": "the order of the samples",
    "augment": "the augmentation draws",
    "noise": "dropout and other noise in training",
}
_REDUCED_BY: Mapping[str, str] = {
    "init": "start from {n.pretrained} where there are any",
    "order": "use {n.larger_batches} or {n.more_steps}",
    "augment": "use {n.larger_batches}, {n.more_steps} or a weaker augmentation",
    "noise": "use less dropout, {n.larger_batches} or {n.more_steps}",
}
_REASONS: Mapping[Unsplit, str] = {
    Unsplit.NO_STREAM_VARIES: "no stream varies over the {u.n} runs with an LR",
    Unsplit.ONE_STREAM_VARIES: "only {first} varies, so there is nothing to tell it from",
    Unsplit.ONE_STREAM_DRAWN: (
        "{first} is the only stream that something draws from, so all of the spread is its own"
    ),
    Unsplit.NO_SPREAD: "all runs have the same LR",
    Unsplit.CHANGE_TOGETHER: "{first} and {others} change together, so nothing tells one from the other",
    Unsplit.NOT_APART: "{first} can't be told from {others} together",
    Unsplit.NO_REST: (
        "{u.num_empty} of the {u.num_cells} combinations of {streams} seeds have no run, and the {u.n} others leave "
        "nothing to tell the streams from the rest"
    ),
    Unsplit.DIFFERENT_TRAININGS: (
        "these runs train different things, and the LR may differ between them for that"
    ),
}
_REMEDIES: Mapping[Unsplit, str] = {
    Unsplit.ONE_STREAM_DRAWN: "There is nothing to split.",
    Unsplit.NO_SPREAD: "There is no spread to split.",
    Unsplit.NO_REST: "Run every seed of one stream with at least two seeds of each other one.",
    Unsplit.DIFFERENT_TRAININGS: "{n.unmixed}: each kind of run has its own split.",
}


def not_split_words(refusal: NotSplit, names: Names) -> tuple[str, str]:
    """What the runs lack, and what to run instead."""
    first, others = refusal.streams[:1], refusal.streams[1:]
    reason = _REASONS[refusal.code].format(
        u=refusal, first=_listed(first), others=_listed(others), streams=_listed(refusal.streams)
    )
    remedy = _REMEDIES.get(refusal.code, "").format(n=names)
    return reason, " ".join(filter(None, (remedy, _crossing(refusal.to_cross, names))))


def attribution_summary(attribution: Attribution) -> str:
    """The largest source, in one sentence."""
    source = attribution.source(attribution.largest)
    low, high = source.interval
    size = f"{source.share:.0%} of the variance of log10 LR (95% interval {low:.0%} to {high:.0%})"
    doubt = f", but {_listed(attribution.rivals)} may be larger" if attribution.rivals else ""
    return f"The largest source is {_source(source)}: {size}{doubt}."


def attribution_advice(attribution: Attribution, names: Names) -> str:
    """What would reduce the largest source, in one sentence."""
    source = attribution.source(attribution.largest)
    if len(source.streams) == 1:
        how = _REDUCED_BY.get(source.name, f"look at what draws from {source.name}").format(n=names)
        return f"To reduce it {how}; the mean of more runs, each with seeds of its own, reduces every source."
    return (
        "No single stream is to blame, so fixing one of the seeds changes little: only the mean of more runs, "
        "each with seeds of its own, reduces it."
    )


def _crossing(streams: Sequence[str], names: Names) -> str:
    """What to run."""
    if not streams:
        return ""
    each = names.joined.join(names.stream.format(stream=name, levels=ENOUGH_LEVELS) for name in streams)
    return f"Let them vary independently: {names.streams.format(streams=each)}."


def _source(source: Source) -> str:
    if len(source.streams) == 1:
        return f"{_STREAMS.get(source.name, 'the stream')} ({source.name})"
    if source.streams:
        return f"how {source.streams[0]} and {source.streams[1]} go together ({source.name})"
    return source.name


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))
