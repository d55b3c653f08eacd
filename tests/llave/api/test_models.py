"""A model may be a name, a folder, a class, an object: what is the same model has the same identity."""

from __future__ import annotations

from dataclasses import replace

import pytest

import llave as front
from harness.identity import model_fingerprint
from harness.types import Features, ModelSettings, ModelSpec
from llave.api.models import open_models, open_one
from tests.helpers.embedders import Hashed, Interrupted

DEFAULT = ModelSettings()


class Sized(Hashed):
    """Its constructor decides its vectors, and its spec does not say so."""

    spec = ModelSpec("sized", "1", "sized/1")

    def __init__(self, width: int = 8, device: str = "cpu") -> None:
        self.width = width


class Hidden(Hashed):
    """What its constructor was given cannot be seen."""

    spec = ModelSpec("hidden", "1", "hidden/1")

    def __init__(self, width: int = 8) -> None:
        self.size = width


class Own(Hashed):
    """Sets a spec of its own."""

    def __init__(self, width: int = 8) -> None:
        self.spec = ModelSpec("own", "1", "own/1", options={"width": width})


def _fingerprint(model: object, settings: ModelSettings = DEFAULT) -> str:
    return model_fingerprint(open_one(model, settings).spec)


class TestIdentity:
    @pytest.mark.parametrize("kind", [Hashed, Interrupted, Sized, Own])
    def test_name_class_and_object_are_one_model(self, kind):
        by_name = _fingerprint(f"{kind.__module__}:{kind.__qualname__}")
        assert _fingerprint(kind) == by_name
        assert _fingerprint(kind()) == by_name or kind is Own

    def test_what_the_constructor_was_given_counts(self):
        changed = replace(DEFAULT, options={"width": "16"})
        assert _fingerprint(Sized(16)) == _fingerprint(Sized, changed) == _fingerprint(f"{__name__}:Sized", changed)
        assert _fingerprint(Sized(16)) != _fingerprint(Sized())
        assert _fingerprint(Sized(16, device="cuda")) == _fingerprint(Sized(16))
        assert _fingerprint(Own(16)) != _fingerprint(Own())

    def test_what_cannot_be_seen_is_refused(self):
        with pytest.raises(front.UserError, match="is made with width") as error:
            open_one(Hidden(16), DEFAULT)
        assert "self.width" in error.value.hint

    def test_a_class_of_a_notebook_is_known_by_its_code(self):
        def typed(change: str, sizes: str = "(1, 2)", module: str = "__notebook__") -> type:
            code = (
                "class Typed:\n"
                "    spec = ModelSpec('typed', '1', 'typed/1')\n"
                f"    sizes = {sizes}\n"
                "    def prepare(self, item, role):\n"
                "        return Features(len(item.text))\n"
                "    def embed(self, features):\n"
                f"        return [[f.data * {change}] for f in features]\n"
            )
            names: dict[str, object] = {"__name__": module, "ModelSpec": ModelSpec, "Features": Features}
            exec(code, names)
            kind = names["Typed"]
            assert isinstance(kind, type)
            return kind

        assert _fingerprint(typed("2")()) == _fingerprint(typed("2")()) == _fingerprint(typed("2"))
        assert _fingerprint(typed("2")()) != _fingerprint(typed("3")())
        assert _fingerprint(typed("2")()) != _fingerprint(typed("2", "(1, 3)")())
        # a kernel that names a file of its own, as this test's does
        assert _fingerprint(typed("2", module="__main__")()) == _fingerprint(typed("2", module="__main__")())
        assert _fingerprint(typed("2", module="__main__")()) != _fingerprint(typed("3", module="__main__")())

    def test_evaluating_an_object_finds_what_its_class_finished_by_name(self, llave, tiny, place, log):
        assert llave("run", "tests.helpers.embedders:Hashed", "--data", tiny.data, *place.flags).code == 0
        embedded = log()
        result = front.evaluate(Hashed(), tiny.data, out=place.out, store=place.store, progress=False)
        assert result.found == 3
        assert log() == embedded


class TestWhatIsNoModel:
    @pytest.mark.parametrize(
        ("model", "what", "hint"),
        [
            (len, "it has no spec, no prepare, no embed", "A function says nothing of its weights"),
            (3, "it has no spec", "llave.models()"),
            (type("Old", (), {"encode": len})(), "it has no spec", "sentence-transformers/NAME-OR-FOLDER"),
            (type("Half", (), {"spec": 1, "prepare": len, "embed": len})(), "has no `spec` that is", "add-a-model"),
            (dict, "has no method prepare", "add-a-model"),
            ("classicl", "no model named 'classicl'", "Did you mean classical?"),
        ],
        ids=["function", "number", "encode", "spec of another type", "class", "name"],
    )
    def test_the_error_says_what_to_add(self, model, what, hint):
        with pytest.raises(front.UserError) as error:
            open_one(model, DEFAULT)
        assert what in error.value.what
        assert hint in error.value.hint

    def test_settings_are_not_ignored(self):
        with pytest.raises(front.UserError, match="dtype cannot be set here"):
            open_one(Hashed(), replace(DEFAULT, dtype="float16"))

    def test_the_same_model_is_opened_once(self):
        model = Hashed()
        assert len(open_models(["classical", model, "classical", model], DEFAULT)) == 2
