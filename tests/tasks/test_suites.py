"""Suites and their means."""

from __future__ import annotations

import json
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import UserError
from tasks.mmeb.datasets import META_TASKS, ROWS
from tasks.suites import MEAN_OF_META_TASKS, Mean, Suite, aggregate, find_suite, suite_of, suites
from tests.helpers.mmeb_files import shared

MMEB = suite_of("mmeb", "", ROWS)
fractions = st.lists(st.floats(0, 1), min_size=36, max_size=36)


def by_name(suite: Suite, scores: dict[str, float]) -> dict[str, Mean]:
    return {mean.name: mean for mean in aggregate(suite, scores)}


@given(fractions, st.randoms())
def test_no_order_changes_a_mean_in_its_last_bit(values: list[float], rng: object) -> None:
    scores = dict(zip(MMEB.tasks, values, strict=True))
    mixed = list(ROWS)
    rng.shuffle(mixed)
    one, other = by_name(MMEB, scores), by_name(suite_of("mixed", "", mixed), scores)
    assert {name: mean.value for name, mean in one.items()} == {name: mean.value for name, mean in other.items()}


@given(fractions)
def test_every_mean_is_the_mean_of_its_tasks(values: list[float]) -> None:
    scores = dict(zip(MMEB.tasks, values, strict=True))
    means = by_name(MMEB, scores)
    assert means["overall"].value == pytest.approx(statistics.fmean(values))
    for name, of in [*((meta, "meta_task") for meta in META_TASKS), ("IND", "split"), ("OOD", "split")]:
        members = [scores[row.name] for row in ROWS if getattr(row, of) == name]
        assert means[name].value == pytest.approx(statistics.fmean(members))
        assert means[name].present == len(members)
    expected = statistics.fmean(means[meta].value for meta in META_TASKS)
    assert means[MEAN_OF_META_TASKS].value == pytest.approx(expected)


@given(st.sets(st.sampled_from(MMEB.tasks), min_size=1))
def test_whatever_is_missing_makes_exactly_its_means_incomplete(gone: set[str]) -> None:
    means = by_name(MMEB, {task: 0.5 for task in MMEB.tasks if task not in gone})
    members = {"overall": set(MMEB.tasks), MEAN_OF_META_TASKS: set(MMEB.tasks)}
    members |= {name: set(tasks) for name, tasks in MMEB.groups}
    for name, mean in means.items():
        assert set(mean.missing) == members[name] & gone, name
        assert mean.present == len(members[name] - gone)
        assert mean.value == (None if mean.missing else 0.5)


def test_scores_of_other_tasks_do_not_count() -> None:
    scores = dict.fromkeys(MMEB.tasks, 0.5)
    assert aggregate(MMEB, scores | {"CIFAR-100": 1.0, "MSCOCO_t2i@global": 0.0}) == aggregate(MMEB, scores)


def test_a_suite_of_one_kind_has_no_mean_that_repeats_overall() -> None:
    assert [name for name, _ in find_suite("mmeb-grounding").groups] == ["IND", "OOD"]
    assert [name for name, _ in find_suite("mmeb-ind").groups] == list(META_TASKS)


def test_the_suites_are_the_parts_of_mmeb() -> None:
    known = suites()
    sizes = {"mmeb": 36, "mmeb-ind": 20, "mmeb-ood": 16}
    sizes |= {"mmeb-classification": 10, "mmeb-vqa": 10, "mmeb-retrieval": 12, "mmeb-grounding": 4}
    sizes |= {"mmeb-v2": 78, "mmeb-v2-video": 18, "mmeb-v2-visdoc": 24, "video-retrieval-v2": 5}
    sizes |= {"mmeb-v2-v-cls": 5, "mmeb-v2-v-qa": 5, "mmeb-v2-v-mret": 3}
    sizes |= {"mmeb-v2-vidore-v1": 10, "mmeb-v2-vidore-v2": 4, "mmeb-v2-visrag": 6, "mmeb-v2-ood": 4}
    sizes |= {"mmeb-v3": 190, "mmeb-v3-text": 53}
    assert {name: len(known[name].tasks) for name in sizes} == sizes
    assert set(known) == {*sizes, "text-video", "demo", "clustering"}


def test_a_suite_says_which_means_and_columns_it_has() -> None:
    for suite in suites().values():
        assert [mean.name for mean in aggregate(suite, {})] == list(suite.means)
        assert sorted(suite.columns) == sorted(suite.means)
    assert find_suite("mmeb").columns == ("overall", "IND", "OOD", *META_TASKS, MEAN_OF_META_TASKS)
    assert find_suite("text-video").columns == ("overall", "t2v", "v2t")
    assert find_suite("video-retrieval-v2").recall_columns("MSVD-v2") == {
        "MSVD-v2 R@1": "hit@1",
        "MSVD-v2 R@5": "hit@5",
        "MSVD-v2 R@10": "hit@10",
    }
    for name in ("mmeb", "demo"):
        assert not any(find_suite(name).recall_columns(task) for task in (*find_suite(name).tasks, "GQA_t2v"))


def test_an_unknown_suite_is_an_error_with_a_guess() -> None:
    with pytest.raises(UserError, match=r"no suite named 'mmeb-iid'.*\n.*mmeb-ind"):
        find_suite("mmeb-iid")


@pytest.mark.parametrize("model", ["CLIP", "LLaVE-7B"])
def test_published_rows_come_out_as_published(model: str) -> None:
    row = json.loads(shared("mmeb", "published_scores.json").read_text())["per_dataset_v1"][model]
    means = by_name(MMEB, row["per_dataset"])
    names = {name: name.lower() for name in ("classification", "VQA", "retrieval", "visual_grounding", "overall")}
    names |= {"IND": "IND", "OOD": "OOD"}
    for published, name in names.items():
        assert means[name].value == pytest.approx(row["published"][published], abs=0.051), name
    assert means[MEAN_OF_META_TASKS].value == pytest.approx(row["recomputed"]["unweighted_mean_of_4_meta"], abs=0.001)
