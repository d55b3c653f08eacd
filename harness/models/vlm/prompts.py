"""The prompts that the models were trained with, built from a turn.

Some prompts have a separate place for the instruction. In the others it comes before the text, as in the data.
"""

from __future__ import annotations

import unicodedata

from harness.models.common import plain_text
from harness.models.vlm.family import Turn
from harness.types import MEDIA_TOKEN


def joined(turn: Turn, image: str, *, video: str = "", newline: bool = True) -> str:
    """Returns the data's own text with the tokens `image` and `video` in place of MEDIA_TOKEN.

    A medium without a MEDIA_TOKEN in the text comes first. A MEDIA_TOKEN without a medium is removed. Without `newline`
    the newline after each token is removed.
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
    """Returns the `joined` text with the token `begin` after each image, or first if there are no images (mmE5)."""
    text = joined(turn, image + begin, newline=False)
    return text if begin in text else begin + text


def in_system(turn: Turn, image: str, ending: str) -> str:
    """Returns Qwen's chat with a query's instruction in the system turn. Targets have the default there (GME)."""
    default = "You are a helpful assistant."
    instruction = _clean(turn.instruction) if turn.role == "query" else ""
    return _chat(instruction or default, image * turn.images + _own_text(turn), ending)


def represent(turn: Turn, image: str, video: str) -> str:
    """Returns the prompt of Qwen3-VL-Embedding, with the instruction of either side in the system turn.

    An instruction without punctuation at its end gets a full stop. Videos come first, then images, then the text.
    """
    instruction = _clean(turn.instruction) or "Represent the user's input."
    if not unicodedata.category(instruction[-1]).startswith("P"):
        instruction += "."
    return _chat(instruction, video * turn.videos + image * turn.images + _own_text(turn) or "NULL", "")


def one_word_chat(turn: Turn, image: str, video: str) -> str:
    """Returns LamRA's prompt up to the token before the answer `<emb>`, whose state is the vector.

    The answer is left out, because with causal attention it does not change that state.
    """
    text = _full_text(turn)
    named = ["video"] * bool(turn.videos) + ["image"] * bool(turn.images) + ["sentence"] * bool(text or not turn.media)
    media = "".join(video if kind == "video" else image for kind in turn.media)
    user = f"{media}{text}\nSummarize above {' and '.join(named)} in one word: "
    return _chat("You are a helpful assistant.", user, "")


def one_word_llama(turn: Turn, image: str) -> str:
    """Returns E5-V's prompt. It has no place for an instruction, so a query's instruction comes before its text."""
    text = _full_text(turn)
    what = "sentence" if not turn.images else "image and text" if text else "image"
    lines = [image] * turn.images + [text] * bool(text or not turn.images) + [f"Summary above {what} in one word: "]
    user, assistant = (f"<|start_header_id|>{who}<|end_header_id|>\n\n" for who in ("user", "assistant"))
    return user + "\n".join(lines) + f"<|eot_id|>{assistant} \n"


def instructed(turn: Turn, image: str) -> str:
    """Returns BGE-VL-MLLM's prompt: text, then image. Only a query has an instruction, and tags around it."""
    text = _own_text(turn)
    content = f" {text} \n" * bool(text) + f" {image}" * turn.images
    if turn.role == "target":
        return f"[INST] {content} [/INST]"
    return f"[INST] \n <instruct> {_clean(turn.instruction)} <query>{content} [/INST]"


def _chat(system: str, user: str, ending: str) -> str:
    return (
        f"<|im_start|>system\n{system}<|im_end|>\n<|im_start|>user\n{user}<|im_end|>\n<|im_start|>assistant\n{ending}"
    )


def _clean(text: str) -> str:
    return plain_text(text).strip()


def _own_text(turn: Turn) -> str:
    """The text without the instruction, or the instruction if there is nothing else."""
    return _clean(turn.text) or ("" if turn.media else _clean(turn.instruction))


def _full_text(turn: Turn) -> str:
    """The instruction and text of a query, or the own text of a target."""
    return _clean(turn.instruction + turn.text) if turn.role == "query" else _own_text(turn)
