"""A task's rows with their media checked, and the digest that says which data a score is about."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TypeAlias

import numpy as np

from harness.errors import BadMedia, UserError, counted, hints_of, shortened
from harness.identity import FRAMES, fingerprint
from harness.media.digests import Digests, files_digest
from harness.media.images import MediaInfo
from harness.media.pixels import count_notes
from harness.progress import NoProgress, Progress
from harness.types import DataInfo, Item, Media, MediaKind, Task, TaskData

_LOADER = 1
"""Raise when the same files give other rows than before."""
_SHOWN = 5
_LOOKS = 16


MediaPlace: TypeAlias = tuple[MediaKind, Path]
"""A kind of media, and a folder that media of this kind are in."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """The rows of a task with their media checked, ready to be embedded."""

    task: Task
    info: DataInfo
    data: TaskData
    digest: str
    media: Mapping[Media, MediaInfo]
    bad: Mapping[Media, BadMedia]
    """Media that cannot be used; empty unless the run skips them."""

    @cached_property
    def places(self) -> Mapping[MediaPlace, int]:
        """Every place of the media, numbered in the order of the data. No score depends on them."""
        used = dict.fromkeys((medium.kind, medium.root) for item in _items(self.data) for medium in item.media)
        return {place: number for number, place in enumerate(used)}

    def why_bad(self, item: Item) -> BadMedia | None:
        """The error of the item's first medium that cannot be used; None if it can be embedded."""
        return next((self.bad[medium] for medium in item.media if medium in self.bad), None)


def known_digest(task: Task, info: DataInfo, limit: int | None, digests: Digests) -> str | None:
    """The digest of data that was loaded before and has not changed since, without reading a row; else None."""
    receipt = digests.receipt(_receipt_key(task, info, limit, digests))
    if receipt is None:
        return None
    media = [
        Media("video" if kind == "video" else "image", name, Path(root), roots=info.roots)
        for kind, name, root in _media(receipt)
    ]
    return _digest(task, info, limit, check_media(media, digests, NoProgress(), workers=1), digests)


def load_dataset(
    task: Task, info: DataInfo, digests: Digests, progress: Progress, *, limit: int | None, workers: int, skip_bad: bool
) -> Dataset:
    """Reads a task's rows and checks every medium. Raises UserError listing bad media unless they are skipped."""
    data = task.source.load(task)
    for reason, ids in data.left_out.items():
        progress.note(f"{task.name}, {reason.replace('_', ' ')}: {_first(ids)}.")
    if limit is not None:
        data = first_queries(data, limit, whole_pool=task.scope != "local")
    media = list(dict.fromkeys(medium for item in _items(data) for medium in item.media))
    progress.phase(f"checking {task.name}", len(media))
    looks = check_media(media, digests, progress, workers=workers)
    bad = {medium: look for medium, look in looks.items() if isinstance(look, BadMedia)}
    if bad and not skip_bad:
        raise _all_bad(task, data, bad)
    digest = _digest(task, info, limit, looks, digests)
    receipt = {"media": [[medium.kind, medium.name, str(medium.root)] for medium in media]}
    digests.leave_receipt(_receipt_key(task, info, limit, digests), receipt)
    digests.flush()
    good = {medium: look for medium, look in looks.items() if isinstance(look, MediaInfo)}
    notes = {**data.notes, **count_notes(look.notes for look in good.values())}
    return Dataset(task, info, replace(data, notes=notes), digest, good, bad)


def first_queries(data: TaskData, limit: int, *, whole_pool: bool) -> TaskData:
    """The first queries, with the targets that they need (all of them where the whole pool is ranked)."""
    queries = data.queries[:limit]
    if whole_pool or data.groups or any(not len(query.candidates) for query in queries):
        return replace(data, queries=queries)
    needed = [indexes for query in queries for indexes in (query.candidates, query.positives)]
    used = np.unique(np.concatenate(needed)) if needed else np.array([], dtype=np.int32)
    place = np.full(len(data.targets), -1, dtype=np.int32)
    place[used] = np.arange(len(used), dtype=np.int32)
    return replace(
        data,
        queries=tuple(
            replace(query, candidates=place[query.candidates], positives=place[query.positives]) for query in queries
        ),
        targets=tuple(data.targets[index] for index in used),
    )


def _first(ids: Sequence[str]) -> str:
    """The first ids with their total number."""
    shown = ", ".join(shortened(each) for each in ids[:_SHOWN])
    return shown if len(ids) <= _SHOWN else f"{shown} and {len(ids) - _SHOWN:,} more"


def _items(data: TaskData) -> Iterable[Item]:
    yield from (query.item for query in data.queries)
    yield from data.targets


def check_media(
    media: Sequence[Media], digests: Digests, progress: Progress, *, workers: int
) -> dict[Media, MediaInfo | BadMedia]:
    """What is known of each medium, or why it cannot be used, in their order."""

    def look(medium: Media) -> MediaInfo | BadMedia:
        try:
            return digests.media(medium)
        except BadMedia as error:
            return error

    chunks = [media[start : start + _LOOKS] for start in range(0, len(media), _LOOKS)]
    looks: dict[Media, MediaInfo | BadMedia] = {}
    with ThreadPoolExecutor(max(1, workers)) as pool:
        for chunk, found in zip(chunks, pool.map(lambda chunk: [*map(look, chunk)], chunks), strict=True):
            looks.update(zip(chunk, found, strict=True))
            progress.advance(len(chunk))
    return looks


def _all_bad(task: Task, data: TaskData, bad: Mapping[Media, BadMedia]) -> UserError:
    shown = [f"  {error.what} {_where(medium, data)}".rstrip() for medium, error in list(bad.items())[:_SHOWN]]
    more = [f"  and {len(bad) - _SHOWN} more"] if len(bad) > _SHOWN else []
    heading = f"{task.name}: {counted(len(bad), 'media file')} cannot be used."
    return UserError(
        "\n".join([heading, *shown, *more]),
        f"{hints_of(bad.values())}\nOr use --on-bad-media count-as-wrong: queries that need them then count as wrong.",
    )


def _where(medium: Media, data: TaskData) -> str:
    """The place in the data that names a medium, or else the first query that needs it."""
    if medium.where:
        return f"It is named in {medium.where}."
    users = {number for number, item in enumerate(data.targets) if medium in item.media}
    needy = (
        query.id
        for query in data.queries
        if medium in query.item.media or not users.isdisjoint(query.candidates.tolist() or users)
    )
    return next((f"It is needed by query {name}." for name in needy), "")


def _receipt_key(task: Task, info: DataInfo, limit: int | None, digests: Digests) -> str:
    return fingerprint({**_rows(task, info, limit, digests), "root": str(info.media_root)})


def _digest(
    task: Task, info: DataInfo, limit: int | None, looks: Mapping[Media, MediaInfo | BadMedia], digests: Digests
) -> str:
    # What they are called is in the files of the rows.
    kinds = {"image": "image", "video": f"video/{FRAMES}"}
    media = [
        [kinds[each.kind], look.identity if isinstance(look, MediaInfo) else "bad"] for each, look in looks.items()
    ]
    return fingerprint({**_rows(task, info, limit, digests), "media": media})


def _rows(task: Task, info: DataInfo, limit: int | None, digests: Digests) -> dict[str, object]:
    return {
        "loader": _LOADER,
        "files": files_digest(info.files, digests),
        **({"content": info.content} if info.content else {}),
        "scope": task.scope,
        "query_role": task.query_role,
        "target_modality": task.target_modality,  # it decides how some layouts are read
        "query_instruction": task.query_instruction,
        "target_instruction": task.target_instruction,
        "limit": limit,
    }


def _media(receipt: Mapping[str, object]) -> list[list[str]]:
    media = receipt["media"]
    assert isinstance(media, list)
    return media
