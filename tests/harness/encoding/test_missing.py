"""The one loop under evaluation and embedding: each item is tried once, in the first group that needs it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np

from harness.encoding.distributed import World
from harness.encoding.missing import EncodeSettings, encode_missing, missing_work
from harness.encoding.store import Store
from harness.encoding.vectors import Work
from harness.errors import BadMedia
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
