"""Serves a live page over HTTP, read-only. Every request is checked before anything is looked up.

- Only GET and HEAD are answered.
- The host that a request names must be an address of numbers, `localhost` or the host that was chosen. Else a page of
  another site could read the results under a name that leads here (DNS rebinding).
- A path must have exactly one of the known forms. It is never decoded, and never a path of a file.
"""

from __future__ import annotations

import ipaddress
import json
import re
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import NamedTuple

from harness.errors import UserError
from leaderboards.page.live import LivePage

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-cache",
}
_NO_MORE = "default-src 'none'; base-uri 'none'; form-action 'none'"
_QUERIES = re.compile(r"/queries/([0-9a-f]{16})/([0-9]{1,6})")
_PICTURE = re.compile(r"/media/([0-9a-f]{32})/([0-9]{1,2})/(small|large)")
_PATIENCE = 30
"""Seconds that a connection may stand still."""
_REFUSED = ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT")


class Response(NamedTuple):
    """What is sent back."""

    status: HTTPStatus
    kind: str
    body: bytes
    headers: Mapping[str, str] = {}


def answer(live: LivePage, path: str) -> Response:
    """The answer to a request for a path as it stands in the request."""
    if path == "/":
        digest, document = live.page()
        headers = {"Content-Security-Policy": f"{document.policy}; frame-ancestors 'none'", "ETag": f'"{digest}"'}
        return Response(HTTPStatus.OK, "text/html; charset=utf-8", document.text.encode(), headers)
    if path == "/favicon.ico":  # browsers ask for it, and complain of an error
        return Response(HTTPStatus.NO_CONTENT, "", b"")
    if path == "/digest":
        return Response(HTTPStatus.OK, "application/json", json.dumps({"digest": live.digest()}).encode())
    if (found := _QUERIES.fullmatch(path)) and (queries := live.queries(found[1], int(found[2]))) is not None:
        return Response(HTTPStatus.OK, "application/json", queries)
    if (found := _PICTURE.fullmatch(path)) and (
        picture := live.picture(found[1], int(found[2]), large=found[3] == "large")
    ) is not None:
        return Response(HTTPStatus.OK, "image/webp", picture, {"Cache-Control": "private, max-age=600"})
    return _said(HTTPStatus.NOT_FOUND)


def _said(status: HTTPStatus, headers: Mapping[str, str] = {}) -> Response:
    return Response(status, "text/plain; charset=utf-8", f"{status.value} {status.phrase}\n".encode(), headers)


def is_allowed(host: str, chosen: str) -> bool:
    """Whether a request may name this host: an address of numbers, `localhost` or the chosen one, with any port."""
    name = re.sub(r":[0-9]{1,5}$", "", host).lower()
    with suppress(ValueError):
        ipaddress.ip_address(name[1:-1] if name.startswith("[") and name.endswith("]") else name)
        return True
    return name in ("localhost", chosen.lower())


class PageServer(ThreadingHTTPServer):
    """Serves a live page until it is closed.

    Args:
        live: the page.
        host: the address or name to listen at.
        port: the port. 0: any that is free.
        log: hears of each request, in a line.

    Raises: UserError if the port is taken or not allowed, and if the host is no address of this machine.
    """

    daemon_threads = True

    def __init__(self, live: LivePage, host: str, port: int, log: Callable[[str], None]) -> None:
        self.live, self.host, self.log = live, host, log
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            super().__init__((host, port), _Handler)
        except (OSError, UnicodeError) as error:
            why = getattr(error, "strerror", None) or str(error)
            hint = "Choose another one, or 0 for any that is free: --port 0." if port else "Choose another --host."
            raise UserError(f"No page can be served at {host}, port {port}: {why}.", hint) from None

    def server_bind(self) -> None:
        """Binds the socket. Unlike the library, it asks no name server for the name of the host."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = self.host, int(self.server_address[1])

    @property
    def address(self) -> str:
        """The address of the page, for a browser."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.server_port}/"

    def handle_error(self, request: object, client_address: object) -> None:
        """Says nothing of a browser that went away. Anything else keeps its traceback."""
        import sys

        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class _Handler(BaseHTTPRequestHandler):
    server: PageServer
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "llave-bench", ""
    timeout = _PATIENCE

    def do_GET(self) -> None:
        self._send(self._checked())

    def do_HEAD(self) -> None:
        self._send(self._checked())

    def _checked(self) -> Response:
        hosts = self.headers.get_all("Host") or []
        if len(hosts) != 1 or not is_allowed(hosts[0], self.server.host):
            return _said(HTTPStatus.MISDIRECTED_REQUEST)
        found = answer(self.server.live, self.path)
        tag = found.headers.get("ETag")
        if tag and self.headers.get("If-None-Match") == tag:
            return Response(HTTPStatus.NOT_MODIFIED, found.kind, b"", found.headers)
        return found

    def refuse(self) -> None:
        """Answers another method."""
        self.close_connection = True  # a body may follow, which is not read
        self._send(_said(HTTPStatus.METHOD_NOT_ALLOWED, {"Allow": "GET, HEAD", "Connection": "close"}))

    def _send(self, found: Response) -> None:
        self.send_response(found.status)
        headers = {"Content-Security-Policy": _NO_MORE, **_HEADERS, **found.headers}
        if found.status not in (HTTPStatus.NOT_MODIFIED, HTTPStatus.NO_CONTENT):
            headers |= {"Content-Type": found.kind, "Content-Length": str(len(found.body))}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(found.body)

    def log_message(self, format: str, *arguments: object) -> None:
        self.server.log(f"{self.client_address[0]}: {format % arguments}")


for _method in _REFUSED:
    setattr(_Handler, f"do_{_method}", _Handler.refuse)
