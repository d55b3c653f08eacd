"""Which pairs are looked at, and that their figures are those of their vectors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harness.embed import EmbedSettings
from harness.errors import UserError
from harness.media.digests import Digests
from harness.models.common import handle
from harness.progress import NoProgress
from harness.types import Features, FloatArray, Item, Media, ModelHandle, ModelSpec, Query, Role, TaskData
from trainers.data.pairs import Pair, PairFile
from trainers.monitor.similarity import Sample, diagnose_samples, sample_pairs, sample_task


class Spelled:
    """A text is its own vector, its numbers with blanks between."""

    spec = ModelSpec("spelled", revision="1", adapter="spelled/1", modalities=("text",))

    def prepare(self, item: Item, role: Role) -> Features[str]:
        return Features(item.full_text, cost=1)

    def embed(self, features: Sequence[Features[str]]) -> FloatArray:
        return np.array([[float(each) for each in feature.data.split()] for feature in features], np.float32)


@pytest.fixture
def spelled() -> ModelHandle:
    return handle(Spelled.spec, Spelled)


@pytest.fixture
def digests(tmp_path: Path) -> Digests:
    return Digests(tmp_path / "digests.db")


def _item(*numbers: float) -> Item:
    return Item(" ".join(map(str, numbers)))


def _query(name: str, item: Item, candidates: Sequence[int], positives: Sequence[int]) -> Query:
    return Query(name, item, np.array(candidates, np.int64), np.array(positives, np.int64))


def _said(sample: Sample, row: int) -> set[str]:
    """The negatives of a query."""
    return {sample.targets[at].text for at in np.flatnonzero(sample.wrong[row])}


def test_a_tasks_negatives_are_its_wrong_candidates() -> None:
    targets = [Item(letter) for letter in "abcdef"]
    queries = (
        _query("all", Item("1"), [], [2]),
        _query("few", Item("2"), [1, 0, 1], [0]),
        _query("two right", Item("3"), [0, 1, 2], [1, 2]),
    )
    sample = sample_task(TaskData(queries, tuple(targets)), 3)
    assert [_said(sample, row) for row in range(3)] == [set("abdef"), {"b"}, {"a"}]
    assert [sample.targets[at].text for at in sample.right] == ["c", "a", "b"]
    few = sample_task(TaskData(queries[1:], tuple(targets)), 1)
    assert [target.text for target in few.targets] == ["a", "b"], "nobody else is embedded"
    assert [query.text for query in few.queries] == ["2"]


def test_a_pairs_negatives_are_other_targets_and_its_own_hard_ones(digests: Digests) -> None:
    pairs = [
        Pair(Item("1"), Item("a"), (Item("x"),)),
        Pair(Item("2"), Item("b")),
        Pair(Item("3"), Item("a"), (Item("b"),)),
    ]
    sample = sample_pairs(PairFile("mine", Path("mine.jsonl"), list(enumerate(pairs))), 9, digests)
    assert [_said(sample, row) for row in range(3)] == [{"b", "x"}, {"a"}, {"b"}]
    assert [sample.targets[at].text for at in sample.right] == ["a", "b", "a"]


def test_targets_of_the_same_bytes_are_no_negatives_whatever_their_files_are_called(
    digests: Digests, tmp_path: Path
) -> None:
    for name, colour in {"one.png": "red", "same.png": "red", "other.png": "blue"}.items():
        Image.new("RGB", (4, 4), colour).save(tmp_path / name)

    def shown(name: str, text: str = "") -> Item:
        return Item(text, (Media("image", name, tmp_path),))

    targets = [shown("one.png"), shown("same.png"), shown("other.png"), shown("same.png", "but said")]
    pairs = [Pair(Item(str(row)), target) for row, target in enumerate(targets)]
    pairs[2] = Pair(pairs[2].query, pairs[2].target, (shown("same.png"), shown("other.png")))
    sample = sample_pairs(PairFile("mine", Path("mine.jsonl"), list(enumerate(pairs))), 9, digests)
    assert sample.targets == [targets[0], targets[2], targets[3]]
    assert sample.right.tolist() == [0, 0, 1, 2]
    assert sample.wrong.tolist() == [[False, True, True]] * 2 + [[True, False, True], [True, True, False]]


def test_a_target_that_cannot_be_opened_is_named_with_its_row(digests: Digests, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no image")
    pairs = [Pair(Item("1"), Item("a")), Pair(Item("2"), Item("", (Media("image", "broken.png", tmp_path),)))]
    with pytest.raises(UserError, match=r"mine\.jsonl, line 8: .*broken\.png"):
        sample_pairs(PairFile("mine", Path("mine.jsonl"), [(7, pairs[0]), (8, pairs[1])]), 9, digests)


def test_few_of_many_pairs_are_spread_over_the_dataset(digests: Digests) -> None:
    pairs = [(row, Pair(Item(str(row)), Item(f"answer {row}"))) for row in range(100)]
    sample = sample_pairs(PairFile("mine", Path("mine.jsonl"), pairs), 5, digests)
    assert [query.text for query in sample.queries] == ["0", "24", "49", "74", "99"]


def test_a_planted_false_negative_is_found(spelled: ModelHandle, digests: Digests, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((40, 16)).round(3)
    pairs = [Pair(_item(*each), _item(*(each + 0.8 * rng.standard_normal(16)).round(3))) for each in vectors]
    pairs[11] = Pair(pairs[11].query, pairs[11].target, (_item(*vectors[11]),))
    sample = sample_pairs(PairFile("mine", Path("mine.jsonl"), list(enumerate(pairs))), 40, digests)
    (found,) = diagnose_samples({"mine": sample}, spelled, EmbedSettings(tmp_path), NoProgress(), 9.0).values()
    assert [each.query for each in found.suspected] == [11]
    assert sample.targets[found.suspected[0].negative] == pairs[11].negatives[0]
    assert found.suspects == pytest.approx(1 / found.negative.count)


def test_datasets_are_told_apart(spelled: ModelHandle, digests: Digests, tmp_path: Path) -> None:
    def sample(*targets: Item) -> Sample:
        pairs = [Pair(target, target) for target in targets]
        return sample_pairs(PairFile("", Path(), list(enumerate(pairs))), 9, digests)

    samples = {"apart": sample(_item(1, 0, 0), _item(0, 1, 0)), "alike": sample(_item(1, 0, 0), _item(3, 4, 0))}
    found = diagnose_samples(samples, spelled, EmbedSettings(tmp_path), NoProgress(), 9.0)
    assert [each.negative.mean for each in found.values()] == pytest.approx([0, 0.6], abs=0.001)
    assert [each.margin for each in found.values()] == pytest.approx([1, 0.4], abs=1e-6)


@pytest.mark.parametrize("pairs", [0, 1])
def test_one_that_cannot_be_diagnosed_is_named_before_anything_is_embedded(pairs: int, tmp_path: Path) -> None:
    query = _query("all", Item("1"), [], [0])
    nothing = sample_task(TaskData((query,) * pairs, (Item("1"),)), 9)
    unused = handle(Spelled.spec, lambda: pytest.fail("loaded"))
    with pytest.raises(UserError, match="lonely"):
        diagnose_samples({"lonely": nothing}, unused, EmbedSettings(tmp_path), NoProgress(), 9.0)
