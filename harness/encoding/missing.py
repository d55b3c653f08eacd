"""The items that the store lacks, embedded group by group: the one loop under evaluation and `llave embed`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias

from harness.encoding.distributed import World
from harness.encoding.encoder import Encoder, EncodeReport
from harness.encoding.store import Store
from harness.encoding.vectors import Work
from harness.errors import BadMedia, RunFailed, UserError
from harness.progress import LOADING, Progress, WorkKind
from harness.types import ModelHandle

Groups: TypeAlias = Mapping[str, Mapping[bytes, Work]]
"""Items by key, in groups with a title each, in the order in which they are needed."""


@dataclass(frozen=True, slots=True)
class EncodeSettings:
    """How hard encoding works. Only `skip_bad_media` changes what comes out."""

    budget: int | None = None
    """Largest cost of a batch, in tokens or pixels, padding included. None: `usual_budget` of the model."""
    workers: int = 1
    """Number of threads that prepare items."""
    skip_bad_media: bool = False


def missing_work(groups: Groups, store: Store) -> dict[str, list[Work]]:
    """The items without a vector by group; an item of several groups belongs to the first of them."""
    missing = set(store.missing(list({key: None for work in groups.values() for key in work})))
    todo: dict[str, list[Work]] = {}
    for title, work in groups.items():
        mine = [each for key, each in work.items() if key in missing]
        missing.difference_update(each.key for each in mine)
        todo[title] = sorted(mine, key=lambda each: (each.rough_cost, each.key))
    return todo


def amount(missing: Mapping[str, Sequence[Work]], world: World) -> Counter[WorkKind]:
    """How much this process has to do: items by kind, and a model to load if there are any."""
    items = Counter(each.kind for work in missing.values() for each in work[world.rank :: world.size])
    return items + Counter({LOADING: 1} if items else {})


def encode_missing(
    groups: Groups,
    missing: Mapping[str, Sequence[Work]],
    handle: ModelHandle,
    store: Store,
    settings: EncodeSettings,
    world: World,
    progress: Progress,
) -> Iterator[EncodeReport]:
    """Loads the model and embeds missing items. Yields a report for each group once the store has all its vectors.

    Each process embeds a share of every group, and each must take every report, since the processes wait for each
    other. The main process embeds what another process could not, and its `report.bad` names all items of the group
    that have no vector.

    Args:
        missing: what `missing_work` says of `groups`; all processes must find the same.

    Raises:
        UserError: if the model cannot be loaded, a stored vector is damaged, or a stored item comes out otherwise.
            Nothing has been stored then.
        RunFailed: for everything later. What was embedded is kept.
    """
    world.wait()  # nobody writes before every process has looked
    encoder = _LazyEncoder(handle, store, settings, progress)
    shares = {title: work[world.rank :: world.size] for title, work in missing.items()}
    if any(shares.values()):
        store.check(key for work in groups.values() for key in work)
        _recheck(encoder.load(), groups, missing, remote=handle.remote)

    def reports() -> Iterator[EncodeReport]:
        bad: dict[bytes, BadMedia] = {}  # these are not tried again, since a decoder that hangs takes minutes
        for title, work in groups.items():
            with failures_of(title):
                report = encoder.run(shares[title], title)
                bad.update(report.bad)
                world.wait()
                if world.is_main:
                    lacking = store.missing(list(work))
                    rest = encoder.run([work[key] for key in lacking if key not in bad], title)
                    bad.update(rest.bad)
                    report = report + rest
                    report.bad = {key: bad[key] for key in lacking if key in bad}
            yield report

    return reports()


@contextmanager
def failures_of(label: str) -> Iterator[None]:
    """Raises RunFailed for a UserError within, with the label in front of what is wrong."""
    try:
        yield
    except RunFailed:
        raise
    except UserError as error:
        raise RunFailed(f"{label}: {error.what}", error.hint) from error


def _recheck(encoder: Encoder, groups: Groups, missing: Mapping[str, Sequence[Work]], *, remote: bool) -> None:
    """Embeds one stored item again: the cheapest with media, else the cheapest text. A server has a probe for this."""
    lacking = {each.key for work in missing.values() for each in work}
    stored = [each for work in groups.values() for key, each in work.items() if key not in lacking]
    if stored and not remote:
        encoder.recheck(min(stored, key=lambda each: (not each.item.media, each.rough_cost, each.key)))


class _LazyEncoder:
    """An encoder whose model is loaded when there is first something to embed."""

    def __init__(self, handle: ModelHandle, store: Store, settings: EncodeSettings, progress: Progress) -> None:
        self._handle = handle
        self._store = store
        self._settings = settings
        self._progress = progress
        self._encoder: Encoder | None = None

    def load(self) -> Encoder:
        if self._encoder is None:
            self._store.check_writable()
            self._progress.phase(f"loading {self._handle.spec.name}", 0)
            budget, workers = self._settings.budget, self._settings.workers
            self._encoder = Encoder(
                self._handle.load(), self._store, budget=budget, workers=workers, check=self._handle.check
            )
            self._progress.finish(self._handle.spec.name, {LOADING: 1})
        return self._encoder

    def run(self, work: Sequence[Work], label: str) -> EncodeReport:
        if not work:
            return EncodeReport()
        encoder = self.load()
        self._progress.phase(label, len(work))
        return encoder.run(work, self._progress, skip_bad_media=self._settings.skip_bad_media)
