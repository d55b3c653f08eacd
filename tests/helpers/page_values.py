"""A small board with rows on disk, for tests of the page: names and captions are as hostile as data can be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from PIL import Image

from leaderboards.analysis.report import PlotSeries, Report
from leaderboards.board.board import Board
from leaderboards.load import load
from leaderboards.published.rows import Citation, PublishedRow
from leaderboards.tables import Cell, Table
from tasks.suites import Suite
from tests.helpers.record_values import in_memory, write_honest
from tests.helpers.result_values import result

HOSTILE = "</script><script>window.pwned = 1</script><img src=x onerror='window.pwned = 1'>\"'`${1}&lt;{{data}}\u2028"
PLAIN, RIVAL, EVIL = "plain", "rival", f"evil {HOSTILE}"
SUITE = Suite("these", "two datasets", ("Words", "Scenes"), (("retrieval", ("Scenes",)),))
HITS: Mapping[str, Mapping[str, Sequence[int]]] = {
    PLAIN: {"Words": [1, 1, 1, 1, 1, 0, 0, 0, 1, 1], "Scenes": [1, 1, 1, 1, 1, 1, 0, 0, 0, 0]},
    RIVAL: {"Words": [0, 1, 1, 0, 1, 1, 0, 0, 0, 0], "Scenes": [1, 1, 0, 0, 0, 0, 0, 0, 0, 0]},
    EVIL: {"Words": [0, 0, 0, 0, 0, 0, 0, 1, 0, 0], "Scenes": [0, 0, 0, 0, 0, 0, 0, 0, 0, 0]},
}


def page_board(folder: Path, text: str = "", far: int = 3, images: Path | None = None) -> Board:
    """Three measured models of which the first is the best, and two published rows, one without datasets.

    `text` is added to the first query. A wrong answer has its right one at rank `far`, out of the top if beyond 3. The
    records say that pictures lay in `images`.
    """
    places = [] if images is None else [{"kind": "image", "folder": str(images)}]
    for model, tasks in HITS.items():
        for task, hits in tasks.items():
            parameters = {PLAIN: 2_000_000_000, RIVAL: 500_000_000, EVIL: None}[model]
            made = result(task, model)
            dataset = {**made.dataset, **({"places": places} if places else {})}
            made = replace(made, model={**made.model, "parameters": parameters}, dataset=dataset)
            write_honest(
                folder / model[:5],
                made,
                [query_row(index, hit, "" if index else text, far) for index, hit in enumerate(hits)],
            )
    source = Citation(f"Table {HOSTILE}", "a paper")
    printed = [
        PublishedRow(
            "printed",
            "published",
            source,
            "these",
            "hit@1",
            "",
            size=7_000_000_000,
            scores={"Words": 0.5, "Scenes": 0.3},
        ),
        PublishedRow("mean only", "self-reported", source, "these", "hit@1", "", means={"overall": 0.45}),
    ]
    return Board.of_records(load([folder]).records, SUITE, printed, sizes={"Words": 10, "Scenes": 10})


def query_row(index: int, hit: int, text: str = "", far: int = 3) -> dict[str, object]:
    """Three candidates; the right one is first, or last, or out of the top."""
    pictured = {"media": ["pictures/a.png"]}
    right = {"target": 0, "score": 0.9 if hit else 0.1, "right": True, "text": "right one", **pictured}
    wrong = [
        {"target": 1, "score": 0.5, "right": False, "text": f"wrong one {HOSTILE}"},
        {"target": 2, "score": 0.4, "right": False, "text": "", "media": [f"pictures/{HOSTILE}.png"]},
    ]
    rank = [1 if hit else far]
    return {
        "query": str(index),
        "right": bool(hit),
        "hit@1": float(hit),
        "cluster": index,
        "best_rank": rank,
        "worst_rank": rank,
        "official_rank": rank,
        "right_score": 0.9 if hit else 0.1 if far == 3 else 0.05,
        "candidates": max(3, far),
        "content": {"text": f"<|media|>\nAnswer: asked {index} {HOSTILE}{text}", "instruction": 18, **pictured},
        "positives": [{"target": 0, "text": "right one", **pictured}],
        "top": [right, *wrong] if hit else [*wrong, right] if far == 3 else wrong,
    }


def picture(folder: Path) -> Path:
    """A folder in which the one picture is that can be found."""
    (folder / "pictures").mkdir(parents=True)
    Image.new("RGB", (640, 320), "teal").save(folder / "pictures" / "a.png")
    return folder


NAMES = (
    "constructor",
    "__proto__",
    "toString",
    "valueOf",
    HOSTILE,
    "with \"quotes\", 'others' and , commas",
    "right \u202eto left\u2066 \u05d0\u05d1",
    "control \x07\x1b[31m\x00",
    "emoji 👩‍🔬🏳️‍🌈",
    "=1+1",
    " ",
)
"""Names of datasets and models that break programs which take names for keys, markup, formulas or commands."""


def hostile_board() -> Board:
    """A board in which every dataset and every model has a name of `NAMES`."""
    records = [
        in_memory(task, model, [float((number + at) % 3 > 0) for number in range(12)])
        for at, model in enumerate(NAMES)
        for task in NAMES[: len(NAMES) - at % 2]
    ]
    suite = Suite("these", HOSTILE, NAMES, (("constructor", NAMES[:3]), ("__proto__", NAMES[3:])))
    source = Citation("toString", f"arXiv 2503.04812 {HOSTILE}")
    scores = dict.fromkeys(NAMES, 0.5)
    printed = [PublishedRow("hasOwnProperty", "published", source, "these", "hit@1", "", size=10**9, scores=scores)]
    return Board.of_records(records, suite, printed, sizes=dict.fromkeys(NAMES, 12))


def saved_report(hostile: str = "") -> Report:
    """An analysis with a plot of two lines and a table, as `--save` writes it. `hostile` is in each of its texts."""
    lines: list[PlotSeries] = [
        {"name": f"plain{hostile}, local, {form}", "points": [[32.0, low, low - 0.1, low + 0.1], [64.0, 0.5, 0.4, 0.6]]}
        for form, low in (("fp32", 0.4), ("binary", 0.3))
    ]
    cells = (Cell("Words"), Cell(f"0{hostile}"), Cell(f"-1.0{hostile}", "[-2.0, 0.0]", "best"))
    table = Table(
        f"plain{hostile}", ("dataset", "query", "change"), (cells,), frozenset(("dataset", "query")), (hostile,)
    )
    return Report("curves", (table,), (f"The smallest is 32{hostile}.",), {"points": [1, 2]}, tuple(lines))
