"""M-BEIR's own folders, and pools of several tasks."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import UserError
from tasks.catalog import resolve_tasks
from tests.helpers.corpus_files import WORDS, write_beir, write_mbeir


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_mbeir(tmp_path / "mbeir")
    return tmp_path / "mbeir"


def test_queries_have_their_instruction_and_pools_are_local(folder: Path) -> None:
    changed, captions = resolve_tasks(data=folder)
    assert (changed.name, captions.name) == ("cirr_task7", "mscoco_task0")
    assert changed.metrics[0] == "hit@5"
    data = changed.source.load(changed)
    assert {query.item.instruction.strip() for query in data.queries} == {"Find it changed."}
    assert {(query.item.text.replace("<|media|>", "").strip(), len(query.item.media)) for query in data.queries} == {
        ("in red", 1)
    }
    assert len(data.targets) == 3
    data = captions.source.load(captions)
    assert {query.item.instruction.strip() for query in data.queries} == {"Find the image."}
    assert len(data.targets) == len(WORDS)


def test_the_main_metric_of_some_datasets_has_ten_places(folder: Path) -> None:
    for path in list(folder.rglob("*cirr_task7*")):
        path.rename(path.with_name(path.name.replace("cirr_task7", "fashioniq_task7")))
    [task] = resolve_tasks("fashioniq_task7", data=folder)
    assert task.metrics[0] == "hit@10"


@pytest.mark.parametrize(
    "part", ["cand_pool/local/mbeir_cirr_task7_cand_pool", "qrels/test/mbeir_cirr_task7_test_qrels"]
)
def test_what_a_task_lacks_is_named(folder: Path, part: str) -> None:
    next(folder.glob(f"{part}.*")).unlink()
    with pytest.raises(UserError, match=Path(part).name):
        resolve_tasks(data=folder)


def test_an_instruction_that_is_not_there_is_named(folder: Path) -> None:
    table = folder / "instructions/query_instructions.tsv"
    table.write_text("\n".join(table.read_text().splitlines()[:2]) + "\n")
    [task] = resolve_tasks("cirr_task7", data=folder)
    with pytest.raises(UserError, match="no instruction for 7 image,text queries and image candidates"):
        task.source.load(task)


def test_a_union_ranks_the_targets_of_all_tasks_without_a_new_vector(llave, place, folder: Path) -> None:
    own = llave("run", "classical", "--data", folder, *place.flags)
    assert own.code == 0, own.err
    before = place.result("mscoco_task0", "classical")
    both = llave("run", "classical", "--data", folder, "--tasks", "all@union", *place.flags)
    assert both.code == 0, both.err
    assert "classical: 0 encodings" in both.err
    assert place.result("mscoco_task0", "classical") == before
    wide = place.result("cirr_task7@union", "classical")
    assert wide.scope == "union"
    assert wide.dataset["notes"]["targets_of_other_tasks"] == 2
    narrow = place.result("cirr_task7", "classical")
    assert wide.strict["hit@1"].value <= narrow.strict["hit@1"].value
    assert wide.chance["hit@1"] == pytest.approx(1 / len(WORDS))


def test_one_task_has_no_union(tmp_path: Path) -> None:
    write_beir(tmp_path / "alone")
    with pytest.raises(UserError, match="alone@union is only alone@global"):
        resolve_tasks("all@union", data=tmp_path / "alone")
