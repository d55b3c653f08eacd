"""What a test does with a command of the documentation: it runs it, or parses it and says what a run would need."""

from __future__ import annotations

import argparse
import importlib
import re
import subprocess
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path

from harness.errors import UserError
from harness.models import ROWS
from harness.models.endpoints.address import is_address, read_address
from leaderboards.published import published_rows
from llave.cli.main import build_parser
from tasks.catalog import all_tasks
from tasks.names import parse_name
from tasks.suites import find_suite
from tests.helpers.doc_folder import FEW, MADE, SHORT_TRAINING
from tests.helpers.doc_pages import ROOT, Command
from trainers.config import override
from trainers.recipes import find_recipe

STANDS_FOR = {
    "MODEL": "classical",
    "DIR": "data",
    "FOLDER": "runs/results",
    "OUT": "runs/results",
    "FILE": "file.safetensors",
    "IMAGE": "cat.jpg",
    "RECIPE": "demo",
    "RECORD": "runs/results/classical/1/demo-object.json",
    "run.toml": str(ROOT / "examples/run.toml"),
    "OUT/run-TIME.toml": str(ROOT / "examples/run.toml"),
    "RESULT": "runs/results/classical/1/demo-object.json",
    "scores/*.json": "scores/mine.json",
}
"""Words of the pages that a reader replaces, and what a test puts there."""
CONTROLS = ("classical", "null/constant", "null/nan", "null/oracle", "null/random", "colours:ColoursAndLetters")
"""Models without weights; the last is the one of the page on adding a model."""
LAUNCHERS = ("accelerate", "torchrun")
VERDICTS = ("compare", "doctor", "validate")
"""Commands whose exit status 1 is an answer."""
URL = "https://github.com/llave-bench/llave-bench"
_SHELL = ("cd", "mkdir", "rm")
_OPTIONS = ("harness.models.dual.options", "harness.models.llave.options", "harness.models.vlm.options")
_OPTIONS += ("harness.models.endpoints.options", "harness.models.libraries.sentence_inputs")


def arguments(command: Command) -> tuple[str, ...]:
    """What `llave` is called with: placeholders replaced, elisions left out, a launcher's own words left out.

    An elision in place of the model stands for one.
    """
    words = command.words[1:]
    if command.words[0] in LAUNCHERS:
        words = words[words.index("llave") + 1 :]
    if words[1:2] == ("...",):
        words = (words[0], "MODEL", *words[2:])
    return tuple(STANDS_FOR.get(word, word.replace("@COMMIT", f"@{'0' * 40}")) for word in words if word != "...")


def parse(words: Sequence[str]) -> argparse.Namespace:
    """The words as the command line reads them. A mistake is an AssertionError with the parser's message."""
    parser = build_parser()
    try:
        return parser.parse_args(words)
    except SystemExit as error:
        raise AssertionError(f"llave does not take: {' '.join(words)}") from error


def why_not_run(command: Command) -> str | None:
    """What a run of the command needs that a test does not have. None: it can be run."""
    program = command.words[0]
    if program in LAUNCHERS:
        return "several processes"
    if program != "llave":
        return "time, or a change of this machine"
    try:
        return next(_needs(parse(arguments(command))), None)
    except (AssertionError, UserError):
        return "a correction of the page"  # `check` says which


def shortened(command: Command) -> tuple[str, ...]:
    """The arguments of a command that is run, with fewer queries or steps."""
    words = arguments(command)
    options = parse(words)
    if options.command == "run" and (options.data is None or options.suite == "demo"):
        return (*words, *FEW)
    if options.command == "diagnose":
        return (*words, "--pairs", "2")
    if options.command == "train" and not options.dry_run:
        return (*words, *SHORT_TRAINING, *(() if options.out else ("--out", f"runs/line-{command.line}")))
    return words


def check(command: Command) -> None:
    """Checks a command that is not run: its flags, and every name in it."""
    program, *words = command.words
    if program in LAUNCHERS:
        _check_launcher(program, words[: words.index("llave") + 1])
        _check_names(parse(arguments(command)))
    elif program == "llave":
        _check_names(parse(arguments(command)))
    elif program == "make":
        subprocess.run(["make", "-n", *words], check=True, cwd=ROOT, capture_output=True)
    elif program == "python" and words[0] == "-c":
        compile(words[1], command.place, "exec")
    elif program == "python":
        source = (ROOT / words[0]).read_text(encoding="utf-8")
        assert all(f'"{flag}"' in source for flag in words if flag.startswith("--")), command.place
    elif program == "pip":
        _check_requirements(words)
    elif program == "git":
        assert words[:2] == ["clone", URL], command.place
    else:
        assert program in (*_SHELL, "hf"), f"{command.place}: say how to check it"


def _needs(options: argparse.Namespace) -> Iterator[str]:
    """What is not at hand for a command of `llave`."""
    given = vars(options)
    name = options.command
    if name == "compare":
        published = {row.model for row in published_rows()}
        yield from (f"results of {each}" for each in options.models if not _at_hand(each) and each not in published)
        return
    if name == "serve":
        yield "an end by Ctrl-C"
        return
    if name == "seeds":
        yield f"the runs of {given['a']} and {given['b']}"
        return
    if name == "push" or given.get("format") == "eval-results":
        yield "a repository or a dataset of the hub"
        return
    models = given.get("models") or [given[key] for key in ("model",) if given.get(key) and name in ("doctor", "embed")]
    yield from (f"the weights of {each}" for each in models if not _at_hand(each))
    if given.get("known_answers"):
        yield "the weights of a released LLaVE"
    data, recipe = given.get("data"), given.get("recipe")
    if recipe and find_recipe(recipe).data != "demo" and not given.get("dry_run"):
        yield f"{data or find_recipe(recipe).data} and its images"
    elif data is not None and not _at_hand(str(data)):
        yield f"{data}"
    elif name in ("run", "diagnose") and not recipe:
        yield from _needs_tasks(given)


def _needs_tasks(given: dict[str, object]) -> Iterator[str]:
    suite, tasks, data = given["suite"], given["tasks"], given["data"]
    if not (suite or tasks or data):
        yield "tasks, which a part of a command does not name"
    elif suite in ("text-video", "video-retrieval-v2"):
        yield f"all videos of {suite}"
    elif data is None and not all(each.startswith("demo") for each in ([suite] if suite else _split(tasks))):
        yield f"{suite or ', '.join(tasks)} from the hub"


def _split(tasks: Sequence[str]) -> list[str]:
    return [name for each in tasks for name in each.split(",")]


def _at_hand(name: str) -> bool:
    return name in CONTROLS or name in MADE


def _check_names(options: argparse.Namespace) -> None:
    """Every model, suite, task, recipe, setting and model option of a command exists."""
    given = vars(options)
    if options.command in ("run", "doctor", "embed", "diagnose"):
        models = given.get("models") or [given["model"]]
        unknown = [each for each in models if not _known_model(each)]
        assert not unknown, f"no such models: {unknown}"
    if given.get("suite"):
        find_suite(given["suite"])
    if given.get("tasks") and not given.get("recipe"):
        names = {parse_name(each).dataset for each in _split(given["tasks"])}
        unknown = sorted(names - all_tasks().keys() - ({"all"} if given.get("data") else set()))
        assert not unknown, f"no such tasks: {unknown}"
    if given.get("recipe"):
        override(find_recipe(given["recipe"]), given.get("set") or [])
    keys = {each.partition("=")[0] for each in given.get("model_option") or []}
    assert keys <= _model_options(), f"no such model options: {sorted(keys - _model_options())}"


def _known_model(name: str) -> bool:
    """Whether a row takes the name. A recipe before a folder (`vlm/RECIPE=FOLDER`) must be a row itself."""
    if is_address(name):
        return bool(read_address(name).model)
    recipe = re.fullmatch(r"vlm/([^=]+)=.+", name)
    exact = {row.name for row in ROWS} | {row.hub for row in ROWS}
    if recipe:
        return recipe[1] in exact
    prefixes = tuple(row.name for row in ROWS if row.name.endswith("/"))
    return name in exact or name.startswith((*prefixes, "./", "my-org/")) or _at_hand(name)


def _model_options() -> set[str]:
    """Names of the fields of the families' options."""
    made = (value for module in _OPTIONS for value in vars(importlib.import_module(module)).values())
    named = {each.name for value in made if isinstance(value, type) and is_dataclass(value) for each in fields(value)}
    return named | {"dialect", "key"}


def _check_launcher(program: str, words: Sequence[str]) -> None:
    if program == "torchrun":
        from torch.distributed.run import get_args_parser

        parser, known = get_args_parser(), words
    else:
        from accelerate.commands.launch import launch_command_parser

        parser, known = launch_command_parser(), words[1:]
    try:
        parser.parse_args([re.sub(r"^RANK$", "0", word) for word in known])
    except SystemExit as error:
        raise AssertionError(f"{program} does not take: {' '.join(words)}") from error


def _check_requirements(words: Sequence[str]) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for word in words:
        named = re.fullmatch(r"(?:llave-bench|\.)\[(.+)\]", word)
        assert named is None or set(named[1].split(",")) <= extras.keys(), f"no such extra: {word}"
        assert not word.startswith("git+") or word == f"git+{URL}", f"another repository: {word}"
        assert not word.endswith(".txt") or (ROOT / Path(word)).exists(), f"no such file: {word}"
