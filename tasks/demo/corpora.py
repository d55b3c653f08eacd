"""Demo corpora: pictures in order, graded pictures and pages of words, in the layout that `tasks.corpus` reads.

- **demo-order**: two pictures in order. The candidates are the two orders, so who ignores the order scores chance.
- **demo-second**: two pictures in order. All candidates of a query have the first picture, and differ in the second.
  So who sees only the first picture scores chance.
- **demo-graded**: pictures of a caption. Grade 3 is right, 2 differs in size or texture, 1 in colour, 0 in shape or
  order.
- **demo-document**: pages with a title and words below it, for two words. Grade 3 has the first word as its title and
  the second below. Grade 2 has them the other way round, and grade 1 has the first word alone as its title.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tasks.demo.draw import draw, draw_letters
from tasks.demo.questions import pair, single
from tasks.demo.scenes import HARD_EDITS, WORDS, Edit, Picture, Scene, caption, hard_edits

IMAGES = "images"
"""The folder of the pictures of all corpora."""
NUM_ORDERED, NUM_GRADED = 30, 25
"""Queries of each task with pictures in order, and of each with grades."""
ORDERS, SECONDS = 2, 4
"""Candidates of a query."""
PAGE = (96, 72)
"""Height and width of a page in pixels."""
_FIND = "Find me an image that matches the given caption: "
_SHOW = "Represent the given image."
_GRADES = {"size": 2, "texture": 2, "color": 1, "shape": 0, "order": 0}
"""The grade of a picture that differs in an attribute."""

Line: TypeAlias = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Page:
    """A page with a title and words below it."""

    title: str
    words: tuple[str, ...]

    @property
    def name(self) -> str:
        """The name of the page's file."""
        return f"page-{'-'.join((self.title, *self.words))}.png"

    def grade(self, first: str, second: str) -> int:
        """The relevance of the page for two words, from 0 to 3."""
        if self.title == first:
            return 3 if second in self.words else 1
        return 2 if self.title == second and first in self.words else 0


@dataclass(frozen=True, slots=True)
class DemoCorpus:
    """The tables of a corpus, each a list of lines, and its pictures by the names of their files."""

    tables: Mapping[str, Sequence[Line]]
    pictures: Mapping[str, Picture | Page]


def demo_corpora(seed: int) -> dict[str, DemoCorpus]:
    """All corpora, by the names of their tasks."""
    makers = {"demo-order": _order, "demo-second": _second, "demo-graded": _graded, "demo-document": _document}
    return {name: make(Random(f"{seed} {name}")) for name, make in makers.items()}  # noqa: S311


def draw_page(page: Page) -> NDArray[np.uint8]:
    """The pixels of a page, `(96, 72, 3)`: a large title in blue, and a row for each word."""
    canvas = np.full((*PAGE, 3), 243, np.uint8)
    draw_letters(canvas, page.title, (6, 9), 3, "blue")
    for row, word in enumerate(page.words):
        draw_letters(canvas, word, (36 + 20 * row, 9), 2, "purple")
    return canvas


def write_corpora(folder: Path, seed: int) -> bytes:
    """Writes the tables as JSON Lines and the pictures as PNG. Returns the content of both as bytes, for a digest."""
    (folder / IMAGES).mkdir(parents=True)
    content: list[bytes] = []
    pictures: dict[str, Picture | Page] = {}
    for name, corpus in demo_corpora(seed).items():
        (folder / name).mkdir()
        pictures |= corpus.pictures
        for table, lines in corpus.tables.items():
            text = "".join(f"{json.dumps(line)}\n" for line in lines)
            (folder / name / f"{table}.jsonl").write_text(text, encoding="utf-8")
            content.append(f"{name} {table}\n{text}".encode())
    for file, picture in sorted(pictures.items()):
        pixels = draw_page(picture) if isinstance(picture, Page) else draw(picture)
        Image.fromarray(pixels).save(folder / IMAGES / file)
        content.append(file.encode() + pixels.tobytes())
    return b"".join(content)


def _order(rng: Random) -> DemoCorpus:
    scenes = _distinct(rng, single, 2 * NUM_ORDERED)
    asked = list(zip(scenes[::2], scenes[1::2], strict=True))
    return _interleaved([(each, [each, each[::-1]]) for each in asked])


def _second(rng: Random) -> DemoCorpus:
    scenes = _distinct(rng, single, NUM_ORDERED)
    asked = []
    for number, first in enumerate(scenes):
        others = rng.sample(scenes[:number] + scenes[number + 1 :], SECONDS)
        asked.append(((first, others[0]), [(first, other) for other in others]))
    return _interleaved(asked)


def _interleaved(asked: Iterable[tuple[tuple[Scene, ...], Sequence[tuple[Scene, ...]]]]) -> DemoCorpus:
    """Queries of moved and darker pictures. Of the candidates the first is right."""
    tables: dict[str, list[Line]] = {"corpus": [], "queries": [], "qrels": [], "top_ranked": []}
    pictures: dict[str, Picture | Page] = {}
    for number, (query, candidates) in enumerate(asked):
        names = [f"{number}-{place}" for place in range(len(candidates))]
        tables["queries"].append({"_id": str(number), "content": _story(query, 1, pictures)})
        tables["qrels"].append({"query-id": str(number), "corpus-id": names[0], "score": 1})
        tables["top_ranked"].append({"query-id": str(number), "corpus-ids": names})
        for name, scenes in zip(names, candidates, strict=True):
            tables["corpus"].append({"_id": name, "content": _story(scenes, 0, pictures)})
    return DemoCorpus(tables, pictures)


def _story(scenes: Sequence[Scene], variant: int, pictures: dict[str, Picture | Page]) -> list[object]:
    """Pictures of two scenes with a word between them. They are added to `pictures`."""
    first, second = (Picture(scene, variant) for scene in scenes)
    pictures |= {first.name: first, second.name: second}
    return [{"image": first.name}, "then", {"image": second.name}]


def _graded(rng: Random) -> DemoCorpus:
    judged: dict[str, dict[Picture | Page, int]] = {}
    seen: set[str] = set()
    for scene in _distinct(rng, pair, 2 * NUM_GRADED, lambda each: len(hard_edits(each)) == HARD_EDITS):
        shown = [Edit("", "", scene), *hard_edits(scene)]
        captions = {caption(each.scene) for each in shown}
        if len(judged) < NUM_GRADED and not captions & seen:  # no picture of a query fits the caption of another
            seen |= captions
            judged[caption(scene)] = {Picture(each.scene): _GRADES.get(each.attribute, 3) for each in shown}
    return _judged(judged)


def _document(rng: Random) -> DemoCorpus:
    asked: list[tuple[str, str]] = []
    pages: dict[Page, None] = {}
    while len(asked) < NUM_GRADED:
        first, second, *others = rng.sample(WORDS, 6)  # the last of four pages has both words and neither as its title
        if (first, second) not in asked:
            asked.append((first, second))
            titles = first, second, first, others[3]
            bodies = (second, *others[:2]), (first, *others[1:3]), others[1:], (first, second, others[2])
            pages |= {Page(title, tuple(sorted(body))): None for title, body in zip(titles, bodies, strict=True)}
    judged: dict[str, dict[Picture | Page, int]] = {
        f"{first} {second}": {page: grade for page in pages if (grade := page.grade(first, second))}
        for first, second in asked
    }
    return _judged(judged, [*pages])


def _judged(judged: Mapping[str, Mapping[Picture | Page, int]], pool: Sequence[Picture | Page] = ()) -> DemoCorpus:
    """Texts that rank a pool of pictures: those that are judged, unless it is given."""
    pool = pool or [*dict.fromkeys(picture for each in judged.values() for picture in each)]
    queries: list[Line] = [{"_id": f"q{at}", "text": text, "instruction": _FIND} for at, text in enumerate(judged)]
    corpus: list[Line] = [{"_id": picture.name, "image": picture.name, "instruction": _SHOW} for picture in pool]
    qrels: list[Line] = [
        {"query-id": f"q{at}", "corpus-id": picture.name, "score": grade}
        for at, each in enumerate(judged.values())
        for picture, grade in each.items()
    ]
    tables = {"corpus": corpus, "queries": queries, "qrels": qrels}
    return DemoCorpus(tables, {picture.name: picture for picture in pool})


def _distinct(
    rng: Random, invent: Callable[[Random], Scene], number: int, fits: Callable[[Scene], bool] = lambda _: True
) -> list[Scene]:
    """Distinct scenes of the test part without combinations that are held out."""
    scenes: dict[Scene, None] = {}
    while len(scenes) < number:
        scene = invent(rng)
        if scene.part == "test" and not scene.held_out and fits(scene):
            scenes[scene] = None
    return list(scenes)
