"""Results as the hub's evaluation results: `.eval_results/*.yaml` in the repository of a model.

Each entry names a dataset of the hub, a task in it, and a value. What a value is, the hub leaves to the benchmark. So
the notes of an entry say it: `hit@1 in percent, strict protocol`. Source: hub-docs, `docs/hub/eval-results.md`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

from harness.errors import UserError, visible
from harness.files.reading import parse_yaml, read_text
from harness.results.environment import own_version
from harness.results.shape import NUMBER, OBJECT, TEXT, Shape, check_shape
from harness.results.verified import Record
from harness.settings import pairs_of, read_settings
from harness.types import ProtocolName
from leaderboards.exchange.parts import ScorePart, board_metric, check_known, is_share
from tasks.mmeb.hub import HubSource
from tasks.suites import find_suite

FOLDER = ".eval_results"
"""The folder of a model's repository in which the hub looks for such files."""
_NAME = r"[A-Za-z0-9][\w.-]*"
_ON_HUB = re.compile(rf"{_NAME}/{_NAME}")
_COMMIT = re.compile("[0-9a-f]{40}")
_NOTES = re.compile(r"([a-z-]+(?:@\d+)?) in (percent|fractions)\b")
_ENTRIES: Shape = [{"dataset": {"id": TEXT, "task_id": TEXT}, "value": NUMBER, "notes?": TEXT, "source?": OBJECT}]
_FOREIGN = "Entries of `llave export --format eval-results` say so, as in `hit@1 in percent`."
_DIGITS = 10


@dataclass(frozen=True, slots=True)
class EntryMetadata:
    """What an entry may have that results do not have."""

    dataset_id: str | None = None
    """The dataset on the hub, for results of files and folders."""
    source_url: str | None = None
    source_name: str | None = None
    source_user: str | None = None
    source_org: str | None = None


def eval_results(records: Sequence[Record], rule: ProtocolName | None, given: Sequence[str]) -> str:
    """The main scores of a model as a file of the hub, in percent.

    Args:
        records: results of whole datasets.
        rule: the protocol of the scores. None: that of each result.
        given: metadata that results do not have, each as `KEY=VALUE`.

    Raises:
        UserError: for results of part of a dataset or of data that is not on the hub, and for unknown metadata.
    """
    import yaml
    from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml

    more = asdict(read_settings(EntryMetadata(), pairs_of(given, "--meta", "source_url=https://..."), "metadata"))
    dataset_id = more.pop("dataset_id")
    if more["source_url"] is None and any(more.values()):
        raise UserError("A source needs its address.", "Add --meta source_url=https://...")
    entries = []
    for record in records:
        result = record.result
        check_whole(record)
        score = result.main if rule is None else getattr(result, rule)[result.main_metric]
        revision = str(result.dataset["revision"])
        unit, factor = ("percent", 100) if is_share(result.main_metric) else ("ranks", 1)
        entries.append(
            EvalResultEntry(
                dataset_id=dataset_id or _dataset_id(record),
                task_id=visible(result.task),
                value=round(factor * score.value, _DIGITS),
                dataset_revision=revision if _COMMIT.fullmatch(revision) else None,
                date=result.created[:10],
                notes=f"{result.main_metric} in {unit}, {rule or result.protocol} protocol, "
                f"{result.num_queries} queries, llave-bench {own_version()}",
                **more,
            )
        )
    return str(yaml.safe_dump(eval_result_entries_to_yaml(entries), sort_keys=False, allow_unicode=True))


def check_whole(record: Record) -> None:
    """Raises UserError for a result of part of a dataset."""
    if record.result.settings.get("limit") is not None:
        raise UserError(f"{record.path} has only the first queries.", "Run it again without --limit.")


def _dataset_id(record: Record) -> str:
    """The dataset on the hub that a result is of."""
    result = record.result
    source = str(result.dataset["source"])
    if _ON_HUB.fullmatch(source) and _COMMIT.fullmatch(str(result.dataset["revision"])):
        return source
    if result.task in find_suite("mmeb").tasks:
        return HubSource().repo
    what = f"{record.path} is of data that is not on the hub: {source}."
    raise UserError(what, "Name its dataset there: --meta dataset_id=ORG/NAME.")


def read_eval_results(path: Path, model: str | None) -> list[ScorePart]:
    """Reads a file of the hub. Without `model`, the model has the name of its folder.

    Raises: UserError for what is no such file, and for an entry that does not say what its value is.
    """
    from huggingface_hub import parse_eval_result_entries

    value = parse_yaml(read_text(path), path)
    try:
        check_shape(value, _ENTRIES, "the list of entries")
    except ValueError as error:
        what = f"{path} has no evaluation results of the hub: {error}."
        raise UserError(what, "Expected a list of entries with dataset.id, dataset.task_id and value.") from None
    folder = path.resolve().parent
    name = model or (folder.parent if folder.name == FOLDER else folder).name
    found = []
    for entry in parse_eval_result_entries(cast("list[dict[str, object]]", value)):
        said = _NOTES.match(entry.notes or "")
        if said is None:
            what = f"{path}: the entry of {entry.task_id} does not say which metric its value is, and in which unit."
            raise UserError(what, _FOREIGN)
        check_known(path, entry.task_id)
        score = entry.value / 100 if said[2] == "percent" else entry.value
        scores: dict[str, object] = {board_metric(said[1]): score}
        if count := re.search(r"\b(\d+) queries", entry.notes):
            scores["num_pred"] = int(count[1])
        found.append(ScorePart("eval-results", name, entry.task_id, scores, path.name))
    return found
