"""Where the YAML files of the config are, and what they offer."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


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
