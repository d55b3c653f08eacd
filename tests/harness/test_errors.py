"""Text that a person is shown holds nothing that steers a terminal, and no endless value."""

from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from harness.errors import UserError, brief, visible

STEERING = st.sampled_from(
    "\x00\x07\x08\x0b\x0c\r\x1b\x7f\x85\x9b\u061c\u200e\u2028\u2029\u202a\u202e\u2066\u2069\ud800"
)
TEXT = st.text(st.one_of(STEERING, st.characters()))


def steers(text: str) -> list[str]:
    """The characters that a terminal obeys, or that turn the text beside them."""
    kinds = ("Cc", "Cs", "Zl", "Zp")
    turning = ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
    found = [each for each in text if unicodedata.category(each) in kinds and each not in "\t\n"]
    return found + [each for each in text if unicodedata.bidirectional(each) in turning]


@given(TEXT)
def test_nothing_steers_and_the_rest_stays(text):
    shown = visible(text)
    assert steers(shown) == []
    assert visible(shown) == shown
    shown.encode()
    kept = "".join(each for each in text if not steers(each) and each not in "\u061c\u200e\u200f")
    assert visible(kept) == kept


def test_it_shows_the_character_that_was_there():
    assert visible("a\x1b[2Jb\x07\u202ec\udcff\td\n") == "a\\x1b[2Jb\\x07\\u202ec\\udcff\td\n"


@given(TEXT, TEXT)
def test_no_error_steers(what, hint):
    error = UserError(what, hint)
    assert steers(f"{error}{error.what}{error.hint}") == []


@given(st.text(), st.integers(401, 20_000), st.text())
def test_an_endless_value_is_cut_and_its_length_said(before, length, after):
    cut = UserError(f"{before} data:{'A' * length} {after}").what
    assert len(cut) <= len(before) + len(after) + 200
    assert f" ({length + 5:,} characters)" in cut


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=400))
def test_what_a_file_can_be_called_stays_whole(name):
    assert brief(name) == name
