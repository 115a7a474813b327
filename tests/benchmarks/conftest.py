"""What the tests of the benchmarks need is looked for and not imported: most workers do none of what takes it."""

from importlib.util import find_spec

collect_ignore_glob = [] if find_spec("sklearn") and find_spec("optuna") else ["test_*.py"]
