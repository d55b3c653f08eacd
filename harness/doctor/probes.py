"""Probes: a few texts, images and videos for the checks, drawn by code into a temporary folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.data.items import in_order
from harness.doctor.drawing import SIDE, picture, save_picture, save_video
from harness.doctor.finding import Probe
from harness.types import MEDIA_TOKEN, Item, Media

_COMMON = (
    "river stone window garden silver horse bridge candle winter paper table forest yellow market island morning "
    "engine flower letter mountain button carpet doctor summer"
)
WORDS = _COMMON.split()
_BETWEEN = "and after that"
_SAME_TEXT = "What is in this picture?"
_FILMED = (0, "What happens here?"), (0, "How long does it last?"), (2, "What happens here?")


@dataclass(frozen=True, slots=True)
class Probes:
    """Probes of each kind. The contents in a tuple are all different."""

    texts: tuple[Probe, ...]
    """Texts from long to short."""
    images: tuple[Probe, ...]
    """Three images of one size, then a wide one, without text."""
    captioned: tuple[Probe, ...]
    """The same images with the same text, then the first image with another text."""
    videos: tuple[Probe, ...]
    """A video, the same with its frames in reverse, and another video."""
    several: tuple[Probe, ...]
    """Two images with a text between them, and the same in the other order. Then the first with a third image, and
    the two images before the text."""
    instructed: tuple[Probe, ...]
    """One text with two different instructions, then without an instruction."""
    filmed: tuple[Probe, ...]
    """The first video with a text, the same with another text, and the other video with the first text."""
    folder: Path
    """Where checks draw more."""

    def of(self, kind: str) -> tuple[Probe, ...]:
        """Returns the probes that consist only of text, of an image or of a video."""
        return {"text": self.texts, "image": self.images, "video": self.videos}[kind]


def draw_probes(folder: Path) -> Probes:
    """Draws the probes into a folder. There are videos only if OpenCV can write them here."""
    sizes = [(SIDE, SIDE)] * 3 + [(2 * SIDE, SIDE // 2)]
    images = [save_picture(folder, f"{number}.png", picture(number, size)) for number, size in enumerate(sizes)]
    videos = _videos(folder)
    captioned = [_with_text(image, _SAME_TEXT) for image in images]
    captioned.append(_with_text(images[0], "How many corners does it have?"))
    question = Item("Silver horses by the river.")
    instructions = "Find a picture that shows this: ", "Decide whether the writer is happy: "
    return Probes(
        texts=tuple(Probe(Item(words(count, start))) for start, count in enumerate((60, 24, 6, 2))),
        images=tuple(Probe(Item(media=(image,))) for image in images),
        captioned=tuple(captioned),
        several=_several(images[:3]),
        videos=tuple(Probe(Item(media=(video,))) for video in videos),
        filmed=tuple(_with_text(videos[at], text) for at, text in _FILMED) if videos else (),
        folder=folder,
        instructed=(*(Probe(Item(question.text, (), each)) for each in instructions), Probe(question)),
    )


def words(count: int, start: int = 0) -> str:
    """Returns a text of `count` words. Another start gives other words at the same places."""
    return " ".join(WORDS[(start * 5 + number) % len(WORDS)] for number in range(count)) + "."


def _with_text(image: Media, text: str) -> Probe:
    return Probe(Item(f"{MEDIA_TOKEN}\n{text}", (image,)))


def _several(images: Sequence[Media]) -> tuple[Probe, ...]:
    first, second, third = images
    contents = (first, _BETWEEN, second), (second, _BETWEEN, first), (first, _BETWEEN, third), (first, second, _BETWEEN)
    return tuple(Probe(Item(*in_order(parts))) for parts in contents)


def _videos(folder: Path) -> Sequence[Media]:
    """Writes videos that show one picture in the first half and another one in the second half.

    So an even number of evenly spaced frames shows the same pictures in both directions.
    """
    pictures = [picture(number) for number in range(4)]
    pairs = {"forward.avi": (0, 1), "reverse.avi": (1, 0), "other.avi": (2, 3)}
    written = [save_video(folder, name, [pictures[which] for which in pair]) for name, pair in pairs.items()]
    return [video for video in written if video] if all(written) else []
