"""Pairs to train on, a small start, and runs on them, for tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from accelerate.state import AcceleratorState
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

from harness.progress import NoProgress, Progress
from trainers.config import TrainingConfig, override
from trainers.engine.scratch import write_scratch
from trainers.train import train

WORDS = ("what", "colour", "?", "an", "image", "red", "green", "blue", "number", *map(str, range(12)))
COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}
BASE = TrainingConfig(
    recipe="test",
    start="",
    data="",
    batch=8,
    steps=4,
    lr=1e-3,
    scale=20.0,
    precision="fp32",
    gradient_checkpointing=False,
    frozen=(),
    device="cpu",
    workers=1,
    log_every=1,
    save_every=2,
)


class Quiet:
    """A watcher that remembers."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.notes: list[str] = []

    def begin(self, done: int, steps: int) -> None:
        self.done, self.steps = done, steps

    def step(self, loss: float, pairs_per_second: float) -> None:
        self.losses.append(loss)

    def note(self, text: str) -> None:
        self.notes.append(text)

    def evaluating(self) -> Progress:
        return NoProgress()


def forget_precision() -> None:
    """Accelerate holds a process to the precision that it first asks for."""
    AcceleratorState._reset_state()


def write_table(data: Path, name: str, rows: Mapping[str, Sequence[str]], split: str = "original") -> Path:
    path = data / name / f"{split}-00000-of-00001.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({key: pa.array(values, pa.string()) for key, values in rows.items()}), path)
    return path


def write_pairs(data: Path, rows: int = 12) -> Path:
    """Two datasets over the same drawn images: one asks images for words, the other words for images."""
    names = [f"{number}.png" for number in range(rows)]
    kinds = [list(COLOURS)[number % 3] for number in range(rows)]
    (data / "images").mkdir(parents=True)
    for number, (name, kind) in enumerate(zip(names, kinds, strict=True)):
        pixels = np.random.default_rng(number).integers(0, 60, (20, 24, 3)) + np.array(COLOURS[kind]) // 2
        Image.fromarray(pixels.astype(np.uint8)).save(data / "images" / name)
    write_table(
        data,
        "ask",
        {
            "qry": ["<|image_1|>\nwhat colour ?\n"] * rows,
            "qry_image_path": names,
            "pos_text": kinds,
            "pos_image_path": [""] * rows,
        },
    )
    find = {
        "qry": [f"number {number}" for number in range(rows)],
        "qry_image_path": [""] * rows,
        "pos_text": ["<|image_1|>\nan image\n"] * rows,
        "pos_image_path": names,
        "neg_text": ["<|image_1|>\nan image\n"] * rows,
        "neg_image_path": [*names[1:], names[0]],
    }
    write_table(data, "find", find)
    return data


def write_start(folder: Path) -> Path:
    write_scratch(folder, WORDS, 0)
    return folder


def write_place(folder: Path, rows: int = 12) -> Path:
    """A folder with pairs and a start, where runs may go."""
    write_pairs(folder / "data", rows)
    write_start(folder / "begin")
    return folder


def config(place: Path, *settings: str) -> TrainingConfig:
    """Of a run on the pairs and the start that lie in a folder."""
    return override(BASE, [f"data={place / 'data'}", f"start={place / 'begin'}", *settings])


def run(place: Path, name: str, *settings: str, resume: bool = False) -> Path:
    """Trains in this process, and returns the last checkpoint."""
    return train(config(place, *settings), place / name, Quiet(), resume=resume)


def weights(checkpoint: Path) -> dict[str, Tensor]:
    return load_file(checkpoint / "model.safetensors")


def same(a: Path, b: Path, tolerance: float = 0.0) -> bool:
    """Whether two checkpoints have the same weights."""
    left, right = weights(a), weights(b)
    return left.keys() == right.keys() and all(torch.allclose(left[n], right[n], 0, tolerance) for n in left)
