"""The demo's texts: captions of drawn scenes, and the same scenes in other words, for models that see only texts.

The targets of `demo-paraphrase` come in fours. Three of each differ from the first in one attribute, or in the order of
the two things. Training pairs are of other scenes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import NamedTuple

from harness.files.paths import cache_dir
from harness.files.reading import explain_reading
from harness.files.writing import write_atomic
from harness.types import DataInfo, Task, TaskData
from tasks.demo.questions import pair
from tasks.demo.scenes import Scene, Thing, caption, hard_edits
from tasks.jsonl import JsonlSource

WORDINGS = "demo-text"
"""The name of the training pairs, as a recipe has it."""
_VERSION = 1
"""A part of the folder's name. A change of any text needs a new version."""
_NUM_PAIRS, _FAMILIES, _MEMBERS = 768, 25, 4
NUM_WORDINGS = _FAMILIES * _MEMBERS
_OTHER_WORDS: Mapping[str, tuple[str, ...]] = {
    "small": ("tiny", "little"),
    "large": ("big", "huge"),
    "solid": ("plain", "filled"),
    "striped": ("lined", "stripy"),
    "dotted": ("spotted", "speckled"),
    "red": ("crimson", "scarlet"),
    "orange": ("amber", "tangerine"),
    "yellow": ("golden", "lemon"),
    "green": ("emerald", "olive"),
    "blue": ("azure", "navy"),
    "purple": ("violet", "lilac"),
    "circle": ("disc", "round shape"),
    "square": ("box", "block"),
    "triangle": ("pyramid", "three-sided shape"),
    "cross": ("plus sign", "X"),
    "ring": ("hoop", "loop"),
}
"""Words for each word of a caption. No word stands for two."""
_BESIDE = (
    "a {1} to the right of a {0}",
    "on the left a {0}, on the right a {1}",
    "a {1}, and beside it, on its left, a {0}",
)
_ABOVE = ("a {1} under a {0}", "at the top a {0}, at the bottom a {1}", "a {1}, and over it a {0}")


class Wording(NamedTuple):
    """A scene in other words, and its caption."""

    text: str
    caption: str


def train_wordings(seed: int) -> tuple[Wording, ...]:
    """The training pairs, each with another caption, and none of the test."""
    rng, tested = Random(f"{seed} wordings train"), {each.caption for each in eval_wordings(seed)}  # noqa: S311
    found: dict[str, Wording] = {}
    while len(found) < _NUM_PAIRS:
        worded = _worded(_any_scene(rng, "train"), rng)
        if worded.caption not in tested:
            found.setdefault(worded.caption, worded)
    return tuple(found.values())


def eval_wordings(seed: int) -> tuple[Wording, ...]:
    """The test pairs: scenes of the test part, each followed by three of its hard edits. All captions differ."""
    rng = Random(f"{seed} wordings test")  # noqa: S311
    found: dict[str, Wording] = {}
    while len(found) < NUM_WORDINGS:
        scene = _any_scene(rng, "test")
        family = [scene, *(edit.scene for edit in hard_edits(scene)[: _MEMBERS - 1])]
        captions = dict.fromkeys(map(caption, family))
        if len(captions) == _MEMBERS and not captions.keys() & found.keys():
            found |= {each.caption: each for each in (_worded(member, rng) for member in family)}
    return tuple(found.values())


@dataclass(frozen=True, slots=True)
class WordingSource:
    """Reads the task from a file in the cache, which is written at the first use."""

    def describe(self) -> str:
        """Says where the data comes from, in one line."""
        return f"drawn by code (version {_VERSION}, seed 0) into {_place()}"

    def info(self, task: Task) -> DataInfo:
        """Writes the file if it is not there, and names it. Raises UserError if it cannot be written."""
        files = _file().info(task).files
        return DataInfo("drawn by code", f"text-{_VERSION}-seed0", files, _place())

    def load(self, task: Task) -> TaskData:
        """Reads the rows. Raises UserError as `info` does."""
        return _file().load(task)


def train_file() -> Path:
    """The JSON Lines file of the training pairs, in the cache. Raises UserError if it cannot be written."""
    lines = ({"query": each.text, "positive": each.caption} for each in train_wordings(0))
    return _written(_place() / "train.jsonl", "".join(f"{json.dumps(line)}\n" for line in lines))


def wording_tasks() -> tuple[Task, ...]:
    """The task of texts. It is in no suite."""
    note = "Scenes in other words, among captions of which four at a time differ in one attribute."
    return (
        Task("demo-paraphrase", "retrieval", None, "text", "text", WordingSource(), scope="global",
            num_queries=NUM_WORDINGS, notes=(note,)),
    )  # fmt: skip


def _file() -> JsonlSource:
    wordings = eval_wordings(0)
    lines: list[Mapping[str, object]] = [{"target": f"t{at}", "text": each.caption} for at, each in enumerate(wordings)]
    lines += [{"query": f"q{at}", "text": each.text, "positives": [f"t{at}"]} for at, each in enumerate(wordings)]
    return JsonlSource(_written(_place() / "eval.jsonl", "".join(f"{json.dumps(line)}\n" for line in lines)))


def _written(path: Path, text: str) -> Path:
    with explain_reading(path):
        found = path.read_bytes() if path.exists() else b""
    if found != text.encode():
        write_atomic(path, text)
    return path


def _place() -> Path:
    return cache_dir() / f"{WORDINGS}-{_VERSION}"


def _any_scene(rng: Random, part: str) -> Scene:
    """A scene of two things, without combinations that training never sees."""
    while (scene := pair(rng)).part != part or scene.held_out:
        pass
    return scene


def _worded(scene: Scene, rng: Random) -> Wording:
    first, second = scene.things
    form = rng.choice(_BESIDE if first.cell // 2 == second.cell // 2 else _ABOVE)
    return Wording(form.format(_in_other_words(first, rng), _in_other_words(second, rng)), caption(scene))


def _in_other_words(thing: Thing, rng: Random) -> str:
    return " ".join(rng.choice(_OTHER_WORDS[word]) for word in thing.label.split())
