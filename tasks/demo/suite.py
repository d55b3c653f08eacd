"""The demo suite: scenes drawn by code, written and read in MMEB's layout. It needs no download."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from filelock import FileLock

from harness.errors import UserError
from harness.files.paths import cache_dir
from harness.files.reading import explain_reading, read_object
from harness.files.writing import explain_os_errors
from harness.types import DataInfo, Source, Task, TaskData
from tasks.clustering import clustering_of
from tasks.corpus.layout import find_corpora
from tasks.corpus.source import METRICS, CorpusSource
from tasks.demo.clips import CAPTIONS, demo_clips
from tasks.demo.corpora import IMAGES, NUM_GRADED, NUM_ORDERED, ORDERS, SECONDS
from tasks.demo.datasets import eval_questions, query_side, target_side, train_questions, words_of
from tasks.demo.files import CORPORA, MANIFEST, VIDEO, write_demo
from tasks.mmeb.datasets import mmeb_task
from tasks.video.files import VideoSet
from tasks.video.retrieval import LLAVE, VideoSource, video_tasks

DEMO_VERSION = 3
"""The version is part of the folder's name. A change of any row or pixel needs a new version."""
DEMO_SEED = 0
NUM_QUERIES, NUM_CLIPS = 100, 60
_REMOVE = "Choose another folder, or remove this one to have it written again."


@dataclass(frozen=True, slots=True)
class DemoSource:
    """Reads the suite in its folder, which is written at the first use."""

    folder: Path | None = None
    """The folder of the suite. None: a folder in the cache."""
    clips: VideoSource | None = None
    """How the clips are read. None: the task is not one of clips."""
    corpus: str = ""
    """The name of the corpus. Empty: the task is not one of a corpus."""

    def describe(self) -> str:
        """Says where the data comes from, in one line."""
        return f"drawn by code (version {DEMO_VERSION}, seed {DEMO_SEED}) into {self._place()}"

    def info(self, task: Task) -> DataInfo:
        """Writes the suite if it is not there, and names a task's files. Raises UserError as `ensure_demo` does."""
        return replace(self._files().info(task), source="drawn by code", revision=f"{DEMO_VERSION}-seed{DEMO_SEED}")

    def load(self, task: Task) -> TaskData:
        """Reads the rows of a task. Raises UserError as `ensure_demo` does."""
        return self._files().load(task)

    def _place(self) -> Path:
        return self.folder or cache_dir() / f"demo-{DEMO_VERSION}"

    def _files(self) -> Source:
        from tasks.mmeb.folder import FolderSource

        folder = ensure_demo(self._place())
        if self.clips:
            video = folder / VIDEO
            return replace(self.clips, found=VideoSet(video, "", (video / CAPTIONS,), video))
        if self.corpus:
            (found,) = find_corpora(folder / CORPORA / self.corpus)
            return CorpusSource(found, folder / CORPORA / IMAGES)
        return FolderSource(data=folder / "eval", images=folder / "images")


_CLASSIFY = "Represent the given image for classification"
_SHAPE = "Identify the shape shown in the image"
_ASK = "Represent the given image with the following question: {question}"
_FIND = "Find me an image that matches the given caption: {caption}"
_CAPTION = "Find an image caption describing the given image."
_SIMILAR = "Find an image that shows the same scene as the provided image."
_EDIT = "Given an image, find a similar image with the described changes: {text}"
_CROP = 'Select the portion of the image that isolates the object labeled as "{label}"'
_IMAGE = "Represent the given image."
_OBJECT = "Represent the given cropped image of the object"
_FIND_CLIP = "Find me a video that matches the given caption: "
_CLIP = "Represent the given video."

_ROWS = (
    mmeb_task("demo-shape", "classification", "IND", "image", "text", 5, _SHAPE),
    mmeb_task("demo-object", "classification", "IND", "image", "text", 32, _CLASSIFY),
    mmeb_task("demo-object-ood", "classification", "OOD", "image", "text", 32, _CLASSIFY),
    mmeb_task("demo-color", "vqa", "IND", "image+text", "text", 6, _ASK),
    mmeb_task("demo-count", "vqa", "IND", "image+text", "text", 5, _ASK),
    mmeb_task("demo-relation", "vqa", "IND", "image+text", "text", 12, _ASK),
    mmeb_task("demo-word", "vqa", "IND", "image+text", "text", 12, _ASK),
    mmeb_task("demo-color-ood", "vqa", "OOD", "image+text", "text", 6, _ASK),
    mmeb_task("demo-word-ood", "vqa", "OOD", "image+text", "text", 12, _ASK),
    mmeb_task("demo-caption-t2i", "retrieval", "IND", "text", "image", 32, _FIND, _IMAGE),
    mmeb_task("demo-caption-i2t", "retrieval", "IND", "image", "text", 32, _CAPTION),
    mmeb_task("demo-similar", "retrieval", "IND", "image", "image", 32, _SIMILAR, _IMAGE),
    mmeb_task("demo-edit", "retrieval", "IND", "image+text", "image", 32, _EDIT, _IMAGE),
    mmeb_task("demo-caption-t2i-ood", "retrieval", "OOD", "text", "image", 32, _FIND, _IMAGE),
    mmeb_task("demo-edit-ood", "retrieval", "OOD", "image+text", "image", 32, _EDIT, _IMAGE),
    mmeb_task("demo-crop", "visual_grounding", "IND", "image+text", "image", 16, _CROP, _OBJECT),
    mmeb_task("demo-crop-ood", "visual_grounding", "OOD", "image+text", "image", 16, _CROP, _OBJECT),
)
DEMO_ROWS = tuple(replace(row, source=DemoSource(), num_queries=NUM_QUERIES) for row in _ROWS)
"""The tasks of images. Braces in an instruction are where the text of a query goes."""


_CLUSTERED = "demo-shape"
"""The task whose queries are sorted by their labels too."""
_BOTH = "image+text"
_BLIND = "A model that does not see the {what} scores exactly chance: {chance} %."
_CORPUS_ROWS = (
    Task("demo-order", "retrieval", None, _BOTH, _BOTH, DemoSource(corpus="demo-order"), scope="local",
        num_queries=NUM_ORDERED, num_candidates=ORDERS, notes=(_BLIND.format(what="order of pictures", chance=50),)),
    Task("demo-second", "retrieval", None, _BOTH, _BOTH, DemoSource(corpus="demo-second"), scope="local",
        num_queries=NUM_ORDERED, num_candidates=SECONDS, notes=(_BLIND.format(what="second picture", chance=25),)),
    Task("demo-graded", "retrieval", None, "text", "image", DemoSource(corpus="demo-graded"), scope="global",
        metrics=METRICS, num_queries=NUM_GRADED, notes=("Grades from 0 to 3.",)),
    Task("demo-document", "retrieval", None, "text", "image", DemoSource(corpus="demo-document"), scope="global",
        metrics=METRICS, num_queries=NUM_GRADED, notes=("Pages, with grades from 0 to 3.",)),
)  # fmt: skip
"""The tasks of corpora: items with two pictures in order, and graded relevance."""


def demo_tasks(folder: Path | None = None) -> tuple[Task, ...]:
    """The tasks of images, clips and corpora, and a clustering. Their data lie in `folder`. None: in the cache."""
    images = [replace(task, source=DemoSource(folder)) for task in DEMO_ROWS]
    clips = video_tasks("demo-video", LLAVE, _FIND_CLIP, _CLIP, (NUM_CLIPS, NUM_CLIPS))
    corpora = (replace(task, source=DemoSource(folder, corpus=task.name)) for task in _CORPUS_ROWS)
    clusterings = (clustering_of(task) for task in images if task.name == _CLUSTERED)
    return *images, *(_clip_task(task, folder) for task in clips), *corpora, *clusterings


def _clip_task(task: Task, folder: Path | None) -> Task:
    assert isinstance(task.source, VideoSource)
    return replace(task, name=f"demo-video-{task.source.direction}", source=DemoSource(folder, task.source))


def ensure_demo(folder: Path, seed: int = DEMO_SEED) -> Path:
    """Writes the suite into a folder, completely or not at all, unless it is there. Returns the folder.

    The suite has the folders `eval`, `train`, `images`, `video` and `corpora`.
    Raises UserError if the folder has other content, or if it cannot be written.
    """
    if not _is_there(folder, seed):
        with explain_os_errors(folder):
            folder.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(folder.parent / f".{folder.name}.lock"):
                if not _is_there(folder, seed):
                    partial = folder.parent / f".{folder.name}.partial"
                    if partial.exists():
                        shutil.rmtree(partial)
                    write_demo(partial, DEMO_ROWS, DEMO_VERSION, seed)
                    partial.rename(folder)
    return folder


def _is_there(folder: Path, seed: int) -> bool:
    """Whether a folder has the suite. False: it is empty or missing. Raises UserError for other content."""
    manifest = folder / MANIFEST
    with explain_reading(folder):
        is_written, is_free = manifest.exists(), not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))
    if is_free:
        return False
    if is_written:
        fields = read_object(manifest, _REMOVE)
        found = f"version {fields.get('version')}, seed {fields.get('seed')}"
    else:
        found = "no demo suite"
    wanted = f"version {DEMO_VERSION}, seed {seed}"
    if found != wanted:
        where = manifest if is_written else folder
        raise UserError(f"{where} has {found}, but the demo suite of {wanted} is needed there.", _REMOVE)
    return True


@cache
def demo_vocabulary() -> tuple[str, ...]:
    """The sorted words of all texts of the suite, as `words_of` splits them."""
    texts = {_FIND_CLIP, _CLIP, *(clip.caption for clip in demo_clips(DEMO_SEED))}
    for task in DEMO_ROWS:
        for question in (*eval_questions(task, DEMO_SEED), *train_questions(task, DEMO_SEED)):
            texts.add(query_side(task, question).text)
            texts.update(target_side(task, answer).text for answer in question.answers)
    return tuple(sorted({word for text in texts for word in words_of(text)}))
