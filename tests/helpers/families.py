"""Small random checkpoints of all families that can be trained, and pairs that suit each."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from tests.helpers import dual_files, sentence_files, vlm_files
from tests.helpers.training_files import COLOURS, write_start


@dataclass(frozen=True, slots=True)
class Family:
    """How a checkpoint is written into a folder, and how a model in it is named."""

    write: Callable[[Path], object]
    name: str = "{folder}"
    sees_images: bool = True


def _sentence_text(folder: Path) -> None:
    """A small BERT without dropout."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Dense, Pooling, Transformer
    from transformers import BertConfig, BertModel

    config = BertConfig(**sentence_files.TOWER, vocab_size=len(sentence_files.WORDS), max_position_embeddings=32)
    config.hidden_dropout_prob = config.attention_probs_dropout_prob = 0.0
    bare = folder.parent / "bare-bert"
    BertModel(config).save_pretrained(bare)
    sentence_files._reader(32).save_pretrained(bare)
    network = Transformer(str(bare))
    modules = [network, Pooling(32), Dense(32, 16)]
    SentenceTransformer(modules=modules, device="cpu").save(str(folder))


def _sentence_clip(folder: Path) -> None:
    from sentence_transformers import SentenceTransformer

    bare = sentence_files.write_clip(folder.parent / "bare-clip")
    SentenceTransformer(str(bare), device="cpu").save(str(folder))


FAMILIES: Mapping[str, Family] = {
    "llave": Family(write_start),
    "clip": Family(dual_files.write_clip),
    "siglip": Family(dual_files.write_siglip),
    "siglip2": Family(dual_files.write_siglip2),
    "blip2": Family(dual_files.write_blip2),
    "qwen2-vl": Family(vlm_files.write_qwen2, "vlm/gme-qwen2-vl-2b={folder}"),
    "qwen2.5-vl": Family(vlm_files.write_qwen25, "vlm/lamra-ret-qwen2.5-vl={folder}"),
    "qwen3-vl": Family(vlm_files.write_qwen3, "vlm/qwen3-vl-embedding-2b={folder}"),
    "llava-next": Family(vlm_files.write_llava_next, "vlm/e5-v={folder}"),
    "mllama": Family(vlm_files.write_mllama, "vlm/mme5-mllama-11b={folder}"),
    "sentence text": Family(_sentence_text, sees_images=False),
    "sentence images": Family(_sentence_clip),
}


def write_family(place: Path, name: str) -> Path:
    """Writes a checkpoint `begin` and pairs `data.jsonl` into a folder."""
    FAMILIES[name].write(place / "begin")
    for at, (colour, value) in enumerate(COLOURS.items()):
        Image.new("RGB", (60 + at, 40), value).save(place / f"{colour}.png")
    lines = []
    for at in range(8):
        colour = list(COLOURS)[at % 3]
        asked = {"text": f"a {at}", "image": f"{colour}.png"} if FAMILIES[name].sees_images else f"a ball {at}"
        lines.append({"query": asked, "positive": f"{colour} {at}", "negatives": [f"no {at}"]})
        if FAMILIES[name].sees_images:
            lines.append({"query": f"{colour} cube {at}", "positive": {"image": f"{colour}.png", "text": f"b {at}"}})
        else:
            lines.append({"query": f"{colour} cube {at}", "positive": f"left {at}"})
    (place / "data.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return place


def model_of(place: Path, name: str) -> str:
    """The name of the model that `write_family` wrote."""
    return FAMILIES[name].name.replace("{folder}", str(place / "begin"))
