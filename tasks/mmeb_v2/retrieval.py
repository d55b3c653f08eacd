"""MMEB-V2's own files of its five text-video retrieval tasks, whose rows are in `tasks.video.retrieval`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

from tasks.mmeb_v2.fields import FORMATS, rows_of
from tasks.mmeb_v2.video import ROWS_FOLDER
from tasks.mmeb_v2.videos import find_videos_of
from tasks.video.captions import Caption
from tasks.video.files import VideoSet
from tasks.video.retrieval import MMEB_V2


class _Files(NamedTuple):
    rows: str
    """The name of the file of rows, without extension."""
    video: str
    """The column of videos."""
    caption: str
    """The column of a caption, or of a list of captions of which the first counts."""


_FILES: Mapping[str, _Files] = {
    "DiDeMo": _Files("didemo", "video", "caption"),
    "MSR-VTT": _Files("msr-vtt", "video_id", "caption"),
    "MSVD": _Files("msvd", "video_id", "caption"),
    "VATEX": _Files("vatex", "videoID", "enCap"),
    "YouCook2": _Files("youcook2-val", "id", "sentence"),
}
_ARCHIVE = "video_ret"


def retrieval_sets(data: Path, roots: tuple[Path, ...] = ()) -> tuple[VideoSet, ...]:
    """The retrieval sets in a folder with MMEB-V2's data."""
    sets = []
    for dataset, files in _FILES.items():
        paths = (data / ROWS_FOLDER / f"{files.rows}{ending}" for ending in FORMATS)
        found = next((path for path in paths if path.is_file()), None)
        if found is not None:
            videos = find_videos_of(data, _ARCHIVE, (dataset,), roots)
            reader = partial(_read, files.video, files.caption)
            sets.append(VideoSet(data, dataset, (found,), videos.folder, videos.roots, MMEB_V2, reader))
    return tuple(sets)


def _read(video: str, caption: str, path: Path) -> list[Caption]:
    """The first caption of each row."""
    captions = []
    for row in rows_of(path):
        several = isinstance(row.value(caption), list)
        text = row.texts(caption)[0] if several else row.text(caption)
        captions.append(Caption(row.text(video), text, row.place))
    return captions
