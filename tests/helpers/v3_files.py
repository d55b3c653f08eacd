"""The text sets of MMEB-V3, one query and three documents each, in the layouts of their families."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from tests.helpers.corpus_files import lines, parquet


def write_bright(folder: Path, member: str) -> None:
    examples = [{"id": "0", "query": "why is tea bitter", "gold_ids": ["t/1"], "gold_ids_long": ["N/A"]}]
    parquet(
        folder / f"examples/{member}-00000-of-00001.parquet", [{**row, "excluded_ids": ["t/2"]} for row in examples]
    )
    documents = [{"id": f"t/{number}", "content": text} for number, text in enumerate(("milk", "tannins", "sugar"))]
    parquet(folder / f"documents/{member}-00000-of-00001.parquet", documents)


def write_followir(folder: Path, member: str) -> None:
    query = {"_id": "3", "text": "tea", "instruction_og": "Only health.", "instruction_changed": "Only trade."}
    lines(folder / member / "queries.jsonl", [query, {**query, "_id": "4"}])
    documents = [{"_id": str(number), "title": "", "text": text} for number, text in enumerate(("milk", "leaf", "pot"))]
    lines(folder / member / "corpus.jsonl", documents)
    grades = [{"query-id": "3", "corpus-id": "1", "score": 2}, {"query-id": "3", "corpus-id": "0", "score": 0}]
    lines(folder / member / "qrels_og/test.jsonl", grades)


def write_nanobeir(folder: Path, member: str) -> None:
    parquet(folder / member / "queries/train-00000-of-00001.parquet", [{"_id": "q", "text": "tea"}])
    documents = [{"_id": f"d{number}", "text": text} for number, text in enumerate(("milk", "leaf", "pot"))]
    parquet(folder / member / "corpus/train-00000-of-00001.parquet", documents)
    parquet(folder / member / "qrels/train-00000-of-00001.parquet", [{"query-id": "q", "corpus-id": "d1"}])


def write_r2med(folder: Path, member: str) -> None:
    lines(folder / member / "query.jsonl", [{"id": "q", "text": "tea"}])
    documents = [{"id": number, "title": "On tea", "text": text} for number, text in enumerate(("milk", "leaf", "pot"))]
    lines(folder / member / "corpus.jsonl", documents)
    lines(folder / member / "qrels.jsonl", [{"q_id": "q", "p_id": 1, "score": 1}, {"q_id": "q", "p_id": 1, "score": 2}])


WRITERS: Mapping[str, Callable[[Path, str], None]] = {
    "BRIGHT": write_bright,
    "FollowIR": write_followir,
    "NanoBEIR": write_nanobeir,
    "R2MED": write_r2med,
}
