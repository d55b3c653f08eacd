"""The 13 video tasks of MMEB-V2 that are no text-video retrieval: their rows in the registry, and their reader.

What a row says is as published. The five retrieval tasks are in `tasks.video.retrieval`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType

import numpy as np

from harness.errors import UserError, counted
from harness.media.places import check_inside
from harness.types import DataInfo, IndexArray, Item, Query, Scope, Task, TaskData
from tasks.mmeb_v2.fields import FORMATS, V2Row, rows_of
from tasks.mmeb_v2.questions import ASKS
from tasks.mmeb_v2.videos import FRAMES, find_videos_of
from tasks.names import parse_name
from tasks.video.retrieval import TRIED

ROWS_FOLDER = "video-tasks/data"
METRICS = ("hit@1", "hit@5", "hit@10", "precision@5", "recall@5", "map", "mrr", "ndcg@5", "ndcg@10", "mean_rank")
_NONE: IndexArray = np.empty(0, dtype=np.int32)


@dataclass(frozen=True, slots=True)
class V2VideoSource:
    """Reads the rows of a video task, and finds its videos."""

    dataset: str
    form: str
    """The form of its rows: a name of `questions.ASKS`."""
    rows: tuple[str, ...]
    """Names of the files of rows without extension, relative to `ROWS_FOLDER`."""
    archive: str
    """The archive of the frames: `video_cls`, `video_qa` or `video_mret`."""
    spellings: tuple[str, ...]
    """Names of the folder of its videos."""
    labelled: bool = False
    """Whether every query ranks the labels of the dataset."""
    data: Path | None = None
    """The folder with MMEB-V2's data. None: there is none yet, and `info` and `load` say where to get it."""
    roots: tuple[Path, ...] = ()

    def describe(self) -> str:
        """Says where the data comes from, in one line."""
        return f"MMEB-V2's folder {self.data}" if self.data else "a folder that --data names"

    def files(self) -> tuple[Path, ...]:
        """The files of rows that are there. Empty: the folder does not have the task."""
        if self.data is None:
            return ()
        folder = self.data / ROWS_FOLDER
        there = ((folder / f"{name}{ending}" for ending in FORMATS) for name in self.rows)
        return tuple(path for paths in there if (path := next((each for each in paths if each.is_file()), None)))

    def info(self, task: Task) -> DataInfo:
        """Names the files. Raises: UserError if rows are missing, or the folder of videos."""
        files = self.files()
        if self.data is None or len(files) != len(self.rows):
            there = {file.stem for file in files}
            lacks = [f"{ROWS_FOLDER}/{name}{FORMATS[0]}" for name in self.rows if Path(name).name not in there]
            what = f"{task.name} is not on the hub in a form that can be fetched from here."
            if self.data is not None:
                what = f"{self.data} has no {', '.join(lacks[:3])}{' and others' * (len(lacks) > 3)}."
            raise UserError(what, f"Name a folder that holds {lacks[0]} and {self.archive}'s frames with --data.")
        for file in files:
            check_inside(file, (self.data, *self.roots))
        videos = find_videos_of(self.data, self.archive, self.spellings, self.roots)
        if not videos.folder.is_dir():
            what = f"{self.data} has the rows of {task.name}, but no folder {videos.folder.relative_to(self.data)}."
            raise UserError(what, f"Unpack {FRAMES}/{self.archive}.tar.gz of MMEB-V2 into {FRAMES}/{self.archive}.")
        return DataInfo("MMEB-V2 folder", "local", files, videos.folder, roots=videos.roots)

    def load(self, task: Task) -> TaskData:
        """Reads the rows. Raises: UserError that names file and row, and for a wrong number of rows."""
        info = self.info(task)
        assert self.data is not None
        videos = find_videos_of(self.data, self.archive, self.spellings, self.roots)
        labels = _labels()[self.dataset] if self.labelled else ()
        targets: dict[Item, int] = {Item(label): number for number, label in enumerate(labels)}
        queries: list[Query] = []
        repeats = 0
        for number, row in enumerate(self._rows(info.files)):
            asked = ASKS[self.form](row, videos, task.query_instruction or "", labels)
            places = np.array([targets.setdefault(each, len(targets)) for each in asked.candidates], dtype=np.int32)
            repeats += len(places) - len(set(places.tolist()))
            right = np.unique(places[list(asked.right)])
            queries.append(Query(str(number), asked.item, _NONE if self.labelled else places, right))
        self._check_count(task, len(queries))
        notes = MappingProxyType({"duplicate_candidates": repeats} if repeats else {})
        return TaskData(tuple(queries), tuple(targets), notes)

    def count(self) -> int:
        """The number of rows. Raises: UserError for rows that cannot be read."""
        return sum(1 for _ in self._rows(self.files()))

    def _rows(self, files: tuple[Path, ...]) -> Iterator[V2Row]:
        """All rows, in the order of the files. Where there are several files, each row has the name of its own."""
        for file in files:
            for row in rows_of(file):
                yield V2Row(row.place, {**row.fields, "subset": file.stem}) if len(self.rows) > 1 else row

    def _check_count(self, task: Task, found: int) -> None:
        if task.num_queries is None or found == task.num_queries:
            return
        what = f"{self.data} has {counted(found, 'row')} of {parse_name(task.name).dataset}, not {task.num_queries:,}."
        hint = "Fetch the rows again. To run rows of your own, name them with --tasks all."
        if self.dataset == "MomentSeeker" and found == _OLD_MOMENTS:
            hint = "This is the set before July 2025, which has repeated pairs. Fetch VLM2Vec/MomentSeeker of today."
        raise UserError(what, hint)


_OLD_MOMENTS = 1800


@cache
def _labels() -> Mapping[str, tuple[str, ...]]:
    """The labels of the four tasks whose candidates are all labels of the dataset."""
    content = json.loads((Path(__file__).parent / "labels.json").read_text(encoding="utf-8"))
    return {name: tuple(labels) for name, labels in content.items()}


def _task(
    source: V2VideoSource,
    queries: int,
    candidates: int | None,
    instruction: str | None,
    meta_task: str = "classification",
    modalities: tuple[str, str] = ("video", "text"),
    target_instruction: str | None = None,
    notes: tuple[str, ...] = (),
) -> Task:
    scope: Scope = "global" if source.labelled else "local"
    return Task(
        name=source.dataset,
        meta_task=meta_task,
        split=None,
        query_modality=modalities[0],
        target_modality=modalities[1],
        source=source,
        scope=scope,
        metrics=METRICS,
        num_queries=queries,
        num_candidates=candidates,
        query_instruction=instruction,
        target_instruction=target_instruction,
        notes=(*notes, TRIED),
    )


def _classify(dataset: str, stem: str, folder: str, queries: int, labels: int, instruction: str, *notes: str) -> Task:
    source = V2VideoSource(dataset, "labels", (stem,), "video_cls", (folder,), labelled=dataset in _labels())
    return _task(source, queries, labels, instruction, notes=notes)


def _ask(dataset: str, rows: tuple[str, ...], queries: int, candidates: int | None, *notes: str) -> Task:
    spellings = (dataset, dataset.lower())
    source = V2VideoSource(dataset, dataset, rows, "video_qa", spellings)
    return _task(source, queries, candidates, _QUESTION, "vqa", ("video+text", "text"), notes=notes)


def _moment(dataset: str, form: str, stem: str, queries: int, instruction: str | None, clips: str, note: str) -> Task:
    spellings = (dataset, dataset.replace("-", "_"))
    source = V2VideoSource(dataset, form, (stem,), "video_mret", spellings)
    return _task(source, queries, 10, instruction, "retrieval", ("video+text", "video"), clips, (note,))


_QUESTION = (
    "Given a video and a question, select the most accurate answer from the provided candidates. "
    "Return only the exact text of your chosen answer. Question: "
)
_MOMENT = "Find the clip that corresponds to the described scene in the given video:"
_CLIP = "Understand the content of the provided video."
MVBENCH_PARTS = (
    *("episodic_reasoning", "action_sequence", "action_prediction", "action_antonym", "fine_grained_action"),
    *("unexpected_action", "object_existence", "object_interaction", "object_shuffle", "moving_direction"),
    *("action_localization", "scene_transition", "action_count", "moving_count", "moving_attribute"),
    *("state_change", "fine_grained_pose", "character_order", "egocentric_navigation", "counterfactual_inference"),
)
_SPACES = "The instruction ends with a space, so two spaces come before the question."

# fmt: off
ROWS = (
    _classify("K700", "k700", "K700", 1000, 700, "Recognize the category of the video content."),
    _classify("SmthSmthV2", "ssv2", "SSv2", 1000, 174,
        "What actions or object interactions are being performed by the person in the video?",
        "The candidates are those of the row, which hold the right one.",
        "89 % of the clips have fewer than 64 frames."),
    _classify("HMDB51", "hmdb51", "HMDB51", 1000, 51,
        "What actions or objects interactions are the person in the video doing?",
        "98 % of the clips have fewer than 64 frames, so padding decides what a model with 64 frames sees."),
    _classify("UCF101", "ucf101", "UCF101", 1000, 101,
        "What activities or sports are being performed by the person in the video?"),
    _classify("Breakfast", "breakfast", "Breakfast", 433, 10,
        "Recognize the breakfast type that the person is cooking in the video. ", "The instruction ends with a space."),
    _ask("MVBench", tuple(f"mvbench/{part}" for part in MVBENCH_PARTS), 4000, None, _SPACES,
        "20 sets of 200 rows; their start and end are not used."),
    _ask("Video-MME", ("video-mme",), 2700, 4, _SPACES, "900 videos; no subtitles are given."),
    _ask("NExTQA", ("nextqa",), 8564, 5, _SPACES),
    _ask("EgoSchema", ("egoschema",), 500, 5, _SPACES, "Nothing separates the question from the first option."),
    _ask("ActivityNetQA", ("activitynetqa",), 1000, 2, _SPACES, "Yes or no: chance is 50 %."),
    _moment("QVHighlight", "moments", "qvhighlight", 1083, _MOMENT, _CLIP, "One right clip and nine wrong ones."),
    _moment("Charades-STA", "moments", "charades_sta", 727, _MOMENT, _CLIP, "One right clip and nine wrong ones."),
    _moment("MomentSeeker", "MomentSeeker", "momentseeker_1k6", 1602, None,
        "Understand the content of the provided video clip.",
        "The query's instruction follows from its medium. The set before July 2025 had 1,800 rows: not comparable."),
)
# fmt: on
"""The tasks without data, in the order of the board."""
