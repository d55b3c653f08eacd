"""A small checkpoint of every family, and how a user names it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path

from harness.models import open_model
from harness.types import ModelHandle, ModelSettings
from tests.helpers import dual_files, llave_files, sentence_files, vlm_files

NAMES: Mapping[str, str] = {
    "llave": "llave/{}",
    "clip": "clip/{}",
    "siglip": "siglip/{}",
    "siglip2": "siglip2/{}",
    "blip2": "blip2/{}",
    "uniir": "uniir/{}",
    "qwen2_vl": "vlm/gme-qwen2-vl-2b={}",
    "qwen2_5_vl": "vlm/moca-qwen2.5-vl-3b={}",
    "qwen3_vl": "vlm/qwen3-vl-embedding-2b={}",
    "llava_next": "vlm/e5-v={}",
    "mllama": "vlm/mme5-mllama-11b={}",
    "sentence": "sentence-transformers/{}",
}
"""How a user names a checkpoint of each family."""


def write_dual(name: str) -> Callable[[Path], Path]:
    """A function that writes a dual encoder into a new folder."""

    def write(folder: Path) -> Path:
        folder.mkdir(parents=True)
        dual_files.KINDS[name].write(folder)
        return folder

    return write


def write_sentence(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return sentence_files.write_clip(folder)


WRITERS: Mapping[str, Callable[[Path], Path]] = {
    "llave": llave_files.write_checkpoint,
    **{name: write_dual(name) for name in ("clip", "siglip", "siglip2", "blip2")},
    **vlm_files.WRITERS,
    **({"sentence": write_sentence} if find_spec("sentence_transformers") else {}),
}
"""Functions that write a whole checkpoint of each family into a new folder."""


def opened(family: str, folder: Path, **options: str) -> ModelHandle:
    """A handle on a checkpoint, on the CPU."""
    return open_model(NAMES[family].format(folder), ModelSettings("cpu", options=options))
