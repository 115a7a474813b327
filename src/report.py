"""Make the page of a finished sweep or run again: `python src/report.py 'sweep=outputs/sweeps/<name>'`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from steadylr.cli.start import report

if __name__ == "__main__":
    report()
