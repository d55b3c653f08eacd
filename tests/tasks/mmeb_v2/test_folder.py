"""One folder may hold all of MMEB-V2, and what the public code does with grades is known."""

from __future__ import annotations

import math
import random
from pathlib import Path

import pytest

from tasks.catalog import resolve_tasks
from tasks.mmeb_v2.documents import public_grades
from tests.helpers.mmeb_files import columns, write_subset
from tests.helpers.v2_files import write_document_set, write_retrieval


def test_image_video_and_document_tasks_lie_in_one_folder(tmp_path: Path) -> None:
    values = columns([("What is it?\n", "", [("a cat", ""), ("a dog", "")])])
    write_subset(tmp_path / "image-query", "GQA", values)
    (tmp_path / "image-tasks").mkdir()
    write_retrieval(tmp_path)
    write_document_set(tmp_path, "VisRAG_ChartQA", 3, 5)
    tasks = {task.name: task for task in resolve_tasks("all", data=tmp_path)}
    assert list(tasks) == ["GQA", "DiDeMo-v2", "MSR-VTT-v2", "MSVD-v2", "VATEX-v2", "YouCook2-v2", "VisRAG_ChartQA"]
    assert tasks["GQA"].source.info(tasks["GQA"]).media_root == tmp_path / "image-tasks"
    assert {task.name for task in resolve_tasks(suite="mmeb-v2", data=tmp_path)} == set(tasks)


def ndcg(order: list[int], grades: dict[int, int]) -> float:
    """Its value at 5, with linear gain."""

    def gain(values: list[int]) -> float:
        return sum(value / math.log2(place + 2) for place, value in enumerate(values[:5]))

    return gain([grades[page] for page in order]) / gain(sorted(grades.values(), reverse=True))


def paired(pages: list[int], grades: list[int]) -> dict[int, int]:
    """As the public code pairs them."""
    found = public_grades(dict(zip(map(str, pages), grades, strict=True)))
    return {int(page): grade for page, grade in found.items()}


@pytest.mark.parametrize(("best_first", "changed", "lost"), [(False, 0.27, 0.033), (True, 0.94, 0.070)])
def test_the_distance_of_the_public_grades_is_as_the_docs_say(best_first: bool, changed: float, lost: float) -> None:
    """Judgements as in ViDoSeek-doc: the pages of a document have grade 2, and one has grade 3.

    The public code makes a set of the pages, and pairs its order with the grades in theirs.
    """
    assert public_grades({"page 9": 3, "7": 2}) == {"page 9": 3, "7": 2}, "no one knows the order of texts"
    assert ndcg([1205, 40], paired([1205, 40], [2, 1])) == pytest.approx(0.8597, abs=1e-4)
    draw = random.Random(0)
    apart, gaps = 0, []
    for _ in range(10_000):
        first, size = draw.randrange(5349), draw.randint(5, 40)
        best = first + draw.randrange(size)
        pages = sorted(range(first, first + size), key=lambda page: (best_first and page != best, page))
        grades = [3 if page == best else 2 for page in pages]
        right, public = dict(zip(pages, grades, strict=True)), paired(pages, grades)
        apart += right != public
        gaps.append(1 - ndcg(sorted(pages, key=lambda page: -right[page]), public))
    assert apart / len(gaps) == pytest.approx(changed, abs=0.02)
    assert sum(gaps) / len(gaps) == pytest.approx(lost, abs=0.003)
    assert max(gaps) == pytest.approx(0.145, abs=0.001)
