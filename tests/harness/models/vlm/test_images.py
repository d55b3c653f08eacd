"""Tests of resizing, token counts and positions of images of all sizes, against transformers' own code."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize

from harness.models.vlm.family import PatchGrid
from harness.models.vlm.llava_next import LLAVA_NEXT
from harness.models.vlm.qwen import grid_positions
from harness.models.vlm.resize import fit, grow_edges, grow_to_square, square
from tests.helpers import llave_files, vlm_files

one_thread = pytest.fixture(autouse=True, scope="module")(llave_files.one_thread)
EDGE = st.integers(1, 3000)
GRIDS = st.lists(st.tuples(st.integers(0, 4), st.integers(1, 6), st.integers(1, 6)), max_size=3)


@given(EDGE, EDGE, st.sampled_from([(4, 16384), (256, 1280), (4, 300)]))
@settings(max_examples=60, deadline=None)
def test_fitting_keeps_the_limits_and_is_transformers_own(width, height, blocks):
    limits = (blocks[0] * 784, blocks[1] * 784)
    fitted = fit(Image.new("L", (width, height)), limits, 28)
    assert fitted.width % 28 == fitted.height % 28 == 0
    assert max(fitted.size) <= 200 * min(fitted.size)
    if max(width, height) <= 200 * min(width, height) and min(width, height) >= 28:
        assert (fitted.height, fitted.width) == smart_resize(height, width, 28, *limits)
        assert limits[0] <= fitted.width * fitted.height <= limits[1]
    again = fit(fitted, limits, 28)
    assert again.size == fitted.size or min(fitted.size) == 28  # at the edge of what the ratio allows


def test_small_images_grow():
    wide = Image.new("L", (100, 20))
    assert square(wide, 512).size == (512, 512)
    assert grow_to_square(wide, 28, 56).size == (56, 56)
    assert grow_edges(wide, 28).size == (100, 28)
    for image in (Image.new("L", (100, 28)), Image.new("L", (28, 28))):
        assert grow_to_square(image, 28, 56) is grow_edges(image, 28) is image


@pytest.fixture(scope="module")
def qwen(tmp_path_factory):
    folder = vlm_files.write_qwen2(tmp_path_factory.mktemp("images") / "qwen2")
    return transformers.Qwen2VLModel.from_pretrained(folder)


@given(GRIDS, st.integers(1, 4))
@settings(max_examples=40, deadline=None)
def test_positions_are_those_of_transformers(qwen, images, after):
    types, starts = [], []
    for before, rows, columns in images:
        types += [0] * (before + 1)  # a token between images, as every prompt has
        starts.append((len(types), PatchGrid(rows, columns)))
        types += [1] * (rows * columns)
    types += [0] * after
    kinds = torch.tensor([types])
    grids = torch.tensor([[1, rows * 2, columns * 2] for _, rows, columns in images]) if images else None
    wanted, _ = qwen.get_rope_index(torch.zeros_like(kinds), kinds, grids)
    assert (grid_positions(len(types), starts) == wanted[:, 0].numpy()).all()


@pytest.fixture(scope="module")
def llava(tmp_path_factory) -> Path:
    return vlm_files.write_llava_next(tmp_path_factory.mktemp("images") / "llava")


def test_places_are_as_many_as_the_network_has_features(llava):
    processor = transformers.LlavaNextImageProcessorPil.from_pretrained(llava)
    network = transformers.LlavaNextModel.from_pretrained(llava).eval()

    @given(st.integers(1, 400), st.integers(1, 400))
    @settings(max_examples=40, deadline=None)
    def check(width, height):
        visual = LLAVA_NEXT.process_images([Image.new("RGB", (width, height))], processor, network.config, None)
        with torch.inference_mode():
            features = network.get_image_features(**visual.tensors).pooler_output
        assert [len(each) for each in features] == list(visual.tokens)

    check()
