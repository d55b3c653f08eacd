"""Models of late interaction: the library's own vectors of every token, and its own scores at the end of a run."""

from __future__ import annotations

import json

import numpy as np
import pytest

from harness.encoding.matrices import Tokens
from harness.models import open_model
from harness.models.common import Trainable
from harness.scoring.pool import Pool, rank_pool
from harness.types import MEDIA_TOKEN, Item, ModelSettings
from tests.helpers.rank_cases import query
from tests.helpers.sentence_files import (
    copied,
    opened,
    opened_pictures,
    refuse_connections,
    write_colbert,
    write_colpali,
    write_colqwen,
    write_pictures,
    write_pylate,
    write_stanford,
)

pytest.importorskip("sentence_transformers")
WRITERS = {
    "colbert": write_colbert,
    "pylate": write_pylate,
    "stanford": write_stanford,
    "colpali": write_colpali,
    "colqwen": write_colqwen,
}
SEEING = ("colpali", "colqwen")
TEXTS = ("a red cube on the left of the green ball", "blue", "http://x.invalid/x.png", "<eos> the ball")


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    refuse_connections(monkeypatch)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    return {name: write(root / name) for name, write in WRITERS.items()}


@pytest.fixture(scope="module")
def loaded(folders):
    return {name: opened(folder).load() for name, folder in folders.items()}


@pytest.fixture(scope="module")
def library(folders):
    from sentence_transformers import MultiVectorEncoder

    return {name: MultiVectorEncoder(str(folder), device="cpu") for name, folder in folders.items()}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return write_pictures(tmp_path_factory.mktemp("pictures"))


def matrices(model, items, role):
    return [each.numpy() for each in model.embed([model.prepare(item, role) for item in items])]


@pytest.mark.parametrize("role", ["query", "target"])
@pytest.mark.parametrize("name", WRITERS)
def test_the_vectors_of_texts_are_the_librarys_own_alone_and_in_a_batch(loaded, library, name, role):
    encode = library[name].encode_query if role == "query" else library[name].encode_document
    texts = TEXTS[:3] if name in SEEING else TEXTS[:2]  # the library would fetch an address
    inputs = [{"text": text} if name in SEEING else text for text in texts]
    items = [Item(text) for text in texts]
    for ours in (matrices(loaded[name], items, role), [matrices(loaded[name], [item], role)[0] for item in items]):
        for own, one in zip(ours, inputs, strict=True):
            np.testing.assert_allclose(own, encode([one], convert_to_numpy=True)[0], atol=1e-5)


@pytest.mark.parametrize("name", SEEING)
def test_the_vectors_of_pictures_are_the_librarys_own_and_a_text_beside_them_adds_its_own(
    loaded, library, pictures, name
):
    items = [Item("", (each,)) for each in pictures[:3]]
    ours = matrices(loaded[name], items, "target")
    theirs = [library[name].encode_document([each], convert_to_numpy=True)[0] for each in opened_pictures(pictures[:3])]
    for own, their in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(own, their, atol=1e-5)
    (words,) = matrices(loaded[name], [Item("the ball")], "target")
    (both,) = matrices(loaded[name], [Item(f"{MEDIA_TOKEN}\nthe ball", tuple(pictures[:2]))], "target")
    np.testing.assert_allclose(both, np.concatenate([*ours[:2], words]), atol=1e-5)


def test_a_word_that_does_not_count_has_no_vector_in_a_document_only(loaded):
    model = loaded["colbert"]
    sizes = {
        role: [len(each) for each in matrices(model, [Item("the ball"), Item("ball")], role)]
        for role in ("query", "target")
    }
    assert sizes["target"][0] == sizes["target"][1]
    assert sizes["query"][0] == sizes["query"][1] + 1


@pytest.mark.parametrize("name", WRITERS)
def test_the_files_say_what_the_model_is_and_what_it_sees(folders, loaded, name):
    spec = opened(folders[name]).spec
    assert (spec.similarity, spec.adapter) == ("maxsim", "late-interaction/1")
    assert spec.modalities == (("text", "image") if name in SEEING else ("text",))
    assert spec.several_media == ("united" if name in SEEING else None)
    assert not isinstance(loaded[name], Trainable)
    notes = []
    handle = open_model(str(folders[name]), ModelSettings(device="cpu"), notes.append)
    assert handle.spec == spec
    assert len(notes) == 1


def test_a_model_of_the_mean_says_so(folders, tmp_path):
    mean = copied(folders["colbert"], tmp_path / "mean", similarity_fn_name="meanmaxsim")
    assert opened(mean).load().spec.similarity == "meanmaxsim"
    old = copied(
        folders["colbert"], tmp_path / "old", similarity_fn_name="cosine"
    )  # of the model that it was made from
    assert opened(old).spec.similarity == "maxsim"


@pytest.mark.parametrize("name", WRITERS)
def test_scores_are_those_of_the_library(loaded, library, pictures, name):
    targets = [Item("", (each,)) for each in pictures] if name in SEEING else [Item(text) for text in TEXTS]
    ours = [
        matrices(loaded[name], [Item(text) for text in TEXTS[:2]], "query"),
        matrices(loaded[name], targets, "target"),
    ]
    theirs = library[name].similarity(*ours).numpy()
    queries, pool = (Tokens.of(each, each[0].shape[1]) for each in ours)
    asked = [query([], [0], "one"), query([], [0], "two")]
    for row, ranking in enumerate(rank_pool(queries, asked, Pool(len(pool), pool.take))):
        found = {each.target: each.score for each in ranking.top}
        np.testing.assert_allclose([found[target] for target in range(len(pool))], theirs[row], rtol=1e-5, atol=1e-5)


def test_texts_that_are_cut_are_counted_by_the_limit_of_their_role(folders, tmp_path):
    short = copied(folders["colbert"], tmp_path / "short")
    file = next(path for path in short.rglob("sentence_bert_config.json"))
    file.write_text(json.dumps({**json.loads(file.read_text()), "document_length": 6}))
    model = opened(short).load()
    cut = {role: model.prepare(Item("a red cube on the left"), role).truncated for role in ("query", "target")}
    assert cut == {"query": False, "target": True}
    assert len(matrices(model, [Item("a red cube on the left")], "target")[0]) <= 6


@pytest.mark.parametrize("name", ["colbert", "colpali"])
def test_a_run_from_end_to_end(llave, tiny, place, folders, name):
    tasks = "Colour" if name == "colpali" else "Find"
    done = llave("run", folders[name], "--data", tiny.data, "--tasks", tasks, *place.flags)
    assert done.code == 0
    (path,) = place.out.rglob(f"{tasks}.json")
    model = json.loads(path.read_text())["model"]
    assert (model["similarity"], model["width"]) == ("maxsim", 16 if name == "colpali" else 32)
    again = llave("run", folders[name], "--data", tiny.data, "--tasks", tasks, *place.flags)
    assert "1 result skipped because finished" in again.err
