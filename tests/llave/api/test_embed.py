"""`llave.embed` gives the vectors of `llave embed`, in the order given, each embedded once."""

from __future__ import annotations

import json

import datasets
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from safetensors.numpy import load_file

import llave as front
from tests.helpers.embedders import Hashed, TextOnly

HASHED = "tests.helpers.embedders:Hashed"


def _embed(place, model, items, **changes):
    return front.embed(model, items, store=place.store, progress=False, **changes)


def test_the_vectors_are_those_of_the_command(llave, tiny, place, tmp_path):
    items = [
        {"text": "a cat"},
        {"image": "shapes/00.png"},
        {"text": "Which?", "image": ["shapes/00.png", "shapes/01.png"], "role": "query", "instruction": "Look."},
        {"text": "a cat", "role": "query"},
    ]
    file, out = tmp_path / "items.jsonl", tmp_path / "vectors.safetensors"
    file.write_text("\n".join(json.dumps({"id": str(number), **each}) for number, each in enumerate(items)))
    assert llave("embed", HASHED, file, "-o", out, "--root", tiny.images, "--store", place.store).code == 0
    found = _embed(place, HASHED, items, root=tiny.images)
    assert (found.dtype, found.shape) == (np.float32, (4, 16))
    np.testing.assert_array_equal(found, load_file(out)["vectors"])


def test_every_form_of_rows(place):
    texts = ["a", "b", "c"]
    expected = _embed(place, Hashed(), texts)
    for items in (
        [{"text": each} for each in texts],
        pd.Series(texts),
        pd.DataFrame({"text": texts}),
        datasets.Dataset.from_dict({"text": texts}),
        [front.Item(each) for each in texts],
        dict(zip("xyz", texts, strict=True)),
    ):
        np.testing.assert_array_equal(_embed(place, HASHED, items), expected)


def test_the_order_is_kept_and_nothing_is_embedded_twice(place, log):
    texts = [f"text {number % 7}" for number in range(20)]
    found = _embed(place, HASHED, texts)
    assert sum(map(len, log())) == 7
    for number in range(20):
        np.testing.assert_array_equal(found[number], found[number % 7])
    np.testing.assert_array_equal(_embed(place, HASHED, texts[::-1]), found[::-1])
    assert sum(map(len, log())) == 7


def test_the_role_counts(place):
    target, query = _embed(place, HASHED, ["a"]), _embed(place, HASHED, ["a"], role="query")
    assert not np.array_equal(target, query)
    np.testing.assert_array_equal(_embed(place, HASHED, [{"text": "a", "role": "query"}]), query)


def test_images_of_pillow(place):
    red, blue = (Image.new("RGB", (8, 8), colour) for colour in ("red", "blue"))
    found = _embed(place, HASHED, [red, {"image": blue}, {"image": [red]}])
    np.testing.assert_array_equal(found[0], found[2])
    assert not np.array_equal(found[0], found[1])


@pytest.mark.parametrize(
    ("items", "what"),
    [
        ("a cat", "a list or a table of items is wanted"),
        ([], "no item to embed"),
        (["a", ""], "item 1: it has no text"),
        ([{"text": "a", "role": "judge"}], "item 0: role must be query or target"),
        ([{"text": "a", "positives": []}], "item 0: an item has no key positives"),
        ([{"image": "nowhere.png"}], "nowhere.png does not exist"),
    ],
)
def test_what_is_wrong_is_named(place, items, what):
    with pytest.raises(front.UserError) as error:
        _embed(place, HASHED, items)
    assert what in error.value.what
    assert not place.store.exists() or not any(place.store.rglob("*.safetensors"))


def test_an_unknown_role(place):
    with pytest.raises(front.UserError, match="role cannot be 'judge'"):
        _embed(place, HASHED, ["a"], role="judge")


def test_an_item_of_which_the_model_sees_nothing(place):
    with pytest.raises(front.UserError, match="item 1"):
        _embed(place, TextOnly, ["a", Image.new("RGB", (8, 8))])


def test_a_model_that_must_know_the_answers(place):
    with pytest.raises(front.UserError, match="must be told the answers"):
        _embed(place, "null/oracle", ["a"])
