"""The prompts that the models were trained with: from a turn to the text that is tokenized.

A model that has a place of its own for the instruction gets it there; for the others it stands before the text, as the
data joins them.
"""

from __future__ import annotations

import unicodedata

from harness.models.common import plain_text
from harness.models.vlm.family import Turn
from harness.types import MEDIA_TOKEN


def joined(turn: Turn, image: str, *, video: str = "", newline: bool = True) -> str:
    """The data's own text, with `image` or `video` where it says so; without `newline` the one behind is left out.

    A medium that the text names no place for stands first.
    """
    text = turn.instruction + turn.text
    while text.count(MEDIA_TOKEN) > len(turn.media):
        head, _, tail = text.rpartition(MEDIA_TOKEN)
        text = head + tail
    unplaced = turn.media[: len(turn.media) - text.count(MEDIA_TOKEN)]
    text = "".join(f"{MEDIA_TOKEN} " if kind == "video" else f"{MEDIA_TOKEN}\n" for kind in unplaced) + text
    head, *rest = (text if newline else text.replace(f"{MEDIA_TOKEN}\n", MEDIA_TOKEN)).split(MEDIA_TOKEN)
    tokens = (video if kind == "video" else image for kind in turn.media)
    return head + "".join(token + part for token, part in zip(tokens, rest, strict=True))


def begun(turn: Turn, image: str, begin: str) -> str:
    """As `joined`, with the token that begins a text behind the images, or first where there are none."""
    text = joined(turn, image + begin, newline=False)
    return text if begin in text else begin + text


def in_system(turn: Turn, image: str, ending: str) -> str:
    """Qwen's chat with a query's instruction in the system turn; targets have the default there."""
    default = "You are a helpful assistant."
    said = _clean(turn.instruction) if turn.role == "query" else ""
    return _chat(said or default, image * turn.images + _own(turn), ending)


def represent(turn: Turn, image: str, video: str) -> str:
    """Qwen3-VL-Embedding: the instruction of either side in the system turn, ended by a full stop if by nothing.

    Videos come first, then images, then the text.
    """
    said = _clean(turn.instruction) or "Represent the user's input."
    if not unicodedata.category(said[-1]).startswith("P"):
        said += "."
    return _chat(said, video * turn.videos + image * turn.images + _own(turn) or "NULL", "")


def one_word_chat(turn: Turn, image: str, video: str) -> str:
    """LamRA, up to the token whose state is the vector: the one before the answer `<emb>`.

    Nothing behind it counts, since attention is causal, so the answer itself is left out.
    """
    said = _said(turn)
    named = ["video"] * bool(turn.videos) + ["image"] * bool(turn.images) + ["sentence"] * bool(said or not turn.media)
    shown = "".join(video if kind == "video" else image for kind in turn.media)
    user = f"{shown}{said}\nSummarize above {' and '.join(named)} in one word: "
    return _chat("You are a helpful assistant.", user, "")


def one_word_llama(turn: Turn, image: str) -> str:
    """E5-V. It has no place for an instruction, so a query's stands before its text."""
    said = _said(turn)
    what = "sentence" if not turn.images else "image and text" if said else "image"
    lines = [image] * turn.images + [said] * bool(said or not turn.images) + [f"Summary above {what} in one word: "]
    user, assistant = (f"<|start_header_id|>{who}<|end_header_id|>\n\n" for who in ("user", "assistant"))
    return user + "\n".join(lines) + f"<|eot_id|>{assistant} \n"


def instructed(turn: Turn, image: str) -> str:
    """BGE-VL-MLLM: text, then image; a query says what it asks for between marks, a target has none of them."""
    text = _own(turn)
    content = f" {text} \n" * bool(text) + f" {image}" * turn.images
    if turn.role == "target":
        return f"[INST] {content} [/INST]"
    said = _clean(turn.instruction)
    return f"[INST] \n <instruct> {said} <query>{content} [/INST]"


def _chat(system: str, user: str, ending: str) -> str:
    return (
        f"<|im_start|>system\n{system}<|im_end|>\n<|im_start|>user\n{user}<|im_end|>\n<|im_start|>assistant\n{ending}"
    )


def _clean(text: str) -> str:
    return plain_text(text).strip()


def _own(turn: Turn) -> str:
    """The text without its instruction; where there is nothing but the instruction, that."""
    return _clean(turn.text) or ("" if turn.media else _clean(turn.instruction))


def _said(turn: Turn) -> str:
    """A query's text behind its instruction; of a target its own."""
    return _clean(turn.instruction + turn.text) if turn.role == "query" else _own(turn)
