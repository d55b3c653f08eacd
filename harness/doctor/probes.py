"""Probes: a few texts, images and videos for the checks, drawn by code into a temporary folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from harness.data.items import in_order
from harness.doctor.finding import Probe
from harness.types import MEDIA_TOKEN, Item, Media, MediaKind

_COMMON = (
    "river stone window garden silver horse bridge candle winter paper table forest yellow market island morning "
    "engine flower letter mountain button carpet doctor summer"
)
WORDS = _COMMON.split()
FRAMES, RATE, SIDE = 8, 3, 96
_BETWEEN = "and after that"
_SAME_TEXT = "What is in this picture?"
_COLOURS = ("crimson", "royalblue", "gold", "seagreen")


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

    def of(self, kind: str) -> tuple[Probe, ...]:
        """Returns the probes that consist only of text, of an image or of a video."""
        return {"text": self.texts, "image": self.images, "video": self.videos}[kind]


def draw_probes(folder: Path) -> Probes:
    """Draws the probes into a folder. There are videos only if OpenCV can write them here."""
    images = [_image(folder, number, (SIDE, SIDE)) for number in range(3)]
    images.append(_image(folder, 3, (2 * SIDE, SIDE // 2)))
    captioned = [_with_text(image, _SAME_TEXT) for image in images]
    captioned.append(_with_text(images[0], "How many corners does it have?"))
    question = Item("Silver horses by the river.")
    instructions = "Find a picture that shows this: ", "Decide whether the writer is happy: "
    return Probes(
        texts=tuple(Probe(Item(words(count, start))) for start, count in enumerate((60, 24, 6, 2))),
        images=tuple(Probe(Item(media=(image,))) for image in images),
        captioned=tuple(captioned),
        several=_several(images[:3]),
        videos=tuple(Probe(Item(media=(video,))) for video in _videos(folder)),
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


def _image(folder: Path, number: int, size: tuple[int, int]) -> Media:
    name = f"{number}.png"
    Image.fromarray(_picture(number, size)).save(folder / name)
    return _media("image", folder, name)


def _picture(number: int, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Draws a picture whose shape and background depend on `number`."""
    width, height = size
    ramp = np.linspace(0, 255, width if number % 2 else height, dtype=np.uint8)
    ground = np.broadcast_to(ramp if number % 2 else ramp[:, None], (height, width))
    image = Image.fromarray(np.roll(np.stack([ground, 255 - ground, ground // 2], axis=-1), number, axis=-1))
    box = (width // 4, height // 4, width * 3 // 4, height * 3 // 4)
    pen = ImageDraw.Draw(image)
    (pen.ellipse if number % 2 else pen.rectangle)(box, fill=_COLOURS[number % len(_COLOURS)], outline="black")
    return np.asarray(image)


def _videos(folder: Path) -> Sequence[Media]:
    """Writes videos that show one picture in the first half and another one in the second half.

    So an even number of evenly spaced frames shows the same pictures in both directions.
    """
    pictures = [_picture(number, (SIDE, SIDE)) for number in range(4)]
    pairs = {"forward.avi": (0, 1), "reverse.avi": (1, 0), "other.avi": (2, 3)}
    written = [_write(folder / name, [pictures[which] for which in pair]) for name, pair in pairs.items()]
    return [_media("video", folder, name) for name in pairs] if all(written) else []


def _write(path: Path, pictures: Sequence[NDArray[np.uint8]]) -> bool:
    """Writes a video, and returns whether OpenCV could write it."""
    import cv2

    # Motion JPEG encodes each frame separately, so a frame does not depend on its place.

    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), RATE, (SIDE, SIDE))
    if not writer.isOpened():
        return False
    for picture in pictures:
        for _ in range(FRAMES // len(pictures)):
            writer.write(np.ascontiguousarray(picture[..., ::-1]))
    writer.release()
    return True


def _media(kind: MediaKind, folder: Path, name: str) -> Media:
    return Media(kind, name, folder)
