"""What a user writes for a server: `https://HOST/v1#MODEL`, and the variable that holds its key."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from harness.errors import UserError, visible

EXAMPLE = "For example: http://localhost:8000/v1#Qwen/Qwen3-VL-Embedding-2B"
_SCHEME = re.compile(r"https?://", re.IGNORECASE)
_VERSION = re.compile(r"/v\d\w*\Z")
_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]{0,63}")
"""Capitals only, as most keys are not. A key that is written in place of a name must not be taken for one."""


@dataclass(frozen=True, slots=True)
class Address:
    """A server and the name of one of its models."""

    base: str
    """The URL without the version and without a slash at its end, such as `https://api.openai.com`."""
    version: str
    """The version that the user wrote, such as `/v1`; empty without one."""
    model: str

    @property
    def host(self) -> str:
        """The name of the host, in lower case."""
        return urlsplit(self.base).hostname or ""

    def url(self, version: str, path: str) -> str:
        """Returns the URL of a path. A dialect that has a version takes the user's own, if one is written."""
        return self.base + ((self.version or version) if version else "") + path


def is_address(name: str) -> bool:
    """Whether the name of a model is the URL of a server."""
    return _SCHEME.match(name) is not None


def read_address(name: str) -> Address:
    """Reads `http://HOST:PORT/v1#MODEL`. Raises UserError for a URL without a model, or with a login or a query."""
    try:
        parts = urlsplit(name)
        host = parts.hostname and (parts.port or True)
    except ValueError:
        raise UserError("The URL of a server cannot be read: its host or its port is no such thing.", EXAMPLE) from None
    if parts.username is not None or parts.password is not None or parts.query:
        what = "The URL of a server must not hold a login or a query, which results would show."
        raise UserError(what, "Put the key into an environment variable, and name that: --model-option key=NAME")
    if not host or name != visible(name) or " " in parts.netloc + parts.path:
        raise UserError(f"{name!r} is not the URL of a server.", EXAMPLE)
    if not parts.fragment:
        raise UserError(f"{name} does not say which model of the server is meant.", f"Add #MODEL to it. {EXAMPLE}")
    path = parts.path.rstrip("/")
    version = _VERSION.search(path)
    base = f"{parts.scheme}://{parts.netloc.lower()}{path[: version.start()] if version else path}"
    return Address(base, version[0] if version else "", parts.fragment)


@dataclass(frozen=True, slots=True)
class Key:
    """The key of a server. It is in no text that is made of this object."""

    variable: str
    secret: str = field(repr=False)

    def hidden_in(self, text: str) -> str:
        """Returns a text of the server with the key taken out."""
        return text.replace(self.secret, f"${self.variable}") if self.secret else text


def read_key(variable: str | None, usual: str, *, needed: bool) -> Key:
    """The key in an environment variable.

    Args:
        variable: the name that the user gave, if any.
        usual: the name that is looked at otherwise; empty for none.
        needed: whether the server is known to ask for a key.

    Raises:
        UserError: for what is no name of a variable (which may be a key, so it is not shown), and for a variable that
            is not set.
    """
    if variable is not None and not _VARIABLE.fullmatch(variable):
        what = "The option key is not the name of an environment variable."
        raise UserError(what, "Put the key into a variable, and write its name: --model-option key=MY_KEY")
    name = variable or usual
    secret = os.environ.get(name, "").strip() if name else ""
    if not secret and (variable or needed):
        raise UserError(
            f"The environment variable {name or 'with the key'} is not set.",
            f"export {name or 'MY_KEY'}=..., or name another one: --model-option key=NAME",
        )
    if secret and not (secret.isascii() and secret.isprintable()):
        raise UserError(f"The environment variable {name} holds what no key has.", "Set it to the key alone.")
    return Key(name, secret)
