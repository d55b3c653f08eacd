"""Finds the tables of a corpus in a folder: the corpus, its queries and their judgements.

Each is a file, a folder of files, or a configuration of the folder's card. They are named as in BEIR, MTEB, MIEB,
ViDoRe or wikiHow-TIIR. MTEB's `top_ranked` gives each query candidates of its own. Of several splits of a table, the
first of `SPLITS` is taken. A folder whose subfolders are such
corpora has one task for each.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from types import MappingProxyType

from harness.errors import UserError
from tasks.corpus.card import card_tables
from tasks.corpus.tables import FILE_FORMATS, FORMATS, TAR, RowTable

_CORPUS = ("corpus", "docs", "documents")
_QUERIES = ("queries", "query")
_JUDGED = ("qrels", "judgements", "default")
_RANKED = ("top_ranked",)
_TREC_FORMATS = (".txt", ".qrels", ".qrel", ".trec")
SPLITS = ("test", "validation", "valid", "val", "dev", "eval", "train")
"""Names of splits. Of several the first is taken, but never `train`."""
_ENDS = "-_."


@dataclass(frozen=True, slots=True)
class CorpusFiles:
    """The files of a corpus."""

    name: str
    folder: Path
    corpus: RowTable
    queries: RowTable
    judgements: tuple[Path, ...]
    ranked: tuple[Path, ...] = ()
    """The files that say which targets each query ranks. Empty: every query ranks all."""

    def with_columns(self, renamed: Mapping[str, str]) -> CorpusFiles:
        """Returns the same with columns of corpus and queries under other names. Either may lack some of them."""
        if not renamed:
            return self
        corpus, queries = self.corpus.with_columns(renamed), self.queries.with_columns(renamed)
        used = {*corpus.renamed.values(), *queries.renamed.values()}
        if unused := [column for column in renamed.values() if column not in used]:
            raise UserError(f"{self.folder} has no column {unused[0]!r} in corpus or queries.", "Check --columns.")
        return replace(self, corpus=corpus, queries=queries)

    @property
    def files(self) -> tuple[Path, ...]:
        """All files, which together decide the rows."""
        return (*self.corpus.files, *self.queries.files, *self.judgements, *self.ranked)


def find_corpora(data: Path) -> tuple[CorpusFiles, ...]:
    """Returns the corpora of a folder, sorted by name. They are its own, one for each language, or of its subfolders.

    Raises: UserError if a corpus lacks its queries or its judgements, or if it is not clear which split is meant.
    """
    own = _corpora_in(data)
    if own:
        return own
    below = (each for each in sorted(data.iterdir()) if not each.name.startswith(".") and _has_queries(each))
    return tuple(found for folder in below for found in _corpora_in(folder))


def _has_queries(folder: Path) -> bool:
    """Whether a folder has a table of queries. Its other files, which may be a million images, are not listed."""
    return any((folder / f"{name}{ending}").exists() for name in _QUERIES for ending in ("", *FILE_FORMATS))


@dataclass(frozen=True, slots=True)
class _Named:
    """A table by name: a file, a folder of files, or a configuration of a card, whose splits are known."""

    name: str
    place: Path
    splits: Mapping[str, tuple[Path, ...]] = field(default_factory=lambda: MappingProxyType({}))

    def is_in(self, formats: tuple[str, ...]) -> bool:
        """Whether it may hold a table in one of these formats."""
        return bool(self.splits) or self.place.is_dir() or self.place.suffix.lower() in formats

    def files(self, formats: tuple[str, ...]) -> tuple[Path, ...]:
        if self.splits:
            return chosen_split(self.splits, f"The configuration {self.name} of {self.place}")
        return split_files(self.place, formats) if self.place.is_dir() else (self.place,)


def _corpora_in(folder: Path) -> tuple[CorpusFiles, ...]:
    """The corpora of one folder. MTEB puts a language and a hyphen before the names of the three tables.

    Languages may share a corpus, or judgements, or both.
    """
    entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    tables = [_Named(entry.name if entry.is_dir() else entry.stem, entry) for entry in entries]
    named = [_Named(name, folder, table.splits) for name, table in card_tables(folder).items() if table.splits]
    tables = [*named, *(table for table in tables if table.name not in {each.name for each in named})]
    prefixes = sorted({prefix for table in tables if (prefix := _prefix(table)) is not None})
    return tuple(found for prefix in prefixes if (found := _corpus(folder, tables, prefix)))


def _prefix(table: _Named) -> str | None:
    """What stands before `queries` in the name of a table; None if it holds no queries."""
    for queries in _QUERIES:
        if (table.name == queries or table.name.endswith(f"-{queries}")) and table.is_in(FILE_FORMATS):
            return table.name.removesuffix(queries)
    return None


def _corpus(folder: Path, tables: Iterable[_Named], prefix: str) -> CorpusFiles | None:
    tables = list(tables)
    corpus = _part(tables, prefix, _CORPUS, FORMATS) or _part(tables, "", _CORPUS, FORMATS)
    judging = (*FORMATS, *_TREC_FORMATS)
    judged = _part(tables, prefix, _JUDGED, judging) or _part(tables, "", _JUDGED, judging)
    if not corpus and not judged:  # a folder with such a name means something else elsewhere
        return None
    queries = _part(tables, prefix, _QUERIES, FORMATS)
    for what, found, names in (("corpus", corpus, _CORPUS), ("judgements", judged, _JUDGED)):
        if not found:
            raise UserError(
                f"{folder} has {queries[0].relative_to(folder)}, but no {what}.",
                f"Add {' or '.join(prefix + each for each in names)}, such as {prefix}{names[0]}.jsonl, or a folder.",
            )
    name = f"{folder.resolve().name}-{prefix.rstrip(_ENDS)}" if prefix else folder.resolve().name
    ranked = _part(tables, prefix, _RANKED, FORMATS)
    return CorpusFiles(name, folder, RowTable(corpus), RowTable(queries), judged, ranked)


def _part(tables: Iterable[_Named], prefix: str, names: tuple[str, ...], formats: tuple[str, ...]) -> tuple[Path, ...]:
    """The files of one table: those of a card, `NAME.EXTENSION`, or the files of one split in the folder `NAME`."""
    for name in names:
        for table in tables:
            if table.name == prefix + name and table.is_in((*formats, *FILE_FORMATS)):
                return table.files(formats)
    return ()


def split_files(folder: Path, formats: tuple[str, ...]) -> tuple[Path, ...]:
    """Returns the files of one split, as `chosen_split` does. Shards are named `SPLIT-00000-of-00002`.

    A split may also be a folder in it, as `save_to_disk` writes a DatasetDict.

    Raises: UserError if there is no table, or as `chosen_split` does.
    """
    splits = tables_in(folder, formats)
    if not splits:
        splits = split_folders(sorted(path for path in folder.iterdir() if not path.name.startswith(".")), formats)
    if not splits:
        raise UserError(f"{folder} holds no table.", f"Tables end with {', '.join(formats)}.")
    return chosen_split(splits, str(folder))


def split_folders(places: Iterable[Path], formats: tuple[str, ...]) -> dict[str, tuple[Path, ...]]:
    """Returns the tables of the folders that hold any. The name of a folder is that of a split."""
    held = {place.name: tables_in(place, formats) for place in places if place.is_dir()}
    return {name: tuple(chain.from_iterable(found.values())) for name, found in held.items() if found}


def tables_in(folder: Path, formats: tuple[str, ...]) -> dict[str, tuple[Path, ...]]:
    """Returns the tables that lie in a folder, by split. A tar file without the number of a shard is no table."""
    splits: dict[str, list[Path]] = {}
    for path in sorted(path for path in folder.iterdir() if path.is_file() and path.suffix.lower() in formats):
        if path.suffix.lower() != TAR or path.stem[-1].isdecimal():
            splits.setdefault(_split_of(path), []).append(path)
    return {split: tuple(files) for split, files in splits.items()}


def chosen_split(splits: Mapping[str, tuple[Path, ...]], where: str) -> tuple[Path, ...]:
    """Returns the files of the first of `SPLITS`, or of the only one. Raises: UserError that lists the splits."""
    if len(splits) == 1:
        return next(iter(splits.values()))
    found = next((name for name in SPLITS[:-1] if name in splits), None)
    if found is None:
        what = f"{where} has the splits {', '.join(sorted(splits))}, and none is named {SPLITS[0]}."
        raise UserError(what, f"Move the others away, or rename the one that is meant to {SPLITS[0]}.")
    return splits[found]


def _split_of(path: Path) -> str:
    """The split of a file: its name without the number of its shard. Many tar files have no other name."""
    if path.suffix.lower() == TAR:
        return re.sub(r"[-_.]?\d+$", "", path.stem)
    head, _, count = path.stem.rpartition("-of-")
    return head.rpartition("-")[0] if count.isdigit() and head else path.stem
