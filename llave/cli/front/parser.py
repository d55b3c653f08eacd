"""Parsers of commands: short usage, help with groups, defaults and examples, and answers to wrong flags."""

from __future__ import annotations

import argparse
import math
import shutil
from collections.abc import Callable, Sequence
from typing import NamedTuple, NoReturn

from harness.errors import brief, close_names, visible

_WIDEST, _HELP_AT = 100, 26


class HelpText(argparse.RawDescriptionHelpFormatter):
    """Help that shows every default, in at most 100 columns."""

    def __init__(self, prog: str) -> None:
        width = min(shutil.get_terminal_size().columns, _WIDEST) - 2
        super().__init__(prog, max_help_position=_HELP_AT, width=width)

    def _get_help_string(self, action: argparse.Action) -> str:
        text = action.help or ""
        default = action.default
        shows = takes_value(action) and default is not None and default != [] and default is not argparse.SUPPRESS
        return f"{text} (default: %(default)s)" if shows and action.option_strings else text

    def _format_action_invocation(self, action: argparse.Action) -> str:
        """`-s, --suite SUITE`, with the value once, as newer versions of Python have it."""
        if not action.option_strings or not takes_value(action):
            return super()._format_action_invocation(action)
        value = self._format_args(action, (action.dest or "").upper())
        return f"{', '.join(action.option_strings)} {value}"


def takes_value(action: argparse.Action) -> bool:
    """Whether a flag has a value after it."""
    return action.nargs != 0


def takes_several(action: argparse.Action) -> bool:
    """Whether a flag has one or more values after it, each time that it is given."""
    return action.nargs == "+" and bool(action.option_strings)


class GivenFlag(NamedTuple):
    """A flag among the arguments."""

    action: argparse.Action
    has_value: bool
    """Whether the value is in the same word."""

    @property
    def wants_value(self) -> bool:
        """Whether the next word is the value."""
        return takes_value(self.action) and not self.has_value


class CommandParser(argparse.ArgumentParser):
    """The parser of a command, or of all of them. `expand` changes the arguments before they are parsed."""

    def __init__(self, prog: str | None = None, description: str | None = None, epilog: str | None = None) -> None:
        super().__init__(
            prog=prog, description=description, epilog=epilog, formatter_class=HelpText, allow_abbrev=False
        )
        self.commands: dict[str, CommandParser] = {}
        """The parsers of the commands, of the parser of all of them."""
        self.expand: Callable[[CommandParser, Sequence[str]], Sequence[str]] = lambda _, given: given

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Parses, and refuses what no flag takes with the flags that are like it."""
        given = list(self.expand(self, args or ()))
        if any(each.nargs == "*" and not each.option_strings for each in self._actions):
            given = positionals_first(self, given)
        found, extra = super().parse_known_args(single_before_positionals(self, given), namespace)
        if extra and not self.commands:
            close = close_names(extra[0].partition("=")[0], self.flags())
            guess = f". Did you mean {' or '.join(close)}?" if close and extra[0].startswith("-") else ""
            self.error(f"unrecognized arguments: {' '.join(extra)}{guess}")
        return found, extra

    def flags(self) -> list[str]:
        """All flags."""
        return [flag for action in self._actions for flag in action.option_strings]

    def actions(self) -> list[argparse.Action]:
        """All positional arguments and flags, without `--help`."""
        return [each for each in self._actions if not isinstance(each, argparse._HelpAction)]

    def flag_of(self, word: str) -> GivenFlag | None:
        """The flag that a word gives, with its value if the word has that too: `--suite=demo` and `-sdemo`."""
        name, equals, _ = word.partition("=")
        if not word.startswith("--"):
            name = word[:2]
        action = next((each for each in self._actions if name in each.option_strings), None)
        has_value = bool(equals) if word.startswith("--") else len(word) > 2
        return None if action is None else GivenFlag(action, has_value)

    def format_usage(self) -> str:
        """One line: the command, its arguments, and that there are options."""
        return f"usage: {self.prog} {self._line()}\n"

    def format_help(self) -> str:
        """The help, with the short usage."""
        self.usage = f"{self.prog} {self._line()}".replace("%", "%%")
        return super().format_help()

    def error(self, message: str) -> NoReturn:
        """Says what is wrong, and where the flags are listed. Exits with status 2."""
        more = f"  `{self.prog} --help` lists the options.\n"
        if "required: MODEL" in message:
            more = f"  Name models before flags that take several values: {self.prog} MODEL --tasks A B\n{more}"
        self.exit(2, f"{self.format_usage()}error: {brief(visible(message))}\n{more}")

    def _line(self) -> str:
        shown = {"+": "{0} [{0} ...]", "*": "[{0} ...]", "?": "[{0}]"}
        names = [
            shown.get(str(each.nargs), "{0}").format(each.metavar or each.dest)
            for each in self._actions
            if not each.option_strings
        ]
        flags = [each for each in self._actions if each.required and each.option_strings]
        required = [f"{each.option_strings[0]} {each.metavar}" for each in flags]
        return " ".join((*names, *required, "[OPTION ...]"))


def single_before_positionals(parser: CommandParser, given: Sequence[str]) -> list[str]:
    """The arguments, in which a flag of several values takes one if no positional argument came before it.

    So `--tasks A MODEL` names a model, as a flag with one value would leave it.
    """
    if not any(not each.option_strings for each in parser.actions()):
        return list(given)
    rewritten: list[str] = []
    words = iter(given)
    for word in words:
        flag = parser.flag_of(word)
        if flag is None and not word.startswith("-"):
            return [*rewritten, word, *words]
        value = next(words, None) if flag and flag.wants_value else None
        if flag and value is not None and takes_several(flag.action):
            rewritten.append(f"{max(flag.action.option_strings, key=len)}={value}")
        else:
            rewritten += [word] if value is None else [word, value]
    return rewritten


def positionals_first(parser: CommandParser, given: Sequence[str]) -> list[str]:
    """The arguments with the positional ones in front: argparse takes `*` of them from their first place alone."""
    named = positionals(parser, given)
    waiting, others = list(named), []
    for word in given:
        if waiting and word == waiting[0]:
            waiting.pop(0)
        else:
            others.append(word)
    return [*named, *others]


def positionals(parser: CommandParser, given: Sequence[str]) -> list[str]:
    """The arguments that are no flags and no values of flags."""
    found: list[str] = []
    values = 0.0
    for word in given:
        flag = parser.flag_of(word)
        if flag is not None:
            values = 0 if not flag.wants_value else math.inf if takes_several(flag.action) else 1
        elif values:
            values -= 1
        elif not word.startswith("-"):
            found.append(word)
    return found
