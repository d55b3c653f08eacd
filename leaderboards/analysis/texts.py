"""Texts that occur in other texts, or nearly so: an exact join of sets of shingles.

A text is its words in lower case. Its shingles are all runs of five characters. It occurs in another text if that has
at least 80 % of them. That may have at most 200 more, which leaves room for an instruction. The join is exact: a text
that occurs shares one of its few smallest shingles by any fixed order. So nothing is missed by chance, as it can be
with MinHash. Source: Bayardo, Ma and Srikant, "Scaling up all pairs similarity search", 2007.
"""

from __future__ import annotations

import math
import re
import zlib
from collections import defaultdict
from collections.abc import Iterable

from harness.types import MEDIA_TOKEN

LEAST_WORDS = 5
"""Shorter texts, such as names of classes, occur everywhere and are evidence of nothing."""
_RUN = 5
_SHARE = 0.8
_MORE = 200
_WORD = re.compile(r"\w+")


def normal(text: str) -> str:
    """The words of a text in lower case, with a space between them. Empty if there are fewer than five."""
    words = _WORD.findall(text.replace(MEDIA_TOKEN, " ").casefold())
    return " ".join(words) if len(words) >= LEAST_WORDS else ""


def shingles(text: str) -> frozenset[int]:
    """The numbers of all runs of five characters."""
    return frozenset(zlib.crc32(text[at : at + _RUN].encode("utf-8", "replace")) for at in range(len(text) - _RUN + 1))


class TextIndex:
    """Texts that are looked for in others. All are in the form that `normal` gives."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._texts = list(dict.fromkeys(text for text in texts if text))
        self._sets = [shingles(text) for text in self._texts]
        self._first: dict[int, list[int]] = defaultdict(list)
        for number, own in enumerate(self._sets):
            for shingle in sorted(own)[: len(own) - math.ceil(_SHARE * len(own)) + 1]:
                self._first[shingle].append(number)

    def found_in(self, text: str) -> list[str]:
        """The texts that occur in this one, exactly or nearly, in their order."""
        other = shingles(text)
        candidates = {number for shingle in other & self._first.keys() for number in self._first[shingle]}
        return [self._texts[number] for number in sorted(candidates) if _occurs(self._sets[number], other)]


def _occurs(own: frozenset[int], other: frozenset[int]) -> bool:
    return len(own & other) >= _SHARE * len(own) and len(other) <= len(own) + _MORE
