"""The command line: finds the command, and turns what goes wrong into a message and an exit status."""

from __future__ import annotations

import argparse
import io
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from types import ModuleType

from harness.errors import RunFailed, UserError
from harness.results.environment import own_version
from llave.cli import (
    board,
    compare,
    diagnose,
    doctor,
    embed,
    export,
    import_,
    models,
    run,
    show,
    tasks,
    train,
    validate,
)
from llave.cli.flags import DONE, FAILED, STOPPED, USER_ERROR, complain

COMMANDS: Mapping[str, ModuleType] = {
    "run": run,
    "board": board,
    "compare": compare,
    "train": train,
    "doctor": doctor,
    "diagnose": diagnose,
    "embed": embed,
    "tasks": tasks,
    "models": models,
    "show": show,
    "export": export,
    "import": import_,
    "validate": validate,
}
"""Each has `ABOUT`, `add_arguments(parser)` and `run(options)`, which returns the exit status."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command.

    Returns:
        The exit status. 0: done. 1: failed part-way, and finished work is kept, or a check failed. 2: an error in the
        user's input. 130: interrupted.
    """
    _set_up_streams()
    options = build_parser().parse_args(arguments)
    try:
        status: int = COMMANDS[options.command].run(options)
        return status
    except UserError as error:
        complain(error)
        return FAILED if isinstance(error, RunFailed) else USER_ERROR
    except KeyboardInterrupt:
        _say_how_to_go_on(options.command, sys.argv[1:] if arguments is None else arguments)
        return STOPPED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE


def _say_how_to_go_on(command: str, arguments: Sequence[str]) -> None:
    """Prints the command that continues; one of several processes prints it."""
    if os.environ.get("RANK", "0") != "0":
        return
    if command != "train":
        print("\nStopped. Finished work is kept: the same command continues from here.", file=sys.stderr)
        return
    again = [*arguments, *([] if "--resume" in arguments else ["--resume"])]
    launched = int(os.environ.get("WORLD_SIZE", "1")) > 1
    how = "launched as before: llave" if launched else "llave"
    print(f"\nStopped. The last checkpoint is kept. To continue, run\n  {how} {shlex.join(again)}", file=sys.stderr)


def _set_up_streams() -> None:
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    if not sys.stderr.isatty():
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")  # those of downloads and of transformers
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # an old encoding loses a character, not the whole table


def build_parser() -> argparse.ArgumentParser:
    """All commands and flags. Flags cannot be abbreviated, so that a new flag never changes an old command."""
    parser = argparse.ArgumentParser(
        prog="llave", description="Evaluate multimodal embedding models.", allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"llave-bench {own_version()}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        about = command.ABOUT
        command.add_arguments(
            commands.add_parser(name, help=about, description=f"{about[:1].upper()}{about[1:]}.", allow_abbrev=False)
        )
    return parser
