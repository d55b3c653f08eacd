"""sentence-transformers models that see images: two towers, and chat models with several images in a text."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harness.types import MEDIA_TOKEN, Item, Media
from tests.helpers.sentence_files import (
    embed,
    opened,
    opened_pictures,
    refuse_connections,
    write_clip,
    write_llava,
    write_pictures,
)

pytest.importorskip("sentence_transformers")


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    refuse_connections(monkeypatch)


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    return write_clip(tmp_path_factory.mktemp("models") / "tiny-clip")


@pytest.fixture(scope="module")
def llava(tmp_path_factory) -> Path:
    return write_llava(tmp_path_factory.mktemp("models") / "tiny-llava")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> list[Media]:
    return write_pictures(tmp_path_factory.mktemp("pictures"))


@pytest.mark.parametrize("saved_by_library", [False, True])
def test_images_and_texts_equal_the_library(clip, pictures, tmp_path, saved_by_library):
    from sentence_transformers import SentenceTransformer

    library = SentenceTransformer(str(clip), device="cpu")
    folder = clip
    if saved_by_library:
        folder = tmp_path / "saved"
        library.save(str(folder))
    handle = opened(folder)
    assert handle.spec.modalities == ("text", "image")
    model = handle.load()
    texts = ["a red cube", "http://x.invalid/x.png"]
    items = [Item(texts[0]), Item("", (pictures[0],)), Item(texts[1]), Item(f"{MEDIA_TOKEN}\n", (pictures[1],))]
    ours = embed(model, items)
    np.testing.assert_allclose(ours[[0, 2]], library.encode([{"text": text} for text in texts]), atol=1e-6)
    np.testing.assert_allclose(ours[[1, 3]], library.encode(opened_pictures(pictures[:2])), atol=1e-6)


def test_what_two_towers_see_together_is_the_mean_of_their_unit_vectors(clip, pictures):
    model = opened(clip).load()
    text = f"{MEDIA_TOKEN}\nthe ball"
    together, words, *images = embed(
        model, [Item(text, tuple(pictures[:2])), Item("the ball"), *(Item("", (each,)) for each in pictures[:2])]
    )
    parts = [each / np.linalg.norm(each) for each in (words, *images)]
    np.testing.assert_allclose(together, np.mean(parts, axis=0), atol=1e-6)


def test_larger_images_cost_more(clip, pictures, tmp_path):
    Image.new("RGB", (2000, 1500)).save(tmp_path / "large.png")
    model = opened(clip).load()
    pair = (pictures[0], Media("image", "large.png", tmp_path))
    small, large = (model.prepare(Item("", (medium,)), "query").cost for medium in pair)
    assert large > 10 * small


@pytest.mark.parametrize("role", ["query", "target"])
def test_a_model_with_a_chat_template_reads_texts_and_images_as_the_library_does(llava, pictures, role):
    from sentence_transformers import SentenceTransformer

    library = SentenceTransformer(str(llava), device="cpu")
    encode = library.encode_query if role == "query" else library.encode_document
    one, two = opened_pictures(pictures[:2])
    items = [
        Item("http://x.invalid/x.png"),
        Item("", (pictures[0],)),
        Item(f"{MEDIA_TOKEN}\na red cube", (pictures[0],)),
        Item("a red cube", tuple(pictures[:2])),
    ]
    inputs = [
        {"text": "http://x.invalid/x.png"},
        {"image": one},
        {"image": one, "text": "a red cube"},
        {"image": [one, two], "text": "a red cube"},
    ]
    theirs = np.stack([encode([each])[0] for each in inputs])
    np.testing.assert_allclose(embed(opened(llava).load(), items, role), theirs, atol=1e-5)


def test_images_stand_where_the_text_has_them(llava, pictures):
    from sentence_transformers import SentenceTransformer

    one, two = opened_pictures(pictures[:2])
    content = [
        {"type": "text", "text": "a ball on the left of "},
        {"type": "image", "image": one},
        {"type": "text", "text": "the right of "},
        {"type": "image", "image": two},
        {"type": "text", "text": " x"},
    ]
    theirs = SentenceTransformer(str(llava), device="cpu").encode_query([[{"role": "user", "content": content}]])[0]
    text = f"on the left of {MEDIA_TOKEN}\nthe right of {MEDIA_TOKEN} x"
    ours, swapped, in_front = embed(
        opened(llava).load(),
        [
            Item(text, tuple(pictures[:2]), "a ball "),
            Item(text, tuple(pictures[1::-1]), "a ball "),
            Item(text.replace(MEDIA_TOKEN, ""), tuple(pictures[:2]), "a ball "),
        ],
    )
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    assert min(np.abs(ours - swapped).max(), np.abs(ours - in_front).max()) > 1e-3
