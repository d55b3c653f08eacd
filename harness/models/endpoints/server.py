"""Opens the model of a server: its address, dialect and key, and what it says of a few fixed items."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from harness.errors import UserError
from harness.models.common import float_type, handle
from harness.models.endpoints.address import Address, Key, read_address, read_key
from harness.models.endpoints.dialects import DIALECTS, Dialect
from harness.models.endpoints.options import EndpointOptions, dialect_of, identity, read_options
from harness.types import ModelHandle, ModelRow, ModelSettings, ModelSpec

UNKNOWN = "unknown"
"""The dtype of a server that nobody declares."""


def open_endpoint(name: str, settings: ModelSettings, note: Callable[[str], None] = lambda _: None) -> ModelHandle:
    """Asks the server for the vectors of a few fixed items, which are part of the model's identity.

    Args:
        name: `http://HOST:PORT/v1#MODEL`.
        settings: `memory` keeps the probes of earlier runs.
        note: hears how the server is asked, and that it has changed.

    Raises:
        UserError: for an address, an option or a key that cannot be used, and for a server that does not answer.
    """
    from harness.models.endpoints.embedder import EndpointEmbedder
    from harness.models.endpoints.http import Client
    from harness.models.endpoints.probe import digest_of, probe

    address = read_address(name)
    dialect = dialect_of(address, settings)
    key = _key(address, dialect, settings)
    options = read_options(dialect, settings)
    spec = _spec(address, dialect, options, settings)
    url = address.url(dialect.version, dialect.path.replace("{model}", address.model))
    if "dialect" not in settings.options and address.host != dialect.host:
        note(f"{name} is asked as {dialect.name} serves: {url}. Name another dialect with --model-option dialect=NAME.")
    client = Client(url, key, dialect.header, options.timeout, options.concurrency)
    asked = EndpointEmbedder(spec, address.model, dialect, options, client)
    vectors = probe(asked)
    digest = digest_of(vectors, asked, settings.memory, note)
    declared = f"{options.revision}+" if options.revision else ""
    spec = replace(spec, revision=f"{declared}probe-{digest}", options={**spec.options, "width": vectors.shape[1]})
    opened = handle(spec, lambda: EndpointEmbedder(spec, address.model, dialect, options, client))
    return replace(opened, remote=True)


def _key(address: Address, dialect: Dialect, settings: ModelSettings) -> Key:
    """The key. A vendor's usual key goes to the vendor's own host alone; other hosts get one that is named."""
    is_vendor = bool(dialect.host) and address.host == dialect.host
    usual = dialect.key if is_vendor or not dialect.host else ""
    return read_key(settings.options.get("key"), usual, needed=is_vendor)


def _spec(address: Address, dialect: Dialect, options: EndpointOptions, settings: ModelSettings) -> ModelSpec:
    name = f"{dialect.name}/{address.model}"
    if settings.device not in ("auto", "cpu"):
        raise UserError(f"{name} runs where its server runs, not on {settings.device}.", "Leave --device out.")
    return ModelSpec(
        name,
        revision=options.revision or "undeclared",
        adapter="endpoints/1",
        dtype=UNKNOWN if settings.dtype == "auto" else float_type(settings),
        options=identity(dialect, options),
        modalities=options.modalities,
        about={"endpoint": address.base + address.version},
    )


ROW = ModelRow(
    "https://HOST/v1#MODEL",
    f"a model behind a server, --model-option dialect=NAME: {', '.join(DIALECTS)}",
    ("text", "image", "video"),
    open_endpoint,
    "tests: loopback servers of every dialect",
)
