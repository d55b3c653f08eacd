"""The demo suite's questions. The tests work out what the texts say from the scenes, with code of their own."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import replace

import pytest

from harness.types import Task
from tasks.demo.clips import demo_clips
from tasks.demo.datasets import (
    DemoQuestion,
    eval_questions,
    query_side,
    target_side,
    train_questions,
    words_of,
)
from tasks.demo.draw import draw
from tasks.demo.scenes import COLORS, SHAPES, SIZES, TEXTURES, Picture, Scene, Thing, changes
from tasks.demo.suite import DEMO_ROWS, DEMO_SEED, demo_vocabulary

Combination = tuple[str, str]

EVAL = {row.name: eval_questions(row, DEMO_SEED) for row in DEMO_ROWS}
TRAIN = {row.name: train_questions(row, DEMO_SEED) for row in DEMO_ROWS if row.train_subset}
ATTRIBUTES = {"size": SIZES, "texture": TEXTURES, "color": COLORS, "shape": SHAPES}
STEPS = {"left of": (0, 1), "right of": (0, -1), "above": (1, 0), "below": (-1, 0)}
every_row = pytest.mark.parametrize("row", DEMO_ROWS, ids=lambda row: row.name)


def is_true(row: Task, question: DemoQuestion, answer: str | Picture) -> bool:
    """Whether an answer is right, judged only by the text and the scenes."""
    text, picture = question.text, question.picture
    match row.name.removesuffix("-ood"):
        case "demo-shape":
            return [thing.shape for thing in picture.scene.things] == [answer]
        case "demo-object":
            return any(described(thing, answer) for thing in picture.scene.things)
        case "demo-color":
            shape = re.fullmatch(r"What color is the (\w+)\?", text)[1]
            return answer in {thing.color for thing in picture.scene.things if thing.shape == shape}
        case "demo-count":
            noun = re.fullmatch(r"How many (\w+)( objects)? are in the image\?", text)[1]
            things = picture.scene.things
            return sum(noun in (thing.color, f"{thing.shape}s", f"{thing.shape}es") for thing in things) == int(answer)
        case "demo-relation":
            side, shape = re.fullmatch(r"What is directly ([\w ]+) the (\w+)\?", text).groups()
            return any(
                described(one, answer) and other.shape == shape and step(one, other) == STEPS[side]
                for one in picture.scene.things
                for other in picture.scene.things
            )
        case "demo-word":
            color = re.fullmatch(r"What word is written in (\w+)\?", text)[1]
            return answer in {word.text for word in picture.scene.words if word.color == color}
        case "demo-caption-t2i":
            return is_caption(text, answer.scene)
        case "demo-caption-i2t":
            return is_caption(answer, picture.scene)
        case "demo-similar":
            return set(answer.scene.things) == set(picture.scene.things)
        case "demo-edit":
            return set(answer.scene.things) == edited(text, picture.scene)
        case "demo-crop":
            here = {thing.cell for thing in picture.scene.things if thing.shape == text}
            return answer.scene == picture.scene and answer.variant == picture.variant and answer.cell in here
    raise AssertionError(row.name)


def step(one: Thing, other: Thing) -> tuple[int, int]:
    return other.cell // 2 - one.cell // 2, other.cell % 2 - one.cell % 2


def described(thing: Thing, label: str) -> bool:
    return set(label.split()) <= {thing.size, thing.texture, thing.color, thing.shape}


def is_caption(text: str, scene: Scene) -> bool:
    """Whether a caption is true of a scene. `left of` is read as anywhere to the left, and so on."""
    one, side, other = re.fullmatch(r"a (.+) (left of|right of|above|below) a (.+)", text).groups()
    rows, columns = STEPS[side]
    return any(
        described(a, one) and described(b, other) and (step(a, b)[0] * rows > 0 or step(a, b)[1] * columns > 0)
        for a in scene.things
        for b in scene.things
    )


def edited(text: str, scene: Scene) -> set[Thing]:
    """The scene after the edit that a text asks for."""
    if text == "swap the two objects":
        first, second = scene.things
        return {replace(first, cell=second.cell), replace(second, cell=first.cell)}
    shape, value = re.fullmatch(r"(?:make|turn) the (\w+) (?:into a )?(\w+)", text).groups()
    attribute = next(name for name, values in ATTRIBUTES.items() if value in values)
    assert [thing.shape for thing in scene.things].count(shape) == 1
    return {replace(thing, **{attribute: value}) if thing.shape == shape else thing for thing in scene.things}


def pictures(question: DemoQuestion) -> Iterator[Picture]:
    yield from (each for each in (question.picture, *question.answers) if isinstance(each, Picture))


def combinations(scene: Scene) -> set[Combination]:
    return {(thing.shape, thing.color) for thing in scene.things} | {(word.text, word.color) for word in scene.words}


def meaning(answer: str | Picture) -> str | bytes:
    return answer if isinstance(answer, str) else draw(answer).tobytes()


@every_row
def test_only_the_first_candidate_is_true_and_none_comes_twice(row: Task) -> None:
    assert len(EVAL[row.name]) == row.num_queries
    for question in EVAL[row.name]:
        assert [is_true(row, question, answer) for answer in question.answers] == [True] + [False] * (
            row.num_candidates - 1
        ), question
        assert len({meaning(answer) for answer in question.answers}) == row.num_candidates


@pytest.mark.parametrize("row", [row for row in DEMO_ROWS if row.train_subset], ids=lambda row: row.name)
def test_training_pairs_are_true_distinct_and_their_negatives_wrong(row: Task) -> None:
    questions = TRAIN[row.name]
    assert len(set(questions)) == len(questions) >= 2 * row.num_queries
    for question in questions:
        assert [is_true(row, question, answer) for answer in question.answers] in ([True], [True, False])
    assert len({len(question.answers) for question in questions}) == 1


def test_training_and_test_share_no_scene() -> None:
    trained = {picture.scene for questions in TRAIN.values() for each in questions for picture in pictures(each)}
    tested = {picture.scene for questions in EVAL.values() for each in questions for picture in pictures(each)}
    assert len(trained) > 2000
    assert len(tested) > 2000
    assert not trained & tested
    assert not {meaning(Picture(scene)) for scene in trained} & {meaning(Picture(scene)) for scene in tested}


def test_training_shows_and_names_no_combination_of_the_ood_tasks() -> None:
    shown: set[Combination] = set()
    for questions in TRAIN.values():
        shown.update(*(combinations(picture.scene) for each in questions for picture in pictures(each)))
    for row in DEMO_ROWS:
        for question in EVAL[row.name]:
            if row.split == "IND":
                assert all(combinations(picture.scene) <= shown for picture in pictures(question))
            else:
                asked = [each for each in (question.picture, question.answers[0]) if isinstance(each, Picture)]
                assert all(combinations(picture.scene) - shown for picture in asked)
    texts = {side.text for row in DEMO_ROWS for each in TRAIN.get(row.name, ()) for side in sides(row, each)}
    named = {pair for text in texts for pair in zip(words_of(text), words_of(text)[1:], strict=False)}
    assert {(color, shape) for color, shape in named if color in COLORS and shape in SHAPES} <= {
        (color, shape) for shape, color in shown
    }


@pytest.mark.parametrize("task", ["demo-color-ood", "demo-word-ood", "demo-crop-ood"])
def test_ood_questions_ask_for_what_is_held_out(task: str) -> None:
    shown = {pair for each in (*TRAIN["demo-color"], *TRAIN["demo-word"]) for pair in combinations(each.picture.scene)}
    for question in EVAL[task]:
        right, scene = question.answers[0], question.picture.scene
        if isinstance(right, Picture):
            (thing,) = (thing for thing in scene.things if thing.cell == right.cell)
            assert (thing.shape, thing.color) not in shown
        else:
            key, color = re.fullmatch(r"What (?:color is the|word is written in) (\w+)\?", question.text)[1], right
            assert ((key, color) if task == "demo-color-ood" else (color, key)) not in shown


def variants(scene: Scene) -> set[Scene]:
    """Every scene that differs in one attribute of one thing, or whose two things are exchanged."""
    found = set()
    for at, thing in enumerate(scene.things):
        for name, values in ATTRIBUTES.items():
            for value in values:
                others = (*scene.things[:at], replace(thing, **{name: value}), *scene.things[at + 1 :])
                found.add(Scene(others, scene.words))
    if len(scene.things) == 2:
        first, second = scene.things
        found.add(Scene((replace(second, cell=first.cell), replace(first, cell=second.cell))))
    return found - {scene}


def is_near(row: Task, question: DemoQuestion, answer: str | Picture) -> bool:
    """Whether an answer differs in one attribute from the right one (an edited scene: from the one to edit)."""
    right, picture = question.answers[0], question.picture
    match row.name.removesuffix("-ood"):
        case "demo-object" | "demo-relation":
            return sum(a != b for a, b in zip(right.split(), answer.split(), strict=True)) == 1
        case "demo-caption-i2t":
            return any(is_caption(answer, scene) for scene in variants(picture.scene))
        case "demo-crop":
            one, other = (
                replace(thing, cell=0)
                for each in (right, answer)
                for thing in each.scene.things
                if thing.cell == each.cell
            )
            return Scene((other,)) in variants(Scene((one,)))
        case "demo-caption-t2i" | "demo-similar" | "demo-edit":
            return answer.scene in variants(picture.scene if picture else right.scene)
        case _:
            return True  # a color, a shape, a number, a word


@every_row
def test_hard_candidates_differ_from_the_right_one_in_one_attribute(row: Task) -> None:
    found = [sum(is_near(row, question, answer) for answer in question.answers[1:]) for question in EVAL[row.name]]
    assert min(found) >= min(4, row.num_candidates - 1)
    assert sum(found) / len(found) >= min(5, row.num_candidates - 1)


@pytest.mark.parametrize("task", ["demo-color", "demo-count", "demo-relation", "demo-word"])
def test_a_guess_without_the_image_is_near_chance(task: str) -> None:
    """The best answer by only the question's text, learned from training, is little better than chance."""
    known: dict[str, Counter[str]] = defaultdict(Counter)
    for question in TRAIN[task]:
        known[question.text][question.answers[0]] += 1
    right = [
        max(question.answers, key=lambda answer: known[question.text][answer]) == question.answers[0]
        for question in EVAL[task]
    ]
    assert sum(right) / len(right) < 1 / len(EVAL[task][0].answers) + 0.15


@pytest.mark.parametrize("task", ["demo-color-ood", "demo-word-ood"])
def test_no_ood_question_tells_its_answer(task: str) -> None:
    answers: dict[str, Counter[str]] = defaultdict(Counter)
    for question in EVAL[task]:
        answers[question.text][question.answers[0]] += 1
    assert sum(max(found.values()) for found in answers.values()) <= 0.7 * len(EVAL[task])


def test_each_attribute_can_be_seen() -> None:
    """Every change of one attribute of a thing changes at least a dozen pixels strongly."""
    for shape in SHAPES:
        for size in SIZES:
            for texture in TEXTURES:
                for color in COLORS:
                    thing = Thing(size, texture, color, shape, 0)
                    before = draw(Picture(Scene((thing,)), variant=0)).astype(int)
                    for change in changes(thing):
                        after = draw(Picture(Scene((change.thing,)), variant=0)).astype(int)
                        inside = abs(after - before).max(axis=2) > 40
                        assert inside.sum() >= 12, (thing, change)


def test_a_crop_is_a_part_of_its_scene_at_twice_the_size() -> None:
    question = EVAL["demo-crop"][0]
    whole, part = draw(question.picture), draw(question.answers[0])
    top, left = question.answers[0].cell // 2 * 24, question.answers[0].cell % 2 * 24
    assert (part[::2, ::2] == whole[top : top + 24, left : left + 24]).all()
    assert (part[1::2, 1::2] == part[::2, ::2]).all()


def test_the_vocabulary_is_every_word_of_every_text() -> None:
    words = {
        word
        for row in DEMO_ROWS
        for question in (*EVAL[row.name], *TRAIN.get(row.name, ()))
        for side in sides(row, question)
        for word in re.findall(r"[a-z0-9]+|[^a-z0-9\s]", side.text.lower().replace("<|image_1|>", " "))
    }
    said = "find me a video that matches the given caption : represent the given video . "
    said += " ".join(clip.caption for clip in demo_clips(DEMO_SEED))
    words |= set(re.findall(r"\S+", said.replace(",", " , ")))
    assert demo_vocabulary() == tuple(sorted(words))
    assert len(words) <= 120


def sides(row: Task, question: DemoQuestion) -> Iterator[tuple[str, str]]:
    yield query_side(row, question)
    yield from (target_side(row, answer) for answer in question.answers)
