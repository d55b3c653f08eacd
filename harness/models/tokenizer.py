"""Tokenizers for prompts, in which a user's text never makes a special token.

A tokenizer cuts its special tokens out of a text before all else. For CLIP, `<|endoftext|>` inside a caption would end
it. For a chat model, `<|im_end|>` would end the user's turn. Here such text stays text. Its ids are those of
`split_special_tokens=True` in transformers.

Inside the tokenizer, each special token has a private name that no text holds. A prompt's own special tokens get that
name just before the prompt is tokenized.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, cast

from harness.models.checkpoint_files import JsonFile, opening
from harness.types import MEDIA_TOKEN

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_PRIVATE, _BREAK = "\ufdd0", "\ufdd1"
"""Noncharacters: Unicode reserves them for use inside a program, and no text holds them."""
_NO_NONCHARACTERS = str.maketrans({_PRIVATE: "\ufffd", _BREAK: "\ufffd"})


@dataclass(frozen=True, slots=True, eq=False)
class PromptTokenizer:
    """A tokenizer without truncation and padding. It can be used from several threads, because it is only read."""

    tokenizer: Tokenizer
    """The tokenizer, whose special tokens have private names."""
    special: re.Pattern[str]
    """Finds the names of special tokens."""

    @staticmethod
    def read(folder: Path, needed: Collection[str] = ()) -> PromptTokenizer:
        """Loads tokenizer.json.

        The file itself is used, because the class that transformers chooses for it depends on the version.

        Args:
            folder: the checkpoint's folder.
            needed: tokens that prompts use. They are special here, whatever the file says of them.

        Raises:
            UserError: if the file does not hold a tokenizer.
        """
        file = JsonFile.read(folder / "tokenizer.json")
        with opening(file.path, "a tokenizer"):
            return PromptTokenizer.from_fields(file.fields, needed)

    @staticmethod
    def from_fields(fields: Mapping[str, object], needed: Collection[str] = ()) -> PromptTokenizer:
        """Makes a tokenizer from the content of a tokenizer.json. Raises what the library raises for a wrong one."""
        from tokenizers import Tokenizer

        added = cast("list[_AddedToken]", fields.get("added_tokens") or [])
        marked = {each["content"] for each in added if each.get("special") or each["content"] in needed}
        names = {name for name in marked if len(name) > 1 and name != MEDIA_TOKEN}
        tokenizer: Tokenizer = Tokenizer.from_str(json.dumps(_renamed(fields, added, names)))
        tokenizer.no_truncation()
        tokenizer.no_padding()
        longest_first = sorted(names, key=len, reverse=True)
        return PromptTokenizer(tokenizer, re.compile("|".join(map(re.escape, longest_first)) or r"(?!)"))

    def id_of(self, token: str) -> int | None:
        """Returns the id of a token, special or not; None if there is none."""
        private = self.special.fullmatch(token) is not None
        found: int | None = self.tokenizer.token_to_id(_PRIVATE * private + token)
        return found

    def quoted(self, text: str) -> str:
        """Returns a user's text for use in a prompt. What reads like a special token in it will be text."""
        text = text.translate(_NO_NONCHARACTERS)
        while self.special.search(text):  # names can overlap
            text = self.special.sub(lambda found: found[0][0] + _BREAK + found[0][1:], text)
        return text

    def encode(self, prompt: str) -> list[int]:
        """Returns the ids of a prompt, whose texts are `quoted`, without the tokens that the tokenizer adds."""
        return self._encode(prompt, with_ends=False)

    def encode_with_ends(self, prompt: str) -> list[int]:
        """Returns the ids of a prompt, with the special tokens that the tokenizer adds before and after."""
        return self._encode(prompt, with_ends=True)

    def _encode(self, prompt: str, *, with_ends: bool) -> list[int]:
        named = self.special.sub(lambda found: _PRIVATE + found[0], prompt).replace(_BREAK, "")
        ids: list[int] = self.tokenizer.encode(named, add_special_tokens=with_ends).ids
        return ids


class _AddedToken(TypedDict):
    """A token that a tokenizer finds before all else. It has more fields, which do not matter here."""

    content: str
    special: bool


def _renamed(
    fields: Mapping[str, object], added: Sequence[_AddedToken], names: Collection[str]
) -> Mapping[str, object]:
    """The content of a tokenizer.json in which the tokens `names` have private names, with the same ids."""

    def new(name: str) -> str:
        return _PRIVATE + name if name in names else name

    model = dict(cast("Mapping[str, object]", fields["model"]))
    vocabulary = model.get("vocab")
    if isinstance(vocabulary, list):  # Unigram: pieces with their scores
        model["vocab"] = [[new(piece), score] for piece, score in vocabulary]
    elif isinstance(vocabulary, dict):
        model["vocab"] = {new(token): number for token, number in vocabulary.items()}
    unknown = model.get("unk_token")
    if isinstance(unknown, str):
        model["unk_token"] = new(unknown)
    # not normalized: a normalizer could remove the private part of a name
    private = [
        {**each, "content": new(each["content"]), "normalized": False} if each["content"] in names else each
        for each in added
    ]
    return {**fields, "model": model, "added_tokens": private}
