"""The questions of the demo suite's tasks, in words and pictures, for test and training."""

from __future__ import annotations

import itertools
import re
from random import Random
from typing import NamedTuple

from harness.types import Task
from tasks.demo import questions as ask
from tasks.demo.scenes import HARD_EDITS, Picture, Scene, hard_edits

_NUM_PAIRS = 768

_IMAGE_TOKEN = "<|image_1|>"


class DemoQuestion(NamedTuple):
    """A row of a task, with its meaning. The first answer is the right one."""

    text: str
    picture: Picture | None
    answers: tuple[ask.Answer, ...]


class DemoSide(NamedTuple):
    """A query or a candidate as MMEB writes it. An empty path means no image."""

    text: str
    path: str


class _Kind(NamedTuple):
    """How the questions of a task are made, in distribution and out of distribution."""

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


def eval_questions(task: Task, seed: int) -> tuple[DemoQuestion, ...]:
    """The `num_queries` test questions of a task, each with `num_candidates` answers."""
    assert task.num_queries is not None
    assert task.num_candidates is not None
    kind = _KINDS[task.name.removesuffix("-ood")]
    scenes = _scenes(kind, "test", task.split == "OOD", task.num_queries, seed)
    return _questions(kind, scenes, task.num_queries, task.num_candidates, f"{seed} {task.name} test")


def train_questions(task: Task, seed: int) -> tuple[DemoQuestion, ...]:
    """The training pairs of a task. An out-of-distribution task has none.

    The first answer is the right one. The second, where the task has one, is a hard negative.
    """
    if task.train_subset is None:
        return ()
    kind = _KINDS[task.name]
    scenes = _scenes(kind, "train", False, kind.num_pairs, seed)
    return _questions(kind, scenes, kind.num_pairs, 1 + kind.num_negatives, f"{seed} {task.name} train")


def query_side(task: Task, question: DemoQuestion) -> DemoSide:
    """A question as MMEB writes a query. Its text goes where the task's instruction has braces."""
    head, _, rest = (task.query_instruction or "").partition("{")
    return _side(f"{head}{question.text}{rest.partition('}')[2]}", question.picture)


def target_side(task: Task, answer: ask.Answer) -> DemoSide:
    """An answer as MMEB writes a candidate. A text is only the text, a picture follows the task's instruction."""
    return DemoSide(answer, "") if isinstance(answer, str) else _side(task.target_instruction or "", answer)


def words_of(text: str) -> list[str]:
    """Splits a text into words of the suite's vocabulary. They are in lower case, and punctuation marks are words."""
    return re.findall(r"\w+|[^\w\s]", text.replace(_IMAGE_TOKEN, "").lower())


def _side(text: str, picture: Picture | None) -> DemoSide:
    return DemoSide(f"{_IMAGE_TOKEN}\n{text}\n", picture.name) if picture else DemoSide(f"{text}\n", "")


def _scenes(kind: _Kind, part: str, held_out: bool, number: int, seed: int) -> list[Scene]:
    """Distinct scenes. They are the same for all kinds with the same `invent`, so that tasks share images."""
    rng = _random(f"{seed} {kind.invent.__name__} {part} {held_out}")
    scenes: dict[Scene, None] = {}
    while len(scenes) < number:
        scene = kind.invent(rng)
        if (scene.part, scene.held_out) == (part, held_out) and (kind.invent is not ask.pair or _is_editable(scene)):
            scenes[scene] = None
    return list(scenes)


def _is_editable(scene: Scene) -> bool:
    """Whether there are enough hard candidates, and the first is in the scene's split."""
    found = hard_edits(scene)
    return len(found) == HARD_EDITS and found[0].scene.held_out == scene.held_out


def _questions(
    kind: _Kind, scenes: list[Scene], number: int, num_answers: int, stream: str
) -> tuple[DemoQuestion, ...]:
    """Distinct questions about the scenes in turn. Each question has its own random numbers."""
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
    """Python's generator with a text as seed. Unlike numpy's, it gives the same numbers in every version."""
    return Random(stream)  # noqa: S311
