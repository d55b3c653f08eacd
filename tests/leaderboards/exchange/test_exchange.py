"""Scores go out in other projects' forms and come back as they were."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from harness.errors import UserError
from leaderboards.exchange.files import SUFFIX, imported_rows, load_imported
from leaderboards.exchange.model_card import model_card
from leaderboards.exchange.reading import read_scores
from leaderboards.load import load
from leaderboards.submission.mmeb import score_file
from tasks.suites import Suite, find_suite
from tests.helpers.record_values import row_at, write_honest
from tests.helpers.result_values import result

MMEB = find_suite("mmeb")
SHARED = Path(__file__).resolve().parents[3] / "../shared/mmeb/published_scores.json"

Command = Callable[..., int]


@pytest.fixture
def command() -> Command:
    """A command, as the front door calls it."""
    import argparse
    from importlib import import_module

    def call(name: str, *arguments: object) -> int:
        module = import_module(f"llave.cli.share.{name}")
        parser = argparse.ArgumentParser()
        module.add_arguments(parser)
        return module.run(parser.parse_args([str(each) for each in arguments]))

    return call


def _public(model: str = "M-2B", **metadata: object) -> dict:
    """A score file as the leaderboard has them, with what makes round trips hard."""
    generator = random.Random(model)
    image = {
        task: {"hit@1": generator.random(), "hit@5": 1.0, "ndcg_linear@5": 1 / 3, "num_pred": 1000, "num_data": 1000}
        for task in MMEB.tasks
    }
    image["GQA"], image["EDIS"] = "FILE_N/A", "JSON_ERROR"
    video = {"MSR-VTT": {"hit@1": 0.1 + 0.2, "hit@10": 1e-05, "num_pred": 1000}}
    metrics = {"image": image, "visdoc": {"ViDoSeek-page": {"ndcg_linear@5": 0}}, "video": video, "audio": {}}
    return {"metadata": {"model_name": model, "url": None, "Ünknown": [1], **metadata}, "metrics": metrics}


def _write(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def test_score_files_come_back_to_the_last_value(tmp_path, command):
    """Two of one model, too: neither hides the other, and importing twice changes nothing."""
    contents = [_public("a/b"), _public("a/b", report_generated_date="2025-08-15T21:47:53"), _public("c")]
    files = [_write(tmp_path / f"{number}.json", content) for number, content in enumerate(contents)]
    for _ in range(2):
        assert command("import_", *files, "--out", tmp_path / "in") == 0
    imported = sorted((tmp_path / "in").iterdir())
    assert len(imported) == 3
    back = []
    for number, path in enumerate(imported):
        out = tmp_path / "out" / f"{number}.json"
        assert command("export", path, "--format", "mmeb", "-o", out) == 0
        back.append(json.dumps(json.loads(out.read_text(encoding="utf-8"))))
    assert sorted(back) == sorted(map(json.dumps, contents))


def test_the_public_score_files_come_back_to_the_last_value(tmp_path, command):
    """The eight files of each version, as far as their scores were gathered."""
    if not SHARED.exists():
        pytest.skip("the gathered scores are not beside the repository")
    versions = json.loads(SHARED.read_text(encoding="utf-8"))["per_dataset_v2_json"]["versions"]
    for version, models in versions.items():
        assert len(models) == 8
        sent = {name: _content(row) for name, row in models.items()}
        files = [_write(tmp_path / version / f"{name}.json", content) for name, content in sent.items()]
        assert command("import_", *files, "--out", tmp_path / f"{version}-in") == 0
        assert command("export", tmp_path / f"{version}-in", "-o", tmp_path / f"{version}-out") == 0
        back = [json.loads(path.read_text(encoding="utf-8")) for path in (tmp_path / f"{version}-out").iterdir()]
        assert {each["metadata"]["model_name"]: json.dumps(each) for each in back} == {
            name: json.dumps(content) for name, content in sent.items()
        }
        for row in imported_rows([tmp_path / f"{version}-in"]):
            image = models[row.model]["image_hit1"]
            assert {task: row.scores[task] for task in MMEB.tasks} == {task: image[task] / 100 for task in MMEB.tasks}
            assert row.kind == "imported"


def _content(row: dict) -> dict:
    image = {task: {"hit@1": value / 100, "num_pred": 1000} for task, value in row["image_hit1"].items()}
    video = {task: {"hit@1": value / 100} for task, value in row["all_video_hit1"].items()}
    return {"metadata": row["metadata"], "metrics": {"image": image, "video": video}}


def test_an_imported_row_says_what_the_file_says(tmp_path, command):
    content = _public(model_size="8.03B", embedding_dimension=1536, report_generated_date="2025-08-15T21:47:53")
    command("import_", _write(tmp_path / "x.json", content), "--out", tmp_path / "in")
    (row,) = imported_rows([tmp_path / "in"])
    assert (row.model, row.kind, row.size, row.width, row.source.date) == (
        "M-2B",
        "imported",
        8_030_000_000,
        1536,
        "2025-08-15",
    )
    assert row.scores["N24News"] == content["metrics"]["image"]["N24News"]["hit@1"]
    assert {"GQA", "EDIS"} & row.scores.keys() == set()
    assert row.more["hit@10"] == {"MSR-VTT-v2": 1e-05}


def test_older_files_become_one_row(tmp_path, command):
    folder = tmp_path / "llave-2b"
    for task, right in (("GQA", 684), ("MSCOCO", 870)):
        _write(folder / f"{task}_score.json", {"acc": right / 1000, "num_correct": right, "num_pred": 1000})
    assert command("import_", folder, "--out", tmp_path / "in") == 0
    (row,) = imported_rows([tmp_path / "in"])
    assert (row.model, dict(row.scores)) == ("llave-2b", {"GQA": 0.684, "MSCOCO": 0.87})
    (path,) = (tmp_path / "in").iterdir()
    image = load_imported(path).content["metrics"]["image"]
    assert list(image) == list(MMEB.tasks)
    assert image["CIRR"] == "FILE_N/A"


def test_results_of_mteb_become_one_row(tmp_path):
    folder = tmp_path / "results" / "org__model" / "1a2b"
    for task, score in (
        ("WebQA", {"hit_rate_at_1": 0.9, "ndcg_at_5": 0.95, "main_score": 0.95, "nauc_ndcg_at_5_std": float("nan")}),
        ("SUN397", {"accuracy": 0.7}),
    ):
        scores = {"test": [{**score, "hf_subset": "default", "languages": ["eng-Latn"]}]}
        _write(folder / f"{task}.json", {"task_name": task, "mteb_version": "2", "scores": scores})
    (imported,) = read_scores([folder]).imported
    assert imported.model == "org/model"
    _write(folder / "model_meta.json", {"name": "org/Model", "revision": "1a2b"})
    (imported,) = read_scores([folder]).imported
    image = imported.content["metrics"]["image"]
    assert imported.model == "org/Model"
    assert image["WebQA"] == {"hit@1": 0.9, "ndcg_linear@5": 0.95}
    assert image["SUN397"] == {"hit@1": 0.7}


def _with(task: str, value: object) -> dict:
    content = _public()
    content["metrics"]["image"][task] = value
    return content


BAD = {
    "truncated": ('{"metadata": {"model_na', "x.json is not valid JSON"),
    "a list": ("[]", "holds an array, not a JSON object"),
    "NaN": (json.dumps(_with("CIRR", {"hit@1": float("nan")})), "NaN"),
    "infinite": (json.dumps(_with("CIRR", {"hit@1": float("inf")})), "Infinity"),
    "percent": (json.dumps(_with("CIRR", {"hit@1": 54.5})), "hit@1 of CIRR is not a fraction"),
    "text": (json.dumps(_with("CIRR", {"hit@1": "54"})), "hit@1 of CIRR is not a number"),
    "neither": (json.dumps(_with("CIRR", 0.5)), "CIRR has neither"),
    "text in place of scores": (
        json.dumps(_with("CIRR", "57.2%")),
        "neither scores nor FILE_N/A, but '57.2%'",
    ),
    "percent as text": (json.dumps(_with("CIRR", {"hit@1": "57.2%"})), "hit@1 of CIRR is not a number: '57.2%'"),
    "truth value": (json.dumps(_with("CIRR", {"hit@1": True})), "hit@1 of CIRR is not a number: True"),
    "no score that a board shows": (
        json.dumps({"metadata": {"model_name": "m"}, "metrics": {"image": {"GQA": {"hit@5": 0.5}}}}),
        "has no hit@1 of a dataset of MMEB, so no board can show it",
    ),
    "only absent scores": (
        json.dumps({"metadata": {"model_name": "m"}, "metrics": {"image": {"GQA": "FILE_N/A"}, "video": {}}}),
        "has no hit@1 of a dataset of MMEB",
    ),
    "percent of mteb": (
        json.dumps({"task_name": "GQA", "scores": {"test": [{"hit_rate_at_1": 57.2, "hit_rate_at_5": 0.8}]}}),
        "hit_rate_at_1 57.2 looks like percent",
    ),
    "text of mteb": (
        json.dumps({"task_name": "GQA", "scores": {"test": [{"hit_rate_at_1": "57.2%"}]}}),
        "hit_rate_at_1 is not a number: '57.2%'",
    ),
    "NaN of mteb": (
        json.dumps({"task_name": "GQA", "scores": {"test": [{"hit_rate_at_1": float("nan")}]}}),
        "hit_rate_at_1 is not a number: nan",
    ),
    "nested": ("[" * 100_000 + "]" * 100_000, "more than 64 levels"),
    "null": (json.dumps(_with("CIRR", None)), "but None"),
    "misspelt": (json.dumps(_with("CIIR", {"hit@1": 0.5})), "Did you mean CIRR?"),
    "nameless": (json.dumps({"metadata": {}, "metrics": {"image": {}}}), "does not name its model"),
    "something else": ('{"hello": 1}', "Its keys: hello"),
    "acc of nothing": ('{"acc": 0.5, "num_correct": 1, "num_pred": 2}', "does not name its dataset"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_named_and_the_others_are_read(tmp_path, command, capsys, name):
    text, said = BAD[name]
    (tmp_path / "x.json").write_text(text)
    good = _write(tmp_path / "y.json", _public())
    assert command("import_", tmp_path / "x.json", good, tmp_path / "absent.json", "--out", tmp_path / "in") == 1
    complaints = capsys.readouterr().err
    assert said in complaints
    assert "x.json" in complaints
    assert "absent.json cannot be read" in complaints
    assert [row.model for row in imported_rows([tmp_path / "in"])] == ["M-2B"]


def test_an_edited_accuracy_and_a_dataset_given_twice_are_refused(tmp_path):
    _write(tmp_path / "m" / "GQA_score.json", {"acc": 0.9, "num_correct": 684, "num_pred": 1000})
    _write(tmp_path / "m" / "CIRR_score.json", {"acc": 0.5, "num_correct": 500, "num_pred": 1000})
    _write(tmp_path / "m" / "more" / "CIRR_score.json", {"acc": 0.6, "num_correct": 600, "num_pred": 1000})
    read = read_scores([tmp_path / "m"], model="m")
    assert ["684 of 1000" in error.what or "already" in error.what for error in read.errors] == [True, True]
    assert [dict(imported_rows_of(each)) for each in read.imported] == [{"CIRR": 0.5}]


def imported_rows_of(imported) -> dict[str, float]:
    image = imported.content["metrics"]["image"]
    return {task: scores["hit@1"] for task, scores in image.items() if isinstance(scores, dict)}


def test_what_a_newer_version_wrote_and_what_was_edited_is_refused(tmp_path, command):
    command("import_", _write(tmp_path / "x.json", _public()), "--out", tmp_path / "in")
    (path,) = (tmp_path / "in").iterdir()
    record = json.loads(path.read_text())
    for change, said in (
        ({"imported": 2}, "newer version"),
        ({"content": 1}, "damaged"),
        ({"imported": "1"}, "damaged"),
    ):
        with pytest.raises(UserError, match=said):
            load_imported(_write(tmp_path / f"edited{SUFFIX}", {**record, **change}))


def _measured(folder: Path, ranks: dict[str, list[int]], **changes: object) -> Path:
    for task, places in ranks.items():
        rows = [
            row_at(str(at), place, place + 1, candidates=1000, cluster=at)
            | {"hit@1": float(place == 1), "right": place == 1}  # as the official protocol has them
            for at, place in enumerate(places)
        ]
        made = result(task, meta_task=None, protocol="official", **changes)
        write_honest(folder, replace(made, model={**made.model, "width": 8}), rows)
    return folder


def test_results_go_out_as_the_leaderboard_wants_them(tmp_path, command):
    """Scores are those of the public rule, worked out here by hand from the places."""
    places = [1] * 600 + [2] * 200 + [7] * 100 + [500] * 100
    folder = _measured(tmp_path / "m", {"GQA": places, "Other": places[:10]})
    command("export", folder, "-o", tmp_path / "m.json", "--meta", "model_size=8.03", "--meta", "url=https://x")
    made = json.loads((tmp_path / "m.json").read_text())
    assert made["metadata"] | {"report_generated_date": ""} == {
        "model_name": "m",
        "embedding_dimension": 8,
        "data_source": "Self-Reported",
        "model_size": 8.03,
        "url": "https://x",
        "report_generated_date": "",
    }
    image = made["metrics"]["image"]
    assert list(image) == list(MMEB.tasks)
    assert {task for task, scores in image.items() if scores != "FILE_N/A"} == {"GQA"}
    scores = image["GQA"]
    kinds = ("hit", "ndcg_linear", "ndcg_exponential", "precision", "recall", "f1", "map", "mrr")
    assert list(scores) == [*(f"{kind}@{cut}" for kind in kinds for cut in (1, 5, 10)), "num_pred", "num_data"]
    assert (scores["hit@1"], scores["hit@5"], scores["hit@10"], scores["num_pred"]) == pytest.approx(
        (0.6, 0.8, 0.9, 1000)
    )
    assert scores["mrr@5"] == scores["map@5"] == pytest.approx(0.6 + 0.2 / 2)
    assert scores["precision@5"] == pytest.approx(0.8 / 5)
    assert scores["f1@5"] == pytest.approx(0.8 * 2 / 6)
    assert scores["ndcg_linear@10"] == scores["ndcg_exponential@10"] == pytest.approx(0.6 + 0.2 / 1.5849625 + 0.1 / 3)
    assert {len(made["metrics"][part]) for part in ("video", "visdoc")} == {18, 24}
    strict = score_file(load([folder]).records, "strict", [])
    assert strict["metrics"]["image"]["GQA"]["hit@1"] == pytest.approx(0.3), "every right answer is tied with one other"
    back = read_scores([tmp_path / "m.json"])
    assert [imported_rows_of(each) for each in back.imported] == [{"GQA": pytest.approx(0.6)}]


def test_what_is_no_submission_is_refused(tmp_path):
    places = [1, 2] * 500
    part = load([_measured(tmp_path / "part", {"GQA": places}, settings={"limit": 1000})]).records
    with pytest.raises(UserError, match="only the first queries"):
        score_file(part, "official", [])
    short = load([_measured(tmp_path / "short", {"GQA": places[:12]})]).records
    with pytest.raises(UserError, match="12 queries"):
        score_file(short, "official", [])
    other = load([_measured(tmp_path / "other", {"Other": places})]).records
    with pytest.raises(UserError, match="no result of a dataset of mmeb"):
        score_file(other, "official", [])
    whole = load([_measured(tmp_path / "whole", {"GQA": places})]).records
    with pytest.raises(UserError, match="Did you mean model_size"):
        score_file(whole, "official", ["model_sise=8"])
    with pytest.raises(UserError, match="Write a number"):
        score_file(whole, "official", ["model_size=8B"])


def test_a_folder_of_both_and_a_result_that_made_way(tmp_path, command):
    """Of one dataset asked twice, the last answer goes out; and imported scores hide no results beside them."""
    for identity, places in (("a" * 64, [1, 2] * 500), ("b" * 64, [1] * 1000)):
        _measured(tmp_path / "in", {"GQA": places}, identity=identity, settings={"limit": None})
    command("import_", _write(tmp_path / "x.json", _public()), "--out", tmp_path / "in")
    assert command("export", tmp_path / "in", "-o", tmp_path / "out") == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["M-2B.json", "m.json"]
    image = json.loads((tmp_path / "out" / "m.json").read_text())["metrics"]["image"]
    assert image["GQA"]["hit@1"] == 1.0


def test_several_models_go_to_a_folder(tmp_path, command):
    for name in ("m/1", "n"):
        _measured(tmp_path / "in" / name.replace("/", "-"), {"GQA": [1, 2] * 500}, model=name)
    with pytest.raises(UserError, match="several results"):
        command("export", tmp_path / "in", "-o", tmp_path / "one.json")
    assert command("export", tmp_path / "in", "-o", tmp_path / "out") == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["m--1.json", "n.json"]
    assert command("export", tmp_path / "in", "--model", "n", "-o", tmp_path / "one.json") == 0
    _measured(tmp_path / "in" / "again", {"CIRR": [1, 2] * 500}, model="n", revision="2")
    with pytest.raises(UserError, match="several revisions: 1, 2"):
        command("export", tmp_path / "in", "--model", "n", "-o", tmp_path / "one.json")


def test_a_model_card_has_every_score_and_complete_means(tmp_path):
    results = [result(task, value=value, meta_task="vqa") for task, value in (("B", 0.25), ("A", 0.5))]
    card = yaml.safe_load(model_card(results, Suite("s", "", ("A", "B"), ())).strip("-\n"))
    (entry,) = card["model-index"]
    assert [each["dataset"]["name"] for each in entry["results"]] == ["A", "B", "s (overall)"]
    assert entry["results"][0]["task"]["type"] == "visual-question-answering"
    values = {each["dataset"]["name"]: each["metrics"][0]["value"] for each in entry["results"]}
    assert (entry["name"], values) == ("m", {"A": 50.0, "B": 25.0, "s (overall)": 37.5})
    assert "overall" not in model_card(results, Suite("s", "", ("A", "B", "C"), ()))
    with pytest.raises(UserError, match="only the first queries"):
        model_card([result("A", settings={"limit": 9})], Suite("s", "", ("A",), ()))


def test_a_model_card_is_what_the_hub_reads(tmp_path, command):
    from huggingface_hub import ModelCard

    folder = _measured(tmp_path / "in", {"GQA": [1, 2] * 500, "CIRR": [1] * 1000})
    assert command("export", folder, "--format", "model-card", "-o", tmp_path / "README.md") == 0
    read = ModelCard.load(tmp_path / "README.md").data
    assert read.model_name == "m"
    assert [(each.dataset_name, each.metric_type, each.metric_value) for each in read.eval_results] == [
        ("GQA", "hit@1", 50.0),
        ("CIRR", "hit@1", 100.0),
    ]
