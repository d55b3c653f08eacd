"""Vectors of a user's own items, in one file: the same store, batches and checks as a run, without scores."""

from __future__ import annotations

import contextlib
import json
import os
import uuid
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from harness.distributed import World
from harness.encoding.encoder import DEFAULT_BUDGET, Encoder, EncodeReport
from harness.encoding.store import Store
from harness.encoding.vectors import Work
from harness.errors import BadMedia, RunFailed, UserError
from harness.identity import item_key, model_fingerprint
from harness.media.digests import Digests
from harness.media.images import MediaInfo
from harness.paths import explain_os_errors
from harness.plan import seen_by
from harness.progress import Progress
from harness.results.environment import own_version
from harness.types import FloatArray, Item, Media, ModelHandle, ModelSpec, Role

_SHOWN = 5


@dataclass(frozen=True, slots=True)
class OwnItem:
    """An item of the user's, and where it stands, for messages."""

    id: str
    item: Item
    role: Role
    place: str


@dataclass(frozen=True, slots=True)
class EmbedSettings:
    """Where vectors are kept and how hard to work. Only `skip_bad_media` changes what comes out."""

    store: Path
    budget: int = DEFAULT_BUDGET
    workers: int = 1
    skip_bad_media: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Embedded:
    """What came out: row i of `vectors` `(n, d)` is the vector of `items[i]`; items are in the order given."""

    items: tuple[OwnItem, ...]
    vectors: FloatArray
    encoded: int
    """Items that had no vector yet, each counted once."""
    truncated: int
    """Items that this process encoded just now and that are longer than the model's limit."""
    unseen: int
    """Items that lost a medium because the model does not see its kind."""
    skipped: Mapping[str, BadMedia]
    """Why items were left out, by id."""


@dataclass(slots=True)
class _Plan:
    """Keys of the items, in order, and the work behind each."""

    keys: list[bytes | None] = field(default_factory=list)
    work: dict[bytes, Work] = field(default_factory=dict)
    bad: dict[str, BadMedia] = field(default_factory=dict)
    unseen: int = 0


def embed_items(
    items: Sequence[OwnItem], handle: ModelHandle, settings: EmbedSettings, listener: Progress, world: World
) -> Embedded | None:
    """Embeds what the store lacks and reads all of it back; None in every process but the main one.

    Raises UserError, before the model is loaded, for media that cannot be used and items that the model cannot see;
    and RunFailed for what goes wrong later.
    """
    if handle.needs_answers:
        raise UserError(f"{handle.spec.name} must be told the answers of a task first.", "Choose another model.")
    plan = _plan(items, handle.spec, settings, listener)
    with Store(settings.store, handle.spec) as store:
        missing = sorted(
            (plan.work[key] for key in store.missing(list(plan.work))), key=lambda work: (work.rough_cost, work.key)
        )
        world.wait()  # nobody writes before everybody has planned
        engine = _Engine(handle, store, settings, listener)
        try:
            engine.run(missing[world.rank :: world.size])
            world.wait()
            if not world.is_main:
                return None
            rest = [plan.work[key] for key in store.missing(list(plan.work))]
            bad = engine.run(rest).bad  # what another process had no luck with, or what cannot be decoded
            return _collect(items, plan, bad, store, len(missing), engine.truncated)
        except RunFailed:
            raise
        except UserError as error:
            raise RunFailed(f"{handle.spec.name}: {error.what}", error.hint) from error


class _Engine:
    """The encoder, made when there is first something to do."""

    def __init__(self, handle: ModelHandle, store: Store, settings: EmbedSettings, listener: Progress) -> None:
        self._handle = handle
        self._store = store
        self._settings = settings
        self._listener = listener
        self._encoder: Encoder | None = None
        self.truncated = 0

    def run(self, work: Sequence[Work]) -> EncodeReport:
        if not work:
            return EncodeReport()
        if self._encoder is None:
            self._store.check_writable()
            self._listener.phase(f"loading {self._handle.spec.name}", 0)
            settings = self._settings
            self._encoder = Encoder(self._handle.load(), self._store, budget=settings.budget, workers=settings.workers)
        self._listener.phase(self._handle.spec.name, len(work))
        report = self._encoder.run(work, self._listener, skip_bad_media=self._settings.skip_bad_media)
        self.truncated += report.truncated
        return report


def _plan(items: Sequence[OwnItem], spec: ModelSpec, settings: EmbedSettings, listener: Progress) -> _Plan:
    looks = _look(items, listener, settings.workers)
    plan, fingerprint = _Plan(), model_fingerprint(spec)
    blind = []
    for own in items:
        seen = seen_by(own.item, spec.modalities)
        plan.unseen += len(seen.media) < len(own.item.media)
        why = next((look for medium in own.item.media if isinstance(look := looks[medium], BadMedia)), None)
        if why is not None:
            plan.bad[own.id] = why
            plan.keys.append(None)
            continue
        if not seen.media and not seen.full_text.strip():
            blind.append(own.place)
            continue
        good = [look for medium in seen.media if isinstance(look := looks[medium], MediaInfo)]
        key = item_key(fingerprint, seen, own.role, [look.digest for look in good])
        pixels = sum(look.width * look.height for look in good)
        plan.work.setdefault(key, Work(key, seen, own.role, pixels))
        plan.keys.append(key)
    if plan.bad and not settings.skip_bad_media:
        lines = [f"{own.place}: {plan.bad[own.id].what}" for own in items if own.id in plan.bad]
        hint = "Paths are relative to the file of items, or to --root. --on-bad-media skip leaves such items out."
        raise UserError(_listed("Media that cannot be used:", lines), hint)
    if blind:
        says = f"{spec.name} sees {' and '.join(spec.modalities)} alone, and these items have none:"
        raise UserError(_listed(says, blind), "Give them a text, take them out, or choose another model.")
    return plan


def _look(items: Sequence[OwnItem], listener: Progress, workers: int) -> dict[Media, MediaInfo | BadMedia]:
    """A look at every medium, whether the model sees it or not."""
    digests = Digests()
    media = list(dict.fromkeys(medium for own in items for medium in own.item.media))
    listener.phase("checking media", len(media))

    def look(medium: Media) -> MediaInfo | BadMedia:
        try:
            return digests.media(medium)
        except BadMedia as error:
            return error

    looks: dict[Media, MediaInfo | BadMedia] = {}
    with ThreadPoolExecutor(max(1, workers)) as pool:
        for medium, found in zip(media, pool.map(look, media), strict=True):
            looks[medium] = found
            listener.advance()
    digests.flush()
    return looks


def _collect(
    items: Sequence[OwnItem], plan: _Plan, bad: Mapping[bytes, BadMedia], store: Store, encoded: int, truncated: int
) -> Embedded:
    keyed = [(own, key) for own, key in zip(items, plan.keys, strict=True) if key is not None]
    kept = [(own, key) for own, key in keyed if key not in bad]
    skipped = {**plan.bad, **{own.id: bad[key] for own, key in keyed if key in bad}}
    if not kept:
        raise UserError("No item is left: the media of all of them cannot be used.", next(iter(skipped.values())).what)
    vectors = store.get([key for _, key in kept])
    return Embedded(tuple(own for own, _ in kept), vectors, encoded - len(bad), truncated, plan.unseen, skipped)


def write_vectors(path: Path, embedded: Embedded, spec: ModelSpec) -> None:
    """Writes `vectors` `(n, d)` fp32 to a safetensors file, whole or not at all; metadata that are lists are JSON.

    Raises UserError for what a disk can refuse.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    metadata = {
        "ids": json.dumps([own.id for own in embedded.items]),
        "skipped": json.dumps(sorted(embedded.skipped)),
        "model": spec.name,
        "revision": spec.revision,
        "adapter": spec.adapter,
        "options": json.dumps(dict(spec.options), sort_keys=True),
        "fingerprint": model_fingerprint(spec),
        "dtype": spec.dtype,
        "similarity": spec.similarity,
        "created_by": f"llave-bench {own_version()}",
    }
    with explain_os_errors(path):
        temporary = path.with_name(f".{path.name[:40]}.{uuid.uuid4().hex}.tmp")
        try:
            save_file({"vectors": embedded.vectors}, temporary, metadata)
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            temporary.replace(path)
        except SafetensorError as error:
            raise UserError(f"{path} could not be written: {error}.", "Check the disk and its free space.") from None
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink()


def _listed(heading: str, lines: Sequence[str]) -> str:
    more = [f"  and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []
    return "\n".join([heading, *(f"  {line}" for line in lines[:_SHOWN]), *more])
