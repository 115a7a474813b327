"""Look at a sweep that runs elsewhere: `python src/watch.py 'sweep=outputs/sweeps/<name>'`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from steadylr.cli.start import watch

if __name__ == "__main__":
    watch()
