"""The command line: finds the command, and turns what goes wrong into a message and an exit status."""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from textwrap import fill
from types import ModuleType

from harness.encoding.distributed import launched
from harness.errors import RunFailed, UserError, unknown_name
from harness.files.paths import cache_dir
from harness.files.writing import write_atomic
from harness.results.environment import own_version
from harness.results.numbers import fixed
from llave import process
from llave.cli import (
    board,
    compare,
    diagnose,
    doctor,
    embed,
    mine,
    run,
    serve,
    show,
    train,
)
from llave.cli.analysis import agree, contamination, curves, power, seeds, sensitivity
from llave.cli.flags import FAILED, USER_ERROR, add_speech_flags, complain, is_verbose, speak
from llave.cli.front import completion, examples, help
from llave.cli.front.parser import CommandParser
from llave.cli.lists import models, store, suites, tasks
from llave.cli.share import bundle, export, import_, push, validate

COMMANDS: Mapping[str, ModuleType] = {
    "run": run,
    "board": board,
    "serve": serve,
    "compare": compare,
    "train": train,
    "mine": mine,
    "doctor": doctor,
    "diagnose": diagnose,
    "curves": curves,
    "sensitivity": sensitivity,
    "contamination": contamination,
    "agree": agree,
    "power": power,
    "seeds": seeds,
    "embed": embed,
    "models": models,
    "suites": suites,
    "tasks": tasks,
    "store": store,
    "show": show,
    "export": export,
    "import": import_,
    "validate": validate,
    "bundle": bundle,
    "push": push,
    "completion": completion,
    "help": help,
}
"""Each has `ABOUT`, `add_arguments(parser)` and `run(options)`, which returns the exit status."""

_NOT_UTF8 = re.compile("[\udc80-\udcff]")
"""What stands for a byte of a name that is not in UTF-8."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command. Without one it prints the help.

    Returns:
        The exit status. 0: done. 1: failed part-way, and finished work is kept, or a check failed. 2: an error in the
        user's input. 130: interrupted.
    """
    _set_up_environment()
    given = list(sys.argv[1:] if arguments is None else arguments) or ["help"]
    started = time.monotonic()
    try:
        with process.work():
            launched()  # refuses what a launcher would not set
            options = parse(given)
            speak(quiet=options.quiet, verbose=options.verbose)
            status: int = COMMANDS[options.command].run(options)
        if is_verbose():
            print(f"llave {options.command} took {fixed(time.monotonic() - started)} s", file=sys.stderr)
        return status
    except KeyboardInterrupt:
        return _stopped(given)
    except Exception as error:
        if process.is_stopping():  # a library made another error of the interrupt
            return _stopped(given)
        if is_verbose() and not isinstance(error, UserError):
            raise
        return _failed(error)


def _stopped(given: Sequence[str]) -> int:
    print(process.farewell(given), end="", file=sys.stderr)
    return process.STOPPED


def _failed(error: Exception) -> int:
    """Says what went wrong. Returns the exit status."""
    if isinstance(error, UserError):
        complain(error)
        return FAILED if isinstance(error, RunFailed) else USER_ERROR
    if of_system := _of_system(error):
        complain(of_system)
        return USER_ERROR
    _report_unexpected(error)
    return FAILED


def _of_system(error: Exception) -> UserError | None:
    """The error in words, if the system refused a file for a reason that the user can mend."""
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        remedy = "Check the path, its permissions and the disk."
        return UserError(f"{os.fsdecode(error.filename)} cannot be used: {error.strerror}.", remedy)
    if isinstance(error, UnicodeEncodeError) and _NOT_UTF8.search(error.object):
        return UserError(f"This name is not in UTF-8: {error.object}", "Rename the file or the folder.")
    return None


def parse(given: Sequence[str]) -> argparse.Namespace:
    """The options of a command. Raises UserError for a word that is no command."""
    parser = build_parser()
    word = given[0]
    if not word.startswith("-") and word not in parser.commands:
        raise unknown_name("command", word, parser.commands, "`llave help` lists the commands.")
    return parser.parse_args(given)


def _report_unexpected(error: Exception) -> None:
    """Says in a few lines what a traceback, which goes to a file, says in many."""
    path = cache_dir() / "last-error.txt"
    write_atomic(path, "".join(traceback.format_exception(error)))
    complain(
        UserError(
            f"llave made a mistake: {type(error).__name__}: {error}",
            f"The traceback is in {path}; --verbose prints it.\n"
            "Please report it: https://github.com/llave-bench/llave-bench/issues\n"
            "Finished work is kept.",
        )
    )


def _set_up_environment() -> None:
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    if not sys.stderr.isatty():
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")  # those of downloads and of transformers
    columns = os.environ.get("COLUMNS", "")
    if not (columns.isascii() and columns.isdigit() and int(columns) > 0):
        os.environ.pop("COLUMNS", None)  # some systems set 0 where there is no terminal


def build_parser() -> CommandParser:
    """All commands and flags. Flags cannot be abbreviated, so that a new flag never changes an old command."""
    about = {name: command.ABOUT for name, command in COMMANDS.items()}
    parser = CommandParser("llave", "Evaluate, compare and train multimodal embedding models.", help.overview(about))
    parser.add_argument("--version", action="version", version=f"llave-bench {own_version()}", help="print the version")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", help=argparse.SUPPRESS)
    for name, command in COMMANDS.items():
        text = fill(f"{about[name][:1].upper()}{about[name][1:]}.", 79)
        own = commands.add_parser(name, description=text, epilog=examples.shown(name))
        command.add_arguments(own)
        add_speech_flags(own)
        own.set_defaults(whole=parser)
        parser.commands[name] = own
    return parser
