"""Settings for all tests."""

import signal

from hypothesis import settings

settings.register_profile("steady", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("steady")

# A shell's `make test &` and many CI runners start processes with SIGINT ignored, and programs inherit that: Ctrl-C
# would reach none of those that tests start. Every worker of xdist comes through here as well.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGTERM, signal.SIG_DFL)
