"""Files: records, curves and the store of runs. Uses numpy, filelock and pydantic; of the project core and words."""
