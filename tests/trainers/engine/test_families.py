"""The laws of training, on a small random network of each family that the trainer takes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
import transformers
from accelerate import Accelerator
from safetensors.torch import load_file, save_file
from torch import Tensor

from harness.models import open_model
from harness.types import Features, Item, ModelSettings, ModelSpec
from tests.helpers import llave_files, training_files
from tests.helpers.families import FAMILIES, model_of, write_family
from tests.helpers.train_child import Sharding, in_children
from tests.helpers.training_files import BASE, COLOURS, Recorder, run
from trainers.config import TrainingConfig, override
from trainers.data.loader import BatchLoader, PreparedItems, SubBatch
from trainers.data.training_data import load_training_data
from trainers.engine import state
from trainers.engine.backend import AccelerateBackend
from trainers.engine.checkpoint import write_record
from trainers.engine.network import ItemEncoder, ready, write_weights
from trainers.engine.start import Opening, open_start
from trainers.engine.step import Stepper
from trainers.train import train

forget_precision = pytest.fixture(autouse=True)(training_files.forget_precision)
one_thread = pytest.fixture(autouse=True, scope="module")(llave_files.one_thread)
SETTINGS = ("batch=4", "max_steps=3", "save_steps=2", "hard_negatives=true", "learning_rate=0.01")


@dataclass(frozen=True, slots=True)
class Learner:
    """A model under training, and the batch of its first step."""

    config: TrainingConfig
    embedder: object
    encoder: ItemEncoder
    opening: Opening
    part: SubBatch

    def gradient(self, *settings: str) -> dict[str, Tensor]:
        """The gradient of the first step, by the weight's name."""
        made = override(self.config, list(settings))
        backend = AccelerateBackend(Accelerator(cpu=True), self.encoder, made)
        self.encoder.zero_grad()
        Stepper(made, backend, None).gradient([self.part])
        return {name: each.grad.clone() for name, each in self.encoder.named_parameters() if each.requires_grad}

    def step(self) -> None:
        """Takes a step that changes every vector."""
        for name, each in self.gradient().items():
            parameter = self.encoder.get_parameter(name)
            parameter.data -= 0.1 * each / each.norm().clamp_min(1e-9)

    def save(self, folder: Path) -> Path:
        state = {name.removeprefix("network."): each for name, each in self.encoder.state_dict().items()}
        write_weights(
            folder, self.embedder, self.config, state, {f"weight/{name}": each for name, each in state.items()}
        )
        write_record(folder / "llave_training.json", {"opens": self.opening.record()})
        return folder


def learner(place: Path, family: str, *settings: str) -> Learner:
    given = [f"model={model_of(place, family)}", f"data={place / 'data.jsonl'}", *SETTINGS, *settings]
    made = override(BASE, given)
    start = open_start(made, place / "start")
    embedder = start.load()
    encoder, data = ready(embedder, made), load_training_data(made)
    loader = BatchLoader(data.plan, data.subsets, PreparedItems(embedder, 0), 0, 1, negatives=True, workers=1)
    ((part,),) = loader.steps(0, 1)
    return Learner(made, embedder, encoder, start.opening, part)


SAMPLE = ("clip", "qwen3-vl", "sentence text")
"""Families of three kinds, for which the laws are tested each time."""
EVERY = [pytest.param(name, marks=() if name in SAMPLE else pytest.mark.exhaustive) for name in FAMILIES]


@pytest.fixture(scope="module", params=EVERY)
def family(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def place(family: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_family(tmp_path_factory.mktemp("family"), family)


def vectors(handle, items: Sequence) -> Tensor:
    """The harness's own, as unit vectors."""
    found = torch.as_tensor(handle.load().embed([each.features for each in items])).float()
    return torch.nn.functional.normalize(found, dim=-1)


def test_the_vectors_of_training_are_those_of_the_saved_checkpoint(family: str, place: Path, tmp_path: Path):
    made = learner(place, family)
    before = vectors(open_model(model_of(place, family), ModelSettings("cpu", "float32")), made.part.items)
    made.encoder.eval()
    with torch.no_grad():
        torch.testing.assert_close(made.encoder(made.part.items), before, atol=2e-6, rtol=0)
    made.step()
    folder = made.save(tmp_path / "trained")
    made.encoder.eval()
    with torch.no_grad():
        trained = made.encoder(made.part.items)
    assert not torch.allclose(trained, before, atol=1e-3)
    handle = open_model(str(folder), ModelSettings("cpu", "float32"))
    torch.testing.assert_close(vectors(handle, made.part.items), trained, atol=2e-6, rtol=0)


def test_a_cached_step_is_a_plain_step(family: str, place: Path):
    made = learner(place, family)
    made.encoder.eval()  # without dropout, whose random numbers follow from the chunks
    plain, cached = made.gradient(), made.gradient("micro_batch=2")
    assert plain.keys() == cached.keys()
    largest = max(float(each.abs().max()) for each in plain.values())
    for name, each in plain.items():
        assert torch.allclose(each, cached[name], atol=2e-4 * largest), name


class Interrupted(Recorder):
    """Interrupts a run in its last step, after the checkpoint of the step before."""

    def advance(self, steps: int = 1, state: str = "") -> None:
        super().advance(steps, state)
        if len(self.states) == 3:
            raise KeyboardInterrupt


def test_a_resumed_run_ends_as_one_that_was_not_interrupted(family: str, place: Path):
    made = learner(place, family).config
    whole = train(made, place / "whole", Recorder())
    with pytest.raises(KeyboardInterrupt):
        train(made, place / "resumed", Interrupted())
    resumed = train(made, place / "resumed", Recorder(), resume=True)
    files = [path.relative_to(whole) for path in whole.rglob("*.safetensors")]
    assert files
    for file in files:
        assert (whole / file).read_bytes() == (resumed / file).read_bytes(), file


def test_adapters_are_merged_and_peft_opens_them_without_us(family: str, place: Path, tmp_path: Path):
    from peft import PeftModel

    made = learner(place, family, "lora_rank=2", "lora_dropout=0", "frozen=vision,projector,head")
    made.step()
    folder = made.save(tmp_path / "adapted")
    made.encoder.eval()
    with torch.no_grad():
        trained = made.encoder(made.part.items)
    config = folder / "adapter" / "adapter_config.json"
    elsewhere = json.loads(config.read_text()) | {"base_model_name_or_path": "nobody/nowhere"}
    config.write_text(json.dumps(elsewhere))  # the merged weights do not need it
    handle = open_model(str(folder), ModelSettings("cpu", "float32"))
    torch.testing.assert_close(vectors(handle, made.part.items), trained, atol=1e-5, rtol=0)
    again = open_start(made.config, place / "start").load()
    network = again.network
    root = next(each for each in network.modules() if isinstance(each, transformers.PreTrainedModel))
    merged = PeftModel.from_pretrained(root, folder / "adapter").merge_and_unload()
    assert merged is root
    with torch.no_grad():
        found = torch.nn.functional.normalize(again.forward([each.features for each in made.part.items]), dim=-1)
    torch.testing.assert_close(found, trained, atol=1e-5, rtol=0)


def test_the_score_in_training_is_the_score_of_the_checkpoint(family: str, place: Path, tmp_path: Path, llave):
    data = tmp_path / "own.jsonl"
    asked = [{"query": str(at), "text": f"{colour} a", "positives": [colour]} for at, colour in enumerate(COLOURS)]
    lines = [*({"target": colour, "text": f"b {colour}"} for colour in COLOURS), *asked]
    data.write_text("".join(json.dumps(line) + "\n" for line in lines))
    given = replace(learner(place, family).config, max_steps=2, eval_steps=2, eval_data=str(data), eval_suite=None)
    folder = train(given, tmp_path / "run", Recorder())
    scored = json.loads((tmp_path / "run" / "log.jsonl").read_text().splitlines()[-1])["scores"]["own"]
    line = ("run", folder, "--data", data, "--out", tmp_path / "o", "--store", tmp_path / "s", "--device", "cpu")
    (offline,) = json.loads(llave(*line, "--json", "--dtype", "float32").out)["results"]
    assert offline["metrics"][offline["main_metric"]]["value"] == scored
    assert offline["model"]["training"]["settings"]["seed"] == given.seed
    assert (offline["model"]["step"], offline["model"]["name"].endswith(f"run/{folder.name}")) == (2, True)


def test_the_libraries_open_a_checkpoint_without_us(family: str, place: Path, tmp_path: Path):
    if family == "llave":
        pytest.skip("the released format of LLaVE is opened by its own code, which the golden tests stand for")
    made = learner(place, family)
    made.step()
    folder = made.save(tmp_path / "trained")
    network = made.embedder.network
    if family.startswith("sentence"):
        from sentence_transformers import SentenceTransformer

        opened = SentenceTransformer(str(folder), device="cpu")
        texts = [each for each in made.part.queries if "image" not in str(each.features.data)]
        given = [
            part["text"] if isinstance(part, dict) else part for each in texts for part in each.features.data.parts
        ]
        found = opened.encode_query(given, convert_to_tensor=True, normalize_embeddings=True)
        made.encoder.eval()
        with torch.no_grad():
            torch.testing.assert_close(found, made.encoder(texts), atol=2e-6, rtol=0)
    else:
        opened = type(network).from_pretrained(folder)
    state = opened.state_dict()
    assert state.keys() == network.state_dict().keys()
    for name, each in network.state_dict().items():
        assert torch.equal(state[name], each), name


LAYERS = {"clip": "CLIPEncoderLayer", "qwen3-vl": "Qwen3VLTextDecoderLayer", "sentence text": "BertLayer"}
TOGETHER = [(name, sharding) for name in LAYERS for sharding in (None, "fsdp2", "zero3")]


@pytest.mark.parametrize(
    ("name", "sharding"),
    [case if case == ("clip", None) else pytest.param(*case, marks=pytest.mark.exhaustive) for case in TOGETHER],
)
def test_two_processes_train_as_one_does(name: str, sharding: Sharding | None, tmp_path: Path):
    """Some groups of items of a dual encoder have no text, and others no image, so the blank item takes their part."""
    if sharding == "zero3":
        pytest.importorskip("deepspeed", reason="llave-bench[deepspeed] is not installed")
    place = write_family(tmp_path / "place", name)
    settings = [f"model={model_of(place, name)}", f"data={place / 'data.jsonl'}", "max_steps=2", "learning_rate=1e-4"]
    settings += ["micro_batch=2", "hard_negatives=true"]
    assert in_children(place, "two", settings, processes=2, sharding=sharding, layer=LAYERS[name]) == [0, 0]
    run(place, "one", *settings)
    one, two = (load_file(next(place.glob(f"{each}/checkpoint-2/**/model.safetensors"))) for each in ("one", "two"))
    for key, each in one.items():
        if not key.endswith(("k_proj.bias", "key.bias")):  # no softmax depends on it: its gradient is rounding alone
            torch.testing.assert_close(each, two[key], atol=2e-5, rtol=0, msg=key)


class Own(torch.nn.Module):
    """A class as a user writes it: a table of letters, whose rows are added up."""

    spec = ModelSpec("own", "1", "own/1", modalities=("text",))

    def __init__(self, folder: str = "") -> None:
        super().__init__()
        self.folder = folder
        self.network = torch.nn.Embedding(128, 8)
        torch.nn.init.normal_(self.network.weight, generator=torch.Generator().manual_seed(0))
        if folder:
            self.network.load_state_dict(load_file(Path(folder) / "table.safetensors"))

    def prepare(self, item: Item, role: str) -> Features[list[int]]:
        return Features([min(127, ord(letter)) for letter in item.full_text], len(item.full_text))

    def forward(self, features: Sequence[Features[list[int]]]) -> Tensor:
        return torch.stack([self.network(torch.tensor(each.data)).mean(0) for each in features])

    def embed(self, features: Sequence[Features[list[int]]]) -> Tensor:
        with torch.no_grad():
            return self.forward(features)

    def save(self, folder: Path, weights: Mapping[str, Tensor]) -> None:
        save_file(dict(weights), folder / "table.safetensors")


def test_a_class_of_the_users_is_trained_and_opened_with_its_folder(tmp_path: Path):
    lines = [{"query": f"a {at}", "positive": f"b {at}"} for at in range(8)]
    (tmp_path / "data.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    name = f"{__name__}:Own"
    made = override(BASE, [f"model={name}", f"data={tmp_path / 'data.jsonl'}", "max_steps=2", "learning_rate=0.1"])
    folder = train(made, tmp_path / "out", Recorder())
    trained = open_model(name, ModelSettings(options={"folder": str(folder)})).load()
    assert not torch.allclose(trained.network.weight, Own().network.weight, atol=1e-2)
    assert "opens" not in json.loads((folder / "llave_training.json").read_text())


def test_parameters_of_one_number_have_an_axis_while_they_are_sharded_and_none_in_a_checkpoint():
    module = torch.nn.Module()
    module.inner = torch.nn.Linear(2, 2)
    module.inner.scale = torch.nn.Parameter(torch.tensor(3.0), requires_grad=False)
    before = {name: each.clone() for name, each in module.state_dict().items()}
    names = state.with_an_axis(module)
    assert names == {"inner.scale"}
    assert (module.inner.scale.shape, module.inner.scale.requires_grad) == ((1,), False)
    back = state.reshaped(module.state_dict(), names, ())
    assert {name: each.shape for name, each in back.items()} == {name: each.shape for name, each in before.items()}
    assert all(torch.equal(back[name], each) for name, each in before.items())
    kinds = {"step": torch.tensor(1.0), "exp_avg": torch.zeros(1), "exp_avg_sq": torch.zeros(1)}
    joined = state.join({"inner.scale": module.inner.scale.detach()}, {"inner.scale": kinds})
    assert {each.shape for each in state.reshaped(joined, names, ()).values()} == {()}
