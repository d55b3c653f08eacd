"""Demo clips and their captions. In a clip, one thing moves, or two things appear one after the other.

Each clip has two hard negatives. One has the same frames in another order: `moves left` and `moves right`, or `first`
and `then` exchanged. The other is the same clip in another colour. So a model that takes the mean of the frames
can find only colours and shapes.
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
    """A clip of one thing that moves. Without a `move`, two things rise a little, one after the other."""

    things: tuple[Thing, ...]
    move: str = ""

    @property
    def caption(self) -> str:
        """What the clip shows, in words."""
        names = [thing.name for thing in self.things]
        return f"a {names[0]} moves {self.move}" if self.move else f"first a {names[0]}, then a {names[1]}"

    @property
    def id(self) -> str:
        """The name of the clip's file without its extension, which follows from the caption."""
        return hashlib.sha256(self.caption.encode()).hexdigest()[:12]

    def negatives(self) -> tuple[DemoClip, DemoClip]:
        """The two hard negatives: the frames in another order, and the clip in the next colour."""
        first, *rest = self.things
        colour = COLORS[(COLORS.index(first.color) + 1) % len(COLORS)]
        painted = replace(self, things=(replace(first, color=colour), *rest))
        if self.move:
            return replace(self, move=_MOVES[_MOVES.index(self.move) ^ 1]), painted
        return replace(self, things=self.things[::-1]), painted


def demo_clips(seed: int) -> tuple[DemoClip, ...]:
    """Distinct clips, each followed by its two hard negatives."""
    rng = Random(f"{seed} video")  # noqa: S311
    clips: dict[DemoClip, None] = {}
    for number in range(2 * _PER_KIND):
        wanted = len(clips) + 3
        while len(clips) < wanted:
            clip = _any_move(rng) if number % 2 else _any_order(rng)
            if not {clip, *clip.negatives()} & clips.keys():
                clips |= dict.fromkeys((clip, *clip.negatives()))
    return tuple(clips)


def draw_clip(clip: DemoClip) -> NDArray[np.uint8]:
    """The pixels of a clip, `(12, 48, 48, 3)`. Consecutive frames differ, because GIF merges equal ones."""
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
    """Writes a table of captions and a GIF for each clip. Returns the content of both as bytes, for a digest."""
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
