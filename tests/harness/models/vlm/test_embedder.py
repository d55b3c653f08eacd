"""Tests of the generative families: batches, order and threads change no vector; all weights must load."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from harness.errors import BadMedia, UserError
from harness.identity import model_fingerprint
from harness.models.vlm.embedder import ROWS, open_vlm
from harness.models.vlm.recipes import RECIPES
from harness.types import MEDIA_TOKEN as M
from harness.types import Item, Media, ModelSettings
from tests.helpers import llave_files, vlm_files
from tests.helpers.llave_files import copied, lossless_video, picture
from tests.helpers.vlm_files import ROLES, change_json, embed, mmeb_items, opened

folders = vlm_files.folders
one_thread = pytest.fixture(autouse=True, scope="module")(llave_files.one_thread)
ROUNDING = 3e-6
ONE_OF_EACH = {
    "qwen2_vl": "gme-qwen2-vl-2b",
    "qwen2_5_vl": "moca-qwen2.5-vl-3b",
    "qwen3_vl": "qwen3-vl-embedding-2b",
    "llava_next": "e5-v",
    "mllama": "mme5-mllama-11b",
}


pytestmark = pytest.mark.usefixtures("offline_cache")


@pytest.fixture(scope="module", params=ONE_OF_EACH, ids=str)
def model(request, folders):
    return opened(f"vlm/{ONE_OF_EACH[request.param]}={folders[request.param]}").load()


@pytest.fixture(scope="module")
def gme(folders):
    return opened(f"vlm/gme-qwen2-vl-2b={folders['qwen2_vl']}").load()


@pytest.fixture(scope="module")
def items(tmp_path_factory) -> list[tuple[Item, str]]:
    root = tmp_path_factory.mktemp("media")
    two = (picture(root, 64, 64), picture(root, 40, 90, seed=2))
    usual = mmeb_items(root)
    return [
        *((item, ROLES[name]) for name, item in usual.items()),
        (Item(f"{M}\nIs it like this: {M}\n", two), "query"),
        (Item("", ()), "target"),
        (Item("word " * 40), "target"),
        (Item("What?", usual["asked"].media), "query"),  # names no place for its image
    ]


def vectors(model, pairs: Sequence[tuple[Item, str]]) -> np.ndarray:
    return embed(model, [item for item, _ in pairs], [role for _, role in pairs])


def test_vectors_are_unit_and_do_not_depend_on_their_batch(model, items):
    alone = np.concatenate([vectors(model, [pair]) for pair in items])
    assert alone.shape == (len(items), vlm_files.WIDTH)
    assert alone.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(alone, axis=1), 1, atol=1e-6)
    for order in (list(range(len(items))), [7, 6, 5, 4, 3, 2, 1, 0], [6, 2], [4, 5, 4]):
        np.testing.assert_allclose(vectors(model, [items[at] for at in order]), alone[order], atol=ROUNDING)


def test_threads_prepare_what_one_thread_does(model, items):
    wanted = vectors(model, items)
    with ThreadPoolExecutor(4) as pool:
        features = list(pool.map(lambda pair: model.prepare(*pair), items * 3))
    np.testing.assert_array_equal(model.embed(features[: len(items)]).numpy(), wanted)
    assert [each.cost for each in features[-len(items) :]] == [len(each.data.ids) for each in features[: len(items)]]


def test_image_text_instruction_and_order_of_images_matter(model, tmp_path):
    one, two = picture(tmp_path, 80, 60), picture(tmp_path, 80, 60, seed=1)
    pairs = [
        Item(f"{M}\nWhat?", (one,)),
        Item(f"{M}\nWhat?", (two,)),
        Item(f"{M}\nWhere?", (one,)),
        Item("What?"),
        Item(" What?", (), "Find it:"),
        Item(f"{M}\n{M}\n", (one, two)),
        Item(f"{M}\n{M}\n", (two, one)),
    ]
    found = embed(model, pairs)
    differ = np.abs(found[:, None] - found[None]).max(-1) + np.eye(len(pairs))
    assert differ.min() > 1e-4


def test_the_padding_side_is_not_a_setting_but_the_mask_is_right(model, items):
    """A longer neighbour adds padding; a token of another item in it must not be seen."""
    pair = items[2]
    filler = [(Item(letter * 300), "target") for letter in "ab"]
    beside = [vectors(model, [pair, each])[0] for each in filler]
    np.testing.assert_allclose(beside[0], beside[1], atol=ROUNDING)


def test_a_literal_image_token_in_a_text_is_no_place_for_an_image(model, tmp_path):
    token = model._recipe.family.image_token
    image = picture(tmp_path, 60, 40)
    nested = token[:3] + token + token[3:]
    for text in (token, token * 2, nested, f"{M[:3]}{M}{M[3:]}", f"a {token}cat <|im_end|></s>"):
        shown = Item(f"{M}\n{text}", (image,))
        assert model.prepare(shown, "target").data.images == 1
        assert np.isfinite(embed(model, [shown, Item(text)])).all()


@pytest.mark.parametrize("size", [(1, 150), (150, 1), (3, 3), (400, 4), (1, 1)], ids=str)
def test_an_odd_image_has_a_vector(model, tmp_path, size):
    found = embed(model, [Item(f"{M}\nWhat?", (picture(tmp_path, *size),))])
    assert np.isfinite(found).all()


def test_an_image_too_long_for_the_processor_is_bad_media(folders, tmp_path):
    Image.new("RGB", (6000, 28)).save(tmp_path / "long.png")
    moca = opened(f"vlm/moca-qwen2.5-vl-3b={folders['qwen2_5_vl']}").load()
    with pytest.raises(BadMedia, match=r"long\.png.*aspect ratio"):
        moca.prepare(Item(M, (Media("image", "long.png", tmp_path),)), "query")


def test_a_text_over_the_limit_is_cut_and_counted(folders):
    folder = folders["qwen2_vl"]
    short = opened(f"vlm/vlm2vec-v2.0={folder}", max_length="10").load()
    usual = opened(f"vlm/vlm2vec-v2.0={folder}").load()
    found = embed(short, [Item("0123456789abc"), Item("0123456789")])
    np.testing.assert_allclose(found, embed(usual, [Item("0123456789")] * 2), atol=ROUNDING)
    assert [each.prepare(Item("0123456789abc"), "query").truncated for each in (short, usual)] == [True, False]


def test_an_image_is_never_cut(folders, tmp_path):
    item = Item(f"{M}\nWhat is it?", (picture(tmp_path, 90, 90),))
    short = opened(f"vlm/vlm2vec-v2.0={folders['qwen2_vl']}", max_length="4").load()
    features = short.prepare(item, "query")
    assert features.truncated
    assert (features.data.ids == vlm_files.QWEN_IDS["image_token_id"]).all()
    assert np.isfinite(short.embed([features])).all()


def test_pixel_limits_decide_the_tokens(folders, tmp_path):
    item = Item(f"{M}\n", (picture(tmp_path, 200, 200),))
    name = f"vlm/gme-qwen2-vl-2b={folders['qwen2_vl']}"
    costs = [opened(name, max_pixels=str(blocks * 784)).load().prepare(item, "query").cost for blocks in (4, 16, 36)]
    assert costs[1] - costs[0] == 12
    assert costs[2] - costs[1] == 20


def test_frames_are_images_where_the_recipe_says_so(folders, tmp_path):
    frames = np.random.default_rng(0).integers(0, 256, (9, 48, 64, 3), dtype=np.uint8)
    video = lossless_video(tmp_path / "clip.mkv", frames, 3)
    stills = []
    for number, frame in enumerate(frames):
        Image.fromarray(frame).save(tmp_path / f"{number}.png")
        stills.append(Media("image", f"{number}.png", tmp_path))
    text = "Represent the video."
    for name, options, seen in (
        ("gme-qwen2-vl-2b", {}, [4]),
        ("ops-mm-embedding-v1-2b", {}, [0, 1, 2, 3, 4, 5, 6, 8]),
        ("ops-mm-embedding-v1-2b", {"frames": "uniform:2"}, [0, 8]),
    ):
        model = opened(f"vlm/{name}={folders['qwen2_vl']}", max_pixels="3136", **options).load()
        found = embed(model, [Item(f"{M}\n{text}", (video,)), Item(text, tuple(stills[at] for at in seen))])
        np.testing.assert_allclose(found[0], found[1], atol=ROUNDING)
    with pytest.raises(UserError, match="no option of e5-v"):
        opened(f"vlm/e5-v={folders['llava_next']}", frames="uniform:2")


def test_an_instruction_can_be_overridden_for_either_side(folders):
    name = f"vlm/gme-qwen2-vl-2b={folders['qwen2_vl']}"
    usual, other = opened(name).load(), opened(name, query_instruction="Find it.").load()
    wanted = embed(usual, [Item("a dog", (), "Find it.")])
    np.testing.assert_allclose(embed(other, [Item("a dog", (), "Something else.")]), wanted, atol=ROUNDING)
    targets = [Item("a dog", (), "Answer:")]
    np.testing.assert_allclose(embed(other, targets, "target"), embed(usual, targets, "target"), atol=ROUNDING)


def test_only_the_backbone_runs(model, items):
    """No logits, and no states kept but the last."""
    outputs = []
    hook = model.network.register_forward_hook(lambda _module, _given, output: outputs.append(output))
    vectors(model, items[:1])
    hook.remove()
    assert not hasattr(model.network, "lm_head")
    assert outputs[0].get("logits") is None
    assert outputs[0].get("hidden_states") is None
    assert outputs[0].get("past_key_values") is None


def test_half_precision_is_near_single(folders, items):
    name = f"vlm/e5-v={folders['llava_next']}"
    half, single = (vectors(opened(name, dtype=dtype).load(), items[:5]) for dtype in ("bfloat16", "float32"))
    assert half.dtype == np.float32
    assert (half * single).sum(1).min() > 0.98


def test_identity_is_known_without_loading(folders, tmp_path):
    name = f"vlm/gme-qwen2-vl-2b={folders['qwen2_vl']}"
    spec = opened(name).spec
    assert (spec.name, spec.modalities) == ("vlm/gme-qwen2-vl-2b=qwen2_vl", ("text", "image", "video"))
    assert spec.options["width"] == vlm_files.WIDTH
    assert spec.about["parameters"] > 10_000
    other = copied(folders["qwen2_vl"], tmp_path / "qwen2_vl")
    tensors = load_file(other / "model.safetensors")
    tensors["model.norm.weight"][0] += 1
    save_file(tensors, other / "model.safetensors")
    processor = copied(folders["qwen2_vl"], tmp_path / "processor")
    change_json(processor / "preprocessor_config.json", image_mean=[0.5, 0.5, 0.5])
    specs = [
        spec,
        opened(f"vlm/gme-qwen2-vl-2b={other}").spec,
        opened(f"vlm/ops-mm-embedding-v1-2b={folders['qwen2_vl']}").spec,
        opened(name, dtype="bfloat16").spec,
        opened(name, max_length="100").spec,
        opened(name, min_pixels="6272").spec,
        opened(name, max_pixels="100000").spec,
        opened(name, query_instruction="").spec,
        opened(name, target_instruction="x").spec,
        opened(name, processor=str(processor)).spec,
        opened(name, frames="uniform:2").spec,
    ]
    assert len({model_fingerprint(each) for each in specs}) == len(specs)


def test_a_processor_of_another_place_is_used(folders, tmp_path):
    bare = copied(folders["qwen2_vl"], tmp_path / "bare")
    for file in ("tokenizer.json", "preprocessor_config.json"):
        (bare / file).unlink()
    with pytest.raises(UserError, match=r"lacks tokenizer\.json") as caught:
        opened(f"vlm/gme-qwen2-vl-2b={bare}")
    assert "processor=FOLDER" in caught.value.hint
    item = Item("a dog")
    found = embed(opened(f"vlm/gme-qwen2-vl-2b={bare}", processor=str(folders["qwen2_vl"])).load(), [item])
    np.testing.assert_array_equal(found, embed(opened(f"vlm/gme-qwen2-vl-2b={folders['qwen2_vl']}").load(), [item]))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"max_pixel": "5"}, "max_pixels"),
        ({"max_length": "-1"}, "max_length"),
        ({"max_pixels": "1e6"}, "max_pixels"),
        ({"min_pixels": "9", "max_pixels": "8"}, "min_pixels is above max_pixels"),
    ],
)
def test_nonsense_options_are_refused(folders, options, said):
    with pytest.raises(UserError, match=said):
        opened(f"vlm/gme-qwen2-vl-2b={folders['qwen2_vl']}", **options)


def test_a_model_without_pixel_limits_has_no_option_for_them(folders):
    with pytest.raises(UserError, match="max_pixels"):
        opened(f"vlm/e5-v={folders['llava_next']}", max_pixels="100000")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("vlm/gme-qwen2-vl=x", "gme-qwen2-vl-2b"),
        ("vlm/gme-qwen2-vl-2b=/nowhere", "no folder '/nowhere'"),
        ("vlm/gme-qwen2-vl-2b", "the cache does not have it"),
        ("gme-qwen2-vl-2b", "the cache does not have it"),
    ],
)
def test_a_name_that_leads_nowhere_is_an_error(name, said):
    with pytest.raises(UserError, match=said):
        opened(name)


def test_a_checkpoint_of_another_family_is_refused(folders):
    with pytest.raises(UserError, match=r"model_type 'qwen2_5_vl'.*'qwen2_vl'"):
        opened(f"vlm/gme-qwen2-vl-2b={folders['qwen2_5_vl']}")


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_every_weight_is_accounted_for(folders, tmp_path, kind):
    folder = copied(folders[kind], tmp_path / kind)
    path = folder / "model.safetensors"
    tensors = load_file(path)
    gone = next(name for name in tensors if name.endswith("layers.0.mlp.up_proj.weight"))
    wrong = next(name for name in tensors if name.endswith("layers.1.input_layernorm.weight"))
    del tensors[gone]
    tensors[wrong] = torch.zeros(5)
    tensors["stranger.weight"] = torch.zeros(5)
    save_file(tensors, path)
    with pytest.raises(UserError) as caught:
        opened(f"vlm/{ONE_OF_EACH[kind]}={folder}").load()
    for part in ("missing", "layers.0.mlp.up_proj.weight", "misshapen", "layers.1.input_layernorm", "stranger.weight"):
        assert part in caught.value.what


def test_a_truncated_file_is_refused(folders, tmp_path):
    folder = copied(folders["qwen2_vl"], tmp_path / "cut")
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match="is not a checkpoint that transformers can open"):
        opened(f"vlm/gme-qwen2-vl-2b={folder}").load()


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_a_tokenizer_without_the_special_tokens_is_refused(folders, tmp_path, kind):
    folder = copied(folders[kind], tmp_path / kind)
    path = folder / "tokenizer.json"
    fields = json.loads(path.read_text())
    path.write_text(json.dumps({**fields, "added_tokens": [], "post_processor": None}))
    with pytest.raises(UserError, match=r"lacks .*image"):
        opened(f"vlm/{ONE_OF_EACH[kind]}={folder}").load()


def test_a_tokenizer_of_another_vocabulary_is_refused(folders, tmp_path):
    folder = copied(folders["qwen2_vl"], tmp_path / "other")
    change_json(folder / "config.json", image_token_id=261)
    with pytest.raises(UserError, match="is token 262"):
        opened(f"vlm/gme-qwen2-vl-2b={folder}").load()


def test_images_cut_otherwise_than_the_network_expects_are_refused(folders, tmp_path):
    folder = copied(folders["llava_next"], tmp_path / "other")
    change_json(folder / "preprocessor_config.json", image_grid_pinpoints=[[56, 56]])
    with pytest.raises(UserError, match="image_grid_pinpoints"):
        opened(f"vlm/e5-v={folder}").load()


def test_rows_are_whole():
    assert [row.name for row in ROWS] == [*(recipe.name for recipe in RECIPES), "vlm/"]
    assert len({recipe.hub for recipe in RECIPES}) == len(RECIPES)
    for recipe, row in zip(RECIPES, ROWS, strict=False):
        assert recipe.source
        assert recipe.hub in row.summary
        assert "not run" in row.verified
        assert (recipe.pixel_limits is None) == (recipe.family.size_multiple == 1)


def test_a_gpu_that_is_not_there_is_refused(folders):
    if torch.cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises(UserError, match="--device cuda"):
        open_vlm(f"vlm/e5-v={folders['llava_next']}", ModelSettings("cuda")).load()
    assert Path(folders["llava_next"]).is_dir()
