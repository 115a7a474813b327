"""What --help of each program prints: its file in hydra/help/, with the words of the schema beside each key."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from string import Template

from omegaconf import OmegaConf

from steadylr.config.command_line import CommandLine
from steadylr.config.folder import config_folder, group_options, groups
from steadylr.config.keys import described
from steadylr.words.program import MAIN

HELP = {
    MAIN: "steadylr",
    "aggregate": "steadylr_aggregate",
    "report": "steadylr_report",
    "verify_lr": "steadylr_verify",
    "watch": "steadylr_watch",
}
"""The file in hydra/help/ of each program."""

TOLD = "steadylr.told"
_EXAMPLE = re.compile(rf"\$\{{{re.escape(TOLD)}:\"(.*)\"\}}")
"""An override in such a file, which what its key is for is to stand beside."""

WORDS_AT = 32
WIDTH = 112
INDENT = 2  # of the lines that such overrides stand in


def register_help(schema: type) -> None:
    """Have Hydra find the words of a schema, for where it prints the help itself."""
    OmegaConf.register_new_resolver(TOLD, partial(told, schema=schema), replace=True)


def told(example: str, *, schema: type) -> str:
    """An override with what its key is for, in lines as long as help has them.

    Raises:
        KeyError: the schema has no such key.
    """
    words = described(schema)[example.strip("'").partition("=")[0]].words.rstrip(".")
    if words[1:2].islower():  # no abbreviation
        words = words[0].lower() + words[1:]
    first, *more = textwrap.wrap(words, WIDTH - WORDS_AT - INDENT)
    return "\n".join([f"{example:<{WORDS_AT}}{first}", *(" " * (INDENT + WORDS_AT) + line for line in more)])


def help_text(folders: Sequence[str | Path], *, schema: type, program: str = MAIN, called: str = "") -> str:
    """What --help of a program prints, read from hydra/help/.

    It is the text that Hydra would print; but Hydra composes a config first and copies it for every group,
    which takes several times as long as all the rest.

    Args:
        folders: the config folder, then those that the user adds.
        schema: the dataclass of all that the program can be told.
        program: whose, by its module.
        called: what stands for `python src/<program>.py` in it; empty leaves that.
    """
    import yaml

    file = Path(folders[0], "hydra", "help", f"{HELP[program]}.yaml")
    template = yaml.safe_load(file.read_text(encoding="utf-8"))["template"]
    template = _EXAMPLE.sub(lambda example: told(example[1], schema=schema), template)
    lines = [f"{group}: {', '.join(sorted(group_options(group, folders)))}" for group in groups(folders)]
    text = Template(template).substitute(APP_CONFIG_GROUPS="".join(f"{line}\n" for line in lines))
    return text.replace(f"python src/{program}.py", called) if called else text


def help_for(argv: Sequence[str], *, schema: type, program: str = MAIN, called: str = "") -> str | None:
    """The text for a command line that asks for --help.

    None when it doesn't, or when Hydra has to make the text: for another config, or a change of hydra.help.

    Args:
        argv: the command line without the program's name, Hydra's own options included.
        schema, program, called: see help_text.

    Raises:
        BadInput: see CommandLine.of.
    """
    line = CommandLine.of(argv)
    options = line.options
    by_hydra = options.config_path or options.config_name or any("hydra" in text for text in line.overrides)
    if not options.help or by_hydra:
        return None
    added = [options.config_dir] if options.config_dir else []
    return help_text([config_folder(), *added], schema=schema, program=program, called=called)
