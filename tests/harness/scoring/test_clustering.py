"""Clusters and labels: agreement as scikit-learn has it, its parts by item, and what must not change a clustering."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from harness.data.dataset import Dataset
from harness.encoding.store import Store
from harness.errors import UserError
from harness.results.files import read_record, rows_path
from harness.results.verified import Contradiction, read_result
from harness.scoring.agreement import agreements
from harness.scoring.clustering import SEEDS, clustering_of, judge, labels_of
from harness.scoring.metrics import AGREEMENTS
from harness.scoring.score import DatasetKeys, Scored, score
from harness.types import DataInfo, FloatArray, IndexArray, Item, ModelSpec, ProtocolName, Query, TaskData
from tasks.catalog import resolve_tasks

SPEC = ModelSpec("test/model", "1", "test/1")
HASHED = "tests.helpers.embedders:Hashed"
pairs = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4)), min_size=3, max_size=40)


def numbers(values: Sequence[int]) -> IndexArray:
    return np.array(values, dtype=np.int32)


def drawn(count: int, labels: int, apart: float, seed: int) -> tuple[IndexArray, FloatArray]:
    """Labels in turn, and vectors around a centre for each label."""
    random = np.random.default_rng(seed)
    of = numbers([number % labels for number in range(count)])
    centres = random.standard_normal((labels, 8)) * apart
    return of, (centres[of] + random.standard_normal((count, 8))).astype(np.float32)


def dataset_of(labels: Sequence[str], folder: Path) -> Dataset:
    lines = [{"text": f"item {number}", "label": each} for number, each in enumerate(labels)]
    folder.mkdir(exist_ok=True, parents=True)
    (folder / "set.json").write_text(json.dumps(lines))
    (task,) = resolve_tasks("all@clustering", data=folder / "set.json")
    return Dataset(task, DataInfo("test", "local", ()), task.source.load(task), "0" * 64, {}, {})


def scored(
    labels: Sequence[str],
    vectors: FloatArray,
    folder: Path,
    protocol: ProtocolName = "strict",
    without: Sequence[int] = (),
) -> Scored:
    keys = [None if number in without else f"item {number}".encode().ljust(32) for number in range(len(labels))]
    dataset = dataset_of(labels, folder)
    with Store(folder / protocol, SPEC) as store:
        store.put([key for key in keys if key], vectors[[number for number, key in enumerate(keys) if key]])
        found = DatasetKeys(tuple(keys), (None,) * len(dataset.data.targets))
        return score(dataset, found, store, SPEC, protocol=protocol)


@given(pairs)
def test_values_are_those_of_scikit_learn(drawn_pairs: list[tuple[int, int]]) -> None:
    from sklearn import metrics

    labels, clusters = (numbers(each) for each in zip(*drawn_pairs, strict=True))
    found = agreements(labels, clusters)
    assume(1 < len(set(labels.tolist())) < len(labels))  # otherwise chance has it all, and scikit-learn says 1
    assert found["ami"].value == pytest.approx(metrics.adjusted_mutual_info_score(labels, clusters), abs=1e-9)
    assert found["ari"].value == pytest.approx(metrics.adjusted_rand_score(labels, clusters), abs=1e-9)
    for public in (metrics.v_measure_score, metrics.normalized_mutual_info_score):
        assert found["v_measure"].value == pytest.approx(public(labels, clusters), abs=1e-9)


@given(pairs, st.permutations(range(4)), st.permutations(range(5)))
def test_names_of_labels_and_clusters_change_nothing(
    drawn_pairs: list[tuple[int, int]], names: list[int], others: list[int]
) -> None:
    labels, clusters = (numbers(each) for each in zip(*drawn_pairs, strict=True))
    one, two = agreements(labels, clusters), agreements(numbers(names)[labels], numbers(others)[clusters])
    for name in AGREEMENTS:
        assert one[name].value == pytest.approx(two[name].value, abs=1e-9)
        assert one[name].parts == pytest.approx(two[name].parts, abs=1e-9)


@given(pairs)
def test_parts_are_those_of_the_jackknife_and_their_mean_is_the_value(drawn_pairs: list[tuple[int, int]]) -> None:
    labels, clusters = (numbers(each) for each in zip(*drawn_pairs, strict=True))
    found, count = agreements(labels, clusters), len(labels)
    every = np.arange(count)
    without = [agreements(labels[every != each], clusters[every != each]) for each in every]
    for name in AGREEMENTS:
        assert found[name].parts.mean() == pytest.approx(found[name].value, abs=1e-9)
        if name != "ami":  # where what is expected by chance is not computed again
            left = np.array([each[name].value for each in without])
            assert found[name].parts == pytest.approx(found[name].value - (count - 1) * (left - left.mean()), abs=1e-6)


def test_chance_is_the_mean_over_permuted_labels_and_v_measure_alone_misleads() -> None:
    labels = numbers([number % 10 for number in range(160)])
    random = np.random.default_rng(0)
    runs = [agreements(labels, random.permutation(labels)) for _ in range(400)]
    for name in AGREEMENTS:
        values = np.array([each[name].value for each in runs])
        chance = {each[name].chance for each in runs}
        assert abs(values.mean() - max(chance)) < 4 * values.std() / 20
    assert runs[0]["v_measure"].chance == pytest.approx(0.133, abs=0.002)
    assert runs[0]["ami"].chance == runs[0]["ari"].chance == 0


def test_perfect_vectors_give_1_and_vectors_without_labels_chance(tmp_path: Path) -> None:
    labels, vectors = drawn(120, 4, 40.0, 0)
    perfect = scored([f"l{each}" for each in labels], vectors, tmp_path / "far")
    assert all(each.value == pytest.approx(1) for each in (*perfect.strict.values(), *perfect.official.values()))
    assert all(row["right"] for row in perfect.rows)
    blind = scored([f"l{each}" for each in labels], drawn(120, 4, 0.0, 1)[1], tmp_path / "near")
    for name in ("ami", "ari"):
        assert blind.strict[name].low < 0 < blind.strict[name].high
    assert blind.strict["v_measure"].low < blind.chance["v_measure"] < blind.strict["v_measure"].high


def test_the_order_of_items_and_the_number_of_threads_change_nothing(tmp_path: Path) -> None:
    from threadpoolctl import threadpool_limits

    labels, vectors = drawn(150, 5, 1.0, 2)
    names = [f"l{each}" for each in labels]
    order = np.random.default_rng(3).permutation(len(names))
    one = scored(names, vectors, tmp_path / "one")
    with threadpool_limits(4):
        two = scored([names[each] for each in order], vectors[order], tmp_path / "two")
    assert 0.1 < one.strict["ami"].value < 0.9
    for name in AGREEMENTS:
        assert one.strict[name].value == pytest.approx(two.strict[name].value, abs=1e-12)
        assert one.strict[name].low == pytest.approx(two.strict[name].low, abs=1e-6)
    part = {row["content"]["text"]: row["ami"] for row in two.rows}  # type: ignore[index]
    assert [two.rows[at]["ami"] for at in range(3)] == pytest.approx([one.rows[order[at]]["ami"] for at in range(3)])
    assert len(part) == len(names)


def test_the_official_protocol_is_one_run_of_mini_batch_k_means_on_vectors_as_they_are(tmp_path: Path) -> None:
    from sklearn.cluster import MiniBatchKMeans
    from sklearn.metrics import normalized_mutual_info_score

    labels, vectors = drawn(200, 6, 1.0, 4)
    vectors *= np.linspace(0.2, 3.0, len(vectors), dtype=np.float32)[:, None]
    found = scored([f"l{each}" for each in labels], vectors, tmp_path, "official")
    public = MiniBatchKMeans(n_clusters=6, n_init="auto", batch_size=500, random_state=42).fit(vectors).labels_
    assert found.metrics == found.official
    assert found.metrics["v_measure"].value == pytest.approx(normalized_mutual_info_score(labels, public))
    assert found.metrics["v_measure"].value != found.strict["v_measure"].value


def test_items_without_a_vector_are_a_cluster_of_their_own(tmp_path: Path) -> None:
    labels, vectors = drawn(40, 4, 40.0, 5)
    found = scored([f"l{each}" for each in labels], vectors, tmp_path, without=[0, 1, 2])
    lost = {tuple(found.rows[at]["assigned"]) for at in range(3)}  # type: ignore[arg-type]
    others = {tuple(row["assigned"]) for row in found.rows[3:]}  # type: ignore[arg-type]
    assert len(lost) == 1
    assert not lost & others
    assert 0 < found.strict["ami"].value < 1
    assert (
        scored([f"l{each}" for each in labels], vectors, tmp_path / "none", without=range(40)).strict["ami"].value == 0
    )


def test_intervals_cover_seeds_and_items() -> None:
    """The interval is wider where seeds differ, and narrower with more items."""
    labels, vectors = drawn(240, 6, 1.2, 6)
    found = clustering_of(labels, np.ones(240, dtype=np.bool_), vectors, vectors)
    assert len(found.strict_SN) == SEEDS
    same = replace(found, strict_SN=np.repeat(found.strict_SN[:1], SEEDS, axis=0))
    groups = np.arange(240, dtype=np.int32)

    def width(one: object, metric: str, clusters: IndexArray = groups) -> float:
        each = judge(one, [metric], clusters, "strict", metric).strict[metric]  # type: ignore[arg-type]
        return each.high - each.low

    assert found.spread("ami") > 1e-9 > same.spread("ami")
    assert width(found, "ami") > width(same, "ami")
    fewer = replace(found, labels_N=labels[:60], strict_SN=found.strict_SN[:, :60], official_N=found.official_N[:60])
    assert width(fewer, "ami", groups[:60]) > width(found, "ami")
    assert width(found, "ami", groups // 4) > 0


@pytest.mark.parametrize("labels", [[0], [0, 0], [0, 1], [0, 1, 2]])
def test_where_chance_has_all_the_score_is_that_of_chance(labels: list[int]) -> None:
    """One label for all, or one for each: what the first items of a task may have (`--limit`)."""
    found = agreements(numbers(labels), numbers(labels))
    assert (found["ami"].value, found["ari"].value) == (0, 0)


def test_an_item_with_several_labels_is_named(tmp_path: Path) -> None:
    made = dataset_of(["a", "b", "a"], tmp_path)
    queries = [Query(f"q{at}", Item("x"), numbers([]), numbers(each)) for at, each in enumerate([[0, 1], [0]])]
    with pytest.raises(UserError, match="has 2 labels"):
        labels_of(replace(made, data=TaskData(tuple(queries), (Item("a"), Item("b")))))


def test_a_clustering_needs_no_vector_that_its_dataset_has_and_its_rows_bear_it_out(llave, tiny, place, log) -> None:
    assert llave("run", HASHED, "--data", tiny.data, "--tasks", "Colour", *place.flags).code == 0
    before = log()
    done = llave("run", HASHED, "--data", tiny.data, "--tasks", "Colour@clustering", *place.flags)
    assert done.code == 0, done.err
    assert log() == before
    path = place.path("Colour@clustering")
    found = read_result(path)
    assert list(found.result.metrics) == ["ami", "v_measure", "ari"]
    assert found.sample.mean == pytest.approx(found.result.main.value)
    assert llave("run", HASHED, "--data", tiny.data, "--tasks", "Colour@clustering", *place.flags).err.count("skipped")
    for name, change in (("assigned", [1] * SEEDS), ("assigned_official", 5), ("ami", 0.5), ("right", None)):
        _refused(path, name, change)


def _refused(path: Path, name: str, change: object) -> None:
    """Another value in the first row, whose digest the record then has, is a contradiction."""
    import hashlib

    rows, text = rows_path(path, read_record(path)), path.read_text(encoding="utf-8")
    kept = rows.read_bytes()
    first, *others = (json.loads(line) for line in kept.splitlines())
    first[name] = not first[name] if change is None else change
    changed = "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in (first, *others)).encode()
    rows.write_bytes(changed)
    path.write_text(text.replace(hashlib.sha256(kept).hexdigest(), hashlib.sha256(changed).hexdigest()))
    try:
        with pytest.raises(Contradiction):
            read_result(path)
    finally:
        rows.write_bytes(kept)
        path.write_text(text)


def test_null_models_score_chance(llave, tiny, place) -> None:
    models = ("null/constant", "null/random", "null/oracle")
    assert llave("run", *models, "--data", tiny.data, "--tasks", "Colour@clustering", *place.flags).code == 0
    constant, random, oracle = (place.result("Colour@clustering", model).main for model in models)
    assert constant.value == 0
    assert random.low < 0 < random.high
    assert oracle.value == pytest.approx(1)
