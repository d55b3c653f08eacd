"""Results as runs and qrels of TREC, which trec_eval, ir_measures, pytrec_eval and ranx read.

    DATASET.run    QUERY Q0 CANDIDATE RANK SCORE MODEL
    DATASET.qrels  QUERY 0 CANDIDATE GRADE

A run holds the ten candidates that rows list, so it gives every metric up to a cut-off of ten. Programs that read runs
order equal scores by the name of the candidate. The strict protocol takes the mean over all orders instead. What is
read here is scored by the strict protocol again.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, cast
from urllib.parse import quote, unquote

from harness.errors import UserError, unknown_name
from harness.files.paths import safe_name
from harness.files.reading import bad_line, read_text
from harness.results.rows import read_rows
from harness.results.verified import Record
from harness.scoring.metrics import Metric, QueryRow
from harness.scoring.ranking import Ranking
from leaderboards.exchange.eval_results import check_whole
from leaderboards.exchange.parts import ScorePart, board_metric
from tasks.catalog import all_tasks

RUN, QRELS = ".run", ".qrels"
_CUTS = (1, 5, 10)
_READ = tuple(Metric(kind, cut) for kind in ("hit", "ndcg", "ndcg-exp", "recall", "precision") for cut in _CUTS)
"""The metrics of a run that is read."""
_UNSAFE = re.compile(r"[%\s\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_HIGHEST_GRADE = 1023


class TrecFiles(NamedTuple):
    """The files of one result, and what they cannot say."""

    run: str
    qrels: str
    cut: int
    """Number of queries whose right candidate is tied with more candidates than are listed."""


def trec(record: Record) -> TrecFiles:
    """The run and the qrels of a result.

    Raises: UserError for a result of part of a dataset, and for right candidates that were not ranked but have grades.
    """
    check_whole(record)
    tag = _word(str(record.result.model["name"]))
    run, qrels, cut = [], [], 0
    for row in read_rows(record.path, record.result):
        query = _word(str(row["query"]))
        right = _right(row)
        for candidate, grade in zip(right, _grades(record, row), strict=True):
            qrels.append(f"{query} 0 {candidate} {grade}\n")
        listed = _objects(row["top"])
        for rank, (candidate, each) in enumerate(zip(_names(row, listed), listed, strict=True), 1):
            run.append(f"{query} Q0 {candidate} {rank} {each['score']} {tag}\n")
        ends = zip(cast("list[int]", row["best_rank"]), cast("list[int]", row["worst_rank"]), strict=True)
        cut += any(best <= len(listed) < worst for best, worst in ends)
    return TrecFiles("".join(run), "".join(qrels), cut)


def _word(text: str) -> str:
    """The text without white space, which ends a field."""
    return _UNSAFE.sub(lambda found: quote(found[0], safe="", errors="surrogatepass"), text)


def _objects(value: object) -> list[dict[str, object]]:
    return cast("list[dict[str, object]]", value)


def _right(row: QueryRow) -> list[str]:
    """The right candidates. A group of targets has the name of the first."""
    return [str(each["target"]) for each in _objects(row["positives"])]


def _grades(record: Record, row: QueryRow) -> list[int]:
    """The grade of each right candidate."""
    count, ranked = len(_objects(row["positives"])), len(cast("list[int]", row["best_rank"]))
    grades = cast("list[int]", row.get("grades") or [1] * count)
    if ranked < count and len(set(grades)) > 1:  # the grades of those that were not ranked come last
        what = f"{record.path}: right candidates of query {row['query']} were not ranked, and their grades are unknown."
        raise UserError(what, "Mend the media, and run it again.")
    return grades


def _names(row: QueryRow, listed: Sequence[Mapping[str, object]]) -> Iterator[str]:
    """The name of each listed candidate, once. A target can stand for several groups."""
    group = set(cast("list[int]", _objects(row["positives"])[0].get("group") or []))
    used: Counter[str] = Counter()
    for each in listed:
        target = _right(row)[0] if each["right"] and each["target"] in group else str(each["target"])
        target = f"{target}~" if group and not each["right"] and target in _right(row) else target
        used[target] += 1
        yield target if used[target] == 1 else f"{target}~{used[target]}"


def read_trec(path: Path, model: str | None) -> list[ScorePart]:
    """Scores a run against the qrels beside it. Equal scores are ties, and a query without a line is wrong.

    Raises: UserError for a run without qrels, for an unknown task, and for a line that is none of a run or of qrels.
    """
    known = {safe_name(task): task for task in all_tasks()}
    if path.stem not in known:
        raise unknown_name("task", path.stem, known, f"A run has the name of its task: {path}.")
    beside = path.with_suffix(QRELS)
    if not beside.is_file():
        raise UserError(f"{path} has no qrels: {beside} is missing.", "Put them there, as `llave export` does.")
    grades: dict[str, dict[str, int]] = defaultdict(dict)
    for number, (query, _, candidate, grade) in _lines(beside, 4):
        _once(beside, number, candidate, grades[query])
        grades[query][candidate] = _grade(beside, number, grade)
    scores: dict[str, dict[str, float]] = defaultdict(dict)
    tags = set()
    for number, (query, _, candidate, _, score, tag) in _lines(path, 6):
        _once(path, number, candidate, scores[query])
        scores[query][candidate] = _score(path, number, score)
        tags.add(tag)
    if len(tags) != 1:
        raise UserError(f"{path} is not the run of one model: {', '.join(sorted(tags)) or 'it has no line'}.", "")
    rankings = [_ranking(query, own, scores.get(query, {})) for query, own in grades.items() if any(own.values())]
    if not rankings:
        raise UserError(f"{beside} has no right candidate.", "Fetch it again.")
    depth = max(map(len, scores.values()))
    values: dict[str, object] = {
        board_metric(str(metric)): metric.aggregate(map(metric.score, rankings))
        for metric in _READ
        if metric.k <= max(depth, 1)
    }
    name = model or unquote(tags.pop())
    return [ScorePart("trec", name, known[path.stem], {**values, "num_pred": len(rankings)}, path.name)]


def _lines(path: Path, count: int) -> Iterator[tuple[int, list[str]]]:
    """The fields of each line, of which there are `count`, with the number of the line."""
    for number, line in enumerate(read_text(path).split("\n"), 1):
        fields = line.split()
        if fields and len(fields) != count:
            raise bad_line(path, number, f"it has {len(fields)} fields, not {count}", "Fetch the file again.")
        if fields:
            yield number, fields


def _once(path: Path, number: int, candidate: str, seen: Mapping[str, object]) -> None:
    if candidate in seen:
        raise bad_line(path, number, f"{candidate} is there twice for one query", "Remove one of the lines.")


def _grade(path: Path, number: int, text: str) -> int:
    if not re.fullmatch("-?[0-9]{1,4}", text) or int(text) > _HIGHEST_GRADE:
        raise bad_line(path, number, f"{text!r} is no grade", f"Write a whole number up to {_HIGHEST_GRADE}.")
    return max(int(text), 0)


def _score(path: Path, number: int, text: str) -> float:
    try:
        score = float(text)
    except ValueError:
        score = math.nan
    if not math.isfinite(score):
        raise bad_line(path, number, f"{text!r} is no score", "Write a finite number.")
    return score


def _ranking(query: str, grades: Mapping[str, int], scores: Mapping[str, float]) -> Ranking:
    """The ranks of the right candidates of a query, from the scores of the listed ones."""
    right = sorted((name for name, grade in grades.items() if grade), key=lambda name: name not in scores)
    ranked = [scores[name] for name in right if name in scores]
    best = tuple(1 + sum(other > own for other in scores.values()) for own in ranked)
    worst = tuple(sum(other >= own for other in scores.values()) for own in ranked)
    of_right = tuple(grades[name] for name in right)
    count = len(scores)
    return Ranking(query, best, worst, count, len(right), best, count, grades=of_right)
