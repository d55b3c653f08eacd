"""Parts that the commands share: flags, consoles and exit statuses."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING

from harness.encoding import DEFAULT_BUDGET
from harness.errors import UserError
from harness.paths import STORE

if TYPE_CHECKING:
    from rich.console import Console

    from harness.types import ModelSettings

DONE, FAILED, USER_ERROR, STOPPED = 0, 1, 2, 130

MODEL_HELP = "a name from `llave models`, the folder of a checkpoint, or package.module:Class"


def console(*, stderr: bool = False, quiet: bool = False, wide: bool = False) -> Console:
    """A console. If its output is no terminal, nothing is cut to 80 columns, and a `wide` table has all its columns."""
    from rich.console import Console

    width = None if _measured(stderr) else 10_000 if wide else 160
    return Console(stderr=stderr, quiet=quiet, width=width, highlight=False)


def say(where: Console, text: str) -> None:
    """Prints a sentence as it is, whatever brackets it has. On a terminal lines end between words.

    A word is never cut, so that a path can be copied.
    """
    if _measured(where.stderr):
        lines = (wrap(line, where.width, break_long_words=False, break_on_hyphens=False) for line in text.split("\n"))
        text = "\n".join("\n".join(each) for each in lines)
    where.print(text, markup=False, soft_wrap=True)


def _measured(stderr: bool) -> bool:
    """Whether the output has a width."""
    return (sys.stderr if stderr else sys.stdout).isatty() or "COLUMNS" in os.environ


def complain(error: UserError) -> None:
    """Prints what is wrong and what to do, and of several processes which one says so."""
    who = f" (process {os.environ.get('RANK')})" if int(os.environ.get("WORLD_SIZE", "1")) > 1 else ""
    print(f"error{who}: {error.what}", file=sys.stderr)
    if error.hint:
        print(f"  {error.hint}".replace("\n", "\n  "), file=sys.stderr)


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
    """Adds the flags that `model_settings` reads."""
    add = parser.add_argument
    add("--device", default="auto", help="cpu, cuda or a GPU such as cuda:1 (default: a GPU if there is one)")
    add("--dtype", default="auto", help="float32, bfloat16 or float16 (default: chosen by the model)")
    add("--seed", type=natural, default=0, help="seed of models that draw at random (default: 0)")
    add(
        "--model-option",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="set an option of the model, such as max_length=2048; may be repeated",
    )
    add(
        "--trust-remote-code",
        action="store_true",
        help="allow code that comes with a checkpoint at a pinned revision to run",
    )


def model_settings(options: argparse.Namespace) -> ModelSettings:
    """The settings of a model from the flags. Raises UserError for an option that is not KEY=VALUE."""
    from harness.settings import pairs_of
    from harness.types import ModelSettings

    given = pairs_of(options.model_option, "--model-option", "max_length=2048")
    return ModelSettings(options.device, options.dtype, options.seed, given, options.trust_remote_code)


def add_root_flag(parser: argparse.ArgumentParser) -> None:
    """Adds the flag that allows media behind links to another folder."""
    parser.add_argument(
        "--allow-root",
        type=Path,
        action="append",
        default=[],
        metavar="DIR",
        help="allow that links in the data lead into this folder too; may be repeated (default: none)",
    )


def add_engine_flags(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of every command that embeds: the store, the budget of a batch, the number of threads."""
    add = parser.add_argument
    add("--store", type=Path, metavar="DIR", default=STORE, help=f"folder of the embedding store (default: {STORE})")
    add(
        "--budget",
        type=positive,
        default=DEFAULT_BUDGET,
        metavar="N",
        help=f"largest cost of a batch, in the model's unit: tokens or pixels (default: {DEFAULT_BUDGET})",
    )
    add(
        "--workers",
        type=natural,
        metavar="N",
        help="number of threads that prepare items (default: one for each processor, up to 8)",
    )
