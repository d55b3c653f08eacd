"""`llave.embed`: vectors of a user's own items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from harness.data.items import ITEM_FIELDS, parse_role
from harness.errors import UserError
from harness.files.paths import STORE
from harness.types import FloatArray, Role, Scalar
from llave.api.evaluate import check_count
from llave.api.items import Records, records_of, to_item
from llave.api.models import Model, model_settings, open_one

if TYPE_CHECKING:
    from harness.embed import OwnItem

_KEYS = ("id", *ITEM_FIELDS, "role")


def embed(
    model: Model,
    items: Records,
    *,
    role: Role = "target",
    root: str | Path | None = None,
    allow_roots: Sequence[str | Path] = (),
    store: str | Path = STORE,
    budget: int | None = None,
    workers: int | None = None,
    device: str = "auto",
    dtype: str = "auto",
    seed: int = 0,
    model_options: Mapping[str, Scalar] | None = None,
    trust_remote_code: bool = False,
    progress: bool = True,
) -> FloatArray:
    """Embeds items through the embedding store: what a call or an evaluation has embedded costs nothing.

    Args:
        model: as for `evaluate`, one of them.
        items: N items, in any form that the queries of `task` have. A dictionary may have a `role` too.
        role: `query` or `target`, for items that do not say. Many models treat the two differently.
        root: the folder that relative paths start from; the working folder if None.
        allow_roots: other folders that links may lead into.
        store: folder of the embedding store.
        budget: the largest cost of a batch, in tokens or pixels. If None: 16,384, or 2,048 for a network on the CPU.
        workers: number of threads that prepare items; one for each processor, up to 8, if None.
        device: `cpu`, `cuda`, `cuda:1`, or `auto`.
        dtype: `float32`, `bfloat16`, `float16`, or `auto`.
        seed: seed of models that draw at random.
        model_options: settings of the model.
        trust_remote_code: whether code that a checkpoint brings may run, from pinned revisions only.
        progress: whether to show a progress bar.

    Returns:
        Vectors `(N, d)` in float32, in the order given, as the model gives them: not normalised. With several
        processes, only the main one gets them. The others get shape `(0, 0)`.

    Raises:
        UserError: for what is no item, for unusable media, and for an item of which the model sees nothing.

    Example:
        >>> import llave
        >>> llave.embed("classical", ["a cat", "a dog"], progress=False).shape[0]
        2
    """
    from harness.embed import EmbedSettings, embed_items
    from harness.encoding.distributed import join
    from llave.api.engine import worker_count
    from llave.api.progress import shown

    check_count("budget", budget, 1)
    check_count("workers", workers, 0)
    own = _own_items(items, role, Path(root or "").absolute(), tuple(map(Path, allow_roots)))
    world = join(device)
    with shown(progress and world.is_main) as bar:
        handle = open_one(model, model_settings(device, dtype, seed, model_options, trust_remote_code, store), bar.note)
        found = embed_items(own, handle, EmbedSettings(Path(store), budget, worker_count(workers)), bar, world)
    return np.empty((0, 0), dtype=np.float32) if found is None else found.vectors


def _own_items(items: Records, role: Role, folder: Path, roots: tuple[Path, ...]) -> list[OwnItem]:
    """The items with their roles. Raises UserError that names the place of what is none."""
    from harness.embed import OwnItem

    if role not in ("query", "target"):
        raise UserError(f"role cannot be {role!r}.", "Choose from query, target.")
    own = []
    for number, (_, record) in enumerate(records_of(items, "item")):
        place = f"item {number}"
        try:
            said = parse_role(record) if isinstance(record, Mapping) and record.get("role") else role
            own.append(OwnItem(str(number), to_item(record, folder, _KEYS, place, roots), said, place))
        except ValueError as error:
            raise UserError(f"{place}: {error}.", "Correct the items that were given.") from None
    if not own:
        raise UserError("There is no item to embed.", "Give a list of texts or dictionaries.")
    return own
