"""Published facts about LLaVE's training: rows of MMEB-train, and shapes of the initial checkpoints.

`llave train --dry-run` uses them where neither data nor weights are at hand.
"""

from __future__ import annotations

from collections.abc import Mapping

MMEB_TRAIN = "TIGER-Lab/MMEB-train"

TRAIN_ROWS: Mapping[str, int] = {
    "ImageNet_1K": 100_000,
    "N24News": 48_988,
    "HatefulMemes": 8_500,
    "VOC2007": 7_844,
    "SUN397": 19_850,
    "OK-VQA": 9_009,
    "A-OKVQA": 17_056,
    "DocVQA": 39_450,
    "InfographicsVQA": 23_950,
    "ChartQA": 28_300,
    "Visual7W": 70_000,
    "VisDial": 123_500,
    "CIRR": 26_116,
    "VisualNews_t2i": 100_000,
    "VisualNews_i2t": 100_000,
    "MSCOCO_t2i": 100_000,
    "MSCOCO_i2t": 113_500,
    "NIGHTS": 15_950,
    "WebQA": 17_150,
    "MSCOCO": 100_000,
}
"""Number of rows of each dataset of MMEB-train in one split, in the order of MMEB."""

ROUNDED = frozenset(
    {
        "DocVQA",
        "InfographicsVQA",
        "ChartQA",
        "Visual7W",
        "VisDial",
        "VisualNews_t2i",
        "VisualNews_i2t",
        "MSCOCO_t2i",
        "MSCOCO_i2t",
        "NIGHTS",
        "WebQA",
        "MSCOCO",
    }
)
"""Datasets whose counts are published rounded and for both splits together. `TRAIN_ROWS` has half of those."""

_SHAPE = (
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "vocab_size",
)

SHAPES: Mapping[str, Mapping[str, int]] = {
    name: dict(zip(_SHAPE, shape, strict=True))
    for name, shape in {
        "lmms-lab/llava-onevision-qwen2-0.5b-ov": (896, 4864, 24, 14, 2, 151_936),
        "BAAI/Aquila-VL-2B-llava-qwen": (1536, 8960, 28, 12, 2, 151_936),
        "lmms-lab/llava-onevision-qwen2-7b-ov": (3584, 18_944, 28, 28, 4, 152_064),
    }.items()
}
"""Shapes of the language models in LLaVE's initial checkpoints: Qwen2 0.5B, Qwen2.5 1.5B and Qwen2 7B.

They come from public copies of these models' own config.json. Only the sum of parameters shows that the
checkpoints did not change them. It includes the projector and SigLIP so400m/14-384 without its last layer and head. The
sum is 0.894, 1.95 and 8.03 billion, as MMEB's leaderboard lists. A few hundred words more would not show in it.
"""
