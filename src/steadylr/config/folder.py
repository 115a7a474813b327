"""Where the YAML files of the config are, and what they offer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from string import Template

from steadylr.config.command_line import CommandLine
from steadylr.words.program import MAIN


def config_folder() -> str:
    """The absolute path of the folder that holds find_lr.yaml.

    An installed package brings it along as steadylr/conf; in a clone it is the repository's conf.

    Raises:
        FileNotFoundError: neither is there.
    """
    package = Path(__file__).resolve().parents[1]
    folders = (package / "conf", package.parents[1] / "conf")
    for folder in folders:
        if (folder / "find_lr.yaml").is_file():
            return str(folder)
    raise FileNotFoundError(
        f"find_lr.yaml is in none of {', '.join(map(str, folders))}: install steadylr again, "
        "or run it from a whole clone of the repository"
    )


def group_options(group: str, folders: Iterable[str | Path]) -> set[str]:
    """The options of a group: the YAML files in its folder, by name; empty for a group that isn't there."""
    return {file.stem for folder in folders for file in Path(folder, group).glob("*.yaml") if file.is_file()}


def groups(folders: Iterable[str | Path]) -> list[str]:
    """The groups in some config folders, sorted, without Hydra's own."""
    found = {entry.name for folder in folders for entry in Path(folder).iterdir() if entry.is_dir()}
    return sorted(name for name in found - {"hydra"} if group_options(name, folders))


HELP = {
    MAIN: "steadylr",
    "aggregate": "steadylr_aggregate",
    "report": "steadylr_report",
    "verify_lr": "steadylr_verify",
    "watch": "steadylr_watch",
}
"""The file in hydra/help/ of each program."""


def help_text(folders: Sequence[str | Path], *, program: str = MAIN, called: str = "") -> str:
    """What --help of a program prints, read from hydra/help/.

    It is the text that Hydra would print; but Hydra composes a config first and copies it for every group,
    which takes several times as long as all the rest.

    Args:
        folders: the config folder, then those that the user adds.
        program: whose, by its module.
        called: what stands for `python src/<program>.py` in it; empty leaves that.
    """
    import yaml

    file = Path(folders[0], "hydra", "help", f"{HELP[program]}.yaml")
    template = yaml.safe_load(file.read_text(encoding="utf-8"))["template"]
    lines = [f"{group}: {', '.join(sorted(group_options(group, folders)))}" for group in groups(folders)]
    text = Template(template).substitute(APP_CONFIG_GROUPS="".join(f"{line}\n" for line in lines))
    return text.replace(f"python src/{program}.py", called) if called else text


def help_for(argv: Sequence[str], *, program: str = MAIN, called: str = "") -> str | None:
    """The text for a command line that asks for --help.

    None when it doesn't, or when Hydra has to make the text: for another config, or a change of hydra.help.

    Args:
        argv: the command line without the program's name, Hydra's own options included.
        program: see help_text.
        called: see help_text.

    Raises:
        BadInput: see CommandLine.of.
    """
    line = CommandLine.of(argv)
    options = line.options
    by_hydra = options.config_path or options.config_name or any("hydra" in text for text in line.overrides)
    if not options.help or by_hydra:
        return None
    added = [options.config_dir] if options.config_dir else []
    return help_text([config_folder(), *added], program=program, called=called)
