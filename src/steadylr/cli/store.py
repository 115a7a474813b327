"""The store by one command: `python src/store.py [list|size|clear]`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from steadylr.cli.leaving import leave
from steadylr.exit_codes import EXIT_FAILED, EXIT_OK
from steadylr.present.escaped import escaped_line
from steadylr.present.numbers import count
from steadylr.present.streams import complain, lenient_streams

if TYPE_CHECKING:
    from steadylr.store.curve_store import EntryInfo

DEFAULT_FOLDER = Path("outputs/store")


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit."""
    options = _parser().parse_args(arguments)

    from steadylr.store.curve_store import StoreError  # late, so that --help comes at once
    from steadylr.store.files import DamagedFile, NewerSchema

    with lenient_streams() as out:
        try:
            code = _do(options)
        except (StoreError, DamagedFile, NewerSchema) as error:
            complain(error)
            code = EXIT_FAILED
        leave(code, out)


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line and with the exit code of all commands, where argparse shows its usage."""

    def error(self, message: str) -> NoReturn:
        complain(f"{message}; --help lists what can be given")
        sys.exit(EXIT_FAILED)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
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
    from steadylr.store.curve_store import CurveStore

    if not os.path.isdir(options.dir):
        complain(f"--dir {options.dir}: no store there; it is made by the first training")
        return EXIT_FAILED
    store = CurveStore(options.dir, create=False)
    if options.action == "clear":
        removed = store.clear(older_than=options.older_than_days)
        print(f"{count(removed, 'training')} removed from {options.dir}")
        return EXIT_OK
    entries = store.entries()
    if options.action == "list":
        for entry in entries:
            print(escaped_line(_line(entry)))
    print(f"{count(len(entries), 'training')}, {store.size() / 1e6:.1f} MB in {options.dir}")
    return EXIT_OK


def _line(entry: EntryInfo) -> str:
    """One stored training in one line: when, how large, what, or what is wrong with it."""
    when = entry.modified.astimezone().strftime("%Y-%m-%d %H:%M")
    what = entry.problem or _what(entry)
    return f"{when}  {entry.bytes / 1e3:8.1f} kB  {entry.key[:12]}  {what}"


def _what(entry: EntryInfo) -> str:
    from steadylr.store.curve_store import STORED_AS

    stored = _mapping(entry.meta, STORED_AS)
    training, seeds = (_mapping(stored, part) for part in ("training", "seeds"))
    named = ", ".join(f"{stream}={seed}" for stream, seed in seeds.items())
    parts = [_mapping(training, part) for part in ("model", "data")]
    model, data = (part.get("name") or part.get("_target_", "?") for part in parts)
    return f"{model} on {data}, {_length(training)}, seeds {named}"


def _length(training: Mapping[str, Any]) -> str:
    """Along what it trained: the iterations of a ramp, or the peak and the steps of a trial."""
    plan = _mapping(training, "one_cycle")
    if not plan:
        return f"{_mapping(training, 'finder').get('num_iter', '?')} iterations"
    return f"OneCycle to {plan.get('max_lr', '?')} in {plan.get('total_steps', '?')} steps"


def _mapping(owner: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A mapping in another; empty where an entry has none, or something else, by this name."""
    inner = owner.get(name)
    return inner if isinstance(inner, Mapping) else {}
