"""The rules for prose that a machine can check: how long a sentence is, and phrases that the project does not use.

`python -m tests.helpers.prose PATH ...` prints what breaks them in docstrings of Python files and in Markdown pages.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

MOST_WORDS = 20

PHRASES = (
    "keeps the law",
    "keep the law",
    "goes on",
    "go on from",
    "going on",
    "stood already",
    "of its own accord",
    "whatever is",
    "for ever",
    "Arrives with",
)
"""Wordings that read as translated. "resumes", "continues", "only", "found", "skipped" say the same."""

_CODE = re.compile(r"```.*?```|^ {4,}\S[^\n]*$", re.DOTALL | re.MULTILINE)
_INLINE = re.compile(r"`[^`\n]*`")
_LINK = re.compile(r"!?\[([^\]]*)\](?:\([^)]*\)|\[[^\]]*\])")
_TARGET = re.compile(r"^\[[^\]]+\]: \S+$", re.MULTILINE)
_END = re.compile(r"(?<=[.!?:;])[\"')*]*\s+(?=[A-Z\d`\"'(*])|\n\s*\n|\n\s*(?:[-*+]|\d+\.)\s+|\n#+ ")


class Breach(NamedTuple):
    """A sentence that breaks a rule."""

    place: str
    why: str
    sentence: str


def breaches(path: Path) -> Iterator[Breach]:
    """What breaks the rules in a Python file's docstrings or in a Markdown page."""
    text = path.read_text(encoding="utf-8")
    parts = _docstrings(text) if path.suffix == ".py" else [(1, _without_tables(text))]
    for line, part in parts:
        for sentence in sentences(part):
            words = len(sentence.split())
            if words > MOST_WORDS:
                yield Breach(f"{path}:{line}", f"{words} words", sentence)
            for phrase in PHRASES:
                if re.search(rf"\b{phrase}s?\b", sentence, re.IGNORECASE):
                    yield Breach(f"{path}:{line}", f"says {phrase!r}", sentence)


def sentences(text: str) -> Iterator[str]:
    """Sentences and list entries of a text, without code; inline code and a link's text count as one word."""
    plain = _CODE.sub("\n\n", _TARGET.sub("", text))
    plain = _INLINE.sub("CODE", _LINK.sub(lambda link: link[1], plain))
    for sentence in _END.split(plain):
        joined = " ".join(sentence.split())
        if joined:
            yield joined


def _docstrings(text: str) -> Iterator[tuple[int, str]]:
    """Docstrings of modules, classes and functions, and the strings that document a field or a constant."""
    for node in ast.walk(ast.parse(text)):
        body = getattr(node, "body", None)
        for statement in body if isinstance(body, list) else ():
            value = statement.value if isinstance(statement, ast.Expr) else None
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                yield value.lineno, value.value


def _without_tables(text: str) -> str:
    """The page with each cell of a table as a paragraph."""
    lines = (
        "\n\n" + line.strip("| ").replace("|", "\n\n") + "\n\n" if line.lstrip().startswith("|") else line
        for line in text.split("\n")
    )
    return "\n".join(lines)


def main(paths: list[str]) -> int:
    files = [file for path in map(Path, paths) for file in ([path] if path.is_file() else sorted(path.rglob("*.py")))]
    found = [breach for file in files for breach in breaches(file)]
    for breach in found:
        print(f"{breach.place}: {breach.why}: {breach.sentence}")
    print(f"{len(found)} sentences in {len(files)} files")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
