"""One server for all tests of a module, a clock that does not wait, and models by dialect."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from harness.models import open_model
from harness.models.endpoints import http
from harness.models.endpoints.pace import Clock
from harness.types import ModelHandle, ModelSettings
from tests.helpers.endpoint_server import EndpointServer


@pytest.fixture(scope="module")
def _running() -> Iterator[EndpointServer]:
    with EndpointServer() as running:
        yield running


@pytest.fixture
def server(_running: EndpointServer) -> EndpointServer:
    _running.forget()
    return _running


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that requests were to wait, which pass at once."""
    waited: list[float] = []
    monkeypatch.setattr(http, "CLOCK", Clock(lambda: time.monotonic() + sum(waited), waited.append, lambda: 1e9))
    return waited


@pytest.fixture
def opened(server: EndpointServer, waits: list[float]) -> Callable[..., ModelHandle]:
    """Opens the server's model with options. What was asked until then is forgotten."""

    def call(dialect: str = "vllm", **options: str) -> ModelHandle:
        handle = open_model(server.name(), ModelSettings(options={"dialect": dialect, **options}))
        server.bodies.clear()
        server.paths.clear()
        server.answered = Counter()
        return handle

    return call
