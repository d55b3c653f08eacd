"""A folder with everything that the commands of the documentation name and that a test can make."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from llave.cli.main import main
from tests.helpers.clips import write_clip
from tests.helpers.doc_pages import Block, blocks
from tests.helpers.mmeb_files import columns, write_subset
from tests.helpers.v2_files import write_whole

SHORT_TRAINING = ("--set", "steps=1", "--set", "batch=2", "--set", "datasets=demo-object", "--set", "device=cpu")
"""Settings that make a step of training short."""
FEW = ("--limit", "2")
"""Queries of each of the demo's tasks."""


def call(*arguments: str) -> str:
    """The command in this process. Returns what it printed on standard output; fails if its exit status is not 0."""
    said, complained = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(complained):
        status = main(arguments)
    assert status == 0, f"{' '.join(arguments)}: exit status {status}\n{said.getvalue()}{complained.getvalue()}"
    return said.getvalue()


def example(page: str, language: str, number: int = 0) -> Block:
    """A block of a page."""
    return [each for each in blocks() if each.page == page and each.language == language][number]


MADE = (
    "ITEMS.jsonl",
    "cat.jpg",
    "data",
    "eval_images",
    "new",
    "old",
    "photos",
    "questions.jsonl",
    "runs/a/checkpoint-300",
    "runs/b/checkpoint-300",
    "runs/demo-infonce/checkpoint-300",
    "runs/demo/checkpoint-300",
    "runs/results",
    "runs/results/a",
    "runs/results/b",
    "runs/results/classical/1/demo-object.json",
    "runs/results/mine",
    "runs/results/org--model/main",
    "scores",
)
"""The paths that the pages name and that the functions below make."""


def write_data(folder: Path) -> None:
    """Media, JSON Lines of the pages, and a folder with whole datasets of MMEB and MMEB-V2, and one of videos."""
    for name in ("photos/1.jpg", "photos/2.jpg", "photos/cat.jpg", "cat.jpg", "a.png", "b.png"):
        _picture(folder / name, len(name))
    (folder / "clips").mkdir()
    write_clip(folder / "clips/1.mp4", length=4)
    (folder / "ITEMS.jsonl").write_text(example("docs/embed.md", "json").text)
    (folder / "questions.jsonl").write_text(example("docs/protocol.md", "json").text)
    for number in range(4):
        _picture(folder / f"data/images/{number}.png", number)
    labels = [(name, "") for name in ("red", "green", "blue", "white")]
    asked = [
        (f"<|image_1|>\nColour {at}?\n", f"{at % 4}.png", labels[at % 4 :] + labels[: at % 4]) for at in range(1000)
    ]
    write_subset(folder / "data", "ImageNet-1K", columns(asked))
    write_whole(folder / "data")
    (folder / "eval_images").symlink_to(folder / "data/images")
    videos = folder / "data/clips"
    videos.mkdir()
    rows = [{"video_id": f"v{at}", "caption": f"clip {at}"} for at in range(2)]
    (videos / "captions.json").write_text(json.dumps(rows))
    for at in range(2):
        write_clip(videos / f"v{at}.mp4", length=4 + at)


def write_results(folder: Path) -> None:
    """Results that the pages call by a path, in the current folder: of the demo, and of one dataset of MMEB."""
    demo = ("--tasks", "demo-object,demo-color", *FEW)
    call("run", "classical", "null/constant", *demo)
    for model, out in (("null/random", "a"), ("null/oracle", "b")):
        call("run", model, *demo, "--out", f"runs/results/{out}")
    for model, out in (("classical", "old"), ("null/constant", "new")):
        call("run", model, *demo, "--out", out)
    for model, out in (("null/random", "mine"), ("classical", "whole")):
        call("run", model, "--data", "data", "--suite", "mmeb", "--out", f"runs/{out}")
    (folder / "runs/mine").rename(folder / "runs/results/mine")
    (folder / "runs/results/org--model").mkdir()
    (folder / "runs/whole/classical/1").rename(folder / "runs/results/org--model/main")
    (folder / "scores").mkdir()
    call("export", "runs/results/mine", "--format", "mmeb", "-o", "scores/mine.json")
    call("embed", "classical", "ITEMS.jsonl", "-o", "VECTORS.safetensors")


def train(folder: Path) -> None:
    """Two checkpoints, trained for one step and evaluated, under the names that the pages give them."""
    for recipe in ("demo", "demo-infonce"):
        call("train", recipe, *SHORT_TRAINING)
        (folder / "runs" / recipe / "checkpoint-1").rename(folder / "runs" / recipe / "checkpoint-300")
        call("run", f"runs/{recipe}/checkpoint-300", "--tasks", "demo-object", *FEW)
    for name, recipe in (("a", "demo"), ("b", "demo-infonce")):
        shutil.copytree(folder / "runs" / recipe, folder / "runs" / name)


def write_modules(folder: Path, sources: Sequence[Block]) -> None:
    """Writes the blocks of Python whose docstring names a file."""
    for block in sources:
        name = block.text.removeprefix('"""').partition(":")[0]
        if block.text.startswith('"""') and name.endswith(".py"):
            (folder / name).write_text(block.text)


def _picture(path: Path, number: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (24 + number, 20), (60 * number % 255, 80, 40)).save(path)
