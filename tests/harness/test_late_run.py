"""Runs of a model that has a vector for every token: stored once, ranked by MaxSim, and refused where it has no use."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from harness.doctor import content, details
from harness.doctor.finding import ModelUnderTest
from harness.doctor.probes import draw_probes
from harness.doctor.state import pooled_state
from harness.encoding.matrices import Tokens, as_vectors, checked
from harness.encoding.store import Store, vector_files
from harness.encoding.store_file import StoreDamaged
from harness.encoding.vectors import Work
from harness.errors import UserError
from harness.identity import model_fingerprint
from harness.types import Item, Media
from leaderboards.analysis.stored import spec_of
from tests.conftest import Place
from tests.helpers.embedders import Late

LATE = "tests.helpers.embedders:Late"
SPEC = Late.spec


def _answers(place: Place) -> dict[str, object]:
    return {
        task: (place.result(task, "late").metrics, place.rows(task, "late")) for task in ("Colour", "Find", "Match")
    }


@pytest.fixture
def done(llave, tiny, place):
    assert llave("run", LATE, "--data", tiny.data, *place.flags).code == 0
    return place


def _matrix(seed: int, tokens: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((tokens, 16)).astype(np.float32)


def test_scores_of_the_rows_are_those_of_the_formula_on_what_the_model_gave(done, tiny):
    model, rows = Late(), done.rows("Colour", "late")
    record = done.result("Colour", "late")
    assert (record.model["similarity"], record.model["width"]) == ("maxsim", 16)
    assert record.model["fingerprint"] == model_fingerprint(spec_of(record))

    def tokens(content, role):
        media = tuple(Media("image", name, tiny.data / "images") for name in content.get("media", ()))
        text = content["text"]
        cut = content.get("instruction", 0)
        item = Item(text[cut:], media, text[:cut])
        return model.embed([model.prepare(item, role)])[0].astype(np.float64)

    for row in rows[:4]:
        query = tokens(row["content"], "query")
        for candidate in row["top"]:
            naive = (query @ tokens(candidate, "target").T).max(axis=1).sum()
            assert candidate["score"] == pytest.approx(naive, abs=1e-4)
        assert [each["score"] for each in row["top"]] == sorted((each["score"] for each in row["top"]), reverse=True)


def test_meanmaxsim_ranks_as_maxsim_and_shows_the_mean(llave, tiny, done, tmp_path, monkeypatch):
    other = Place(tmp_path / "mean")
    monkeypatch.setattr(Late, "spec", replace(SPEC, similarity="meanmaxsim"))
    assert llave("run", LATE, "--data", tiny.data, "--out", other.out, "--store", done.store).code == 0
    for before, after in zip(done.rows("Find", "late"), other.rows("Find", "late"), strict=True):
        assert before["best_rank"] == after["best_rank"]
        count = before["right_score"] / after["right_score"]
        assert count == pytest.approx(round(count))
        assert 1 <= round(count) <= 5


def test_a_run_that_was_cut_short_ends_with_the_same_answers_and_embeds_nothing_twice(
    llave, tiny, place, log, tmp_path, monkeypatch
):
    whole = Place(tmp_path / "whole")
    line = ("run", LATE, "--data", tiny.data, "--budget", "256")
    assert llave(*line, *whole.flags).code == 0
    before, honest = len(log()), Late.embed

    def tired(self, features):
        if len(log()) >= before + 3:
            raise KeyboardInterrupt
        return honest(self, features)

    with monkeypatch.context() as patch:
        patch.setattr(Late, "embed", tired)
        assert llave(*line, *place.flags).code != 0
    cut = len(log())
    assert llave(*line, *place.flags).code == 0
    assert _answers(place) == _answers(whole)
    embedded = [label for batch in [*log()[before:cut], *log()[cut + 1 :]] for label in batch]  # without the recheck
    assert sorted(embedded) == sorted(label for batch in log()[:before] for label in batch)


@pytest.mark.parametrize("spoil", [lambda matrix: matrix[:, ::-1], lambda matrix: np.concatenate([matrix, matrix])])
def test_a_stored_item_that_comes_out_otherwise_stops_the_run(llave, tiny, place, monkeypatch, spoil):
    line, honest = ("run", LATE, "--data", tiny.data, "--tasks", "Find", *place.flags), Late.embed
    assert llave(*line, "--limit", 4).code == 0
    monkeypatch.setattr(Late, "embed", lambda self, features: [*map(spoil, honest(self, features))])
    failed = llave(*line)
    assert failed.code != 0
    assert "gives another vector for" in failed.err


def test_the_store_lists_checks_and_removes_matrices(llave, done):
    (folder,) = [path for path in done.store.iterdir() if path.is_dir()]
    (path,) = vector_files(folder)
    said = [llave("store", what, "--store", done.store) for what in ("list", "size", "check")]
    assert [each.code for each in said] == [0, 0, 0]
    assert all("late" in each.out for each in said[:2])
    data = bytearray(path.read_bytes())
    data[-100] ^= 1  # the first rows are at the end of a page
    path.write_bytes(data)
    assert "is damaged" in llave("store", "check", "--store", done.store).err
    assert llave("store", "prune", "late", "--store", done.store).code == 0
    assert not folder.exists()


def test_what_is_stored_is_read_back_whole_and_in_order(tmp_path):
    matrices = [_matrix(seed, tokens) for seed, tokens in enumerate((1, 5, 2))]
    keys = [bytes([number]) * 32 for number in range(3)]
    with Store(tmp_path, SPEC) as store:
        store.put(keys, matrices)
    with Store(tmp_path, SPEC) as store:
        found = store.tokens([keys[2], keys[0], keys[2], keys[1]])
        assert store.tokens([]).vectors.shape == (0, 16)
    assert [len(found), *found.counts] == [4, 2, 1, 2, 5]
    assert np.array_equal(found.vectors, np.concatenate([matrices[2], matrices[0], matrices[2], matrices[1]]))
    assert np.array_equal(found[1:3].vectors, np.concatenate([matrices[0], matrices[2]]))
    assert np.array_equal(found.take(np.array([3, 1], np.int32)).vectors, np.concatenate([matrices[1], matrices[0]]))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("tokens = tokens + 1", "checksum"),
        ("vector = substr(vector, 1, 64)", "checksum"),
        ("tokens = 0", "checksum"),
        ("key = zeroblob(32)", "checksum"),
    ],
)
def test_damage_to_a_matrix_is_named(tmp_path, change, says):
    import sqlite3

    key = b"k" * 32
    with Store(tmp_path, SPEC) as store:
        store.put([key], [_matrix(0, 4)])
        (path,) = vector_files(store.folder)
    with sqlite3.connect(path) as connection:
        connection.execute(f"UPDATE vectors SET {change}")
    connection.close()
    with Store(tmp_path, SPEC) as store, pytest.raises(StoreDamaged, match=says):
        store.check([key, bytes(32)])


def test_vectors_in_the_place_of_matrices_are_named(tmp_path):
    plain = replace(SPEC, similarity="dot")
    with Store(tmp_path, plain) as store:
        store.put([b"k" * 32], np.ones((1, 16), np.float32))
        (path,) = vector_files(store.folder)
    with Store(tmp_path, SPEC) as store:
        store.folder.mkdir()
        path.rename(store.folder / path.name)
        with pytest.raises(StoreDamaged, match="one vector for every token"):
            store.check([b"k" * 32])


WORK = [Work(bytes([number]) * 32, Item(f"text {number}"), "query") for number in range(2)]


@pytest.mark.parametrize(
    ("matrices", "says"),
    [
        ([_matrix(0)], "1 array for 2 items"),
        ([_matrix(0), _matrix(1)[:0]], r"shape \(0, 16\) for the query with text 'text 1'"),
        ([_matrix(0), _matrix(1)[0]], r"shape \(16,\)"),
        ([_matrix(0), _matrix(1)[:, :4]], "width 4, but those stored before have width 16"),
        ([_matrix(0), _matrix(1) * np.float32(np.inf)], "not finite for the query with text 'text 1'"),
        ([_matrix(0) * 0, _matrix(1)], "zeros for the query with text 'text 0'"),
    ],
)
def test_matrices_that_mean_nothing_are_refused_by_the_name_of_their_item(matrices, says):
    with pytest.raises(UserError, match=says):
        checked(matrices, WORK, None)


def test_a_token_of_zeros_among_others_is_fine_and_a_mean_is_of_all_tokens():
    matrix = _matrix(0)
    matrix[1] = 0
    assert checked([matrix, matrix], WORK, 16)[1] == 16
    assert np.array_equal(as_vectors([matrix, matrix], SPEC)[0], matrix.mean(axis=0))
    with pytest.raises(UserError, match="no sequence of arrays"):
        as_vectors(None, SPEC)


def test_late_interaction_is_a_fact_of_the_identity():
    prints = {each: model_fingerprint(replace(SPEC, similarity=each)) for each in ("cosine", "dot", "maxsim")}
    assert prints["cosine"] == prints["dot"] != prints["maxsim"]


def test_what_needs_single_vectors_is_refused_by_name(llave, tiny, done, tmp_path):
    items = tmp_path / "items.jsonl"
    items.write_text('{"id": "1", "text": "a"}\n')
    embed = llave("embed", LATE, items, "-o", tmp_path / "out.safetensors", "--store", done.store)
    curves = llave("curves", done.out, "--data", tiny.data, "--store", done.store)
    clustering = llave("run", LATE, "--data", tiny.data, "--tasks", "Colour@clustering", *done.flags)
    for refused in (embed, curves, clustering):
        assert refused.code != 0
        assert "late has " in refused.err
        assert "for every token of an item" in refused.err


def test_slices_of_no_items_are_empty():
    tokens = Tokens.of([_matrix(0), _matrix(1)], 16)
    assert len(tokens[2:5]) == 0
    assert tokens[2:5].vectors.shape == (0, 16)
    assert len(tokens[0:9]) == 2


def test_the_doctor_examines_the_mean_and_leaves_out_what_asks_for_single_vectors(tmp_path):
    model, probes = ModelUnderTest(Late()), replace(draw_probes(tmp_path), videos=(), filmed=())
    assert content.shape(model, probes).verdict == "pass"
    checks = content.length(model, probes), details.similarity(model, probes), pooled_state(model, probes)
    assert [each.verdict for each in checks] == ["skipped"] * 3
