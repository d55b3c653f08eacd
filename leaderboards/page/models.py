"""Rows that belong to one model, and links to where a row comes from."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TypedDict

from leaderboards.board.entries import MEASURED, Entry
from leaderboards.board.standings import Standing

RULE = (
    "A model has one row, and its other rows open below it. First comes a row that was measured here, then one that is "
    "ranked, then one with more datasets, then one from a paper, then one that others report, then the newest."
)
_WHO = re.compile(r"\s*\((?:leaderboard|(?:as run|reproduced|re-?run) (?:by|in) [^)]*|before [^)]*)\)$")
"""A remark behind a name about who ran the model and when. It names no other model."""
_REPOSITORY = r"(?<!\S)([\w.-]+/[\w.-]+)"
_ARXIV = re.compile(r"arXiv[ :]?(\d{4}\.\d{4,5})")
_CARD = re.compile(rf"{_REPOSITORY} model card")
_SPACE = re.compile(rf"{_REPOSITORY}(?: space)? results\.csv")
_THREAD = re.compile(rf"{_REPOSITORY} (PR|issue) #(\d+)")
_COMMIT = re.compile(rf"{_REPOSITORY} (?:main )?(?:(\S+\.\w+) )?@([0-9a-f]{{7,40}})(?: (\S+\.\w+))?")
_URL = re.compile(r"https://[^\s\"'<>;,]+")
_REVISION = re.compile(r"[0-9a-f]{40}")
_HUB, _GITHUB = "https://huggingface.co", "https://github.com"


class Link(TypedDict):
    """A link: `paper`, `hub`, `source` or `training data`, and its address."""

    what: str
    address: str


def models_of(standings: Sequence[Standing]) -> list[list[int]]:
    """The rows of each model, as indexes in the order of `RULE`. Models are in the order of their first rows.

    Rows are of one model if their names differ only in case, spaces and punctuation, or in who ran the model. Rows that
    were measured here stay apart, since the board has named them apart.
    """
    first: dict[str, int] = {}
    rows: dict[int, list[int]] = defaultdict(list)
    for index in sorted(range(len(standings)), key=lambda index: _documented(standings[index], index)):
        entry = standings[index].entry
        head = first.setdefault(_key(entry), index)
        rows[index if entry.kind == MEASURED else head].append(index)
    return sorted(rows.values(), key=min)


def _key(entry: Entry) -> str:
    printed = entry.published
    name = printed.model if printed else str(next(iter(entry.results.values())).model["name"])
    return re.sub(r"[\W_]+", "", _WHO.sub("", name).casefold()) or name


def _documented(standing: Standing, index: int) -> tuple[bool, bool, int, bool, bool, bool, list[int], int]:
    """A key that sorts rows by `RULE`."""
    entry = standing.entry
    row = entry.published
    newest = [-int(part) for part in (row.source.date or "").split("-") if part.isdigit()] if row else []
    return (
        entry.kind != MEASURED,
        standing.place is None,
        -len(entry.scores),
        row is None or not _ARXIV.search(row.source.where),
        row is not None and row.kind == "self-reported",
        not newest,
        newest,
        index,
    )


def links_of(entry: Entry) -> list[Link]:
    """Links to the paper, the hub and the source of a row, where its reference names them."""
    declared = entry.trained_on
    address = _address(declared.source) if declared else None
    last: list[Link] = [{"what": "training data", "address": address}] if address else []
    if entry.published is None:
        return [*_measured_on(next(iter(entry.results.values())).model), *last]
    return [*_links_in(entry.published.source.where), *last]


def _address(source: str) -> str | None:
    """The address that the source of a declaration names, or of its paper."""
    paper = _ARXIV.search(source)
    return _source(source) or (f"https://arxiv.org/abs/{paper[1]}" if paper else None)


def _links_in(where: str) -> list[Link]:
    found: list[Link] = []
    if paper := _ARXIV.search(where):
        found.append({"what": "paper", "address": f"https://arxiv.org/abs/{paper[1]}"})
    if card := _CARD.search(where):
        found.append({"what": "hub", "address": f"{_HUB}/{card[1]}"})
    if address := _source(where):
        found.append({"what": "source", "address": address})
    return found


def _source(where: str) -> str | None:
    """The address of a page, leaderboard, thread or file that a reference names."""
    if found := _URL.search(where):
        return found[0]
    if found := _SPACE.search(where):
        return f"{_HUB}/spaces/{found[1]}"
    if found := _COMMIT.search(where):
        path = found[2] or found[4]
        return f"{_GITHUB}/{found[1]}/" + (f"blob/{found[3]}/{path}" if path else f"tree/{found[3]}")
    if found := _THREAD.search(where):
        return f"{_GITHUB}/{found[1]}/{'pull' if found[2] == 'PR' else 'issues'}/{found[3]}"
    return None


def _measured_on(model: Mapping[str, object]) -> list[Link]:
    """The hub's page of a measured model: its revision is a commit, and its name ends with the repository's."""
    parts = str(model["name"]).rpartition("=")[2].split("/")[-2:]
    revision = str(model["revision"])
    if len(parts) < 2 or not _REVISION.fullmatch(revision) or not all(re.fullmatch(r"[\w.-]+", each) for each in parts):
        return []
    return [{"what": "hub", "address": f"{_HUB}/{'/'.join(parts)}/tree/{revision}"}]
