"""What goes wrong in training is refused, or counted and said."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from harness.errors import UserError
from tests.helpers import llave_files, training_files
from tests.helpers.training_files import BASE, Recorder, config, run, same, write_place
from trainers.config import TrainingConfig, override
from trainers.engine.launch import join
from trainers.engine.run_folder import locked
from trainers.engine.step import equal_pairs, first_of_each, suspected
from trainers.train import train

forget_precision = pytest.fixture(autouse=True)(training_files.forget_precision)
one_thread = pytest.fixture(autouse=True, scope="module")(llave_files.one_thread)


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    return write_place(tmp_path_factory.mktemp("faults"))


def rows(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def on_pairs(place: Path, folder: Path, pairs: list[dict], *settings: str) -> TrainingConfig:
    path = folder / "mine.jsonl"
    path.write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    return replace(config(place, *settings), data=str(path))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (("datasets=a,a,b",), "datasets names a twice"),
        (("eval_tasks=demo-object,demo-object",), "twice"),
        (("matryoshka_dims=8,8",), "twice"),
        (("report_to=wandb,wandb",), "twice"),
        (("seed=99999999999999999999",), "seed is 9999"),
        (("max_steps=99999999999999999999",), "max_steps is 9999"),
        (("direction=target", "hard_negatives=true"), "direction is target"),
    ],
)
def test_settings_of_no_use_are_refused_when_the_config_is_made(settings: tuple[str, ...], said: str):
    with pytest.raises(UserError, match=said):
        override(BASE, list(settings))


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_pairs_in_another_encoding_are_named(place: Path, tmp_path: Path, encoding: str):
    path = tmp_path / "mine.jsonl"
    path.write_text('{"query": "é", "positive": "è"}\n' * 8, encoding)
    with pytest.raises(UserError, match=r"mine\.jsonl"):
        train(replace(config(place), data=str(path)), tmp_path / "out", Recorder())


@pytest.mark.parametrize("shape", ["[1, 2]", '{"alpha": {"a": 1}}', '{"data": [], "alpha": null}', "no json"])
def test_a_recipe_of_another_shape_is_refused(place: Path, tmp_path: Path, shape: str):
    run(place, f"shape-{len(shape)}", "max_steps=2")
    (place / f"shape-{len(shape)}" / "checkpoint-2" / "recipe.json").write_text(shape)
    with pytest.raises(UserError, match="checkpoint-2"):
        run(place, f"shape-{len(shape)}", "max_steps=2", resume=True)


def test_a_checkpoint_decides_what_a_run_goes_on_with_and_not_a_file_beside_it(place: Path):
    """In another folder, with a recipe of another run beside it."""
    run(place, "first", "max_steps=2")
    shutil.copytree(place / "first" / "checkpoint-2", place / "moved" / "checkpoint-2")
    changed = json.loads((place / "first" / "recipe.json").read_text()) | {"alpha": 3.0, "learning_rate": 0.5}
    for text in (None, json.dumps(changed)):
        if text:
            (place / "moved" / "recipe.json").write_text(text)
        with pytest.raises(UserError, match=r"alpha was 9\.0, now 3\.0"):
            run(place, "moved", "max_steps=2", "alpha=3", "learning_rate=0.5", resume=True)


def test_a_folder_takes_one_run_at_a_time(place: Path, tmp_path: Path):
    with locked(tmp_path), pytest.raises(UserError, match=r"in use by another run: process \d+ on "):
        train(config(place), tmp_path, Recorder())
    assert train(config(place, "max_steps=1"), tmp_path, Recorder()).name == "checkpoint-1"


def test_what_decides_no_weight_may_change_when_a_run_goes_on(place: Path):
    whole = run(place, "steady", "max_steps=4")
    shutil.copytree(place / "steady", place / "changed")
    shutil.rmtree(place / "changed" / "checkpoint-4")
    (place / "changed" / "checkpoint-2").mkdir(exist_ok=True)
    run(place, "short", "max_steps=4", "save_steps=1", "save_total_limit=9")
    assert same(whole, run(place, "short", "max_steps=4", "micro_batch=2", "device=auto", resume=True), 2e-5)


def test_cut_items_are_counted_and_said(place: Path):
    progress = Recorder()
    folder = train(config(place, "max_length=3", "datasets=ask", "max_steps=2"), place / "cut", progress)
    record = json.loads((folder / "llave_training.json").read_text())["lost"]
    assert record["cut_items"] == 2 * 2 * 8
    assert [row["cut_items"] for row in rows(place / "cut")] == [16, 16]
    assert any("32 cut items" in note for note in progress.notes)


def test_a_batch_whose_targets_are_equal_is_said_to_have_no_negative(place: Path, tmp_path: Path):
    progress = Recorder()
    pairs = [{"query": f"number {at}", "positive": "red"} for at in range(8)]
    train(on_pairs(place, tmp_path, pairs, "max_steps=1"), tmp_path / "out", progress)
    (row,) = rows(tmp_path / "out")
    assert (row["queries_without_negatives"], row["masked_pairs"], row["steps_without_gradient"]) == (8, 56, 1)
    assert any("gradient of step 1 is exactly 0" in note for note in progress.notes)
    assert any("1 steps without gradient" in note for note in progress.notes)


def test_a_log_line_after_a_resume_is_that_of_a_run_that_was_not_interrupted(place: Path):
    """Lines cover three steps, and the run stops between two of them."""

    class Stop(Recorder):
        def advance(self, steps: int = 1, state: str = "") -> None:
            super().advance(steps, state)
            if len(self.states) == 5:
                raise KeyboardInterrupt

    made = config(place, "max_steps=6", "logging_steps=3", "save_steps=4")
    train(made, place / "smooth", Recorder())
    with pytest.raises(KeyboardInterrupt):
        train(made, place / "rough", Stop())
    train(made, place / "rough", Recorder(), resume=True)
    timed = ("pairs_per_second", "tokens_per_second", "seconds")
    smooth, rough = (
        [{k: v for k, v in row.items() if k not in timed} for row in rows(place / name)] for name in ("smooth", "rough")
    )
    assert smooth == rough
    assert len(smooth) == 2


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "8", "ACCELERATE_GRADIENT_ACCUMULATION_STEPS is 8"),
        ("ACCELERATE_DYNAMO_BACKEND", "INDUCTOR", "ACCELERATE_DYNAMO_BACKEND"),
        ("ACCELERATE_USE_MEGATRON_LM", "true", "MEGATRON"),
        ("ACCELERATE_USE_FSDP", "true", "Version 1 of FSDP"),
        ("WORLD_SIZE", "2", "WORLD_SIZE is 2, but there is no RANK"),
    ],
)
def test_what_the_environment_would_change_is_refused(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, said: str
):
    for name in ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, value)
    with pytest.raises(UserError, match=said):
        join(BASE)


def test_fsdp_without_a_gpu_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    monkeypatch.setenv("FSDP_VERSION", "2")
    with pytest.raises(UserError, match="FSDP needs a GPU"):
        join(BASE)


def test_a_model_that_is_not_made_of_torch_modules_is_refused(place: Path):
    with pytest.raises(UserError, match=r"classical .*cannot be trained"):
        train(replace(config(place), model="classical"), place / "classical", Recorder())


def test_negatives_that_are_copies_count_once_and_never_beside_the_target_itself():
    targets, negatives = torch.tensor([1, 2, 3]), torch.tensor([7, 2, 8, 7, 3, 9])
    assert first_of_each(negatives, targets).tolist() == [0, 2, 5]
    assert first_of_each(negatives[:0], targets).tolist() == []


def test_masked_pairs_are_those_of_a_whole_comparison():
    draw = torch.Generator().manual_seed(0)
    query_ids, target_ids = (torch.randint(0, 6, (40,), generator=draw) for _ in range(2))
    equal = (query_ids[:, None] == query_ids) | (target_ids[:, None] == target_ids)
    assert equal_pairs(query_ids, target_ids).tolist() == (equal.sum(1) - 1).tolist()
    query, target = (torch.nn.functional.normalize(torch.randn(40, 4, generator=draw), dim=1) for _ in range(2))
    scores = query @ target.T
    assert suspected(query, target, 0.1) == int((scores > scores.diagonal()[:, None] + 0.1).sum())


def test_a_negative_that_is_a_copy_of_another_target_changes_nothing(place: Path, tmp_path: Path):
    losses = []
    for negatives in ([], ["red"]):
        pairs = [{"query": f"number {at}", "positive": ["red", "blue"][at % 2], "negatives": []} for at in range(4)]
        pairs[1]["negatives"] = negatives
        settings = ("batch=4", "max_steps=1", "hard_negatives=true")
        train(on_pairs(place, tmp_path, pairs, *settings), tmp_path / f"out-{len(negatives)}", Recorder())
        losses.append(rows(tmp_path / f"out-{len(negatives)}")[0]["loss"])
    assert losses[0] == losses[1]
