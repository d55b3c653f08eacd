"""`llave.train` trains what `llave train` trains."""

from __future__ import annotations

from pathlib import Path

import pytest

import llave as front
from llave.api.train import _written

SHORT = {"max_steps": 2, "batch": 8, "device": "cpu", "workers": 1}


@pytest.mark.slow
def test_a_checkpoint_that_can_be_evaluated(tmp_path, place, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = front.train("demo", progress=False, **SHORT)
    assert folder == Path("runs/demo/checkpoint-2")
    result = front.evaluate(folder, "demo-object", limit=2, out=place.out, store=place.store, progress=False)
    assert len(result) == 1


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"stepz": 3}, "stepz"),
        ({"batch": "x"}, "batch"),
        ({"batch": 0}, "batch"),
        ({"alpha": object()}, "The setting alpha cannot be"),
    ],
)
def test_wrong_settings_are_named_before_anything_is_loaded(tmp_path, settings, what):
    with pytest.raises(front.UserError) as error:
        front.train("demo", out=tmp_path / "run", progress=False, **settings)
    assert what in str(error.value)
    assert not (tmp_path / "run").exists()


def test_an_old_name_of_a_setting_is_warned_about_where_it_is_used(tmp_path, monkeypatch):
    monkeypatch.setattr("trainers.train.train", lambda config, *_, **__: Path(str(config.temperature)))
    with pytest.warns(FutureWarning, match=r"scale=50 is now temperature=0\.02") as found:
        assert front.train("demo", out=tmp_path, progress=False, scale=50) == Path("0.02")
    assert found[0].filename == __file__


def test_an_unknown_recipe(tmp_path):
    with pytest.raises(front.UserError, match="no recipe named 'dem'"):
        front.train("dem", out=tmp_path)


@pytest.mark.parametrize(
    ("value", "text"),
    [(3, "3"), (1e-5, "1e-05"), (None, "none"), (True, "true"), (("a", "b"), "a,b"), ({"a": 2.0, "b": 1}, "a:2.0,b:1")],
)
def test_values_are_written_as_the_flag_has_them(value, text):
    assert _written("name", value) == text
