"""A command line as Hydra's parser reads it, in any order; or one sentence on what is wrong with it."""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

from steadylr._version import __version__
from steadylr.config.errors import BadInput

MODES = {
    "multirun": "-m",
    "run": "--run",
    "cfg": "--cfg",
    "info": "--info",
    "shell_completion": "--shell-completion",
}
"""What a command can be asked to do, by the name of its option; at most one of them."""


@dataclass(frozen=True, slots=True)
class CommandLine:
    """What was given on a command line.

    Args:
        options: Hydra's own, as its parser has them.
        ordered: the whole line as Hydra's parser wants it: options first, each in one word, then the overrides.
    """

    options: Namespace
    ordered: tuple[str, ...]

    @classmethod
    def of(cls, argv: Sequence[str]) -> CommandLine:
        """Read a command line without the program's name; options and overrides may come in any order.

        `--version` prints this program's and exits.

        Raises:
            BadInput: options that there aren't, that lack their value, or that don't go together.
        """
        parser = _parser()
        options = parser.parse_intermixed_args(list(argv))
        _check(options)
        return cls(options, (*_words(parser, options), *options.overrides))

    @property
    def overrides(self) -> list[str]:
        """The overrides, in their order."""
        return list(self.options.overrides)

    @property
    def is_question(self) -> bool:
        """Whether it asks for help or a completion, so that nothing is composed or run."""
        options = self.options
        return bool(options.shell_completion or options.help or options.hydra_help)


def _parser() -> ArgumentParser:
    from hydra._internal.utils import get_args_parser

    parser = get_args_parser()
    parser.error = _refuse  # type: ignore[method-assign]
    for action in parser._actions:
        if "--version" in action.option_strings:
            action.version = f"steadylr {__version__}"  # type: ignore[attr-defined]
    return parser


def _refuse(message: str) -> NoReturn:
    raise BadInput(
        f"this command line can't be read: {message}. Values are set with key=value; --help lists the commonest, "
        "--hydra-help the options"
    )


def _words(parser: ArgumentParser, options: Namespace) -> list[str]:
    """The options that were given, each as one word."""
    words = []
    for action in parser._actions:
        value = getattr(options, action.dest, None)
        if not action.option_strings or value in (None, False):
            continue
        name = action.option_strings[0]
        words.append(name if value is True else f"{name}={value}")
    return words


def _check(options: Namespace) -> None:
    """Refuse options that don't go together, or that can't work here."""
    asked = [name for option, name in MODES.items() if getattr(options, option) not in (None, False)]
    if len(asked) > 1:
        raise BadInput(
            f"{' and '.join(asked)} can't be given together: leave out all but one; --cfg shows the config of one job, "
            "with one value for each key"
        )
    if options.resolve and not (options.cfg or options.help):
        raise BadInput("--resolve goes with --cfg: give --cfg job --resolve")
    if options.package is not None and not options.cfg:
        raise BadInput(f"--package goes with --cfg: give --cfg job --package {options.package}")
    if options.experimental_rerun is not None:
        raise BadInput(
            "--experimental-rerun is not supported, as it runs what a pickle says: give the overrides again, which "
            ".hydra/overrides.yaml in the folder of each run lists"
        )
    if options.config_dir is not None and not os.path.isdir(options.config_dir):
        raise BadInput(
            f"--config-dir {options.config_dir} is not a folder: give the folder that holds your groups"
        )
