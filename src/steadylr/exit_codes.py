"""The exit codes of all commands."""

EXIT_OK = 0
"""An answer, and no failed job."""

EXIT_FAILED = 1
"""Failed jobs, or bad input."""

EXIT_NO_ANSWER = 3
"""Everything ran, and there is no usable answer."""

EXIT_INTERRUPTED = 130
"""Interrupted."""
