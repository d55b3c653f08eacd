"""The models that have a row for their names and facts: each goes the way of its library, by either of its names."""

from __future__ import annotations

import pytest

from harness.models import ROWS, open_model
from harness.models.libraries import known
from harness.models.recognition import row_of_hub
from harness.types import ModelSettings

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def asked(monkeypatch):
    """What the libraries' rows were asked to open."""
    names = []
    for prefix in known._OPENERS:
        monkeypatch.setitem(known._OPENERS, prefix, lambda name, settings: names.append((name, settings)))
    return names


@pytest.mark.parametrize("model", known.KNOWN, ids=lambda model: model.name)
def test_a_known_model_is_opened_by_its_library_under_both_of_its_names(asked, model):
    settings = ModelSettings(device="cpu", trust_remote_code=True)
    for name in (model.name, model.hub, f"{model.name}@{COMMIT}", f"{model.hub}@{COMMIT}"):
        open_model(name, settings)
    whole = f"{model.through}{model.hub}"
    assert asked == [(whole, settings)] * 2 + [(f"{whole}@{COMMIT}", settings)] * 2
    assert row_of_hub(model.hub, ROWS).name == model.name


def test_the_facts_are_those_of_mtebs_list():
    mteb = pytest.importorskip("mteb")
    own = "vidore/colpali-v1.3-hf", "vidore/colqwen2-v1.0-hf"
    for model in known.KNOWN:
        meta = mteb.get_model_meta(model.hub.removesuffix("-hf") if model.hub in own else model.hub)
        widths = meta.embed_dim if isinstance(meta.embed_dim, list) else [meta.embed_dim]
        assert f"width {max(widths)}" in model.facts
        assert set(model.modalities) == set(meta.modalities) - {"audio"}
        if model.hub in own:
            assert "late-interaction" in meta.model_type
            continue
        exact, rounded = f"{meta.n_parameters:,} parameters", f"{meta.n_parameters / 1e9:g} B parameters"
        assert exact in model.facts or rounded in model.facts
        assert ("brings its own code" in model.facts) == bool(meta.loader_kwargs.get("trust_remote_code"))
        words = model.facts.lower().replace(" ", "-")
        assert meta.license in words or meta.license == "gemma"
