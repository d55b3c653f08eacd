"""Draws demo scenes. It uses only integer arithmetic, so that every machine draws the same pixels."""

from __future__ import annotations

import hashlib
from functools import cache

import numpy as np
from numpy.typing import NDArray

from tasks.demo.scenes import Picture, Thing

SIDE = 48
_CELL = SIDE // 2
_RADIUS = {"small": 6, "large": 10}
_BACKGROUNDS = (255, 243, 231)
_INK = {
    "red": (226, 40, 44),
    "orange": (255, 134, 8),
    "yellow": (244, 214, 12),
    "green": (48, 168, 64),
    "blue": (52, 104, 240),
    "purple": (160, 64, 208),
}
_FONT = {
    "a": (14, 17, 17, 31, 17, 17, 17),
    "b": (30, 17, 17, 30, 17, 17, 30),
    "c": (14, 17, 16, 16, 16, 17, 14),
    "g": (14, 17, 16, 23, 17, 17, 14),
    "i": (14, 4, 4, 4, 4, 4, 14),
    "m": (17, 27, 21, 21, 17, 17, 17),
    "n": (17, 25, 21, 19, 17, 17, 17),
    "p": (30, 17, 17, 30, 16, 16, 16),
    "r": (30, 17, 17, 30, 20, 18, 17),
    "t": (31, 4, 4, 4, 4, 4, 4),
}
"""Letters as seven rows of five bits."""


def draw(picture: Picture) -> NDArray[np.uint8]:
    """The pixels of a picture, `(48, 48, 3)`. A single cell of a scene is drawn at twice its size.

    In variant 0 all things are centred in their cells, which keeps the suite easy for small models. In variant 1 they
    are up to two pixels off, and the picture is darker.
    """
    scene = picture.scene
    noise = hashlib.sha256(scene.content.encode()).digest()
    canvas = np.full((SIDE, SIDE, 3), _BACKGROUNDS[noise[0] % len(_BACKGROUNDS)], np.uint8)
    for thing in scene.things:
        shift = noise[1 + thing.cell] % 16 if picture.variant else 5
        draw_thing(canvas, thing, shift // 4 - 1, shift % 4 - 1)
    for word in scene.words:
        draw_letters(canvas, word.text, (word.row * _CELL + 5, 5), 2, word.color)
    if picture.variant:
        canvas = canvas // 8 * 7
    if picture.cell is None:
        return canvas
    top, left = picture.cell // 2 * _CELL, picture.cell % 2 * _CELL
    return canvas[top : top + _CELL, left : left + _CELL].repeat(2, axis=0).repeat(2, axis=1)


def draw_thing(canvas: NDArray[np.uint8], thing: Thing, down: int, right: int) -> None:
    """Draws a thing `down` pixels below and `right` pixels right of the middle of its cell."""
    radius = _RADIUS[thing.size]
    margin = (_CELL - 2 * radius - 1) // 2
    top = thing.cell // 2 * _CELL + margin + down
    left = thing.cell % 2 * _CELL + margin + right
    box = canvas[top : top + 2 * radius + 1, left : left + 2 * radius + 1]
    ink = np.array(_INK[thing.color], np.uint8)
    mask = _shape(thing.shape, radius)
    box[mask] = ink
    box[mask & _texture(thing.texture, radius)] = ink // 4


def draw_letters(canvas: NDArray[np.uint8], text: str, place: tuple[int, int], scale: int, color: str) -> None:
    """Draws a text whose upper left corner is at `place` (row, column). A letter is 7 x 6 dots of `scale` pixels."""
    letters = [[[row >> bit & 1 for bit in (5, 4, 3, 2, 1, 0)] for row in _FONT[letter]] for letter in text]
    mask = np.concatenate([np.array(letter, bool) for letter in letters], axis=1)
    mask = mask.repeat(scale, axis=0).repeat(scale, axis=1)
    top, left = place
    canvas[top : top + mask.shape[0], left : left + mask.shape[1]][mask] = _INK[color]


@cache
def _shape(shape: str, radius: int) -> NDArray[np.bool_]:
    """The pixels of a box of side `2 * radius + 1` that belong to a shape."""
    down, right = _grid(radius)
    distance = down * down + right * right
    masks = {
        "circle": distance <= radius * radius + radius // 2,
        "square": np.maximum(abs(down), abs(right)) <= radius - 1,
        "triangle": 2 * abs(right) <= down + radius,
        "cross": np.minimum(abs(down), abs(right)) <= radius // 3,
        "ring": (distance <= radius * radius + radius // 2) & (4 * distance > radius * radius),
    }
    return masks[shape]


@cache
def _texture(texture: str, radius: int) -> NDArray[np.bool_]:
    """The pixels of the box that are darkened."""
    down, right = _grid(radius)
    masks = {
        "solid": np.zeros((2 * radius + 1, 2 * radius + 1), bool),
        "striped": (down + right) % 6 < 3,
        "dotted": (down % 4 < 2) & (right % 4 < 2),
    }
    return masks[texture]


def _grid(radius: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    steps = np.arange(-radius, radius + 1, dtype=np.int64)
    down, right = np.meshgrid(steps, steps, indexing="ij")
    return down, right
