"""Parts that the commands share: flags, consoles and exit statuses."""

from __future__ import annotations

import argparse
import math
import os
import sys
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Literal

from harness.errors import UserError, model_traceback, visible
from harness.files.paths import STORE
from llave.words.answer import answer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Console

    from harness.types import ModelSettings, Task

DONE, FAILED, USER_ERROR = 0, 1, 2

MODEL_HELP = "a name from `llave models`, ORG/NAME on the hub, the folder of a checkpoint, package.module:Class, or http://HOST/v1#MODEL"
_SAYS: ContextVar[Literal["nothing", "what matters", "all"]] = ContextVar("says", default="what matters")


def console(*, stderr: bool = False, quiet: bool = False, wide: bool = False) -> Console:
    """A console. If its output is no terminal, nothing is cut to 80 columns, and a `wide` table has all its columns."""
    from rich.console import Console

    width = None if _measured(stderr) else 10_000 if wide else 160
    silent = quiet or (stderr and _SAYS.get() == "nothing")
    return Console(stderr=stderr, quiet=silent, width=width, highlight=False)


def say(where: Console, text: str) -> None:
    """Prints a sentence as it is, whatever brackets it has. On a terminal lines end between words.

    A word is never cut, so that a path can be copied.
    """
    text = visible(text)
    if _measured(where.stderr):
        lines = (wrap(line, where.width, break_long_words=False, break_on_hyphens=False) for line in text.split("\n"))
        text = "\n".join("\n".join(each) for each in lines)
    where.print(text, markup=False, soft_wrap=True)


def _measured(stderr: bool) -> bool:
    """Whether the output has a width."""
    return (sys.stderr if stderr else sys.stdout).isatty() or "COLUMNS" in os.environ


def complain(error: UserError) -> None:
    """Prints what is wrong and what to do, and of several processes which one says so.

    A wrong word is answered from all vocabularies. The traceback of a model's own code comes first.
    """
    print(model_traceback(error), end="", file=sys.stderr)
    error = answer(error)
    rank = os.environ.get("RANK", "")
    who = f" (process {rank})" if rank.isdecimal() and os.environ.get("WORLD_SIZE", "1") not in ("", "0", "1") else ""
    print(f"error{who}: {error.what}", file=sys.stderr)
    if error.hint:
        print(f"  {error.hint}".replace("\n", "\n  "), file=sys.stderr)


@dataclass(frozen=True, slots=True)
class Number:
    """A type of argparse: a number within limits, and a whole one unless `whole` is false."""

    least: float
    most: float
    whole: bool = True

    def __call__(self, text: str) -> int | float:
        """Reads a number. Raises ArgumentTypeError, which names the limits, for anything else."""
        try:
            value = int(text) if self.whole else float(text)
        except ValueError:
            value = math.nan
        if not self.least <= value <= self.most:
            raise argparse.ArgumentTypeError(f"{text!r} is not {self}")
        return value

    def __str__(self) -> str:
        kind = "a whole number" if self.whole else "a number"
        return f"{kind} from {self.least:,} to {self.most:,}"


natural, positive = Number(0, 10**9), Number(1, 10**9)
percentage_points = Number(0, 100, whole=False)
SEED = Number(0, 2**32 - 1)


def speak(*, quiet: bool, verbose: bool) -> None:
    """Sets how much is said on stderr from here on."""
    _SAYS.set("nothing" if quiet else "all" if verbose else "what matters")


def is_verbose() -> bool:
    """Whether choices, identities and times are said."""
    return _SAYS.get() == "all"


def add_speech_flags(parser: argparse.ArgumentParser) -> None:
    """Adds `--quiet` and `--verbose`, which every command has."""
    group = parser.add_argument_group("messages")
    either = group.add_mutually_exclusive_group()
    either.add_argument("-q", "--quiet", action="store_true", help="print results and errors only")
    either.add_argument(
        "-v",
        "--verbose",
        action="store_true",
        help="also say choices, identities and times, and print the traceback of an unexpected error",
    )


def add_root_flag(group: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """Adds the flag that allows media behind links to another folder."""
    group.add_argument(
        "--allow-root",
        type=Path,
        action="append",
        default=[],
        metavar="DIR",
        help="allow that links in the data lead into this folder too; may be repeated (default: none)",
    )


def add_task_flags(parser: argparse.ArgumentParser, *, recipe: bool = False) -> None:
    """Adds the flags that choose tasks and where they are read."""
    group = parser.add_argument_group("tasks")
    add = group.add_argument
    add("-s", "--suite", metavar="SUITE", help="the tasks of a suite, such as demo or mmeb (default: none)")
    add(
        "-t",
        "--tasks",
        action="extend",
        nargs="+",
        metavar="TASK",
        help="these tasks; of a suite, only these; TASK@global ranks the whole pool, TASK@union "
        "that of all tasks; TASK@clustering sorts queries into clusters; `all` is every subset of --data"
        + ("; with --recipe, datasets" if recipe else "")
        + " (default: all of the suite or the data)",
    )
    add_data_flags(group, recipe=recipe)


def add_data_flags(
    group: argparse.ArgumentParser | argparse._ArgumentGroup, *, recipe: bool = False, images: bool = True
) -> None:
    """Adds the flags that say where tasks are read, without `--images` for a command that has one of its own."""
    add = group.add_argument
    add(
        "-d",
        "--data",
        type=Path,
        metavar="DIR",
        help="a folder in a layout of MMEB or BEIR, a .jsonl file, a table with labels or captions, or ORG/NAME "
        + "on the hub"
        + ("; with --recipe, as `llave train` reads it" if recipe else "")
        + " (default: where the tasks come from, such as the hub)",
    )
    if images:
        add("--images", type=Path, metavar="DIR", help="folder of image paths (default: found beside the data)")
    add(
        "--columns",
        action="append",
        default=[],
        metavar="NAME=COLUMN",
        help="a column of --data with its own name, such as image=file; may be repeated (default: the usual names)",
    )
    add_root_flag(group)


def tasks_of(options: argparse.Namespace, names: Iterable[str], images: Path | None) -> dict[str, Task]:
    """The tasks of these names, from the data that flags name or else from where they come from."""
    from tasks.catalog import resolve_tasks

    wanted, roots = list(dict.fromkeys(names)), tuple(options.allow_root)
    found = resolve_tasks(wanted, None, options.data, images, roots, columns_of(options))
    return {task.name: task for task in found}


def columns_of(options: argparse.Namespace) -> dict[str, str]:
    """The columns that `--columns` names. Raises UserError for one that is not NAME=COLUMN."""
    from harness.settings import pairs_of

    return pairs_of([part for each in options.columns for part in each.split(",")], "--columns", "image=file")


def add_model_flags(parser: argparse.ArgumentParser) -> None:
    """Adds the flags that `model_settings` reads."""
    add = parser.add_argument_group("model").add_argument
    add("--device", default="auto", metavar="DEVICE", help="cpu, cuda, cuda:1, or auto: a GPU if there is one")
    add(
        "--dtype",
        default="auto",
        metavar="DTYPE",
        help="float32, bfloat16, float16, or auto: chosen by the model",
    )
    add("--seed", type=SEED, default=0, metavar="N", help="seed of models that draw at random")
    add(
        "--model-option",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="an option of the model, such as max_length=2048; may be repeated (default: the model's own)",
    )
    add(
        "--trust-remote-code",
        action="store_true",
        help="allow code that comes with a checkpoint at a pinned revision to run",
    )


def add_patience_flag(group: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """Adds the flag that limits how long processes wait for one that stands still."""
    group.add_argument(
        "--patience",
        type=Number(0.01, 100_000, whole=False),
        metavar="MINUTES",
        help="of several processes, give up when one has stood still for so long (default: LLAVE_PATIENCE, or 30)",
    )


def model_settings(options: argparse.Namespace) -> ModelSettings:
    """The settings of a model from the flags. Raises UserError for an option that is not KEY=VALUE."""
    from harness.settings import pairs_of
    from harness.types import ModelSettings

    given = pairs_of(options.model_option, "--model-option", "max_length=2048")
    memory = getattr(options, "store", None)
    return ModelSettings(options.device, options.dtype, options.seed, given, options.trust_remote_code, memory)


def add_engine_flags(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """Adds the flags of every command that embeds: the store, the budget of a batch, the number of threads.

    Returns their group.
    """
    group = parser.add_argument_group("engine")
    add = group.add_argument
    add("--store", type=Path, metavar="DIR", default=STORE, help="folder of the embedding store")
    add(
        "--budget",
        type=positive,
        metavar="N",
        help="largest cost of a batch, in tokens or pixels (default: 16384; 2048 for a network on the CPU)",
    )
    add(
        "--workers",
        type=Number(0, 1_000),
        metavar="N",
        help="number of threads that prepare items (default: one for each processor, up to 8)",
    )
    return group
