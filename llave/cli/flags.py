"""What the commands share: where they print, and what a flag may hold."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from harness.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console

    from harness.types import ModelSettings

DONE, FAILED, USER_ERROR, STOPPED = 0, 1, 2, 130


def console(*, stderr: bool = False, quiet: bool = False, wide: bool = False) -> Console:
    """Away from a terminal nothing is cut to 80 columns, and a `wide` table is as wide as it needs."""
    from rich.console import Console

    measured = (sys.stderr if stderr else sys.stdout).isatty() or "COLUMNS" in os.environ
    width = None if measured else 10_000 if wide else 160
    return Console(stderr=stderr, quiet=quiet, width=width, highlight=False)


def say(where: Console, text: str) -> None:
    """Prints a sentence as it is, whatever brackets it has."""
    where.print(text, markup=False, soft_wrap=True)


def complain(error: UserError) -> None:
    """Prints what is wrong and what to do, and of several processes which one says so."""
    who = f" (process {os.environ.get('RANK')})" if int(os.environ.get("WORLD_SIZE", "1")) > 1 else ""
    print(f"error{who}: {error.what}", file=sys.stderr)
    if error.hint:
        print(f"  {error.hint}".replace("\n", "\n  "), file=sys.stderr)


def processors() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def positive(text: str) -> int:
    """A whole number from 1, for argparse."""
    value = natural(text)
    if value == 0:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return value


def natural(text: str) -> int:
    """A whole number from 0, for argparse."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0")
    return int(text)


def add_model_flags(parser: argparse.ArgumentParser) -> None:
    """The flags that `model_settings` reads."""
    add = parser.add_argument
    add("--device", default="auto", help="cpu, cuda, cuda:1 (auto)")
    add("--dtype", default="auto", help="float32, bfloat16, float16 (auto)")
    add("--seed", type=natural, default=0, help="of intervals, and of models that draw at random (0)")
    add(
        "--model-option",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a setting of the model, such as max_length=2048; may be given more than once",
    )
    add("--trust-remote-code", action="store_true", help="run code that a checkpoint brings; pinned revisions only")


def model_settings(options: argparse.Namespace) -> ModelSettings:
    """What the flags say about loading a model. Raises UserError for an option that is not KEY=VALUE."""
    from harness.types import ModelSettings

    given = _model_options(options.model_option)
    return ModelSettings(options.device, options.dtype, options.seed, given, options.trust_remote_code)


def _model_options(pairs: Sequence[str]) -> Mapping[str, str]:
    options: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not key or not equals:
            raise UserError(f"--model-option {pair!r} is not of the form KEY=VALUE.", "Such as max_length=2048.")
        if key in options:
            raise UserError(f"--model-option gives {key} twice.", "Give it once.")
        options[key] = value
    return options
