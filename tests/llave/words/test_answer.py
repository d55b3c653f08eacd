"""Laws of wrong words: each known word is answered with its place, and each near miss with the word."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Iterator
from importlib.metadata import entry_points
from pathlib import Path

import pytest

import llave as front
from harness.errors import UnknownName, UserError, unknown_name
from llave.words.answer import VOCABULARIES, answer
from llave.words.paths import near_path
from tests.conftest import Folder, Place
from tests.helpers import dual_files

GIVEN = ("model", "suite", "task", "recipe")
FLAGS = {"suite": "--suite {}", "task": "--tasks {}", "model": "`llave run {} ", "recipe": "`llave train {}`"}
WANTED: dict[str, Callable[[str], tuple[str, ...]]] = {
    "model": lambda word: ("run", word, "-s", "demo"),
    "suite": lambda word: ("run", "classical", "-s", word),
    "task": lambda word: ("run", "classical", "-t", word),
    "recipe": lambda word: ("train", word),
    "data": lambda word: ("run", "classical", "-d", word),
    "results": lambda word: ("board", word),
    "command": lambda word: (word,),
}
"""A command line with a word in each place."""


@pytest.fixture(autouse=True)
def _plug_ins_are_looked_for_once(monkeypatch: pytest.MonkeyPatch):
    """Which packages are installed does not change between thousands of words."""
    once = functools.cache(lambda group: entry_points(group=group))
    monkeypatch.setattr("harness.models.entry_points", once)
    monkeypatch.setattr("tasks.catalog.entry_points", once)


def _wrong(kind: str) -> Iterator[tuple[str, str]]:
    """Every word of every other vocabulary that is no word of this one, with its kind."""
    own = VOCABULARIES[kind].words()
    return ((other, word) for other in GIVEN if other != kind for word in sorted(VOCABULARIES[other].words() - own))


@pytest.mark.parametrize("wanted", WANTED)
def test_every_word_of_another_kind_is_answered_with_its_flag(wanted: str):
    asked = list(_wrong(wanted))
    assert len(asked) > 40
    for kind, word in asked:
        found = answer(unknown_name(wanted, word, (), "where."))
        assert found.what.startswith(f"{word} is a"), word
        assert FLAGS[kind].format(word) in found.hint, word
        in_python = answer(unknown_name(wanted, word, (), "where."), python=True).hint
        assert "--" not in in_python
        assert repr(word) in in_python


@pytest.mark.parametrize("wanted", WANTED)
@pytest.mark.parametrize("kind", GIVEN)
def test_a_command_says_the_same(llave, monkeypatch, tmp_path: Path, wanted: str, kind: str):
    """Some words of each kind, through the command line."""
    monkeypatch.chdir(tmp_path)
    words = [word for other, word in _wrong(wanted) if other == kind]
    for word in random.Random(kind).sample(words, min(2, len(words))):
        done = llave(*WANTED[wanted](word))
        assert (done.code, done.out) == (2, ""), word
        assert f"{word} is a" in done.err
        assert FLAGS[kind].format(word) in done.err


def _changed(word: str, chance: random.Random) -> str:
    """The word with one letter replaced, added or left out, which is never another known word."""
    known = frozenset().union(*(VOCABULARIES[kind].words() for kind in GIVEN))
    while True:
        at, letter = chance.randrange(len(word)), chance.choice("abcdefghijklmnopqrstuvwxyz")
        made = chance.choice(
            (word[:at] + letter + word[at + 1 :], word[:at] + letter + word[at:], word[:at] + word[at + 1 :])
        )
        if made not in known and made.strip():
            return made


@pytest.mark.parametrize("kind", GIVEN)
def test_a_word_with_one_letter_changed_is_answered_with_the_word(kind: str):
    chance = random.Random(7)
    for word in sorted(VOCABULARIES[kind].words()):
        for _ in range(5):
            made = _changed(word, chance)
            assert word in answer(unknown_name(kind, made, (), "")).hint, made
        assert word in answer(unknown_name(kind, word.swapcase(), (), "")).hint


def test_a_wrong_word_of_another_kind_is_answered_with_the_word_and_its_flag(llave):
    done = llave("run", "demo-objekt", "-s", "demo")
    assert done.code == 2
    assert "There is a task demo-object." in done.err
    assert "--tasks demo-object" in done.err
    assert "--suite mmeb" in llave("run", "classical", "-t", "MMEB").err


@pytest.mark.parametrize(("word", "flag"), [("mmeb", "--suite mmeb"), ("demo-object", "--tasks demo-object")])
def test_the_only_word_of_a_run_is_answered_although_no_task_is_chosen(llave, word: str, flag: str):
    found = llave("run", word)
    assert found.code != 0
    assert flag in found.err


def test_other_errors_stay_as_they_are():
    error = UserError("what", "hint")
    assert answer(error) is error
    other = unknown_name("metric", "demo", ("hit@1",), "where")
    assert answer(other) is other


class TestPaths:
    def test_a_typo_in_any_segment(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        (tmp_path / "runs/demo/checkpoint-300").mkdir(parents=True)
        monkeypatch.chdir(tmp_path)
        right = "runs/demo/checkpoint-300"
        for wrong in ("runs/demo/checkpoint-30", "runs/dmeo/checkpoint-300", "rnus/demo/checkpoint-300", "Runs/demo"):
            found = near_path(wrong)
            assert found is not None
            assert right.startswith(str(found.close[0])), wrong
            assert found.close[0].exists()
        found = answer(UnknownName("model", "runs/demo/checkpoint-30", "There is no folder.", "See."))
        assert found.what == "There is no runs/demo/checkpoint-30; there is checkpoint-300."
        assert near_path(right) is None
        assert near_path("nothing-like-it-at-all") is not None

    @pytest.mark.parametrize("command", ["run", "doctor", "embed", "diagnose", "compare"])
    def test_every_command_that_takes_a_model(self, llave, monkeypatch, tmp_path: Path, command: str):
        (tmp_path / "runs/demo/checkpoint-300").mkdir(parents=True)
        (tmp_path / "items.jsonl").write_text('{"id": "a", "text": "b"}\n')
        monkeypatch.chdir(tmp_path)
        more = {"run": ("-s", "demo"), "embed": ("items.jsonl", "-o", "v.safetensors"), "diagnose": ("-s", "demo")}
        done = llave(command, "runs/demo/checkpoint-30", *more.get(command, ()))
        assert (done.code, done.out) == (2, "")
        assert "runs/demo/checkpoint-300" in done.err
        done = llave(command, "runs/dmo", *more.get(command, ()))
        assert "There is no runs/dmo; there is demo." in done.err

    @pytest.mark.parametrize("command", ["board", "export", "show", "validate", "import"])
    def test_every_command_that_takes_results(self, llave, monkeypatch, tmp_path: Path, command: str):
        (tmp_path / "runs/results").mkdir(parents=True)
        monkeypatch.chdir(tmp_path)
        done = llave(command, "runs/reslts", *(("-o", "x.json") if command == "export" else ()))
        assert done.code in (1, 2)
        assert "There is no runs/reslts; there is results." in done.err

    def test_what_is_there_is_named_where_something_else_is_wanted(
        self, llave, tiny: Folder, place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.chdir(tmp_path)
        assert llave("run", "null/constant", "-d", tiny.data, *place.flags).code == 0
        checkpoint = tmp_path / "trained/checkpoint-3"
        checkpoint.mkdir(parents=True)
        dual_files.write_clip(checkpoint)
        (tmp_path / "mine.jsonl").write_text("{}\n")
        for line, said in (
            (("run", place.out, "-s", "demo"), "is results, not a model."),
            (("run", tiny.data, "-s", "demo"), "is data, not a model."),
            (("run", "mine.jsonl", "-s", "demo"), "--data mine.jsonl"),
            (("run", "classical", "-d", checkpoint), "is a model, not data."),
            (("run", "classical", "-d", place.out), "is results, not data."),
            (("run", "classical", "-t", tiny.data), "is data, not a task."),
            (("board", checkpoint), "is a model, not results."),
            (("board", tiny.data), "is data, not results."),
            (("run", "trained", "-s", "demo"), "it holds checkpoint-3"),
        ):
            done = llave(*line)
            assert (done.code, done.out) == (2, ""), line
            assert said in done.err, line


class TestPython:
    @pytest.mark.parametrize(
        ("call", "said"),
        [
            (lambda: front.evaluate("mmeb", "demo"), "mmeb is a suite, not a model.\nWrite tasks='mmeb'."),
            (lambda: front.evaluate("clasical", "demo"), "Did you mean classical?"),
            (
                lambda: front.evaluate("classical", "llave-2b"),
                "llave-2b is a model, not a task.\nWrite model='llave-2b'",
            ),
            (lambda: front.evaluate("classical", "dmo"), "Did you mean demo"),
            (lambda: front.tasks(suite="demo-object"), "demo-object is a task, not a suite."),
            (lambda: front.doctor("demo-object"), "demo-object is a task, not a model."),
            (lambda: front.embed("demo-object", ["a"]), "demo-object is a task, not a model."),
            (lambda: front.board("classical"), "classical is a model, not results."),
            (lambda: front.compare("mmeb", "demo"), "mmeb is a suite, not a model."),
            (lambda: front.train("classical"), "classical is a model, not a recipe."),
        ],
    )
    def test_the_functions_answer_too(self, monkeypatch, tmp_path: Path, call: Callable[[], object], said: str):
        monkeypatch.chdir(tmp_path)
        with pytest.raises(UserError) as caught:
            call()
        assert said in str(caught.value)
