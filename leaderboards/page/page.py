"""The page of a board: one HTML file with its data, code and style, which loads nothing else."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from importlib.resources import files
from pathlib import Path

from harness.paths import write_atomic
from leaderboards.board.board import Board
from leaderboards.page.data import page_data
from leaderboards.page.viewer import viewer

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
    "charts.js",
    "queries.js",
    "page.js",
)
_CHARTS = "vendor/chart.umd.min.js"
_SHADES = 20
"""Steps of the heat map, as in `table.js`."""
_FOR_HTML = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"}
_PLACE = re.compile(r"\{\{(\w+)\}\}")


def write_page(path: Path, board: Board, *, queries: int = 0, images: Path | None = None, command: str = "") -> None:
    """Writes the board as one HTML file.

    `queries` is the number of queries of each task and model. Their thumbnails come from the folder `images`. The page
    names the `command` that made it, and the date: today, or that of the environment variable SOURCE_DATE_EPOCH.

    Raises: UserError if there are no queries to show, and if `images` is no folder.
    """
    write_atomic(path, page(board, queries=queries, images=images, command=command))


def page(board: Board, *, queries: int = 0, images: Path | None = None, command: str = "") -> str:
    """The page of `write_page` as text."""
    shown = viewer(board, queries, images) if queries else None
    data = page_data(board, shown, command=command)
    style = _read("web/page.css").replace("{{steps}}", _steps())
    charts = _read(_CHARTS).partition("//# sourceMappingURL")[0] if shown else ""
    code = "\n".join(_read(f"web/{name}") for name in _CODE)
    parts = {
        "policy": _policy(style, *([charts] if charts else []), code),
        "title": html.escape(data["suite"]),
        "style": style,
        "charts": f"<script>{charts}</script>\n" if charts else "",
        "data": _json(data),
        "code": code,
    }
    return _PLACE.sub(
        lambda place: parts[place[1]], _read("web/page.html")
    )  # one pass, so that inserted text is never substituted


def _steps() -> str:
    """The classes of the heat map's shades."""
    return " ".join(f".h{step} {{ --step: {step}; }}" for step in range(_SHADES + 1))


def _policy(style: str, *scripts: str) -> str:
    """A Content-Security-Policy that allows only these scripts, this style and embedded images, and no request."""
    allowed = " ".join(map(_digest, scripts))
    return (
        f"default-src 'none'; img-src data:; style-src {_digest(style)}; script-src {allowed}; "
        "base-uri 'none'; form-action 'none'"
    )


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}'"


def _json(data: object) -> str:
    """JSON that cannot end the HTML element that contains it."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return re.sub("[<>&]", lambda found: _FOR_HTML[found[0]], text)


def _read(name: str) -> str:
    return (files("leaderboards.page") / name).read_text(encoding="utf-8")
