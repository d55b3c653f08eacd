"""Loading rows, against a simple and slow loader."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.errors import UserError
from harness.types import MEDIA_TOKEN, Item, Media, Query, Task, TaskData
from tasks.mmeb.folder import FolderSource
from tasks.mmeb.rows import load_rows
from tests.helpers.mmeb_files import Row, columns, shared, write_subset

ROOT = Path("/images")
TASK = Task("Own", None, None, None, None, FolderSource(Path("data")), query_instruction="Ask: {text}")

texts = st.sampled_from(["", "a", "b\n", "<|image_1|>\na", "<|image_1|> b\n", "Ask: a", " "])
images = st.sampled_from(["", "a.png", "b.png"])
sides = st.tuples(texts, images)
full_sides = sides.filter(lambda side: side[1] or side[0] not in ("", "<|image_1|>\n"))
rows = st.tuples(full_sides, full_sides, st.lists(sides, max_size=6)).map(lambda r: (*r[0], [r[1], *r[2]]))


def reference(rows: list[Row]) -> TaskData:
    """Loads rows one candidate at a time."""
    notes: Counter[str] = Counter()

    def item(text: str, image: str, instruction: str) -> Item:
        canonical = text.replace("<|image_1|>", MEDIA_TOKEN)
        if not image:
            for gap in (" ", "\n", ""):
                canonical = canonical.replace(MEDIA_TOKEN + gap, "")
        start = next((s for s in (instruction, f"{MEDIA_TOKEN}\n{instruction}") if canonical.startswith(s)), "")
        return Item(canonical.removeprefix(start), (Media("image", image, ROOT),) if image else (), start)

    def odd(text: str, image: str) -> None:
        if ("<|image_1|>" in text) != bool(image):
            notes["media_without_token" if image else "tokens_without_media"] += 1

    targets: dict[Item, int] = {}
    queries = []
    for number, (text, image, candidates) in enumerate(rows):
        odd(text, image)
        indexes = [targets.setdefault(item(*each, ""), len(targets)) for each in candidates]
        notes["duplicate_candidates"] += len(indexes) - len(set(indexes))
        notes["empty_candidates"] += sum(item(*each, "") == Item() for each in candidates)
        queries.append(Query(str(number), item(text, image, "Ask: "), np.array(indexes), np.array(indexes[:1])))
    for text, image in dict.fromkeys(side for _, _, candidates in rows for side in candidates):
        odd(text, image)
    return TaskData(tuple(queries), tuple(targets), MappingProxyType({k: v for k, v in notes.items() if v}))


def assert_equal(one: TaskData, other: TaskData) -> None:
    assert one.targets == other.targets
    assert dict(one.notes) == dict(other.notes)
    assert [(q.id, q.item) for q in one.queries] == [(q.id, q.item) for q in other.queries]
    for query, expected in zip(one.queries, other.queries, strict=True):
        assert query.candidates.dtype == query.positives.dtype == np.int32
        assert query.candidates.tolist() == expected.candidates.tolist()
        assert query.positives.tolist() == expected.positives.tolist()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(rows, min_size=1, max_size=7), st.integers(1, 3))
def test_it_loads_what_the_plain_loader_loads_in_any_number_of_files(
    tmp_path: Path, data: list[Row], step: int
) -> None:
    parts = [data[start : start + step] for start in range(0, len(data), step)]
    files = [write_subset(tmp_path, "Own", columns(part), f"test-{n}.parquet") for n, part in enumerate(parts)]
    assert_equal(load_rows(files, TASK, ROOT), reference(data))


def test_the_number_of_row_groups_changes_nothing(tmp_path: Path) -> None:
    data: list[Row] = [(f"q{n}", "", [(f"a{n}", ""), ("same", "a.png")]) for n in range(10)]
    file = write_subset(tmp_path, "Own", columns(data))
    assert pq.ParquetFile(file).num_row_groups > 1
    assert_equal(load_rows([file], TASK, ROOT), reference(data))


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())])
@pytest.mark.parametrize("list_of", [pa.list_, pa.large_list])
def test_the_way_strings_are_stored_changes_nothing(tmp_path: Path, kind: pa.DataType, list_of: object) -> None:
    data: list[Row] = [("q", "", [("a", "a.png"), ("b", "")]), ("r", "a.png", [("b", "")])]
    kinds = [kind, kind, list_of(kind), list_of(kind)]
    plain = pa.table(columns(data))
    arrays = [column.combine_chunks().cast(each) for column, each in zip(plain.columns, kinds, strict=True)]
    file = write_subset(tmp_path, "Own", pa.table(arrays, names=plain.column_names))
    assert_equal(load_rows([file], TASK, ROOT), reference(data))


def test_a_target_is_its_text_and_its_path_together(tmp_path: Path) -> None:
    pairs = [("a", "x.png"), ("b", "x.png"), ("a", "y.png"), ("a", ""), ("", "x.png"), ("a", "x.png")]
    data = load_rows([write_subset(tmp_path, "Own", columns([("q", "", pairs)]))], TASK, ROOT)
    assert len(data.targets) == 5
    assert data.queries[0].candidates.tolist() == [0, 1, 2, 3, 4, 0]
    assert data.notes["duplicate_candidates"] == 1


def test_targets_that_become_equal_are_one(tmp_path: Path) -> None:
    pairs = [("<|image_1|>\na", ""), ("a", ""), ("<|image_1|> a", "")]
    data = load_rows([write_subset(tmp_path, "Own", columns([("q", "", pairs)]))], TASK, ROOT)
    assert data.targets == (Item("a"),)


def test_newlines_and_spaces_at_the_ends_are_kept(tmp_path: Path) -> None:
    pairs = [("a", ""), ("a\n", ""), ("a ", ""), (" a", "")]
    data = load_rows([write_subset(tmp_path, "Own", columns([("q \n\n", "", pairs)]))], TASK, ROOT)
    assert data.queries[0].item.full_text == "q \n\n"
    assert [target.text for target in data.targets] == ["a", "a\n", "a ", " a"]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (("a <|image_2|>", "a.png", [("a", "")]), "query: the text holds <|image_2|>"),
        (("", "", [("a", "")]), "query: text and image are both empty"),
        (("<|image_1|>\n", "", [("a", "")]), "query: text and image are both empty"),
        (("q", "", [("a", ""), ("<|image_1|><|image_1|>", "a.png")]), "candidate: the text holds"),
        (("q", "", [("", ""), ("a", "")]), "right candidate: text and image are both empty"),
    ],
)
def test_a_bad_row_is_named_with_its_file(tmp_path: Path, bad: Row, message: str) -> None:
    good: Row = ("q", "", [("a", ""), ("", "")])
    files = [
        write_subset(tmp_path, "Own", columns(part), f"test-{n}.parquet")
        for n, part in enumerate([[good] * 4, [good, bad]])
    ]
    with pytest.raises(UserError) as caught:
        load_rows(files, TASK, ROOT)
    assert caught.value.what.startswith(f"{files[1]}, row 1 (the first is row 0), {message}")


def test_an_empty_wrong_candidate_stays_and_is_counted(tmp_path: Path) -> None:
    data = load_rows([write_subset(tmp_path, "Own", columns([("q", "", [("a", ""), ("", "")])] * 3))], TASK, ROOT)
    assert data.targets == (Item("a"), Item())
    assert data.notes["empty_candidates"] == 3


def test_a_million_candidates_load_at_once(tmp_path: Path) -> None:
    distinct, queries, candidates = 2_000, 1_000, 1_000
    index = np.random.default_rng(0).integers(0, distinct, queries * candidates).astype(np.int32)
    offsets = pa.array(np.arange(0, queries * candidates + 1, candidates), pa.int32())

    def lists(of: str) -> pa.Array:
        values = pa.DictionaryArray.from_arrays(index, [f"{of} {number}" for number in range(distinct)])
        return pa.ListArray.from_arrays(offsets, values)

    names = [f"q{n}" for n in range(queries)]
    arrays = [names, [""] * queries, lists("a text of ordinary length for a caption"), lists("images/of/some/folder")]
    file = tmp_path / "test-0.parquet"
    pq.write_table(pa.table(arrays, names=["qry_text", "qry_img_path", "tgt_text", "tgt_img_path"]), file)
    start = time.perf_counter()
    data = load_rows([file], TASK, ROOT)
    assert time.perf_counter() - start < 2, "a loop over a million strings has crept in"
    assert np.shares_memory(data.queries[0].candidates, data.queries[0].positives)
    number_of = {target.media[0].name.rpartition(" ")[2]: index for index, target in enumerate(data.targets)}
    assert data.queries[-1].candidates.tolist() == [number_of[str(each)] for each in index[-candidates:]]


def real_subsets() -> list[object]:
    folder = Path(__file__).resolve().parents[4] / "shared" / "realdata" / "mmeb"
    names = sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []
    return names or [pytest.param("", marks=pytest.mark.skip("realdata is not at hand"))]


@pytest.mark.parametrize("subset", real_subsets())
def test_real_rows_load_as_they_are(subset: str) -> None:
    files = sorted(shared("realdata", "mmeb", subset).glob("test-*.parquet"))
    table = pa.concat_tables([pq.read_table(file) for file in files]).to_pylist()
    rows = [(r["qry_text"], r["qry_img_path"], [*zip(r["tgt_text"], r["tgt_img_path"], strict=True)]) for r in table]
    data = load_rows(files, TASK, ROOT)
    assert_equal(data, reference(rows))
    assert not data.notes
