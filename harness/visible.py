"""Text of foreign origin as a person may safely be shown it: what steers a terminal is written out."""

from __future__ import annotations

import re

_STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters except tab and newline, separators of lines, what reverses text, and lone surrogates."""
_WORD = re.compile(r"\S{401,}")
_SHOWN = 80
_LONGEST = 2_000


def visible(text: str) -> str:
    """Returns the text with such characters as escapes: the bell is `\\x07`. Tabs and newlines stay.

    All text of data, records and names of files passes here on its way to a terminal, a table, a card or a page.
    """
    return _STEERING.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def brief(text: str) -> str:
    """Returns a message without endless values: a word of over 400 characters, or over 2,000 characters in all, is cut.

    The longest name of a file has 255 characters, so it stays whole.
    """
    words = _WORD.sub(lambda found: f"{found[0][:_SHOWN]}… ({len(found[0]):,} characters)", text)
    return words if len(words) <= _LONGEST else f"{words[:_LONGEST]}… ({len(words):,} characters)"
