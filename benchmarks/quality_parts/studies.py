"""Studies beside the table: the reading settings, how sure a single curve is, and the length of the training."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from quality_parts.compute import TRUTH_SEEDS, Unit, read_truth
from quality_parts.evaluate import CLOSE, Regret, RuleFunction, answers_of, read_curves, read_truths
from steadylr.core.certainty import factor_95, log10_std
from steadylr.core.rules import DEFAULT_RULE, suggest
from steadylr.core.settings import Reading

SETTINGS: dict[str, tuple[float, ...]] = {
    "smooth_f": (0.0, 0.02, 0.05, 0.1, 0.15, 0.25),
    "skip_start": (0, 2, 5, 10, 15, 20),
    "skip_end": (0, 2, 5, 10, 15, 20),
}
LENGTH_FACTORS = (0.25, 4.0)


def settings_study(
    folder: Path, tasks: Mapping[str, int], seeds: Sequence[int], iterations: Sequence[int]
) -> list[dict[str, Any]]:
    """Answer, spread and regret of the default rule while one setting changes and the others keep their defaults.

    Returns:
        One row per setting, value and N: `shift` is the median over tasks of the geometric mean answer over that at
        the default; `spread` the median of max / min over seeds; `close` and `regret` are means over tasks.
    """
    truths = read_truths(folder, tasks)
    rows = []
    for num_iter in iterations:
        curves = {name: read_curves(folder, name, num_iter, seeds) for name in truths}
        curves = {name: found for name, found in curves.items() if found}
        if not curves:
            continue
        usual = _centres(answers_of("default", lambda c: suggest(c).lr, curves, num_iter).lrs)
        for setting, values in SETTINGS.items():
            for value in values:
                lrs = answers_of(setting, _reader(setting, value), curves, num_iter).lrs
                rows.append(
                    {"setting": setting, "value": value, "num_iter": num_iter, "tasks": len(curves)}
                    | _summary(lrs, usual, truths)
                )
    return rows


def _reader(setting: str, value: float) -> RuleFunction:
    changed: dict[str, Any] = {setting: value if setting == "smooth_f" else int(value)}
    reading = replace(Reading(), **changed)
    return lambda curve: suggest(curve, reading=reading).lr


def _summary(
    lrs: Mapping[str, np.ndarray], usual: Mapping[str, float], truths: Mapping[str, Regret]
) -> dict[str, float]:
    regrets = [truths[name].at(values) for name, values in lrs.items()]
    known = [values[np.isfinite(values)] for values in lrs.values()]
    spreads = [float(values.max() / values.min()) for values in known if values.size > 1]
    shifts = [10.0 ** (centre - usual[name]) for name, centre in _centres(lrs).items()]
    return {
        "shift": float(np.nanmedian(shifts)),
        "spread": float(np.median(spreads)),
        "close": float(np.mean([np.mean(values <= CLOSE) for values in regrets])),
        "regret": float(np.mean([np.mean(values) for values in regrets])),
        "missing": float(np.mean([np.mean(~np.isfinite(values)) for values in lrs.values()])),
    }


def _centres(lrs: Mapping[str, np.ndarray]) -> dict[str, float]:
    return {
        name: float(np.mean(np.log10(values[np.isfinite(values)]))) if np.isfinite(values).any() else np.nan
        for name, values in lrs.items()
    }


def draw_settings(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Close answers and spread against each setting, one line per N, as a picture."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 5.4), layout="constrained")
    axes = figure.subplots(2, len(SETTINGS), sharey="row")
    labels = {"close": "close answers", "spread": "spread over seeds (max / min)"}
    for column, setting in enumerate(SETTINGS):
        for row, (key, label) in enumerate(labels.items()):
            ax = axes[row][column]
            for num_iter in sorted({r["num_iter"] for r in rows}):
                chosen = [r for r in rows if r["setting"] == setting and r["num_iter"] == num_iter]
                ax.plot(
                    [r["value"] for r in chosen],
                    [r[key] for r in chosen],
                    marker="o",
                    label=f"{num_iter} iterations",
                )
            default = getattr(Reading(), setting)
            ax.axvline(default, color="0.6", linewidth=1, linestyle=":")
            ax.set_xlabel(f"{setting} (default {default})" if row else "")
            ax.set_ylabel(label if column == 0 else "")
            if key == "close":
                ax.set_ylim(0, 1.03)
            else:
                ax.set_ylim(bottom=1)
    axes[0][0].legend(frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def settings_lines(rows: Sequence[Mapping[str, Any]]) -> Iterable[str]:
    """The study as a markdown table."""
    yield f"Rule {DEFAULT_RULE}; one setting changes, the others keep their defaults."
    yield ""
    yield "| setting | value | N | tasks | answer over that at the default | spread | close | mean regret | no answer |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for row in rows:
        yield (
            f"| {row['setting']} | {row['value']:g} | {row['num_iter']} | {row['tasks']} | {row['shift']:.2f} "
            f"| {row['spread']:.2f} | {row['close']:.0%} | {row['regret']:.1%} | {row['missing']:.0%} |"
        )


# ---- how sure a single curve is


def uncertainty_study(
    folder: Path, tasks: Mapping[str, int], seeds: Sequence[int], iterations: Sequence[int]
) -> list[dict[str, Any]]:
    """For each run the predicted standard deviation, and how far its answer lies from the mean of all seeds.

    Both in log10(lr), for the default rule. Deviations are scaled by sqrt(n / (n - 1)), as the mean is made of the
    same n answers.
    """
    rows = []
    for num_iter in iterations:
        for name in tasks:
            curves = read_curves(folder, name, num_iter, seeds)
            pairs = [(suggest(curve).lr, log10_std(curve)) for curve in curves]
            known = [(np.log10(lr), sd) for lr, sd in pairs if lr is not None and sd is not None]
            if len(known) < 3:
                continue
            logs, sds = np.array(known).T
            away = (logs - logs.mean()) * (len(logs) / (len(logs) - 1)) ** 0.5
            rows += [
                {"task": name, "num_iter": num_iter, "predicted": float(sd), "away": float(distance)}
                for sd, distance in zip(sds, away, strict=True)
            ]
    return rows


def uncertainty_lines(rows: Sequence[Mapping[str, Any]]) -> Iterable[str]:
    """How often answers lie within one and two predicted standard deviations, and within the factor, as markdown."""
    yield (
        "| N | tasks, runs | within 1 (68%) | within 2 (95%) | root mean square of deviation / predicted "
        "| factor held: mean over tasks (95%), worst task |"
    )
    yield "|---|---|---|---|---|---|"
    for num_iter in sorted({row["num_iter"] for row in rows}):
        chosen = [row for row in rows if row["num_iter"] == num_iter]
        z = np.abs([row["away"] / max(row["predicted"], 1e-6) for row in chosen])
        of_tasks: dict[str, list[bool]] = {}
        for row in chosen:
            held = abs(row["away"]) < np.log10(factor_95(row["predicted"]))
            of_tasks.setdefault(row["task"], []).append(bool(held))
        shares = [float(np.mean(held)) for held in of_tasks.values()]
        yield (
            f"| {num_iter} | {len(shares)}, {len(chosen)} | {np.mean(z <= 1):.0%} | {np.mean(z <= 2):.0%} "
            f"| {np.sqrt(np.mean(z**2)):.2f} | {np.mean(shares):.0%}, {min(shares):.0%} |"
        )


def draw_uncertainty(rows: Sequence[Mapping[str, Any]], path: Path, *, bins: int = 6) -> None:
    """Reliability: in bins of equal size, the predicted standard deviation against the one that was seen."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2, 4.8), layout="constrained")
    ax = figure.subplots()
    for num_iter in sorted({row["num_iter"] for row in rows}):
        chosen = sorted((r for r in rows if r["num_iter"] == num_iter), key=lambda r: float(r["predicted"]))
        parts = [part for part in np.array_split(np.arange(len(chosen)), bins) if part.size]
        predicted = [np.sqrt(np.mean([chosen[i]["predicted"] ** 2 for i in part])) for part in parts]
        seen = [np.sqrt(np.mean([chosen[i]["away"] ** 2 for i in part])) for part in parts]
        ax.plot(predicted, seen, "o", label=f"{num_iter} iterations, {len(chosen)} runs")
    ax.axline((0, 0), slope=1, color="0.6", linestyle=":", linewidth=1)
    ax.set_xlim(left=0)
    ax.set_ylim(bottom=0)
    ax.set_xlabel("predicted standard deviation of log10 LR")
    ax.set_ylabel("seen between seeds")
    ax.legend(frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


# ---- the training's length


def length_units(tasks: Mapping[str, int]) -> list[Unit]:
    """Truths of shorter and longer trainings (name -> usual steps)."""
    return [
        Unit(name, "truth", seed, round(steps * factor))
        for name, steps in tasks.items()
        for factor in LENGTH_FACTORS
        for seed in TRUTH_SEEDS
    ]


def length_lines(folder: Path, tasks: Mapping[str, int]) -> Iterable[str]:
    """Where the good LRs lie after shorter and longer trainings, as a markdown table."""
    yield "| task | steps | best LR | regret at most 1% | at most 5% |"
    yield "|---|---|---|---|---|"
    for name, steps in tasks.items():
        for factor in sorted((1.0, *LENGTH_FACTORS)):
            losses = read_truth(folder, name, round(steps * factor), TRUTH_SEEDS)
            if losses is None:
                continue
            truth = Regret.of(losses)
            close, hit = ("{:.1e} to {:.1e}".format(*truth.good_range(limit)) for limit in (CLOSE, 5 * CLOSE))
            yield f"| {name} | {round(steps * factor)} | {truth.best_lr:.1e} | {close} | {hit} |"
