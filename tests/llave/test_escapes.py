"""No string of a record, of data or of a model reaches a terminal, a table, a card or a page with what steers one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.conftest import Done
from tests.harness.test_errors import steers
from tests.helpers.record_values import write

HOSTILE = st.text(
    st.sampled_from("ab \x01\x07\x08\x0b\x0c\r\x1b\x7f\x85\x9b\u2028\u2029\u202a\u202e\u2066\u2069\U0001f60d"),
    max_size=12,
).map(lambda text: f"x{text}")
TITLE = "x\x1b]0;PWN\x07\x1b[2J\x9b\u202e"
COMMANDS = (
    "show {file}",
    "show {folder}",
    "validate {folder}",
    *(f"board {{folder}} --datasets --format {form}" for form in ("terminal", "markdown", "latex", "csv", "json")),
    "board {folder} --html {page} --html-queries 2",
    "board {folder} --rank-by {name}",
    *(f"compare {{file}} {{other}} --queries 2 --format {form}" for form in ("terminal", "markdown", "json", "html")),
    *(f"compare {{file}} {{other}} --format {form}" for form in ("latex", "csv")),
    "export {folder} --format model-card --model {name} -o {card}",
    "export {folder} --format model-card -o {card}",
)


def _records(folder: Path, name: str, task: str, source: str, query: str, text: str) -> tuple[Path, Path]:
    """The records of two models, with these words of others wherever a record has such."""
    paths = write(folder, "task", "one", [1, 0, 1, 1]), write(folder, "task", "two", [0, 0, 1, 0])
    for path, model in zip(paths, (name, f"{name}2"), strict=True):
        record = json.loads(path.read_text())
        record["model"] |= {"name": model, "adapter": source, "options": {query: text}}
        record["dataset"] |= {"source": source, "notes": {query: 2}}
        record["environment"] |= {"device": source}
        record |= {"task": task, "meta_task": source}
        rows = path.with_name(record["queries"]["file"])
        lines = [json.loads(line) for line in rows.read_text().splitlines()]
        for line in lines:
            line |= {"query": f"{query}{line['query']}", "content": {"text": text, "media": []}}
            line["top"][0]["text"] = line["positives"][0]["text"] = text
        rows.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
        record["queries"].pop("sha256", None)
        path.write_text(json.dumps(record))
    return paths


@pytest.fixture
def shown(llave: Callable[..., Done], tmp_path: Path) -> Callable[[str, dict[str, object]], str]:
    """All that a command prints and writes."""

    def call(command: str, words: dict[str, object]) -> str:
        page, card = tmp_path / "page.html", tmp_path / "card.md"
        for path in (page, card):
            path.unlink(missing_ok=True)
        given = {**words, "page": page, "card": card}
        done = llave(*(word.format(**given) for word in command.split()))
        assert "made a mistake" not in done.err
        files = "".join(path.read_bytes().decode() for path in (page, card) if path.exists())
        return f"{done.out}{done.err}{files}"

    return call


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@example(TITLE, TITLE, TITLE, TITLE, TITLE)
@given(HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE)
def test_no_output_of_a_record_steers(tmp_path_factory, shown, name, task, source, query, text):
    folder = tmp_path_factory.mktemp("records")
    file, other = _records(folder, name, task, source, query, text)
    for command in COMMANDS:
        said = shown(command, {"folder": folder, "file": file, "other": other, "name": name})
        assert steers(said) == [], command


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@example(TITLE)
@given(HOSTILE)
def test_no_error_about_data_steers(tmp_path_factory, shown, word):
    folder = tmp_path_factory.mktemp("data")
    good = [{"target": "a", "text": word}, {"query": word, "text": word, "positives": ["a"]}]
    bad = (
        [*good, {"target": "b", word: 1}],
        [*good, {"target": "b", "image": f"{word}.png"}],
        [*good, {"query": "c", "text": "y", "positives": [word]}],
        [*good, {"query": word, "text": "y", "positives": ["a"]}],
        [{"id": "1", "image": f"{word}.png"}],
        [{"id": word, "text": "a"}, {"id": word, "text": "b"}],
    )
    for number, lines in enumerate(bad):
        path = folder / f"{number}.jsonl"
        path.write_text("\n".join(json.dumps(line) for line in lines))
        for command in ("run classical --data {path} --out {out}", "embed classical {path} -o {out}/v.safetensors"):
            said = shown(f"{command} --store {{out}}/s", {"path": path, "out": folder / "out"})
            assert steers(said) == [], command
    for command in ("run {word} --suite demo", "tasks {word}", "show {word}", "{word}", "run classical --tasks {word}"):
        assert steers(shown(command, {"word": word})) == [], command


def test_an_image_in_the_data_is_refused_in_few_words(llave, tmp_path):
    address = f"data:image/png;base64,{'A' * 10_000}"
    path = tmp_path / "d.jsonl"
    path.write_text(json.dumps({"target": "a", "image": address}) + '\n{"query": "q", "text": "x", "positives": ["a"]}')
    done = llave("run", "classical", "--data", path, "--out", tmp_path / "o", "--store", tmp_path / "s")
    assert (done.code, len(done.err) < 1000) == (2, True)
    assert "data: images are not read" in done.err
