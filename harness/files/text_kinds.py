"""Kinds of files that are text: pages, pointers, addresses, JSON and tables."""

from __future__ import annotations

import base64
import binascii
import json
import re

from harness.files.signatures import Kind, kind_of_bytes

_CORRECT = "Correct the file, or name another one."

LFS = Kind("a Git LFS pointer; the file itself was not fetched", "Fetch it: git lfs pull", "stand-in")
ANNEX = Kind("a git-annex pointer; the file itself was not fetched", "Fetch it: git annex get FILE", "stand-in")
HTML = Kind("a web page (HTML)", "A server answered with a page in place of the file. Fetch the file again.", "data")
SVG = Kind("an SVG image", "Draw it: rsvg-convert FILE -o OUT.png (librsvg)", "image")
XML = Kind("an XML file", _CORRECT, "data")
DATA_ADDRESS = Kind("the text of a data: address", "Decode what follows its comma: base64 -d", "data")
JSON = Kind("a JSON file", _CORRECT, "text")
JSON_LINES = Kind("a JSON Lines file", _CORRECT, "text")
CSV = Kind("a table in text (CSV)", _CORRECT, "text")
TEXT = Kind("a text", _CORRECT, "text")
WIDE = Kind("a text in UTF-16 or UTF-32", "Save it as UTF-8: iconv -f ENCODING -t UTF-8 OLD > NEW", "text")

_POINTERS = (
    (re.compile(r"version https://(git-lfs|hawser)\."), LFS),
    (re.compile(r"/annex/objects/|(\.\./)*\.git/annex/"), ANNEX),
)
_BEFORE = r"(\s|<!--.*?-->)*"
_PAGE = re.compile(
    rf"{_BEFORE}(<\?xml[^>]*>)?{_BEFORE}<(!doctype html|html|head|body|title|meta|script|div)\b", re.I | re.S
)
_DRAWING = re.compile(r"\s*(<\?xml.*?<svg\b|<!--.*?<svg\b|<!DOCTYPE svg\b|<svg\b)", re.S)
_ADDRESS = re.compile(r"\s*data:[\w.+-]+/[\w.+-]+[;,]")
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]+={0,2}")
_LEAST_BASE64, _SURE_BASE64 = 16, 200
_MARKS = (b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")
_DELIMITERS = ",;\t|"


def kind_of_text(head: bytes, whole: bool) -> Kind | None:
    """Returns the kind of a text by its first bytes, or None if they are no text. `whole` is whether they are all."""
    if head.startswith(_MARKS):
        return WIDE
    text = _decoded(head, whole)
    if text is None:
        return None
    pointer = next((kind for start, kind in _POINTERS if start.match(text)), None)
    return pointer or _marked_up(text) or _encoded(text, whole) or _structured(text, whole)


def _decoded(head: bytes, whole: bool) -> str | None:
    """The text in UTF-8, or None. The last character of a part may be cut."""
    try:
        text = head.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if whole or error.start < len(head) - 3:
            return None
        text = head[: error.start].decode("utf-8-sig")
    return None if any(letter < " " and letter not in "\t\n\r\f\x1b" for letter in text) else text


def _marked_up(text: str) -> Kind | None:
    if _DRAWING.match(text):
        return SVG
    if _PAGE.match(text):
        return HTML
    return XML if text.lstrip().startswith("<?xml") else None


def _encoded(text: str, whole: bool) -> Kind | None:
    """A `data:` address or base64. Words and numbers in hexadecimal digits are neither."""
    if _ADDRESS.match(text):
        return DATA_ADDRESS
    joined = "".join(text.split("\n")).replace("\r", "") if whole else "".join(text.splitlines()[:-1] or [text])
    if len(joined) < _LEAST_BASE64 or not _BASE64.fullmatch(joined):
        return None
    try:
        inside = kind_of_bytes(
            base64.b64decode(joined[: len(joined) // 4 * 4], altchars=b"-_" if "-" in joined else None)
        )
    except binascii.Error:
        return None
    mixed = all(any(test(letter) for letter in joined) for test in (str.islower, str.isupper, str.isdigit))
    if not inside and not (mixed and len(joined) >= _SURE_BASE64):
        return None
    return Kind(f"base64 text{f' of {inside.name}' if inside else ''}", "Decode it: base64 -d FILE > OUT", "data")


def _structured(text: str, whole: bool) -> Kind:
    lines = [line for line in text.splitlines() if line.strip()]
    if text.lstrip()[:1] in ("{", "["):
        return JSON_LINES if len(lines) > 1 and _is_json(lines[0]) else JSON
    rows = lines if whole else lines[:-1]
    counts = [{mark: row.count(mark) for mark in _DELIMITERS} for row in rows[:5]]
    regular = (
        any(counts[0][mark] and len({each[mark] for each in counts}) == 1 for mark in _DELIMITERS) if counts else 0
    )
    return CSV if len(rows) > 1 and regular else TEXT


def _is_json(line: str) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True
