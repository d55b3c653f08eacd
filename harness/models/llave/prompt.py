"""LLaVE's prompt as token ids: the user's turn in the template of its training (qwen_1_5)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from harness.errors import UserError
from harness.models.checkpoint_files import JsonFile, opening
from harness.models.common import without_media
from harness.models.llave.vision import VisualInput
from harness.models.tokenizer import PromptTokenizer
from harness.types import MEDIA_TOKEN

_BEFORE = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n"
_AFTER = "<|im_end|>\n<|im_start|>assistant\n\n<|im_end|>\n"
_SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
_NOISE = "QA_GT_caption_based_noisy"
"""A marker in the training data that the public code deletes from every text."""


@dataclass(frozen=True, slots=True, eq=False)
class LlaveInput:
    """A prepared item: token ids before, between and after its pictures."""

    ids: tuple[NDArray[np.int64], ...]
    pictures: tuple[VisualInput, ...]
    length: int
    """Number of tokens that are kept of the whole sequence, visual tokens included."""


class PromptPieces(NamedTuple):
    """Token ids before, between and after an item's media: one piece more than there are media."""

    ids: tuple[NDArray[np.int64], ...]
    cut: bool
    """Whether the text was longer than the tokenizer's limit."""


def user_turn(text: str, media: int) -> str:
    """Returns the user's turn, with one MEDIA_TOKEN for each of `media`.

    A single medium always comes first, as in the public code. A text is stripped if its medium had to be moved.
    The public code does not cover two cases. A medium without a token in the text comes first; the public code would
    drop it silently. Several media stay where the text has them.
    """
    text = text.replace(_NOISE, "")
    while text.count(MEDIA_TOKEN) > media:
        head, _, tail = text.rpartition(MEDIA_TOKEN)
        text = head + tail
    if media == 1 and not text.startswith(MEDIA_TOKEN):
        return f"{MEDIA_TOKEN}\n{without_media(text).strip()}".strip()
    return f"{MEDIA_TOKEN}\n" * (media - text.count(MEDIA_TOKEN)) + text


@dataclass(frozen=True, slots=True, eq=False)
class PromptBuilder:
    """Turns a user's turn into token ids. It can be used from several threads, because the tokenizer is only read."""

    tokenizer: PromptTokenizer
    limit: int | None
    """Maximum number of ids in a prompt, where a medium counts as one. Truncation can remove the template's ending."""

    def encode(self, turn: str) -> PromptPieces:
        """Returns the ids of the whole prompt. What reads like a special token in the turn is text."""
        parts = [self.tokenizer.quoted(part) for part in turn.split(MEDIA_TOKEN)]
        parts[0] = _BEFORE + parts[0]
        parts[-1] += _AFTER
        pieces, cut = [], False
        room = self.limit
        for number, part in enumerate(parts):
            ids = self.tokenizer.encode(part)
            if room is not None:
                room -= number > 0  # the medium before this part
                if room < 0:
                    cut = True
                    break
                cut = cut or len(ids) > room
                ids = ids[:room]
                room -= len(ids)
            pieces.append(np.array(ids, np.int64))
        return PromptPieces(tuple(pieces), cut)


def read_prompter(folder: Path, vocabulary: int) -> PromptBuilder:
    """Loads a checkpoint's tokenizer.

    Args:
        folder: the checkpoint's folder.
        vocabulary: the number of ids that have an embedding.

    Raises:
        UserError: if a special token is missing or does not have the id that tokenizer_config.json gives.
    """
    file = JsonFile.read(folder / "tokenizer_config.json")
    tokenizer = _read_tokenizer(folder)
    declared = _declared_ids(file)
    for token in _SPECIAL:
        found = tokenizer.id_of(token)
        if found is None or found >= vocabulary or declared.get(token, found) != found:
            place = "is missing" if found is None else f"has id {found}"
            declaration = f"; tokenizer_config.json says {declared[token]}" if token in declared else ""
            raise UserError(
                f"The tokenizer in {folder} is not LLaVE's: {token} {place}{declaration} "
                f"({vocabulary} ids have an embedding).",
                "Take tokenizer.json, tokenizer_config.json, vocab.json, merges.txt and added_tokens.json from where "
                "the weights came from.",
            )
    limit = file.integer("model_max_length") if "model_max_length" in file.fields else None
    return PromptBuilder(tokenizer, limit)


def _read_tokenizer(folder: Path) -> PromptTokenizer:
    """Loads tokenizer.json. Without it, transformers builds the tokenizer from vocab.json and merges.txt."""
    if (folder / "tokenizer.json").exists():
        return PromptTokenizer.read(folder, _SPECIAL)
    missing = [name for name in ("vocab.json", "merges.txt") if not (folder / name).exists()]
    if missing:
        raise UserError(
            f"{folder} has no tokenizer: tokenizer.json is missing, and so is {' and '.join(missing)}.",
            "Copy or download the checkpoint again.",
        )
    from transformers import Qwen2Tokenizer

    with opening(folder / "vocab.json", "a vocabulary that fits merges.txt"):
        built = Qwen2Tokenizer.from_pretrained(folder).backend_tokenizer
    return PromptTokenizer.from_fields(json.loads(built.to_str()), _SPECIAL)


def _declared_ids(file: JsonFile) -> dict[str, int]:
    """Ids of added tokens in tokenizer_config.json. Newer files leave them out."""
    added = file.fields.get("added_tokens_decoder")
    if not isinstance(added, dict):
        return {}
    named = {at: each for at, each in added.items() if isinstance(each, dict) and "content" in each and at.isdecimal()}
    return {str(each["content"]): int(at) for at, each in named.items()}
