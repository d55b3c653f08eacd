"""Queries that share a right target, a picture or a named group are one cluster, directly or through others."""

from __future__ import annotations

import networkx
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from harness.scoring.clusters import joined


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
