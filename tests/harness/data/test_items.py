"""A user's item is read in one way, wherever it stands."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.data.items import ITEM_FIELDS, parse_item, parse_role, unknown_keys
from harness.types import MEDIA_TOKEN, Media

ROOT = Path("/data")
PATHS = st.lists(st.sampled_from(["a.png", "b/c.jpg", "d.mp4"]), max_size=3)
WORDS = st.text(alphabet="ab c.\n", max_size=12)


@given(WORDS, WORDS, PATHS, PATHS)
def test_nothing_is_lost_and_media_stand_in_order(text: str, instruction: str, images: list, videos: list) -> None:
    fields = {"text": text, "instruction": instruction, "image": images, "video": videos}
    if not (text + instruction).strip() and not images + videos:
        with pytest.raises(ValueError, match="no text"):
            parse_item(fields, ROOT)
        return
    item = parse_item(fields, ROOT)
    assert item.text == text
    assert item.full_text.startswith(instruction)
    assert item.full_text.split() == (f"{instruction} {text}" if instruction and text else instruction + text).split()
    assert item.media == (
        *(Media("image", name, ROOT) for name in images),
        *(Media("video", name, ROOT) for name in videos),
    )


def test_one_path_is_a_list_of_one_and_a_string_is_a_text() -> None:
    assert parse_item({"image": "a.png"}, ROOT) == parse_item({"image": ["a.png"]}, ROOT)
    assert parse_item({"image": Path("a.png")}, ROOT) == parse_item({"image": ("a.png",)}, ROOT)
    assert parse_item("a cat", ROOT) == parse_item({"text": "a cat", "image": None, "video": []}, ROOT)


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({}, "no text"),
        ({"text": " \n"}, "no text"),
        ({"text": MEDIA_TOKEN}, "no text"),
        ({"text": 3}, "text must be a string"),
        ({"image": 3}, "image must be a path or a list of paths"),
        ({"image": ["a.png", ""]}, "image must be a path"),
        ({"text": "<|image_1|> a cat", "image": "a.png"}, "is written <\\|media\\|>"),
        ({"text": f"{MEDIA_TOKEN} and {MEDIA_TOKEN}", "image": "a.png"}, "stands 2 times"),
        ({"text": f"{MEDIA_TOKEN} a", "image": ["a.png", "b.png"]}, "stands 1 time "),
        (7, "text"),
        (["a"], "text"),
    ],
)
def test_what_is_no_item_is_refused(fields: object, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_item(fields, ROOT)


def test_as_many_tokens_as_media_or_none() -> None:
    for text in ("two", f"{MEDIA_TOKEN} then {MEDIA_TOKEN}"):
        assert len(parse_item({"text": text, "image": ["a.png", "b.png"]}, ROOT).media) == 2


def test_the_place_goes_to_the_media_for_messages() -> None:
    assert parse_item({"image": "a.png"}, ROOT, "x.jsonl, line 3").media[0].where == "x.jsonl, line 3"


def test_roles() -> None:
    assert [parse_role(fields) for fields in ({}, {"role": "target"}, {"role": "query"})] == [
        "target",
        "target",
        "query",
    ]
    with pytest.raises(ValueError, match="role must be query or target"):
        parse_role({"role": "question"})


def test_a_misspelt_key_is_not_ignored() -> None:
    unknown_keys({"text": "a"}, ITEM_FIELDS, "an item")
    with pytest.raises(ValueError, match="an item has no key txt"):
        unknown_keys({"txt": "a"}, ITEM_FIELDS, "an item")
