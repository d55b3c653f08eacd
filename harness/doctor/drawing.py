"""Pictures and videos that are drawn by code, and files of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from harness.types import Media

Pixels: TypeAlias = NDArray[np.uint8]
FRAMES, RATE, SIDE = 8, 3, 96
_COLOURS = ("crimson", "royalblue", "gold", "seagreen")
_TURN, _TURNED = 0x0112, 6
"""The EXIF tag of the orientation, and its value for a picture that is shown turned clockwise."""


def picture(number: int, size: tuple[int, int] = (SIDE, SIDE)) -> Pixels:
    """Draws a picture whose shape and background depend on `number`. The first twelve are different."""
    width, height = size
    ramp = np.linspace(0, 255, width if number % 2 else height, dtype=np.uint8)
    ground = np.broadcast_to(ramp if number % 2 else ramp[:, None], (height, width))
    image = Image.fromarray(np.roll(np.stack([ground, 255 - ground, ground // 2], axis=-1), number, axis=-1))
    box = (width // 4, height // 4, width * 3 // 4, height * 3 // 4)
    pen = ImageDraw.Draw(image)
    (pen.ellipse if number % 2 else pen.rectangle)(box, fill=_COLOURS[number % len(_COLOURS)], outline="black")
    return np.asarray(image)


def scene(shape: str, colour: str, place: str) -> Pixels:
    """Draws a shape (`square`, `circle`, `triangle`, `cross`) in a colour at a corner of a white ground."""
    third = SIDE // 3
    left, top = ("right" in place) * third + third // 2, ("bottom" in place) * third + third // 2
    right, bottom, middle = left + third, top + third, (left + third // 2, top + third // 2)
    image = Image.new("RGB", (SIDE, SIDE), "white")
    pen = ImageDraw.Draw(image)
    match shape:
        case "square":
            pen.rectangle((left, top, right, bottom), fill=colour)
        case "circle":
            pen.ellipse((left, top, right, bottom), fill=colour)
        case "triangle":
            pen.polygon(((middle[0], top), (right, bottom), (left, bottom)), fill=colour)
        case _:
            pen.line((left, top, right, bottom), fill=colour, width=6)
            pen.line((left, bottom, right, top), fill=colour, width=6)
    return np.asarray(image)


def save_picture(folder: Path, name: str, pixels: Pixels, *, turned: bool = False) -> Media:
    """Writes a picture in the format of its name. `turned`: its EXIF data say that it lies on its side."""
    exif = Image.Exif()
    if turned:
        exif[_TURN] = _TURNED
    folder.mkdir(exist_ok=True)
    Image.fromarray(pixels).save(folder / name, exif=exif)
    return Media("image", name, folder)


def save_video(folder: Path, name: str, pictures: Sequence[Pixels], frames: int = FRAMES) -> Media | None:
    """Writes a video that shows the pictures one after the other. Returns None if OpenCV cannot write it here.

    Files in `.avi` hold Motion JPEG, in which no frame depends on another; files in `.mp4` hold MPEG-4.
    """
    import cv2

    codec = cv2.VideoWriter.fourcc(*("MJPG" if name.endswith(".avi") else "mp4v"))
    height, width = pictures[0].shape[:2]
    folder.mkdir(exist_ok=True)
    writer = cv2.VideoWriter(str(folder / name), codec, RATE, (width, height))
    if not writer.isOpened():
        return None
    for each in pictures:
        for _ in range(frames // len(pictures)):
            writer.write(np.ascontiguousarray(each[..., ::-1]))
    writer.release()
    return Media("video", name, folder)
