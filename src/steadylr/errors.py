"""What the errors of our own making have in common: the message says all, wherever they were raised.

Any other error, whoever's frame raised it, is somebody's bug until shown otherwise, and keeps its traceback.
"""

from __future__ import annotations


class SteadylrError(Exception):
    """An error of ours. The message names what can't be used, what came, what is allowed and what to do."""


class InvalidValue(SteadylrError, ValueError):
    """An argument, an option or what it leads to can't be used."""
