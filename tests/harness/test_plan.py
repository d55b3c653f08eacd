"""The plan of a run: a broken file is the only one that counts as bad."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.data.dataset import load_dataset
from harness.errors import BadMedia
from harness.media.digests import Digests
from harness.media.images import open_image
from harness.plan import plan_task, without
from harness.progress import NoProgress
from harness.types import DataInfo, Item, Media, ModelSpec, Query, Task, TaskData
from tests.helpers.image_files import broken_when_decoded, encoded, picture

SPEC = ModelSpec("test", "1", "test/1")


class Frames:
    """One query with the images `frames/1.png` and `1.png`, in a folder that is called `frames` too."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def describe(self) -> str:
        return "a test"

    def info(self, task: Task) -> DataInfo:
        return DataInfo("test", "1", (), self.root)

    def load(self, task: Task) -> TaskData:
        media = tuple(Media("image", name, self.root) for name in ("frames/1.png", "1.png"))
        right = np.array([0], dtype=np.int32)
        return TaskData((Query("0", Item("<|media|><|media|>", media), right, right),), (Item("a cat"),))


def _blamed(root: Path, error: BadMedia | None) -> set[str]:
    """Names of the media that count as bad after an error, which is by default that of opening `1.png`."""
    (root / "frames").mkdir(parents=True)
    (root / "frames" / "1.png").write_bytes(encoded(picture(1, (8, 8)), "PNG"))
    (root / "1.png").write_bytes(broken_when_decoded(encoded(picture(2, (8, 8)), "PNG")))
    task = Task("toy", None, None, "image", "text", Frames(root))
    digests = Digests(root / "digests.db")
    info = task.source.info(task)
    dataset = load_dataset(task, info, digests, NoProgress(), limit=None, workers=1, skip_bad=True)
    assert not dataset.bad, "only decoding finds the damage"
    plan = plan_task(dataset, "identity", SPEC)
    (key,) = plan.keys.queries
    assert key is not None
    if error is None:
        with pytest.raises(BadMedia) as caught:
            [open_image(medium) for medium in plan.work[key].item.media]
        error = caught.value
    after = without(plan, {key: error}, SPEC)
    assert after.keys.queries == (None,)
    return {medium.name for medium in after.dataset.bad}


def test_a_broken_file_is_not_taken_for_one_whose_name_ends_alike(tmp_path: Path) -> None:
    assert _blamed(tmp_path / "frames", None) == {"1.png"}


def test_an_error_that_names_no_medium_is_about_all_of_an_item(tmp_path: Path) -> None:
    assert _blamed(tmp_path / "frames", BadMedia("1.png is too narrow.")) == {"1.png", "frames/1.png"}
