"""What a person meets first: help, defaults, numbers out of range, quiet and verbose, variables, completion."""

from __future__ import annotations

import argparse
import ast
import json
import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from harness.models.endpoints.dialects import DIALECTS
from harness.types import ModelSettings
from llave.cli import run as run_command
from llave.cli.flags import Number
from llave.cli.front import completion, environment
from llave.cli.front.examples import EXAMPLES
from llave.cli.front.help import GROUPS, TOPICS
from llave.cli.front.parser import CommandParser, takes_value
from llave.cli.main import build_parser
from llave.words.answer import VOCABULARIES

ROOT = Path(__file__).resolve().parents[3]
WHOLE = build_parser()
PARSERS = WHOLE.commands
FLAGS = [(name, action) for name, parser in PARSERS.items() for action in parser.actions() if action.option_strings]
NUMBERS = [(name, action) for name, action in FLAGS if isinstance(action.type, Number)]


def _id(value: object) -> str:
    return value.option_strings[-1] if isinstance(value, argparse.Action) else str(value)


class TestHelp:
    @pytest.mark.parametrize("line", [(), ("help",), ("--help",)])
    def test_without_a_command_all_are_shown(self, llave, line):
        done = llave(*line)
        assert (done.code, done.err) == (0, "")
        assert all(f"  {name} " in done.out for name in PARSERS)

    @pytest.mark.parametrize("name", PARSERS)
    def test_it_fits_80_columns_and_is_the_same_both_ways(self, llave, monkeypatch, name):
        monkeypatch.setenv("COLUMNS", "80")
        done = llave("help", name)
        assert done == llave(name, "--help")
        assert done.code == 0
        assert max(map(len, done.out.splitlines())) <= 80
        assert max(map(len, llave().out.splitlines())) <= 80

    def test_every_command_is_in_one_group_and_has_three_examples_that_parse(self):
        assert sorted(name for names in GROUPS.values() for name in names) == sorted(PARSERS)
        assert sorted(TOPICS) == sorted([*PARSERS, environment.PAGE])
        assert EXAMPLES.keys() == PARSERS.keys()
        for name, examples in EXAMPLES.items():
            assert len(examples) == 3
            text = PARSERS[name].format_help()
            for each in examples:
                words = shlex.split(each.command.partition(" > ")[0])
                assert words[0] == "llave"
                assert words[1] == name or name in ("models", "suites")
                assert WHOLE.parse_args(words[1:]).command == words[1]
                assert each.command in text

    @pytest.mark.parametrize(("name", "flag"), [each for each in FLAGS if takes_value(each[1])], ids=_id)
    def test_every_default_is_shown(self, name, flag):
        if flag.required or isinstance(flag, argparse._HelpAction):
            return
        parser = CommandParser("llave")
        parser._add_action(flag)
        text = " ".join(parser.format_help().split())
        assert text.count("(default: ") == 1, text
        if flag.default not in (None, []):
            assert f"(default: {flag.default})" in text

    def test_a_short_flag_is_the_same_in_every_command(self):
        long = {}
        for _, flag in FLAGS:
            for short in (each for each in flag.option_strings if len(each) == 2):
                long.setdefault(short, set()).add(max(flag.option_strings, key=len))
        assert long["-o"] == {"--out", "--output"}
        assert all(len(names) == 1 for short, names in long.items() if short != "-o")

    def test_version(self, llave):
        assert llave("--version").out.startswith("llave-bench ")


@pytest.mark.parametrize(("name", "flag"), NUMBERS, ids=_id)
def test_a_number_out_of_range_is_refused_with_the_range(llave, name, flag):
    needed = {
        "run": ("classical",),
        "compare": ("a", "b"),
        "diagnose": ("classical",),
        "curves": ("r.json",),
        "sensitivity": ("classical",),
        "contamination": ("--train", "demo"),
        "agree": ("a", "b"),
        "power": ("--baseline", "r"),
        "show": ("r.json",),
        "doctor": ("classical",),
        "validate": ("r",),
        "embed": ("classical", "i.jsonl", "-o", "v.safetensors"),
        "mine": ("classical", "--data", "d", "-o", "m.jsonl"),
    }
    limits = flag.type
    for wrong in (-1, 0, limits.most + 1, "word", "1e99", "nan", ""):
        if isinstance(wrong, int | float) and limits.least <= wrong <= limits.most:
            continue
        done = llave(name, *needed.get(name, ()), f"{flag.option_strings[-1]}={wrong}")
        assert (done.code, done.out) == (2, "")
        assert f"{str(wrong)!r} is not {limits}" in done.err
        assert flag.option_strings[-1] in done.err
    assert llave(name, "--help").code == 0


def test_every_number_has_limits():
    """A flag with a number as its default, or `N` for its value, is read as a `Number`."""
    loose = [
        flag.option_strings
        for _, flag in FLAGS
        if ((isinstance(flag.default, int | float) and not isinstance(flag.default, bool)) or flag.metavar == "N")
        and takes_value(flag)
        and not isinstance(flag.type, Number)
    ]
    assert loose == []
    assert len(NUMBERS) > 15


class TestSeveral:
    @pytest.mark.parametrize(
        ("line", "models", "tasks"),
        [
            ("classical -t a b", ["classical"], ["a", "b"]),
            ("classical --tasks a,b", ["classical"], ["a,b"]),
            ("classical -t a --limit 3 -t b c", ["classical"], ["a", "b", "c"]),
            ("classical --tasks=a null/random", ["classical"], None),
            ("-t a classical null/random", ["classical", "null/random"], ["a"]),
            ("--tasks a,b --limit 3 classical", ["classical"], ["a,b"]),
            ("--json classical -t a b", ["classical"], ["a", "b"]),
            ("-ta classical", ["classical"], ["a"]),
        ],
    )
    def test_tasks_by_space_and_comma_and_models_after_one(self, line: str, models, tasks):
        if tasks is None:
            with pytest.raises(SystemExit):
                WHOLE.parse_args(["run", *line.split()])
            return
        options = build_parser().parse_args(["run", *line.split()])
        assert (options.models, options.tasks) == (models, tasks)

    def test_models_without_a_place_are_explained(self, llave):
        done = llave("run", "--tasks", "demo-color")
        assert done.code == 2
        assert "Name models before flags" in done.err


class TestSpeech:
    def test_quiet_prints_results_and_errors_only(self, llave, tiny, place):
        asked = ("run", "null/random", "--data", tiny.data, *place.flags)
        loud = llave(*asked)
        assert "Results: " in loud.err
        quiet = llave(*asked, "-q")
        assert (quiet.code, quiet.err) == (0, "")
        assert quiet.out == loud.out
        assert "no model named" in llave("run", "nothing", "--data", tiny.data, "-q").err
        assert "Results: " in llave(*asked).err, "it is for one command"

    def test_verbose_says_choices_identity_and_time(self, llave, tiny, place):
        done = llave("run", "null/random", "--data", tiny.data, *place.flags, "-v")
        assert "model null/random: revision 1" in done.err
        assert f"task Find: the folder {tiny.data}" in done.err
        assert place.result("Find", "null/random").identity in done.err
        assert "llave run took " in done.err

    def test_quiet_and_verbose_exclude_each_other(self, llave):
        assert llave("models", "-q", "-v").code == 2

    def test_an_unexpected_error_is_short_unless_verbose(self, llave, monkeypatch):
        def broken(*_: object) -> int:
            raise RuntimeError("a bug")

        monkeypatch.setattr(run_command, "run", broken)
        done = llave("run", "classical")
        assert (done.code, done.out) == (1, "")
        assert "RuntimeError: a bug" in done.err
        assert "--verbose" in done.err
        file = Path(os.environ["LLAVE_CACHE"]) / "last-error.txt"
        assert "in broken" in file.read_text()
        with pytest.raises(RuntimeError):
            llave("run", "classical", "--verbose")


class TestEnvironment:
    def test_every_variable_that_is_read_is_listed(self):
        read = {
            name
            for package in ("harness", "tasks", "leaderboards", "trainers", "llave")
            for path in (ROOT / package).rglob("*.py")
            for name in _variables(ast.parse(path.read_text(encoding="utf-8")))
        }
        assert {each.name for each in environment.READ} == read
        assert {each.name for each in environment.KEYS} == {each.key for each in DIALECTS.values() if each.key}

    def test_the_page_lists_all_in_80_columns(self, llave):
        done = llave("help", "environment")
        assert done.code == 0
        assert max(map(len, done.out.splitlines())) <= 80
        for each in (*environment.READ, *environment.OF_LIBRARIES, *environment.KEYS):
            assert f"  {each.name}\n" in done.out
            assert f"(default: {each.without})" in done.out
        page = (ROOT / "docs/cli.md").read_text(encoding="utf-8")
        assert all(
            f"`{each.name}`" in page for each in (*environment.READ, *environment.OF_LIBRARIES, *environment.KEYS)
        )


def _variables(tree: ast.Module) -> Iterator[str]:
    """Names that follow `os.environ`: in brackets, in a call of its methods, and in `NAME in os.environ`."""
    for node in ast.walk(tree):
        words: Sequence[ast.expr] = ()
        if isinstance(node, ast.Subscript) and ast.unparse(node.value) == "os.environ":
            words = (node.slice,)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).startswith(("os.environ.", "os.getenv")):
            words = node.args[:1]
        elif isinstance(node, ast.Compare) and "os.environ" in map(ast.unparse, node.comparators):
            words = (node.left,)
        for word in words:
            if ast.unparse(word) in ("name", "variable"):
                continue  # a key, whose name the user gives, or what accelerate reads and training refuses
            assert isinstance(word, ast.Constant), ast.unparse(node)
            yield word.value


class TestSuites:
    def test_all_suites_with_their_counts_and_needs(self, llave):
        rows = {row["name"]: row for row in json.loads(llave("suites", "--json").out)}
        assert rows.keys() == VOCABULARIES["suite"].words()
        assert (rows["mmeb"]["tasks"], len(rows["mmeb"]["meta_tasks"])) == (36, 4)
        assert "TIGER-Lab/MMEB-eval" in rows["mmeb"]["needs"]
        assert rows["demo"]["needs"] == "nothing"
        assert "--data" in rows["text-video"]["needs"]
        table = llave("suites").out
        assert all(f"│ {name} " in table for name in rows)
        assert "MMEB, only VQA" in table


@pytest.fixture(scope="module")
def bash_script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("completion") / "llave.bash"
    path.write_text(completion.script("bash", PARSERS))
    return path


class TestCompletion:
    @pytest.mark.parametrize("shell", completion.SHELLS)
    def test_the_shell_accepts_the_script(self, llave, shell, tmp_path: Path):
        done = llave("completion", shell)
        assert done.code == 0
        if shutil.which(shell) is None:
            pytest.skip(f"{shell} is not installed")
        (tmp_path / "script").write_text(done.out)
        subprocess.run([shell, "-n", str(tmp_path / "script")], check=True)

    @pytest.mark.parametrize(
        ("line", "offered"),
        [
            ("llave bo", {"board"}),
            ("llave run classi", {"classical"}),
            ("llave run openai/clip-vit-base", {"openai/clip-vit-base-patch32"}),
            ("llave run classical --suite mmeb-vq", {"mmeb-vqa"}),
            ("llave run classical -s mmeb-vq", {"mmeb-vqa"}),
            ("llave run classical --prot", {"--protocol"}),
            ("llave run classical --protocol ", {"strict", "official"}),
            ("llave run classical -t demo-color demo-object-", {"demo-object-ood"}),
            ("llave train infonce-", {"infonce-0.5b", "infonce-2b", "infonce-7b"}),
            ("llave tasks GQ", {"GQA"}),
            ("llave help env", {"environment"}),
            ("llave completion ", set(completion.SHELLS)),
            ("llave run classical --data my", {"my data.jsonl"}),
            ("llave board my", {"my data.jsonl"}),
            ("llave run my", {"my data.jsonl"}),
        ],
    )
    def test_a_real_bash_completes(self, bash_script: Path, tmp_path: Path, line: str, offered: set[str]):
        (tmp_path / "my data.jsonl").touch()
        words = " ".join(shlex.quote(word) for word in line.split(" "))
        code = (
            f"source {shlex.quote(str(bash_script))}; COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); "
            '_llave; printf "%s\\n" "${COMPREPLY[@]}"'
        )
        done = subprocess.run(["bash", "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True)
        assert done.stderr == ""
        assert set(done.stdout.splitlines()) - {""} == offered

    def test_the_script_knows_every_flag_and_name(self):
        for shell in completion.SHELLS:
            text = completion.script(shell, PARSERS)
            for kind in ("model", "suite", "task", "recipe"):
                assert all(word in text for word in VOCABULARIES[kind].words()), shell
            long = {flag.lstrip("-") for _, action in FLAGS for flag in action.option_strings}
            assert all(flag in text for flag in long), shell


def test_settings_of_models_have_the_defaults_of_the_flags():
    options = build_parser().parse_args(["run", "classical"])
    usual = ModelSettings()
    assert (options.device, options.dtype, options.seed) == (usual.device, usual.dtype, usual.seed)
