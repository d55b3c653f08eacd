"""Runs three models on one task of every layout that is read: the table of docs/protocol.md.

The data are the small files in the true layouts that the tests draw. So the scores say that the way from the layout to
the result works, and nothing about the models. They are `null/random`, `classical` and a LLaVE checkpoint, by default
the recorded one in ../shared. Exits with 1 if a layout cannot be read.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import lib.common as common

import llave
from harness.errors import UserError
from tasks.mmeb_v3.parts import READ
from tests.helpers import corpus_files, mmeb_files, table_files, v2_files, v3_files

RECORDED = Path(__file__).resolve().parents[3] / "shared" / "golden" / "checkpoint"
_MODELS = ("null/random", "classical")


@dataclass(frozen=True, slots=True)
class Layout:
    """A layout: who writes it, what it holds, and which of its tasks is run."""

    name: str
    holds: str
    write: Callable[[Path], object]
    tasks: str = "all"
    data: str = "."


def _write_mmeb(folder: Path) -> None:
    (folder / "images").mkdir()
    for number in range(4):
        (folder / f"images/{number}.png").write_bytes(corpus_files.picture(number))
    rows = [
        (
            "<|image_1|>\nIdentify the object\n",
            f"{number}.png",
            [(name, "") for name in dict.fromkeys((table_files.NAMES[label], *table_files.NAMES))],
        )
        for number, label in enumerate(table_files.LABELS)
    ]
    mmeb_files.write_subset(folder, "VOC2007", mmeb_files.columns(rows))


def _write_pages(folder: Path) -> None:
    v2_files.write_document_set(folder, "ViDoRe_docvqa", queries=3, pages=5)


def _write_family(family: str, folder: Path) -> None:
    v3_files.WRITERS[family](folder / family, READ[family][0])


def _write_shards(folder: Path) -> None:
    entries: dict[str, bytes] = {}
    for number in range(4):
        entries |= {f"{number}.png": corpus_files.picture(number), f"{number}.txt": f"shape {number}\n".encode()}
    table_files.write_shard(folder / "000000.tar", entries)


def layouts() -> list[Layout]:
    """All layouts that docs/protocol.md names, with what the tests draw in each."""
    texts = {name: write for name, write in corpus_files.TEXT_LAYOUTS.items() if name != "a language"}
    pages = corpus_files.PAGE_LAYOUTS
    formats = {write.__name__.removeprefix("as_"): write for write in table_files.FORMATS}
    files = {"csv": "animals.csv", "array": "animals.json"}
    return [
        *(Layout(f"corpus, {name}", "texts, graded", write) for name, write in texts.items()),
        Layout("corpus, card of NanoBEIR", "texts", corpus_files.write_card),
        *(Layout(f"corpus, {name}", "texts to pages, graded", write) for name, write in pages.items()),
        Layout("wikiHow-TIIR", "texts and images in order", corpus_files.write_interleaved),
        Layout("MRMR", "texts and images in order", corpus_files.write_mrmr),
        Layout("M-BEIR", "images with a text", corpus_files.write_mbeir, "cirr_task7"),
        *(
            Layout(f"table, {name}", "images with labels", write, data=files.get(name, "."))
            for name, write in formats.items()
        ),
        Layout("a folder for each class", "images with labels", table_files.write_classes),
        Layout("webdataset", "images with captions", _write_shards, "data-t2i"),
        Layout("MRAG-Bench", "images with a question to images", table_files.write_evidence),
        Layout("labels as clusters", "images", table_files.write_classes, "all@clustering"),
        Layout("MMEB", "images with labels", _write_mmeb),
        Layout("MMEB-V2, videos", "frames", v2_files.write_classification),
        Layout("MMEB-V2, documents", "pages", _write_pages),
        *(Layout(f"MMEB-V3, {family}", "texts", partial(_write_family, family)) for family in v3_files.WRITERS),
    ]


def main() -> int:
    """Writes the figures. Returns 1 if a layout cannot be read."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, default=RECORDED, help="a LLaVE checkpoint")
    parser.add_argument("--out", type=Path, default=common.RESULTS / "layouts.json")
    parser.add_argument("--only", nargs="+", metavar="LAYOUT", help="names of layouts")
    asked = parser.parse_args()
    models = {name: name for name in _MODELS}
    if asked.checkpoint.is_dir():
        models["LLaVE"] = str(asked.checkpoint)
    figures = {
        layout.name: _figures(layout, models) for layout in layouts() if layout.name in (asked.only or {layout.name})
    }
    common.write_report(asked.out, {"models": list(models)}, figures)
    return int(any("error" in each for each in figures.values()))


def _figures(layout: Layout, models: Mapping[str, str]) -> dict[str, object]:
    """Runs the models on the first task of a layout: its sizes and the scores, or the error."""
    with tempfile.TemporaryDirectory() as place:
        data = Path(place) / "data"
        data.mkdir()
        layout.write(data)
        where = {"out": Path(place) / "out", "store": Path(place) / "store"}
        try:
            found = llave.evaluate(
                list(models.values()), layout.tasks, data=data / layout.data, device="cpu", progress=False, **where
            ).frame()
        except UserError as error:
            return {"holds": layout.holds, "error": str(error)}
    found = found[found["task"] == found["task"].iloc[0]]
    first = found.iloc[0]
    return {
        "holds": layout.holds,
        "queries": int(first["num_queries"]),
        "targets": int(first["num_targets"]),
        "metric": str(first["metric"]),
        **{name: round(100 * value, 1) for name, value in zip(models, found["value"], strict=True)},
    }


if __name__ == "__main__":
    sys.exit(main())
