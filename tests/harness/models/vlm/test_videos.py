"""Tests of videos with their own tokens, against the networks' own computation.

The reference cuts the patches one by one and writes the prompt as a literal with all its tokens. It uses the whole
model with its LM head, which places the tokens, except for VLM2Vec (`get_rope_index`). Frames are 64 x 48 pixels. With
at least 128 blocks they become 14 by 10 blocks, computed by hand from the rule of qwen_vl_utils.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from torch.nn.functional import normalize

from harness.errors import UserError
from harness.identity import model_fingerprint
from harness.models.vlm.family import PatchGrid
from harness.models.vlm.qwen import grid_positions
from harness.models.vlm.recipes import RECIPES
from harness.models.vlm.video import NativeVideo
from harness.types import MEDIA_TOKEN as M
from harness.types import Item, Media
from tests.helpers import llave_files, vlm_files
from tests.helpers.llave_files import copied, lossless_video, picture
from tests.helpers.vlm_files import change_json, embed, opened

folders = vlm_files.folders
one_thread = pytest.fixture(autouse=True, scope="module")(llave_files.one_thread)
ROUNDING = 5e-6
COLUMNS, ROWS, RATE = 14, 10, 3
PAIR = "<|video_pad|>" * (COLUMNS * ROWS)
START, END = "<|vision_start|>", "<|vision_end|>"
SYSTEM = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n"
ANSWER = "<|im_end|>\n<|im_start|>assistant\n"
SHOW = "Understand the content of the provided video."
TIMED = f"<0.5 seconds>{START}{PAIR}{END}<2.0 seconds>{START}{PAIR}{END}"
LAMRA = (
    f"{SYSTEM}{START}{PAIR * 3}{END}\nSummarize above video in one word: {ANSWER}",
    f"{SYSTEM}{START}{PAIR * 3}{END}Say: what?\nSummarize above video and sentence in one word: {ANSWER}",
)


class Public(NamedTuple):
    """The family, the frames (an odd last one twice), and the prompts of target and query."""

    family: str
    frames: tuple[int, ...]
    prompts: tuple[str, str]
    block: int = 28
    flat: bool = False
    seconds: float | None = None
    """Seconds between pairs, for the network that needs them."""


TWO_A_SECOND, ONE_A_SECOND = (0, 2, 4, 6, 8, 8), (0, 3, 6, 6)
PUBLIC = {
    "vlm2vec-v2.0": Public("qwen2_vl", TWO_A_SECOND, (f"{PAIR * 3} {SHOW}", f"{PAIR * 3} Say: what?"), flat=True),
    "lamra-ret": Public("qwen2_vl", TWO_A_SECOND, LAMRA),
    "lamra-ret-qwen2.5-vl": Public("qwen2_5_vl", TWO_A_SECOND, LAMRA, seconds=4 / RATE),
    "qwen3-vl-embedding-2b": Public(
        "qwen3_vl",
        ONE_A_SECOND,
        (
            f"<|im_start|>system\n{SHOW}<|im_end|>\n<|im_start|>user\n{TIMED}{ANSWER}",
            f"<|im_start|>system\nSay:<|im_end|>\n<|im_start|>user\n{TIMED}what?{ANSWER}",
        ),
        block=32,
    ),
}


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (9, 48, 64, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def media(tmp_path_factory, frames) -> dict[str, Media]:
    """A video, the same reversed, its first frame once and twice, and an image."""
    root = tmp_path_factory.mktemp("media")
    cuts = {"clip": frames, "back": frames[::-1], "one": frames[:1], "two": frames[[0, 0]]}
    videos = {name: lossless_video(root / f"{name}.mkv", each, RATE) for name, each in cuts.items()}
    return {**videos, "image": picture(root, 90, 60)}


def small(name: str, folders, **options: str):
    """With frames of few tokens."""
    return opened(f"vlm/{name}={folders[PUBLIC[name].family]}", max_pixels="6272", **options).load()


def patches(frames: np.ndarray, block: int) -> torch.Tensor:
    """Of pairs in order, of blocks row by row, of the four patches in each: channel, frame, row, column."""
    edge = block // 2
    size = (COLUMNS * block, ROWS * block)
    pixels = np.stack([np.asarray(Image.fromarray(each).resize(size, Image.Resampling.BICUBIC)) for each in frames])
    values = (pixels / 255 - vlm_files.CLIP_MEAN) / vlm_files.CLIP_STD
    cut = [
        values[pair : pair + 2, top : top + edge, left : left + edge].transpose(3, 0, 1, 2).ravel()
        for pair in range(0, len(frames), 2)
        for block_top in range(0, size[1], block)
        for block_left in range(0, size[0], block)
        for top in (block_top, block_top + edge)
        for left in (block_left, block_left + edge)
    ]
    return torch.from_numpy(np.stack(cut)).float()


def public_vectors(public: Public, folder: Path, frames: np.ndarray) -> np.ndarray:
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    network = transformers.AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32).eval()
    seen = {"pixel_values_videos": patches(frames[list(public.frames)], public.block)}
    seen["video_grid_thw"] = torch.tensor([[len(public.frames) // 2, ROWS * 2, COLUMNS * 2]])
    if public.seconds:
        seen["second_per_grid_ts"] = torch.tensor([public.seconds])
    found = []
    for prompt in public.prompts:
        ids = tokenizer(prompt, return_tensors="pt")["input_ids"]
        kinds = (ids == network.config.video_token_id).int() * 2
        placed = {"position_ids": torch.arange(ids.shape[1]).expand(3, 1, -1)} if public.flat else {}
        with torch.inference_mode():
            output = network(input_ids=ids, mm_token_type_ids=kinds, **seen, **placed, output_hidden_states=True)
        found.append(output.hidden_states[-1][0, -1])
    return normalize(torch.stack(found), dim=-1).numpy()


@pytest.mark.parametrize("name", PUBLIC)
def test_vectors_are_those_of_the_public_code(name, folders, media, frames):
    public = PUBLIC[name]
    folder = folders[public.family]
    items = [Item("", (media["clip"],), f"{M} {SHOW}"), Item(" what?", (media["clip"],), f"{M} Say:")]
    found = embed(opened(f"vlm/{name}={folder}").load(), items, ["target", "query"])
    wanted = public_vectors(public, folder, frames)
    np.testing.assert_allclose(found, wanted, atol=ROUNDING)
    assert wanted[0] @ wanted[1] < 0.9999


@pytest.mark.parametrize("name", PUBLIC)
def test_a_video_does_not_depend_on_its_batch_but_on_the_order_of_its_frames(name, folders, media):
    model = small(name, folders)
    items = [
        Item(f"{M} what?", (media["clip"],)),
        Item("a dog"),
        Item(f"{M}\nwhat?", (media["image"],)),
        Item(f"{M} like {M}?", (media["image"], media["clip"])),
        Item(f"{M} what?", (media["back"],)),
        Item(f"{M} like {M}?", (media["clip"], media["back"])),
    ]
    alone = np.concatenate([embed(model, [item]) for item in items])
    for order in ([0, 1, 2, 3, 4, 5], [5, 3, 1], [4, 2]):
        np.testing.assert_allclose(embed(model, [items[at] for at in order]), alone[order], atol=ROUNDING)
    differ = np.abs(alone[:, None] - alone[None]).max(-1) + np.eye(len(items))
    assert differ.min() > 1e-4


@pytest.mark.parametrize("name", PUBLIC)
def test_a_video_is_never_cut(name, folders, media):
    item = Item(f"{M} what?", (media["clip"],))
    usual, short = (small(name, folders, **options).prepare(item, "query") for options in ({}, {"max_length": "4"}))
    token = vlm_files.QWEN_IDS["video_token_id"]
    assert short.truncated
    assert short.cost < usual.cost
    assert (short.data.ids == token).sum() == (usual.data.ids == token).sum() > 0
    assert short.data.ids[-1] == token


@pytest.mark.parametrize("name", PUBLIC)
def test_a_single_frame_is_shown_twice_and_a_literal_token_is_no_place(name, folders, media):
    model = small(name, folders, frames="all")
    one, two, literal = (
        Item(f"{M} {said}", (media[which],))
        for which, said in (("one", "what?"), ("two", "what?"), ("one", "wh<|video_pad|>at?"))
    )
    found = embed(model, [one, two, literal])
    assert np.isfinite(found[2]).all()
    if not name.startswith("qwen3"):  # its text says when the second one is shown
        np.testing.assert_allclose(found[1], found[0], atol=ROUNDING)


@pytest.mark.parametrize("native", [each.native_video for each in RECIPES if each.native_video], ids=str)
def test_a_longer_video_has_smaller_frames_down_to_a_floor(native: NativeVideo):
    mosts = [native.frame_limits(frames)[1] for frames in range(2, 4000, 2)]
    assert mosts == sorted(mosts, reverse=True)
    assert mosts[0] == native.frame_pixels[1]
    assert min(mosts) >= native.frame_pixels[0]
    within = [at for at, most in enumerate(mosts) if most > native.frame_pixels[0] * 1.06]
    assert all(mosts[at] * (at + 1) <= native.total_pixels for at in within)


def test_what_follows_a_video_stands_behind_its_longest_side():
    found = grid_positions(14, [(1, PatchGrid(1, 2, (0, 2, 5))), (8, PatchGrid(3, 1))])
    assert found[0].tolist() == [0, 1, 1, 3, 3, 6, 6, 7, 8, 8, 8, 11, 12, 13]
    assert found[2, 1:8].tolist() == [1, 2, 1, 2, 1, 2, 7]


def test_identity_tells_how_videos_are_seen(folders):
    name = f"vlm/vlm2vec-v2.0={folders['qwen2_vl']}"
    spec = opened(name).spec
    assert spec.modalities == ("text", "image", "video")
    wanted = {"frames": "fps:2:64", "frame_order": "kept", "frame_min_pixels": 100352, "frame_max_pixels": 151200}
    assert wanted.items() <= spec.options.items()
    assert model_fingerprint(spec) != model_fingerprint(opened(name, frames="fps:1").spec)


def test_a_tokenizer_with_another_video_token_is_refused(folders, tmp_path):
    folder = copied(folders["qwen2_vl"], tmp_path / "other")
    change_json(folder / "config.json", video_token_id=261)
    with pytest.raises(UserError, match=r"video_pad.*is token 263"):
        opened(f"vlm/lamra-ret={folder}").load()
    assert opened(f"vlm/gme-qwen2-vl-2b={folder}").load()  # shown frames as images
