"""The page of a board: one HTML file with its data, code and style, which loads nothing else."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from harness.errors import visible
from harness.files.writing import write_atomic
from leaderboards.board.board import Board
from leaderboards.page.analyses import PageAnalysis
from leaderboards.page.data import PageData, page_data
from leaderboards.page.thumbnails import Album
from leaderboards.page.viewer import viewer
from leaderboards.pictures import Pictures

_STYLES = ("page.css", "queries.css")
_CODE = (
    "common.js",
    "state.js",
    "table.js",
    "filters.js",
    "copy.js",
    "svg.js",
    "plots.js",
    "difference.js",
    "compare.js",
    "similarity.js",
    "queries.js",
    "analyses.js",
    "page.js",
)
_CHARTS = "vendor/chart.umd.min.js"
_SHADES = 20
"""Steps of the heat map, as in `table.js`."""
_FOR_HTML = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"}
_PLACE = re.compile(r"\{\{(\w+)\}\}")


class Document(NamedTuple):
    """A page as text, with the Content-Security-Policy that it declares."""

    text: str
    policy: str


def write_page(
    path: Path,
    board: Board,
    *,
    queries: int = 0,
    images: Sequence[Path] = (),
    beside: bool = False,
    analyses: Sequence[PageAnalysis] = (),
    command: str = "",
) -> list[str]:
    """Writes the board as one HTML file. Returns what is to be said about pictures that were not found.

    Args:
        path: the file.
        board: the board.
        queries: number of queries of each task and model.
        images: folders of media that are no longer where the results say.
        beside: whether pictures are files, in a folder with the name of the page, instead of within it.
        analyses: what else the page shows, each as a part of its own.
        command: the command that makes the page, which the page names. Its date is that of SOURCE_DATE_EPOCH, or today.

    Raises:
        UserError: if there are no queries to show, and if one of `images` is no folder.
    """
    folder = path.with_name(f"{path.stem}-pictures") if beside else None
    album = Album(Pictures.of(images), folder)
    write_atomic(path, page(board, queries=queries, album=album, analyses=analyses, command=command))
    return album.pictures.notes()


def page(
    board: Board,
    *,
    queries: int = 0,
    album: Album | None = None,
    analyses: Sequence[PageAnalysis] = (),
    command: str = "",
) -> str:
    """The page of `write_page` as text."""
    album = album or Album()
    shown = viewer(board, queries, album) if queries else None
    data = page_data(board, shown, analyses=analyses, command=command)
    return document(data, ["img-src data: 'self'" if album.beside else "img-src data:"]).text


def document(data: PageData, sources: Sequence[str]) -> Document:
    """The page with this data. `sources` are directives of its policy that allow more than its own code and style."""
    style = "\n".join(_read(f"web/{name}") for name in _STYLES).replace("{{steps}}", _steps())
    charts = _read(_CHARTS).partition("//# sourceMappingURL")[0] if data["viewer"] else ""
    code = "\n".join(_read(f"web/{name}") for name in _CODE)
    policy = _policy(style, [each for each in (charts, code) if each], sources)
    parts = {
        "policy": policy,
        "title": html.escape(data["suite"]),
        "style": style,
        "charts": f"<script>{charts}</script>\n" if charts else "",
        "data": safe_json(data),
        "code": code,
    }
    # one pass, so that inserted text is never substituted
    return Document(_PLACE.sub(lambda place: parts[place[1]], _read("web/page.html")), policy)


def _steps() -> str:
    """The classes of the heat map's shades."""
    return " ".join(f".h{step} {{ --step: {step}; }}" for step in range(_SHADES + 1))


def _policy(style: str, scripts: Sequence[str], sources: Sequence[str]) -> str:
    """A Content-Security-Policy that allows only these scripts, this style and what `sources` name."""
    own = (f"style-src {_digest(style)}", f"script-src {' '.join(map(_digest, scripts))}")
    return "; ".join(("default-src 'none'", *sources, *own, "base-uri 'none'", "form-action 'none'"))


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}'"


def safe_json(data: object) -> str:
    """JSON whose texts may be shown, and that cannot end the HTML element that contains it."""
    text = json.dumps(_visible(data), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return re.sub("[<>&]", lambda found: _FOR_HTML[found[0]], text)


def _visible(data: object) -> object:
    """The data with every text, also every key, as it may be shown."""
    if isinstance(data, str):
        return visible(data)
    if isinstance(data, dict):
        return {_visible(key): _visible(value) for key, value in data.items()}
    return [_visible(each) for each in data] if isinstance(data, list | tuple) else data


def _read(name: str) -> str:
    return (files("leaderboards.page") / name).read_text(encoding="utf-8")
