"""LLaVE's prompt: the user's turn in the template that it was trained with (qwen_1_5), as token ids."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from harness.errors import UserError
from harness.models.checkpoint_files import read_tokenizer_json
from harness.models.llave.config import JsonFile
from harness.models.llave.vision import VisualInput
from harness.types import MEDIA_TOKEN

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_BEFORE = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n"
_AFTER = "<|im_end|>\n<|im_start|>assistant\n\n<|im_end|>\n"
_PAD, _SPECIAL = "<|endoftext|>", ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
_NOISE = "QA_GT_caption_based_noisy"
"""A mark in the training data that the public code deletes from every text."""


@dataclass(frozen=True, slots=True, eq=False)
class LlaveInput:
    """An item made ready: token ids before, between and after its pictures, cut to `length` tokens in all."""

    ids: tuple[NDArray[np.int64], ...]
    pictures: tuple[VisualInput, ...]
    length: int


class PromptPieces(NamedTuple):
    """Token ids before, between and after an item's media, so one piece more than media."""

    ids: tuple[NDArray[np.int64], ...]
    cut: bool
    """Whether the text was longer than the tokenizer's limit."""


def user_turn(text: str, media: int) -> str:
    """The user's turn, with one MEDIA_TOKEN for each of `media`.

    As in the public code a single medium always leads, and the text is stripped when it had to be moved there. Two
    cases it has no answer to: a medium that the text names no place for leads too (it would be dropped in silence), and
    several media stay where the text has them.
    """
    text = text.replace(_NOISE, "")
    while text.count(MEDIA_TOKEN) > media:
        head, _, tail = text.rpartition(MEDIA_TOKEN)
        text = head + tail
    if media == 1 and not text.startswith(MEDIA_TOKEN):
        return f"{MEDIA_TOKEN}\n{text.replace(MEDIA_TOKEN, '').strip()}".strip()
    return f"{MEDIA_TOKEN}\n" * (media - text.count(MEDIA_TOKEN)) + text


@dataclass(frozen=True, slots=True, eq=False)
class PromptBuilder:
    """Turns a user's turn into token ids. Safe in threads: the tokenizer is only read."""

    tokenizer: Tokenizer
    limit: int | None
    """Ids of a whole prompt, a medium counted as one; what is beyond is cut, the ending of the template included."""

    def encode(self, turn: str) -> PromptPieces:
        """Ids of the whole prompt. A literal `<|endoftext|>` vanishes, since the public code masks it as padding."""
        pad = self.tokenizer.token_to_id(_PAD)
        pieces, cut = [], False
        room = self.limit
        for number, part in enumerate((_BEFORE + turn + _AFTER).split(MEDIA_TOKEN)):
            ids = self.tokenizer.encode(part, add_special_tokens=False).ids
            if room is not None:
                room -= number > 0  # the medium before this part
                if room < 0:
                    cut = True
                    break
                cut = cut or len(ids) > room
                ids = ids[:room]
                room -= len(ids)
            pieces.append(np.array([each for each in ids if each != pad], np.int64))
        return PromptPieces(tuple(pieces), cut)


def read_prompter(folder: Path, vocabulary: int) -> PromptBuilder:
    """Loads a checkpoint's tokenizer. Raises UserError if its special tokens are missing or not where it says."""
    file = JsonFile.read(folder / "tokenizer_config.json")
    tokenizer = _read_tokenizer(folder)
    declared = _declared_ids(file)
    for token in _SPECIAL:
        found = tokenizer.token_to_id(token)
        if found is None or found >= vocabulary or declared.get(token, found) != found:
            place = "is missing" if found is None else f"has id {found}"
            told = f"; tokenizer_config.json says {declared[token]}" if token in declared else ""
            raise UserError(
                f"The tokenizer in {folder} is not LLaVE's: {token} {place}{told} ({vocabulary} ids have a vector).",
                "Take tokenizer.json, tokenizer_config.json, vocab.json, merges.txt and added_tokens.json from where "
                "the weights came from.",
            )
    limit = file.integer("model_max_length") if "model_max_length" in file.fields else None
    return PromptBuilder(tokenizer, limit)


def _read_tokenizer(folder: Path) -> Tokenizer:
    """tokenizer.json as it stands; without it, what transformers builds of vocab.json and merges.txt."""
    if (folder / "tokenizer.json").exists():
        return read_tokenizer_json(folder)
    missing = [name for name in ("vocab.json", "merges.txt") if not (folder / name).exists()]
    if missing:
        raise UserError(
            f"{folder} has no tokenizer: tokenizer.json is missing, and so is {' and '.join(missing)}.",
            "Copy or download the checkpoint again.",
        )
    from transformers import Qwen2Tokenizer

    built: Tokenizer = Qwen2Tokenizer.from_pretrained(folder).backend_tokenizer
    return built


def _declared_ids(file: JsonFile) -> dict[str, int]:
    """Ids of added tokens as tokenizer_config.json gives them; newer files leave them out."""
    added = file.fields.get("added_tokens_decoder")
    if not isinstance(added, dict):
        return {}
    return {str(each["content"]): int(at) for at, each in added.items() if isinstance(each, dict) and "content" in each}
