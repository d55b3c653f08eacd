"""Batches made ready: which items are known to be the same, in one process and in several."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
import torch
from PIL import Image

from harness.errors import UserError
from harness.media.digests import Digests
from harness.media.images import open_image
from harness.types import Features, Item, Media, ModelSpec, Role
from tests.helpers.training_files import BASE
from trainers.data.loader import BatchLoader, PreparedItem, PreparedItems, SubBatch
from trainers.data.mmeb_train import Subset
from trainers.data.pairs import Pair, PairFile, content_key, name_key
from trainers.data.sampler import BatchPlan
from trainers.engine.backend import Backend
from trainers.engine.step import Stepper


def picture(root: Path, name: str, text: str = "") -> Item:
    return Item(text, (Media("image", name, root),))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Images 0 to 7, of which 0 to 3 have the same bytes as 4 to 7."""
    for number in range(4):
        Image.new("RGB", (4, 4), (60 * number, 0, 0)).save(tmp_path / f"{number}.png")
        shutil.copy(tmp_path / f"{number}.png", tmp_path / f"{number + 4}.png")
    return tmp_path


@pytest.fixture
def digests(tmp_path: Path) -> Digests:
    return Digests(tmp_path / "digests.db")


class Named:
    """Opens no file; what it prepares says what it is of."""

    spec = ModelSpec("named", "1", "named/1", modalities=("text", "image", "video"))

    def prepare(self, item: Item, role: Role) -> Features[str]:
        text = f"{role} {item.text} {[each.name for each in item.media]}"
        return Features(text, len(text))


def pairs_of(root: Path) -> PairFile:
    """Each asks for an image with another for its negative; images 4 to 7 are copies of 0 to 3."""
    made = [Pair(Item(f"n {at}"), picture(root, f"{at}.png"), (picture(root, f"{7 - at}.png"),)) for at in range(8)]
    return PairFile("mine", root / "mine.jsonl", list(enumerate(made)))


def loader(
    subset: Subset, digests: Digests | None, *, rank: int = 0, processes: int = 1, batch: int = 8
) -> BatchLoader:
    plan = BatchPlan.over({"mine": len(subset)}, {}, batch=batch, parts=1, mode="mixed", seed=0)
    prepared = PreparedItems(Named(), 2**20, digests)
    return BatchLoader(plan, [subset], prepared, rank, processes, negatives=True, workers=2)


def said(items: Sequence[PreparedItem]) -> list[str]:
    return [item.features.data for item in items]


def ids(items: Sequence[PreparedItem]) -> list[int]:
    return [item.id for item in items]


def test_items_of_equal_content_have_equal_keys_and_no_others(root: Path, digests: Digests):
    (root / "far").mkdir()
    shutil.copy(root / "0.png", root / "far" / "away.png")
    same = [picture(root, "0.png", "a b"), picture(root, "4.png", "a b"), picture(root / "far", "away.png", "a b")]
    same.append(replace(same[0], text="b", instruction="a "))
    assert len({content_key(item, digests) for item in same}) == 1
    others = [same[0], picture(root, "1.png", "a b"), picture(root, "0.png", "a"), Item("a b"), Item("a b ")]
    others.append(replace(same[0], media=same[0].media * 2))
    assert len({content_key(item, digests) for item in others}) == len(others)
    assert len({name_key(item) for item in (*same[:3], *others[1:])}) == 2 + len(others)
    assert all(0 <= content_key(item, digests) < 2**63 for item in others)


def test_a_file_is_another_item_when_it_is_looked_at_as_a_video(root: Path, digests: Digests):
    Image.new("RGB", (4, 4)).save(root / "a.gif")
    image, video = (Item("", (Media(kind, "a.gif", root),)) for kind in ("image", "video"))
    assert content_key(image, digests) != content_key(video, digests)


def test_keys_are_the_same_in_another_process(root: Path, digests: Digests):
    work = (
        "from pathlib import Path; from harness.media.digests import Digests; from harness.types import Item, Media\n"
        "from trainers.data.pairs import content_key\n"
        f"item = Item('a', (Media('image', '4.png', Path({str(root)!r})),))\n"
        f"print(content_key(item, Digests(Path({str(root / 'other.db')!r}))))"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONHASHSEED": "7"}
    found = subprocess.run([sys.executable, "-c", work], env=environment, capture_output=True, check=True, text=True)
    assert int(found.stdout) == content_key(picture(root, "0.png", "a"), digests)


def test_copies_of_a_target_have_one_id_and_so_have_negatives_that_are_copies(root: Path, digests: Digests):
    ((part,),) = loader(pairs_of(root), digests).steps(0, 1)
    names = [text.partition("['")[2][0] for text in said(part.targets)]
    by_name = dict(zip(map(int, names), ids(part.targets), strict=True))
    assert len(set(ids(part.queries))) == 8
    assert len(set(by_name.values())) == 4
    assert all(by_name[at] == by_name[at + 4] for at in range(4))
    ((unread,),) = loader(pairs_of(root), None).steps(0, 1)
    assert len(set(ids(unread.targets))) == 8
    assert said(unread.targets) == said(part.targets)


def test_a_negative_that_is_a_copy_of_a_target_has_its_id(root: Path, digests: Digests):
    made = [Pair(Item(f"n {at}"), picture(root, f"{at}.png"), (picture(root, f"{at + 4}.png"),)) for at in range(4)]
    ((part,),) = loader(PairFile("mine", root / "mine.jsonl", list(enumerate(made))), digests, batch=4).steps(0, 1)
    assert part.all_negatives == len(ids(part.negatives)) == 4
    assert set(ids(part.negatives)) == set(ids(part.targets))


def test_processes_share_out_what_one_has_with_the_same_ids(root: Path, digests: Digests):
    def known(part: SubBatch) -> set[tuple[str, int]]:
        return set(zip(said(part.items), ids(part.items), strict=True))

    subset = pairs_of(root)
    for one, left, right in zip(
        loader(subset, digests, batch=4).steps(0, 4),
        loader(subset, Digests(root / "left.db"), rank=0, processes=2, batch=4).steps(0, 4),
        loader(subset, Digests(root / "right.db"), rank=1, processes=2, batch=4).steps(0, 4),
        strict=True,
    ):
        assert known(one[0]) == known(left[0]) | known(right[0])
        assert len(left[0].queries) == len(right[0].queries) == 2


def test_a_run_that_goes_on_sees_the_rest(root: Path, digests: Digests):
    whole = list(loader(pairs_of(root), digests, batch=4).steps(0, 5))
    rest = list(loader(pairs_of(root), Digests(root / "new.db"), batch=4).steps(2, 5))
    for (then,), (now,) in zip(whole[2:], rest, strict=True):
        assert said(then.queries) == said(now.queries)
        assert ids(then.items) == ids(now.items)


def test_no_file_is_opened_for_ids_without_digests(root: Path, monkeypatch: pytest.MonkeyPatch):
    def never(*_: object) -> str:
        raise AssertionError("a file is looked at")

    monkeypatch.setattr(Digests, "media", never)
    ((part,),) = loader(pairs_of(root), None).steps(0, 1)
    assert len(ids(part.targets)) == 8


def test_a_file_is_looked_at_once_while_there_is_room(root: Path, digests: Digests, monkeypatch: pytest.MonkeyPatch):
    looks: list[str] = []
    look = Digests.media
    monkeypatch.setattr(Digests, "media", lambda self, medium: looks.append(medium.name) or look(self, medium))
    list(loader(pairs_of(root), digests).steps(0, 3))
    assert sorted(set(looks)) == [f"{at}.png" for at in range(8)]
    assert len(looks) <= 3 * 8  # two steps may be made ready at the same time


def test_what_does_not_open_names_its_row(root: Path, digests: Digests):
    (root / "5.png").write_bytes(b"no image")

    class Opening(Named):
        def prepare(self, item: Item, role: Role) -> Features[str]:
            for medium in item.media:
                open_image(medium)
            return super().prepare(item, role)

    made = replace(loader(pairs_of(root), digests), prepared=PreparedItems(Opening(), 0, digests))
    with pytest.raises(UserError, match=r"mine\.jsonl, line 5: .*5\.png") as refused:
        list(made.steps(0, 1))
    assert "on_bad_media=skip" in refused.value.hint


def test_a_negative_that_copies_a_target_of_the_batch_counts_once_as_that_target(root: Path, digests: Digests):
    made = [Pair(Item(f"n {at}"), picture(root, f"{at}.png")) for at in range(4)]
    made[2] = replace(made[2], negatives=(picture(root, "6.png"),))
    ((part,),) = loader(PairFile("mine", root / "mine.jsonl", list(enumerate(made))), digests, batch=4).steps(0, 1)
    draw = torch.Generator().manual_seed(0)
    query, target, negatives = (0.3 * torch.randn(n, 5, generator=draw) for n in (4, 4, 1))
    loss = Stepper(BASE, cast(Backend, SimpleNamespace(device="cpu")), None)._loss(part)
    assert ids(part.negatives)[0] in ids(part.targets)
    for row in range(4):
        here, there = (
            loss(query, target, rows=range(row, row + 1), negatives=each) for each in (negatives, -negatives)
        )
        assert torch.equal(here, there), "the batch has it already"
