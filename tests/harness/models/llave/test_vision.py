"""Tiling, trimming and shrinking, against the published rules written out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from harness.models.llave.config import grid_resolutions, read_config
from harness.models.llave.vision import Size, best_resolution, image_layout, process_image
from tests.helpers.llave_files import SIZE, write_checkpoint

SIZES = st.tuples(st.integers(1, 4000), st.integers(1, 4000))
GRIDS = st.tuples(st.integers(1, 6), st.integers(1, 6))


@given(SIZES, GRIDS)
def test_the_best_resolution_keeps_most_and_wastes_least(size, corner):
    resolutions = grid_resolutions(*corner, 384)
    best, most, least = None, -1, math.inf
    for width, height in resolutions:
        scale = min(width / size[0], height / size[1])
        kept = min(int(size[0] * scale) * int(size[1] * scale), size[0] * size[1])
        waste = width * height - kept
        if kept > most or (kept == most and waste < least):
            best, most, least = (width, height), kept, waste
    assert best_resolution(Size(*size), resolutions) == best


@given(SIZES, GRIDS)
def test_trimming_leaves_the_image_and_shrinking_keeps_its_shape(size, grid):
    layout = image_layout(Size(*size), Size(*grid), 27, 9)
    width, height = grid[0] * 27, grid[1] * 27
    trimmed = Size(width - 2 * layout.margin.width, height - 2 * layout.margin.height)
    assert 0 in layout.margin
    assert layout.kept.width <= trimmed.width
    assert layout.kept.height <= trimmed.height
    assert layout.kept.width * layout.kept.height <= 9 * 27**2 * 1.1**2
    assert layout.tokens == 729 + layout.kept.height * (layout.kept.width + 1)
    if layout.kept != trimmed:
        assert trimmed.width * trimmed.height > 9 * 27**2
        wanted = trimmed.width / trimmed.height
        assert layout.kept.width / layout.kept.height == pytest.approx(wanted, rel=0.2)


@given(st.integers(1, 300), st.integers(1, 300))
def test_what_lies_on_the_padding_is_trimmed(width, height):
    """Where the image was pasted follows from its size alone; the trimmed tokens must be those that show it."""
    target = best_resolution(Size(width, height), grid_resolutions(2, 2, 378))
    layout = image_layout(Size(width, height), Size(target.width // 378, target.height // 378), 27, 9)
    scale = min(target.width / width, target.height / height)
    black = [(side - edge * scale) / 2 / 14 for side, edge in zip(target, (width, height), strict=True)]
    assert all(abs(cut - dark) <= 1 for cut, dark in zip(layout.margin, black, strict=True))


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    return read_config(write_checkpoint(tmp_path_factory.mktemp("llave") / "tiny"))


def test_crops_are_the_squashed_image_and_then_tiles_row_by_row(config):
    colours = np.arange(4, dtype=np.uint8).reshape(2, 2) * 60
    image = Image.fromarray(np.kron(colours, np.ones((SIZE, SIZE), np.uint8))).convert("RGB")
    picture = process_image(image, config)
    assert picture.layout.grid == (2, 2)
    assert [crop.mean() for crop in picture.crops[1:]] == [0, 60, 120, 180]
    squashed = np.asarray(image.resize((SIZE, SIZE), Image.Resampling.BICUBIC))
    np.testing.assert_array_equal(picture.crops[0], squashed)


def test_an_image_that_does_not_fill_its_tiles_lies_in_the_middle_of_black(config):
    crops = process_image(Image.new("RGB", (2 * SIZE, SIZE // 2), "white"), config).crops[1:]
    assert len(crops) == 2
    across = np.concatenate(crops, axis=1)
    assert across[SIZE // 4 : -SIZE // 4].min() == 255
    assert across[: SIZE // 4].max() == across[-SIZE // 4 :].max() == 0
