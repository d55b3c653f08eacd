"""The pages of the documentation, their blocks of code, and the commands in them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
_FOLDERS = (ROOT, ROOT / "benchmarks", ROOT / "docs")
PAGES = tuple(page for folder in _FOLDERS for page in sorted(folder.glob("*.md")))
PROGRAMS = frozenset({"llave", "python", "make", "pip", "torchrun", "accelerate", "hf", "git", "mkdir", "cd", "rm"})
"""What a line of a command begins with."""
SHELLS = ("", "sh", "bash", "console")
"""Languages of blocks that hold commands, if their first word is a program."""
_FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)
_INDENTED = re.compile(r"^ {4}(\S.*)$", re.MULTILINE)
_SPAN = re.compile(r"`(llave [a-z]+ [^`\n]+)`")


class Block(NamedTuple):
    """A fenced block of a page."""

    page: str
    line: int
    language: str
    text: str

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def is_shell(self) -> bool:
        return self.language in SHELLS and _program(self.text.strip()) in PROGRAMS


class Command(NamedTuple):
    """A command of a page as words, without its comment, its prompt and where its output goes."""

    page: str
    line: int
    words: tuple[str, ...]

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line} {' '.join(self.words)}"


def blocks() -> Iterator[Block]:
    """Every fenced block of every page."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for fence in _FENCE.finditer(text):
            lines = (line.removeprefix(fence[1]) for line in fence[3].splitlines(keepends=True))
            yield Block(_name(page), text.count("\n", 0, fence.start()) + 2, fence[2], "".join(lines))


def commands() -> Iterator[Command]:
    """Every command of every page: in blocks, in indented lines, and `llave` with arguments within a sentence."""
    for block in blocks():
        if block.is_shell:
            yield from _split(block.page, block.line, block.text)
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        prose = _FENCE.sub(lambda fence: "\n" * fence[0].count("\n"), text)
        for found in (*_INDENTED.finditer(prose), *_SPAN.finditer(prose)):
            if _program(found[1]) in PROGRAMS:
                yield from _split(_name(page), prose.count("\n", 0, found.start()) + 1, found[1])


def _name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def _program(line: str) -> str:
    """The program of a line, without its folder."""
    return line.removeprefix("$ ").partition(" ")[0].partition("\n")[0].rpartition("/")[2]


def _split(page: str, line: int, text: str) -> Iterator[Command]:
    """The commands of a text. One ends with its line, unless a quotation is open or a backslash is last."""
    pending, first = "", line
    for number, each in enumerate(text.splitlines(), line):
        pending, first = (f"{pending}\n{each}", first) if pending else (each, number)
        if pending.endswith("\\"):
            pending = pending[:-1]
            continue
        try:
            words = _words(pending)
        except ValueError:  # a quotation goes over several lines
            continue
        pending = ""
        while words:
            end = words.index("&&") if "&&" in words else len(words)
            yield Command(page, first, _plain(words[:end]))
            words = words[end + 1 :]
    assert not pending, f"{page}:{first}: a command that does not end"


def _words(text: str) -> list[str]:
    lexer = shlex.shlex(text.removeprefix("$ "), posix=True, punctuation_chars="&|>")
    lexer.whitespace_split = True
    return list(lexer)


def _plain(words: list[str]) -> tuple[str, ...]:
    end = words.index(">") if ">" in words else len(words)
    program = words[0].rpartition("/")[2]
    return (program, *words[1:end])
