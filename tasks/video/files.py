"""Finds text-video datasets on disk: which annotation files belong together, and which file is which video."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import lru_cache
from pathlib import Path, PurePosixPath

from harness.errors import UserError, counted
from harness.media.frame_folder import frame_names
from harness.media.places import walk
from tasks.video.captions import FORMATS, Caption, read_captions, read_ids

EXTENSIONS = (
    *(".mp4", ".avi", ".mkv", ".webm", ".mov", ".m4v", ".gif"),
    *(".mpg", ".mpeg", ".wmv", ".flv", ".ts", ".3gp", ".ogv"),
)
"""Extensions of video files, in lower or upper case."""
_TEST_LIST = "test_list.txt"
_DEPTH = 2
"""Levels of folders that are searched for annotations."""

_CAPTIONS: Mapping[str, tuple[str, ...]] = {
    "MSR-VTT": ("MSRVTT_JSFUSION_test.csv",),
    "MSVD": ("raw-captions.pkl", "raw-captions.json", "test_captions.json"),
    "DiDeMo": ("DiDeMo_test.*",),
    "VATEX": ("vatex_*.json", "VATEX_*.json"),
    "YouCook2": ("YouCook2_*.*", "youcook2_*.*"),
}
"""Names of the published files. The first that is there counts. MSVD also needs a list of test videos."""
_OWN = tuple(f"captions{suffix}" for suffix in FORMATS)


@dataclass(frozen=True, slots=True)
class VideoSet:
    """A folder of annotations, and a folder with the videos at any depth."""

    folder: Path
    dataset: str
    """The published dataset of which it is all or a part. Empty for the user's own."""
    files: tuple[Path, ...]
    """The file of captions, then the list of test videos if there is one."""
    videos: Path
    roots: tuple[Path, ...] = ()
    """Other folders that links may lead into."""
    protocol: str = ""
    """The one protocol whose rows these are. Empty: rows of the dataset itself."""
    reader: Callable[[Path], list[Caption]] = read_captions
    """Reads the file of captions."""

    def captions(self) -> tuple[Caption, ...]:
        """The captions, in the order of the file or of the list. Raises UserError that names file and row."""
        return _captions(self.files, tuple(_stamp(file) for file in self.files), self.reader)


def annotated(dataset: str) -> str:
    """Names of the annotation files of a dataset, for messages."""
    return f"{_CAPTIONS[dataset][0]}{f' and {_TEST_LIST}' if dataset == 'MSVD' else ''}"


def video_sets(data: Path, videos: Path | None = None, roots: tuple[Path, ...] = ()) -> tuple[VideoSet, ...]:
    """Every text-video dataset in a folder and in two levels of folders below it, sorted by path.

    `videos` is the folder of all videos. None: the folder of the annotations, or `data` if that has no videos.
    Links may lead into `data` and `roots` too.
    """
    found = []
    for folder, folders, names in walk(data):
        deep = len(folder.relative_to(data).parts) >= _DEPTH
        folders[:] = [] if deep else sorted(name for name in folders if not name.startswith("."))
        for dataset, files in _annotations(folder, sorted(names)):
            root = videos or (folder if any(_video_files(folder)) else data)
            found.append(VideoSet(folder, dataset, tuple(folder / file for file in files), root, (data, *roots)))
    return tuple(found)


def find_videos(root: Path, ids: Sequence[str]) -> dict[str, str]:
    """The path of each video's file relative to `root`, at any depth and with any extension of `EXTENSIONS`.

    A folder of frames in `root` that has the name of a video comes before all files.
    An id is the name of the file, with or without its extension, and with any folders before it. A letter may be
    composed or decomposed (Unicode's NFC and NFD), because systems store both. For an id without a file the path is
    where the file is expected. Raises UserError if several files match one id.
    """
    found = {video: folder for video in ids if (folder := _frames_of(root, video))}
    if len(found) == len(ids):
        return found
    files = list(_video_files(root))
    known: dict[tuple[bool, str], list[str]] = {}
    for file in files:
        for key in _keys(PurePosixPath(file).name):
            known.setdefault(key, []).append(file)
    usual = Counter((str(PurePosixPath(file).parent), PurePosixPath(file).suffix) for file in files).most_common(1)
    folder, suffix = usual[0][0] if usual else (".", EXTENSIONS[0])
    for video in (each for each in ids if each not in found):
        name = PurePosixPath(video.replace("\\", "/")).name
        expected = [str(PurePosixPath(folder, _stem(name) + suffix))]
        matches = next((known[key] for key in _keys(name) if key in known), expected)
        if len(matches) > 1:
            raise UserError(
                f"{root} has several files for the video {video}: {' and '.join(matches)}.",
                "Remove all but one, or name the folder that holds the right ones with --images.",
            )
        found[video] = matches[0]
    return found


def _frames_of(root: Path, video: str) -> str:
    """The name of the folder of a video's frames. Empty if there is none."""
    name = _stem(PurePosixPath(video.replace("\\", "/")).name)
    try:
        return name if name and (root / name).is_dir() and frame_names(root / name) else ""
    except OSError:
        return ""


@lru_cache(maxsize=16)
def _captions(
    files: tuple[Path, ...], _stamps: tuple[tuple[int, int], ...], reader: Callable[[Path], list[Caption]]
) -> tuple[Caption, ...]:
    """Reads captions once in a process, although each direction and each protocol needs them."""
    captions = tuple(reader(files[0]))
    if len(files) == 1:
        return captions
    by_video: dict[str, list[Caption]] = {}
    for caption in captions:
        by_video.setdefault(caption.video, []).append(caption)
    ids = read_ids(files[1])
    without = [video for video in ids if video not in by_video]
    if without:
        shown = ", ".join(without[:5])
        raise UserError(
            f"{files[1]} lists {counted(len(without), 'video')} without a caption in {files[0].name}: {shown}.",
            "Fetch both files again.",
        )
    return tuple(caption for video in ids for caption in by_video[video])


def _stamp(file: Path) -> tuple[int, int]:
    try:
        status = file.stat()
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror}.", "Check the file and its permissions.") from None
    return status.st_mtime_ns, status.st_size


def _annotations(folder: Path, names: Sequence[str]) -> Iterable[tuple[str, tuple[str, ...]]]:
    for dataset, patterns in _CAPTIONS.items():
        first = next((name for pattern in patterns for name in names if fnmatch(name, pattern)), None)
        if first and dataset == "MSVD":
            if _TEST_LIST in names:
                yield dataset, (first, _TEST_LIST)
        elif first:
            yield dataset, (first,)
    own = next((name for name in _OWN if name in names), None)
    if own:
        yield next((each for each in _CAPTIONS if _plain(each) == _plain(folder.name)), ""), (own,)


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())


def _video_files(root: Path) -> Iterable[str]:
    """Paths relative to `root`, with forward slashes, sorted by folder and name."""
    for base, folders, names in walk(root):
        folders.sort()
        here = base.relative_to(root)
        yield from (PurePosixPath(here, name).as_posix() for name in sorted(names) if _is_video(name))


def _is_video(name: str) -> bool:
    return name.lower().endswith(EXTENSIONS) and not name.startswith(".")


def _keys(name: str) -> Iterable[tuple[bool, str]]:
    """The keys under which a file is found, the most exact one first, each with whether its letters were composed."""
    exact = dict.fromkeys((name, _stem(name)))
    return [(False, each) for each in exact] + [(True, unicodedata.normalize("NFC", each)) for each in exact]


def _stem(name: str) -> str:
    return name.rpartition(".")[0] if _is_video(name) else name
