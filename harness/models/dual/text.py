"""Texts for dual encoders: cleaned as the family's own code cleans them, and cut where it cuts them, as token ids."""

from __future__ import annotations

import re
import string
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from harness.errors import UserError
from harness.models.checkpoint_files import read_tokenizer_json
from harness.models.llave.config import JsonFile

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


class TextTokens(NamedTuple):
    """Ids of a text with the tokens around it, and whether a limit took anything away."""

    ids: tuple[int, ...]
    cut: bool


@dataclass(frozen=True, slots=True)
class TextRule:
    """How a family of models writes a text. Tokens are named by their keys in tokenizer_config.json."""

    before: str | None
    after: str
    clean: Callable[[str], str] = str
    most_words: int | None = None
    """Words of the cleaned text, between single spaces; what comes after them is left out."""


@dataclass(frozen=True, slots=True, eq=False)
class TextReader:
    """Turns texts into token ids. Safe in threads: the tokenizer is only read."""

    tokenizer: Tokenizer
    rule: TextRule
    before: tuple[int, ...]
    after: int
    pad: int
    limit: int
    """Ids of a whole text. What is too long loses its end, but not the token after it."""

    def read(self, text: str) -> TextTokens:
        words = self.rule.clean(text).split(" ")
        kept = words[: self.rule.most_words]
        ids = self.tokenizer.encode(" ".join(kept), add_special_tokens=False).ids
        room = self.limit - len(self.before) - 1
        return TextTokens((*self.before, *ids[:room], self.after), len(kept) < len(words) or len(ids) > room)


def read_tokenizer(folder: Path, rule: TextRule, limit: int, vocabulary: int) -> TextReader:
    """Loads tokenizer.json. Raises UserError if it, or a token that the model's recipe needs, is missing.

    The tokens around a text are put there by `TextReader`, so that neither the file's own settings nor the class that a
    version of transformers would choose for it can change them.
    """
    settings = JsonFile.read(folder / "tokenizer_config.json")
    tokenizer = read_tokenizer_json(folder)

    def known(key: str) -> int:
        declared = settings.fields.get(key)
        token = declared.get("content") if isinstance(declared, dict) else declared
        found = tokenizer.token_to_id(token) if isinstance(token, str) else None
        if found is None or found >= vocabulary:
            raise UserError(
                f"The tokenizer in {folder} does not fit the model: its {key} {token!r} has id {found}, and "
                f"{vocabulary} ids have a vector.",
                "Take tokenizer.json and tokenizer_config.json from where the weights came from.",
            )
        return found

    before = () if rule.before is None else (known(rule.before),)
    return TextReader(tokenizer, rule, before, known(rule.after), known("pad_token"), limit)


def siglip_rule(folder: Path) -> TextRule:
    """SigLIP's rule for its first version, lower case alone for its second; told apart by the tokenizer's class.

    The tokenizer of the second, Gemma's, does not lower the case by itself, though the model was trained so
    (huggingface.co/google/siglip2-base-patch16-224/discussions/22). No start token, an end token, padding on the right:
    transformers' convert_siglip2_to_hf.py.
    """
    settings = JsonFile.read(folder / "tokenizer_config.json")
    kind = str(settings.fields.get("tokenizer_class", ""))
    if kind.startswith(("Gemma", "Siglip2")):
        return TextRule(None, "eos_token", str.lower)
    if not kind.startswith("Siglip"):
        raise UserError(
            f"{settings.path} says tokenizer_class {kind!r}, which is neither version of SigLIP.",
            "How its texts are to be cleaned is not known here. Take the file from where the weights came from.",
        )
    lower = settings.fields.get("do_lower_case", True) is not False
    return TextRule(None, "eos_token", lambda text: without_punctuation(text.lower() if lower else text))


def without_punctuation(text: str) -> str:
    """The text without ASCII punctuation, and with single spaces: `canonicalize_text` of transformers' SigLIP."""
    return " ".join(text.translate(_NO_PUNCTUATION).split())


def as_caption(text: str) -> str:
    """Lower case, some punctuation as spaces: `blip_caption` of LAVIS (lavis/processors/blip_processors.py)."""
    text = re.sub(r'[.!"()*#:;~]', " ", text.lower())
    return re.sub(r"\s{2,}", " ", text).rstrip("\n").strip(" ")


def as_sentence(text: str) -> str:
    """Begins with a capital and ends with a mark: `format_string` of UniIR (src/data/preprocessing/utils.py)."""
    text = text.replace("\r", "").strip().strip('"')
    if not text:
        return text
    return text[0].upper() + text[1:] + ("" if text[-1] in ".?!" else ".")
