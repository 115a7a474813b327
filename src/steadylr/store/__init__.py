"""Files: records, curves and the store of runs. Imports numpy, filelock and core only."""
