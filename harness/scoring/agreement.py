"""How well clusters agree with labels: adjusted mutual information, V-measure, adjusted Rand index.

- `ami`: adjusted for chance, so 0 is chance and 1 is the labels. Its normaliser is the mean of both entropies.
  Source: Vinh, Epps and Bailey, JMLR 2010, "Information theoretic measures for clusterings comparison".
- `v_measure`: not adjusted. Its chance level depends on the sizes of clusters and labels. It is equal to the normalised
  mutual information with the same normaliser, `nmi` (Rosenberg and Hirschberg, EMNLP 2007).
- `ari`: agreement of pairs of items, adjusted for chance (Hubert and Arabie, 1985).

Chance is the mean over all permutations of the labels. No item has a value of its own. But each has a part in the
value: the jackknife's, from the value without the item (Tukey, 1958). The mean of the parts is the value, and they give
its variance. The expected mutual information is not computed again without each item.

Axes: N items, L labels, C clusters.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from harness.scoring.intervals import Floats
from harness.types import IndexArray

_ZERO = 1e-12


class Agreement(NamedTuple):
    """A value, the part that each item has in it `(N,)`, whose mean is the value, and its chance level."""

    value: float
    parts: Floats
    chance: float


class _Sums(NamedTuple):
    """Sums of a function of the number of items: over cells, labels and clusters, and of their total.

    Each is one number, or an array `(N,)` of the sums without each of the items.
    """

    cells: Floats
    labels: Floats
    clusters: Floats
    whole: Floats


def agreements(labels_N: IndexArray, clusters_N: IndexArray) -> Mapping[str, Agreement]:
    """All three by name. Labels and clusters are numbers from 0; which number stands for which does not matter."""
    from sklearn.metrics.cluster import expected_mutual_information

    counts_LC = table_of(labels_N, clusters_N)
    counts_LC = counts_LC[:, counts_LC.any(axis=0)][counts_LC.any(axis=1)]
    count = len(labels_N)
    logs, logs_N = _sums(lambda each: each * np.log(np.maximum(each, 1)), labels_N, clusters_N)
    pairs, pairs_N = _sums(lambda each: each * (each - 1) / 2, labels_N, clusters_N)
    expected, fewer = float(expected_mutual_information(counts_LC, count)), max(count - 1, 1)
    entropy = float(_entropy(logs, count))
    return {
        "ami": _agreement(_shared(logs, count, expected), _shared(logs_N, fewer, expected)),
        "v_measure": _agreement(_shared(logs, count), _shared(logs_N, fewer), expected / max(entropy, _ZERO)),
        "ari": _agreement(_rand(pairs), _rand(pairs_N)),
    }


def table_of(labels_N: IndexArray, clusters_N: IndexArray) -> NDArray[np.int64]:
    """The number of items of each label in each cluster, `(L, C)`."""
    shape = int(labels_N.max()) + 1, int(clusters_N.max()) + 1
    flat = np.ravel_multi_index((labels_N, clusters_N), shape)
    return np.bincount(flat, minlength=shape[0] * shape[1]).reshape(shape)


def _sums(function: Callable[[Floats], Floats], labels_N: IndexArray, clusters_N: IndexArray) -> tuple[_Sums, _Sums]:
    """The sums over all items, and those without each item."""
    counts_LC = table_of(labels_N, clusters_N).astype(np.float64)
    label_L, cluster_C = counts_LC.sum(axis=1), counts_LC.sum(axis=0)
    count = np.array(float(len(labels_N)))
    own = (counts_LC[labels_N, clusters_N], label_L[labels_N], cluster_C[clusters_N], count)
    whole = [function(each).sum() for each in (counts_LC, label_L, cluster_C, count)]
    without = [total - function(each) + function(each - 1) for total, each in zip(whole, own, strict=True)]
    return _Sums(*whole), _Sums(*without)


def _entropy(logs: _Sums, count: int) -> Floats:
    """The mean of the entropies of labels and clusters."""
    return (logs.whole - (logs.labels + logs.clusters) / 2) / count


def _shared(logs: _Sums, count: int, expected: float = 0.0) -> Floats:
    """The mutual information as a share of the mean entropy, both less what is expected by chance."""
    information = (logs.cells - logs.labels - logs.clusters + logs.whole) / count
    return _ratio(information - expected, _entropy(logs, count) - expected)


def _rand(pairs: _Sums) -> Floats:
    chance = pairs.labels * pairs.clusters / np.maximum(pairs.whole, 1)
    return _ratio(pairs.cells - chance, (pairs.labels + pairs.clusters) / 2 - chance)


def _ratio(above: Floats, below: Floats) -> Floats:
    """A ratio; 0 where nothing is left to divide by, since chance has it all."""
    some = np.asarray(below) > _ZERO
    ratio: Floats = np.where(some, above, 0.0) / np.where(some, below, 1.0)
    return ratio


def _agreement(value: Floats, without_N: Floats, chance: float = 0.0) -> Agreement:
    """A value, with the parts that follow from the values without each item."""
    return Agreement(float(value), value - (len(without_N) - 1) * (without_N - without_N.mean()), chance)
