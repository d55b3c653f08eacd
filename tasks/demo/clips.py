"""Demo clips: a thing that moves, or two that come one after the other, and captions that differ in no more than that.

Beside each clip stand its hardest rivals: the same frames in another order (`moves left` and `moves right`, `first` and
`then`), and the same clip in another colour. So a model that takes the mean of the frames finds colours and shapes, and
no more.
"""

from __future__ import annotations

import csv
import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tasks.demo.draw import SIDE, draw_thing
from tasks.demo.scenes import COLORS, SHAPES, Thing

CAPTIONS, FRAMES, FRAME_MS = "captions.csv", 12, 100
_PER_KIND = 10
_MOVES = ("left", "right", "up", "down")
_BACKGROUND = 243


@dataclass(frozen=True, slots=True)
class DemoClip:
    """One thing that moves, or, with no `move`, two that rise a little, first one and then the other."""

    things: tuple[Thing, ...]
    move: str = ""

    @property
    def caption(self) -> str:
        names = [thing.name for thing in self.things]
        return f"a {names[0]} moves {self.move}" if self.move else f"first a {names[0]}, then a {names[1]}"

    @property
    def id(self) -> str:
        return hashlib.sha256(self.caption.encode()).hexdigest()[:12]

    def rivals(self) -> tuple[DemoClip, DemoClip]:
        """The same frames in another order; the same in the next colour."""
        first, *rest = self.things
        colour = COLORS[(COLORS.index(first.color) + 1) % len(COLORS)]
        painted = replace(self, things=(replace(first, color=colour), *rest))
        if self.move:
            return replace(self, move=_MOVES[_MOVES.index(self.move) ^ 1]), painted
        return replace(self, things=self.things[::-1]), painted


def demo_clips(seed: int) -> tuple[DemoClip, ...]:
    """Distinct clips, each followed by its rivals."""
    rng = Random(f"{seed} video")  # noqa: S311
    clips: dict[DemoClip, None] = {}
    for number in range(2 * _PER_KIND):
        wanted = len(clips) + 3
        while len(clips) < wanted:
            clip = _any_move(rng) if number % 2 else _any_order(rng)
            if not {clip, *clip.rivals()} & clips.keys():
                clips |= dict.fromkeys((clip, *clip.rivals()))
    return tuple(clips)


def draw_clip(clip: DemoClip) -> NDArray[np.uint8]:
    """`(12, 48, 48, 3)` pixels. No two frames in a row are equal: GIF would make one of them."""
    frames = np.full((FRAMES, SIDE, SIDE, 3), _BACKGROUND, np.uint8)
    half = FRAMES // 2
    for number, canvas in enumerate(frames):
        if clip.move:
            way = 2 * (number if clip.move in ("right", "down") else FRAMES - 1 - number)
            down, right = (13, way + 1) if clip.move in ("left", "right") else (way + 1, 13)
            draw_thing(canvas, clip.things[0], down, right)
        else:
            draw_thing(canvas, clip.things[number // half], 15 - number % half, 13)
    return frames


def write_clips(folder: Path, seed: int) -> bytes:
    """Writes a table of captions and a GIF for each clip; returns all of it as bytes, for the suite's digest."""
    clips = demo_clips(seed)
    (folder / "clips").mkdir(parents=True)
    with (folder / CAPTIONS).open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerows([("video_id", "sentence"), *((clip.id, clip.caption) for clip in clips)])
    content = []
    for clip in clips:
        frames = draw_clip(clip)
        content.append(f"{clip.id},{clip.caption}\n".encode() + frames.tobytes())
        first, *rest = map(Image.fromarray, frames)
        first.save(folder / "clips" / f"{clip.id}.gif", save_all=True, append_images=rest, duration=FRAME_MS, loop=0)
    return b"".join(content)


def _any_move(rng: Random) -> DemoClip:
    return DemoClip((_any_thing(rng),), rng.choice(_MOVES))


def _any_order(rng: Random) -> DemoClip:
    first, second = (_any_thing(rng) for _ in range(2))
    return DemoClip((first, second)) if first.shape != second.shape else _any_order(rng)


def _any_thing(rng: Random) -> Thing:
    return Thing("large", "solid", rng.choice(COLORS), rng.choice(SHAPES), cell=0)
