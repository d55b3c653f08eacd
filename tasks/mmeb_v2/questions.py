"""How a row of each video task of MMEB-V2 becomes a query with its candidates.

The texts are those of the public evaluator, to the letter. A separator may be missing, or two spaces may follow each
other. Only the tokens of media differ from model to model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import PurePosixPath
from typing import NamedTuple, TypeAlias

from harness.types import MEDIA_TOKEN, Item, Media
from tasks.mmeb_v2.fields import V2Row
from tasks.mmeb_v2.videos import Videos

NEGATIVE_CLIPS = 9
_CLIPS = "Understand the content of the provided video."
_MOMENT_CLIPS = "Understand the content of the provided video clip."
_MOMENT_QUERIES = {
    "": "Find the clip that corresponds to the given text:",
    ".jpg": "Select the video clip that aligns with the given text and image:",
    ".mp4": "Find the clip that corresponds to the given sentence and video segment:",
}
"""The instruction of MomentSeeker by the ending of the query's medium."""


class Question(NamedTuple):
    """A query with its candidates."""

    item: Item
    candidates: tuple[Item, ...]
    right: tuple[int, ...]
    """Places of the right candidates."""


Ask: TypeAlias = Callable[[V2Row, Videos, str, tuple[str, ...]], Question]
"""Makes a question of a row, the videos, the instruction and the labels. Without labels each row has its own."""


def _labelled(row: V2Row, videos: Videos, instruction: str, labels: tuple[str, ...]) -> Question:
    """A clip whose candidates are the labels of the dataset, or of the row."""
    right = row.text("pos_text")
    choices = labels or tuple(row.texts("neg_text"))
    if right not in choices:
        raise row.bad(f"the right label {right!r} is not among the {len(choices)} labels")
    where = tuple(place for place, label in enumerate(choices) if label == right)
    return Question(_shown(row, videos, row.text("video_id"), instruction), _texts(choices), where)


def _mvbench(row: V2Row, videos: Videos, instruction: str, _labels: tuple[str, ...]) -> Question:
    options = row.texts("candidates")
    answer = row.text("answer")
    if answer not in options:
        raise row.bad(f"the answer {answer!r} is not among the candidates")
    lettered = _lettered(options)
    text = _with_options(row.text("question"), lettered)
    item = _shown(row, videos, f"{row.text('subset')}/{row.text('video')}", instruction, text)
    return Question(item, _texts(lettered), (options.index(answer),))


def _video_mme(row: V2Row, videos: Videos, instruction: str, _labels: tuple[str, ...]) -> Question:
    options, answer = row.texts("options"), row.text("answer")
    right = tuple(place for place, option in enumerate(options) if option.partition(".")[0] == answer)
    if len(right) != 1:
        raise row.bad(f"the answer {answer!r} is the letter of {len(right)} options")
    text = f"{row.text('question')}\n" + "\n".join(options)
    choices = [option.partition(". ")[2].strip(". ") for option in options]
    return Question(_shown(row, videos, row.text("videoID"), instruction, text), _texts(choices), right)


def _nextqa(row: V2Row, videos: Videos, instruction: str, _labels: tuple[str, ...]) -> Question:
    options = [row.text(f"a{number}") for number in range(5)]
    text = _with_options(row.text("question"), _lettered(options))
    right = (row.pick("answer", options),)
    return Question(_shown(row, videos, row.text("video"), instruction, text), _texts(options), right)


def _egoschema(row: V2Row, videos: Videos, instruction: str, _labels: tuple[str, ...]) -> Question:
    options = row.texts("option")
    text = row.text("question") + " ".join(options)
    right = (row.pick("answer", options),)
    return Question(_shown(row, videos, row.text("video_idx"), instruction, text), _texts(options), right)


def _activitynet(row: V2Row, videos: Videos, instruction: str, _labels: tuple[str, ...]) -> Question:
    choices, answer = ("yes", "no"), row.text("answer")
    if answer not in choices:
        raise row.bad(f"the answer is {answer!r}, neither yes nor no")
    text = f"{row.text('question')}? (A) yes; (B) no."
    item = _shown(row, videos, f"v_{row.text('video_name')}", instruction, text)
    return Question(item, _texts(choices), (choices.index(answer),))


def _moments(row: V2Row, videos: Videos, instruction: str, _labels: tuple[str, ...]) -> Question:
    """A video and a text, whose candidates are the clips in the video's folder: one right, nine wrong."""
    folder = PurePosixPath(row.text("video_path")).stem
    there = videos.folder / folder
    clips = sorted(entry.name for entry in there.iterdir() if entry.is_dir()) if there.is_dir() else []
    right = [name for name in clips if name.startswith("positive")]
    wrong = [name for name in clips if name.startswith("negative")]
    if len(right) != 1 or len(wrong) != NEGATIVE_CLIPS:
        why = f"{there} has {len(right)} right and {len(wrong)} wrong clips, not 1 and {NEGATIVE_CLIPS}"
        raise row.bad(why)
    candidates = tuple(_clip(videos.video(f"{folder}/{name}", row.place), _CLIPS) for name in (*right, *wrong))
    return Question(_shown(row, videos, f"{folder}/query", instruction, row.text("query")), candidates, (0,))


def _momentseeker(row: V2Row, videos: Videos, _instruction: str, _labels: tuple[str, ...]) -> Question:
    given = row.value("input_frames") or ""
    ending = PurePosixPath(given).suffix if isinstance(given, str) else "?"
    if ending not in _MOMENT_QUERIES or not isinstance(given, str):
        raise row.bad(f"input_frames is neither empty nor a .jpg or .mp4, but {given!r:.80}")
    media: tuple[Media, ...] = ()
    if ending == ".jpg":
        media = (videos.image(f"query_{given}", row.place),)
    elif ending:
        media = (videos.video(_moment_folder(given), row.place),)
    token = f"{MEDIA_TOKEN} " if media else ""
    item = Item(row.text("query"), media, f"{token}{_MOMENT_QUERIES[ending]} ")
    right, wrong = (_moment_clips(row, videos, name) for name in ("positive_frames", "negative_frames"))
    return Question(item, (*right, *wrong), tuple(range(len(right))))


def _moment_clips(row: V2Row, videos: Videos, column: str) -> list[Item]:
    value = row.value(column)
    paths = [each.get("output_path") for each in value if isinstance(each, dict)] if isinstance(value, list) else []
    if not paths or not all(isinstance(path, str) and path for path in paths):
        raise row.bad(f"{column} is no list of clips with an output_path, but {value!r:.80}")
    return [_clip(videos.video(_moment_folder(str(path)), row.place), _MOMENT_CLIPS) for path in paths]


def _moment_folder(path: str) -> str:
    """The folder with the frames of a clip of MomentSeeker."""
    return f"video_frames/{path.replace('/', '_').partition('.mp4')[0]}"


def _shown(row: V2Row, videos: Videos, name: str, instruction: str, text: str = "") -> Item:
    """A video with its instruction, and a text after a space if there is one."""
    lead = f"{MEDIA_TOKEN} {instruction}"
    return Item(text, (videos.video(name, row.place),), f"{lead} " if text else lead)


def _clip(video: Media, instruction: str) -> Item:
    return Item("", (video,), f"{MEDIA_TOKEN} {instruction}")


def _texts(texts: tuple[str, ...] | list[str]) -> tuple[Item, ...]:
    return tuple(Item(text) for text in texts)


def _lettered(options: list[str]) -> list[str]:
    return [f"({chr(ord('A') + place)}) {option}" for place, option in enumerate(options)]


def _with_options(question: str, lettered: list[str]) -> str:
    return f"{question}\nOptions:\n{chr(10).join(lettered)}".rstrip()


ASKS: Mapping[str, Ask] = {
    "labels": _labelled,
    "MVBench": _mvbench,
    "Video-MME": _video_mme,
    "NExTQA": _nextqa,
    "EgoSchema": _egoschema,
    "ActivityNetQA": _activitynet,
    "moments": _moments,
    "MomentSeeker": _momentseeker,
}
"""The forms of rows by name."""
