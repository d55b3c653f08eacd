"""What the conversion to pixels alters is said at the end of a run, by `llave embed`, and in the record."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import Done, Place
from tests.helpers.image_files import deep_png, deep_tiff, encoded, picture, rotated_exif

RAMP = np.linspace(0, 4095, 48).reshape(6, 8).astype(int)
FILES = {
    "plain.png": encoded(picture(), "PNG"),
    "opaque.png": encoded(picture().convert("RGBA"), "PNG"),
    "turned.jpg": encoded(picture(), "JPEG", exif=rotated_exif()),
    "turned.tif": encoded(picture(), "TIFF", exif=rotated_exif()),
    "logo.png": encoded(Image.merge("LA", (Image.new("L", (9, 9)), Image.radial_gradient("L").resize((9, 9)))), "PNG"),
    "right.tif": deep_tiff(RAMP, 12),
    "dark.png": deep_png(RAMP),
}
SAID = {
    "exif_turn_not_applied": "2 pictures with a turn in the EXIF, which is not applied.",
    "alpha_content_dropped": "1 picture with content in its alpha, which is dropped.",
    "deep_greys_scaled": "2 pictures with greys of more than 8 bits, which are scaled to 8.",
    "deep_pictures_nearly_black": "1 picture nearly black, of more than 8 bits",
}
COUNTS = {name: int(sentence.split()[0]) for name, sentence in SAID.items()}


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    for name, data in FILES.items():
        (tmp_path / name).write_bytes(data)
    lines = [{"target": name, "image": name} for name in FILES]
    lines += [{"query": f"q {name}", "image": name, "positives": [name]} for name in FILES]
    path = tmp_path / "own.jsonl"
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return path


def test_a_run_says_it_for_all_models_once_and_again_for_finished_results(
    rows: Path, llave: Callable[..., Done], place: Place
) -> None:
    line = ("run", "tests.helpers.embedders:Hashed", "null/random", "--data", rows, *place.flags)
    for _ in range(2):
        done = llave(*line)
        assert done.code == 0
        said = " ".join(done.err.split())
        assert [said.count(sentence) for sentence in SAID.values()] == [1] * 4
    assert place.result("own").dataset["notes"] == COUNTS


def test_embed_says_it(rows: Path, llave: Callable[..., Done], tmp_path: Path) -> None:
    items = tmp_path / "items.jsonl"
    items.write_text("".join(f"{json.dumps({'id': name, 'image': name})}\n" for name in FILES))
    output = tmp_path / "vectors.safetensors"
    line = ("embed", "tests.helpers.embedders:Hashed", items, "-o", output, "--store", tmp_path / "store")
    said = " ".join(llave(*line).err.split())
    assert [said.count(sentence) for sentence in SAID.values()] == [1] * 4
    items.write_text(json.dumps({"id": "plain", "image": "plain.png"}))
    assert "picture" not in llave(*line).err
