"""The tasks of the demo suite: one row each, and their questions, in words and pictures, for test and training."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from random import Random
from typing import Literal, NamedTuple

from tasks.demo import questions as ask
from tasks.demo.scenes import HARD_EDITS, Picture, Scene, hard_edits

NUM_QUERIES = 100
_NUM_PAIRS = 768

_IMAGE_TOKEN = "<|image_1|>"


@dataclass(frozen=True, slots=True)
class DemoRow:
    """One task. Braces in an instruction are where the text of a query goes."""

    name: str
    meta_task: str
    split: Literal["IND", "OOD"]
    query_modality: str
    target_modality: str
    query_instruction: str
    target_instruction: str | None
    num_candidates: int
    num_queries: int = NUM_QUERIES

    @property
    def train_subset(self) -> str | None:
        return self.name if self.split == "IND" else None


class DemoQuestion(NamedTuple):
    """A row of a task as it was meant. The first answer is the right one."""

    text: str
    picture: Picture | None
    answers: tuple[ask.Answer, ...]


class DemoSide(NamedTuple):
    """A query or a candidate as MMEB writes it; an empty path is no image."""

    text: str
    path: str


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
    DemoRow("demo-shape", "classification", "IND", "image", "text", _SHAPE, None, 5),
    DemoRow("demo-object", "classification", "IND", "image", "text", _CLASSIFY, None, 32),
    DemoRow("demo-object-ood", "classification", "OOD", "image", "text", _CLASSIFY, None, 32),
    DemoRow("demo-color", "vqa", "IND", "image+text", "text", _ASK, None, 6),
    DemoRow("demo-count", "vqa", "IND", "image+text", "text", _ASK, None, 5),
    DemoRow("demo-relation", "vqa", "IND", "image+text", "text", _ASK, None, 12),
    DemoRow("demo-word", "vqa", "IND", "image+text", "text", _ASK, None, 12),
    DemoRow("demo-color-ood", "vqa", "OOD", "image+text", "text", _ASK, None, 6),
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


class _Kind(NamedTuple):
    """How the questions of a task come about, in distribution and out of it."""

    ask: ask.Ask
    invent: ask.Invent
    num_pairs: int = _NUM_PAIRS
    num_negatives: int = 0


_KINDS = {
    "demo-shape": _Kind(ask.ask_shape, ask.single, num_pairs=256),
    "demo-object": _Kind(ask.ask_object, ask.single, num_pairs=256),
    "demo-color": _Kind(ask.ask_color, ask.trio),
    "demo-count": _Kind(ask.ask_count, ask.crowd),
    "demo-relation": _Kind(ask.ask_relation, ask.trio),
    "demo-word": _Kind(ask.ask_word, ask.writing),
    "demo-caption-t2i": _Kind(ask.find_image, ask.pair, num_negatives=1),
    "demo-caption-i2t": _Kind(ask.find_caption, ask.pair, num_negatives=1),
    "demo-similar": _Kind(ask.find_similar, ask.pair),
    "demo-edit": _Kind(ask.find_edited, ask.pair),
    "demo-crop": _Kind(ask.find_crop, ask.trio),
}


def eval_questions(row: DemoRow, seed: int) -> tuple[DemoQuestion, ...]:
    """`num_queries` questions of `num_candidates` answers each, from scenes of the test part."""
    kind = _KINDS[row.name.removesuffix("-ood")]
    scenes = _scenes(kind, "test", row.split == "OOD", row.num_queries, seed)
    return _questions(kind, scenes, row.num_queries, row.num_candidates, f"{seed} {row.name} test")


def train_questions(row: DemoRow, seed: int) -> tuple[DemoQuestion, ...]:
    """The training pairs of a task: a right answer, then the hard negative if the task has any. None if it is OOD."""
    if row.train_subset is None:
        return ()
    kind = _KINDS[row.name]
    scenes = _scenes(kind, "train", False, kind.num_pairs, seed)
    return _questions(kind, scenes, kind.num_pairs, 1 + kind.num_negatives, f"{seed} {row.name} train")


def query_side(row: DemoRow, question: DemoQuestion) -> DemoSide:
    head, _, rest = row.query_instruction.partition("{")
    return _side(f"{head}{question.text}{rest.partition('}')[2]}", question.picture)


def target_side(row: DemoRow, answer: ask.Answer) -> DemoSide:
    return DemoSide(answer, "") if isinstance(answer, str) else _side(row.target_instruction or "", answer)


def words_of(text: str) -> list[str]:
    """Splits a text of the suite into the words of its vocabulary: lower case, punctuation apart, no image token."""
    return re.findall(r"\w+|[^\w\s]", text.replace(_IMAGE_TOKEN, "").lower())


def _side(text: str, picture: Picture | None) -> DemoSide:
    return DemoSide(f"{_IMAGE_TOKEN}\n{text}\n", picture.name) if picture else DemoSide(f"{text}\n", "")


def _scenes(kind: _Kind, part: str, held_out: bool, number: int, seed: int) -> list[Scene]:
    """Distinct scenes, the same for all kinds that invent them alike, so that tasks share images."""
    rng = _random(f"{seed} {kind.invent.__name__} {part} {held_out}")
    scenes: dict[Scene, None] = {}
    while len(scenes) < number:
        scene = kind.invent(rng)
        if (scene.part, scene.held_out) == (part, held_out) and (kind.invent is not ask.pair or _is_editable(scene)):
            scenes[scene] = None
    return list(scenes)


def _is_editable(scene: Scene) -> bool:
    """Whether there are enough hard candidates, and the first keeps to the scene's split."""
    found = hard_edits(scene)
    return len(found) == HARD_EDITS and found[0].scene.held_out == scene.held_out


def _questions(
    kind: _Kind, scenes: list[Scene], number: int, num_answers: int, stream: str
) -> tuple[DemoQuestion, ...]:
    """Distinct questions about the scenes in turn, each from random numbers of its own."""
    questions: dict[DemoQuestion, None] = {}
    for turn in itertools.count():
        if len(questions) == number:
            break
        text, picture, right, wrong = kind.ask(scenes[turn % len(scenes)], scenes, _random(f"{stream} {turn}"))
        answers = {right: None}
        while len(answers) < num_answers:
            answers[next(wrong)] = None
        questions[DemoQuestion(text, picture, tuple(answers))] = None
    return tuple(questions)


def _random(stream: str) -> Random:
    """Python's own generator, seeded by a text: unlike numpy's, its numbers are the same in every version."""
    return Random(stream)  # noqa: S311
