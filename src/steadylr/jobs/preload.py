"""What most trainings import, imported once: worker processes are forked from one that has imported this."""

from __future__ import annotations

from contextlib import suppress

with suppress(Exception):  # a training that needs what can't be imported says so
    import torch._dynamo  # noqa: F401  (torch imports it when the first optimizer is built)

    import steadylr.run.range_test
    import steadylr.training.train  # noqa: F401
