"""Every reader of users' files, with a good file for it, and what can happen to a file.

A new reader is one more `UserFile` in `FILES`.
"""

from __future__ import annotations

import io
import json
import pickle
import random
import struct
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from safetensors.torch import save

from harness.files.reading import read_toml
from tasks.demo.suite import DEMO_SEED, DEMO_VERSION, ensure_demo
from tasks.jsonl import jsonl_task, read_items
from tasks.mmeb.archive import unpack
from tasks.mmeb.hub import HubSource
from tasks.mmeb.parquet import layout_of, read
from tasks.video.captions import read_captions, read_ids
from trainers.data.mmeb_train import RowChoice, load_subsets
from trainers.data.pairs import read_pairs
from trainers.engine.checkpoint import STATE_FILE, best_step, read_record, restore_state
from trainers.engine.state import check
from trainers.monitor.log import scored

DEEP, CLAIM = 100_000, 2**60


@dataclass(frozen=True, slots=True)
class UserFile:
    """A kind of file, what reads it, and bytes that are wrong in ways of its own."""

    name: str
    """The file's path in its folder."""
    read: Callable[[Path], object]
    good: bytes = field(repr=False)
    wrong: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    """Damages that depend on the format, by name."""
    kept: frozenset[str] = frozenset()
    """Damages that leave a good file: a table that ends after a row is a shorter table, for example."""


def damages(file: UserFile) -> dict[str, bytes]:
    """The content of a file after each damage that bytes can show."""
    text = file.good.decode("latin-1")
    is_text = all(byte > 8 for byte in file.good)
    return {
        "empty": b"",
        "truncated": file.good[:-3],
        "random bytes": random.Random(0).randbytes(1000),
        "UTF-16": (file.good.decode() if is_text else text).encode("utf-16"),
        "Latin-1": file.good.decode().encode("latin-1") if is_text else text.encode(),
        "NUL bytes": bytes(len(file.good)),
        **file.wrong,
    }


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


def _lines(*values: object) -> bytes:
    return b"".join(_json(value) + b"\n" for value in values)


def _of_json(wrong: object, lacking: object, start: bytes = b"") -> dict[str, bytes]:
    """What can be wrong with JSON, after the lines of `start`."""
    nested = b'{"text": ' + b"[" * DEEP + b"]" * DEEP + b"}"
    found = {"wrong types": _json(wrong), "missing key": _json(lacking), "claim": b'{"text": 1e999}', "deep": nested}
    return {name: start + value + b"\n" for name, value in found.items()}


def _parquet(columns: Mapping[str, list[object]]) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table({name: pa.array(values) for name, values in columns.items()}), buffer)
    return buffer.getvalue()


def _of_parquet(columns: dict[str, list[object]]) -> dict[str, bytes]:
    good, first = _parquet(columns), next(iter(columns))
    deep: object = "é"
    for _ in range(60):
        deep = [deep]
    return {
        "wrong types": _parquet({**columns, first: [1] * len(columns[first])}),
        "missing column": _parquet({name: values for name, values in columns.items() if name != first}),
        "claim": good[:-8] + struct.pack("<I", 2**32 - 9) + b"PAR1",
        "deep": _parquet({**columns, first: [deep] * len(columns[first])}),
        "NUL in a text": _parquet({**columns, first: ["\0"] * len(columns[first])}),
    }


def _tensors(header: bytes, size: int | None = None) -> bytes:
    return struct.pack("<Q", len(header) if size is None else size) + header + bytes(16)


_TENSOR = {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}
_STATE = {"weight/a": torch.ones(2, 3), "moment/a/exp_avg": torch.ones(2, 3), "moment/a/exp_avg_sq": torch.ones(2, 3)}


def _state(path: Path) -> None:
    restore_state(path.parents[1], [lambda tensors: check(tensors, {"a": (2, 3)})])


def _zip(name: str, content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, content)
    return buffer.getvalue()


def _unpack(path: Path) -> None:
    with tempfile.TemporaryDirectory() as place:
        unpack(path, Path(place) / "images")


def _task(path: Path) -> None:
    task = jsonl_task(path)
    task.source.load(task)


def _pairs(path: Path) -> None:
    read_pairs(path, path.parent, lambda count, _: list(range(count)))


def _train(path: Path) -> None:
    load_subsets(path.parents[1], None, RowChoice())


def _mmeb(path: Path) -> None:
    layout_of(path)
    read([path])


TARGET, QUERY = {"target": "é", "text": "é"}, {"query": "q", "text": "é", "positives": ["é"]}
ROW = {"video_id": "v1", "sentence": "a café"}
TABLE = "video_id,sentence\nv1,a café\nv2,two cats\n"
BY_ID = {"v1": ["a café"], "v2": ["two", "cafés"]}
EVAL: dict[str, list[object]] = {
    "qry_text": ["é", "q"],
    "qry_img_path": ["", ""],
    "tgt_text": [["a", "b"], ["a", "b"]],
    "tgt_img_path": [["", ""], ["", ""]],
}
TRAIN: dict[str, list[object]] = {
    name: ["é", "b"] for name in ("qry", "qry_image_path", "pos_text", "pos_image_path", "neg_text", "neg_image_path")
}
_SHORTER = frozenset({"truncated"})

FILES = (
    UserFile("task.jsonl", _task, _lines(TARGET, QUERY), _of_json({"target": "b", "text": 3}, {"text": "a"})),
    UserFile(
        "items.NDJSON", read_items, _lines({"id": "é", "text": "é"}), _of_json({"id": 3, "text": "a"}, {"text": "a"})
    ),
    UserFile(
        "pairs.jsonl",
        _pairs,
        _lines({"query": "é", "positive": "é"}),
        _of_json({"query": 3, "positive": "a"}, {"query": "a"}),
    ),
    UserFile("captions.json", read_captions, _json(BY_ID), _of_json({"v1": 3}, [{"video_id": "v1"}])),
    UserFile("captions.jsonl", read_captions, _lines(ROW, ROW), _of_json({**ROW, "sentence": 3}, {"sentence": "a"})),
    UserFile(
        "captions.csv",
        read_captions,
        TABLE.encode(),
        {
            "wrong types": b"video_id,sentence\nv1\n",
            "missing column": b"video_id,words\nv1,a\n",
            "claim": b"video_id,sentence\nv1," + b"a" * 200_000 + b"\n",
            "deep": b"video_id,sentence\nv1," + b'"' * (DEEP - 1) + b"\n",
            "NUL in a text": b"video_id,sentence\nv1,a\0\n",
        },
        _SHORTER,
    ),
    UserFile(
        "captions.tsv",
        read_captions,
        TABLE.replace(",", "\t").encode(),
        {"wrong types": b"a\tb\tc\n", "claim": b"a" * 200_000 + b"\tv1\n", "deep": b'"' * (DEEP - 1) + b"\tv1\n"},
        _SHORTER,
    ),
    UserFile(
        "captions.pkl",
        read_captions,
        pickle.dumps(BY_ID),
        {
            "wrong types": pickle.dumps({"v1": 3}),
            "missing key": pickle.dumps([{"video_id": "v1"}]),
            "claim": b"\x80\x04\x8d" + struct.pack("<Q", CLAIM) + b"a.",
            "claim of a list": b"\x80\x04\x8e" + struct.pack("<Q", 2**64 - 1) + b"a.",
            "deep": b"\x80\x04" + b"]" * DEEP + b"a" * (DEEP - 1) + b".",
            "deep key": b"\x80\x04})" + b"\x85" * 10**6 + b"K\x01s.",
            "surrogate": pickle.dumps({"v1": ["a\ud83d"]}),
            "endless number": pickle.dumps([{"video_id": 10**5000, "sentence": "a"}]),
        },
    ),
    UserFile(
        "captions.parquet",
        read_captions,
        _parquet({"video_id": ["v1"], "sentence": ["é"]}),
        _of_parquet({"sentence": ["é"], "video_id": ["v1"]}),
    ),
    UserFile(
        "test_list.txt", read_ids, "vidéo1\nv2\n".encode(), {"twice": b"a\nb\na\n", "NUL in a text": b"a\0\n"}, _SHORTER
    ),
    UserFile("Own/test-0.parquet", _mmeb, _parquet(EVAL), _of_parquet(EVAL)),
    UserFile(
        "Own/test-1.parquet",
        _mmeb,
        _parquet({"qry_inst": ["é"], "qry_text": ["q"], "tgt_text": [["a"]]}),
        _of_parquet({"qry_text": ["q"], "tgt_text": [["a"]], "qry_inst": ["é"]}),
    ),
    UserFile("Own/original-0.parquet", _train, _parquet(TRAIN), _of_parquet(TRAIN)),
    UserFile(
        "recipe.json", lambda path: read_record(path, ("data",)), _json({"data": "é"}), _of_json(["data"], {"dta": "é"})
    ),
    UserFile(
        "best.json",
        lambda path: best_step(path.parent),
        _json({"step": 1, "score": 0.5, "é": ""}),
        _of_json([1], {"step": 1}),
    ),
    UserFile(
        "log.jsonl",
        lambda path: scored(path.parent, 1),
        _lines({"step": 1, "é": ""}, {"step": 2}),
        _of_json({"step": "1"}, {"loss": 1}),
        frozenset({"empty", "truncated", "NUL bytes"}),  # a last line without its end was being written
    ),
    UserFile(
        f"checkpoint-1/{STATE_FILE}",
        _state,
        save(_STATE),
        {
            "wrong types": save({**_STATE, "weight/a": torch.ones(3, 2)}),
            "missing key": save({name: each for name, each in _STATE.items() if name != "moment/a/exp_avg"}),
            "claim": _tensors(b"{}", CLAIM),
            "claim of numbers": _tensors(_json({"weight/a": {**_TENSOR, "shape": [CLAIM]}})),
            "deep": _tensors(b"[" * DEEP + b"]" * DEEP),
        },
    ),
    UserFile(
        "run.toml",
        read_toml,
        'models = ["é"]\n'.encode(),
        {
            "wrong types": b"models = classical\n",
            "missing key": b"= 3\n",
            "claim": b"limit = " + b"9" * 5000 + b"\n",
            "deep": b"models = " + b"[" * DEEP + b"]" * DEEP + b"\n",
        },
        frozenset({"empty"}),
    ),
    UserFile(
        "demo/manifest.json",
        lambda path: ensure_demo(path.parent),
        _json({"version": DEMO_VERSION, "seed": DEMO_SEED, "é": ""}),
        _of_json([1], {"seed": DEMO_SEED}),
    ),
    UserFile(
        "mmeb-eval/pins/TIGER-Lab--MMEB-eval@main",
        lambda path: HubSource(cache=path.parents[2]).describe(),
        b"0123456789" * 4,
        {"wrong types": "é".encode()},
        frozenset({"Latin-1"}),
    ),
    UserFile(
        "images.zip",
        _unpack,
        _zip("é.png", b"pixels"),
        {"claim": _zip("a", b"pixels").replace(struct.pack("<I", 6), struct.pack("<I", 2**32 - 1))},
    ),
)
