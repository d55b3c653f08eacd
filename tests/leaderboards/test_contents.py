"""What rows say of a query or a target comes back as it was: text, instruction, media and their places."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from harness.scoring.score import content
from harness.types import MEDIA_TOKEN, Item, Media
from leaderboards.contents import Content, NamedMedium, Place, content_of, shared_lead
from tests.helpers.result_values import result

PLACES = tuple(Place(kind, Path(folder)) for kind in ("image", "video") for folder in ("/a", "/b"))
WORDS = st.text(st.characters(codec="utf-8", categories=["L", "N"]), min_size=1, max_size=8)


@st.composite
def items(draw: st.DrawFn) -> Item:
    """An item with media from several folders; its tokens stand anywhere, or nowhere."""
    media = draw(st.lists(st.tuples(st.sampled_from(PLACES), WORDS), max_size=3))
    words = draw(st.lists(WORDS, min_size=1, max_size=5))
    tokens = draw(st.permutations([*words, *[MEDIA_TOKEN] * len(media)]))
    cut = draw(st.integers(0, len(tokens)))
    lead = "".join(f"{each} " for each in tokens[:cut])
    return Item(" ".join(tokens[cut:]), tuple(Media(p.kind, name, p.folder) for p, name in media), lead)


@given(items(), st.booleans())
def test_what_was_written_is_read(item: Item, several: bool):
    places = PLACES if several or len({(each.kind, each.root) for each in item.media}) > 1 else PLACES[:1]
    if len(places) == 1:
        item = Item(item.text, tuple(Media("image", each.name, Path("/a")) for each in item.media), item.instruction)
    read = content_of(content(item, {place: number for number, place in enumerate(places)}), [places])
    assert [(each.name, each.places) for each in read.media] == [
        (each.name, (Place(each.kind, each.root),)) for each in item.media
    ]
    number = iter(range(1, 9))
    whole = [f"[{next(number)}]" if word == MEDIA_TOKEN else word for word in item.full_text.split()]
    if len(item.media) == 1:
        whole.remove("[1]")
    assert [*read.instruction.split(), *read.text.split()] == whole
    assert len(read.text.split()) <= len(item.text.split())


def test_every_record_of_a_row_may_have_the_medium():
    here, there = [Place("image", Path("/here"))], [Place("image", Path("/there"))]
    read = content_of({"text": "", "media": ["a.png"]}, [here, there, here, []])
    assert read.media == (NamedMedium("a.png", (*here, *there)),)


def test_rows_of_other_types_are_empty():
    odd = [None, [], "text", {"text": 3, "media": "a.png"}, {"media": [None, 4]}, {"text": "", "instruction": "x"}]
    assert {content_of(each) for each in odd} == {Content()}
    for number in (-1, 9, True, "0", None):
        assert content_of({"media": ["a"], "places": [number]}, [PLACES]).media[0].places in ((), PLACES[1:2])


class TestSharedLead:
    def test_it_ends_at_a_colon_or_a_line(self):
        rows = [{"text": f"Answer this question: What is {what}?"} for what in ("a dog", "a cat")]
        assert shared_lead(rows) == "Answer this question:"
        assert content_of(rows[0], lead=shared_lead(rows)).text == "What is a dog?"
        assert shared_lead([{"text": "What is a dog?"}, {"text": "What is a cat?"}]) == ""

    def test_equal_texts_of_media_are_wholly_instruction(self):
        pictures = [{"text": "Represent the image.", "media": [name]} for name in "ab"]
        assert shared_lead(pictures) == "Represent the image."
        assert shared_lead([{"text": "Represent the image."}]) == ""

    def test_what_rows_say_themselves_counts(self):
        rows = [{"text": "Ask: one", "instruction": 3}, {"text": "Ask: two"}]
        assert shared_lead(rows) == ""


def test_an_older_record_names_no_place():
    from leaderboards.contents import places_of

    assert places_of(result()) == ()
    assert places_of(result(dataset={"places": [{"kind": "image", "folder": "/x"}, {"kind": 3}, 4]})) == (
        Place("image", Path("/x")),
    )
