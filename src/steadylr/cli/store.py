"""The store by one command: `python src/store.py [list|size|clear]`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from steadylr.exit_codes import EXIT_FAILED, EXIT_OK
from steadylr.present.numbers import count
from steadylr.store.curve_store import STORED_AS, CurveStore, EntryInfo, StoreError
from steadylr.store.files import DamagedFile, NewerSchema

DEFAULT_FOLDER = Path("outputs/store")


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit."""
    options = _parser().parse_args(arguments)
    try:
        sys.exit(_do(options))
    except (StoreError, DamagedFile, NewerSchema) as error:
        print(error, file=sys.stderr)
        sys.exit(EXIT_FAILED)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Look at the store of finished trainings, or clear it: the next sweep then trains afresh."
    )
    parser.add_argument(
        "action", nargs="?", choices=("size", "list", "clear"), default="size", help="default: size"
    )
    parser.add_argument(
        "--dir", type=_folder, default=DEFAULT_FOLDER, help="store.dir (default: %(default)s)"
    )
    parser.add_argument(
        "--older-than-days",
        type=_age,
        metavar="DAYS",
        help="clear: only what was stored longer ago than this",
    )
    return parser


def _folder(text: str) -> Path:
    return Path(text).expanduser()


def _age(text: str) -> timedelta:
    try:
        days = timedelta(days=float(text))
    except (ValueError, OverflowError):
        days = timedelta(days=-1)
    if days < timedelta(0):
        raise argparse.ArgumentTypeError(f"must be a number of days, at least 0; got {text}")
    return days


def _do(options: argparse.Namespace) -> int:
    if not options.dir.is_dir():
        print(f"--dir {options.dir}: no store there; it is made by the first training", file=sys.stderr)
        return EXIT_FAILED
    store = CurveStore(options.dir, create=False)
    if options.action == "clear":
        removed = store.clear(older_than=options.older_than_days)
        print(f"{count(removed, 'training')} removed from {options.dir}")
        return EXIT_OK
    entries = store.entries()
    if options.action == "list":
        for entry in entries:
            print(_line(entry))
    print(f"{count(len(entries), 'training')}, {store.size() / 1e6:.1f} MB in {options.dir}")
    return EXIT_OK


def _line(entry: EntryInfo) -> str:
    """One stored training in one line: when, how large, what, or what is wrong with it."""
    when = entry.modified.astimezone().strftime("%Y-%m-%d %H:%M")
    what = entry.problem or _what(entry)
    return f"{when}  {entry.bytes / 1e3:8.1f} kB  {entry.key[:12]}  {what}"


def _what(entry: EntryInfo) -> str:
    stored = entry.meta.get(STORED_AS, {})
    training, seeds, used = (stored.get(part, {}) for part in ("training", "seeds", "used"))
    named = ", ".join(f"{stream}={seeds[stream]}" for stream in used)
    model, data = (training.get(part, {}).get("name", "?") for part in ("model", "data"))
    return f"{model} on {data}, {_length(training)}, seeds {named}"


def _length(training: Mapping[str, Any]) -> str:
    """Along what it trained: the iterations of a ramp, or the peak and the steps of a trial."""
    plan = training.get("one_cycle")
    if plan is None:
        return f"{training.get('finder', {}).get('num_iter', '?')} iterations"
    return f"OneCycle to {plan.get('max_lr', '?')} in {plan.get('total_steps', '?')} steps"
