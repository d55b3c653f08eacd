"""Zero-shot text-video retrieval under two protocols. Their scores are not comparable, so their tasks' names differ.

LLaVE's protocol is that of arXiv 2503.04812, section 4.4, on CLIP4Clip's splits. Its tasks are `MSR-VTT_t2v`,
`MSVD_v2t` and so on. It has two fixed prompts, takes every caption as a query, and measures both directions.
MMEB-V2's protocol is that of arXiv 2507.04590. Its tasks are `MSR-VTT-v2` and so on. It has a prompt for each dataset,
takes the first caption of each video, and measures only text to video. Both protocols rank the whole pool.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal, TypeAlias

import numpy as np

from harness.errors import UserError, counted
from harness.media.places import check_inside
from harness.types import MEDIA_TOKEN, DataInfo, IndexArray, Item, Media, Query, Task, TaskData
from tasks.video.captions import Caption
from tasks.video.files import VideoSet, annotated, find_videos

Direction: TypeAlias = Literal["t2v", "v2t"]

LLAVE, MMEB_V2 = "text-video", "video-retrieval-v2"
"""The two protocols. Their suites have the same names."""
METRICS = ("hit@1", "hit@5", "hit@10", "median_rank", "mean_rank", "mrr")
"""`hit@k` equals R@k here: a caption has one right video, and a video has one set of captions."""
VIDEO_FOLDER = "text-video folder"
"""What records of results call the source of these tasks."""

_LLAVE_CAPTION = "Find me an video that matches the given caption: "
_LLAVE_VIDEO = "Represent the given video."
_V2_VIDEO = "Understand the content of the provided video."
_SIC = "LLaVE's protocol; the prompt's `an video` is its own."
_V2 = "MMEB-V2's protocol: the first caption of each video is the query."
TRIED = "Tried on small data that tests draw in the layout of MMEB-V2's archives, not yet on the archives themselves."
"""How far the readers of MMEB-V2's tasks were tried."""
_NONE: IndexArray = np.empty(0, dtype=np.int32)


@dataclass(frozen=True, slots=True)
class VideoSource:
    """A text-video dataset under one protocol, in one direction."""

    protocol: str
    direction: Direction
    dataset: str = ""
    """The published dataset. Empty for a set of the user's own."""
    counts: tuple[int, int] | None = None
    """Numbers of videos and of captions that the data must have. None: they are not checked."""
    found: VideoSet | None = None
    """The data. None: there is none yet, and `info` and `load` say where to get it."""

    def task_name(self, stem: str = "") -> str:
        """The name of the task whose dataset is called `stem`, by default the published name."""
        return f"{stem or self.dataset}{f'_{self.direction}' if self.protocol == LLAVE else '-v2'}"

    def describe(self) -> str:
        """Says where the data comes from, in one line."""
        return f"the folder {self.found.folder}" if self.found else "a folder that --data names"

    def info(self, task: Task) -> DataInfo:
        """Names the files of captions. Raises UserError if there is no data."""
        found = self._found(task)
        return DataInfo(VIDEO_FOLDER, "local", found.files, found.videos, roots=found.roots)

    def load(self, task: Task) -> TaskData:
        """Reads the captions and finds the video files. The prompts are the task's instructions.

        Text to video has a query for each caption and a target for each video. Video to text is the reverse. The notes
        count `captions_left_out`, which the protocol does not use.
        Raises UserError for bad files of captions, for wrong counts, and for two files of one video.
        """
        found = self._found(task)
        captions = used_captions(self.protocol, found)
        self._check_counts(captions, task, found)
        named: dict[str, str] = {}
        for caption in captions:
            named.setdefault(caption.video, caption.where)
        files = find_videos(found.videos, list(named))
        prompts = [task.query_instruction or "", task.target_instruction or ""]
        caption_prompt, video_prompt = prompts if self.direction == "t2v" else reversed(prompts)
        video_text = f"{MEDIA_TOKEN}{chr(10) if self.protocol == LLAVE else ' '}{video_prompt}"
        videos = {
            video: Item("", (Media("video", files[video], found.videos, where, found.roots),), video_text)
            for video, where in named.items()
        }
        texts = [Item(caption.text, (), caption_prompt) for caption in captions]
        make = _text_to_video if self.direction == "t2v" else _video_to_text
        data, left_out = make(captions, texts, videos), len(found.captions()) - len(captions)
        return replace(data, notes={**data.notes, "captions_left_out": left_out}) if left_out else data

    def _found(self, task: Task) -> VideoSet:
        if self.found is None:
            raise UserError(
                f"{task.name} is not on the hub in a form that can be fetched from here.",
                f"Name a folder that holds {annotated(self.dataset)}, and the videos, with --data.",
            )
        for file in self.found.files:
            check_inside(file, (self.found.folder, *self.found.roots))
        return self.found

    def _check_counts(self, captions: Sequence[Caption], task: Task, found: VideoSet) -> None:
        videos, texts = _counts(captions)
        if self.counts is not None and (videos, texts) != self.counts:
            raise UserError(
                f"{found.folder} has {counted(videos, 'video')} and {counted(texts, 'caption')}, but {task.name} "
                f"has {self.counts[0]:,} and {self.counts[1]:,}.",
                "Fetch the files again. If these are rows of your own, give the folder a name of your own and run it "
                "with --tasks all.",
            )


def used_captions(protocol: str, found: VideoSet) -> tuple[Caption, ...]:
    """The captions that a protocol uses, in the order of the files.

    LLaVE's protocol uses all captions, MMEB-V2's the first of each video. Raises UserError for bad files.
    """
    captions = found.captions()
    if protocol == LLAVE:
        return captions
    first: dict[str, Caption] = {}
    for caption in captions:
        first.setdefault(caption.video, caption)
    return tuple(first.values())


def video_tasks(
    dataset: str,
    protocol: str,
    caption_prompt: str,
    video_prompt: str,
    counts: tuple[int, int] | None = None,
    notes: tuple[str, ...] = (),
) -> tuple[Task, ...]:
    """The tasks of a dataset under a protocol, without data: text to video, and for LLaVE video to text.

    `counts` are the numbers of videos and of captions in the published test split.
    """
    videos, captions = counts or (None, None)
    source = VideoSource(protocol, "t2v", dataset, counts)
    text_to_video = Task(
        name=source.task_name(),
        meta_task="retrieval",
        split=None,
        query_modality="text",
        target_modality="video",
        source=source,
        scope="global",
        metrics=METRICS,
        num_queries=captions,
        num_candidates=videos,
        query_instruction=caption_prompt,
        target_instruction=video_prompt,
        notes=notes,
    )
    if protocol != LLAVE:
        return (text_to_video,)
    reverse = replace(source, direction="v2t")
    video_to_text = replace(
        text_to_video,
        name=reverse.task_name(),
        query_modality="video",
        target_modality="text",
        source=reverse,
        num_queries=videos,
        query_instruction=video_prompt,
        target_instruction=caption_prompt,
        query_role="target",  # the same matrix of scores, transposed
    )
    return text_to_video, video_to_text


def _llave(dataset: str, videos: int, captions: int, note: str) -> tuple[Task, ...]:
    return video_tasks(dataset, LLAVE, _LLAVE_CAPTION, _LLAVE_VIDEO, (videos, captions), (_SIC, note))


def _mmeb_v2(dataset: str, videos: int, caption_prompt: str) -> tuple[Task, ...]:
    return video_tasks(dataset, MMEB_V2, caption_prompt, _V2_VIDEO, (videos, videos), (_V2, TRIED))


ROWS = (
    *_llave("MSR-VTT", 1000, 1000, "The 1k-A split."),
    *_llave("MSVD", 670, 27_763, "Every caption is a query."),
    *_mmeb_v2("DiDeMo", 1004, "Find a video that includes the following described scenes: "),
    *_mmeb_v2("MSR-VTT", 1000, "Find a video that contains the following visual content: "),
    *_mmeb_v2("MSVD", 670, "Find the video snippet that corresponds to the given summary: "),
    *_mmeb_v2("VATEX", 4478, "Select a video that fits the description provided: "),
    *_mmeb_v2("YouCook2", 3179, "Find a video that demonstrates the following action while making a recipe: "),
)
"""The tasks of every published dataset under every protocol, without data."""
_OWN = video_tasks("", LLAVE, _LLAVE_CAPTION, _LLAVE_VIDEO)
"""The tasks of a set of the user's own, still without a name."""


def task_names(protocol: str) -> Mapping[Direction, tuple[str, ...]]:
    """The names of a protocol's tasks, by direction."""
    names: dict[Direction, tuple[str, ...]] = {}
    for task in ROWS:
        source = _source_of(task)
        if source.protocol == protocol:
            names[source.direction] = (*names.get(source.direction, ()), task.name)
    return names


def local_video_tasks(sets: Iterable[VideoSet]) -> tuple[Task, ...]:
    """The tasks of sets on disk, under each protocol that has the dataset. A set of the user's own follows LLaVE's.

    A task is the published one if the folder has the dataset's name or if the counts match.
    Otherwise it is named after the folder. Raises UserError for bad files of captions.
    """
    tasks: list[Task] = []
    for found in sets:
        rows = [task for task in ROWS if _fits(_source_of(task), found)]
        tasks += (_local_task(task, found) for task in rows or _OWN)
    return tuple(tasks)


def _fits(source: VideoSource, found: VideoSet) -> bool:
    return source.dataset == found.dataset and found.protocol in ("", source.protocol)


def _local_task(task: Task, found: VideoSet) -> Task:
    source, folder = replace(_source_of(task), found=found), found.folder.resolve().name
    notes = task.notes
    if source.dataset:
        if folder == source.dataset or _counts(used_captions(source.protocol, found)) == source.counts:
            return replace(task, source=source)
        notes = (*notes, f"not {source.dataset}'s own rows; scores are not comparable")
    if found.protocol:  # the files say which task it is, whatever the folder is called
        return replace(task, source=replace(source, counts=None), num_queries=None, num_candidates=None, notes=notes)
    return replace(
        task,
        name=source.task_name(folder),
        source=replace(source, counts=None),
        num_queries=None,
        num_candidates=None,
        notes=notes,
    )


def with_data(task: Task, sets: Iterable[VideoSet]) -> Task:
    """A registered task with the set of its dataset attached, if there is one."""
    source = _source_of(task)
    found = next((each for each in sets if _fits(source, each)), None)
    return replace(task, source=replace(source, found=found))


def published_name(task: Task) -> str:
    """The name of the published task whose dataset a task has a part of. Other tasks: their own name."""
    return task.source.task_name() if isinstance(task.source, VideoSource) else task.name


def _source_of(task: Task) -> VideoSource:
    assert isinstance(task.source, VideoSource)
    return task.source


def _counts(captions: Sequence[Caption]) -> tuple[int, int]:
    return len({caption.video for caption in captions}), len(captions)


def _text_to_video(captions: Sequence[Caption], texts: Sequence[Item], videos: Mapping[str, Item]) -> TaskData:
    number = {video: index for index, video in enumerate(videos)}
    queries = tuple(
        Query(name, item, _NONE, np.array([number[caption.video]], dtype=np.int32))
        for name, caption, item in zip(_caption_ids(captions), captions, texts, strict=True)
    )
    return TaskData(queries, tuple(videos.values()))


def _video_to_text(captions: Sequence[Caption], texts: Sequence[Item], videos: Mapping[str, Item]) -> TaskData:
    """A video's captions are one candidate. Equal captions are one target, and equal sets of captions one candidate."""
    number: dict[Item, int] = {}
    own: dict[str, list[int]] = {video: [] for video in videos}
    for caption, item in zip(captions, texts, strict=True):
        own[caption.video].append(number.setdefault(item, len(number)))
    sets = {video: np.array(sorted(set(numbers)), dtype=np.int32) for video, numbers in own.items()}
    queries = tuple(Query(video, item, _NONE, sets[video]) for video, item in videos.items())
    several = any(len(members) > 1 for members in sets.values())
    groups = tuple({members.tobytes(): members for members in sets.values()}.values()) if several else ()
    repeats = len(texts) - len(number)
    notes = MappingProxyType({"duplicate_candidates": repeats} if repeats else {})
    return TaskData(queries, tuple(number), notes, groups)


def _caption_ids(captions: Sequence[Caption]) -> list[str]:
    """The video's id. If any video has several captions, the number of the caption, from 0, follows it."""
    several = len({caption.video for caption in captions}) < len(captions)
    seen: dict[str, int] = {}
    names = []
    for caption in captions:
        number = seen[caption.video] = seen.get(caption.video, -1) + 1
        names.append(f"{caption.video}#{number}" if several else caption.video)
    return names
