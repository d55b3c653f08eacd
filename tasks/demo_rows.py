"""What the demo suite asks of its scenes: one row for each task, and how its questions come about."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal, NamedTuple, TypeAlias

from tasks.demo_scene import (
    COLORS,
    DIRECTIONS,
    HARD_EDITS,
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

NUM_QUERIES = 128

Split: TypeAlias = Literal["IND", "OOD"]
Answer: TypeAlias = str | Picture


@dataclass(frozen=True, slots=True)
class DemoRow:
    """One task. `{...}` in an instruction is where the text of a query goes."""

    name: str
    meta_task: str
    split: Split
    query_modality: str
    target_modality: str
    query_instruction: str
    target_instruction: str | None
    num_candidates: int
    num_queries: int = NUM_QUERIES

    @property
    def train_subset(self) -> str | None:
        return self.name if self.split == "IND" else None


class Question(NamedTuple):
    """A row before it is put into words and pixels. The first answer is the right one."""

    text: str
    picture: Picture | None
    answers: tuple[Answer, ...]


class _Draft(NamedTuple):
    """A question whose wrong answers come as they are taken, hard ones first, possibly with repeats."""

    text: str
    picture: Picture | None
    right: Answer
    wrong: Iterator[Answer]


_Ask: TypeAlias = Callable[[Scene, Sequence[Scene], Random], _Draft]
_Invent: TypeAlias = Callable[[Random], Scene]


class _Kind(NamedTuple):
    """How tasks of a name are made, in distribution and out of it."""

    ask: _Ask
    invent: _Invent
    num_pairs: int = 768
    num_negatives: int = 0


_CLASSIFY = "Represent the given image for classification"
_SHAPE = "Identify the shape shown in the image"
_ASK = "Represent the given image with the following question: {question}"
_FIND = "Find me an image that matches the given caption: {caption}"
_CAPTION = "Find an image caption describing the given image."
_SIMILAR = "Find an image that shows the same scene as the provided image."
_EDIT = "Given an image, find a similar image with the described changes: {text}"
_CROP = 'Select the portion of the image that isolates the object labeled as "{label}"'
_IMAGE = "Represent the given image."
_OBJECT = "Represent the given cropped image of the object"

DEMO_ROWS = (
    DemoRow("demo-shape", "classification", "IND", "image", "text", _SHAPE, None, 6),
    DemoRow("demo-object", "classification", "IND", "image", "text", _CLASSIFY, None, 32),
    DemoRow("demo-object-ood", "classification", "OOD", "image", "text", _CLASSIFY, None, 32),
    DemoRow("demo-color", "vqa", "IND", "image+text", "text", _ASK, None, 8),
    DemoRow("demo-count", "vqa", "IND", "image+text", "text", _ASK, None, 5),
    DemoRow("demo-relation", "vqa", "IND", "image+text", "text", _ASK, None, 16),
    DemoRow("demo-word", "vqa", "IND", "image+text", "text", _ASK, None, 12),
    DemoRow("demo-color-ood", "vqa", "OOD", "image+text", "text", _ASK, None, 8),
    DemoRow("demo-word-ood", "vqa", "OOD", "image+text", "text", _ASK, None, 12),
    DemoRow("demo-caption-t2i", "retrieval", "IND", "text", "image", _FIND, _IMAGE, 32),
    DemoRow("demo-caption-i2t", "retrieval", "IND", "image", "text", _CAPTION, None, 32),
    DemoRow("demo-similar", "retrieval", "IND", "image", "image", _SIMILAR, _IMAGE, 32),
    DemoRow("demo-edit", "retrieval", "IND", "image+text", "image", _EDIT, _IMAGE, 32),
    DemoRow("demo-caption-t2i-ood", "retrieval", "OOD", "text", "image", _FIND, _IMAGE, 32),
    DemoRow("demo-edit-ood", "retrieval", "OOD", "image+text", "image", _EDIT, _IMAGE, 32),
    DemoRow("demo-crop", "visual_grounding", "IND", "image+text", "image", _CROP, _OBJECT, 16),
    DemoRow("demo-crop-ood", "visual_grounding", "OOD", "image+text", "image", _CROP, _OBJECT, 16),
)


def test_questions(row: DemoRow, seed: int) -> tuple[Question, ...]:
    """`num_queries` questions of `num_candidates` answers each, from scenes of the test part."""
    kind = _KINDS[row.name.removesuffix("-ood")]
    scenes = _scenes(kind, "test", row.split == "OOD", row.num_queries, seed)
    return _questions(kind, scenes, row.num_candidates, f"{seed} {row.name} test")


def train_questions(row: DemoRow, seed: int) -> tuple[Question, ...]:
    """The training pairs of an in-distribution task: the right answer, then wrong ones where the task has any."""
    kind = _KINDS[row.name]
    scenes = _scenes(kind, "train", False, min(768, kind.num_pairs), seed)
    scenes = scenes * (kind.num_pairs // len(scenes))
    return _questions(kind, scenes, 1 + kind.num_negatives, f"{seed} {row.name} train")


def _scenes(kind: _Kind, part: str, held_out: bool, number: int, seed: int) -> list[Scene]:
    """Distinct scenes, the same for every kind that invents them in the same way."""
    rng = _random(f"{seed} {kind.invent.__name__} {part} {held_out}")
    scenes: dict[Scene, None] = {}
    while len(scenes) < number:
        scene = kind.invent(rng)
        if (scene.part, scene.held_out) == (part, held_out) and (kind.invent is not _pair or _can_be_edited(scene)):
            scenes[scene] = None
    return list(scenes)


def _can_be_edited(scene: Scene) -> bool:
    """Whether there are enough hard candidates, and the first keeps to the split of the scene."""
    found = hard_edits(scene)
    return len(found) == HARD_EDITS and found[0].scene.held_out == scene.held_out


def _questions(kind: _Kind, scenes: list[Scene], num_answers: int, stream: str) -> tuple[Question, ...]:
    questions = []
    for at, scene in enumerate(scenes):
        text, picture, right, wrong = kind.ask(scene, scenes, _random(f"{stream} {at}"))
        answers = {right: None}
        while len(answers) < num_answers:
            answers[next(wrong)] = None
        questions.append(Question(text, picture, tuple(answers)))
    return tuple(questions)


def _random(stream: str) -> Random:
    """Python's own generator: unlike numpy's, its numbers are the same in every version."""
    return Random(stream)  # noqa: S311


def _shuffled(scenes: Sequence[Scene], rng: Random) -> list[Scene]:
    return rng.sample(scenes, len(scenes))


def _thing(rng: Random, cell: int) -> Thing:
    return Thing(rng.choice(SIZES), rng.choice(TEXTURES), rng.choice(COLORS), rng.choice(SHAPES), cell)


def _single(rng: Random) -> Scene:
    return Scene((_thing(rng, rng.randrange(4)),))


def _pair(rng: Random) -> Scene:
    """Two neighbouring things of different shapes."""
    return _unlike(rng, rng.choice(((0, 1), (2, 3), (0, 2), (1, 3))))


def _trio(rng: Random) -> Scene:
    """Three things of different shapes."""
    return _unlike(rng, rng.choice(((0, 1, 2), (0, 1, 3), (0, 2, 3), (1, 2, 3))))


def _unlike(rng: Random, cells: tuple[int, ...]) -> Scene:
    while True:
        things = tuple(_thing(rng, cell) for cell in cells)
        if len({thing.shape for thing in things}) == len(things):
            return Scene(things)


def _crowd(rng: Random) -> Scene:
    """One to four things that share few colours and shapes, so that there is something to count."""
    cells = sorted(rng.sample(range(4), rng.choice((2, 3, 4, 4))))
    colors, shapes = rng.sample(COLORS, rng.choice((1, 2, 3))), rng.sample(SHAPES, rng.choice((1, 2, 3)))
    return Scene(
        tuple(
            Thing(rng.choice(SIZES), rng.choice(TEXTURES), rng.choice(colors), rng.choice(shapes), cell)
            for cell in cells
        )
    )


def _words(rng: Random) -> Scene:
    """A word, and in the other row another in another colour, or a thing."""
    texts, colors, row = rng.sample(WORDS, 2), rng.sample(COLORS, 2), rng.randrange(2)
    word = Word(texts[0], colors[0], row)
    if rng.random() < 0.5:
        return Scene((_thing(rng, 2 * (1 - row) + rng.randrange(2)),), (word,))
    other = Word(texts[1], colors[1], 1 - row)
    return Scene(words=(other, word) if row else (word, other))


def _focus(scene: Scene, rng: Random) -> Thing:
    """The thing to ask about: a held-out one if the scene has any."""
    return rng.choice([thing for thing in scene.things if thing.held_out == scene.held_out])


def _likenesses(scene: Scene, thing: Thing) -> list[Thing]:
    return [change.thing for change in changes(thing) if scene.held_out or not change.thing.held_out]


def _ask_shape(scene: Scene, pool: Sequence[Scene], rng: Random) -> _Draft:
    return _Draft("", Picture(scene), scene.things[0].shape, iter(SHAPES))


def _ask_object(scene: Scene, pool: Sequence[Scene], rng: Random) -> _Draft:
    thing = scene.things[0]
    wrong = itertools.chain(_likenesses(scene, thing), (other.things[0] for other in _shuffled(pool, rng)))
    return _Draft("", Picture(scene), thing.label, (other.label for other in wrong))


def _ask_color(scene: Scene, pool: Sequence[Scene], rng: Random) -> _Draft:
    thing = _focus(scene, rng)
    return _Draft(f"What color is the {thing.shape}?", Picture(scene), thing.color, iter(COLORS))


def _ask_count(scene: Scene, pool: Sequence[Scene], rng: Random) -> _Draft:
    """Larger numbers are rarer, so they are asked for more often where there is a choice."""
    colors, shapes = [thing.color for thing in scene.things], [thing.shape for thing in scene.things]
    asked = [(f"{color} objects", colors.count(color)) for color in COLORS]
    asked += [(f"{shape}{'es' if shape == 'cross' else 's'}", shapes.count(shape)) for shape in SHAPES]
    weighted = sorted({number for _, number in asked for _ in range(1)})
    number = rng.choice([number for number in weighted for _ in range((2, 3, 4, 6, 12)[number])])
    noun = rng.choice([noun for noun, true in asked if true == number])
    return _Draft(f"How many {noun} are in the image?", Picture(scene), str(number), iter("01234"))


def _ask_relation(scene: Scene, pool: Sequence[Scene], rng: Random) -> _Draft:
    asked = [(direction, thing) for direction in DIRECTIONS for thing in scene.things]
    direction, thing = rng.choice([each for each in asked if neighbour(scene, each[1], each[0])])
    right = neighbour(scene, thing, direction)
    assert right is not None
    alike = [other.name for other in _likenesses(scene, right) if other.name != right.name]
    wrong = itertools.chain(
        (other.name for other in scene.things),
        rng.sample(alike, 6),
        (other.name for each in _shuffled(pool, rng) for other in each.things),
    )
    return _Draft(f"What is directly {direction} the {thing.shape}?", Picture(scene), right.name, wrong)


def _ask_word(scene: Scene, pool: Sequence[Scene], rng: Random) -> _Draft:
    word = rng.choice([word for word in scene.words if word.held_out == scene.held_out] or scene.words)
    return _Draft(f"What word is written in {word.color}?", Picture(scene), word.text, iter(WORDS))


def _unlike_captions(scene: Scene, pool: Sequence[Scene], rng: Random) -> Iterator[Scene]:
    """Scenes that a caption of this one does not describe: its own edits, then others."""
    hard = (edit.scene for edit in hard_edits(scene))
    return (other for other in itertools.chain(hard, _shuffled(pool, rng)) if caption(other) != caption(scene))


def _find_image(scene: Scene, pool: Sequence[Scene], rng: Random) -> _Draft:
    wrong = (Picture(other) for other in _unlike_captions(scene, pool, rng))
    return _Draft(caption(scene, rng.random() < 0.5), None, Picture(scene), wrong)


def _find_caption(scene: Scene, pool: Sequence[Scene], rng: Random) -> _Draft:
    wrong = (caption(other, rng.random() < 0.5) for other in _unlike_captions(scene, pool, rng))
    return _Draft("", Picture(scene), caption(scene, rng.random() < 0.5), wrong)


def _find_similar(scene: Scene, pool: Sequence[Scene], rng: Random) -> _Draft:
    wrong = (Picture(other) for other in _unlike_captions(scene, pool, rng))
    return _Draft("", Picture(scene, variant=1), Picture(scene), wrong)


def _find_edited(scene: Scene, pool: Sequence[Scene], rng: Random) -> _Draft:
    """The candidates are all edited: those of this scene, then the right answers of other questions."""
    right, *hard = hard_edits(scene)
    others = (hard_edits(other)[0].scene for other in _shuffled(pool, rng))
    wrong = (Picture(other) for other in itertools.chain((edit.scene for edit in hard), others))
    return _Draft(right.text, Picture(scene), Picture(right.scene), (each for each in wrong if each.scene != scene))


def _find_crop(scene: Scene, pool: Sequence[Scene], rng: Random) -> _Draft:
    thing = _focus(scene, rng)

    def wrong() -> Iterator[Answer]:
        """The scene's other things, then things from elsewhere: half of them like the right one, half any."""
        yield from (Picture(scene, cell=other.cell) for other in scene.things)
        found = {other.label: Picture(each, cell=other.cell) for each in _shuffled(pool, rng) for other in each.things}
        alike = {change.thing.label for change in changes(thing)}
        for label in (*(each.label for each in scene.things),):
            found.pop(label, None)
        yield from [picture for label, picture in found.items() if label in alike][:7]
        yield from found.values()

    return _Draft(thing.shape, Picture(scene), Picture(scene, cell=thing.cell), wrong())


def all_texts(values: Iterable[str]) -> None: ...


_KINDS = {
    "demo-shape": _Kind(_ask_shape, _single, num_pairs=512),
    "demo-object": _Kind(_ask_object, _single, num_pairs=512),
    "demo-color": _Kind(_ask_color, _trio),
    "demo-count": _Kind(_ask_count, _crowd),
    "demo-relation": _Kind(_ask_relation, _trio, num_pairs=1536),
    "demo-word": _Kind(_ask_word, _words),
    "demo-caption-t2i": _Kind(_find_image, _pair, num_negatives=1),
    "demo-caption-i2t": _Kind(_find_caption, _pair, num_negatives=1),
    "demo-similar": _Kind(_find_similar, _pair),
    "demo-edit": _Kind(_find_edited, _pair),
    "demo-crop": _Kind(_find_crop, _trio, num_pairs=1536),
}
