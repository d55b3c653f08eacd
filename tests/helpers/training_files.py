"""Training pairs, a small initial checkpoint, and runs with them, for tests."""

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

from harness.progress import WorkKind
from trainers.config import TrainingConfig, override
from trainers.engine.scratch import write_scratch
from trainers.train import train

WORDS = ("what", "colour", "?", "an", "image", "red", "green", "blue", "number", *map(str, range(12)))
COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}
BASE = TrainingConfig(
    recipe="test",
    model="",
    data="",
    batch=8,
    max_steps=4,
    learning_rate=1e-3,
    temperature=0.05,
    precision="fp32",
    gradient_checkpointing=False,
    frozen=(),
    device="cpu",
    workers=1,
    logging_steps=1,
    save_steps=2,
)


class Recorder:
    """A `harness.progress.Progress` that records what it is told."""

    def __init__(self) -> None:
        self.phases: list[tuple[str, int]] = []
        self.states: list[str] = []
        self.notes: list[str] = []

    def phase(self, name: str, total: int) -> None:
        self.phases.append((name, total))

    def advance(self, steps: int = 1, state: str = "") -> None:
        self.states += [state] * steps

    def expect(self, model: str, work: Mapping[WorkKind, int]) -> None:
        """Nothing is recorded."""

    def finish(self, model: str, work: Mapping[WorkKind, int]) -> None:
        """Nothing is recorded."""

    def note(self, text: str) -> None:
        self.notes.append(text)


def forget_precision() -> None:
    """Resets accelerate, which keeps the precision that a process asks for first."""
    AcceleratorState._reset_state()


def write_table(data: Path, name: str, rows: Mapping[str, Sequence[str]], split: str = "original") -> Path:
    path = data / name / f"{split}-00000-of-00001.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({key: pa.array(values, pa.string()) for key, values in rows.items()}), path)
    return path


def write_pairs(data: Path, rows: int = 12) -> Path:
    """Writes two datasets with the same drawn images: queries with an image, and targets with an image."""
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
    """Writes a small initial checkpoint that knows `WORDS`."""
    write_scratch(folder, WORDS, 0)
    return folder


def write_place(folder: Path, rows: int = 12) -> Path:
    """Writes pairs and an initial checkpoint to a folder, where runs are also written."""
    write_pairs(folder / "data", rows)
    write_start(folder / "begin")
    return folder


def config(place: Path, *settings: str) -> TrainingConfig:
    """The config of a run on the pairs and the initial checkpoint in a folder."""
    return override(override(BASE, [f"data={place / 'data'}", f"model={place / 'begin'}"]), list(settings))


def run(place: Path, name: str, *settings: str, resume: bool = False) -> Path:
    """Trains in this process, and returns the last checkpoint."""
    return train(config(place, *settings), place / name, Recorder(), resume=resume)


def weights(checkpoint: Path) -> dict[str, Tensor]:
    return load_file(checkpoint / "model.safetensors")


def same(a: Path, b: Path, tolerance: float = 0.0) -> bool:
    """Whether two checkpoints have the same weights."""
    left, right = weights(a), weights(b)
    return left.keys() == right.keys() and all(torch.allclose(left[n], right[n], 0, tolerance) for n in left)
