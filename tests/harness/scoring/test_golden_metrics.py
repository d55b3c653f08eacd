"""Parity with what the public code computed, recorded: ranks, predictions and metrics."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from harness.errors import UserError
from harness.scoring.groups import Groups
from harness.scoring.metrics import Metric
from harness.scoring.rank import normalise, rank
from harness.scoring.ranking import Ranking
from harness.types import FloatArray
from tests.helpers.rank_cases import query

GOLDEN = Path(__file__).resolve().parents[3] / ".." / "shared" / "golden" / "metrics"

pytestmark = pytest.mark.skipif(not GOLDEN.is_dir(), reason="the recorded reference is not here")

RETRIEVAL = ["random_5", "random_37", "random_120", "coarse_ties_40", "duplicated_videos_30", "constant_20"]
RETRIEVAL += ["identity_12", "perfect_but_all_rows_tied_pairs_10"]
SENTENCES = ["random", "coarse_ties", "constant", "single_sentence_each"]
CLASSIFICATION = ["random", "random_unnormalised", "exact_ties", "constant"]
CLASSIFICATION += ["zero_query", "zero_targets", "positive_duplicated", "all_nan"]
UNDECIDED = ("exact_ties", True)
"""What get_pred makes of tied candidates follows from how it rounds their cosines."""
DECIDED = [case for case in itertools.product(CLASSIFICATION, [True, False]) if case != UNDECIDED]
ORDERED = ["single_label", "multi_label", "graded"]


@pytest.fixture(scope="module")
def golden() -> SimpleNamespace:
    with np.load(GOLDEN / "inputs.npz") as arrays:
        return SimpleNamespace(
            inputs=dict(arrays), expected=json.loads((GOLDEN / "expected.json").read_text(encoding="utf-8"))
        )


def rank_matrix(matrix: FloatArray, positives: Sequence[int], groups: Groups | None = None) -> list[Ranking]:
    """Ranks the columns of a similarity matrix, or groups of them, for each of its rows."""
    columns = np.eye(matrix.shape[1], dtype=np.float32)
    return rank(np.ascontiguousarray(matrix), columns, [query([], [each]) for each in positives], groups=groups)


def value(name: str, rankings: Sequence[Ranking]) -> float:
    metric = Metric.parse(name)
    return metric.aggregate(map(metric.score, rankings))


def possible_places(rankings: Sequence[Ranking]) -> list[int]:
    """Every place, from 0, that a query's right column can have: what the public `compute_metrics` lists as `cols`."""
    return [place for each in rankings for place in range(each.best[0] - 1, each.worst[0])]


def check_columns(rankings: Sequence[Ranking], recorded: dict[str, object]) -> None:
    """With no tie all numbers are the public ones; with ties the public mean weighs a query by its ties."""
    places = possible_places(rankings)
    assert places == recorded["cols"]
    for k in (1, 5, 10):
        assert np.mean(np.array(places) < k) * 100 == pytest.approx(recorded[f"R{k}"], abs=1e-9)
    if not any(each.tied for each in rankings):
        for k in (1, 5, 10):
            assert value(f"recall@{k}", rankings) * 100 == pytest.approx(recorded[f"R{k}"], abs=1e-9)
        assert value("median_rank", rankings) == recorded["MedianR"]
        assert value("mean_rank", rankings) == pytest.approx(recorded["MeanR"], abs=1e-9)


@pytest.mark.parametrize("name", RETRIEVAL)
def test_one_to_one_retrieval(golden: SimpleNamespace, name: str) -> None:
    matrix, expected = golden.inputs[f"one_to_one/{name}"], golden.expected["one_to_one"][name]
    text_to_video, video_to_text = (rank_matrix(each, range(len(matrix))) for each in (matrix, matrix.T))
    check_columns(text_to_video, expected["t2v"])
    check_columns(video_to_text, expected["v2t"])
    assert expected["has_ties"] == any(each.tied for each in [*text_to_video, *video_to_text])
    if len({each.worst[0] - each.best[0] for each in text_to_video}) == 1:  # all weighed alike
        assert value("recall@1", text_to_video) * 100 == pytest.approx(expected["t2v"]["R1"], abs=1e-9)


@pytest.mark.parametrize("name", SENTENCES)
def test_retrieval_with_several_sentences_to_a_video(golden: SimpleNamespace, name: str) -> None:
    expected = golden.expected["multi_sentence"][name]
    similarity = golden.inputs[f"multi_sentence/{name}/sim"]
    ends = golden.inputs[f"multi_sentence/{name}/cut_off_points"]
    video_of = np.searchsorted(ends, np.arange(len(similarity)), side="right")
    rankings = rank_matrix(similarity, video_of.tolist())
    assert 100 * np.mean([each.best == (1,) for each in rankings]) == pytest.approx(expected["optimistic_R1"])
    assert 100 * np.mean([each.worst == (1,) for each in rankings]) == pytest.approx(expected["pessimistic_R1"])
    recorded = expected["t2v"]
    if any(each.tied for each in rankings):
        assert expected["pessimistic_R1"] < 100 * value("recall@1", rankings) < expected["optimistic_R1"]
    else:
        for k in (1, 5, 10):
            assert 100 * value(f"recall@{k}", rankings) == pytest.approx(recorded[f"R{k}"], abs=1e-4)  # fp32 there
        assert value("mean_rank", rankings) == pytest.approx(recorded["MeanR"], abs=1e-4)
        ranks = sorted(each.best[0] for each in rankings)
        assert ranks[(len(ranks) - 1) // 2] == recorded["MedianR"]  # the lower of two in the middle
    captions_of = Groups.of([np.flatnonzero(video_of == video).astype(np.int32) for video in range(len(ends))])
    check_columns(rank_matrix(similarity.T, range(len(ends)), captions_of), expected["v2t"])


def rank_lists(golden: SimpleNamespace, name: str, *, cosine: bool, nan_wins: bool = False) -> list[Ranking]:
    """Ranks each query's own candidates, of which the first is right."""
    queries, lists = golden.inputs[f"p_at_1/{name}/query"], golden.inputs[f"p_at_1/{name}/targets"]
    targets = lists.reshape(-1, lists.shape[2])
    if cosine:
        queries, targets = normalise(queries), normalise(targets)
    size = lists.shape[1]
    asked = [query(range(first, first + size), [first]) for first in range(0, len(targets), size)]
    return rank(queries, targets, asked, nan_wins=nan_wins)


@pytest.mark.parametrize(("name", "cosine"), DECIDED)
def test_the_official_rule_is_that_of_get_pred(golden: SimpleNamespace, name: str, cosine: bool) -> None:
    recorded = golden.expected["p_at_1"][name][f"normalize_{cosine}"]
    rankings = rank_lists(golden, name, cosine=cosine, nan_wins=True)
    hits = [Metric("hit", 1).score_official(each) for each in rankings]
    assert hits == [float(predicted == 0) for predicted in recorded["pred"]]
    assert Metric("hit", 1).aggregate(hits) == pytest.approx(recorded["acc"])


@pytest.mark.parametrize("cosine", [True, False])
@pytest.mark.parametrize("name", ["random", "random_unnormalised"])
def test_without_ties_the_first_candidate_is_the_prediction(golden: SimpleNamespace, name: str, cosine: bool) -> None:
    recorded = golden.expected["p_at_1"][name][f"normalize_{cosine}"]
    rankings = rank_lists(golden, name, cosine=cosine)
    assert not any(each.tied for each in rankings)
    first = [each.top[0].target - row * each.pool_size for row, each in enumerate(rankings)]
    assert first == recorded["pred"]
    assert value("hit@1", rankings) == pytest.approx(recorded["acc"])


@pytest.mark.parametrize("name", [name for name in CLASSIFICATION if name != "all_nan"])
def test_with_ties_the_score_is_the_expectation_under_random_order(golden: SimpleNamespace, name: str) -> None:
    honest = golden.expected["p_at_1"][name]["tie_aware"]
    rankings = rank_lists(golden, name, cosine=False)
    assert value("hit@1", rankings) == pytest.approx(honest["expected_random_tiebreak_acc"], abs=1e-12)
    assert np.mean([each.worst == (1,) for each in rankings]) == pytest.approx(honest["strict_win_acc"])


@pytest.mark.parametrize(("name", "cosine"), [("all_nan", False), ("zero_query", True), ("zero_targets", True)])
def test_what_scores_nan_there_is_refused_here(golden: SimpleNamespace, name: str, cosine: bool) -> None:
    with pytest.raises(UserError, match="not finite"):
        rank_lists(golden, name, cosine=cosine)


@pytest.mark.parametrize("name", ORDERED)
def test_metrics_of_vlm2vec(golden: SimpleNamespace, name: str) -> None:
    """All but F1, which is not here. With one grade its two gains, linear and exponential, are one."""
    expected = golden.expected["vlm2vec"][name]
    rankings = []
    for case in expected["cases"]:
        labels = set(case["label"])
        places = tuple(place for place, each in enumerate(case["prediction"], 1) if each in labels)
        size = len(case["prediction"])
        rankings.append(Ranking("q", places, places, size, len(labels), places, size))
    for metric, recorded in expected["metrics"].items():
        if not metric.startswith("f1"):
            ours = metric.replace("_linear", "").replace("_exponential", "")
            assert value(ours, rankings) == pytest.approx(recorded, abs=1e-12), metric
