"""Captions of MSVD as pairs to train on and questions to answer, split by video. Used by method.py."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from harness.errors import UserError
from harness.files.reading import read_object

Ints = NDArray[np.int64]

FILE = "test_captions.json"
FOLDS = 5
TURNS = 2
"""Number of candidates that each video has. Its other captions are queries, which take turns with them."""
HARD = 31
"""Number of wrong candidates of a query in the hard task."""


@dataclass(frozen=True, slots=True, eq=False)
class Captions:
    """Captions without repeats. Those that describe two videos in the same words are left out."""

    texts: tuple[str, ...]
    videos: Ints
    """(n,) the number of each caption's video. Captions of a video follow each other."""
    left_out: int
    """Number of captions that are repeats, or that fit several videos."""

    @staticmethod
    def read(folder: Path) -> Captions:
        """Reads `test_captions.json`. Raises UserError if it is not there, or is no object of lists of captions."""
        path = folder / FILE
        if not path.is_file():
            hint = f"--data names a folder with MSVD's {FILE}: an object of lists of captions by video."
            raise UserError(f"{path} is not there.", hint)
        found = read_object(path)
        if not all(isinstance(each, list) and all(isinstance(text, str) for text in each) for each in found.values()):
            raise UserError(f"{path} does not hold captions.", "It is an object of lists of captions by video.")
        return Captions.of(found)

    @staticmethod
    def of(captions: Mapping[str, list[str]]) -> Captions:
        """The captions that have words of their own, of videos that have enough of them."""
        owners: dict[str, set[str]] = defaultdict(set)
        for video, texts in captions.items():
            for text in texts:
                owners[_words(text)].add(video)
        kept = {
            video: list(dict.fromkeys(words for text in texts if len(owners[words := _words(text)]) == 1))
            for video, texts in captions.items()
        }
        kept = {video: texts for video, texts in kept.items() if len(texts) > TURNS}
        texts = tuple(text for each in kept.values() for text in each)
        videos = np.repeat(np.arange(len(kept)), [len(each) for each in kept.values()])
        return Captions(texts, videos, sum(map(len, captions.values())) - len(texts))


def _words(text: str) -> str:
    return " ".join(text.lower().split())


class Split(NamedTuple):
    """Indexes of captions. No video is on both sides."""

    train: Ints
    test: Ints


def split(captions: Captions, fold: int) -> Split:
    """Holds out one of five parts of the videos. The parts are the same for every seed."""
    order = np.random.default_rng(0).permutation(captions.videos.max() + 1)
    held_out = np.isin(captions.videos, order[fold % FOLDS :: FOLDS])
    return Split(np.flatnonzero(~held_out), np.flatnonzero(held_out))


class Batch(NamedTuple):
    """Indexes of captions, paired row by row, and the videos that they are of."""

    query: Ints
    target: Ints
    query_videos: Ints
    target_videos: Ints


def batches(captions: Captions, train: Ints, size: int, steps: int, noise: float, seed: int) -> Iterator[Batch]:
    """Random pairs of two captions of a video. In the share `noise` of pairs the second is one of another video."""
    draw = np.random.default_rng([seed, size])
    first = np.searchsorted(captions.videos[train], np.arange(captions.videos.max() + 2))
    for _ in range(steps):
        query = draw.choice(len(train), size, replace=len(train) < size)
        video = captions.videos[train][query]
        start, count = first[video], first[video + 1] - first[video]
        # any other caption of the video: a step of 1 to count - 1 from the query, in a circle
        target = start + (query - start + 1 + draw.integers(0, count - 1)) % count
        target = np.where(draw.random(size) < noise, draw.choice(len(train), size), target)
        yield Batch(train[query], train[target], video, captions.videos[train][target])


@dataclass(frozen=True, slots=True, eq=False)
class Questions:
    """Queries, and the candidates of each. All are indexes of captions."""

    query: Ints
    """(n,)"""
    right: Ints
    """(n,) the right candidate of each query."""
    plain: Ints
    """(turns, m) a caption of every video. The candidates of query i are in row `turn[i]`."""
    turn: Ints
    """(n,)"""
    hard: Ints
    """(n, 32) the right candidate first, then those of other videos that were most like it before the training."""


def questions(captions: Captions, test: Ints, start: NDArray[np.float32]) -> Questions:
    """The questions about held-out videos. `start` (captions, d) are unit vectors before the training."""
    draw = np.random.default_rng(1)
    videos = captions.videos[test]
    groups = [test[videos == video] for video in np.unique(videos)]
    picked = [draw.permutation(each) for each in groups]
    plain = np.stack([each[:TURNS] for each in picked], axis=1)
    query = np.concatenate([each[TURNS:] for each in picked])
    turn = np.concatenate([np.arange(len(each) - TURNS) % TURNS for each in picked])
    place = np.repeat(np.arange(len(picked)), [len(each) - TURNS for each in picked])
    right = plain[turn, place]
    pool = plain.ravel()
    likeness = start[pool] @ start[test].T
    likeness[captions.videos[pool][:, None] == videos] = -np.inf
    near = test[np.argsort(-likeness, axis=1, kind="stable")[:, : min(HARD, len(test) - max(map(len, groups)))]]
    hard = np.concatenate([pool[:, None], near], axis=1)
    row = {int(caption): number for number, caption in enumerate(pool)}
    return Questions(query, right, plain, turn, hard[[row[int(each)] for each in right]])
