"""A notebook: texts, pictures and a progress bar as HTML, with nothing to install."""

from __future__ import annotations

import base64
import html
import sys
from collections.abc import Callable
from typing import Any


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook. Imports nothing."""
    shell = sys.modules.get("IPython")
    get = getattr(shell, "get_ipython", None)
    return get is not None and type(get()).__name__ in ("ZMQInteractiveShell", "Shell")  # Shell: Google Colab


def text_html(text: str) -> str:
    """Plain text with its columns kept."""
    return f"<pre>{html.escape(text)}</pre>"


def picture_html(png: bytes) -> str:
    """A picture, no wider than the cell."""
    return f'<img src="data:image/png;base64,{base64.b64encode(png).decode()}" style="max-width: 100%">'


def notebook_bar(num_iter: int) -> Callable[[int, str], None]:
    """Show an empty bar below the cell; give show(done, text), which draws it anew.

    Args:
        num_iter: what is done at the end.
    """
    from IPython.display import HTML, display

    def picture(done: int, text: str) -> Any:
        bar = f'<progress value="{done}" max="{num_iter}" style="width: 12em; vertical-align: middle"></progress>'
        return HTML(
            f"<pre style='margin: 0; display: inline'>{done}/{num_iter} </pre>{bar}"
            f"<pre style='margin: 0; display: inline'> {html.escape(text)}</pre>"
        )

    handle = display(picture(0, ""), display_id=True)

    def show(done: int, text: str) -> None:
        handle.update(picture(done, text))

    return show
