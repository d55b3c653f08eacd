"""The command `llave completion`: a script by which a shell completes commands, flags and names."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from llave.cli.flags import DONE
from llave.cli.front.help import TOPICS
from llave.cli.front.parser import CommandParser, takes_several, takes_value
from llave.words.answer import VOCABULARIES

ABOUT = "print a script that completes commands, flags and names in a shell"
SHELLS = ("bash", "zsh", "fish")
_KINDS = {"MODEL": "model", "SUITE": "suite", "TASK": "task", "RECIPE": "recipe"}
"""The vocabularies of values and arguments, by what help calls them."""


class _Values(NamedTuple):
    """What can follow: words, and perhaps paths."""

    words: tuple[str, ...]
    paths: bool


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the argument of `llave completion`."""
    parser.add_argument("shell", choices=SHELLS, metavar="SHELL", help=f"the shell: {', '.join(SHELLS)}")


def run(options: argparse.Namespace) -> int:
    """Prints the script. Returns the exit status."""
    commands: Mapping[str, CommandParser] = options.whole.commands
    print(script(options.shell, commands))
    return DONE


def script(shell: str, commands: Mapping[str, CommandParser]) -> str:
    """The script for a shell. It holds the names that are known when it is made."""
    if shell == "fish":
        return "\n".join(_fish(commands))
    start = "autoload -U +X compinit bashcompinit\ncompinit\nbashcompinit\n" if shell == "zsh" else ""
    return start + _BASH.format(
        commands=_quoted(commands),
        several="|".join(sorted({flag for each in commands.values() for flag in _several(each)})),
        values="\n".join(line for name, parser in commands.items() for line in _bash_values(name, parser)),
        arguments="\n".join(_bash_arguments(parser) for parser in commands.values()),
    )


_BASH = """\
_llave() {{
    local current="${{COMP_WORDS[COMP_CWORD]}}" command="${{COMP_WORDS[1]}}" flag="" flags="" words="" paths=""
    local at=$((COMP_CWORD - 1))
    COMPREPLY=()
    if [ "$COMP_CWORD" -eq 1 ]; then
        COMPREPLY=($(compgen -W {commands} -- "$current"))
        return
    fi
    if [[ "${{COMP_WORDS[at]}}" == -* ]]; then
        flag="${{COMP_WORDS[at]}}"
    else
        while [ "$at" -gt 1 ] && [[ "${{COMP_WORDS[at]}}" != -* ]]; do at=$((at - 1)); done
        case "${{COMP_WORDS[at]}}" in {several}) flag="${{COMP_WORDS[at]}}" ;; esac
    fi
    [[ "$current" == -* ]] && flag="any"
    case "$command $flag" in
{values}
    *)
        case "$command" in
{arguments}
        esac
        ;;
    esac
    if [[ "$current" == -* ]]; then
        COMPREPLY=($(compgen -W "$flags" -- "$current"))
        return
    fi
    COMPREPLY=($(compgen -W "$words" -- "$current"))
    if [ -n "$paths" ]; then
        type compopt > /dev/null 2>&1 && compopt -o filenames 2> /dev/null
        local IFS=$'\\n'
        COMPREPLY+=($(compgen -f -- "$current"))
    fi
}}
complete -F _llave llave"""


def _bash_values(command: str, parser: CommandParser) -> Iterable[str]:
    for action in parser.actions():
        if action.option_strings and takes_value(action):
            found = _values(action)
            flags = "|".join(f"{command}\\ {flag}" for flag in action.option_strings)
            yield f"    {flags}) words={_quoted(found.words)} paths={'1' if found.paths else ''} ;;"


def _bash_arguments(parser: CommandParser) -> str:
    found = _arguments(parser)
    words, flags, paths = _quoted(found.words), _quoted(parser.flags()), "1" if found.paths else ""
    return f"        {parser.prog.split()[-1]}) words={words} flags={flags} paths={paths} ;;"


def _fish(commands: Mapping[str, CommandParser]) -> Iterable[str]:
    yield f"complete -c llave -f -n __fish_use_subcommand -a {_quoted(commands)}"
    for name, parser in commands.items():
        where = f"complete -c llave -n '__fish_seen_subcommand_from {name}'"
        found = _arguments(parser)
        yield f"{where} {'' if found.paths else '-f '}-a {_quoted(found.words)}"
        for action in parser.actions():
            flags = " ".join(map(_fish_flag, action.option_strings))
            if flags and takes_value(action):
                value = _values(action)
                yield f"{where} {flags} -r {'-F' if value.paths else '-f'} -a {_quoted(value.words)}"
            elif flags:
                yield f"{where} {flags}"


def _fish_flag(flag: str) -> str:
    return f"-{'l' if flag.startswith('--') else 's'} {flag.lstrip('-')}"


def _arguments(parser: CommandParser) -> _Values:
    """What the positional arguments of a command can be."""
    found = [_values(action) for action in parser.actions() if not action.option_strings]
    return _Values(tuple(word for each in found for word in each.words), any(each.paths for each in found))


def _values(action: argparse.Action) -> _Values:
    """What the values of an argument or a flag can be."""
    if action.choices:
        return _Values(tuple(map(str, action.choices)), paths=False)
    kind = _KINDS.get(str(action.metavar))
    words = tuple(sorted(VOCABULARIES[kind].words())) if kind else TOPICS if action.metavar == "TOPIC" else ()
    return _Values(words, paths=action.type is Path or kind == "model")


def _several(parser: CommandParser) -> Iterable[str]:
    return (flag for action in parser.actions() if takes_several(action) for flag in action.option_strings)


def _quoted(words: Iterable[str]) -> str:
    return shlex.quote(" ".join(words))
