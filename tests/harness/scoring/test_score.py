"""From stored vectors to rankings: what is ranked against what, and what becomes of items without a vector."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.data.dataset import Dataset
from harness.encoding.store import Store
from harness.results.rows import ranking_of
from harness.scoring.metrics import Metric
from harness.scoring.ranking import Ranking
from harness.scoring.score import DatasetKeys, rank_dataset, score
from harness.types import DataInfo, IndexArray, Item, ModelSpec, Query, Scope, Task, TaskData
from tests.helpers.result_values import result

SPEC = ModelSpec("test/model", "1", "test/1")
METRICS = ("hit@1", "hit@5", "median_rank", "mean_rank")
CAPTIONS = (3, 1, 4, 2, 5, 1, 2, 3)
"""Of each video."""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path, SPEC) as opened:
        yield opened


def indexes(values: Sequence[int]) -> IndexArray:
    return np.array(values, dtype=np.int32)


def captioned() -> TaskData:
    """Each query is a video; its captions are one candidate."""
    ends = np.cumsum(CAPTIONS)
    sets = tuple(indexes(range(end - size, end)) for size, end in zip(CAPTIONS, ends, strict=True))
    queries = tuple(Query(f"v{number}", Item(f"v{number}"), indexes([]), own) for number, own in enumerate(sets))
    return TaskData(queries, tuple(Item(f"c{number}") for number in range(ends[-1])), groups=sets)


def dataset_of(data: TaskData, scope: Scope = "global") -> Dataset:
    class Nowhere:
        def describe(self) -> str:
            return "nowhere"

        def info(self, task: Task) -> DataInfo:
            return DataInfo("test", "local", ())

        def load(self, task: Task) -> TaskData:
            return data

    task = Task("captions", None, None, None, None, Nowhere(), scope=scope, metrics=METRICS)
    return Dataset(task, DataInfo("test", "local", ()), data, "0" * 64, {}, {})


def keys_of(data: TaskData, without: Sequence[int] = ()) -> DatasetKeys:
    """Keys of all items but some targets."""
    queries = [f"query {number}".encode().ljust(32) for number in range(len(data.queries))]
    targets = [f"target {number}".encode().ljust(32) for number in range(len(data.targets))]
    return DatasetKeys(tuple(queries), tuple(None if number in without else key for number, key in enumerate(targets)))


def similarity(store: Store, keys: DatasetKeys) -> np.ndarray:
    """Puts vectors into the store, and says how alike they are; what has no vector is like nothing."""
    random = np.random.default_rng(7)
    vectors = {key: random.standard_normal(6).astype(np.float32) for key in (*keys.queries, *keys.targets) if key}
    store.put(list(vectors), np.stack(list(vectors.values())))
    unit = {key: vector.astype(float) / np.linalg.norm(vector.astype(float)) for key, vector in vectors.items()}
    return np.array([[unit[q] @ unit[t] if t else -np.inf for t in keys.targets] for q in keys.queries])


def value(name: str, rankings: Sequence[Ranking]) -> float:
    metric = Metric.parse(name)
    return metric.aggregate(map(metric.score, rankings))


@pytest.mark.parametrize("without", [[], [0], [4, 5, 6, 7]])
def test_a_video_is_ranked_among_videos_by_the_best_of_its_captions(store: Store, without: list[int]) -> None:
    """As the public code does: of each video the caption with the highest score, and ranks over videos.

    A caption without a vector leaves the others; a video without one is in no pool, and wrong as a query.
    """
    data = captioned()
    keys = keys_of(data, without)
    of_captions = similarity(store, keys)
    of_videos = np.stack([of_captions[:, own].max(axis=1) for own in data.groups], axis=1)
    rankings = rank_dataset(dataset_of(data), keys, store, SPEC)
    there = [number for number, own in enumerate(data.groups) if not set(own.tolist()) <= set(without)]
    ranks = {number: int((of_videos[number] >= of_videos[number, number]).sum()) for number in there}
    for number, ranking in enumerate(rankings):
        wanted = (ranks[number],) if number in ranks else ()
        assert ranking.best == ranking.worst == ranking.official == wanted
        assert (ranking.pool_size, ranking.num_positives) == (len(there), 1)
        if number in ranks:
            order = sorted(there, key=lambda other, row=of_videos[number]: -row[other])
            assert [each.target for each in ranking.top] == [
                data.groups[other][of_captions[number, data.groups[other]].argmax()] for other in order
            ]
    listed = [ranks.get(number, len(there)) for number in range(len(rankings))]
    wrong = [number not in ranks for number in range(len(rankings))]
    for k in (1, 5):
        hits = [rank <= k and not lost for rank, lost in zip(listed, wrong, strict=True)]
        assert value(f"hit@{k}", rankings) == pytest.approx(np.mean(hits))
    assert value("mean_rank", rankings) == pytest.approx(np.mean(listed))
    assert value("median_rank", rankings) == np.median(listed)


def test_a_collapsed_model_scores_chance_among_videos_and_all_of_it_under_the_public_rule(store: Store) -> None:
    data = captioned()
    keys = keys_of(data)
    every = [key for key in (*keys.queries, *keys.targets) if key]
    store.put(every, np.ones((len(every), 4), dtype=np.float32))
    scored = score(dataset_of(data), keys, store, SPEC, protocol="strict")
    assert {name: each.value for name, each in scored.strict.items()} == scored.chance
    assert scored.chance["hit@1"] == pytest.approx(1 / len(CAPTIONS))
    assert scored.official["hit@1"].value == 1
    assert all(row["candidates"] == len(CAPTIONS) for row in scored.rows)
    assert all(len(row["top"]) == len(CAPTIONS) for row in scored.rows)
    assert scored.tied_queries == len(CAPTIONS)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=3), min_size=2, max_size=6), st.integers(0, 9))
def test_rows_say_what_the_ranks_say_though_videos_share_captions(
    tmp_path_factory: pytest.TempPathFactory, captions: list[list[int]], seed: int
) -> None:
    """Whoever has but the rows can work out every score again."""
    sets = tuple({own: indexes(own) for own in (tuple(sorted(set(each))) for each in captions)}.values())
    queries = tuple(Query(f"v{number}", Item(f"v{number}"), indexes([]), own) for number, own in enumerate(sets))
    data = TaskData(queries, tuple(Item(f"c{number}") for number in range(6)), groups=sets)
    keys = keys_of(data)
    random = np.random.default_rng(seed)
    every = [key for key in (*keys.queries, *keys.targets) if key]
    with Store(tmp_path_factory.mktemp("store"), SPEC) as store:
        store.put(every, random.integers(1, 3, (len(every), 2)).astype(np.float32))  # many are alike
        scored = score(dataset_of(data), keys, store, SPEC, protocol="strict")
    for query, row, ranking in zip(queries, scored.rows, scored.rankings, strict=True):
        bare = replace(ranking, top=(), official_pool_size=ranking.pool_size, right_score=None)
        assert ranking_of(row, result(num_targets=6)) == replace(bare, query_id="")
        right = [each for each in row["top"] if each["right"]]
        higher = sum(each["score"] > right[0]["score"] for each in row["top"])
        assert (len(right), 1 + higher, right[0]["score"]) == (1, ranking.best[0], row["right_score"])
        assert [each["group"] for each in row["positives"]] == [query.positives.tolist()]


@pytest.mark.parametrize("without", [[], [1]])
def test_groups_of_one_are_the_same_as_none(store: Store, without: list[int]) -> None:
    queries = tuple(Query(f"q{n}", Item(f"q{n}"), indexes([]), indexes([n])) for n in range(4))
    targets = tuple(Item(f"t{n}") for n in range(4))
    alone = TaskData(queries, targets)
    grouped = TaskData(queries, targets, groups=tuple(indexes([n]) for n in range(4)))
    keys = keys_of(alone, without)
    similarity(store, keys)
    assert rank_dataset(dataset_of(alone), keys, store, SPEC) == rank_dataset(dataset_of(grouped), keys, store, SPEC)
