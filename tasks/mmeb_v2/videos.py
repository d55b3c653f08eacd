"""The media of MMEB-V2's video tasks: folders of frames as the archives unpack them, else files of videos.

The archives were packed in several ways, so a folder is searched in each of the places that are known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.types import Media
from tasks.video.files import EXTENSIONS

FRAMES, VIDEOS = "video-tasks/frames", "video-tasks/videos"


@dataclass(frozen=True, slots=True)
class Videos:
    """The folder of one dataset's videos, in which each video is a folder of frames or a file."""

    folder: Path
    roots: tuple[Path, ...] = ()
    """Other folders that links may lead into."""

    def video(self, name: str, where: str) -> Media:
        """The video of a name, with or without an extension. If there is none, the medium names where it should lie."""
        stem = name.removesuffix(next((end for end in EXTENSIONS if name.lower().endswith(end)), ""))
        spelled = (name, stem, *(stem + end for end in EXTENSIONS))
        found = next((each for each in spelled if (self.folder / each).exists()), name)
        return Media("video", found, self.folder, where, self.roots)

    def image(self, name: str, where: str) -> Media:
        """The image of a name."""
        return Media("image", name, self.folder, where, self.roots)


def find_videos_of(data: Path, archive: str, spellings: Sequence[str], roots: tuple[Path, ...] = ()) -> Videos:
    """Finds the videos of a dataset in a folder with MMEB-V2's data. If there are none, where they should lie.

    Args:
        data: the folder that holds `video-tasks`.
        archive: `video_cls`, `video_qa`, `video_ret` or `video_mret`.
        spellings: names of the dataset's folder.
        roots: other folders that links may lead into.
    """
    places = [f"{FRAMES}/{archive}/{name}" for name in spellings]
    places += [f"{FRAMES}/{archive}/{archive}/{name}" for name in spellings]
    places += [f"{FRAMES}/{archive}/data/ziyan/video_retrieval/{name}/frames" for name in spellings]
    places += [f"{VIDEOS}/{archive}/{name}" for name in spellings]
    found = next((data / place for place in places if (data / place).is_dir()), data / places[0])
    return Videos(found, (data, *roots))
