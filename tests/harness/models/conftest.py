"""Fixtures that the tests of models share."""

from __future__ import annotations

import pytest

from tests.helpers.sentence_files import refuse_connections


@pytest.fixture
def offline_cache(monkeypatch, tmp_path_factory):
    """No network, and no writing to the user's cache."""
    monkeypatch.setenv("LLAVE_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    refuse_connections(monkeypatch)
