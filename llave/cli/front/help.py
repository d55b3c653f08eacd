"""The command `llave help`, and the page that lists all commands."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from textwrap import fill

from harness.errors import unknown_name
from llave.cli.flags import DONE
from llave.cli.front import environment
from llave.cli.front.parser import CommandParser

ABOUT = "show all commands, one command's options, or environment variables"
GROUPS: Mapping[str, tuple[str, ...]] = {
    "Evaluate a model": ("run", "doctor", "embed", "diagnose"),
    "See results": ("board", "serve", "compare", "show", "validate"),
    "Look closer": ("curves", "sensitivity", "contamination", "agree", "power", "seeds"),
    "Give and take results": ("export", "import", "bundle", "push"),
    "Train a model": ("train", "mine"),
    "Look up names": ("models", "suites", "tasks"),
    "Keep vectors": ("store",),
    "Get help": ("help", "completion"),
}
"""The commands by what they are for."""
TOPICS = (*(name for names in GROUPS.values() for name in names), environment.PAGE)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the argument of `llave help`."""
    named = f"a command, or `{environment.PAGE}` (default: all commands)"
    parser.add_argument("topic", nargs="?", metavar="TOPIC", help=named)


def run(options: argparse.Namespace) -> int:
    """Prints the page of a topic. Returns the exit status."""
    whole: CommandParser = options.whole
    topic = options.topic
    if topic is None:
        print(whole.format_help(), end="")
    elif topic == environment.PAGE:
        print(environment.page())
    elif topic in whole.commands:
        print(whole.commands[topic].format_help(), end="")
    else:
        raise unknown_name("command", topic, (*whole.commands, environment.PAGE), "`llave help` lists the commands.")
    return DONE


def overview(about: Mapping[str, str]) -> str:
    """The commands in groups, each with what it does."""
    parts = ["\n".join((f"{title}:", *(_line(name, about[name]) for name in names))) for title, names in GROUPS.items()]
    start = (
        "First steps:\n"
        "  llave run classical -s demo       evaluate a model on the built-in tasks\n"
        "  llave board runs/results          see its scores\n"
        "  llave help run                    see the options of a command"
    )
    return "\n\n".join((*parts, start))


def _line(name: str, about: str) -> str:
    return fill(about, 79, initial_indent=f"  {name:15}", subsequent_indent=" " * 17)
