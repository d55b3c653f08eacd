"""Training runs: their files, their reproducibility, and how they resume after a kill."""

from __future__ import annotations

import itertools
import json
import math
import re
import shutil
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from harness.errors import RunFailed, UserError
from harness.media.digests import folder_digest
from harness.models.llave.embedder import open_llave
from harness.results.renamed import RENAMED
from harness.types import Item, Media, ModelHandle, ModelSettings
from tests.helpers import llave_files, training_files
from tests.helpers.train_child import LOST, REFUSED, UNEVEN, in_children
from tests.helpers.training_files import Recorder, config, run, same, weights, write_place, write_table
from trainers.config import CHANGEABLE
from trainers.engine.backend import AccelerateBackend
from trainers.engine.checkpoint import STATE, checkpoints
from trainers.engine.schedule import learning_rate
from trainers.monitor.evaluation import CheckpointEvaluator
from trainers.train import train

forget_precision = pytest.fixture(autouse=True)(training_files.forget_precision)
one_thread = pytest.fixture(autouse=True, scope="module")(llave_files.one_thread)
LARGE = ("precision=bf16", "gradient_checkpointing=true", "micro_batch=4", "frozen=vision")
ALL = (
    "hard_negatives=true",
    "learn_temperature=true",
    "lora_rank=2",
    "lora_dropout=0.5",
    "gradient_accumulation_steps=2",
)


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    return write_place(tmp_path_factory.mktemp("training"))


@pytest.fixture(scope="module")
def plain(place: Path) -> Path:
    return run(place, "plain")


def rows(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def test_a_checkpoint_opens_in_the_harness_and_differs_from_the_start(place: Path, plain: Path):
    item = Item("what colour ?", (Media("image", "0.png", place / "data" / "images"),))
    vectors = []
    for folder in (place / "begin", plain):
        model = open_llave(f"llave/{folder}", ModelSettings("cpu")).load()
        vectors.append(model.embed([model.prepare(item, "query")]))
    assert torch.allclose(torch.cat(vectors).norm(dim=1), torch.ones(2))
    assert not torch.allclose(*vectors, atol=1e-3)


def test_a_checkpoint_says_how_it_came_about(plain: Path):
    record = json.loads((plain / "llave_training.json").read_text())
    assert (record["recipe"], record["step"], record["pairs_seen"]) == ("test", 4, 32)
    assert record["pairs"] == {"ask": 12, "find": 12}
    recipe = json.loads((plain / "recipe.json").read_text())
    assert recipe["learning_rate"] == 1e-3
    assert record["settings"] == {name: value for name, value in recipe.items() if name not in CHANGEABLE}


def test_other_settings_under_one_name_are_told_apart_and_those_that_decide_no_weight_are_not(place: Path):
    found = [
        run(place, f"one-{name}", "max_steps=1", name)
        for name in ("save_total_limit=3", "save_total_limit=9", "alpha=0")
    ]
    one, two, other = [(folder / "llave_training.json").read_text() for folder in found]
    assert one == two != other


def test_a_part_of_the_weights_is_trained_and_recorded(place: Path, plain: Path):
    """Each part gives other weights of the network, unless alpha is 0: then each is InfoNCE."""
    parts = [run(place, name, f"hardness={name}") for name in ("relative", "total", "unstopped")]
    parts += [plain, run(place, "margin", "margin=1.5")]
    assert not any(same(one, other, 1e-7) for one, other in itertools.combinations(parts, 2))
    saved = [json.loads((folder / "llave_training.json").read_text())["settings"] for folder in parts]
    assert [each["hardness"] for each in saved] == ["relative", "total", "unstopped", "llave", "llave"]
    assert [each["margin"] for each in saved] == [0, 0, 0, 0, 1.5]
    infonce, relative = (run(place, f"infonce-{kind}", "alpha=0", f"hardness={kind}") for kind in ("llave", "relative"))
    assert same(infonce, relative)


def test_the_identity_does_not_depend_on_the_training_state(plain: Path, tmp_path: Path):
    copy = shutil.copytree(plain, tmp_path / plain.name)
    before = folder_digest(copy)
    shutil.rmtree(copy / STATE)
    assert folder_digest(copy) == before


def test_a_run_repeats_itself_and_the_loss_falls(place: Path, plain: Path):
    assert same(plain, run(place, "again"))
    log = rows(place / "plain")
    assert [row["step"] for row in log] == [1, 2, 3, 4]
    longer = rows(run(place, "longer", "max_steps=25", "save_steps=25").parent)
    assert longer[-1]["loss"] < 0.8 * longer[0]["loss"]


def test_another_seed_gives_other_weights(place: Path, plain: Path):
    assert not same(plain, run(place, "seeded", "seed=1"), 1e-4)


@pytest.mark.parametrize("settings", [(), ALL, LARGE], ids=["plain", "all", "large"])
def test_a_killed_run_goes_on_to_the_same_weights_bit_for_bit(place: Path, settings: tuple[str, ...], request):
    name = f"killed-{len(settings)}"
    whole = run(place, f"whole-{len(settings)}", "max_steps=6", *settings)
    assert in_children(place, name, ["max_steps=6", *settings], kill_at=4) == [-9]
    assert [each.name for each in checkpoints(place / name)] == ["checkpoint-2"]
    resumed = run(place, name, "max_steps=6", *settings, resume=True)
    assert same(whole, resumed)
    assert (whole / "model.safetensors").read_bytes() == (resumed / "model.safetensors").read_bytes()
    assert [row["step"] for row in rows(place / name)] == [1, 2, 3, 4, 5, 6]
    assert [r["loss"] for r in rows(place / name)] == [r["loss"] for r in rows(whole.parent)]


@pytest.mark.parametrize(
    "settings", [(), ("hard_negatives=true", "learn_temperature=true")], ids=["plain", "negatives"]
)
def test_micro_batches_change_nothing_but_memory(place: Path, settings: tuple[str, ...]):
    name = f"{len(settings)}"
    # AdamW enlarges the rounding of tiny gradients; a wrong gradient moves a weight by the learning rate, 1e-3
    assert same(run(place, f"dense{name}", *settings), run(place, f"cached{name}", "micro_batch=2", *settings), 1e-4)


def test_a_killed_process_stops_the_others_and_leaves_the_last_checkpoint_whole(place: Path):
    began = time.monotonic()
    assert in_children(place, "peers", ["max_steps=40"], processes=2, kill_at=3, kill_rank=1) == [LOST, -9]
    assert time.monotonic() - began < 60
    assert [each.name for each in checkpoints(place / "peers")] == ["checkpoint-2"]
    assert run(place, "peers", "max_steps=40", resume=True).name == "checkpoint-40"


def test_what_the_main_process_refuses_stops_the_others(place: Path):
    (place / "data" / "images" / "0.png").rename(place / "away.png")
    try:
        assert in_children(place, "refused", [], processes=2) == [REFUSED, LOST]
    finally:
        (place / "away.png").rename(place / "data" / "images" / "0.png")


def test_shards_train_and_go_on_as_one_process_does(place: Path):
    assert in_children(place, "shards", UNEVEN, processes=2, kill_at=3, sharding="fsdp2") == [-9, LOST]
    assert [each.name for each in checkpoints(place / "shards")] == ["checkpoint-2"]
    assert in_children(place, "shards", UNEVEN, processes=2, resume=True, sharding="fsdp2") == [0, 0]
    assert same(run(place, "unsharded", *UNEVEN), place / "shards" / "checkpoint-4", 1e-4)


def test_two_processes_train_as_one_does(place: Path):
    settings = (
        "hard_negatives=true",
        "learn_temperature=true",
        "micro_batch=none",
        "max_steps=3",
        "learning_rate=1e-4",
    )
    assert in_children(place, "two", [*settings, "device=auto"], processes=2) == [0, 0]
    assert same(run(place, "one", *settings), place / "two" / "checkpoint-3", 1e-4)
    assert json.loads((place / "two" / "checkpoint-3" / "llave_training.json").read_text())["processes"] == 2


@pytest.mark.parametrize(
    ("frozen", "kept"),
    [
        ("vision", "vision_tower"),
        ("projector", "mm_projector"),
        ("tower,language", "model.layers"),
        ("vision,language", "model.layers"),
    ],
)
def test_frozen_parts_keep_their_weights(place: Path, frozen: str, kept: str):
    before, after = weights(place / "begin"), weights(run(place, f"frozen-{frozen}", f"frozen={frozen}", "max_steps=2"))
    still = {name for name in before if torch.equal(before[name], after[name])}
    assert {name for name in before if kept in name} <= still
    assert still < set(before)


def test_adapters_are_saved_alone_and_merged(place: Path):
    """The start, the adapter and what else has learned, put together, are the merged checkpoint."""
    from peft import PeftModel

    folder = run(place, "lora", "lora_rank=2", "frozen=vision", "learning_rate=0.05")
    start = open_llave(f"llave/{place / 'begin'}", ModelSettings("cpu")).load().network
    merged = open_llave(f"llave/{folder}", ModelSettings("cpu")).load().network
    rest = load_file(folder / "adapter" / "non_lora_trainables.safetensors")
    assert {name.split(".")[0] for name in rest} == {"projector", "image_newline"}
    start.load_state_dict(rest, strict=False)
    start.language = PeftModel.from_pretrained(start.language, folder / "adapter").merge_and_unload().eval()
    for name, each in merged.state_dict().items():
        assert torch.allclose(start.state_dict()[name], each, atol=1e-5), name
    assert not torch.allclose(
        weights(place / "begin")["model.mm_projector.0.weight"], rest["projector.0.weight"], atol=1e-2
    )


def test_what_is_not_finite_stops_with_step_rows_and_the_last_good_checkpoint(place: Path):
    with pytest.raises(RunFailed) as failed:
        run(
            place, "burst", "learning_rate=1e30", "max_grad_norm=0", "save_steps=1", "save_total_limit=9", "max_steps=9"
        )
    assert "Step " in failed.value.what
    assert "ask" in failed.value.what
    assert "row " in failed.value.what
    last = checkpoints(place / "burst")[-1]
    assert str(last) in failed.value.hint
    open_llave(f"llave/{last}", ModelSettings("cpu"))


def test_a_gradient_that_is_not_finite_is_of_all_parts_and_every_row_is_listed(
    place: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(AccelerateBackend, "step", lambda _self, _lr: math.inf)
    with pytest.raises(RunFailed, match=r"Step 1: the gradient's norm is inf.* of ask, find") as failed:
        run(place, "huge", "gradient_accumulation_steps=4", "batches=single")
    assert "no checkpoint yet" in failed.value.hint
    listed = [json.loads(line) for line in (place / "huge" / "not-finite.jsonl").read_text().splitlines()]
    assert len(listed) == 8
    assert {line["dataset"] for line in listed} == {"ask", "find"}


def test_weights_that_are_not_finite_are_never_saved(place: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(AccelerateBackend, "state", lambda _self: {"weight/a": torch.tensor([1.0, math.nan])})
    with pytest.raises(RunFailed, match="Step 2: the weights are no longer finite"):
        run(place, "infinite")
    assert not checkpoints(place / "infinite")


@pytest.mark.parametrize(
    "error", [SafetensorError("I/O error: No space left on device (os error 28)"), OSError(28, "")]
)
def test_a_full_disk_leaves_the_last_checkpoint_from_which_the_run_goes_on(
    place: Path, plain: Path, error: Exception, monkeypatch: pytest.MonkeyPatch
):
    name, broken = f"full-{type(error).__name__}", "safetensors.torch.save_file"
    whole, room = save_file, [2]  # a checkpoint's weights and state

    def filling(tensors: dict[str, torch.Tensor], path: Path, metadata: dict[str, str]) -> None:
        whole(tensors, path, metadata)
        room[0] -= 1
        if room[0] < 0:
            path.write_bytes(path.read_bytes()[:99])
            raise error

    with monkeypatch.context() as patch:
        patch.setattr(broken, filling)
        with pytest.raises(UserError, match=r"(No space left|disk is full).*(?s:.)*[Ff]ree some space"):
            run(place, name)
    assert [each.name for each in checkpoints(place / name)] == ["checkpoint-2"]
    assert {each.name for each in (place / name).glob(".*")} <= {".lock"}
    assert same(plain, run(place, name, resume=True))


def test_a_checkpoint_without_its_state_or_with_a_damaged_one_is_not_gone_on_from(place: Path):
    folder = run(place, "stateless", "max_steps=2")
    path = folder / STATE / "state.safetensors"
    path.write_bytes(path.read_bytes()[:999])
    with pytest.raises(UserError, match=r"state\.safetensors is not a whole safetensors file") as refused:
        run(place, "stateless", "max_steps=2", resume=True)
    assert f"model={folder}" in refused.value.hint
    shutil.rmtree(folder / STATE)
    with pytest.raises(UserError, match="no state to resume from"):
        run(place, "stateless", "max_steps=2", resume=True)
    assert checkpoints(place / "stateless") == [folder]


@pytest.mark.parametrize("lost", ["weight/", "moment/"])
def test_a_state_that_lacks_a_tensor_or_has_another_shape_is_not_gone_on_from(place: Path, lost: str):
    folder = run(place, f"lacking-{lost[:-1]}", "max_steps=2")
    path = folder / STATE / "state.safetensors"
    tensors = load_file(path)
    name = next(each for each in tensors if each.startswith(lost) and not each.endswith("/step"))
    for changed, why in (
        ({each: value for each, value in tensors.items() if each != name}, f"it lacks {name}"),
        ({**tensors, name: tensors[name][None].contiguous()}, f"{name} has the shape"),
    ):
        save_file(changed, path)
        with pytest.raises(UserError, match=re.escape(f"{path} is not the state of this run: {why}")):
            run(place, folder.parent.name, "max_steps=2", resume=True)


def test_a_run_that_came_to_nothing_leaves_no_start_for_another_seed(place: Path):
    made = replace(config(place, "max_steps=1"), model="scratch")
    with pytest.raises(UserError, match="9999"):
        train(replace(made, matryoshka_dims=(9999,)), place / "sown", Recorder())
    again, anew = (train(replace(made, seed=1), place / name, Recorder()) for name in ("sown", "sown-anew"))
    assert same(again, anew)


def test_what_is_left_out_is_said_and_listed_and_resuming_needs_the_same_pairs(place: Path):
    image, progress = place / "data" / "images" / "7.png", Recorder()
    image.rename(place / "away.png")
    try:
        out = train(config(place, "on_bad_media=skip"), place / "skipping", progress).parent
    finally:
        (place / "away.png").rename(image)
    assert any("3 pairs left out" in note and "skipped.jsonl" in note for note in progress.notes)
    assert len((out / "skipped.jsonl").read_text().splitlines()) == 3
    record = json.loads((out / "checkpoint-4" / "llave_training.json").read_text())
    assert record["pairs_left_out"] == {"ask": 1, "find": 2}
    with pytest.raises(UserError, match=r"changed since .*'find': 10.*'find': 12"):
        run(place, "skipping", "on_bad_media=skip", resume=True)


def test_a_killed_run_on_texts_alone_goes_on_bit_for_bit(place: Path, tmp_path: Path):
    """No gradient comes to what images pass through, and so the optimizer knows nothing of it."""
    texts = {"qry": [f"number {at}" for at in range(8)], "pos_text": [str(at) for at in range(8)]}
    write_table(tmp_path / "data", "texts", {**texts, **dict.fromkeys(("qry_image_path", "pos_image_path"), [""] * 8)})
    (tmp_path / "begin").symlink_to(place / "begin")
    whole = run(tmp_path, "whole")
    assert in_children(tmp_path, "killed", [], kill_at=3) == [-9]
    assert same(whole, run(tmp_path, "killed", resume=True))


def test_resuming_needs_the_very_same_pairs(place: Path, tmp_path: Path):
    pairs = [{"query": f"number {at}", "positive": str(at)} for at in range(8)]
    path = tmp_path / "mine.jsonl"

    def train_on(pairs: list[dict[str, str]]) -> None:
        path.write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
        train(replace(config(place, "max_steps=2"), data=str(path)), tmp_path / "out", Recorder(), resume=True)

    for _ in range(2):
        train_on(pairs)
    for other in (pairs[::-1], [*pairs[:-1], {"query": "number 7", "positive": "8"}]):
        with pytest.raises(UserError, match="the pairs differ"):
            train_on(other)


def test_tensorboard_gets_what_the_log_has(place: Path):
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    out = run(place, "board", "report_to=tensorboard").parent
    run(place, "board", "report_to=tensorboard", resume=True)
    events = reader.EventAccumulator(str(out / "tensorboard")).Reload()
    for name in ("loss", "grad_norm", "learning_rate", "pairs_per_second", "overlap"):
        found = {event.step: event.value for event in events.Scalars(name)}
        assert found == pytest.approx({row["step"]: row[name] for row in rows(out)}, rel=1e-6)


def test_copies_of_a_file_are_one_target_in_a_run(place: Path, tmp_path: Path):
    """As if the pairs had named the same file."""
    (tmp_path / "begin").symlink_to(place / "begin")
    images = shutil.copytree(place / "data" / "images", tmp_path / "data" / "images")
    shutil.copy(images / "0.png", images / "copy.png")
    losses = []
    for second in ("0.png", "copy.png", "1.png"):
        names = {"qry_image_path": [""] * 4, "pos_image_path": ["0.png", second, "2.png", "3.png"]}
        texts = {"qry": [f"number {at}" for at in range(4)], "pos_text": ["<|image_1|>\nan image\n"] * 4}
        write_table(tmp_path / "data", "find", {**texts, **names})
        losses.append(rows(run(tmp_path, second, "batch=4", "max_steps=1").parent)[0]["loss"])
    assert losses[0] == losses[1] != losses[2]


def test_a_run_says_what_a_person_should_know_of_its_data(place: Path):
    progress = Recorder()
    train(config(place, "max_steps=1"), place / "told", progress)
    assert any("12 pairs with negatives, which are not used" in note for note in progress.notes)


def test_the_log_says_how_similarities_lie_for_each_dataset(place: Path):
    """Of a batch of one dataset what is said of the batch; of one with few pairs nothing."""
    (row,) = rows(run(place, "by-dataset", "batch=24", "max_steps=1").parent)
    (single,) = rows(run(place, "by-one", "batch=12", "max_steps=1", "datasets=ask").parent)
    (few,) = rows(run(place, "by-few", "batch=6", "max_steps=1").parent)
    assert set(row["datasets"]) == {"ask", "find"}
    assert row["datasets"]["ask"]["overlap"] != row["datasets"]["find"]["overlap"]
    assert single["datasets"]["ask"].items() <= single.items()
    assert few["datasets"] == {}


def test_tensorboard_that_is_missing_is_named_with_its_extra(place: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(UserError, match="report_to names tensorboard") as refused:
        run(place, "no-board", "report_to=tensorboard")
    assert "llave-bench[train]" in refused.value.hint


def test_peft_that_is_missing_is_named_with_its_extra(place: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(UserError, match="peft") as refused:
        run(place, "no-peft", "lora_rank=2")
    assert "llave-bench[train]" in refused.value.hint


def test_a_folder_with_a_run_is_neither_overwritten_nor_continued_with_other_settings(place: Path, plain: Path):
    with pytest.raises(UserError, match="already holds a run"):
        run(place, "plain")
    with pytest.raises(UserError, match=r"alpha was 9\.0, now 3\.0"):
        run(place, "plain", "alpha=3", resume=True)
    assert run(place, "plain", "logging_steps=2", resume=True) == plain


def test_a_run_that_an_older_version_wrote_is_resumed_to_the_same_weights(place: Path, plain: Path):
    """Its recipe has the old names."""
    assert in_children(place, "older", [], kill_at=3) == [-9]
    path = place / "older" / "checkpoint-2" / "recipe.json"
    saved = json.loads(path.read_text())
    old = {name: saved.pop(new) for name, new in RENAMED.items() if name != "scale"} | {"scale": 20.0}
    assert saved.pop("temperature") == 0.05
    path.write_text(json.dumps({**saved, **old}))
    with pytest.raises(UserError, match=r"temperature was 0\.05, now 0\.1"):
        run(place, "older", "temperature=0.1", resume=True)
    assert same(plain, run(place, "older", "scale=20", resume=True))


def test_the_score_in_training_is_the_score_of_the_checkpoint(place: Path, llave, tmp_path: Path):
    names = [{"target": colour, "text": colour} for colour in ("red", "green", "blue")]
    asked = [
        {
            "query": str(at),
            "image": f"{at}.png",
            "text": "what colour ?",
            "positives": [["red", "green", "blue"][at % 3]],
        }
        for at in range(9)
    ]
    data = place / "data" / "images" / "colours.jsonl"
    data.write_text("".join(json.dumps(line) + "\n" for line in (*names, *asked)))
    folder = run(place, "scored", "eval_steps=2", f"eval_data={data}", "eval_suite=none", "save_total_limit=1")
    scored = [row for row in rows(place / "scored") if "scores" in row]
    assert [row["step"] for row in scored] == [2, 4]
    best = json.loads((place / "scored" / "best.json").read_text())
    assert best["score"] == max(row["mean"] for row in scored)
    assert {each.name for each in checkpoints(place / "scored")} == {f"checkpoint-{best['step']}", "checkpoint-4"}
    done = llave(
        "run", folder, "--data", data, "--out", tmp_path / "o", "--store", tmp_path / "s", "--json", "--device", "cpu"
    )
    offline = json.loads(done.out)["results"][0]
    assert offline["metrics"][offline["main_metric"]]["value"] == scored[-1]["scores"]["colours"]


def test_an_evaluation_that_was_cut_off_is_made_up_for(place: Path, monkeypatch: pytest.MonkeyPatch):
    data = place / "data" / "images" / "two.jsonl"
    lines = [{"target": "red", "text": "red"}, {"target": "green", "text": "green"}]
    asked = {"query": "0", "image": "0.png", "text": "what colour ?", "positives": ["red"]}
    data.write_text("".join(json.dumps(line) + "\n" for line in (*lines, asked)))
    settings = ("eval_steps=2", f"eval_data={data}", "eval_suite=none")
    whole, asleep = CheckpointEvaluator.scores, [False, True]

    def scores(self: CheckpointEvaluator, handle: ModelHandle) -> Mapping[str, float]:
        if asleep.pop(0):
            raise KeyboardInterrupt
        return whole(self, handle)

    with monkeypatch.context() as patch:
        patch.setattr(CheckpointEvaluator, "scores", scores)
        with pytest.raises(KeyboardInterrupt):
            run(place, "cut-off", *settings)
    for _ in range(2):
        run(place, "cut-off", *settings, resume=True)
        assert [row["step"] for row in rows(place / "cut-off") if "scores" in row] == [2, 4]


def test_the_learning_rate_rises_in_a_line_and_falls_as_a_cosine():
    made = config(Path(), "learning_rate=1", "warmup_ratio=0.1")
    rates = [learning_rate(made, step, 100) for step in range(1, 101)]
    assert rates[:10] == pytest.approx([step / 10 for step in range(1, 11)])
    assert rates[10:] == pytest.approx([0.5 + 0.5 * math.cos(math.pi * at / 90) for at in range(90)])
