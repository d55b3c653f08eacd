"""An item as it is sent: texts and files in order, and what they weigh."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from harness.errors import BadMedia
from harness.files.kinds import HEAD, kind_of_head
from harness.media.frame_policy import FramePolicy
from harness.media.images import encode_image, png_of
from harness.media.unchanged import read_bytes, unchanged
from harness.media.video import map_frames
from harness.models.common import plain_text, without_media
from harness.types import MEDIA_TOKEN, Media, Role

PartKind: TypeAlias = Literal["text", "image", "video"]

_CHARACTERS = 4
"""Characters of a text that are one token, roughly. It is used to fill requests and to foresee their cost."""
_PIXELS = 28 * 28
"""Pixels of a picture that are one token, roughly."""
_VIDEO_TOKENS = 4096
_MIME = {"an MP4 video": "video/mp4", "a QuickTime video": "video/quicktime", "an MPEG video": "video/mpeg"}
_MIME |= {"a Matroska or WebM video": "video/webm", "an AVI video": "video/x-msvideo"}


@dataclass(frozen=True, slots=True)
class Part:
    """A text, or a file."""

    kind: PartKind
    text: str = ""
    mime: str = ""
    content: str = ""
    """The bytes of the file in base64."""
    tokens: int = 0
    """What it takes of a budget, roughly."""

    @property
    def url(self) -> str:
        """The file as a data URL."""
        return f"data:{self.mime};base64,{self.content}"


@dataclass(frozen=True, slots=True)
class Message:
    """An item: its role, what is said apart from it, and its parts in order."""

    role: Role
    system: str
    parts: tuple[Part, ...]
    label: str
    """What it is called in messages for the user."""

    @property
    def text(self) -> str:
        """All texts, one after the other."""
        return "".join(part.text for part in self.parts)

    @property
    def files(self) -> tuple[Part, ...]:
        """The images and videos."""
        return tuple(part for part in self.parts if part.kind != "text")

    @property
    def tokens(self) -> int:
        """What it takes of a budget, roughly."""
        return sum(part.tokens for part in self.parts) + len(self.system) // _CHARACTERS

    @property
    def bytes(self) -> int:
        """Bytes that it adds to a request, roughly."""
        return sum(len(part.content) + len(part.text) for part in self.parts) + len(self.system)


def text_part(text: str) -> Part:
    """Returns a text as a part."""
    return Part("text", text, tokens=len(text) // _CHARACTERS + 1)


def image_part(mime: str, data: bytes, pixels: int) -> Part:
    """Returns the bytes of an image as a part."""
    return Part("image", "", mime, base64.b64encode(data).decode(), pixels // _PIXELS + 1)


def in_order(text: str, files: Sequence[Sequence[Part]]) -> Iterator[Part]:
    """Yields texts and the files of each medium, where the text has their tokens. Else all files come first."""
    texts = text.split(MEDIA_TOKEN)
    if len(texts) != len(files) + 1:
        texts = [*("" for _ in files), plain_text(text)]
    yield from [text_part(texts[0])] if texts[0].strip() else []
    for medium, after in zip(files, texts[1:], strict=True):
        yield from medium
        rest = without_media(after.removeprefix("\n"))
        yield from [text_part(rest)] if rest.strip() else []


def file_parts(medium: Media, taken: Sequence[str], frames: FramePolicy | None) -> tuple[Part, ...]:
    """The parts of a medium. An image in a format that is not taken becomes a PNG.

    Args:
        medium: an image or a video.
        taken: the types of files that the server takes, such as `image/png`.
        frames: which frames of a video are sent as images; None sends the file.

    Raises:
        BadMedia: for a file that cannot be used, or that the server does not take.
    """
    if medium.kind == "image":
        formats = [each.removeprefix("image/").upper() for each in taken if each.startswith("image/")]
        form, data, pixels = encode_image(medium, formats)
        return (image_part(f"image/{form.lower()}", data, pixels),)
    if frames is not None:
        pictures = map_frames(medium, frames.choose, lambda frame: (png_of(frame), frame.width * frame.height))
        return tuple(image_part("image/png", data, pixels) for data, pixels in pictures)
    return (_video(medium, taken),)


def _video(medium: Media, taken: Sequence[str]) -> Part:
    hint = "Send its frames as images: --model-option frames=uniform:8, if the server takes several images."
    with unchanged(medium) as path:
        if path.is_dir():
            raise BadMedia(f"{path} is a folder of frames, and the server takes videos as files.", hint, medium)
        data = read_bytes(path)
    kind = kind_of_head(data[:HEAD], whole=len(data) <= HEAD)
    mime = _MIME.get(kind.name, "")
    if mime not in taken:
        known = ", ".join(each for each in taken if each.startswith("video/"))
        raise BadMedia(f"{path} is {kind.name}, and the server takes {known}.", hint, medium)
    return Part("video", "", mime, base64.b64encode(data).decode(), _VIDEO_TOKENS)
