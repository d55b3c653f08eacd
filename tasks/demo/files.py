"""Writes the demo suite: tables in the layouts of MMEB-eval and MMEB-train, images, clips, corpora, and a manifest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias

from PIL import Image

from harness.types import Task
from tasks.demo.clips import write_clips
from tasks.demo.corpora import write_corpora
from tasks.demo.datasets import DemoQuestion, eval_questions, query_side, target_side, train_questions
from tasks.demo.draw import draw
from tasks.demo.scenes import Picture

MANIFEST = "manifest.json"
VIDEO, CORPORA = "video", "corpora"
"""The folder of clips and their captions, and that of corpora."""

_Table: TypeAlias = dict[str, list[str] | list[list[str]]]


class DemoFiles(NamedTuple):
    """The content of the tables and the images."""

    tables: dict[str, _Table]
    """Columns of text, by path in the suite's folder, in the order of the tasks."""
    pictures: dict[str, Picture]
    """Pictures by the name of their file, sorted."""


def demo_files(tasks: Sequence[Task], seed: int) -> DemoFiles:
    """Makes the questions of tasks of images, and names the pictures that they use."""
    tables: dict[str, _Table] = {}
    pictures: set[Picture] = set()
    for task in tasks:
        tested, trained = eval_questions(task, seed), train_questions(task, seed)
        tables[f"eval/{task.name}/test-00000-of-00001.parquet"] = _eval_table(task, tested)
        if trained:
            tables[f"train/{task.train_subset}/original-00000-of-00001.parquet"] = _train_table(task, trained)
        for question in (*tested, *trained):
            pictures.update(side for side in (question.picture, *question.answers) if isinstance(side, Picture))
    return DemoFiles(tables, dict(sorted((picture.name, picture) for picture in pictures)))


def write_demo(folder: Path, tasks: Sequence[Task], version: int, seed: int) -> None:
    """Writes tasks of images, the clips and the corpora into a folder that does not exist yet. The manifest comes last.

    The manifest's digest is a SHA-256. First come the path and the columns of each table as one line of JSON. Then
    come the name and the 48 x 48 x 3 bytes of pixels of each image. Then come each clip's line in the table of captions
    and its frames' pixels. Last come the tables and the pictures of the corpora.
    """
    tables, pictures = demo_files(tasks, seed)
    digest = hashlib.sha256()
    for path, table in tables.items():
        digest.update(json.dumps([path, table]).encode() + b"\n")
        (folder / path).parent.mkdir(parents=True)
        _write_parquet(folder / path, table)
    (folder / "images").mkdir()
    for name, picture in pictures.items():
        pixels = draw(picture)
        digest.update(name.encode() + pixels.tobytes())
        Image.fromarray(pixels).save(folder / "images" / name)
    digest.update(write_clips(folder / VIDEO, seed))
    digest.update(write_corpora(folder / CORPORA, seed))
    rows = {path: len(next(iter(table.values()))) for path, table in tables.items()}
    manifest = {"version": version, "seed": seed, "images": len(pictures), "rows": rows, "digest": digest.hexdigest()}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")


def _eval_table(task: Task, questions: Sequence[DemoQuestion]) -> _Table:
    queries = [query_side(task, question) for question in questions]
    targets = [[target_side(task, answer) for answer in question.answers] for question in questions]
    return {
        "qry_text": [side.text for side in queries],
        "qry_img_path": [side.path for side in queries],
        "tgt_text": [[side.text for side in sides] for sides in targets],
        "tgt_img_path": [[side.path for side in sides] for sides in targets],
    }


def _train_table(task: Task, questions: Sequence[DemoQuestion]) -> _Table:
    """A row for each question. There are columns for a hard negative only if the questions have one."""
    queries = [query_side(task, question) for question in questions]
    table: _Table = {"qry": [side.text for side in queries], "qry_image_path": [side.path for side in queries]}
    for at, place in enumerate(("pos", "neg")[: len(questions[0].answers)]):
        sides = [target_side(task, question.answers[at]) for question in questions]
        table[f"{place}_text"] = [side.text for side in sides]
        table[f"{place}_image_path"] = [side.path for side in sides]
    return table


def _write_parquet(path: Path, table: _Table) -> None:
    """Writes without a progress bar. Until it is done, progress bars are off in the whole process."""
    import datasets

    shown = not datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        datasets.Dataset.from_dict(table).to_parquet(path)
    finally:
        if shown:
            datasets.enable_progress_bars()
