"""The verification of a sweep: which trials it takes, doing them side by side, and what they say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from omegaconf import OmegaConf

from steadylr.answer.answer import ConditionAnswer, SweepAnswer, answer_sweep
from steadylr.answer.readings import each_seed_once, from_sweep
from steadylr.answer.recorded import as_recorded
from steadylr.config.errors import BadInput
from steadylr.config.own_options import beyond_own_options
from steadylr.config.values import check_config
from steadylr.core.verification import Conclusion, Suggested, Verification, as_printed, lrs_to_try, verify
from steadylr.exit_codes import EXIT_NO_ANSWER, EXIT_OK
from steadylr.jobs.session import SESSION
from steadylr.present.escaped import escaped_line
from steadylr.present.numbers import count
from steadylr.present.streams import complain
from steadylr.present.text import plain, show
from steadylr.report.page.write import write_sweep_page
from steadylr.report.result import verification_result
from steadylr.report.run_text import ending
from steadylr.report.sweep_text import condition_title
from steadylr.report.verification_text import verification_parts
from steadylr.store.file_names import REPORT_FILE, figure_files
from steadylr.store.files import DamagedFile, NewerSchema, canonical_digest, plain_values, write_atomic
from steadylr.store.records import Verified, utc_now
from steadylr.training.obtain import store_folder
from steadylr.verify.trials import TrialMaker, TrialToDo, refuse, stored_trials, train_trials
from steadylr.words.verification import verification_advice, verification_summary

if TYPE_CHECKING:
    from steadylr.config.schema import Config, OneCycle
    from steadylr.config.verify import VerifyConfig
    from steadylr.jobs.engine import Engine
    from steadylr.store.trial_file import Trial

TEXT_FILE = "verification.txt"


@dataclass(frozen=True, slots=True)
class ConditionToVerify:
    """One condition with the trials that verify it.

    Args:
        number: which condition of the sweep it is, from 1.
        title: which model and data.
        config: of the latest job of this condition.
        suggested: the consensus, as printed.
        lrs: the peak LRs to try, rising.
        trials: by LR and seed.
    """

    number: int
    title: str
    config: Config
    suggested: Suggested
    lrs: tuple[float, ...]
    trials: Mapping[tuple[float, int], TrialToDo]


def verify_sweep(asked: VerifyConfig, overrides: Sequence[str], engine: Engine) -> int:
    """Verify every condition of a sweep, write and print what comes of it, and give the exit code.

    Args:
        asked: checked by verify_lr.check_values.
        overrides: of the command line.
        engine: where trials are done.

    Raises:
        BadInput: no such sweep, no usable consensus in it, or values that its trainings refuse.
    """
    folder = Path(asked.sweep)
    gathered = each_seed_once(from_sweep(folder))
    consensus, onecycle = as_recorded(asked.consensus, asked.onecycle, gathered, overrides)
    if consensus.mix:
        raise BadInput(
            "consensus.mix=true averages runs that train different things: there is no one model to verify that with; "
            "give consensus.mix=false, and each kind of run is verified by itself"
        )
    answer = answer_sweep(gathered, choose=consensus.choose.value, onecycle=onecycle)
    chosen = _chosen(asked, answer)
    if not asked.trust_sweep:
        _refuse_what_is_not_ours(asked, [answer.conditions[number - 1] for number in chosen])
    conditions = [
        _condition_to_verify(asked, answer.conditions[number - 1], number, onecycle) for number in chosen
    ]
    asked_for = [trial for condition in conditions for trial in condition.trials.values()]
    with store_folder(conditions[0].config, folder) as store:
        done = stored_trials(asked_for, store)
        missing = [trial for trial in asked_for if trial.key not in done]
        workers = engine.workers_for(conditions[0].config.device, len(missing))
        print(_announcement(asked, conditions, missing, by=engine.described(workers)), flush=True)
        if asked.dry_run:
            return EXIT_OK
        failed = train_trials(missing, store, engine, workers=workers)
        if failed:
            return refuse(missing, failed)
        done = stored_trials(asked_for, store)
    return _conclude(folder, asked, onecycle, conditions, done)


# ---- before anything is trained


def _chosen(asked: VerifyConfig, answer: SweepAnswer) -> list[int]:
    """The numbers of the conditions to verify.

    Raises:
        BadInput: none of them has an LR.
    """
    numbers = range(1, len(answer.conditions) + 1)
    if asked.kind is not None and asked.kind not in numbers:
        raise BadInput(
            f"kind must be from 1 to {len(numbers)}, the kinds of run in this sweep; got {asked.kind}"
        )
    wanted = [number for number in numbers if asked.kind in (None, number)]
    usable = [number for number in wanted if answer.conditions[number - 1].plan is not None]
    for number in sorted(set(wanted) - set(usable)):
        if usable:
            complain(f"Not verified: {_why_not(answer.conditions[number - 1])}")
    if usable:
        return usable
    reasons = [_why_not(answer.conditions[number - 1]) for number in wanted]
    reasons += [f"job {job.label} {job.status}: {job.reason}" for job in answer.failed] if not wanted else []
    reasons += answer.problems if not wanted else ()
    raise BadInput("this sweep has no LR to verify: " + "; ".join(reasons or ["it has no finished job"]))


def _why_not(condition: ConditionAnswer) -> str:
    return f"{condition_title(condition)}: {condition.verdict.summary}"


def _refuse_what_is_not_ours(asked: VerifyConfig, conditions: Sequence[ConditionAnswer]) -> None:
    """Refuse configs that name more than options of this project: whoever has sent the sweep has written them.

    Raises:
        BadInput: what would be imported, called, read or fetched.
    """
    named = list(
        dict.fromkeys(one for condition in conditions for one in beyond_own_options(_recorded(condition)))
    )
    if named:
        more = f" and {len(named) - MOST_NAMED} more" if len(named) > MOST_NAMED else ""
        raise BadInput(
            f"sweep={asked.sweep} names code and files that are no options of this project, which would be imported "
            f"and read: {', '.join(map(escaped_line, named[:MOST_NAMED]))}{more}. Nothing of it was. If you know that "
            "these are yours, give trust_sweep=true"
        )


MOST_NAMED = 12  # targets and files that are named one by one


def _recorded(condition: ConditionAnswer) -> dict[str, Any]:
    """The config of the latest job of a condition, without what only identifies it."""
    record = condition.readings[-1].record
    assert record is not None
    return {key: value for key, value in record.config.items() if key != "own_code"}


def _condition_to_verify(
    asked: VerifyConfig, condition: ConditionAnswer, number: int, onecycle: OneCycle
) -> ConditionToVerify:
    """Say which trials a condition takes.

    Raises:
        BadInput: the recorded config, or a schedule of so many steps, can't be had.
    """
    head = condition.suggested
    assert head.low is not None
    assert head.lr is not None
    assert head.high is not None
    config = replace(check_config(OmegaConf.create(_recorded(condition))), store=asked.store)
    if asked.workers is not None:
        config = replace(config, device=replace(config.device, workers=asked.workers))
    suggested = Suggested(*(as_printed(lr) for lr in (head.low, head.lr, head.high)))
    lrs = lrs_to_try(suggested, beyond=asked.beyond, further=asked.lrs)
    momentum = all(reading.momentum for reading in condition.readings)
    maker = TrialMaker(config, onecycle, momentum, asked.val_samples)
    trials = {(lr, seed): maker.trial(asked.steps, lr, seed) for lr in lrs for seed in asked.seeds}
    return ConditionToVerify(number, condition_title(condition), config, suggested, lrs, trials)


def _announcement(
    asked: VerifyConfig,
    conditions: Sequence[ConditionToVerify],
    missing: Sequence[TrialToDo],
    *,
    by: str,
) -> str:
    """What is about to be done, in one line."""
    total = sum(len(condition.trials) for condition in conditions)
    parts = (
        [f"{count(len(conditions[0].lrs), 'LR')} x {count(len(asked.seeds), 'seed')}"]
        if len(conditions) == 1
        else []
    )
    parts += [count(len(conditions), "kind")] if len(conditions) > 1 else []
    parts += [f"{count(len(missing), 'training')} of {asked.steps:,} steps"]
    parts += [by] if missing else []
    note = f" ({total - len(missing)} from the store)" if total > len(missing) else ""
    return ", ".join(parts) + note


# ---- how it ends


def _conclude(
    folder: Path,
    asked: VerifyConfig,
    onecycle: OneCycle,
    conditions: Sequence[ConditionToVerify],
    trials: Mapping[str, Trial],
) -> int:
    """Judge, write the files into the sweep's folder, print, and give the exit code."""
    answers = [_judged(condition, asked, trials) for condition in conditions]
    judged_by = ", ".join(dict.fromkeys(str(trial.meta["judged_by"]) for trial in trials.values()))
    content = Verified(
        created=utc_now(),
        steps=asked.steps,
        seeds=list(asked.seeds),
        judged_by=judged_by,
        val_samples=asked.val_samples,
        onecycle=plain_values(asdict(replace(onecycle, total_steps=asked.steps))),
        kinds=[
            {"number": condition.number, "title": condition.title, **_as_dict(verification)}
            for condition, verification in zip(conditions, answers, strict=True)
        ],
    )
    verified = list(zip([condition.title for condition in conditions], answers, strict=True))
    parts = list(verification_parts(verified, steps=asked.steps, judged_by=judged_by))
    formats = [str(form) for form in asked.figures]
    figures = [
        figure_files(figure_file(condition.number, several=len(conditions) > 1), formats)
        for condition in conditions
    ]
    if not _is_written(folder, content, [name for names in figures for name in names]):
        for condition, verification, names in zip(conditions, answers, figures, strict=True):
            paths = [folder / name for name in names]
            _draw(paths, condition, verification, steps=asked.steps, judged_by=judged_by)
        write_atomic(folder / TEXT_FILE, plain(parts))
        content.write(folder)
        if (folder / REPORT_FILE).is_file():
            write_sweep_page(folder)
    show([*parts, *ending((), folder)])
    SESSION.result = verification_result(content, [one.lr_to_take for one in answers], folder)
    learned = all(verification.conclusion is not Conclusion.NOTHING_LEARNED for verification in answers)
    return EXIT_OK if learned else EXIT_NO_ANSWER


def figure_file(number: int, *, several: bool) -> str:
    """The figure of the condition with this number; numbered where several are verified, as in summary-1.png."""
    return f"verification-{number}.png" if several else "verification.png"


def _judged(condition: ConditionToVerify, asked: VerifyConfig, trials: Mapping[str, Trial]) -> Verification:
    own = [[trials[condition.trials[lr, seed].key] for lr in condition.lrs] for seed in asked.seeds]
    begun = [trial.initial_loss for row in own for trial in row]
    known = [loss for loss in begun if np.isfinite(loss)]
    if not known:
        raise BadInput(
            f"{condition.title}: the loss of the first batch is no number with any seed, before any step was taken: "
            "look at the data and the loss"
        )
    return verify(
        condition.lrs,
        [[trial.final_loss for trial in row] for row in own],
        initial_loss=float(np.mean(known)),
        suggested=condition.suggested,
        tolerance=asked.tolerance,
    )


def _as_dict(verification: Verification) -> dict[str, Any]:
    """A verification as plain values."""
    return {
        "conclusion": verification.conclusion.value,
        "summary": verification_summary(verification),
        "advice": list(verification_advice(verification)),
        "sure": verification.sure,
        "seeds_needed": verification.seeds_needed,
        "suggested": asdict(verification.suggested),
        "move_to": verification.move_to,
        "best_lr": verification.best.lr,
        "initial_loss": verification.initial_loss,
        "descent": verification.descent,
        "tolerance": verification.tolerance,
        "flat": list(verification.flat),
        "flat_is_open": list(verification.flat_is_open),
        "sensitivity": verification.sensitivity,
        "tried": [
            {**asdict(tried), "losses": list(tried.losses), "given_up": tried.num_given_up}
            for tried in verification.tried
        ],
    }


def _is_written(folder: Path, content: Verified, figures: Sequence[str]) -> bool:
    """Whether the folder holds just this verification, with all its files."""
    try:
        there = Verified.read(folder)
    except (OSError, DamagedFile, NewerSchema):
        return False
    equal = canonical_digest(there.model_dump(exclude={"created"})) == canonical_digest(
        content.model_dump(exclude={"created"})
    )
    return equal and all((folder / name).is_file() for name in (TEXT_FILE, *figures))


def _draw(
    paths: Sequence[Path],
    condition: ConditionToVerify,
    verification: Verification,
    *,
    steps: int,
    judged_by: str,
) -> None:
    from steadylr.present.figures import save_figure, verification_figure, verification_info

    title = f"{condition.title}: {count(steps, 'step')} of OneCycle"
    info = verification_info(verification, title=title, judged_by=judged_by)
    figure = verification_figure(info)
    for path in paths:
        save_figure(figure, path)


__all__ = ["TEXT_FILE", "ConditionToVerify", "figure_file", "verify_sweep"]
