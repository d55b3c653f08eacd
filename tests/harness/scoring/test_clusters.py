"""Queries that share a right target, a picture or a named group are one cluster, directly or through others."""

from __future__ import annotations

import json

import networkx
import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import llave
from harness.data.dataset import load_dataset
from harness.media.digests import Digests
from harness.progress import NoProgress
from harness.results.rows import read_rows
from harness.scoring.clusters import clusters_of, joined
from tasks.jsonl import jsonl_task


@given(st.lists(st.lists(st.integers(0, 12), max_size=3), min_size=1, max_size=25))
def test_clusters_are_the_connected_components(bonds):
    graph = networkx.Graph()
    graph.add_nodes_from(("query", index) for index in range(len(bonds)))
    graph.add_edges_from((("query", index), ("bond", each)) for index, shared in enumerate(bonds) for each in shared)
    components = [{i for kind, i in part if kind == "query"} for part in networkx.connected_components(graph)]
    found = joined(bonds)
    assert {frozenset(np.flatnonzero(found == number).tolist()) for number in set(found.tolist())} == {
        frozenset(part) for part in components if part
    }


def test_they_are_numbered_from_0_by_their_first_queries():
    assert joined([["a"], ["b"], [], ["a"], ["b", "c"], ["c"]]).tolist() == [0, 1, 2, 0, 1, 1]


def _clusters(tmp_path, lines):
    path = tmp_path / "data.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    task = jsonl_task(path)
    info = task.source.info(task)
    dataset = load_dataset(task, info, Digests(), NoProgress(), limit=None, workers=1, skip_bad=False)
    return clusters_of(dataset).tolist()


TARGETS = [{"target": name, "text": f"text {name}"} for name in "abc"]


def test_texts_with_one_right_target_belong_together(tmp_path):
    asked = [{"query": str(n), "text": f"asked {n}", "positives": [right]} for n, right in enumerate("aabac")]
    assert _clusters(tmp_path, [*TARGETS, *asked]) == [0, 0, 1, 0, 2]


def test_a_group_that_the_data_names_decides_alone(tmp_path):
    asked = [
        {"query": str(n), "text": f"asked {n}", "positives": [right], "group": group}
        for n, (right, group) in enumerate(zip("aaab", "xyxy", strict=True))
    ]
    assert _clusters(tmp_path, [*TARGETS, *asked]) == [0, 1, 0, 1]


def test_questions_about_one_picture_belong_together_and_pictures_of_one_label_do_not(tmp_path):
    for name, colour in (("one", "red"), ("copy", "red"), ("two", "blue")):
        Image.new("RGB", (8, 8), colour).save(tmp_path / f"{name}.png")
    asked = [
        {"query": str(n), "text": f"asked {n}", "image": f"{name}.png", "positives": ["a"]}
        for n, name in enumerate(("one", "two", "copy", "one"))
    ]
    assert _clusters(tmp_path, [*TARGETS, *asked]) == [0, 1, 0, 0]


def test_captions_of_one_picture_belong_together_and_a_result_counts_them(tmp_path):
    for name in ("one", "two"):
        Image.new("RGB", (8, 8), "red" if name == "one" else "blue").save(tmp_path / f"{name}.png")
    pictures = [{"target": name, "image": f"{name}.png"} for name in ("one", "two")]
    captions = [
        {"query": f"{name} {n}", "text": f"{name} as seen {n}", "positives": [name]}
        for name in ("one", "two")
        for n in "abc"
    ]
    assert _clusters(tmp_path, [*pictures, *captions]) == [0, 0, 0, 1, 1, 1]
    flags = {"out": tmp_path / "out", "store": tmp_path / "store", "progress": False}
    (found,) = llave.evaluate("null/random", jsonl_task(tmp_path / "data.jsonl"), **flags)
    assert found.record.dataset["clusters"] == 2
    assert [row["cluster"] for row in read_rows(found.path, found.record)] == [0, 0, 0, 1, 1, 1]
