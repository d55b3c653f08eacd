"""What a vector is known by: everything that can change it, and nothing that cannot."""

from __future__ import annotations

import dataclasses
import random
from pathlib import Path
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import identity
from harness.identity import fingerprint, item_key, model_fingerprint, result_fingerprint
from harness.types import Item, Media, MediaKind, ModelSpec, Role

SPEC = ModelSpec("org/model", "4f2a", "classical/1", "bfloat16", {"pixels": 448, "prompt": "é"}, ("image", "text"))
ROOT = Path("somewhere")
ONE, TWO = "1" * 64, "2" * 64


def image(name: str = "a.jpg", kind: MediaKind = "image") -> Media:
    return Media(kind, name, ROOT)


ITEM = Item("<|media|> a cat", (image(), image("b.jpg")), "Find it: ")


def key(item: Item = ITEM, role: Role = "query", digests: tuple[str, ...] = (ONE, TWO), model: str = "m" * 64) -> bytes:
    return item_key(model, item, role, digests)


@pytest.fixture
def fixed_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "library_version", lambda name: f"{name}-1")


def test_every_field_of_a_model_flips_its_fingerprint_but_those_that_decide_no_vector() -> None:
    changes: dict[str, object] = {
        "name": "org/model2",
        "revision": "4f2b",
        "adapter": "classical/2",
        "dtype": "float32",
        "options": {"pixels": 449, "prompt": "é"},
        "modalities": ("text",),
        "similarity": "dot",
        "about": {"step": 2},
        "several_media": "mean",
    }
    assert changes.keys() == {field.name for field in dataclasses.fields(ModelSpec)}, "decide what a new field does"
    prints = {
        name: model_fingerprint(
            ModelSpec(**{field.name: getattr(SPEC, field.name) for field in dataclasses.fields(SPEC)} | {name: value})
        )
        for name, value in changes.items()
    }
    for kept in ("similarity", "about", "several_media"):  # the last describes what the adapter's version decides
        assert prints.pop(kept) == model_fingerprint(SPEC)
    assert len({model_fingerprint(SPEC), *prints.values()}) == 1 + len(prints)


@pytest.mark.parametrize("value", [447, 448.0, "448", True, None, -448])
def test_values_of_an_option_are_told_apart_with_their_types(value: float | str | None) -> None:
    assert model_fingerprint(dataclasses.replace(SPEC, options={"pixels": value})) != model_fingerprint(
        dataclasses.replace(SPEC, options={"pixels": 448})
    )


def test_the_order_of_options_and_modalities_and_the_kind_of_mapping_do_not_matter() -> None:
    turned = dataclasses.replace(
        SPEC, options=MappingProxyType({"prompt": "é", "pixels": 448}), modalities=("text", "image")
    )
    assert model_fingerprint(turned) == model_fingerprint(SPEC)


def test_every_part_of_an_item_flips_its_key() -> None:
    keys = [
        key(),
        key(role="target"),
        key(model="n" * 64),
        key(dataclasses.replace(ITEM, text=ITEM.text + "\n")),
        key(dataclasses.replace(ITEM, instruction="find it: ")),
        key(dataclasses.replace(ITEM, instruction="Find it:", text=" " + ITEM.text)),
        key(dataclasses.replace(ITEM, instruction="", text=ITEM.full_text)),
        key(digests=(TWO, ONE)),
        key(digests=(ONE, ONE)),
        key(dataclasses.replace(ITEM, media=(image(),)), digests=(ONE,)),
        key(dataclasses.replace(ITEM, media=()), digests=()),
        key(dataclasses.replace(ITEM, media=(image(kind="video"), image()))),
        key(dataclasses.replace(ITEM, media=(image(), image(kind="video")))),
    ]
    assert len(set(keys)) == len(keys)
    assert {len(each) for each in keys} == {32}


def test_where_a_medium_lies_and_what_it_is_called_do_not_matter() -> None:
    moved = Media("image", "other/name.png", Path("/elsewhere"))
    assert key(dataclasses.replace(ITEM, media=(moved, image("b.jpg")))) == key()


@pytest.mark.parametrize(("kind", "library"), [("image", "pillow"), ("video", "decord"), ("video", "av")])
def test_the_version_of_what_makes_the_pixels_flips_the_key_of_media_alone(
    kind: MediaKind, library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, words = Item("", (image(kind=kind),)), Item("words")

    def keys(version: str) -> tuple[bytes, bytes]:
        monkeypatch.setattr(identity, "library_version", lambda name: version if name == library else "0")
        return key(seen, digests=(ONE,)), key(words, digests=())

    (seen_old, words_old), (seen_new, words_new) = keys("1.0"), keys("1.1")
    assert seen_old != seen_new
    assert words_old == words_new


def test_another_choice_of_frames_flips_the_key_of_videos_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    seen, picture = Item("", (image(kind="video"),)), Item("", (image(),))
    before = [key(each, digests=(ONE,)) for each in (seen, picture)]
    monkeypatch.setattr(identity, "FRAMES", identity.FRAMES + 1)
    after = [key(each, digests=(ONE,)) for each in (seen, picture)]
    assert [old != new for old, new in zip(before, after, strict=True)] == [True, False]


def test_a_key_needs_one_digest_for_each_medium() -> None:
    with pytest.raises(ValueError, match="zip"):
        key(digests=(ONE,))


def test_each_part_of_a_question_flips_the_identity_of_its_result() -> None:
    parts: dict[str, object] = {
        "task": {"name": "t"},
        "data": "d",
        "model": "m",
        "protocol": "strict",
        "settings": {"limit": None, "protocol": "x"},
    }
    changes: dict[str, object] = {
        "task": {"name": "u"},
        "data": "e",
        "model": "n",
        "protocol": "official",
        "settings": {"limit": 1, "protocol": "x"},
    }
    prints = [result_fingerprint(**parts)] + [
        result_fingerprint(**parts | {name: value}) for name, value in changes.items()
    ]
    assert len(set(prints)) == len(prints)


texts = st.text(alphabet="a1:/\x00é😀\ud83d\ude00", max_size=4)
items = st.builds(
    lambda text, instruction, media: (Item(text, tuple(image(kind=kind) for kind, _ in media), instruction), media),
    texts,
    texts,
    st.lists(st.tuples(st.sampled_from(["image", "video"]), st.sampled_from([ONE, TWO, ""])), max_size=3),
)


@given(items, items, texts, texts)
def test_different_items_never_share_a_key(
    one: tuple[Item, list[tuple[str, str]]], two: tuple[Item, list[tuple[str, str]]], model: str, other: str
) -> None:
    (first, media), (second, others) = one, two
    same = (model, first, media) == (other, second, others)
    keys = {
        item_key(model, first, "query", [digest for _, digest in media]),
        item_key(other, second, "query", [digest for _, digest in others]),
    }
    assert (len(keys) == 1) == same


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


def shuffled(value: object, order: random.Random) -> object:
    if isinstance(value, dict):
        names = list(value)
        order.shuffle(names)
        return {name: shuffled(value[name], order) for name in names}
    return [shuffled(each, order) for each in value] if isinstance(value, list) else value


@given(st.dictionaries(texts, json_values, max_size=4), st.randoms(use_true_random=False))
def test_a_fingerprint_does_not_depend_on_the_order_of_mappings(value: dict[str, object], order: random.Random) -> None:
    again = shuffled(value, order)
    assert isinstance(again, dict)
    assert fingerprint(again) == fingerprint(value)


def plain(value: object) -> str:
    """A value as a string that tells 1 from 1.0 and True, which == does not."""
    if isinstance(value, dict):
        return f"{{{sorted((name, plain(inner)) for name, inner in value.items())}}}"
    return f"[{[plain(each) for each in value]}]" if isinstance(value, list) else repr(value)


@given(st.dictionaries(texts, json_values, max_size=4), st.dictionaries(texts, json_values, max_size=4))
def test_different_values_never_share_a_fingerprint(one: dict[str, object], two: dict[str, object]) -> None:
    assert (fingerprint(one) == fingerprint(two)) == (plain(one) == plain(two))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_has_no_canonical_form_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="JSON"):
        fingerprint({"value": value})


@pytest.mark.usefixtures("fixed_versions")
def test_the_recipe_stands_still() -> None:
    """A change here changes the name of every stored vector: raise RECIPE, then pin what comes out."""
    assert identity.RECIPE == 1
    video = Item("<|media|>", (image("clip.mp4", "video"),))
    words = Item("naïve \ud800 text\n", (), "Classify: ")
    model = model_fingerprint(SPEC)
    assert [
        model,
        item_key(model, words, "target", []).hex(),
        item_key(model, ITEM, "query", [ONE, TWO]).hex(),
        item_key(model, video, "query", [ONE]).hex(),
    ] == [
        "8227549d32db6132fe83f414b7aadd108248a61dbaf2b019f1ef4530f8f873cb",
        "4f59843a75674e97b354fd9b51be6403229e3ba22f4dcb59a21d6d4430b382f8",
        "3ec512a66cce4954399e0b764d67162b301497861962126a8a416072e1ec48da",
        "d808abc4e85cb3283b512df76716cb71e740caa884165f945fbc50c81fc616eb",
    ]
