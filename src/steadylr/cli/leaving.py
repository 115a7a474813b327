"""How every command ends: with its exit code, and a word where what it said could not be written."""

from __future__ import annotations

import sys
from typing import NoReturn

from steadylr.config.choices import Output
from steadylr.exit_codes import EXIT_FAILED
from steadylr.jobs.session import SESSION
from steadylr.present.streams import Lenient, complain


def leave(code: int, out: Lenient) -> NoReturn:
    """Tell the result where it is for machines, and exit with a code.

    With a failure where standard output could not be written, which is said.

    A reader that has left, as behind `| head`, has read what it wanted.
    """
    if SESSION.output is not Output.text:
        out.take_back()
        if (told := SESSION.result and SESSION.result.text(SESSION.output)) is not None:
            print(told, file=out)
    out.flush()
    if out.error is not None and not isinstance(out.error, BrokenPipeError):
        complain(
            f"standard output can't be written ({out.error.strerror or out.error}); what the command leaves in files "
            "is there all the same"
        )
        code = code or EXIT_FAILED
    sys.exit(code)
