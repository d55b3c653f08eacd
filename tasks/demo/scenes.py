"""Demo scenes: their objects and words, the combinations that training never sees, and texts about them.

Held-out combinations of shape or word and colour are only in scenes of the test part.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cache
from random import Random
from typing import Literal, NamedTuple

SIZES = ("small", "large")
TEXTURES = ("solid", "striped", "dotted")
COLORS = ("red", "orange", "yellow", "green", "blue", "purple")
SHAPES = ("circle", "square", "triangle", "cross", "ring")
WORDS = ("bat", "bin", "cap", "car", "cat", "map", "mat", "pan", "pig", "pin", "tap", "tin")
DIRECTIONS = {"left of": (0, -1), "right of": (0, 1), "above": (-1, 0), "below": (1, 0)}
"""The step (rows, columns) of each phrase, from the object after the phrase to the object before it."""

HARD_EDITS = 6


@dataclass(frozen=True, slots=True)
class Thing:
    """An object in one of the four cells of a scene. Cells 0 and 1 are above, 2 and 3 below."""

    size: str
    texture: str
    color: str
    shape: str
    cell: int

    @property
    def label(self) -> str:
        """All attributes in words, such as `small solid red ring`."""
        return f"{self.size} {self.texture} {self.color} {self.shape}"

    @property
    def name(self) -> str:
        """Colour and shape in words, such as `red ring`."""
        return f"{self.color} {self.shape}"

    @property
    def held_out(self) -> bool:
        """Whether training never sees this colour on this shape: two of the six colours for each shape."""
        return (COLORS.index(self.color) - SHAPES.index(self.shape)) % len(COLORS) in (0, 2)


@dataclass(frozen=True, slots=True)
class Word:
    """A word written across a row of a scene. Row 0 is above, row 1 below."""

    text: str
    color: str
    row: int

    @property
    def held_out(self) -> bool:
        """Whether training never sees this word in this colour: two of the six colours for each word."""
        return (COLORS.index(self.color) - WORDS.index(self.text)) % len(COLORS) in (0, 2)


@dataclass(frozen=True, slots=True)
class Scene:
    """The content of an image, without exact positions and background. Equal scenes have the same meaning."""

    things: tuple[Thing, ...] = ()
    """Objects, sorted by cell."""
    words: tuple[Word, ...] = ()
    """Words, sorted by row."""

    @property
    def content(self) -> str:
        """The whole scene as a line of text."""
        things = [f"{thing.label} @{thing.cell}" for thing in self.things]
        return "; ".join(things + [f"{word.color} {word.text!r} @{word.row}" for word in self.words])

    @property
    def held_out(self) -> bool:
        """Whether training never sees some of the scene's things or words."""
        return any(thing.held_out for thing in self.things) or any(word.held_out for word in self.words)

    @property
    def part(self) -> Literal["train", "test"]:
        """The part in which the scene may occur. It follows from the content, so training and test share no scene."""
        return "test" if self.held_out or hashlib.sha256(self.content.encode()).digest()[0] % 3 == 0 else "train"

    def admits(self, other: Scene) -> bool:
        """Whether `other` may be shown in a question about this scene."""
        return other.part == self.part and (self.held_out or not other.held_out)


@dataclass(frozen=True, slots=True)
class Picture:
    """An image of a scene or of one of its cells. Variant 1 is moved and darker, with the same meaning."""

    scene: Scene
    variant: int = 0
    cell: int | None = None

    @property
    def name(self) -> str:
        """The name of the image's file, which follows from the content."""
        spec = f"{self.scene.content} | {self.variant} | {self.cell}"
        return f"{hashlib.sha256(spec.encode()).hexdigest()[:16]}.png"


class AttributeChange(NamedTuple):
    """A thing with another value of one attribute."""

    attribute: str
    value: str
    thing: Thing


class Edit(NamedTuple):
    """A scene that differs from another in one attribute, and an instruction that says how."""

    attribute: str
    text: str
    scene: Scene


def changes(thing: Thing) -> list[AttributeChange]:
    """Every thing that differs from the given one in exactly one attribute."""
    found = [
        *(AttributeChange("size", size, replace(thing, size=size)) for size in SIZES),
        *(AttributeChange("texture", texture, replace(thing, texture=texture)) for texture in TEXTURES),
        *(AttributeChange("color", color, replace(thing, color=color)) for color in COLORS),
        *(AttributeChange("shape", shape, replace(thing, shape=shape)) for shape in SHAPES),
    ]
    return [change for change in found if change.thing != thing]


def edits(scene: Scene) -> list[Edit]:
    """Every scene that differs from a scene of two things in one attribute of one thing, or in their order."""
    first, second = scene.things
    found = [
        Edit("order", "swap the two objects", _pair(replace(second, cell=first.cell), replace(first, cell=second.cell)))
    ]
    for thing, other in ((first, second), (second, first)):
        for attribute, value, changed in changes(thing):
            if changed.shape != other.shape:
                verb = f"turn the {thing.shape} into a" if attribute == "shape" else f"make the {thing.shape}"
                found.append(Edit(attribute, f"{verb} {value}", _pair(changed, other)))
    return found


def _pair(*things: Thing) -> Scene:
    return Scene(tuple(sorted(things, key=lambda thing: thing.cell)))


@cache
def hard_edits(scene: Scene) -> tuple[Edit, ...]:
    """Up to six edits that the scene admits, of as many attributes as possible. They are the same at every call."""
    found = [edit for edit in edits(scene) if scene.admits(edit.scene)]
    Random(scene.content).shuffle(found)  # noqa: S311
    earlier = [sum(one.attribute == edit.attribute for one in found[:at]) for at, edit in enumerate(found)]
    return tuple(found[at] for at in sorted(range(len(found)), key=earlier.__getitem__)[:HARD_EDITS])


def caption(scene: Scene, backwards: bool = False) -> str:
    """Describes a scene of two neighbouring things. If `backwards`, the second thing comes first."""
    first, second = scene.things
    beside = first.cell // 2 == second.cell // 2
    if backwards:
        return f"a {second.label} {'right of' if beside else 'below'} a {first.label}"
    return f"a {first.label} {'left of' if beside else 'above'} a {second.label}"


def neighbour(scene: Scene, thing: Thing, direction: str) -> Thing | None:
    """The thing directly left of (right of, above, below) another, if there is one."""
    rows, columns = DIRECTIONS[direction]
    place = (thing.cell // 2 + rows, thing.cell % 2 + columns)
    return next((each for each in scene.things if (each.cell // 2, each.cell % 2) == place), None)
