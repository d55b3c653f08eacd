"""One small corpus with graded judgements, in the layouts of BEIR, TREC, MTEB, MIEB, ViDoRe and wikiHow-TIIR."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

WORDS = ("alpha", "bravo", "charlie", "delta", "echo")
JUDGED = {0: {0: 2, 1: 1, 2: 0}, 1: {1: 1}, 2: {2: 3, 3: 3, 0: -1}, 3: {3: 1, 4: 2}}
"""Grades of targets by query. Query 4 is not judged."""
Rows = Sequence[Mapping[str, object]]


def picture(number: int) -> bytes:
    """A picture that no other number has, as PNG."""
    data = io.BytesIO()
    Image.new("RGB", (16, 12), (40 * number, 10, 200 - 30 * number)).save(data, "PNG")
    return data.getvalue()


def judgements(
    query: str = "query-id", target: str = "corpus-id", names: Callable[[str, int], object] | None = None
) -> list[dict[str, object]]:
    """The rows of judgements, with `names` of a kind and a number."""
    named = names or (lambda kind, number: f"{kind}{number}")
    pairs = ((asked, found, grade) for asked, grades in JUDGED.items() for found, grade in grades.items())
    return [{query: named("q", asked), target: named("d", found), "score": grade} for asked, found, grade in pairs]


def lines(path: Path, rows: Rows) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def parquet(path: Path, rows: Rows) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist([dict(row) for row in rows]), path)


def _tsv(path: Path, rows: Rows) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter="\t")
        writer.writeheader()
        writer.writerows(rows)


def _texts(kind: str, key: str, title: bool) -> list[dict[str, object]]:
    start = "about" if kind == "d" else "what is"
    return [
        {key: f"{kind}{number}", **({"title": word.title()} if title else {}), "text": f"{start} {word}"}
        for number, word in enumerate(WORDS)
    ]


def write_beir(folder: Path) -> None:
    """BEIR: `corpus.jsonl`, `queries.jsonl` and `qrels/test.tsv` with a header, beside another split."""
    lines(folder / "corpus.jsonl", [{**row, "metadata": {}} for row in _texts("d", "_id", title=True)])
    lines(folder / "queries.jsonl", _texts("q", "_id", title=False))
    _tsv(folder / "qrels/test.tsv", judgements())
    _tsv(folder / "qrels/train.tsv", judgements()[:1])


def write_trec(folder: Path) -> None:
    """TREC's judgements, without a header, beside tables of text."""
    write_beir(folder)
    _trec(folder, "{query} 0 {target} {grade}\n")


def write_five_columns(folder: Path) -> None:
    """Judgements of M-BEIR, which have the number of the task too."""
    write_beir(folder)
    _trec(folder, "{query} 0 {target} {grade} 7\n")


def _trec(folder: Path, line: str) -> None:
    (folder / "qrels/test.tsv").unlink()
    (folder / "qrels/train.tsv").unlink()
    rows = ((row["query-id"], row["corpus-id"], row["score"]) for row in judgements())
    text = "".join(line.format(query=query, target=target, grade=grade) for query, target, grade in rows)
    (folder / "qrels/test.txt").write_text(text)


def write_mteb(folder: Path) -> None:
    """MTEB: Parquet in a folder for each configuration, with the judgements in `default`."""
    parquet(folder / "corpus/corpus-00000-of-00001.parquet", _texts("d", "_id", title=True))
    parquet(folder / "queries/queries-00000-of-00002.parquet", _texts("q", "_id", title=False)[:2])
    parquet(folder / "queries/queries-00001-of-00002.parquet", _texts("q", "_id", title=False)[2:])
    parquet(folder / "default/test-00000-of-00001.parquet", judgements())


def write_language(folder: Path) -> None:
    """MTEB with several languages: the configurations of each begin with its name."""
    for name in ("corpus", "queries", "qrels"):
        rows = {"corpus": _texts("d", "id", True), "queries": _texts("q", "id", False), "qrels": judgements()}[name]
        parquet(folder / f"en-{name}/test-00000-of-00001.parquet", rows)


def write_saved(folder: Path) -> None:
    """Tables as `save_to_disk` of the library `datasets` writes them."""
    tables = {"corpus": _texts("d", "_id", True), "queries": _texts("q", "_id", False), "qrels": judgements()}
    for name, rows in tables.items():
        datasets.Dataset.from_list([dict(row) for row in rows]).save_to_disk(str(folder / name))


def write_csv(folder: Path) -> None:
    """Tables of one's own as CSV."""
    for name, rows in (("corpus", _texts("d", "id", True)), ("queries", _texts("q", "id", False))):
        table = io.StringIO()
        writer = csv.DictWriter(table, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.csv").write_text(table.getvalue())
    lines(folder / "qrels.jsonl", judgements("query_id", "corpus_id"))


TEXT_LAYOUTS = {
    "BEIR": write_beir,
    "TREC": write_trec,
    "five columns": write_five_columns,
    "MTEB": write_mteb,
    "a language": write_language,
    "saved": write_saved,
    "CSV": write_csv,
}


def write_vidore(folder: Path) -> None:
    """ViDoRe: pages as embedded images, numbers as ids, and both from 0."""
    pages = [{"corpus-id": number, "image": {"bytes": picture(number), "path": None}} for number in range(len(WORDS))]
    asked = [
        {"query-id": number, "query": f"what is {word}", "language": "english"} for number, word in enumerate(WORDS)
    ]
    parquet(folder / "corpus/test-00000-of-00001.parquet", pages)
    parquet(folder / "queries/test-00000-of-00001.parquet", asked)
    parquet(folder / "qrels/test-00000-of-00001.parquet", judgements(names=lambda _, number: number))


def write_mieb(folder: Path) -> None:
    """MIEB's any to any: `query`, `corpus` and `qrels`, each with a modality, and null where there is no image."""
    pages: Rows = [
        {"id": f"d{number}", "modality": "image", "text": None, "image": {"bytes": picture(number), "path": None}}
        for number in range(len(WORDS))
    ]
    asked: Rows = [
        {"id": f"q{number}", "modality": "text", "text": f"what is {word}", "image": None}
        for number, word in enumerate(WORDS)
    ]
    parquet(folder / "corpus/corpus-00000-of-00001.parquet", pages)
    parquet(folder / "query/test-00000-of-00001.parquet", asked)
    parquet(folder / "qrels/test-00000-of-00001.parquet", judgements())


def write_files(folder: Path) -> None:
    """Pages as files beside JSON Lines that name them."""
    (folder / "images").mkdir(parents=True)
    for number in range(len(WORDS)):
        (folder / f"images/{number}.png").write_bytes(picture(number))
    lines(folder / "corpus.jsonl", [{"_id": f"d{number}", "image": f"{number}.png"} for number in range(len(WORDS))])
    lines(folder / "queries.jsonl", _texts("q", "_id", False))
    lines(folder / "qrels/test.jsonl", judgements())


PAGE_LAYOUTS = {"ViDoRe": write_vidore, "MIEB": write_mieb, "files": write_files}


def write_interleaved(folder: Path) -> None:
    """wikiHow-TIIR: `data` is a list of texts and names of images, in order."""
    (folder / "images").mkdir(parents=True)
    for number in range(3):
        (folder / f"images/{number}.png").write_bytes(picture(number))
    documents = [["Fill the pot.", "0.png", "Boil it.", "1.png"], ["Fill the pot.", "1.png", "Boil it.", "0.png"]]
    lines(folder / "docs.jsonl", [{"id": number, "data": data} for number, data in enumerate(documents)])
    lines(folder / "queries.jsonl", [{"qid": 0, "data": ["how do I", "2.png", "boil this"]}])
    lines(folder / "qrels.jsonl", [{"qid": 0, "did": 1}])


def write_card(folder: Path) -> None:
    """NanoBEIR: a card names the configurations, the one split is `train`, and judgements have no grade."""
    tables = {"corpus": _texts("d", "_id", False), "queries": _texts("q", "_id", False)}
    right = [{key: row[key] for key in ("query-id", "corpus-id")} for row in judgements() if int(str(row["score"])) > 0]
    configs = ""
    for number, (name, rows) in enumerate({**tables, "qrels": right}.items()):
        parquet(folder / f"data/part{number}.parquet", rows)
        configs += f"- config_name: {name}\n  data_files:\n  - split: train\n    path: data/part{number}.parquet\n"
    (folder / "README.md").write_text(f"---\nconfigs:\n{configs}---\n\n# A small corpus\n")


def write_mbeir(folder: Path) -> None:
    """M-BEIR: texts that ask for images with MSCOCO's test pool, and images with a text that ask for images."""
    images = folder / "mbeir_images"
    images.mkdir(parents=True)
    for number in range(len(WORDS)):
        (images / f"{number}.png").write_bytes(picture(number))
    shown = [f"mbeir_images/{number}.png" for number in range(len(WORDS))]
    asked: dict[str, tuple[int, list[dict[str, object]]]] = {
        "mscoco_task0": (
            9,
            [{"query_txt": word, "query_img_path": None, "query_modality": "text"} for word in WORDS],
        ),
        "cirr_task7": (
            7,
            [{"query_txt": "in red", "query_img_path": path, "query_modality": "image,text"} for path in shown],
        ),
    }
    for name, (number, queries) in asked.items():
        pool = f"{name}_test" if name.startswith("mscoco") else name
        rows = [{"qid": f"{number}:{turn}", **query, "pos_cand_list": []} for turn, query in enumerate(queries)]
        lines(folder / f"query/test/mbeir_{name}_test.jsonl", rows)
        found = [
            {"did": f"{number}:{turn}", "txt": None, "img_path": path, "modality": "image"}
            for turn, path in enumerate(shown[:3] if number == 7 else shown)
        ]
        lines(folder / f"cand_pool/local/mbeir_{pool}_cand_pool.jsonl", found)
        judged = [f"{number}:{turn} 0 {number}:{(turn + 1) % 3} 1 {number}\n" for turn in range(len(WORDS))]
        (folder / "qrels/test").mkdir(parents=True, exist_ok=True)
        (folder / f"qrels/test/mbeir_{name}_test_qrels.txt").write_text("".join(judged))
    prompts = [
        {"dataset_id": number, "query_modality": kind, "cand_modality": "image", "prompt_1": text, "prompt_2": "No."}
        for number, kind, text in ((9, "text", "Find the image."), (7, "image,text", "Find it changed."))
    ]
    _tsv(folder / "instructions/query_instructions.tsv", prompts)


def embedded(number: int) -> dict[str, object]:
    """That picture as the hub stores it."""
    return {"bytes": picture(number), "path": None}


SWAPPED = (
    {"id": "k1", "text": "first <image 1>, then <image 2>", "image 1": embedded(1), "image 2": embedded(2)},
    {"id": "k2", "text": "first <image 2>, then <image 1>", "image 1": embedded(1), "image 2": embedded(2)},
)


def write_mrmr(folder: Path, ids: Sequence[str] = ("query_id", "corpus_id"), targets: Rows = SWAPPED) -> Path:
    """MRMR: marks in the text name columns of images. The one query asks for `k2`."""
    none: dict[str, object] = {"image": None, "image 1": None, "image 2": None, "image 3": None}
    query = {"id": "q1", "modality": "image,text", "text": "Which <image 1>?", **none, "image 1": embedded(3)}
    tables: dict[str, Rows] = {
        "corpus": [{"modality": "image,text", **none, "vision": None, **row} for row in targets],
        "query": [{**query, "domain": "Biology", "answer": "B", "instruction": "Retrieve a page."}],
        "qrels": [dict(zip((*ids, "score"), ("q1", "k2", 1), strict=True))],
    }
    for name, rows in tables.items():
        parquet(folder / name / "test-00000-of-00001.parquet", rows)
    return folder
