"""Does the spread of a sweep's suggestions matter? `python src/verify_lr.py 'sweep=outputs/sweeps/<name>'`."""

import sys
from pathlib import Path

HERE = str(Path(__file__).resolve().parent)
if HERE not in sys.path:
    sys.path.insert(0, HERE)

from steadylr.cli.start import verify_lr  # noqa: E402  (the path comes first)

if __name__ == "__main__":
    verify_lr()
