"""Texts for dual encoders as token ids: cleaned and truncated as in each family's own code."""

from __future__ import annotations

import re
import string
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from harness.errors import UserError
from harness.models.checkpoint_files import JsonFile
from harness.models.tokenizer import PromptTokenizer

_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


class TextTokens(NamedTuple):
    """Ids of a text with its special tokens, and whether the text was truncated."""

    ids: tuple[int, ...]
    cut: bool


@dataclass(frozen=True, slots=True)
class TextRule:
    """How a family of models writes a text. Special tokens are named by their keys in tokenizer_config.json."""

    before: str | None
    """The token before the text, if there is one."""
    after: str
    """The token after the text."""
    clean: Callable[[str], str] = str
    """Cleans the text before it is tokenized."""
    most_words: int | None = None
    """Maximum number of words of the cleaned text, which are separated by single spaces."""


@dataclass(frozen=True, slots=True, eq=False)
class TextReader:
    """Turns texts into token ids. What reads like a special token in a text is text. Threads can share a reader."""

    tokenizer: PromptTokenizer
    rule: TextRule
    before: tuple[int, ...]
    after: int
    pad: int
    limit: int
    """Maximum number of ids, special tokens included. A longer text loses its end, but keeps the token after it."""

    def read(self, text: str) -> TextTokens:
        """Cleans, tokenizes and truncates a text."""
        words = self.rule.clean(text).split(" ")
        kept = words[: self.rule.most_words]
        ids = self.tokenizer.encode(self.tokenizer.quoted(" ".join(kept)))
        room = self.limit - len(self.before) - 1
        return TextTokens((*self.before, *ids[:room], self.after), len(kept) < len(words) or len(ids) > room)


def read_tokenizer(folder: Path, rule: TextRule, limit: int, vocabulary: int) -> TextReader:
    """Loads tokenizer.json.

    Special tokens are added by `TextReader`. So they depend neither on the file's own settings nor on the class that a
    version of transformers would choose for it.

    Args:
        folder: the checkpoint's folder.
        rule: how texts are written.
        limit: maximum number of ids, special tokens included.
        vocabulary: the number of ids that have an embedding.

    Raises:
        UserError: if the file or a special token that the recipe needs is missing.
    """
    settings = JsonFile.read(folder / "tokenizer_config.json")
    tokenizer = PromptTokenizer.read(folder)

    def known(key: str) -> int:
        declared = settings.fields.get(key)
        token = declared.get("content") if isinstance(declared, dict) else declared
        found = tokenizer.id_of(token) if isinstance(token, str) else None
        if found is None or found >= vocabulary:
            raise UserError(
                f"The tokenizer in {folder} does not fit the model: its {key} {token!r} has id {found}, and "
                f"{vocabulary} ids have an embedding.",
                "Take tokenizer.json and tokenizer_config.json from where the weights came from.",
            )
        return found

    before = () if rule.before is None else (known(rule.before),)
    return TextReader(tokenizer, rule, before, known(rule.after), known("pad_token"), limit)


def siglip_rule(folder: Path) -> TextRule:
    """Returns how texts are written for SigLIP: canonicalized for SigLIP, in lower case for SigLIP 2.

    The tokenizer's class tells the two apart. SigLIP 2 has the tokenizer of Gemma. It does not lower the case, although
    the model was trained on lower case (huggingface.co/google/siglip2-base-patch16-224/discussions/22). There is an end
    token, no start token, and padding on the right, as in transformers' convert_siglip2_to_hf.py.

    Raises:
        UserError: for a tokenizer of another class.
    """
    settings = JsonFile.read(folder / "tokenizer_config.json")
    kind = str(settings.fields.get("tokenizer_class", ""))
    if kind.startswith(("Gemma", "Siglip2")):
        return TextRule(None, "eos_token", str.lower)
    if not kind.startswith("Siglip"):
        raise UserError(
            f"{settings.path} says tokenizer_class {kind!r}, which is neither version of SigLIP.",
            "It is not known how its texts are cleaned. Take the file from where the weights came from.",
        )
    lower = settings.fields.get("do_lower_case", True) is not False
    return TextRule(None, "eos_token", lambda text: without_punctuation(text.lower() if lower else text))


def without_punctuation(text: str) -> str:
    """Removes ASCII punctuation and repeated spaces: `canonicalize_text` of transformers' SigLIP."""
    return " ".join(text.translate(_NO_PUNCTUATION).split())


def as_caption(text: str) -> str:
    """Lowers the case and replaces some punctuation by spaces.

    Source: `blip_caption` of LAVIS (lavis/processors/blip_processors.py).
    """
    text = re.sub(r'[.!"()*#:;~]', " ", text.lower())
    return re.sub(r"\s{2,}", " ", text).rstrip("\n").strip(" ")


def as_sentence(text: str) -> str:
    """Adds a capital at the start and a full stop at the end, if there is no end mark.

    Source: `format_string` of UniIR (src/data/preprocessing/utils.py).
    """
    text = text.replace("\r", "").strip().strip('"')
    if not text:
        return text
    return text[0].upper() + text[1:] + ("" if text[-1] in ".?!" else ".")
