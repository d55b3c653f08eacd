"""What pandas, pyarrow and the datasets library write is read as the plain file of the same rows is."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.errors import UserError
from harness.media.digests import Digests
from harness.types import Item, TaskData
from tasks.embedded import image_of, keep_image
from tasks.mmeb.columns import images_of, texts_of
from tasks.mmeb.folder import FolderSource
from tasks.mmeb.local import local_tasks
from tests.helpers.image_files import encoded, picture
from tests.helpers.mmeb_files import ONE_FILE, columns, table, write_subset

NAMES = [f"{number}.png" for number in range(4)]
ROWS = [
    (f"<|image_1|>\nFind the same as {at}", name, [("<|image_1|>", each) for each in (*NAMES[at:], *NAMES[:at])])
    for at, name in enumerate(NAMES)
]
TEXTS = [(f"Name {at}", "", [(f"name {at}", ""), ("another", "")]) for at in range(4)]
PLAIN = table(columns(ROWS))
IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    for number, name in enumerate(NAMES):
        (tmp_path / "images" / name).write_bytes(encoded(picture(number), "PNG"))
    return tmp_path


def load(data: Path, values: pa.Table, subset: str) -> TaskData:
    write_subset(data, subset, values)
    (task,) = (each for each in local_tasks(data) if each.name == subset)
    return task.source.load(task)


def content(data: TaskData) -> list[object]:
    """All rows, with the digest of each image in place of its name."""
    digests = Digests()

    def of(item: Item) -> tuple[object, ...]:
        return (item.full_text, *(digests.media(medium).digest for medium in item.media))

    return [
        (query.id, of(query.item), [of(data.targets[each]) for each in query.candidates], query.positives.tolist())
        for query in data.queries
    ]


def with_type(kind: Callable[[pa.DataType], pa.DataType]) -> Callable[[pa.Table, Path], pa.Table]:
    """A change of the type of every list, or of every string."""

    def change(plain: pa.Table, _: Path) -> pa.Table:
        return pa.table(
            {name: pa.array(plain[name].to_pylist(), kind(plain[name].type)) for name in plain.column_names}
        )

    return change


def listed(make: Callable[[pa.DataType], pa.DataType], texts: pa.DataType | None = None):
    return with_type(lambda kind: make(texts or pa.string()) if pa.types.is_list(kind) else texts or kind)


def embedded(keep_bytes: bool, keep_path: bool) -> Callable[[pa.Table, Path], pa.Table]:
    def change(plain: pa.Table, data: Path) -> pa.Table:
        def one(name: str) -> dict[str, object] | None:
            file = data / "images" / name
            return (
                name and {"bytes": file.read_bytes() if keep_bytes else None, "path": name if keep_path else None}
            ) or None

        values = plain.to_pydict()
        query = pa.array([one(name) for name in values["qry_img_path"]], IMAGE)
        target = pa.array([[one(name) for name in names] for names in values["tgt_img_path"]], pa.list_(IMAGE))
        return plain.set_column(1, "qry_img_path", query).set_column(3, "tgt_img_path", target)

    return change


def as_bytes(plain: pa.Table, data: Path) -> pa.Table:
    values = plain.to_pydict()
    read = lambda name: (data / "images" / name).read_bytes() if name else None  # noqa: E731
    query = pa.array([read(name) for name in values["qry_img_path"]], pa.large_binary())
    target = pa.array([[read(name) for name in names] for names in values["tgt_img_path"]], pa.list_(pa.binary()))
    return plain.set_column(1, "qry_img_path", query).set_column(3, "tgt_img_path", target)


def with_index(plain: pa.Table, _: Path) -> pa.Table:
    frame = plain.to_pandas()
    frame.index = [5, 1, 7, 2]
    return pa.Table.from_pandas(frame)


def by_datasets(plain: pa.Table, data: Path) -> pa.Table:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        {
            "qry_text": datasets.Value("string"),
            "qry_img_path": datasets.Image(),
            "tgt_text": datasets.List(datasets.Value("string")),
            "tgt_img_path": datasets.List(datasets.Image()),
        }
    )
    values = embedded(True, True)(plain, data).to_pydict()
    datasets.Dataset.from_dict(values, features=features).to_parquet(data / "written.parquet")
    return pq.read_table(data / "written.parquet")


CHANGES: dict[str, Callable[[pa.Table, Path], pa.Table]] = {
    "large lists": listed(pa.large_list),
    "views of lists": listed(pa.list_view),
    "large strings": listed(pa.list_, pa.large_string()),
    "views of strings": listed(pa.list_, pa.string_view()),
    "dictionaries": listed(pa.list_, pa.dictionary(pa.uint8(), pa.string())),
    "bytes and path": embedded(True, True),
    "bytes alone": embedded(True, False),
    "path alone": embedded(False, True),
    "plain bytes": as_bytes,
    "pandas' index": with_index,
    "the datasets library": by_datasets,
}


@pytest.mark.parametrize("rows", [ROWS, TEXTS], ids=["images", "texts"])
@pytest.mark.parametrize("change", CHANGES)
def test_every_type_gives_the_rows_of_the_plain_file(data: Path, change: str, rows) -> None:
    plain = table(columns(rows))
    wanted = load(data, plain, "Plain")
    found = load(data, CHANGES[change](plain, data), "Own")
    assert content(found) == content(wanted)
    assert found.notes == {**wanted.notes, **({"indexes_left_out": 1} if "index" in change else {})}


@pytest.mark.parametrize(
    "change", [listed(lambda kind: pa.list_(kind, 4)), listed(lambda kind: pa.list_(kind, 4), pa.large_string())]
)
def test_lists_of_one_length_are_lists(data: Path, change: Callable[[pa.Table, Path], pa.Table]) -> None:
    assert content(load(data, change(PLAIN, data), "Own")) == content(load(data, PLAIN, "Plain"))


NOTHING = [
    {"qry_img_path": pa.array([None] * 4, pa.string())},
    {"qry_img_path": pa.nulls(4)},
    {"tgt_img_path": pa.array([[None, ""]] * 4)},
    {"tgt_img_path": pa.array([[]] * 4, pa.list_(pa.string()))},
    {"tgt_img_path": pa.array([[], None, ["", ""], [None, None]], pa.list_(pa.string()))},
    {"tgt_img_path": pa.array([[]] * 4, pa.list_(pa.null()))},
    {"tgt_img_path": pa.array([[None, {"bytes": None, "path": ""}]] * 4, pa.list_(IMAGE))},
    {
        "tgt_img_path": pa.array([[{"bytes": b"", "path": None}, None]] * 4, pa.list_(IMAGE)),
        "qry_img_path": pa.nulls(4),
    },
]


@pytest.mark.parametrize("change", NOTHING)
def test_whatever_stands_for_no_image_is_the_empty_string(data: Path, change: dict[str, pa.Array]) -> None:
    plain = table(columns(TEXTS))
    other = plain
    for name, values in change.items():
        other = other.set_column(other.column_names.index(name), name, values)
    assert content(load(data, other, "Own")) == content(load(data, plain, "Plain"))


def test_a_list_of_images_may_be_absent_in_some_rows_only(data: Path) -> None:
    plain = table(columns([ROWS[0], TEXTS[1], ROWS[2]]))
    images = pa.array([PLAIN["tgt_img_path"][0].as_py(), [], PLAIN["tgt_img_path"][2].as_py()])
    assert content(load(data, plain.set_column(3, "tgt_img_path", images), "Own")) == content(
        load(data, plain, "Plain")
    )


def test_images_in_rows_need_no_folder_and_paths_do(data: Path, tmp_path: Path) -> None:
    values = embedded(True, True)(PLAIN, data)
    for folder, table_ in (("inside", values), ("paths", PLAIN)):
        write_subset(tmp_path / "alone" / folder, "Own", table_)
    (inside,), (paths,) = (local_tasks(tmp_path / "alone" / folder) for folder in ("inside", "paths"))
    assert len(inside.source.load(inside).targets) == 4
    (tmp_path / "images").rename(tmp_path / "away")
    with pytest.raises(UserError, match="there is no folder of images"):
        paths.source.load(paths)


def test_a_run_on_embedded_images_finds_every_picture(data: Path, llave, place) -> None:
    write_subset(data, "Own", embedded(True, True)(PLAIN, data))
    done = llave("run", "classical", "--data", data, *place.flags)
    assert done.code == 0, done.err
    record = json.loads(place.path("Own", "classical").read_text())
    assert record["metrics"]["hit@1"]["value"] == 1.0


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(st.none() | st.sampled_from(["", "a", "é/b.png", "c"]), max_size=4), max_size=5))
def test_images_are_read_in_order_over_chunks(chunks: list[list[str | None]]) -> None:
    column = pa.chunked_array([pa.array(chunk, pa.string()) for chunk in chunks], pa.string())
    flat = [each for chunk in chunks for each in chunk]
    assert images_of(column).to_list() == [each or "" for each in flat]
    assert texts_of(column, null_is_empty=True).to_list() == [each or "" for each in flat]


def test_an_image_is_kept_once_and_mended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLAVE_CACHE", str(tmp_path))
    name = keep_image(b"pixels")
    (medium,) = image_of(name, Path("elsewhere"))
    path = medium.root / medium.name
    assert (path.read_bytes(), medium.root.parent) == (b"pixels", tmp_path)
    path.write_bytes(b"")
    assert keep_image(b"pixels") == name
    assert path.read_bytes() == b"pixels"


def test_a_name_in_data_is_never_one_of_a_kept_image(data: Path) -> None:
    kept = keep_image((data / "images/0.png").read_bytes())
    values = columns([("Find", kept, [("a", "")])])
    with pytest.raises(UserError, match="the character NUL"):
        load(data, table(values), "Own")


def said(call: Callable[[], object]) -> str:
    with pytest.raises(UserError) as caught:
        call()
    return str(caught.value)


@pytest.mark.parametrize(
    "names", [("image", "label"), ("img", "fine_label"), ("image", "text"), ("image", "caption", "id")]
)
def test_an_image_dataset_of_the_hub_is_known(data: Path, names: tuple[str, ...]) -> None:
    image = pa.array([{"bytes": b"x", "path": None}], IMAGE)
    write_subset(data, "data", pa.table([image, *(pa.array(["1"]) for _ in names[1:])], names=list(names)))
    (task,) = local_tasks(data)
    text = said(lambda: task.source.info(task))
    assert "image dataset of the Hugging Face hub" in text
    assert str(data / "data" / ONE_FILE) in text
    assert "MMEB" not in text.partition("docs/")[0]


def test_what_save_to_disk_wrote_is_known_at_the_top_and_as_a_subset(data: Path) -> None:
    datasets = pytest.importorskip("datasets")
    whole = datasets.Dataset.from_dict(columns(ROWS))
    whole.save_to_disk(data / "saved")
    datasets.DatasetDict({"test": whole}).save_to_disk(data / "split")
    for folder in ("saved", "split"):
        text = said(lambda folder=folder: local_tasks(data / folder))
        assert f"{data / folder} is a dataset that `save_to_disk` of the library datasets wrote" in text
        assert "to_parquet(" in text
    text = said(lambda: local_tasks(data))
    assert f"{data / 'saved'} is a dataset that `save_to_disk`" in text
    write_subset(data, "Own", PLAIN)
    (task,) = local_tasks(data)
    source = FolderSource(data)
    named = task.__class__("split", None, None, None, None, source)
    assert f"{data / 'split'} is a dataset that `save_to_disk`" in said(lambda: source.files(named))


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (("corpus.jsonl", "queries.jsonl", "qrels/test.tsv"), "a dataset in BEIR's layout"),
        (("test/0.tar", "classnames.txt"), "a webdataset (tar files)"),
    ],
)
def test_other_layouts_are_known(tmp_path: Path, files: tuple[str, ...], words: str) -> None:
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("{}")
    text = said(lambda: local_tasks(tmp_path))
    assert words in text
    assert "docs/protocol.md" in text
