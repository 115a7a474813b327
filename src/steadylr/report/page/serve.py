"""A page and its news over HTTP, on this machine: two addresses, and nothing else is served."""

from __future__ import annotations

import errno
import ipaddress
import socket
import sys
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from steadylr.config.errors import BadInput

if TYPE_CHECKING:
    from typing_extensions import Self

HEADERS = (
    ("Cache-Control", "no-store"),
    ("X-Content-Type-Options", "nosniff"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Content-Security-Policy", "frame-ancestors 'none'"),
)
IDLE_SECONDS = 10.0
"""After so long a connection that says nothing is closed."""


class PageServer:
    """Serves `/`, the page, and `/now`, what is new, while its context is open.

    Who asks by a name that isn't this server's is refused: a page from elsewhere can't read it by a name of its own
    that leads here. A browser that goes away costs nothing.

    Args:
        host: the address to listen on, 127.0.0.1 for this machine alone.
        port: from 0, any that is free, to 65535.
        page: gives the page.
        now: gives what is new, as JSON.
        key: what the command line calls the port.

    Raises:
        BadInput: the port is taken or can't be had, or the host is none of this machine.
    """

    def __init__(
        self, host: str, port: int, page: Callable[[], str], now: Callable[[], str], *, key: str = "port"
    ) -> None:
        answers = {"/": ("text/html", page), "/now": ("application/json", now)}

        class Handler(_Handler):
            served = answers
            own_host = host

        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        kind: type[_Server] = type("Server", (_Server,), {"address_family": family})
        try:
            self._server = kind((host, port), Handler)
        except (OSError, OverflowError) as error:
            raise BadInput(_why_not(error, host, port, key)) from None
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True)

    @property
    def address(self) -> str:
        """What to open in a browser."""
        host, port = self._server.server_address[:2]
        name = str(host) if host not in ("0.0.0.0", "::") else socket.gethostname()
        return f"http://{f'[{name}]' if ':' in name else name}:{port}/"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _why_not(error: Exception, host: str, port: int, key: str) -> str:
    if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        return f"{key}={port} is taken by another program: give another, such as {key}={port + 1}, or {key}=0 for any"
    reason = getattr(error, "strerror", None) or error
    return f"nothing can be served on {host}, {key}={port} ({reason}): give another {key}, above 1023, or another host"


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = sys.platform != "win32"  # there it would share a port that is taken

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a browser that has gone away; anything else is a bug."""
        if not isinstance(sys.exc_info()[1], ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    served: dict[str, tuple[str, Callable[[], str]]]
    own_host: str
    timeout = IDLE_SECONDS
    server_version, sys_version = "steadylr", ""

    def do_GET(self) -> None:
        """Answer for the two addresses."""
        if not self._is_asked_by_own_name():
            self.send_error(HTTPStatus.FORBIDDEN, "asked by another name")
            return
        if self.path not in self.served:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        kind, content = self.served[self.path]
        body = content().encode("utf-8")
        self.send_response(HTTPStatus.OK)
        for name, value in (("Content-Type", f"{kind}; charset=utf-8"), *HEADERS):
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _is_asked_by_own_name(self) -> bool:
        host = (self.headers.get("Host") or "").rpartition(":")[0].strip("[]").lower()
        if host in ("localhost", self.own_host.lower()):
            return True
        if self.own_host not in ("0.0.0.0", "::"):
            return False
        try:
            ipaddress.ip_address(host)
        except ValueError:
            return host == socket.gethostname().lower()
        return True

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the terminal is the sweep's."""
