"""Invents demo scenes, and makes questions about them with a right answer and hard wrong answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from random import Random
from typing import NamedTuple, TypeAlias

from tasks.demo.scenes import (
    COLORS,
    DIRECTIONS,
    SHAPES,
    SIZES,
    TEXTURES,
    WORDS,
    Picture,
    Scene,
    Thing,
    Word,
    caption,
    changes,
    hard_edits,
    neighbour,
)

Answer: TypeAlias = str | Picture


class DraftQuestion(NamedTuple):
    """A question. `wrong` gives the hard answers first. It may repeat answers, and the right one may be among them."""

    text: str
    picture: Picture | None
    right: Answer
    wrong: Iterator[Answer]


Invent: TypeAlias = Callable[[Random], Scene]
Ask: TypeAlias = Callable[[Scene, Sequence[Scene], Random], DraftQuestion]
"""Makes a question about a scene. The second argument has all scenes of its split, for wrong answers."""


def single(rng: Random) -> Scene:
    """One thing in any cell."""
    return Scene((_any_thing(rng, rng.randrange(4)),))


def pair(rng: Random) -> Scene:
    """Two neighbouring things of different shapes."""
    return _unlike(rng, rng.choice(((0, 1), (2, 3), (0, 2), (1, 3))))


def trio(rng: Random) -> Scene:
    """Three things of different shapes."""
    return _unlike(rng, rng.choice(((0, 1, 2), (0, 1, 3), (0, 2, 3), (1, 2, 3))))


def crowd(rng: Random) -> Scene:
    """Two to four things of few colours and shapes, so that some can be counted."""
    cells = sorted(rng.sample(range(4), rng.choice((2, 3, 4, 4))))
    colors, shapes = rng.sample(COLORS, rng.choice((1, 2, 3))), rng.sample(SHAPES, rng.choice((1, 2, 3)))
    return Scene(tuple(_any_thing(rng, cell, colors, shapes) for cell in cells))


def writing(rng: Random) -> Scene:
    """A word. The other row has another word in another colour, or a thing that training may see."""
    (text, other), (color, another), row = rng.sample(WORDS, 2), rng.sample(COLORS, 2), rng.randrange(2)
    if rng.randrange(2):
        return Scene(words=(Word(text, color, 0), Word(other, another, 1)))
    while (thing := _any_thing(rng, 2 * (1 - row) + rng.randrange(2))).held_out:
        pass
    return Scene((thing,), (Word(text, color, row),))


def _unlike(rng: Random, cells: tuple[int, ...]) -> Scene:
    shapes = rng.sample(SHAPES, len(cells))
    return Scene(tuple(_any_thing(rng, cell, shapes=[shape]) for cell, shape in zip(cells, shapes, strict=True)))


def _any_thing(rng: Random, cell: int, colors: Sequence[str] = COLORS, shapes: Sequence[str] = SHAPES) -> Thing:
    return Thing(rng.choice(SIZES), rng.choice(TEXTURES), rng.choice(colors), rng.choice(shapes), cell)


def ask_shape(scene: Scene, _pool: Sequence[Scene], _rng: Random) -> DraftQuestion:
    """Asks for the shape of a single thing."""
    return DraftQuestion("", Picture(scene), scene.things[0].shape, iter(SHAPES))


def ask_object(scene: Scene, pool: Sequence[Scene], rng: Random) -> DraftQuestion:
    """Asks for all attributes of a single thing. Wrong answers that differ in one attribute come first."""
    thing = scene.things[0]
    wrong = chain(_alike(scene, thing), (other.things[0] for other in _shuffled(pool, rng)))
    return DraftQuestion("", Picture(scene), thing.label, (other.label for other in wrong))


def ask_color(scene: Scene, _pool: Sequence[Scene], rng: Random) -> DraftQuestion:
    """Asks for the colour of the thing with a given shape."""
    thing = _focus(scene, rng)
    return DraftQuestion(f"What color is the {thing.shape}?", Picture(scene), thing.color, iter(COLORS))


def ask_count(scene: Scene, _pool: Sequence[Scene], rng: Random) -> DraftQuestion:
    """Asks for a number of things. Large numbers are rarer in scenes, so they are preferred if there is a choice."""
    colors, shapes = [thing.color for thing in scene.things], [thing.shape for thing in scene.things]
    nouns = {f"{color} objects": colors.count(color) for color in COLORS}
    nouns |= {f"{shape}{'es' if shape == 'cross' else 's'}": shapes.count(shape) for shape in SHAPES}
    right = rng.choice([number for number in sorted(set(nouns.values())) for _ in range((2, 4, 4, 8, 9)[number])])
    noun = rng.choice([noun for noun, number in nouns.items() if number == right])
    return DraftQuestion(f"How many {noun} are in the image?", Picture(scene), str(right), iter("01234"))


def ask_relation(scene: Scene, pool: Sequence[Scene], rng: Random) -> DraftQuestion:
    """Asks for the neighbour of a thing in a given direction."""
    sides = [(side, thing, neighbour(scene, thing, side)) for side in DIRECTIONS for thing in scene.things]
    side, thing, right = rng.choice([(side, thing, other) for side, thing, other in sides if other])
    wrong = chain(
        scene.things,
        rng.sample([other for other in _alike(scene, right) if other.name != right.name], 5),
        (other for each in _shuffled(pool, rng) for other in each.things),
    )
    text = f"What is directly {side} the {thing.shape}?"
    return DraftQuestion(text, Picture(scene), right.name, (other.name for other in wrong))


def ask_word(scene: Scene, _pool: Sequence[Scene], rng: Random) -> DraftQuestion:
    """Asks for the word with a given colour."""
    word = rng.choice([word for word in scene.words if word.held_out] or scene.words)
    return DraftQuestion(f"What word is written in {word.color}?", Picture(scene), word.text, iter(WORDS))


def find_image(scene: Scene, pool: Sequence[Scene], rng: Random) -> DraftQuestion:
    """Asks for the image of a caption."""
    wrong = (Picture(other) for other in _not_as_captioned(scene, pool, rng))
    return DraftQuestion(_any_caption(scene, rng), None, Picture(scene), wrong)


def find_caption(scene: Scene, pool: Sequence[Scene], rng: Random) -> DraftQuestion:
    """Asks for the caption of an image."""
    wrong = (_any_caption(other, rng) for other in _not_as_captioned(scene, pool, rng))
    return DraftQuestion("", Picture(scene), _any_caption(scene, rng), wrong)


def find_similar(scene: Scene, pool: Sequence[Scene], rng: Random) -> DraftQuestion:
    """Asks for the image of the same scene in the other variant."""
    wrong = (Picture(other) for other in _not_as_captioned(scene, pool, rng))
    return DraftQuestion("", Picture(scene, variant=1), Picture(scene), wrong)


def find_edited(scene: Scene, pool: Sequence[Scene], rng: Random) -> DraftQuestion:
    """Asks for an edited image. Wrong answers are other edits of the scene, then right answers of other questions."""
    right, *hard = hard_edits(scene)
    others = (hard_edits(other)[0] for other in _shuffled(pool, rng))
    wrong = (Picture(edit.scene) for edit in chain(hard, others) if edit.scene != scene)
    return DraftQuestion(right.text, Picture(scene), Picture(right.scene), wrong)


def find_crop(scene: Scene, pool: Sequence[Scene], rng: Random) -> DraftQuestion:
    """Asks for the cell that has the thing with a given shape."""
    thing = _focus(scene, rng)
    return DraftQuestion(
        thing.shape, Picture(scene), Picture(scene, cell=thing.cell), _wrong_crops(scene, thing, pool, rng)
    )


def _wrong_crops(scene: Scene, thing: Thing, pool: Sequence[Scene], rng: Random) -> Iterator[Answer]:
    """The scene's other things, then up to seven of other scenes that differ in one attribute, then all others."""
    yield from (Picture(scene, cell=other.cell) for other in scene.things)
    here = {other.label for other in scene.things}
    crops = {other.label: Picture(each, cell=other.cell) for each in _shuffled(pool, rng) for other in each.things}
    alike = [change.thing.label for change in changes(thing)]
    yield from [crops[label] for label in alike if label in crops and label not in here][:7]
    yield from (picture for label, picture in crops.items() if label not in here)


def _focus(scene: Scene, rng: Random) -> Thing:
    """The thing to ask about. It is a held-out one if the scene has any."""
    return rng.choice([thing for thing in scene.things if thing.held_out] or scene.things)


def _alike(scene: Scene, thing: Thing) -> list[Thing]:
    """Things that differ in one attribute. Held-out ones are among them only if the scene is held out."""
    return [change.thing for change in changes(thing) if scene.held_out or not change.thing.held_out]


def _not_as_captioned(scene: Scene, pool: Sequence[Scene], rng: Random) -> Iterator[Scene]:
    """Edits of a scene, then other scenes. None of them fits the scene's caption."""
    others = chain((edit.scene for edit in hard_edits(scene)), _shuffled(pool, rng))
    return (other for other in others if caption(other) != caption(scene))


def _any_caption(scene: Scene, rng: Random) -> str:
    return caption(scene, backwards=rng.randrange(2) == 1)


def _shuffled(scenes: Sequence[Scene], rng: Random) -> list[Scene]:
    return rng.sample(scenes, len(scenes))
