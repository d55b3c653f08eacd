"""Vectors of a user's own items, in one file. The store, batches and checks are those of an evaluation."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from harness.data.dataset import check_media
from harness.encoding.distributed import World
from harness.encoding.missing import EncodeSettings, amount, encode_missing, failures_of, missing_work
from harness.encoding.store import Store
from harness.encoding.vectors import Load, Work
from harness.errors import BadMedia, UserError, hints_of
from harness.files.writing import atomic_file
from harness.identity import model_fingerprint
from harness.media.digests import Digests
from harness.media.images import MediaInfo
from harness.media.pixels import count_notes, say_notes
from harness.plan import add_work, seen_by
from harness.progress import Progress
from harness.results.environment import own_version
from harness.types import FloatArray, Item, Media, ModelHandle, ModelSpec, Role

_SHOWN = 5


@dataclass(frozen=True, slots=True)
class OwnItem:
    """An item of the user's, and its place in the user's data, for messages."""

    id: str
    item: Item
    role: Role
    place: str


@dataclass(frozen=True, slots=True)
class EmbedSettings:
    """Where vectors are kept and how hard to work. Only `skip_bad_media` changes what comes out."""

    store: Path
    """Folder of the embedding store."""
    budget: int | None = None
    """Largest cost of a batch, in tokens or pixels, padding included."""
    workers: int = 1
    """Number of threads that prepare items."""
    skip_bad_media: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Embedded:
    """The vectors: row i of `vectors` `(n, d)` fp32 belongs to `items[i]`. Items are in the order given."""

    items: tuple[OwnItem, ...]
    vectors: FloatArray
    encoded: int
    """Number of distinct items that had no vector yet."""
    truncated: int
    """Number of items that this process encoded just now and that are longer than the model's limit."""
    unseen: int
    """Number of items that lost a medium because the model does not see its kind."""
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
    items: Sequence[OwnItem], handle: ModelHandle, settings: EmbedSettings, progress: Progress, world: World
) -> Embedded | None:
    """Embeds what the store lacks and reads all vectors back.

    Returns:
        The vectors; None in every process but the main one.

    Raises:
        UserError: before the model is loaded, for media that cannot be used and items that the model cannot see.
        RunFailed: for an error after that. What was embedded is kept.
    """
    spec = handle.spec
    if handle.needs_answers:
        raise UserError(f"{spec.name} must be told the answers of a task first.", "Choose another model.")
    if spec.is_late:
        what = f"{spec.name} has a vector for every token of an item, so an item has no vector of its own."
        raise UserError(what, "Choose another model. `llave run` ranks with this one.")
    plan = _plan(items, spec, settings, progress)
    groups = {spec.name: plan.work}
    with Store(settings.store, spec) as store:
        missing = missing_work(groups, store)
        progress.expect(spec.name, amount(missing, world))
        if handle.remote and missing[spec.name]:
            progress.note(f"{spec.name}: to be sent: {Load.of(missing[spec.name])}.")
        how = EncodeSettings(settings.budget, settings.workers, settings.skip_bad_media)
        (report,) = encode_missing(groups, missing, handle, store, how, world, progress)
        if not world.is_main:
            return None
        with failures_of(spec.name):
            encoded = sum(map(len, missing.values())) - len(report.bad)
            return _collect(items, plan, report.bad, store, encoded, report.truncated)


def _plan(items: Sequence[OwnItem], spec: ModelSpec, settings: EmbedSettings, progress: Progress) -> _Plan:
    looks = _look(items, progress, settings.workers)
    plan, fingerprint = _Plan(), model_fingerprint(spec)
    blind = []
    for own in items:
        seen = seen_by(own.item, spec.modalities)
        plan.unseen += len(seen.media) < len(own.item.media)
        why = next((look for medium in own.item.media if isinstance(look := looks[medium], BadMedia)), None)
        if why is not None:
            plan.bad[own.id] = why
            plan.keys.append(None)
        elif not seen.media and not seen.full_text.strip():
            blind.append(own.place)
        else:
            good = [look for medium in seen.media if isinstance(look := looks[medium], MediaInfo)]
            plan.keys.append(add_work(plan.work, seen, own.role, fingerprint, good))
    if plan.bad and not settings.skip_bad_media:
        lines = [f"{own.place}: {plan.bad[own.id].what}" for own in items if own.id in plan.bad]
        hint = f"{hints_of(plan.bad.values())}\nOr use --on-bad-media skip, which leaves such items out."
        raise UserError(_listed("Media that cannot be used:", lines), hint)
    if blind:
        says = f"{spec.name} sees {' and '.join(spec.modalities)} only, and these items have none:"
        raise UserError(_listed(says, blind), "Give them a text, take them out, or choose another model.")
    return plan


def _look(items: Sequence[OwnItem], progress: Progress, workers: int) -> dict[Media, MediaInfo | BadMedia]:
    """What is known of every medium, whether the model sees it or not. Says what the conversion to pixels alters."""
    digests = Digests()
    media = list(dict.fromkeys(medium for own in items for medium in own.item.media))
    progress.phase("checking media", len(media))
    looks = check_media(media, digests, progress, workers=workers)
    digests.flush()
    for sentence in say_notes(count_notes(look.notes for look in looks.values() if isinstance(look, MediaInfo))):
        progress.note(sentence)
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
    return Embedded(tuple(own for own, _ in kept), vectors, encoded, truncated, plan.unseen, skipped)


def write_vectors(path: Path, embedded: Embedded, spec: ModelSpec) -> None:
    """Writes `vectors` `(n, d)` fp32 to a safetensors file, whole or not at all. Lists in its metadata are JSON.

    The same vectors give the same bytes. That is why the header is written here: the library's has a random order.
    Raises: UserError if the disk refuses.
    """
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
    vectors = np.ascontiguousarray(embedded.vectors, dtype="<f4")
    tensor = {"dtype": "F32", "shape": vectors.shape, "data_offsets": [0, vectors.nbytes]}
    header = json.dumps({"__metadata__": metadata, "vectors": tensor}).encode("ascii")
    header += b" " * (-len(header) % 8)  # so that the vectors are aligned
    with atomic_file(path) as file:
        file.write(len(header).to_bytes(8, "little"))
        file.write(header)
        file.write(vectors.data)


def _listed(heading: str, lines: Sequence[str]) -> str:
    more = [f"  and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []
    return "\n".join([heading, *(f"  {line}" for line in lines[:_SHOWN]), *more])
