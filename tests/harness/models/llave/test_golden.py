"""LLaVE against the public code: what it computed on a small checkpoint was recorded, and is matched here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from harness.models.llave.embedder import LlaveEmbedder
from harness.types import MEDIA_TOKEN, Features, Item, Media
from tests.helpers import llave_files
from tests.helpers.llave_files import change_config, copied, lossless_video, opened
from tests.helpers.mmeb_files import shared

TOLERANCE = 5e-6
"""On unit vectors."""
VISUAL_TOLERANCE = 2e-5
"""On visual tokens, whose values go up to about 5."""
IMAGE = -200
RECORDED = tuple(
    [
        f"{kind}_{number}"
        for kind, count in (("text", 6), ("image_text", 8), ("image_instruct", 4))
        for number in range(count)
    ]
    + [f"{kind}_{number}" for kind in ("video", "caption") for number in range(3)]
)
one_thread = pytest.fixture(autouse=True, scope="module")(llave_files.one_thread)


@dataclass(frozen=True)
class Variant:
    """One configuration, with everything it makes of the recorded items."""

    name: str
    model: LlaveEmbedder
    features: Mapping[str, Features]
    visual: Mapping[str, np.ndarray]
    vectors: Mapping[str, np.ndarray]


@pytest.fixture(scope="module")
def golden() -> Path:
    return shared("golden")


@pytest.fixture(scope="module")
def records(golden: Path) -> Mapping[str, Mapping]:
    return {record["id"]: record for record in json.loads((golden / "items.json").read_text())}


@pytest.fixture(scope="module")
def items(golden: Path, records, tmp_path_factory) -> Mapping[str, Item]:
    """The recorded items as the harness has them: canonical tokens, and videos in files of three frames a second."""
    videos = tmp_path_factory.mktemp("videos")
    made = {}
    for name, record in records.items():
        media: tuple[Media, ...] = ()
        if record.get("image"):
            media = (Media("image", record["image"], golden),)
        if record.get("frames"):
            media = (lossless_video(videos / f"{name}.mkv", np.load(golden / record["frames"])["frames"], 3),)
        text = record["raw_text"].replace("<|image_1|>", MEDIA_TOKEN).replace("<image>", MEDIA_TOKEN)
        made[name] = Item(text, media)
    return made


@pytest.fixture(scope="module", params=["llave", "onevision"])
def variant(request, golden: Path, items, tmp_path_factory) -> Variant:
    """Every item embedded alone, with what the network made of its medium on the way."""
    folder = copied(golden / "checkpoint", tmp_path_factory.mktemp("golden") / request.param)
    if request.param == "onevision":
        grid = [[384 * i, 384 * j] for i in range(1, 7) for j in range(1, 7)]
        change_config(
            folder, image_grid_pinpoints=grid, mm_newline_position="one_token", tokenizer_model_max_length=32768
        )
    model = opened(folder).load()
    network, visual, vectors = model.network, {}, {}
    compute = network.visual_tokens
    features = {name: model.prepare(item, "query") for name, item in items.items()}
    for name, feature in features.items():

        def watched(pictures, name=name):
            tokens = compute(pictures)
            if tokens:
                visual[name] = tokens[0].numpy()
            return tokens

        network.visual_tokens = watched
        vectors[name] = model.embed([feature]).numpy()[0]
    del network.visual_tokens
    return Variant(request.param, model, features, visual, vectors)


@pytest.fixture(scope="module")
def embeddings(golden: Path) -> Mapping[str, np.ndarray]:
    return np.load(golden / "embeddings.npz")


def test_nothing_recorded_is_left_out(records):
    assert set(records) == set(RECORDED)


@pytest.mark.parametrize("name", RECORDED)
def test_token_ids_and_counts_are_the_recorded_ones(variant: Variant, records, name: str):
    prompt, record = variant.features[name].data, records[name]
    first, *rest = (piece.tolist() for piece in prompt.ids)
    assert first + [each for piece in rest for each in (IMAGE, *piece)] == record["input_ids"]
    assert sum(picture.layout.tokens for picture in prompt.pictures) == record["num_visual_tokens"][variant.name]
    assert variant.features[name].cost == prompt.length == record["seq_len"][variant.name]
    assert not variant.features[name].truncated


@pytest.mark.parametrize("name", [name for name in RECORDED if name.startswith(("image", "video"))])
def test_pixels_and_features_are_the_recorded_ones(variant: Variant, records, golden: Path, name: str):
    (picture,), record = variant.features[name].data.pictures, records[name]
    pixels = picture.crops.astype(np.float64) / 127.5 - 1
    for found, key in ((pixels, "pixel_sum"), (np.abs(pixels), "pixel_abs_sum")):
        np.testing.assert_allclose(found.sum(axis=(1, 2, 3)), record[key][variant.name], atol=0.05)
    if "anyres_grid_wh" in record:
        assert list(picture.layout.grid) == record["anyres_grid_wh"][variant.name]
    probe, tokens = np.load(golden / "visual_probe.npz"), variant.visual[name]
    wanted = {each: probe[f"{variant.name}/{name}/{each}"] for each in ("rows", "vals", "mean", "std")}
    np.testing.assert_allclose(tokens[wanted["rows"]], wanted["vals"], atol=VISUAL_TOLERANCE)
    np.testing.assert_allclose(tokens.mean(axis=0), wanted["mean"], atol=VISUAL_TOLERANCE)
    np.testing.assert_allclose(tokens.std(axis=0, ddof=1), wanted["std"], atol=VISUAL_TOLERANCE)


@pytest.mark.parametrize("name", RECORDED)
def test_embeddings_are_the_recorded_ones(variant: Variant, embeddings, name: str):
    np.testing.assert_allclose(variant.vectors[name], embeddings[f"{variant.name}/{name}"], atol=TOLERANCE)


@pytest.mark.parametrize(
    "batch", ["A_mixed_eval", "B_text_only_dummy", "C_mixed_with_video", "D_captions_noimage", "E_text_noimage"]
)
def test_padded_batches_give_the_recorded_vectors(variant: Variant, embeddings, golden: Path, batch: str):
    names = json.loads((golden / "reference_run.json").read_text())[variant.name][f"batch_{batch}"]["ids"]
    found = variant.model.embed([variant.features[name] for name in names]).numpy()
    np.testing.assert_allclose(found, embeddings[f"{variant.name}/batch/{batch}"], atol=TOLERANCE)


@pytest.mark.parametrize("limit", [1000, 200])
@pytest.mark.parametrize("by", ["config", "option"])
def test_truncation_gives_the_recorded_vectors(golden: Path, items, records, embeddings, tmp_path, limit: int, by: str):
    if by == "config":
        folder = change_config(copied(golden / "checkpoint", tmp_path / "cut"), tokenizer_model_max_length=limit)
        model = opened(folder).load()
    else:
        model = opened(golden / "checkpoint", max_length=limit).load()
    for name in ("image_text_4", "video_0", "text_5"):
        feature = model.prepare(items[name], "query")
        assert feature.cost == min(limit, records[name]["seq_len"]["llave"])
        assert feature.truncated == (feature.cost < records[name]["seq_len"]["llave"])
        found = model.embed([feature]).numpy()[0]
        np.testing.assert_allclose(found, embeddings[f"llave/truncate{limit}/{name}"], atol=TOLERANCE)


def test_a_grid_option_equals_the_same_grid_in_the_config(golden: Path, items, embeddings):
    model = opened(golden / "checkpoint", grid="6x6", max_length=32768).load()
    found = llave_files.embed(model, [items["image_text_4"]])[0]
    np.testing.assert_allclose(found, embeddings["onevision/image_text_4"], atol=TOLERANCE)


def test_a_tokenizer_built_from_vocabulary_and_merges_gives_the_recorded_ids(golden: Path, items, records, tmp_path):
    folder = copied(golden / "checkpoint", tmp_path / "model")
    (folder / "tokenizer.json").unlink()
    model = opened(folder).load()
    for name, record in records.items():
        if not items[name].media:
            assert model.prepare(items[name], "query").data.ids[0].tolist() == record["input_ids"]
