"""Tests of dual encoders, on a small random checkpoint of each family."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image

from harness.errors import BadMedia, UserError
from harness.identity import model_fingerprint
from harness.types import Item
from tests.helpers import llave_files
from tests.helpers.dual_files import KINDS, TEXT, Kind, opened
from tests.helpers.llave_files import embed, lossless_video, picture, shown

one_thread = pytest.fixture(autouse=True, scope="module")(llave_files.one_thread)
ROUNDING = 2e-6


pytestmark = pytest.mark.usefixtures("offline_cache")


class Case(NamedTuple):
    """A checkpoint of a family, loaded."""

    name: str
    kind: Kind
    folder: Path
    model: object


@pytest.fixture(scope="module", params=list(KINDS))
def case(request, tmp_path_factory) -> Case:
    root = tmp_path_factory.mktemp("dual")
    folder = root / request.param
    folder.mkdir()
    KINDS[request.param].write(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LLAVE_CACHE", str(root / "cache"))
        return Case(request.param, KINDS[request.param], folder, opened(folder).load())


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("clip") / "tiny"
    folder.mkdir()
    KINDS["clip"].write(folder)
    return folder


@pytest.fixture(scope="module")
def media(tmp_path_factory):
    root = tmp_path_factory.mktemp("media")
    sizes = ((50, 40), (33, 90), (120, 31))
    return [picture(root, width, height, seed) for seed, (width, height) in enumerate(sizes)]


def pixels(medium) -> Image.Image:
    return Image.open(medium.root / medium.name).convert("RGB")


def test_texts_and_images_are_the_vendors(case, media):
    texts = [case.kind.clean, "a"] + (["x" * 60] if case.name != "blip2" else [])
    wanted = [case.kind.text(case.folder, text) for text in texts]
    wanted += [case.kind.image(case.folder, pixels(medium)) for medium in media]
    items = [Item(text) for text in (TEXT, *texts[1:])] + [Item("", (medium,)) for medium in media]
    np.testing.assert_allclose(embed(case.model, items), torch.stack(wanted).detach(), atol=ROUNDING)


def test_what_has_both_is_the_sum_and_a_media_token_is_no_text(case, media):
    both = [
        shown(f"<image>\n{TEXT}", media[0]),
        Item(TEXT, (media[0],)),
        Item("dogs: isn't it?", (media[0],), "Two (Red)  "),
    ]
    wanted = case.kind.text(case.folder, case.kind.clean) + case.kind.image(case.folder, pixels(media[0]))
    np.testing.assert_allclose(embed(case.model, both), wanted.detach().expand(3, -1), atol=ROUNDING)
    alone, marked = embed(case.model, [Item("", (media[1],)), shown("<image>\n", media[1])])
    np.testing.assert_allclose(alone, marked, atol=ROUNDING)


def test_what_follows_an_end_token_in_a_text_is_seen(case):
    for end in ["<|endoftext|>"] if case.name == "clip" else ["</s>", "[SEP]", "<eos>", "<pad>", "<unk>"]:
        one, other = (embed(case.model, [Item(f"{end}{after}")])[0] for after in ("b", "c"))
        assert np.abs(one - other).max() > 1e-3, end


def test_vectors_do_not_depend_on_the_batch_and_keep_its_order(case, media):
    items = [
        Item("a"),
        Item("", (media[0],)),
        Item(TEXT * 2, tuple(media)),
        Item(TEXT),
        Item(""),
        Item("b", (media[1],)),
    ]
    together = embed(case.model, items)
    single = np.concatenate([embed(case.model, [item]) for item in items])
    np.testing.assert_allclose(together, single, atol=ROUNDING)
    np.testing.assert_allclose(embed(case.model, items[::-1])[::-1], single, atol=ROUNDING)
    distances = np.linalg.norm(single[:, None] - single, axis=-1) + np.eye(len(items))
    assert distances.min() > 1e-2


def test_long_texts_are_truncated_as_by_the_vendor_and_reported(case):
    items = [Item("a"), Item("a b c d e f " * 10), Item("z" * 60)]
    assert [case.model.prepare(item, "query").truncated for item in items] == [False, True, True]


def test_preparing_in_threads_changes_nothing(case, media):
    items = [Item(f"{TEXT} {number}", (media[number % 3],)) for number in range(12)]
    with ThreadPoolExecutor(4) as pool:
        ahead = list(pool.map(lambda item: case.model.prepare(item, "query"), items))
    np.testing.assert_array_equal(case.model.embed(ahead).numpy(), embed(case.model, items))


def test_several_pictures_are_their_mean_and_so_are_the_frames_of_a_video(case, media, tmp_path):
    frames = np.random.default_rng(0).integers(0, 256, (5, 48, 64, 3), dtype=np.uint8)
    video = lossless_video(tmp_path / "clip.mkv", frames, 3)
    singles = np.stack([case.kind.image(case.folder, Image.fromarray(frame)).detach() for frame in frames])
    pair = [case.kind.image(case.folder, pixels(medium)).detach() for medium in media[:2]]
    several, clip = embed(case.model, [Item("", tuple(media[:2])), Item("", (video,))])
    np.testing.assert_allclose(several, np.mean(pair, axis=0), atol=ROUNDING)
    np.testing.assert_allclose(clip, singles.mean(axis=0), atol=ROUNDING)
    few = opened(case.folder, frames="uniform:2").load()
    np.testing.assert_allclose(embed(few, [Item("", (video,))])[0], singles[[0, 4]].mean(axis=0), atol=ROUNDING)


def test_a_picture_costs_what_its_patches_cost_and_a_text_its_tokens(case, media):
    text, image, both = (
        case.model.prepare(item, "query").cost
        for item in (Item("a"), Item("", (media[0],)), Item("a", (media[0], media[1])))
    )
    assert image == 16  # of 4 x 4 patches
    assert both == 2 * image + text
    assert text == (12 if "siglip" in case.name else 3)


def test_odd_images_are_seen_or_refused_by_name(case, tmp_path):
    thin = [picture(tmp_path, 1, 100), picture(tmp_path, 100, 1), picture(tmp_path, 3, 3), picture(tmp_path, 1, 1)]
    assert np.isfinite(embed(case.model, [Item("", (medium,)) for medium in thin])).all()
    with pytest.raises(BadMedia, match=r"1x1001-0\.png is 1 x 1001 pixels"):
        case.model.prepare(Item("", (picture(tmp_path, 1, 1001),)), "query")


def test_sixteen_bits_are_near_thirty_two(case, media):
    half = opened(case.folder, dtype="bfloat16").load()
    items = [Item(TEXT), Item("", (media[0],)), Item(TEXT, (media[1],))]
    full, rough = embed(case.model, items), embed(half, items)
    assert (half.spec.dtype, rough.dtype) == ("bfloat16", np.float32)
    cosines = (full * rough).sum(1) / np.linalg.norm(full, axis=1) / np.linalg.norm(rough, axis=1)
    assert (cosines > 0.99).all()
    assert not np.array_equal(full, rough)


def test_unit_vectors_are_added_where_that_is_asked_for(clip, media):
    text, image = embed(opened(clip).load(), [Item("a dog"), Item("", (media[0],))])
    (both,) = embed(opened(clip, fusion="unit-sum").load(), [Item("a dog", (media[0],))])
    np.testing.assert_allclose(both, text / np.linalg.norm(text) + image / np.linalg.norm(image), atol=ROUNDING)


def test_instructions_are_read_where_that_is_asked_for(clip, media):
    item = Item("dog", (media[0],), "find: ")
    bare, full = embed(opened(clip).load(), [Item("dog", (media[0],)), Item("find: dog", (media[0],))])
    for wanted, read in (("all", (full, full)), ("queries", (full, bare)), ("none", (bare, bare))):
        model = opened(clip, instructions=wanted).load()
        for role, expected in zip(("query", "target"), read, strict=True):
            np.testing.assert_allclose(embed(model, [item], role)[0], expected, atol=ROUNDING)


def test_a_token_can_stand_where_the_public_scripts_leave_theirs(clip, media):
    marked = opened(clip, media_token="<|image_1|>").load()
    ours = embed(marked, [shown("<image>\na", media[0])])
    np.testing.assert_array_equal(ours, embed(opened(clip).load(), [Item("<|image_1|>\na", (media[0],))]))


def test_a_lower_limit_cuts_earlier(clip):
    short = opened(clip, max_length="4").load()
    a, b = embed(short, [Item("a b c d e"), Item("a b")])
    np.testing.assert_array_equal(a, b)
    assert [short.prepare(Item(text), "query").truncated for text in ("a b c d e", "a b")] == [True, False]


@pytest.mark.parametrize(
    "options",
    [
        {"fusion": "unit-sum"},
        {"instructions": "none"},
        {"media_token": "<image>"},
        {"max_length": "9"},
        {"frames": "uniform:3"},
    ],
)
def test_every_option_is_part_of_the_identity(clip, options):
    assert model_fingerprint(opened(clip, **options).spec) != model_fingerprint(opened(clip).spec)


def test_spelling_out_a_default_changes_nothing(clip):
    assert opened(clip, max_length="16", fusion="sum").spec == opened(clip).spec
    assert {"transformers", "image processor", "tokenizers"} <= set(opened(clip).spec.options)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"fusoin": "sum"}, "Did you mean fusion"),
        ({"fusion": "mean"}, "Choose from sum, unit-sum"),
        ({"frames": "uniform:0"}, "cannot be chosen by"),
        ({"frames": "8"}, "uniform:8"),
        ({"max_length": "many"}, "whole number"),
        ({"max_length": "17"}, "has 16 positions"),
    ],
)
def test_nonsense_is_refused(clip, options, says):
    with pytest.raises(UserError, match=says):
        opened(clip, **options)
