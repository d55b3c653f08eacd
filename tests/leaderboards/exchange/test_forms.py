"""Results go out in the forms of other projects, are read by their libraries, and come back with their scores."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from harness.errors import UserError
from harness.files.reading import parse_yaml
from leaderboards.exchange.files import imported_rows, row_of
from leaderboards.exchange.reading import read_scores
from leaderboards.load import load
from tests.helpers.record_values import row_at, write_honest
from tests.helpers.result_values import result

GOLDEN = Path(__file__).resolve().parents[2] / "helpers/golden"
PLACES = {"GQA": [1, 2, 3, 7], "CIRR": [1, 1, 4, 2], "demo-object": [1, 9, 1, 1], "MSVD-v2": [1, 1, 1, 2]}


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Path:
    """Results of a model on tasks of all sections, without ties."""
    folder = tmp_path_factory.mktemp("results")
    for task, places in PLACES.items():
        rows = [row_at(f"q {at}%", place, place, candidates=9, cluster=at) for at, place in enumerate(places)]
        write_honest(folder, result(task, "org/m", num_targets=20), rows)
    return folder


def _call(name: str, *words: object) -> int:
    from llave.cli.main import main

    return main([name, *map(str, words)])


def _back(place: Path, model: str | None = None) -> dict[str, float]:
    read = read_scores([place], model)
    assert read.errors == ()
    (imported,) = read.imported
    assert imported.model == "org/m"
    return dict(row_of(imported, place).scores)


@pytest.mark.parametrize(
    ("form", "name", "exact"),
    [
        ("eval-results", "m.yaml", True),
        ("every-eval-ever", "m.json", True),
        ("trec", "runs", True),
        ("model-card", "README.md", False),
    ],
)
def test_what_goes_out_comes_back_with_the_same_scores(results, tmp_path, form, name, exact):
    meta = ["--meta", "dataset_id=org/data"] if form == "eval-results" else []
    assert _call("export", results, "--format", form, "-o", tmp_path / name, *meta) == 0
    sent = {record.result.task: record.result.main.value for record in load([results]).records}
    back = _back(tmp_path / name, "org/m" if form == "eval-results" else None)
    assert back == pytest.approx(sent, abs=1e-12 if exact else 5e-5)
    assert _call("import", tmp_path / name, "--model", "org/m", "--out", tmp_path / "in") == 0
    (row,) = imported_rows([tmp_path / "in"])
    assert dict(row.scores) == back
    assert set(row.counts.values()) == ({4} if exact else set())


def test_the_hub_reads_its_entries(results, tmp_path):
    from huggingface_hub import parse_eval_result_entries

    words = ("--format", "eval-results", "-o", tmp_path / "m.yaml", "--meta", "dataset_id=org/data")
    assert _call("export", results, *words, "--meta", "source_url=https://x.example") == 0
    entries = parse_eval_result_entries(yaml.safe_load((tmp_path / "m.yaml").read_text()))
    assert {each.task_id: each.value for each in entries} == {
        "GQA": 25.0,
        "CIRR": 50.0,
        "demo-object": 75.0,
        "MSVD-v2": 75.0,
    }
    assert {(each.dataset_id, each.source_url, each.date) for each in entries} == {
        ("org/data", "https://x.example", "2026-01-01")
    }
    assert all(each.notes.startswith("hit@1 in percent, strict protocol, 4 queries") for each in entries)


def test_a_record_of_every_eval_ever_follows_its_schema(results, tmp_path):
    """`golden/every_eval_ever.json` is the public schema 0.3.0 without its descriptions (MIT)."""
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed")
    (tmp_path / "data").mkdir()
    assert _call("export", results, "--format", "every-eval-ever", "-o", tmp_path / "data") == 0
    (path,) = (tmp_path / "data").rglob("*.json")
    assert path.relative_to(tmp_path / "data").parts[:3] == ("llave-bench", "org", "m")
    schema = json.loads((GOLDEN / "every_eval_ever.json").read_text())
    record = json.loads(path.read_text())
    checker = jsonschema.Draft7Validator(schema)
    assert [error.message for error in checker.iter_errors(record)] == []
    assert list(checker.iter_errors({**record, "own": 1}))
    assert record["model_info"]["id"] == "org/m"


@pytest.mark.parametrize("library", ["ir_measures", "pytrec_eval", pytest.param("ranx", marks=pytest.mark.exhaustive)])
def test_libraries_of_trec_give_the_scores_of_the_result(results, tmp_path, library):
    if library == "ranx":
        pytest.importorskip("ranx")
    measures = pytest.importorskip(library)
    assert _call("export", results, "--format", "trec", "-o", tmp_path) == 0
    for record in load([results]).records:
        task = record.result.task
        run, qrels = tmp_path / f"{task}.run", tmp_path / f"{task}.qrels"
        if library == "ir_measures":
            aim = measures.Success @ 1
            found = measures.calc_aggregate(
                [aim], measures.read_trec_qrels(str(qrels)), measures.read_trec_run(str(run))
            )
            value = found[aim]
        elif library == "pytrec_eval":
            with qrels.open() as right, run.open() as given:
                judge = measures.RelevanceEvaluator(measures.parse_qrel(right), {"success"})
                scores = [each["success_1"] for each in judge.evaluate(measures.parse_run(given)).values()]
            value = sum(scores) / len(scores)
        else:
            value = measures.evaluate(
                measures.Qrels.from_file(str(qrels), kind="trec"),
                measures.Run.from_file(str(run), kind="trec"),
                "hit_rate@1",
            )
        assert value == pytest.approx(record.result.main.value), task


def test_ties_of_a_run_are_neutral_when_it_is_read(tmp_path, capsys):
    rows = [row_at("0", 1, 4, candidates=4), row_at("1", 1, 40, candidates=40, cluster=1)]
    write_honest(tmp_path / "in", result("GQA"), rows)
    assert _call("export", tmp_path / "in", "--format", "trec", "-o", tmp_path / "out") == 0
    assert "ties of 1 query reach past" in capsys.readouterr().err
    (imported,) = read_scores([tmp_path / "out"]).imported
    assert row_of(imported, tmp_path).scores == {"GQA": pytest.approx((1 / 4 + 1 / 10) / 2)}


BAD = {
    "a run of an unknown task": ("XX.run", "q Q0 1 1 0.5 m", "no task named 'XX'"),
    "a run without qrels": ("CIRR.run", "q Q0 1 1 0.5 m", "CIRR.qrels is missing"),
    "a short line": ("GQA.run", "q Q0 1 1 0.5", "line 1: it has 5 fields, not 6"),
    "a candidate twice": ("GQA.run", "q Q0 1 1 0.5 m\nq Q0 1 2 0.4 m", "line 2: 1 is there twice"),
    "no score": ("GQA.run", "q Q0 1 1 nan m", "'nan' is no score"),
    "two models": ("GQA.run", "q Q0 1 1 0.5 m\nq Q0 2 2 0.4 n", "not the run of one model: m, n"),
    "no entries": ("x.yaml", "a: 1", "the list of entries is not a list"),
    "an alias": ("x.yaml", "- &a [1]\n- *a", "an alias of YAML"),
    "deep": ("x.yaml", "[" * 3000 + "]" * 3000, "nested too deep"),
    "an entry of another program": (
        "x.yaml",
        "- {dataset: {id: a/b, task_id: GQA}, value: 57.2}",
        "does not say which",
    ),
    "a card without scores": ("x.md", "# hello", "no evaluation block"),
    "a card of others": (
        "x.md",
        "---\nmodel-index:\n- name: m\n  results:\n  - task: {type: t}\n    dataset: {name: IMDB, type: imdb}\n"
        "    metrics: [{type: accuracy, value: 9}]\n---\n",
        "no score of a known task",
    ),
    "another record": (
        "x.json",
        json.dumps({"schema_version": "0.3.0", "evaluation_results": [], "model_info": {}}),
        "lacks id of model_info",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_named(tmp_path, name):
    file, text, said = BAD[name]
    (tmp_path / "GQA.qrels").write_text("q 0 1 1\n")
    (tmp_path / file).write_text(text)
    (error,) = read_scores([tmp_path / file]).errors
    assert said in str(error)
    assert file in str(error)


def test_yaml_is_read_safely(tmp_path):
    with pytest.raises(UserError, match="not valid YAML"):
        parse_yaml("!!python/object/apply:os.system [id]", tmp_path / "x.yaml")


def _mteb(path: Path, name: str, subset: dict) -> Path:
    """A file that the installed mteb writes."""
    mteb = pytest.importorskip("mteb", reason="mteb is not installed")
    from mteb.results.task_result import TaskResult

    base = mteb.get_task("SUN397").__class__

    class Named(base):
        metadata = base.metadata.model_copy(update={"name": name})

    made = TaskResult.from_task_results(
        Named, {"test": {"default": {"main_score": 0.5, **subset}}}, evaluation_time=1.0
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    made.to_disk(path)
    return path


def test_what_mteb_writes_is_read(tmp_path):
    scores = {"accuracy": 0.2, "hit_rate_at_1": 0.75, "hit_rate_at_5": 1.0, "nauc_ndcg_at_1_max": float("nan")}
    path = _mteb(tmp_path / "org__m/1/GQA.json", "GQA", {**scores, "main_score": 0.75})
    assert "NaN" in path.read_text()
    assert _back(path) == {"GQA": 0.75}


def test_mteb_trains_a_classifier_on_its_tasks_that_have_a_name_of_mmeb():
    """So their results are no scores of MMEB."""
    mteb = pytest.importorskip("mteb", reason="mteb is not installed")
    types = {mteb.get_task(name).metadata.type for name in ("Country211", "SUN397", "VOC2007")}
    assert types == {"ImageClassification"}


@pytest.mark.parametrize(
    ("subset", "said"),
    [
        ({"accuracy": 0.7, "f1": 0.6, "scores_per_experiment": [{"accuracy": 0.7}]}, "linear probe"),
        ({"accuracy": 0.7, "lrap": 0.8}, "linear probe"),
        ({"hit_rate_at_1": 57.2, "hit_rate_at_5": 0.9}, "looks like percent"),
        ({"ndcg_at_5": 0.5}, "has no hit@1"),
    ],
)
def test_what_is_no_score_of_mmeb_is_refused(tmp_path, subset, said):
    (error,) = read_scores([_mteb(tmp_path / "a/b/VOC2007.json", "VOC2007", subset)]).errors
    assert said in str(error)


def test_percents_of_mteb_become_fractions(tmp_path):
    path = _mteb(tmp_path / "org__m/1/GQA.json", "GQA", {"hit_rate_at_1": 57.2, "hit_rate_at_5": 80.0})
    assert _back(path) == {"GQA": pytest.approx(0.572)}


def _public(**sections: object) -> dict:
    return {"metadata": {"model_name": "org/m"}, "metrics": sections}


def test_a_section_holds_its_own_tasks(tmp_path):
    """A dataset in a section that is not its own replaces none, and one without a query has no score."""
    content = _public(
        image={"GQA": {"hit@1": 0.5, "num_pred": 10}, "CIRR": {"hit@1": 0.0, "num_pred": 0}},
        video={"GQA": {"hit@1": 0.9}, "MSVD": {"hit@1": 0.25, "num_pred": 7}},
        visdoc={"MSVD": {"hit@1": 1.0}},
    )
    (tmp_path / "x.json").write_text(json.dumps(content))
    (imported,) = read_scores([tmp_path / "x.json"]).imported
    row = row_of(imported, tmp_path)
    assert (dict(row.scores), dict(row.counts)) == ({"GQA": 0.5, "MSVD-v2": 0.25}, {"GQA": 10, "MSVD-v2": 7})


def test_the_number_of_queries_of_a_file_decides_its_interval(tmp_path):
    from leaderboards.board.scope import make_board

    for count in (100, 10_000):
        content = _public(image={"GQA": {"hit@1": 0.5, "num_pred": count}})
        content["metadata"]["model_name"] = f"m{count}"
        (tmp_path / f"{count}.json").write_text(json.dumps(content))
    assert _call("import", tmp_path / "100.json", tmp_path / "10000.json", "--out", tmp_path / "in") == 0
    board, _ = make_board([tmp_path / "in"], published=False, suite=None, rank_by="GQA", mix=False)
    width = {each.entry.label: each.intervals["GQA"].high - each.intervals["GQA"].low for each in board.standings()}
    assert width["m100"] == pytest.approx(10 * width["m10000"], rel=0.05)


@pytest.mark.parametrize("form", ["csv", "json", "terminal", "markdown"])
def test_a_board_of_imports_without_a_dataset_of_mmeb(tmp_path, capsys, form):
    (tmp_path / "x.json").write_text(json.dumps(_public(image={}, video={"MSVD": {"hit@1": 0.25}})))
    assert _call("import", tmp_path / "x.json", "--out", tmp_path / "in") == 0
    capsys.readouterr()
    assert _call("board", tmp_path / "in", "--format", form, "--columns", "MSVD-v2") == 0
    assert "org/m" in capsys.readouterr().out
    assert _call("board", tmp_path / "in", "--format", form, "--suite", "mmeb") == 2
    assert "no dataset of mmeb" in capsys.readouterr().err
