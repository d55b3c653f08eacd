"""Media of training pairs that cannot be used: finds them, reports them, or leaves out the pairs that need them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.errors import BadMedia, UserError, counted, hints_of
from harness.media.digests import Digests
from harness.media.places import resolve
from harness.types import Media
from trainers.data.mmeb_train import Subset
from trainers.data.pairs import Pair, digest_of

_SHOWN = 5


@dataclass(frozen=True, slots=True, eq=False)
class KeptPairs:
    """Some of the pairs of a dataset. This is a `trainers.data.mmeb_train.Subset`."""

    whole: Subset
    indexes: Sequence[int]

    @property
    def name(self) -> str:
        """The dataset's name."""
        return self.whole.name

    def __len__(self) -> int:
        return len(self.indexes)

    def pair(self, index: int) -> Pair:
        """The pair with this index among the kept ones."""
        return self.whole.pair(self.indexes[index])

    def where(self, index: int) -> str:
        """Where a person finds the row of a pair."""
        return self.whole.where(self.indexes[index])

    def media(self) -> Iterator[Media]:
        """Every medium of the whole dataset."""
        return self.whole.media()

    def has_negatives(self) -> NDArray[np.bool_]:
        """(n,) which pairs come with negatives."""
        found: NDArray[np.bool_] = self.whole.has_negatives()[np.asarray(self.indexes)]
        return found

    def digest(self) -> str:
        """A digest of the whole dataset and of which pairs are kept."""
        return digest_of([self.whole.digest(), *map(str, self.indexes)])


def check_media(subsets: Iterable[Subset], workers: int) -> Mapping[Media, BadMedia]:
    """Media that are missing, empty or outside their root, with the reason. No file is opened."""

    def look(medium: Media) -> BadMedia | None:
        try:
            resolve(medium)
        except BadMedia as error:
            return error
        return None

    media = list(_distinct(subsets))
    with ThreadPoolExecutor(max(1, workers)) as pool:
        looks = zip(media, pool.map(look, media, chunksize=256), strict=True)
        return {medium: error for medium, error in looks if error is not None}


def damaged_media(subsets: Iterable[Subset], known: Mapping[Media, BadMedia]) -> dict[Media, BadMedia]:
    """Media that exist but do not open, with the reason. Evaluation checks media in the same way.

    Media in `known` are skipped.
    """
    digests = Digests()
    found: dict[Media, BadMedia] = {}
    for medium in _distinct(subsets):
        if medium not in known:
            try:
                digests.media(medium)
            except BadMedia as error:
                found[medium] = error
    digests.flush()
    return found


def refuse_bad(bad: Mapping[Media, BadMedia]) -> None:
    """Raises UserError that lists bad media, if there are any."""
    if bad:
        shown = [f"  {error.what} It is named in {medium.where}." for medium, error in list(bad.items())[:_SHOWN]]
        more = [f"  and {len(bad) - _SHOWN} more"] if len(bad) > _SHOWN else []
        raise UserError(
            "\n".join([f"{counted(len(bad), 'media file')} cannot be used.", *shown, *more]),
            f"{hints_of(bad.values())}\nOr train without the pairs that need them: --set on_bad_media=skip.",
        )


def without_bad(subset: Subset, bad: Mapping[Media, BadMedia]) -> tuple[Subset, tuple[str, ...]]:
    """A dataset without the pairs that need bad media, and a line for each of these pairs.

    The line says where the pair is and why it is left out. Raises UserError if no pair is left.
    """
    kept, lost = [], []
    for index in range(len(subset)):
        media = [medium for item in subset.pair(index).items for medium in item.media]
        why = next((bad[medium] for medium in media if medium in bad), None)
        if why is None:
            kept.append(index)
        else:
            lost.append(f"{subset.where(index)}: {why.what}")
    if not kept:
        raise UserError(f"{subset.name}: every pair has bad media.", "Fetch them, or check --images.")
    return (KeptPairs(subset, kept) if lost else subset), tuple(lost)


def _distinct(subsets: Iterable[Subset]) -> dict[Media, None]:
    return dict.fromkeys(medium for subset in subsets for medium in subset.media())
