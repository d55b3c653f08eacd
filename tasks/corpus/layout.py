"""Finds the tables of a corpus in a folder: the corpus, its queries and their judgements.

Each is a file or a folder of files, named as in BEIR, MTEB, MIEB, ViDoRe or wikiHow-TIIR. MTEB's `top_ranked` gives
each query candidates of its own. Of several splits of a table, `test` is taken. A folder whose subfolders are such
corpora has one task for each.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from harness.errors import UserError
from tasks.corpus.tables import FILE_FORMATS, FORMATS, RowTable

_CORPUS = ("corpus", "docs", "documents")
_QUERIES = ("queries", "query")
_JUDGED = ("qrels", "judgements", "default")
_RANKED = ("top_ranked",)
_TREC_FORMATS = (".txt", ".qrels", ".qrel", ".trec")
_SPLIT = "test"
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


def _corpora_in(folder: Path) -> tuple[CorpusFiles, ...]:
    """The corpora of one folder. MTEB puts a language and a hyphen before the names of the three tables."""
    entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    prefixes = sorted({prefix for entry in entries if (prefix := _prefix(entry)) is not None})
    return tuple(found for prefix in prefixes if (found := _corpus(folder, entries, prefix)))


def _prefix(entry: Path) -> str | None:
    """What stands before `queries` in the name of an entry; None if the entry holds no queries."""
    name = entry.name if entry.is_dir() else entry.name[: -len(entry.suffix)] if entry.suffix else ""
    for queries in _QUERIES:
        if (name == queries or name.endswith(f"-{queries}")) and (entry.is_dir() or _is_table(entry)):
            return name.removesuffix(queries)
    return None


def _is_table(path: Path) -> bool:
    return path.suffix.lower() in FILE_FORMATS


def _corpus(folder: Path, entries: Iterable[Path], prefix: str) -> CorpusFiles | None:
    entries = list(entries)
    corpus = _part(entries, prefix, _CORPUS, FORMATS) or _part(entries, "", _CORPUS, FORMATS)
    judged = _part(entries, prefix, _JUDGED, (*FORMATS, *_TREC_FORMATS))
    if not corpus and not judged:  # a folder with such a name means something else elsewhere
        return None
    queries = _part(entries, prefix, _QUERIES, FORMATS)
    for what, found, names in (("corpus", corpus, _CORPUS), ("judgements", judged, _JUDGED)):
        if not found:
            raise UserError(
                f"{folder} has {queries[0].relative_to(folder)}, but no {what}.",
                f"Add {' or '.join(prefix + each for each in names)}, such as {prefix}{names[0]}.jsonl, or a folder.",
            )
    name = f"{folder.resolve().name}-{prefix.rstrip(_ENDS)}" if prefix else folder.resolve().name
    ranked = _part(entries, prefix, _RANKED, FORMATS)
    return CorpusFiles(name, folder, RowTable(corpus), RowTable(queries), judged, ranked)


def _part(entries: Iterable[Path], prefix: str, names: tuple[str, ...], formats: tuple[str, ...]) -> tuple[Path, ...]:
    """The files of one table: `NAME.EXTENSION`, or the files of one split in the folder `NAME`."""
    for name in names:
        for entry in entries:
            if entry.is_dir() and entry.name == prefix + name:
                return split_files(entry, formats)
            if entry.is_file() and entry.stem == prefix + name and entry.suffix.lower() in (*formats, *FILE_FORMATS):
                return (entry,)
    return ()


def split_files(folder: Path, formats: tuple[str, ...]) -> tuple[Path, ...]:
    """Returns the files of the test split, or of the only one. Shards are named `SPLIT-00000-of-00002`.

    Raises: UserError if there is no table, or if none of several splits is named `test`.
    """
    files = sorted(path for path in folder.iterdir() if path.is_file() and path.suffix.lower() in formats)
    splits = sorted({_split_of(path) for path in files})
    if not splits:
        raise UserError(f"{folder} holds no table.", f"Tables end with {', '.join(formats)}.")
    if len(splits) > 1 and _SPLIT not in splits:
        what = f"{folder} has the splits {', '.join(splits)}, and none is named {_SPLIT}."
        raise UserError(what, f"Move the others away, or rename the one that is meant to {_SPLIT}.")
    wanted = _SPLIT if _SPLIT in splits else splits[0]
    return tuple(path for path in files if _split_of(path) == wanted)


def _split_of(path: Path) -> str:
    head, _, count = path.stem.rpartition("-of-")
    return head.rpartition("-")[0] if count.isdigit() and head else path.stem
