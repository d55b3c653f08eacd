"""M-BEIR's own folders: queries, local pools of candidates, judgements, and instructions in one table.

Source: the dataset TIGER-Lab/M-BEIR, and Wei et al., UniIR, ECCV 2024. What it calls recall is
whether any right candidate is among the first k: `hit@5`, and `hit@10` for Fashion200K and FashionIQ. Its union pool is
that of all tasks: `--tasks all@union`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from harness.errors import UserError
from harness.files.tables import read_table
from harness.media.places import check_inside
from harness.types import DataInfo, Task, TaskData
from tasks.corpus.judgements import read_judgements
from tasks.corpus.layout import CorpusFiles
from tasks.corpus.rows import ItemReader, ItemRow
from tasks.corpus.source import METRICS, load_corpus
from tasks.corpus.tables import Row, RowTable

_QUERIES = re.compile(r"mbeir_((\w+?)_task\d+)_test\.jsonl")
_INSTRUCTIONS = "instructions/query_instructions.tsv"
_OF_TEN = ("fashion200k", "fashioniq")
"""Datasets whose main metric has 10 places."""


@dataclass(frozen=True, slots=True)
class MbeirSource:
    """Reads one task of M-BEIR. Paths of images are relative to the folder, as in `mbeir_images/...`.

    Of several instructions for a kind of query and candidates, the first is taken. UniIR draws one at random.
    """

    found: CorpusFiles
    instructions: Path | None
    images: Path | None = None
    roots: tuple[Path, ...] = ()

    def describe(self) -> str:
        """Says where the data comes from, in one line."""
        return f"M-BEIR's {self.found.name} in {self.found.folder}"

    def info(self, task: Task) -> DataInfo:  # noqa: ARG002 -- the files are the task
        """Names the files. Raises: UserError if one lies outside of the folder."""
        files = (*self.found.files, *([self.instructions] if self.instructions else []))
        for file in files:
            check_inside(file, self._roots)
        return DataInfo("M-BEIR", "local", files, self._root, roots=self._roots)

    def load(self, task: Task) -> TaskData:
        """Reads candidates, judgements and queries. Raises: UserError that names file and row."""
        self.info(task)
        reader = ItemReader(self._root, self._roots)
        first = next(self.found.corpus.rows(), None)
        kind = str(first.fields.get("modality")) if first else ""
        prompts = _prompts(self.instructions, kind) if self.instructions else {}

        def read_query(row: Row, name: str) -> ItemRow:
            key = (name.partition(":")[0], str(row.fields.get("query_modality")))
            if self.instructions and key not in prompts:
                what = f"{self.instructions} has no instruction for {' '.join(key)} queries and {kind} candidates."
                raise UserError(what, f"{row.place} needs it.")
            return reader.read(row._replace(fields={**row.fields, "instruction": prompts.get(key)}), name)

        return load_corpus(self.found, read_query, reader.read, read_judgements(self.found.judgements))

    @property
    def _root(self) -> Path:
        return self.images or self.found.folder

    @property
    def _roots(self) -> tuple[Path, ...]:
        return (self.found.folder, *self.roots)


def _prompts(table: Path, kind: str) -> Mapping[tuple[str, str], str]:
    """The first instruction by dataset and modality of the query, for candidates of a modality."""
    lines = read_table(table)
    names = next(lines)[1]
    prompts: dict[tuple[str, str], str] = {}
    for _, cells in lines:
        row = dict(zip(names, cells, strict=False))
        texts = [text for name, text in row.items() if name.startswith("prompt") and text.strip()]
        if texts and row.get("cand_modality") == kind:
            prompts.setdefault((row.get("dataset_id", ""), row.get("query_modality", "")), texts[0].strip())
    return prompts


def mbeir_tasks(folder: Path, images: Path | None = None, roots: tuple[Path, ...] = ()) -> tuple[Task, ...]:
    """Returns the tasks of a folder in M-BEIR's layout; none if it has no `query/test` and `cand_pool/local`.

    Raises: UserError if a task lacks its candidates or its judgements.
    """
    queries, pools = folder / "query/test", folder / "cand_pool/local"
    if not (queries.is_dir() and pools.is_dir()):
        return ()
    found = [(match, path) for path in sorted(queries.iterdir()) if (match := _QUERIES.fullmatch(path.name))]
    return tuple(_task(folder, path, match[1], match[2], images, roots) for match, path in found)


def _task(folder: Path, queries: Path, name: str, dataset: str, images: Path | None, roots: tuple[Path, ...]) -> Task:
    pools = [folder / f"cand_pool/local/mbeir_{name}{part}_cand_pool.jsonl" for part in ("_test", "")]
    judged = folder / f"qrels/test/mbeir_{name}_test_qrels.txt"
    pool = next((path for path in pools if path.is_file()), pools[-1])
    for path in (pool, judged):
        if not path.is_file():
            raise UserError(f"{path} is not there, so {name} cannot be read.", "Fetch it, or move its queries away.")
    files = CorpusFiles(name, folder, RowTable((pool,)), RowTable((queries,)), (judged,))
    table = folder / _INSTRUCTIONS
    source = MbeirSource(files, table if table.is_file() else None, images, roots)
    task = Task(name, "retrieval", None, None, None, source, scope="global", metrics=METRICS)
    main = "hit@10" if dataset in _OF_TEN else "hit@5"
    return replace(task, metrics=(main, *(metric for metric in METRICS if metric != main)))
