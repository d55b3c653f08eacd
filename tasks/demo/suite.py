"""The embedded suite: scenes drawn by code, written as MMEB's files are and read by the same loaders. No download."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from harness.errors import UserError
from harness.paths import cache_dir, explain_os_errors
from harness.types import DataInfo, Task, TaskData
from tasks.demo.clips import CAPTIONS, demo_clips
from tasks.demo.datasets import DEMO_ROWS, eval_questions, query_side, target_side, train_questions, words_of
from tasks.demo.files import MANIFEST, VIDEO, write_demo
from tasks.video.files import VideoSet
from tasks.video.retrieval import LLAVE, Direction, Row, VideoSource, video_tasks

if TYPE_CHECKING:
    from tasks.mmeb.folder import FolderSource

__all__ = ["DEMO_ROWS", "DEMO_SEED", "DEMO_VERSION", "DemoSource", "demo_tasks", "demo_vocabulary", "ensure_demo"]

DEMO_VERSION = 2
"""A change of any row or pixel needs a new one: it is part of the folder's name."""
DEMO_SEED = 0


_CLIPS = Row(
    "demo-video", LLAVE, "Find me a video that matches the given caption: ", "Represent the given video.", 60, 60
)


@dataclass(frozen=True, slots=True)
class DemoSource:
    """The suite in its folder, which is written when it is first asked for."""

    folder: Path | None = None
    """None: in the cache."""
    clips: Direction | None = None
    """None: the tasks of images; else text to video, or video to text."""

    def describe(self) -> str:
        return f"drawn by code (version {DEMO_VERSION}, seed {DEMO_SEED}) into {self._place()}"

    def info(self, task: Task) -> DataInfo:
        return replace(self._files().info(task), source="drawn by code", revision=f"{DEMO_VERSION}-seed{DEMO_SEED}")

    def load(self, task: Task) -> TaskData:
        return self._files().load(task)

    def _place(self) -> Path:
        return self.folder or cache_dir() / f"demo-{DEMO_VERSION}"

    def _files(self) -> FolderSource | VideoSource:
        from tasks.mmeb.folder import FolderSource

        folder = ensure_demo(self._place())
        if self.clips:
            video = folder / VIDEO
            return VideoSource(_CLIPS, self.clips, VideoSet(video, "", (video / CAPTIONS,), video))
        return FolderSource(data=folder / "eval", images=folder / "images")


def demo_tasks(folder: Path | None = None) -> tuple[Task, ...]:
    """The tasks of the suite, in the order of their rows, then those of clips."""
    source = DemoSource(folder)
    images = (
        Task(
            name=row.name,
            meta_task=row.meta_task,
            split=row.split,
            query_modality=row.query_modality,
            target_modality=row.target_modality,
            source=source,
            num_queries=row.num_queries,
            num_candidates=row.num_candidates,
            query_instruction=row.query_instruction,
            target_instruction=row.target_instruction,
            train_subset=row.train_subset,
        )
        for row in DEMO_ROWS
    )
    clips = (
        replace(task, name=f"{_CLIPS.dataset}-{direction}", source=DemoSource(folder, direction))
        for task, direction in zip(video_tasks(_CLIPS), _CLIPS.directions, strict=True)
    )
    return *images, *clips


def ensure_demo(folder: Path, seed: int = DEMO_SEED) -> Path:
    """Writes `eval`, `train`, `images` and `video` into a folder, all or nothing, unless they are there. Returns it.

    Raises UserError if something else is there, or if the disk refuses.
    """
    if not _is_there(folder, seed):
        with explain_os_errors(folder):
            folder.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(folder.parent / f".{folder.name}.lock"):
                if not _is_there(folder, seed):
                    partial = folder.parent / f".{folder.name}.partial"
                    if partial.exists():
                        shutil.rmtree(partial)
                    write_demo(partial, DEMO_VERSION, seed)
                    partial.rename(folder)
    return folder


def _is_there(folder: Path, seed: int) -> bool:
    """Whether a folder is the suite; False if it is empty or missing. Raises UserError if it is anything else."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        found = f"version {manifest['version']}, seed {manifest['seed']}"
    except (FileNotFoundError, NotADirectoryError):
        if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
            return False
        found = "no demo suite"
    except (ValueError, KeyError, TypeError):
        found = f"a damaged {MANIFEST}"
    wanted = f"version {DEMO_VERSION}, seed {seed}"
    if found != wanted:
        raise UserError(
            f"{folder} holds {found}, but the demo suite of {wanted} was to be written there.",
            "Choose another folder, or remove this one to have it written again.",
        )
    return True


@cache
def demo_vocabulary() -> tuple[str, ...]:
    """Every word of every text of the suite, as `words_of` splits them, sorted."""
    texts = {_CLIPS.caption_prompt, _CLIPS.video_prompt, *(clip.caption for clip in demo_clips(DEMO_SEED))}
    for row in DEMO_ROWS:
        for question in (*eval_questions(row, DEMO_SEED), *train_questions(row, DEMO_SEED)):
            texts.add(query_side(row, question).text)
            texts.update(target_side(row, answer).text for answer in question.answers)
    return tuple(sorted({word for text in texts for word in words_of(text)}))
