"""Requests to one server: repeated after passing trouble, never sent to another host, the key in no message."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import NoReturn

import httpx2

from harness.errors import UserError, shortened, visible
from harness.files.reading import named_reason
from harness.files.strict_json import parse_json
from harness.models.endpoints.address import Key
from harness.models.endpoints.pace import Clock, Pace, asked_pause, pause

TRIES = 8
"""Number of times that a request is sent at most."""
MOST_WAIT = 300.0
"""Longest time in seconds that a server may ask to wait. After a longer one the run ends, and can be continued."""
CLOCK = Clock()
_MOST_BYTES = 1 << 30
_PASSING = frozenset({408, 409, 425, 429})
_NEVER = frozenset({501, 505})
_TOO_MUCH = frozenset({400, 413, 422})
_MOVED = frozenset({301, 302, 307, 308})
_MOST_MOVES = 3
_SPENT = "insufficient_quota"
_KEPT = "What was embedded before is kept: the same command continues there."


class Refused(UserError):
    """A request that the server does not take as it is. An item of it may be wrong or too long."""


class _Trouble(Exception):
    """Trouble that may pass, and the seconds that the server asks to wait."""

    def __init__(self, why: str, seconds: float | None = None) -> None:
        super().__init__(why)
        self.seconds = seconds


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer of the server."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Client:
    """A client of one URL. Its methods may be called by several threads.

    Args:
        url: where all requests go.
        key: the key that is sent.
        header: the header that it is sent in.
        timeout: seconds that one request may take.
        most: largest number of requests that are under way at once.
    """

    def __init__(self, url: str, key: Key, header: str, timeout: float, most: int) -> None:
        self.url = url
        self.pace = Pace(most, CLOCK)
        self._key = key
        self._timeout = timeout
        self._reached = False
        said = {header: f"Bearer {key.secret}" if header == "authorization" else key.secret} if key.secret else {}
        limits = httpx2.Limits(max_connections=most, max_keepalive_connections=most)
        self._client = httpx2.Client(
            headers={**said, "content-type": "application/json"},
            timeout=httpx2.Timeout(timeout, connect=min(10.0, timeout)),
            limits=limits,
            follow_redirects=False,
        )

    def post(self, body: Mapping[str, object]) -> object:
        """Sends a request until it is answered. Returns the JSON of the answer.

        Raises:
            Refused: if the server does not take the items.
            UserError: for every other refusal, and for trouble that does not pass.
        """
        content = json.dumps(body, separators=(",", ":")).encode()
        for tries in range(1, TRIES + 1):
            began = self.pace.begin()
            try:
                found = self._read(self._send(content))
            except _Trouble as trouble:
                self._wait(trouble, tries, began)
            else:
                self.pace.went_well()
                return found
        raise AssertionError("the last trouble is an error")

    def _wait(self, trouble: _Trouble, tries: int, began: float) -> None:
        """Lets all requests wait after trouble. Raises UserError if that is of no use."""
        if tries == TRIES:
            raise UserError(f"{self.url} gives no answer after {tries} tries: {trouble}.", f"Try later. {_KEPT}")
        if trouble.seconds is not None and trouble.seconds > MOST_WAIT:
            what = f"{self.url} asks to wait {trouble.seconds:,.0f} seconds: {trouble}."
            raise UserError(what, f"Run the same command after that. {_KEPT}")
        self.pace.was_troubled(began, pause(tries) if trouble.seconds is None else trouble.seconds)

    def _send(self, content: bytes) -> Reply:
        """Sends a request once. Redirects within the server are followed."""
        url = httpx2.URL(self.url)
        for _ in range(_MOST_MOVES + 1):
            try:
                reply = self._exchange(url, content)
            except httpx2.ConnectError as error:
                if not self._reached:
                    what = f"{self.url} cannot be reached: {self._said(named_reason(error))}."
                    raise UserError(what, "Check the address, and that the server runs.") from None
                raise _Trouble(self._said(named_reason(error))) from None
            except httpx2.TransportError as error:
                raise _Trouble(self._said(named_reason(error))) from None
            except httpx2.HTTPError as error:
                raise _Trouble(f"its answer cannot be decoded ({type(error).__name__})") from None
            if reply.status not in _MOVED:
                return reply
            url = self._moved(url, reply.headers.get("location", ""))
        raise UserError(f"{self.url} redirects without end.", "Name the address that answers.")

    def _exchange(self, url: httpx2.URL, content: bytes) -> Reply:
        """One request and its whole answer, within the time limit."""
        began, body = CLOCK.now(), bytearray()
        with self._client.stream("POST", url, content=content) as response:
            self._reached = True
            for chunk in response.iter_bytes():
                body += chunk
                if CLOCK.now() - began > self._timeout:
                    raise _Trouble(f"its answer takes longer than {self._timeout:g} seconds")
                if len(body) > _MOST_BYTES:
                    raise UserError(f"{self.url} answers with more than 1 GiB.", "Look at what that server is.")
            return Reply(response.status_code, dict(response.headers), bytes(body))

    def _moved(self, url: httpx2.URL, location: str) -> httpx2.URL:
        try:
            there = url.join(location)
        except (httpx2.InvalidURL, ValueError):
            there = httpx2.URL()
        if (there.scheme, there.host, there.port) != (url.scheme, url.host, url.port):
            where = shortened(visible(f"{there.scheme}://{there.host}"))
            what = f"{self.url} redirects to {where}, which is another server than the one that was named."
            raise UserError(what, "Nothing was sent there. If it is meant, name that address.")
        return there

    def _read(self, reply: Reply) -> object:
        """The JSON of a good answer. Raises what a bad one means."""
        text = reply.body.decode("utf-8", "replace")
        if reply.status != HTTPStatus.OK:
            self._explain(reply, text)
        try:
            return parse_json(text, lenient=True)
        except ValueError as error:
            raise _Trouble(f"its answer is not JSON ({error})") from None

    def _explain(self, reply: Reply, text: str) -> NoReturn:
        status, said = reply.status, self._said(_message(text))
        what = f"{self.url} answers {status}: {said}."
        passing = status in _PASSING or (status >= HTTPStatus.INTERNAL_SERVER_ERROR and status not in _NEVER)
        if passing and _SPENT not in text and reply.headers.get("x-should-retry") != "false":
            raise _Trouble(f"it answers {status}: {said}", asked_pause(reply.headers, text, CLOCK))
        if status in _TOO_MUCH:
            raise Refused(what)
        raise UserError(what, _ADVICE.get(status, _KEPT))

    def _said(self, text: str) -> str:
        """A text from outside as part of a sentence, without the key."""
        return shortened(visible(" ".join(self._key.hidden_in(text).split())), 300).rstrip(".")


_KEY = "Check the key in its environment variable; --model-option key=NAME names another one."
_ADVICE = {401: _KEY, 403: _KEY, 404: "Check the address, the name of the model and --model-option dialect=NAME."}


def _message(text: str) -> str:
    """What an answer says is wrong: its `message`, `error` or `detail` at any depth, else all of it."""
    try:
        found = parse_json(text, lenient=True)
    except ValueError:
        return text or "nothing"
    for name in ("error", "message", "detail"):
        while isinstance(found, dict) and name in found:
            found = found[name]
    return found if isinstance(found, str) else text
