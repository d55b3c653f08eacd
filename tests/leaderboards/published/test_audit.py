"""The audit finds what does not add up, and nothing else."""

from __future__ import annotations

import json
import math
import random
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leaderboards.published import Citation, PublishedRow, printed_rows, published_rows
from leaderboards.published.audit import audit, differences
from tasks.mmeb.datasets import META_TASKS
from tasks.mmeb_v2.parts import VIDEO, board_name
from tasks.suites import MEAN_OF_META_TASKS, aggregate, find_suite

MMEB = find_suite("mmeb")
WRONG = [
    ("MMEB leaderboard (V1)", "UniME(LLaVA-1.6)", "overall", 66.6, 63.63),
    ("MMEB leaderboard (V1)", "UniME(Phi-3.5-V)", "overall", 64.2, 61.34),
    ("MMEB leaderboard (V1)", "VLM2Vec(Qwen2-VL-2B)", "overall", 59.3, 60.07),
    ("MMEB leaderboard (V1)", "LLaVE-2B", "overall", 65.2, 65.14),
    ("LLaVE Table 2", "SigLIP", "retrieval", 31.6, 44.09),
    ("LLaVE Table 2", "LLaVE-2B", "overall", 65.2, 65.14),
    ("MegaPairs Table 10", "MMRet-MLLM(zero-shot)", "IND", 43.5, 44.30),
    ("MegaPairs Table 10", "MMRet-MLLM(zero-shot)", "OOD", 44.3, 43.55),
    ("PACE Table 8", "PACE(Qwen3.5-0.8B)", "IND", 62.1, 63.83),
    ("PACE Table 8", "PACE(Qwen3.5-0.8B)", "OOD", 55.1, 53.00),
    ("PACE Table 8", "PACE(Qwen3.5-2B)", "IND", 69.9, 71.17),
    ("PACE Table 8", "PACE(Qwen3.5-2B)", "OOD", 64.0, 62.39),
    ("PLUME appendix", "PLUME-2B", "classification", 66.5, 66.09),
    ("PLUME appendix", "PLUME-2B", "vqa", 59.2, 59.47),
    ("PLUME appendix", "PLUME-2B", "visual_grounding", 79.7, 79.17),
    ("Qwen3-VL-Embedding README", "GME-7B", "visdoc", 79.3, 79.15),
    ("Qwen3-VL-Embedding README", "Seed-1.6-embedding-1215", "visdoc", 82.2, 81.83),
    ("UniME Table 9", "EVA-CLIP", "overall", 43.7, 41.41),
    ("UniME Table 9", "E5-V(as run by UniME)", "overall", 37.5, 33.86),
    ("UniME Table 9", "VLM2Vec(LLaVA-1.6 low-res, re-run by UniME)", "overall", 63.3, 60.03),
    ("UniME Table 9", "UniME(LLaVA-1.6)", "IND", 68.4, 68.25),
    ("UniME Table 9", "UniME(LLaVA-1.6)", "overall", 66.6, 63.63),
    ("UniME Table 9", "CLIP", "overall", 39.2, 37.82),
    ("UniME Table 9", "SigLIP", "overall", 35.0, 34.82),
    ("UniME Table 9", "BLIP2", "overall", 28.0, 25.20),
    ("UniME Table 9", "MagicLens", "overall", 27.1, 27.76),
    ("UniME-V2 table", "UniME-V2(Qwen2-VL-7B)", "classification", 64.0, 62.83),
    ("UniME-V2 table", "UniME-V2(Qwen2-VL-7B)", "vqa", 60.1, 58.98),
    ("UniME-V2 table", "UniME-V2(Qwen2-VL-7B)", "retrieval", 73.1, 72.93),
    ("UniME-V2 table", "UniME-V2(Qwen2-VL-7B)", "visual_grounding", 82.8, 81.53),
    ("UniME-V2 table", "UniME-V2(Qwen2-VL-7B)", "IND", 72.0, 71.61),
    ("UniME-V2 table", "UniME-V2(Qwen2-VL-7B)", "overall", 68.0, 67.21),
    ("UniME-V2 table", "UniME-V2(LLaVA-OV-7B)", "classification", 65.3, 65.45),
    ("UniME-V2 table", "UniME-V2(LLaVA-OV-7B)", "retrieval", 72.9, 72.75),
    ("UniME-V2 table", "UniME-V2(LLaVA-OV-7B)", "visual_grounding", 90.2, 89.50),
    ("VLM2Vec Table 6", "SigLIP", "retrieval", 31.6, 44.09),
    ("VLM2Vec Table 6", "UniIR(CLIP_SF)", "visual_grounding", 65.3, 62.15),
    ("VLM2Vec Table 6", "UniIR(CLIP_SF)", "IND", 47.1, 46.77),
    ("VLM2Vec Table 6", "UniIR(CLIP_SF)", "OOD", 41.7, 41.25),
    ("VLM2Vec Table 6", "UniIR(CLIP_SF)", "overall", 44.7, 44.31),
]
"""Citation, model, mean, as printed, as its parts give it: everything that is marked."""


@pytest.fixture(scope="module")
def gathered() -> dict:
    path = Path(__file__).resolve().parents[3] / "../shared/mmeb/published_scores.json"
    if not path.exists():
        pytest.skip("the gathered scores are not beside the repository")
    return json.loads(path.read_text(encoding="utf-8"))


def _row(scores=None, means=None, **changes) -> PublishedRow:
    source = Citation("table", "somewhere")
    row = PublishedRow("m", "published", source, "mmeb", "hit@1", "MMEB v1", scores=scores or {}, means=means or {})
    return replace(row, **changes)


def _cells(seed: int) -> dict[str, float]:
    generator = random.Random(seed)
    return {task: round(generator.uniform(0, 1), 3) for task in MMEB.tasks}


def _means(cells: dict[str, float]) -> dict[str, float]:
    """As a paper prints them: a mean over each part, to one decimal of a percent."""
    parts = {"overall": MMEB.tasks, **dict(MMEB.groups)}
    return {name: round(math.fsum(cells[task] for task in tasks) / len(tasks), 3) for name, tasks in parts.items()}


def test_everything_that_is_wrong_is_listed():
    found = [
        (row.source.name, row.model, mark.cell, round(100 * mark.published, 1), round(100 * mark.recomputed, 2))
        for row in published_rows()
        for mark in row.marks
    ]
    assert found == WRONG


def test_the_list_is_that_of_the_gathered_audit(gathered):
    found = [each for each in audit(printed_rows()) if each.row.model in gathered["per_dataset_v1"] and each.row.scores]
    mine = [
        (each.row.model, each.mark.cell, each.mark.published, each.mark.recomputed, each.rounding) for each in found
    ]
    stated = [
        (
            each["model"],
            "vqa" if each["field"] == "VQA" else each["field"],
            pytest.approx(each["published"] / 100),
            pytest.approx(each["recomputed"] / 100, abs=1e-5),
            each["severity"] == "rounding",
        )
        for each in gathered["consistency"]["per_dataset_vs_published"]
    ]
    assert sorted(mine, key=lambda each: each[:2]) == sorted(stated, key=lambda each: each[:2])
    why = {(each.row.model, each.mark.cell): each.mark.why for each in found}
    for each in gathered["consistency"]["per_dataset_vs_published"]:
        told = each.get("explanation", "").lower()
        for word in ("swapped", "unweighted"):
            assert (word in told) <= (word in why[each["model"], NAMES.get(each["field"], each["field"])])


def test_tables_of_only_means_are_judged_as_in_the_gathered_audit(gathered):
    """LLaVE-2B is added to it: 65.2 is only wrong because 65.1 is printed elsewhere."""
    rows = gathered["llave_main_table_and_other_aggregates"]
    wrong = {each["model"] for each in gathered["consistency"]["aggregate_rows"]}
    sources = {row["source"] for row in rows}
    mine = {
        each.row.model for each in audit(printed_rows()) if each.row.source.where in sources and not each.row.scores
    }
    assert mine - wrong == {"LLaVE-2B"}
    assert wrong <= mine
    sound = set(gathered["consistency"]["models_that_check_out"])
    marked = {row.model for row in published_rows() if row.scores and row.marks}
    assert not sound & marked


def test_the_paper_is_the_first_of_two_runs_and_not_the_second(gathered):
    fields = {*META_TASKS, "overall", "video-retrieval", *VIDEO["video-retrieval"]}
    by = {(row.model, row.evaluator): row for row in printed_rows() if row.source.name.startswith("MMEB score files")}
    paper = [row for row in printed_rows() if row.source.name == "VLM2Vec-V2 Table 5"]
    assert len(paper) == 8
    for version in ("v2.0.0", "v2.0.1"):
        mine = [
            (
                row.model,
                board_name(mark.cell),
                pytest.approx(100 * mark.published),
                pytest.approx(100 * mark.recomputed, abs=1e-3),
            )
            for row in paper
            for mark in differences(row, by[row.model, f"MMEB {version}"])
            if mark.cell in fields
        ]
        stated = [
            (
                each["model"].split(" ")[0],
                NAMES.get(each["field"], each["field"]),
                each["published"],
                each["recomputed"],
            )
            for each in gathered["consistency"]["v2_json_vs_v2_paper"][f"{version}_mismatches"]
        ]
        assert sorted(mine, key=lambda each: each[:2]) == sorted(stated)


NAMES = {"VQA": "vqa", "video_retrieval": "video-retrieval"}


@given(st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_means_of_their_datasets_are_sound(seed):
    cells = _cells(seed)
    assert audit([_row(cells, _means(cells))]) == ()
    assert audit([_row(None, _means(cells))]) == ()


@given(st.integers(0, 10_000), st.sampled_from(["overall", *META_TASKS, "IND", "OOD"]), st.floats(0.002, 0.3))
@settings(max_examples=30, deadline=None)
def test_one_wrong_mean_is_found_and_no_other(seed, name, shift):
    cells = _cells(seed)
    means = _means(cells)
    (finding,) = audit([_row(cells, {**means, name: means[name] + shift})])
    assert (finding.mark.cell, finding.rounding) == (name, False)
    assert finding.mark.recomputed == pytest.approx(means[name], abs=0.0006)


def test_slips_are_called_what_they_are():
    cells = _cells(1)
    means = _means(cells)
    swapped = {**means, "IND": means["OOD"], "OOD": means["IND"]}
    assert {each.mark.why for each in audit([_row(cells, swapped)])} == {"IND and OOD are swapped"}
    unweighted = next(mean.value for mean in aggregate(MMEB, cells) if mean.name == MEAN_OF_META_TASKS)
    for scores in (cells, None):
        (finding,) = audit([_row(scores, {**means, "overall": round(unweighted, 3)})])
        assert finding.mark.why == "the unweighted mean of the four meta-tasks"
    other = {**_cells(2), **{task: cells[task] for task in dict(MMEB.groups)["visual_grounding"]}}
    copied = _row(other, _means(_cells(2)), model="n")
    assert "copied from m" in {each.mark.why for each in audit([_row(cells, means), copied])}.pop()


def test_a_borrowed_row_lends_its_datasets_to_quotes_of_its_means():
    cells = _cells(3)
    quote = _row(None, {"retrieval": _means(cells)["retrieval"] + 0.1})
    assert [each.row for each in audit([quote, _row(cells, _means(cells))])] == [quote]
    assert audit([quote, _row(cells, _means(cells), evaluator="MMEB v2")]) == ()
    assert audit([quote]) == ()
