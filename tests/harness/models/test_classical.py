"""Tests of the classical baseline, which must beat chance where images are compared with images."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from harness.models import open_model
from harness.models.baselines.classical import IMAGE_WIDTH, TEXT_WIDTH
from harness.types import MEDIA_TOKEN, Item, Media, ModelSettings

REALDATA = Path(__file__).resolve().parents[3] / "../shared/realdata"


@pytest.fixture(scope="module")
def model():
    return open_model("classical", ModelSettings()).load()


def vector(model, item, role="query"):
    return model.prepare(item, role).data


def unit(model, item):
    found = vector(model, item).astype(np.float64)
    return found / np.linalg.norm(found)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory) -> list[Media]:
    """Twelve pictures of soft coloured noise, no two alike, of odd sizes."""
    root = tmp_path_factory.mktemp("scenes")
    random = np.random.default_rng(0)
    media = []
    for number in range(12):
        coarse = Image.fromarray(random.integers(0, 256, (4, 5, 3), dtype=np.uint8))
        coarse.resize((90 + number, 70 + 3 * number), Image.Resampling.BICUBIC).save(root / f"{number}.png")
        media.append(Media("image", f"{number}.png", root))
    return media


@given(st.text(max_size=30), st.text(max_size=10))
def test_no_text_is_without_a_vector(text, instruction):
    found = vector(open_model("classical", ModelSettings()).load(), Item(text, (), instruction))
    assert found.shape == (IMAGE_WIDTH + TEXT_WIDTH,)
    assert np.isfinite(found).all()
    assert found.any()


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (700, 3), (64, 64)])
@pytest.mark.parametrize("colour", ["black", "white", "red"])
def test_no_image_is_without_a_vector(model, tmp_path, size, colour):
    Image.new("RGB", size, colour).save(tmp_path / "flat.png")
    found = vector(model, Item("", (Media("image", "flat.png", tmp_path),)))
    assert np.isfinite(found).all()
    assert found.any()


def test_threads_batches_and_roles_change_no_bit(model, scenes):
    items = [Item(f"scene {number}", (medium,)) for number, medium in enumerate(scenes)]
    alone = [vector(model, item).tobytes() for item in items]
    assert [vector(model, item, "target").tobytes() for item in items] == alone
    before = cv2.getNumThreads()
    try:
        for threads in (1, 4):
            cv2.setNumThreads(threads)
            with ThreadPoolExecutor(4) as pool:
                features = list(pool.map(lambda item: model.prepare(item, "query"), items * 5))
            assert [row.tobytes() for row in model.embed(features)] == alone * 5
    finally:
        cv2.setNumThreads(before)


def test_an_image_is_nearest_to_itself_made_smaller_and_darker(model, scenes, tmp_path):
    pool = np.stack([unit(model, Item("", (medium,))) for medium in scenes])
    for number, medium in enumerate(scenes):
        with Image.open(medium.root / medium.name) as image:
            image.resize((50, 40)).point(lambda value: value * 0.9).save(tmp_path / "changed.png")
        scores = pool @ unit(model, Item("", (Media("image", "changed.png", tmp_path),)))
        assert np.argmax(scores) == number


def test_the_instruction_counts_only_where_there_is_nothing_else(model, scenes):
    image = (scenes[0],)
    plain = vector(model, Item("a cat", image))
    assert (vector(model, Item(f"{MEDIA_TOKEN}\na cat", image, "Find it: ")) == plain).all()
    bare = vector(model, Item("", image))
    assert (vector(model, Item(f"{MEDIA_TOKEN}\n", image, "Represent the image.")) == bare).all()
    assert not np.allclose(vector(model, Item("", (), "one")), vector(model, Item("", (), "another")))


def test_image_and_text_do_not_mix(model, scenes):
    assert unit(model, Item("", (scenes[0],))) @ unit(model, Item("a cat")) == 0
    both = vector(model, Item("a cat", (scenes[0],)))
    assert (both == vector(model, Item("", (scenes[0],))) + vector(model, Item("a cat"))).all()


def test_texts_are_nearer_the_more_they_share(model):
    base, near, far = (unit(model, Item(text)) for text in ("a red cube", "the red cubes", "an empty street at night"))
    assert base @ near > base @ far
    assert base @ unit(model, Item("A  RED cube ")) == pytest.approx(1)


def test_the_version_of_opencv_is_part_of_what_it_is_known_by(model):
    assert model.spec.options["opencv"] == cv2.__version__


@pytest.mark.parametrize("subset", ["Clothing10-SameType_i2i", "COCO-CropToScene_it2i", "MSCOCO"])
def test_it_beats_chance_from_image_to_image(model, subset):
    file = REALDATA / "mmeb" / subset / "test-00000-of-00001.parquet"
    if not file.exists():
        pytest.skip("the pack of real images is not here")
    known: dict[str, np.ndarray] = {}

    def look(name):
        if name not in known:
            known[name] = unit(model, Item("", (Media("image", name, REALDATA / "images"),)))
        return known[name]

    hits, chance = [], []
    for row in pq.read_table(file).to_pylist():
        names = list(dict.fromkeys(row["tgt_img_path"]))
        scores = np.stack([look(name) for name in names]) @ look(row["qry_img_path"])
        hits.append(scores[0] > scores[1:].max())  # the first is the right one
        chance.append(1 / len(names))
    error = np.sqrt(np.mean(chance) * (1 - np.mean(chance)) / len(hits))
    assert np.mean(hits) > np.mean(chance) + 3 * error
