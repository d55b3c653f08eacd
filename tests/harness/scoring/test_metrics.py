"""Metrics are expectations under random order of ties, and agree with two independent libraries where nothing ties."""

from __future__ import annotations

import itertools
import json
import math
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from random import Random

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from harness.errors import UserError
from harness.scoring.metrics import Metric
from harness.scoring.ranking import Ranking

NAMES = ["hit@1", "hit@3", "recall@1", "recall@3", "precision@1", "precision@3", "ndcg@1", "ndcg@3", "ndcg", "mrr@1"]
NAMES += ["mrr@3", "mrr", "map@1", "map@3", "map", "mean_rank", "median_rank", "hit@99", "precision@99", "ndcg@99"]
NAMES += ["ndcg-exp@1", "ndcg-exp@3", "ndcg-exp", "r_precision", "all-recall@1", "all-recall@3", "all-recall@99"]


def measure(name: str, labels: Sequence[int], missing: Sequence[int]) -> float:
    """A metric's textbook definition, for the grades of candidates in order, and of right ones that are not ranked."""
    kind, _, cut = name.partition("@")
    k = int(cut) if cut else len(labels)
    right = [rank for rank, label in enumerate(labels, 1) if label]
    within = [rank for rank in right if rank <= k]
    first = right[0] if right else len(labels)
    best = sorted([*labels, *missing], reverse=True)
    num_positives = sum(grade > 0 for grade in best)
    linear, exponential = (
        [sum(gain(grade) / math.log2(at + 2) for at, grade in enumerate(each[:k])) for each in (labels, best)]
        for gain in (float, lambda grade: 2**grade - 1)
    )
    return {
        "hit": float(bool(within)),
        "recall": len(within) / num_positives,
        "all-recall": float(len(within) == num_positives),
        "precision": len(within) / k,
        "r_precision": sum(rank <= num_positives for rank in right) / num_positives,
        "ndcg": linear[0] / linear[1],
        "ndcg-exp": exponential[0] / exponential[1],
        "mrr": 1 / within[0] if within else 0.0,
        "map": sum(count / rank for count, rank in enumerate(within, 1)) / num_positives,
        "mean_rank": first,
        "median_rank": first,
    }[kind]


Groups = Sequence[tuple[int, ...]]
"""Grades of the candidates of each group of equal scores, best group first. A grade of 0 is wrong."""

binary = st.tuples(st.integers(0, 5), st.integers(0, 5)).map(lambda pair: (1,) * pair[0] + (0,) * pair[1]).filter(len)
graded = st.lists(st.integers(0, 3), min_size=1, max_size=4).map(tuple)
groups = st.lists(binary | graded, min_size=1, max_size=4).filter(lambda found: _orders(found) < 3000)
missed = st.lists(st.integers(1, 3), max_size=2)


def _orders(tie_groups: Groups) -> int:
    """The number of different orders."""
    repeats = math.prod(math.factorial(count) for group in tie_groups for count in Counter(group).values())
    return math.prod(math.factorial(len(group)) for group in tie_groups) // repeats


def ranking(tie_groups: Groups, missing: Sequence[int] = ()) -> Ranking:
    """The ranking of a query whose candidates tie so; right candidates with the grades `missing` are not ranked."""
    best, worst, grades, before = [], [], [], 0
    for group in tie_groups:
        right = [grade for grade in group if grade]
        best += [before + 1] * len(right)
        worst += [before + len(group)] * len(right)
        grades += right
        before += len(group)
    whole = (*grades, *missing)
    shown = () if set(whole) == {1} else whole
    return Ranking("q", tuple(best), tuple(worst), before, len(whole), tuple(best), before, grades=shown)


def orders(tie_groups: Groups) -> Iterator[list[int]]:
    """Grades of the candidates in every order of every group, each equally likely."""
    for chosen in itertools.product(*(sorted(set(itertools.permutations(group))) for group in tie_groups)):
        yield [grade for group in chosen for grade in group]


@settings(deadline=None)
@given(groups, missed, st.sampled_from(NAMES))
def test_a_score_is_the_mean_over_all_orders_of_ties(tie_groups: Groups, missing: list[int], name: str) -> None:
    query = ranking(tie_groups, missing)
    assume(query.num_positives)
    expected = [measure(name, labels, missing) for labels in orders(tie_groups)]
    assert Metric.parse(name).score(query) == pytest.approx(math.fsum(expected) / len(expected), abs=1e-12)


@settings(deadline=None)
@given(groups, missed, st.sampled_from(NAMES))
def test_the_official_score_lets_right_candidates_win(tie_groups: Groups, missing: list[int], name: str) -> None:
    query = ranking(tie_groups, missing)
    assume(query.num_positives)
    labels = [grade for group in tie_groups for grade in sorted(group, reverse=True)]
    expected = measure(name, labels, missing)
    assert Metric.parse(name).score_official(query) == pytest.approx(expected, abs=1e-12)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_the_public_code_may_pair_grades_with_other_right_candidates(labels: list[int], random: Random) -> None:
    grades = [label for label in labels if label]
    assume(grades)
    shuffled = random.sample(grades, len(grades))
    turn = iter(shuffled)
    public = [next(turn) if label else 0 for label in labels]
    query = replace(ranking([(label,) for label in labels]), official_grades=tuple(shuffled))
    assert query.depends_on_protocol
    for name in ("ndcg@3", "ndcg-exp", "map", "hit@1"):
        metric = Metric.parse(name)
        assert metric.score(query) == pytest.approx(measure(name, labels, []), abs=1e-12)
        assert metric.score_official(query) == pytest.approx(measure(name, public, []), abs=1e-12)


@settings(deadline=None)
@given(groups, missed, st.sampled_from(NAMES))
def test_chance_is_the_score_of_one_large_tie(tie_groups: Groups, missing: list[int], name: str) -> None:
    query = ranking(tie_groups, missing)
    assume(query.num_positives)
    constant = ranking([tuple(grade for group in tie_groups for grade in group)], missing)
    assert Metric.parse(name).chance(query) == Metric.parse(name).score(constant)


def test_a_constant_embedder_scores_exactly_chance() -> None:
    hit = Metric("hit", 1)
    for size in range(1, 2001):
        constant = ranking([(1, *[0] * (size - 1))])
        assert hit.score(constant) == hit.chance(constant) == 1 / size
        assert hit.aggregate([hit.score(constant)] * (size % 97 + 1)) == 1 / size
        assert hit.score_official(constant) == 1


@given(st.integers(0, 5), st.integers(1, 50), st.integers(0, 5))
def test_with_one_right_candidate_metrics_at_1_are_one_metric(before: int, tied: int, after: int) -> None:
    query = ranking([(0,) * before, (1, *[0] * (tied - 1)), (0,) * after])
    assert len({Metric(kind, 1).score(query) for kind in ("hit", "recall", "precision", "ndcg", "mrr", "map")}) == 1


@pytest.mark.parametrize("name", NAMES)
def test_a_query_that_could_not_be_ranked_scores_worst(name: str) -> None:
    metric = Metric.parse(name)
    unranked = Ranking("q", (), (), 7, 1, (), 9)
    assert metric.score(unranked) == metric.chance(unranked) == (7 if metric.is_rank else 0)
    assert metric.score_official(unranked) == (9 if metric.is_rank else 0)
    last = ranking([(0,)] * 6 + [(1,)])
    worse = metric.score(unranked) - metric.score(last)
    assert worse >= 0 if metric.is_rank else worse <= 0


@given(st.lists(st.floats(0, 1), min_size=1), st.randoms(), st.sampled_from(["hit@1", "mrr", "median_rank"]))
def test_no_order_of_queries_changes_the_last_bit(values: list[float], random: Random, name: str) -> None:
    mixed = list(values)
    random.shuffle(mixed)
    assert Metric.parse(name).aggregate(mixed) == Metric.parse(name).aggregate(values)


@given(st.floats(0, 1), st.integers(1, 1000))
def test_the_mean_of_equal_values_is_that_value(value: float, count: int) -> None:
    assert Metric("hit", 1).aggregate([value] * count) == value


def test_a_mean_and_a_median() -> None:
    assert Metric("mean_rank").aggregate([1, 2, 3, 10]) == 4
    assert Metric("median_rank").aggregate([10, 1, 3, 2]) == 2.5
    assert math.isnan(Metric("hit", 1).aggregate([]))


@pytest.mark.parametrize("name", NAMES)
def test_a_metric_is_the_value_of_its_name(name: str) -> None:
    assert str(Metric.parse(name)) == name
    assert Metric.parse(str(Metric.parse(name))) == Metric.parse(name)


@pytest.mark.parametrize(
    ("name", "guess"),
    [
        ("hit", "hit@10"),
        ("mean_rank@5", "mean_rank"),
        ("ndgc@10", "ndcg@10"),
        ("ndcg_exp@5", "ndcg-exp@10"),
        ("r_precision@5", "r_precision"),
        ("Recall@10", "recall@10"),
        ("mrr@0", "mrr"),
        ("mrr@01", "mrr"),
        ("map@-1", "map"),
        ("hit@", "hit@10"),
        ("precision@1.5", "precision@10"),
    ],
)
def test_another_name_is_refused_with_the_nearest(name: str, guess: str) -> None:
    with pytest.raises(UserError) as raised:
        Metric.parse(name)
    assert repr(name) in raised.value.what
    assert guess in raised.value.hint.split("?")[0]


TREC = {"hit": "Success", "recall": "R", "precision": "P", "ndcg": "nDCG", "map": "AP", "mrr": "RR"}


@pytest.fixture(scope="module", params=["binary", "graded"])
def runs(request: pytest.FixtureRequest) -> list[list[int]]:
    """Grades in order of score, without ties, of queries with one to eight right candidates among 5 to 60."""
    random = np.random.default_rng(0)
    shapes = [(int(size), int(random.integers(1, min(size, 8) + 1))) for size in random.integers(5, 61, 40)]
    highest = 2 if request.param == "binary" else 4
    return [(random.integers(1, highest, size) * (random.permutation(size) < right)).tolist() for size, right in shapes]


def as_trec(runs: Sequence[Sequence[int]]) -> tuple[dict[str, dict[str, int]], dict[str, dict[str, float]]]:
    """Judged documents, and scores of all, of each query. Every third wrong document is judged, with a grade of 0."""
    names = [{f"d{place:02}": label for place, label in enumerate(labels)} for labels in runs]
    judged = {
        f"q{row:02}": {name: label for name, label in own.items() if label or int(name[1:]) % 3 == 0}
        for row, own in enumerate(names)
    }
    scores = {f"q{row:02}": {name: 1.0 - int(name[1:]) / 64 for name in own} for row, own in enumerate(names)}
    return judged, scores


def ours(name: str, runs: Sequence[Sequence[int]]) -> list[float]:
    metric = Metric.parse(name)
    return [metric.score(ranking([(label,) for label in labels])) for labels in runs]


def test_untied_scores_are_those_of_trec_eval(runs: list[list[int]]) -> None:
    measures = pytest.importorskip("ir_measures")
    theirs = {f"{kind}@{k}": f"{name}@{k}" for kind, name in TREC.items() for k in (1, 5, 10)}
    theirs |= {"ndcg": "nDCG", "map": "AP", "mrr": "RR", "r_precision": "Rprec"}
    relevant, scores = as_trec(runs)
    for name, their_name in theirs.items():
        found = measures.iter_calc([measures.parse_measure(their_name)], relevant, scores)
        by_query = {each.query_id: each.value for each in found}
        assert [by_query[query] for query in relevant] == pytest.approx(ours(name, runs), abs=1e-9), name


RANX = """
import json, sys
from ranx import Qrels, Run, evaluate
relevant, scores, names = json.load(sys.stdin)
found = evaluate(Qrels(relevant), Run(scores), names, return_mean=False)
print(json.dumps({name: list(map(float, values)) for name, values in found.items()}))
"""


@pytest.mark.parametrize("runs", ["graded", pytest.param("binary", marks=pytest.mark.exhaustive)], indirect=True)
def test_untied_scores_are_those_of_ranx(runs: list[list[int]]) -> None:
    pytest.importorskip("ranx")
    kinds = ("hit_rate", "recall", "precision", "ndcg", "ndcg_burges", "map", "mrr")
    names = [f"{kind}@{k}" for kind in kinds for k in (1, 5, 10)]
    names += ["ndcg", "ndcg_burges", "map", "mrr", "r-precision"]
    done = subprocess.run(
        [sys.executable, "-c", RANX],
        input=json.dumps([*as_trec(runs), names]),
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},  # compiling takes longer than everything else here
    )
    for name, theirs in json.loads(done.stdout).items():
        own = name.replace("hit_rate", "hit").replace("ndcg_burges", "ndcg-exp").replace("r-precision", "r_precision")
        assert theirs == pytest.approx(ours(own, runs), abs=1e-9), name
