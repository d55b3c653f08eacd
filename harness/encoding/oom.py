"""Out-of-memory errors: recognizing them, and freeing memory after them."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from harness.errors import UserError

_WORDS = ("out of memory", "not enough memory", "allocate memory", "alloc_failed")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of numpy, torch or its allocators means that memory ran out, on the CPU or a GPU."""
    text = str(error).lower()
    named = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    return named or any(words in text for words in _WORDS)


@contextmanager
def enough_to_load(what: str) -> Iterator[None]:
    """Turns an out-of-memory error while `what` is loaded into a UserError. Other errors pass unchanged."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise UserError(
            f"There is not enough memory to load {what}.",
            "Use a device with more memory or a smaller --dtype, or end other programs that use its memory.",
        ) from error


def release_memory() -> None:
    """Frees the memory that a failed batch left behind, torch's cached GPU memory included."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
