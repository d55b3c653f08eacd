"""Zero-shot text-video retrieval. Two protocols, told apart by name, because their scores are not comparable.

`MSR-VTT_t2v`, `MSVD_v2t` and so on are LLaVE's protocol (arXiv 2503.04812, section 4.4, on CLIP4Clip's splits): its two
fixed prompts, every caption a query, both directions. `MSR-VTT-v2` and so on are MMEB-V2's (arXiv 2507.04590): a prompt
for each dataset, the first caption of each video, text to video alone. All rank the whole pool.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal, TypeAlias

import numpy as np

from harness.errors import UserError
from harness.types import MEDIA_TOKEN, DataInfo, IndexArray, Item, Media, Query, Task, TaskData
from tasks.video.captions import Caption
from tasks.video.files import VideoSet, annotated, find_videos

Direction: TypeAlias = Literal["t2v", "v2t"]

LLAVE, MMEB_V2 = "text-video", "video-retrieval-v2"
"""The protocols, called as their suites are."""
DIRECTIONS: tuple[Direction, ...] = ("t2v", "v2t")
METRICS = ("hit@1", "hit@5", "hit@10", "median_rank", "mean_rank", "mrr")
"""With one right video to a caption, and one set of captions to a video, `hit@k` is R@k."""
_NONE: IndexArray = np.empty(0, dtype=np.int32)


@dataclass(frozen=True, slots=True)
class Row:
    """A dataset under a protocol. Counts are those of its published test split; None: nothing to check."""

    dataset: str
    protocol: str
    caption_prompt: str
    video_prompt: str
    num_videos: int | None = None
    num_captions: int | None = None
    notes: tuple[str, ...] = ()

    def task_name(self, direction: Direction, stem: str = "") -> str:
        return f"{stem or self.dataset}{f'_{direction}' if self.protocol == LLAVE else '-v2'}"

    @property
    def video_text(self) -> str:
        """The whole text of a video's item."""
        return f"{MEDIA_TOKEN}{chr(10) if self.protocol == LLAVE else ' '}{self.video_prompt}"

    @property
    def counts(self) -> tuple[int | None, int | None]:
        return self.num_videos, self.num_captions

    @property
    def directions(self) -> tuple[Direction, ...]:
        return DIRECTIONS if self.protocol == LLAVE else ("t2v",)


_LLAVE_CAPTION = "Find me an video that matches the given caption: "
_LLAVE_VIDEO = "Represent the given video."
_V2_VIDEO = "Understand the content of the provided video."
_SIC = "LLaVE's protocol; the prompt's `an video` is its own."
_V2 = "MMEB-V2's protocol: the first caption of each video is the query."

ROWS = (
    Row("MSR-VTT", LLAVE, _LLAVE_CAPTION, _LLAVE_VIDEO, 1000, 1000, (_SIC, "The 1k-A split.")),
    Row("MSVD", LLAVE, _LLAVE_CAPTION, _LLAVE_VIDEO, 670, 27_763, (_SIC, "Every caption is a query.")),
    Row(
        "DiDeMo", MMEB_V2, "Find a video that includes the following described scenes: ", _V2_VIDEO, 1004, 1004, (_V2,)
    ),
    Row("MSR-VTT", MMEB_V2, "Find a video that contains the following visual content: ", _V2_VIDEO, 1000, 1000, (_V2,)),
    Row("MSVD", MMEB_V2, "Find the video snippet that corresponds to the given summary: ", _V2_VIDEO, 670, 670, (_V2,)),
    Row("VATEX", MMEB_V2, "Select a video that fits the description provided: ", _V2_VIDEO, 4478, 4478, (_V2,)),
    Row(
        "YouCook2",
        MMEB_V2,
        "Find a video that demonstrates the following action while making a recipe: ",
        _V2_VIDEO,
        3179,
        3179,
        (_V2,),
    ),
)
OWN = Row("", LLAVE, _LLAVE_CAPTION, _LLAVE_VIDEO)
"""A set of the user's own."""


@dataclass(frozen=True, slots=True)
class VideoSource:
    """A dataset in one direction. Without a set there is no data at hand, and asking for it says where to get it."""

    row: Row
    direction: Direction
    found: VideoSet | None = None

    def describe(self) -> str:
        return f"the folder {self.found.folder}" if self.found else "a folder that --data names"

    def info(self, task: Task) -> DataInfo:
        found = self._found(task)
        return DataInfo("text-video folder", "local", found.files, found.videos)

    def load(self, task: Task) -> TaskData:
        found = self._found(task)
        captions = used_captions(self.row, found)
        _check_counts(self.row, captions, task, found)
        named: dict[str, str] = {}
        for caption in captions:
            named.setdefault(caption.video, caption.where)
        files = find_videos(found.videos, list(named))
        shown = {
            video: Item("", (Media("video", files[video], found.videos, where),), self.row.video_text)
            for video, where in named.items()
        }
        said = [Item(caption.text, (), self.row.caption_prompt) for caption in captions]
        return (
            _text_to_video(captions, said, shown) if self.direction == "t2v" else _video_to_text(captions, said, shown)
        )

    def _found(self, task: Task) -> VideoSet:
        if self.found is None:
            raise UserError(
                f"{task.name} is not on the hub in a form that can be fetched from here.",
                f"Name a folder that holds {annotated(self.row.dataset)}, and the videos, with --data.",
            )
        return self.found


def used_captions(row: Row, found: VideoSet) -> tuple[Caption, ...]:
    """The captions that a protocol uses, in the order of the files. Raises UserError."""
    captions = found.captions()
    if row.protocol == LLAVE:
        return captions
    first: dict[str, Caption] = {}
    for caption in captions:
        first.setdefault(caption.video, caption)
    return tuple(first.values())


def video_tasks(row: Row, found: VideoSet | None = None, *, name: str = "") -> tuple[Task, ...]:
    """The tasks of a dataset, one for each direction; under another `name` they are not the published ones."""
    published = not name
    note = f"not {row.dataset}'s own rows; scores are not comparable" if row.dataset and name else ""
    return tuple(
        Task(
            name=row.task_name(direction, name),
            meta_task="retrieval",
            split=None,
            query_modality="text" if direction == "t2v" else "video",
            target_modality="video" if direction == "t2v" else "text",
            source=VideoSource(row, direction, found),
            scope="global",
            metrics=METRICS,
            num_queries=(row.num_captions if direction == "t2v" else row.num_videos) if published else None,
            num_candidates=row.num_videos if published else None,
            query_instruction=row.caption_prompt if direction == "t2v" else row.video_prompt,
            target_instruction=row.video_prompt if direction == "t2v" else row.caption_prompt,
            notes=(*row.notes, note) if note else row.notes,
            query_role="query" if direction == "t2v" else "target",  # one and the same matrix, turned round
        )
        for direction in row.directions
    )


def registered_video_tasks() -> tuple[Task, ...]:
    """Every published dataset under every protocol, without data."""
    return tuple(task for row in ROWS for task in video_tasks(row))


def local_video_tasks(sets: Iterable[VideoSet]) -> tuple[Task, ...]:
    """What sets on disk are measured by, under each protocol that has the dataset; the user's own by LLaVE's.

    It is the published task if the folder bears that name or the counts are right, else a task of the folder's name.
    """
    tasks: list[Task] = []
    for found in sets:
        folder = found.folder.resolve().name
        for row in [row for row in ROWS if row.dataset == found.dataset] or [OWN]:
            is_published = row.dataset and (folder == row.dataset or _counts(used_captions(row, found)) == row.counts)
            tasks += video_tasks(row, found, name="" if is_published else folder)
    return tuple(tasks)


def with_data(task: Task, sets: Iterable[VideoSet]) -> Task:
    """A registered task with the set of its dataset, if there is one."""
    assert isinstance(task.source, VideoSource)
    dataset = task.source.row.dataset
    return replace(task, source=replace(task.source, found=next((s for s in sets if s.dataset == dataset), None)))


def stands_in_for(task: Task) -> str:
    """The published task that a task has some of the data of; else its own name."""
    return task.source.row.task_name(task.source.direction) if isinstance(task.source, VideoSource) else task.name


def _counts(captions: Sequence[Caption]) -> tuple[int, int]:
    return len({caption.video for caption in captions}), len(captions)


def _check_counts(row: Row, captions: Sequence[Caption], task: Task, found: VideoSet) -> None:
    videos, texts = _counts(captions)
    if task.num_queries is not None and (videos, texts) != row.counts:
        raise UserError(
            f"{found.folder} has {videos:,} videos and {texts:,} captions, but {task.name} has {row.num_videos:,} and "
            f"{row.num_captions:,}.",
            "Fetch the files again. If these are rows of your own, give the folder a name of your own and run it "
            "with --tasks all.",
        )


def _text_to_video(captions: Sequence[Caption], said: Sequence[Item], shown: dict[str, Item]) -> TaskData:
    place = {video: index for index, video in enumerate(shown)}
    queries = tuple(
        Query(name, item, _NONE, np.array([place[caption.video]], dtype=np.int32))
        for name, caption, item in zip(_numbered(captions), captions, said, strict=True)
    )
    return TaskData(queries, tuple(shown.values()))


def _video_to_text(captions: Sequence[Caption], said: Sequence[Item], shown: dict[str, Item]) -> TaskData:
    """A video's captions are one candidate. Equal captions are one target, and videos with equal ones one candidate."""
    place: dict[Item, int] = {}
    own: dict[str, list[int]] = {video: [] for video in shown}
    for caption, item in zip(captions, said, strict=True):
        own[caption.video].append(place.setdefault(item, len(place)))
    sets = {video: np.array(sorted(set(numbers)), dtype=np.int32) for video, numbers in own.items()}
    queries = tuple(Query(video, item, _NONE, sets[video]) for video, item in shown.items())
    several = any(len(members) > 1 for members in sets.values())
    groups = tuple({members.tobytes(): members for members in sets.values()}.values()) if several else ()
    repeats = len(said) - len(place)
    notes = MappingProxyType({"duplicate_candidates": repeats} if repeats else {})
    return TaskData(queries, tuple(place), notes, groups)


def _numbered(captions: Sequence[Caption]) -> list[str]:
    """Ids of captions: that of the video, and where it has several the number of the caption, from 0."""
    several = len({caption.video for caption in captions}) < len(captions)
    turn: dict[str, int] = {}
    names = []
    for caption in captions:
        number = turn[caption.video] = turn.get(caption.video, -1) + 1
        names.append(f"{caption.video}#{number}" if several else caption.video)
    return names
