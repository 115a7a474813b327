"""Run LR range tests: `python src/find_lr.py [-m] overrides...`; `--help` lists what can be set."""

import os
import sys
from pathlib import Path

# Workers that other launchers start (submitit) don't have this folder on their path.
HERE = str(Path(__file__).resolve().parent)
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [HERE, os.environ.get("PYTHONPATH")]))
if HERE not in sys.path:
    sys.path.insert(0, HERE)

from steadylr.cli.start import find_lr  # noqa: E402  (the path comes first)

if __name__ == "__main__":
    find_lr()
