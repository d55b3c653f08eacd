"""The reference part of docs/api.md, made from signatures and docstrings.

`python -m tests.helpers.api_page` writes it into the page, below the line `MARK`.
"""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path

import llave

PAGE = Path(__file__).resolve().parents[2] / "docs" / "api.md"
MARK = "<!-- Below is made from the docstrings: python -m tests.helpers.api_page -->"
_SECTIONS = ("Args", "Returns", "Raises", "Example")
_FUNCTIONS = ("evaluate", "task", "board", "compare", "embed", "doctor", "train", "tasks", "models")
_ALIASES = {"Role": "`query` or `target`: what an item is embedded as."}


def reference() -> str:
    """All public names: functions in the order of use, then classes."""
    classes = [name for name in llave.__all__ if name not in (*_FUNCTIONS, *_ALIASES)]
    parts = ["## Functions", *map(_function, _FUNCTIONS), "## Classes", *map(_class, classes)]
    parts += [f"### llave.{name}\n\n{text}" for name, text in _ALIASES.items()]
    return "\n\n".join(parts) + "\n"


def _function(name: str) -> str:
    value = getattr(llave, name)
    parts = [f"### llave.{name}", f"```text\n{_signature(name, value)}\n```", *_documented(inspect.getdoc(value) or "")]
    return "\n\n".join(parts)


def _class(name: str) -> str:
    value = getattr(llave, name)
    parts = [f"### llave.{name}", *_documented(inspect.getdoc(value) or "")]
    if rows := {**_fields(value), **_members(value)}:
        parts.append(_table("attribute", rows))
    return "\n\n".join(parts)


def _signature(name: str, value: object) -> str:
    """One argument a line, where one line is not enough. Types are in the text."""
    parameters = inspect.signature(value).parameters.values()  # type: ignore[arg-type]
    plain = [str(each.replace(annotation=inspect.Parameter.empty)) for each in parameters]
    only = next((at for at, each in enumerate(parameters) if each.kind is inspect.Parameter.KEYWORD_ONLY), None)
    if only is not None:
        plain.insert(only, "*")
    line = f"{name}({', '.join(plain)})"
    return line if len(line) <= 100 else "\n".join([f"{name}(", *(f"    {each}," for each in plain), ")"])


def _documented(text: str) -> Iterator[str]:
    """The paragraphs of a docstring, and its sections as tables and sentences."""
    found = _sections(text)
    yield _joined(found.pop(""))
    for title, body in found.items():
        if title == "Args":
            yield _table("argument", _entries(body))
        elif title == "Example":
            yield f"```pycon\n{textwrap.dedent(body).strip()}\n```"
        elif title == "Raises":
            yield "\n".join(f"Raises `{name}`: {what}" for name, what in _entries(body).items())
        else:
            yield f"Returns: {_joined(body)}"


def _sections(text: str) -> dict[str, str]:
    parts = re.split(rf"^({'|'.join(_SECTIONS)}):\n", text, flags=re.MULTILINE)
    return {"": parts[0]} | dict(zip(parts[1::2], parts[2::2], strict=True))


def _entries(body: str) -> dict[str, str]:
    """`name: text` by name, each with its indented lines."""
    entries = re.split(r"^(\**\w+): ", textwrap.dedent(body), flags=re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in zip(entries[1::2], entries[2::2], strict=True)}


def _joined(text: str) -> str:
    """Paragraphs with a line each. A list keeps its lines."""
    paragraphs = textwrap.dedent(text).strip().split("\n\n")
    return "\n\n".join(" ".join(each.split()) for each in paragraphs)


def _fields(value: type) -> dict[str, str]:
    """Public fields of a dataclass, with the strings under them."""
    if not hasattr(value, "__dataclass_fields__"):
        return {}
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(value))).body
    assert isinstance(tree, ast.ClassDef)
    found = {}
    for node, after in zip(tree.body, [*tree.body[1:], None], strict=True):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id[0] != "_":
            text = after.value.value if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) else ""
            found[node.target.id] = " ".join(str(text).split()) or f"`{ast.unparse(node.annotation)}`"
    return found


def _members(value: type) -> dict[str, str]:
    """Public properties and methods, each with the first paragraph of its docstring."""
    found = {}
    for name, member in vars(value).items():
        if name[0] == "_" or not (inspect.isfunction(member) or isinstance(member, property)):
            continue
        shown = name if isinstance(member, property) else _signature(name, _unbound(member))
        found[shown] = " ".join(_joined(_sections(inspect.getdoc(member) or "")[""]).split())
    return found


def _unbound(function: object) -> object:
    signature = inspect.signature(function)  # type: ignore[arg-type]
    kept = [each for each in signature.parameters.values() if each.name != "self"]

    def plain() -> None:
        """Stands for the method, without `self`."""

    plain.__signature__ = signature.replace(parameters=kept)  # type: ignore[attr-defined]
    return plain


def _table(heading: str, rows: Mapping[str, str]) -> str:
    lines = [f"| `{name}` | {text.replace('|', chr(92) + '|')} |" for name, text in rows.items()]
    return "\n".join([f"| {heading} | |", "|---|---|", *lines])


def page() -> str:
    """The page with its reference made anew."""
    written = PAGE.read_text(encoding="utf-8").partition(MARK)[0]
    return f"{written.rstrip()}\n\n{MARK}\n\n{reference()}"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
