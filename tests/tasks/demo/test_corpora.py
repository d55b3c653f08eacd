"""The demo's corpora: who ignores the order of pictures, or the second one, scores exactly chance; grades count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import llave
from harness.media.images import open_image
from harness.models import open_model
from harness.types import Features, FloatArray, Item, ModelSettings, ModelSpec, Role, Task, TaskData
from tasks.corpus.source import corpus_tasks
from tasks.demo.corpora import ORDERS, SECONDS, Page, demo_corpora, write_corpora
from tasks.demo.datasets import words_of
from tasks.demo.suite import DEMO_SEED, demo_vocabulary

NAMES = ("demo-order", "demo-second", "demo-graded", "demo-document")
GOLDEN = Path(__file__).resolve().parents[3] / "../shared/golden/checkpoint"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("somewhere") / "corpora"
    write_corpora(folder, DEMO_SEED)
    return folder


def tasks_in(demo: Path, names: Sequence[str] = NAMES) -> list[Task]:
    return [corpus_tasks(demo / name, demo / "images")[0] for name in names]


@pytest.fixture(scope="module")
def data(demo: Path) -> dict[str, TaskData]:
    return {task.name: task.source.load(task) for task in tasks_in(demo)}


class Ordered:
    """Sees the colours of all pictures in order, and so can tell one order from the other."""

    spec = ModelSpec("in order", "1", "toy/1", modalities=("text", "image"), several_media="in-order")

    def prepare(self, item: Item, role: Role) -> Features[FloatArray]:
        seen = [_colours(np.asarray(open_image(medium))) for medium in self.see(item)]
        return Features(np.concatenate([*seen, np.zeros(2 * 192 + 1)])[: 2 * 192].astype(np.float32) + np.float32(1e-6))

    def see(self, item: Item) -> Sequence[object]:
        return item.media

    def embed(self, features: Sequence[Features[FloatArray]]) -> FloatArray:
        return np.stack([feature.data for feature in features])


class FirstOnly(Ordered):
    spec = replace(Ordered.spec, name="first only")

    def see(self, item: Item) -> Sequence[object]:
        return item.media[:1]


class AsASet(Ordered):
    spec = replace(Ordered.spec, name="as a set")

    def see(self, item: Item) -> Sequence[object]:
        return sorted(item.media, key=lambda medium: _colours(np.asarray(open_image(medium))).tolist())


def _colours(pixels: FloatArray) -> FloatArray:
    """Which of 64 colours the thing has, in thirds; the background is left out."""
    bright = pixels.astype(np.float64) * (1 if pixels.max() > 230 else 8 / 7)
    thing = bright[np.abs(bright - bright[0, 0]).sum(axis=-1) > 60]
    found = np.zeros(192)
    found[:3] = thing.mean(axis=0) / 255
    codes = (thing // 64).clip(0, 3) @ np.array([16, 4, 1])
    found[3:67] = np.bincount(codes.astype(int), minlength=64)[:64] / max(1, len(thing))
    return found


def scores(model: object, demo: Path, folder: Path, names: Sequence[str] = NAMES) -> dict[str, float]:
    tasks = tasks_in(demo, names)
    results = llave.evaluate(model, tasks, progress=False, out=folder / "out", store=folder / "store", workers=1)
    return {name: results[name].score.value for name in names}


def test_order_and_second_picture_decide(demo: Path, tmp_path: Path) -> None:
    interleaved = NAMES[:2]
    able = scores(Ordered(), demo, tmp_path, interleaved)
    assert able["demo-order"] > 0.8
    assert able["demo-second"] > 0.6
    assert scores(AsASet(), demo, tmp_path, interleaved)["demo-order"] == 1 / ORDERS
    assert scores(FirstOnly(), demo, tmp_path, interleaved)["demo-second"] == 1 / SECONDS


def test_models_without_knowledge_score_chance(demo: Path, tmp_path: Path) -> None:
    constant = scores("null/constant", demo, tmp_path)
    assert (constant["demo-order"], constant["demo-second"]) == (1 / ORDERS, 1 / SECONDS)
    oracle = scores("null/oracle", demo, tmp_path)
    assert (oracle["demo-order"], oracle["demo-second"]) == (1, 1)
    assert min(oracle["demo-graded"], oracle["demo-document"]) > 0.6 > 0.3 > constant["demo-graded"]
    classical = scores("classical", demo, tmp_path)  # the mean of pictures has no order, and texts match no picture
    assert classical["demo-order"] == 1 / ORDERS
    assert classical["demo-second"] > 0.5
    for name in ("demo-graded", "demo-document"):
        assert classical[name] == pytest.approx(constant[name])


def test_the_recorded_checkpoint_runs(demo: Path, tmp_path: Path) -> None:
    if not GOLDEN.is_dir():
        pytest.skip("the recorded checkpoint is not here")
    tasks = tasks_in(demo, NAMES[:2])
    results = llave.evaluate(
        str(GOLDEN), tasks, progress=False, out=tmp_path / "out", store=tmp_path / "s", limit=1, device="cpu"
    )
    assert open_model(str(GOLDEN), ModelSettings(device="cpu")).spec.several_media == "interleaved"
    assert [result.task for result in results] == [*NAMES[:2]]


def test_the_wrong_order_is_among_the_candidates(data: dict[str, TaskData]) -> None:
    for query in data["demo-order"].queries:
        right, wrong = (data["demo-order"].targets[index].media for index in query.candidates)
        assert right == wrong[::-1] != wrong
    for query in data["demo-second"].queries:
        shown = [data["demo-second"].targets[index].media for index in query.candidates]
        assert len({each[0] for each in shown}) == 1
        assert len({each[1] for each in shown}) == SECONDS


def test_there_is_text_between_the_pictures(data: dict[str, TaskData]) -> None:
    for name in NAMES[:2]:
        items = [*(query.item for query in data[name].queries), *data[name].targets]
        assert {item.text for item in items} == {"<|media|>\nthen\n<|media|>"}


def test_grades_come_from_what_is_drawn(data: dict[str, TaskData]) -> None:
    graded, document = (data[name] for name in NAMES[2:])
    assert {grade for query in graded.queries for grade in query.grades} == {1, 2, 3}
    assert all(query.grades.count(3) == 1 for query in graded.queries)
    assert {grade for query in document.queries for grade in query.grades} == {1, 2, 3}
    assert not graded.notes
    assert not document.notes
    assert Page("cat", ("pin", "tap", "tin")).grade("cat", "pin") == 3
    assert Page("pin", ("cat", "tap", "tin")).grade("cat", "pin") == 2
    assert Page("cat", ("map", "tap", "tin")).grade("cat", "pin") == 1
    assert Page("tap", ("cat", "pin", "tin")).grade("cat", "pin") == 0


def test_the_vocabulary_has_every_word() -> None:
    """So the small network that starts from random weights is the same as before there were corpora."""
    texts = {
        text
        for corpus in demo_corpora(DEMO_SEED).values()
        for line in (*corpus.tables["queries"], *corpus.tables["corpus"])
        for text in (line.get("text", ""), line.get("instruction", ""), *line.get("content", ()))
        if isinstance(text, str)
    }
    assert {word for text in texts for word in words_of(text)} <= set(demo_vocabulary())
