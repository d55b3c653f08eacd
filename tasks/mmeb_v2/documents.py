"""The 24 tasks of visual documents of MMEB-V2: their rows in the registry, and their reader.

A query is a text, and every page of the corpus is a candidate. Pages are images, and judgements have grades.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from harness.errors import UserError, counted
from harness.media.places import check_inside
from harness.types import MEDIA_TOKEN, DataInfo, Item, Media, Task, TaskData
from tasks.corpus.judgements import read_judgements
from tasks.corpus.layout import CorpusFiles, find_corpora
from tasks.corpus.rows import IMAGE_KEYS, ItemReader, ItemRow
from tasks.corpus.source import load_corpus
from tasks.corpus.tables import Row
from tasks.video.retrieval import TRIED

METRICS = (
    *("ndcg@5", "ndcg-exp@5", "ndcg@10", "hit@1", "hit@5", "recall@5", "recall@10"),
    *("precision@5", "map", "mrr", "mean_rank"),
)
_QUERY = "Find a document image that matches the given query:"
_PAGE = "Understand the content of the provided document image."
_ROOT = "visdoc-tasks"
_FIXED = "-fixed"
_LONGEST_STEM = 50
_OLD = (
    "Its judgements are those before November 2025, whose page numbers are too high by one. The board does not take "
    "their scores."
)


@dataclass(frozen=True, slots=True)
class V2DocumentSource:
    """Reads a corpus of pages with its queries and judgements."""

    dataset: str
    hub: str
    """The repository of the set."""
    pages: str
    """The name of the folder of page images."""
    data: Path | None = None
    """The folder with MMEB-V2's data. None: there is none yet, and `info` and `load` say where to get it."""
    roots: tuple[Path, ...] = ()

    def describe(self) -> str:
        """Says where the data comes from, in one line."""
        return f"MMEB-V2's folder {self.data}" if self.data else "a folder that --data names"

    def files(self) -> tuple[Path, ...]:
        """The files of the tables. Empty: the folder does not have the task. Raises: UserError for a table too few."""
        found = self._tables()
        return found.files if found else ()

    def info(self, task: Task) -> DataInfo:
        """Names the files. Raises: UserError if there are none, and if only those from before a fix are there."""
        found = self._found(task)
        assert self.data is not None
        for file in found.files:
            check_inside(file, (self.data, *self.roots))
        images = self._images()
        return DataInfo(
            "MMEB-V2 folder",
            "local",
            found.files,
            images or found.folder,
            content="grades of the public code beside the true ones",
            roots=(self.data, *self.roots),
        )

    def load(self, task: Task) -> TaskData:
        """Reads pages, judgements and queries. Of several grades of a page the highest counts, as in the public code.

        Raises: UserError that names file and row, and for a wrong number of queries.
        """
        found = self._found(task)
        assert self.data is not None
        self._check_count(task)
        reader = _PageReader(self._images(), ItemReader(found.folder, (self.data, *self.roots)), self.dataset)
        judged = read_judgements(found.judgements, highest=True)
        return load_corpus(found, reader.query, reader.page, judged, public_grades)

    def is_outdated(self) -> bool:
        """Whether the folder has only the judgements from before a fix, so that a run of the task is refused."""
        return self._tables() is None and self._old() is not None

    def count(self) -> int:
        """The number of queries in the table. Raises: UserError for rows that cannot be read."""
        found = self._tables()
        return sum(1 for _ in found.queries.rows()) if found else 0

    def _check_count(self, task: Task) -> None:
        if task.num_queries is not None and (count := self.count()) != task.num_queries:
            what = f"{self.data} has {counted(count, 'query')} of {self.dataset}, not {task.num_queries:,}."
            raise UserError(what, "Fetch the set again. To run rows of your own, name them with --tasks all.")

    def _found(self, task: Task) -> CorpusFiles:
        found = self._tables()
        if found is not None:
            return found
        place = f"{_ROOT}/data/{self.dataset}"
        hint = f"Fetch {self.hub} from the hub into {place} of a folder, and name that folder with --data."
        if (old := self._old()) is not None:
            raise UserError(f"{old} cannot be used for {task.name}. {_OLD}", hint)
        what = f"{self.data} has no {place}." if self.data else f"{task.name} is not fetched from here."
        raise UserError(what, hint)

    def _old(self) -> Path | None:
        return self._folder((self.dataset.removesuffix(_FIXED),)) if self.dataset.endswith(_FIXED) else None

    def _tables(self) -> CorpusFiles | None:
        folder = self._folder((self.dataset, PurePosixPath(self.hub).name))
        return next(iter(find_corpora(folder)), None) if folder else None

    def _folder(self, names: Sequence[str]) -> Path | None:
        if self.data is None:
            return None
        places = (self.data / base / name for base in (f"{_ROOT}/data", _ROOT, ".") for name in names)
        return next((place for place in places if (place / "queries").is_dir()), None)

    def _images(self) -> Path | None:
        """The folder of page images. None: the pages lie in the table of the corpus."""
        assert self.data is not None
        places = [self.data / _ROOT / "images" / self.pages, self.data / _ROOT / self.pages]
        return next((place for place in places if place.is_dir() and not (place / "queries").is_dir()), None)


def public_grades(grades: Mapping[str, int]) -> dict[str, int]:
    """The grades that the public code pairs with the right pages of a query, by id. It makes a set of the pages first.

    The order of a set of whole numbers follows from the numbers and from Python's hash tables. That of texts differs
    from run to run, so there the grades stay with their pages.
    """
    if not all(name.isdecimal() and str(int(name)) == name for name in grades):
        return dict(grades)
    return {str(page): grade for page, grade in zip(set(map(int, grades)), grades.values(), strict=True)}


@dataclass(frozen=True, slots=True)
class _PageReader:
    images: Path | None
    inside: ItemReader
    """Reads pages that lie in the table of the corpus."""
    dataset: str

    def query(self, row: Row, name: str) -> ItemRow:
        """The item of a query: its text, as it is."""
        text = row.fields.get("query")
        if not isinstance(text, str) or not text.strip() or MEDIA_TOKEN in text:
            raise UserError(f"{row.place}: query is not a text, but {text!r:.80}.", "Fetch the set again.")
        return ItemRow(name, Item(text, (), f"{_QUERY} "), row.place)

    def page(self, row: Row, name: str) -> ItemRow:
        """The item of a page: its image."""
        if self.images is not None:
            media: tuple[Media, ...] = (Media("image", self._file(name), self.images, row.place, self.inside.roots),)
        elif row.fields.keys() & set(IMAGE_KEYS):
            media = self.inside.read(row, name).item.media
        else:
            media = ()
        if len(media) != 1:
            what = f"{row.place}: {counted(len(media), 'image')}, not one, and there is no folder of page images."
            raise UserError(what, f"Unpack {_ROOT}/visdoc-tasks.images.tar.gz of MMEB-V2.")
        return ItemRow(name, Item("", media, f"{MEDIA_TOKEN} {_PAGE}"), row.place)

    def _file(self, name: str) -> str:
        """The file of a page: `ID.png`. An id that has an extension is cut, and the digest of the id follows."""
        assert self.images is not None
        path = PurePosixPath(name)
        short = f"{path.stem[:_LONGEST_STEM]}_{hashlib.md5(name.encode()).hexdigest()[:8]}{path.suffix}"  # noqa: S324
        spelled = (short, name, f"{name}.png") if path.suffix else (f"{name}.png", name)
        return next((each for each in spelled if (self.images / each).is_file()), spelled[0])


def _task(dataset: str, hub: str, pages: str, queries: int, corpus: int, *notes: str) -> Task:
    return Task(
        name=dataset,
        meta_task="retrieval",
        split=None,
        query_modality="text",
        target_modality="image",
        source=V2DocumentSource(dataset, hub, pages),
        scope="global",
        metrics=METRICS,
        num_queries=queries,
        num_candidates=corpus,
        query_instruction=_QUERY,
        target_instruction=_PAGE,
        notes=(*notes, TRIED),
    )


def _vidore(name: str, queries: int, corpus: int, *notes: str, end: str = "_test_beir") -> Task:
    return _task(f"ViDoRe_{name}", f"vidore/{name}{end}", f"ViDoRe_{name}", queries, corpus, *notes)


def _languages(name: str, queries: int, corpus: int, *notes: str) -> Task:
    pages = f"{name}_v2_multilingual"
    return _task(f"ViDoRe_{pages}", f"vidore/{name}_v2", pages, queries, corpus, _FOUR, *notes)


def _visrag(name: str, queries: int, corpus: int, *notes: str) -> Task:
    return _task(f"VisRAG_{name}", f"openbmb/VisRAG-Ret-Test-{name}", f"VisRAG_{name}", queries, corpus, *notes)


_SUB = "_test_subsampled_beir"
_FOUR = "The queries of four languages rank one corpus."
_MOVED = "Judgements before November 2025 have page numbers that are too high by one, and are refused."
_STILL = "The page with grade 3 is still one too high, because this set was not issued again."
_GRADED = "Grades differ. The public code pairs them with the wrong pages."

# fmt: off
ROWS = (
    _vidore("arxivqa", 500, 500, end=_SUB),
    _vidore("docvqa", 451, 500, "Up to 12 pages are right.", end=_SUB),
    _vidore("infovqa", 494, 500, "Up to 5 pages are right.", end=_SUB),
    _vidore("tabfquad", 280, 70, "The queries are French.", end=_SUB),
    _vidore("tatdqa", 1646, 277, "271 distinct images among 277 pages."),
    _vidore("shiftproject", 100, 1000, "French; 999 distinct images among 1,000 pages."),
    _vidore("syntheticDocQA_artificial_intelligence", 100, 968),
    _vidore("syntheticDocQA_energy", 100, 977),
    _vidore("syntheticDocQA_government_reports", 100, 972),
    _vidore("syntheticDocQA_healthcare_industry", 100, 965),
    _task("ViDoRe_esg_reports_human_labeled_v2", "vidore/esg_reports_human_labeled_v2", "esg_reports_human_labeled_v2",
        52, 1538, "English only.", _GRADED),
    _languages("biomedical_lectures", 640, 1016),
    _languages("economics_reports", 232, 452, "Up to 113 pages are right."),
    _languages("esg_reports", 228, 1538),
    _visrag("ArxivQA", 816, 8066),
    _visrag("ChartQA", 63, 500),
    _visrag("MP-DocVQA", 591, 741),
    _visrag("SlideVQA", 556, 1284),
    _visrag("InfoVQA", 718, 459),
    _visrag("PlotQA", 863, 9593),
    _task("ViDoSeek-page-fixed", "VLM2Vec/ViDoSeek-page-fixed", "ViDoSeek-page", 1142, 5349, _MOVED),
    _task("ViDoSeek-doc", "VLM2Vec/ViDoSeek", "ViDoSeek-doc", 1142, 5349, _GRADED, _STILL),
    _task("MMLongBench-page-fixed", "VLM2Vec/MMLongBench-page-fixed", "MMLongBench-page", 838, 6492, _MOVED),
    _task("MMLongBench-doc", "VLM2Vec/MMLongBench-doc", "MMLongBench-doc", 838, 6492, _GRADED, _STILL),
)
# fmt: on
"""The tasks without data, in the order of the board."""
