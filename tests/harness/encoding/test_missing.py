"""The one loop under evaluation and embedding: each item is tried once, in the first group that needs it."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from harness.encoding.distributed import World
from harness.encoding.missing import EncodeSettings, encode_missing, missing_work
from harness.encoding.store import Store
from harness.encoding.vectors import Work
from harness.errors import BadMedia, UserError
from harness.progress import NoProgress
from harness.types import Features, Item, ModelHandle, ModelSpec


class Counting:
    """Counts how often each text is prepared. The text `broken` cannot be."""

    spec = ModelSpec("counting", "1", "counting/1", modalities=("text",))

    def __init__(self) -> None:
        self.prepared: Counter[str] = Counter()

    def prepare(self, item, role) -> Features[str]:
        self.prepared[item.text] += 1
        if item.text == "broken":
            raise BadMedia("broken is broken.")
        return Features(item.text)

    def embed(self, features) -> np.ndarray:
        return np.array([[len(each.data), 1] for each in features], np.float32)


def groups_of(**texts: list[str]) -> dict[str, dict[bytes, Work]]:
    return {
        title: {text.encode().ljust(32): Work(text.encode().ljust(32), Item(text), "query") for text in each}
        for title, each in texts.items()
    }


def test_every_item_is_tried_once_and_each_group_names_what_it_lacks(tmp_path: Path) -> None:
    model = Counting()
    groups = groups_of(one=["a", "broken"], two=["b", "broken", "a"], three=["a"])
    with Store(tmp_path, model.spec) as store:
        missing = missing_work(groups, store)
        assert {title: {work.item.text for work in each} for title, each in missing.items()} == {
            "one": {"a", "broken"},
            "two": {"b"},
            "three": set(),
        }
        how = EncodeSettings(skip_bad_media=True)
        handle = ModelHandle(model.spec, lambda: model)
        reports = list(encode_missing(groups, missing, handle, store, how, World(0, 1), NoProgress()))
        assert [sorted(key.strip() for key in report.bad) for report in reports] == [[b"broken"], [b"broken"], []]
        assert [report.items for report in reports] == [1, 1, 0]
        assert model.prepared == {"a": 1, "b": 1, "broken": 1}
        assert store.missing(list(groups["two"])) == [b"broken".ljust(32)]


class Moody(Counting):
    """Vectors turn by an angle, in radians, that differs from run to run."""

    def __init__(self, angle: float, dtype: str = "float32") -> None:
        super().__init__()
        self.spec = replace(Counting.spec, dtype=dtype)
        self.angle = angle

    def embed(self, features) -> np.ndarray:
        turn = np.array([[np.cos(self.angle), np.sin(self.angle)], [-np.sin(self.angle), np.cos(self.angle)]])
        return super().embed(features) @ turn


def _embedded(model: Moody, folder: Path, texts: list[str], *, remote: bool = False) -> None:
    groups = groups_of(one=texts)
    with Store(folder, model.spec) as store:
        missing, handle = missing_work(groups, store), ModelHandle(model.spec, lambda: model, remote=remote)
        list(encode_missing(groups, missing, handle, store, EncodeSettings(), World(0, 1), NoProgress()))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_stored_item_that_comes_out_otherwise_stops_the_run_before_anything_is_added(dtype, tmp_path: Path) -> None:
    _embedded(Moody(0.0, dtype), tmp_path, ["a", "bcd"])
    rounding = 0.08 if dtype == "bfloat16" else 0.008
    _embedded(Moody(rounding, dtype), tmp_path, ["a", "bcd", "ef"])
    with pytest.raises(UserError, match="another vector for the query with text 'a' than the one in the store"):
        _embedded(Moody(0.2, dtype), tmp_path, ["a", "bcd", "new"])
    with Store(tmp_path, Moody(0.0, dtype).spec) as store:
        assert store.missing([b"ef".ljust(32), b"new".ljust(32)]) == [b"new".ljust(32)]


def test_nothing_is_embedded_again_where_nothing_is_missing_nothing_is_stored_or_a_server_answers(tmp_path) -> None:
    model = Moody(0.0)
    _embedded(model, tmp_path, ["a"])
    _embedded(model, tmp_path, ["a"])
    assert model.prepared == {"a": 1}
    _embedded(model, tmp_path, ["a", "b"], remote=True)
    assert model.prepared == {"a": 1, "b": 1}
    _embedded(model, tmp_path, ["a", "b", "c"])
    assert model.prepared == {"a": 2, "b": 1, "c": 1}
