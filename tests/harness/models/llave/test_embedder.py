"""Tests of the LLaVE embedder, on a small random checkpoint in the released format."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from harness.errors import BadMedia, UserError
from harness.identity import model_fingerprint
from harness.models import open_model
from harness.models.llave.embedder import ALIASES, open_llave
from harness.types import Item, Media, ModelSettings
from tests.helpers import llave_files
from tests.helpers.llave_files import (
    change_config,
    copied,
    embed,
    lossless_video,
    opened,
    picture,
    shown,
    write_checkpoint,
)

one_thread = pytest.fixture(autouse=True, scope="module")(llave_files.one_thread)
ROUNDING = 2e-6


pytestmark = pytest.mark.usefixtures("offline_cache")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("llave") / "tiny")


@pytest.fixture(scope="module")
def model(folder):
    return opened(folder).load()


@pytest.fixture(scope="module")
def media(tmp_path_factory) -> list[Media]:
    root = tmp_path_factory.mktemp("media")
    images = [picture(root, *size) for size in ((60, 40), (40, 130), (300, 20))]
    frames = np.random.default_rng(0).integers(0, 256, (7, 48, 64, 3), dtype=np.uint8)
    return [*images, lossless_video(root / "clip.mkv", frames, 3)]


@pytest.fixture(scope="module")
def items(media) -> list[Item]:
    return [
        shown("a cat and a dog"),
        shown("<image>\nWhat is this?", media[0]),
        shown(""),
        shown("Find <image> again, in red.", media[1]),
        shown("<image>", media[2]),
        shown("word " * 60),
        shown("<image>\nRepresent the given video.", media[3]),
    ]


def test_vectors_are_unit_distinct_and_of_the_width_of_the_model(model, items):
    vectors = embed(model, items)
    assert vectors.shape == (len(items), llave_files.WIDTH)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert (vectors @ vectors.T - 2 * np.eye(len(items))).max() < 0.999


def test_a_vector_does_not_depend_on_its_batch(model, items):
    alone = np.concatenate([embed(model, [item]) for item in items])
    for order in (range(len(items)), reversed(range(len(items))), [5, 1], [2, 6, 2]):
        chosen = list(order)
        np.testing.assert_allclose(embed(model, [items[at] for at in chosen]), alone[chosen], atol=ROUNDING)


def test_threads_prepare_what_one_thread_does(model, items):
    wanted = embed(model, items)
    with ThreadPoolExecutor(4) as pool:
        features = list(pool.map(lambda item: model.prepare(item, "query"), items * 5))
    np.testing.assert_array_equal(model.embed(features[: len(items)]).numpy(), wanted)
    assert [each.cost for each in features] == [each.cost for each in features[: len(items)]] * 5


def test_many_crops_go_through_the_tower_in_slices(model, items, monkeypatch):
    wanted, sizes = embed(model, items), []
    monkeypatch.setattr(model.network, "crops_at_once", 4)
    model.network.tower.embeddings.register_forward_hook(lambda _module, given, _out: sizes.append(len(given[0])))
    np.testing.assert_allclose(embed(model, items), wanted, atol=ROUNDING)
    crops = sum(each.layout.crops for item in items for each in model.prepare(item, "query").data.pictures)
    assert max(sizes) == 4
    assert sum(sizes) == crops
    sizes.clear()
    embed(model, [item for item in items if not item.media])
    assert sizes == []  # texts bring no dummy image


def test_image_text_and_frame_order_matter(model, media, tmp_path):
    frames = np.random.default_rng(1).integers(0, 256, (4, 48, 64, 3), dtype=np.uint8)
    there, back = (
        lossless_video(tmp_path / f"{step}.mkv", np.repeat(frames, 8, axis=0)[::step], 24) for step in (1, -1)
    )
    one = shown("<image>\nWhat?", media[0])
    others = [shown("<image>\nWhat?", media[1]), shown("<image>\nWhere?", media[0])]
    first, *rest = embed(model, [one, *others])
    assert all(np.abs(first - each).max() > 1e-3 for each in rest)
    forward, backward = embed(model, [shown("<image>", there), shown("<image>", back)])
    assert np.abs(forward - backward).max() > 1e-4


def test_a_medium_without_a_place_in_the_text_is_seen_first(model, media):
    placed = [shown("<image>\nWhat?", media[0]), shown("<image>\n<image>\nSame?", media[0], media[1])]
    unplaced = [shown("What?", media[0]), shown("Same?", media[0], media[1])]
    np.testing.assert_allclose(embed(model, unplaced), embed(model, placed), atol=ROUNDING)


def test_several_media_stand_where_the_text_has_them(model, media):
    both = shown("Is <image> like <image>?", media[0], media[1])
    prompt = model.prepare(both, "query").data
    assert [len(each.crops) for each in prompt.pictures] == [each.layout.crops for each in prompt.pictures]
    assert len(prompt.ids) == 3
    ahead, swapped = embed(model, [both, shown("Is <image> like <image>?", media[1], media[0])])
    assert np.abs(ahead - swapped).max() > 1e-3


@pytest.mark.parametrize("token", ["<|endoftext|>", "<image>", "<|image_1|>"])
def test_a_literal_token_in_a_text_does_no_harm(model, token):
    plain, literal, longer = Item("a cat sat"), Item(f"a cat{token} sat"), Item("a cat sat here " * 9)
    alone, beside = embed(model, [literal]), embed(model, [longer, literal])[1:]
    np.testing.assert_allclose(beside, alone, atol=ROUNDING)
    assert np.abs(alone - embed(model, [plain])).max() > 1e-3


def test_cost_is_the_length_of_the_sequence_and_truncation_is_reported(folder, media):
    model = opened(folder, max_length=100).load()
    template = model.prepare(Item(""), "query").cost
    features = [model.prepare(each, "query") for each in (Item("word"), Item("word " * 40), shown("<image>", media[0]))]
    assert [each.cost for each in features] == [template + 4, 100, 100]
    assert [each.truncated for each in features] == [False, True, True]


def test_what_lies_beyond_the_limit_is_not_seen(folder, media):
    short, tall = opened(folder, max_length=300).load(), opened(folder).load()
    longs = [Item("a" * 400 + end) for end in ("b", "c")]
    np.testing.assert_allclose(*embed(short, longs), atol=ROUNDING)
    assert np.abs(np.subtract(*embed(tall, longs))).max() > 1e-4


def test_the_length_for_videos_is_raised_as_in_the_public_evaluation(folder, tmp_path):
    def lengths(limit: object, **options: object) -> tuple[object, object]:
        changed = change_config(copied(folder, tmp_path / f"{limit}{options}"), tokenizer_model_max_length=limit)
        found = opened(changed, **options).spec.options
        return found["max_length"], found["max_video_length"]

    assert lengths(4096) == (4096, 8192)
    assert lengths(32768) == (32768, 32768)
    assert lengths(1000) == (1000, 1000)
    assert lengths(None) == (None, None)
    assert lengths(4096, max_length=500) == (500, 500)


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (700, 7), (7, 700)])
def test_extreme_images_are_seen(model, tmp_path, size):
    prompt = model.prepare(shown("<image>", picture(tmp_path, *size)), "query").data
    (tokens,) = model.network.visual_tokens(prompt.pictures)
    assert len(tokens) == prompt.pictures[0].layout.tokens
    assert np.isfinite(embed(model, [shown("<image>", picture(tmp_path, *size))])).all()


@pytest.mark.parametrize(("newline", "extra"), [("grid", 7 * 2), ("frame", 7), ("one_token", 1), ("no_token", 0)])
def test_newlines_of_videos(folder, media, tmp_path, newline, extra):
    model = opened(change_config(copied(folder, tmp_path / "model"), mm_newline_position=newline)).load()
    prompt = model.prepare(shown("<image>", media[3]), "query").data
    (tokens,) = model.network.visual_tokens(prompt.pictures)
    assert len(tokens) == prompt.pictures[0].layout.tokens == 7 * 2 * 2 + extra
    is_newline = (tokens == model.network.image_newline).all(dim=1)
    assert int(is_newline.sum()) == extra
    assert extra == 0 or bool(is_newline[-1])


def test_an_instruction_option_replaces_the_datas(folder, media):
    plain = opened(folder).load()
    instructed = opened(folder, query_instruction="Find: ").load()
    item = Item("a cat", (media[0],), shown("<image>\nRepresent: ").text)
    wanted = embed(plain, [Item("a cat", (media[0],), shown("<image>\nFind: ").text)])
    np.testing.assert_allclose(embed(instructed, [item]), wanted, atol=ROUNDING)
    np.testing.assert_allclose(embed(instructed, [item], "target"), embed(plain, [item], "target"), atol=ROUNDING)


def test_every_option_and_every_byte_is_part_of_the_identity(folder, tmp_path):
    changes = [
        {"max_length": 99},
        {"grid": "1x2"},
        {"frames": "fps:1:32"},
        {"frames": "uniform:8"},
        {"frames": "all"},
        {"query_instruction": "a"},
        {"target_instruction": "a"},
        {"dtype": "bfloat16"},
        {},
    ]
    specs = [opened(folder, **change).spec for change in changes]
    edited = copied(folder, tmp_path / "tiny")
    (edited / "tower" / "config.json").write_text((folder / "tower" / "config.json").read_text() + " ")
    specs.append(opened(edited).spec)
    assert len({model_fingerprint(spec) for spec in specs}) == len(specs)
    moved = opened(copied(folder, tmp_path / "again")).spec
    assert moved.revision == specs[-2].revision


def test_a_tower_outside_of_the_folder_is_part_of_the_identity(folder, tmp_path):
    specs = []
    for number, activation in enumerate((1e-6, 1e-5)):
        place = tmp_path / str(number)
        place.mkdir()
        moved = copied(folder, place / "tiny")
        (moved / "tower").rename(place / "tower")
        change_config(place / "tower", layer_norm_eps=activation)
        specs.append(opened(change_config(moved, mm_vision_tower="../tower")).spec)
    assert specs[0].revision != specs[1].revision
    assert model_fingerprint(specs[0]) != model_fingerprint(specs[1])


def test_half_precision_is_close_and_pooled_in_full(folder, model, items):
    half = opened(folder, dtype="bfloat16").load()
    assert {each.dtype for each in half.network.parameters()} == {half.network.image_newline.dtype}
    vectors = embed(half, items)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert (vectors * embed(model, items)).sum(axis=1).min() > 0.995


def test_names_lead_to_checkpoints_or_to_a_remedy(folder, monkeypatch):
    assert open_model(f"llave/{folder}", ModelSettings("cpu")).spec.name == "llave/tiny"
    assert open_llave(str(folder), ModelSettings("cpu")).spec == opened(folder).spec
    asked = []

    def snapshot(name, *, revision, allow_patterns):
        asked.append((name, revision))
        return str(folder)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)
    handle = open_model("llave-7b", ModelSettings("cpu"))
    assert (handle.spec.name, handle.spec.revision) == ("llave/zhibinlan/LLaVE-7B", folder.name)
    assert handle.spec == open_model("llave/zhibinlan/LLaVE-7B", ModelSettings("cpu")).spec
    handle.load()
    assert asked[0] == (ALIASES["llave-7b"], None)
    assert asked[-1] == (ALIASES["llave-7b"], folder.name)


@pytest.mark.parametrize("name", ["llave/", "llave/./nowhere", "llave//nowhere", "llave/nobody/nothing", "llave-0.5b"])
def test_a_name_that_leads_nowhere_is_named(name):
    with pytest.raises(UserError, match="There is no folder"):
        open_model(name, ModelSettings("cpu"))


def test_without_frame_pooling_a_checkpoint_sees_no_video(folder, tmp_path):
    silent = change_config(copied(folder, tmp_path / "model"), mm_spatial_pool_mode=...)
    assert opened(silent).spec.modalities == ("text", "image")


def test_a_file_that_is_no_video_is_bad_media(model, tmp_path):
    (tmp_path / "clip.mp4").write_bytes(b"no video")
    with pytest.raises(BadMedia, match=r"clip\.mp4"):
        model.prepare(shown("<image>", Media("video", "clip.mp4", tmp_path)), "query")
