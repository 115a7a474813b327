"""A page as one file of HTML: its data, styles and scripts inside, and nothing that it would fetch."""

from __future__ import annotations

import base64
import hashlib
import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Template

ASSETS = Path(__file__).parent / "assets"

STYLES = ("uplot.min.css", "page.css")
SCRIPTS = ("uplot.iife.min.js", "page.js")


def page_html(data: dict[str, Any], *, live: str = "") -> str:
    """The page.

    Args:
        data: see page_data.
        live: which version it is, where a server shows it, which it then asks for what is new.
    """
    styles, scripts = (tuple(map(_asset, names)) for names in (STYLES, SCRIPTS))
    policy = "; ".join(
        [
            "default-src 'none'",
            f"script-src {' '.join(map(_hash, scripts))}",
            f"style-src {' '.join(map(_hash, styles))}",
            "img-src data:",
            *(["connect-src 'self'"] if live else []),
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )
    return _template().render(page=data, styles=styles, scripts=scripts, policy=policy, live=live)


def inline_json(value: Any) -> str:
    """Plain values as JSON that may stand within a script element: nothing in it ends the element or begins markup."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _hash(content: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


@cache
def _asset(name: str) -> str:
    return (ASSETS / name).read_text(encoding="utf-8")


@cache
def _template() -> Template:
    from jinja2 import Environment, StrictUndefined  # a finished sweep that is read again draws no page
    from markupsafe import Markup

    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["inline_json"] = lambda value: Markup(inline_json(value))
    environment.filters["as_is"] = Markup  # for the files of assets/ alone
    return environment.from_string(_asset("page.html.j2"))
