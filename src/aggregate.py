"""Read finished runs again, without training: `python src/aggregate.py 'sweep=outputs/sweeps/<name>'`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from steadylr.cli.start import aggregate

if __name__ == "__main__":
    aggregate()
