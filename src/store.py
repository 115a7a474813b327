"""Size, list and clearing of the store: `python src/store.py [size|list|clear]`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from steadylr.cli.start import store

if __name__ == "__main__":
    store()
