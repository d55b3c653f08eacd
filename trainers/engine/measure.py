"""Measures what a model would take in training, for models whose layers are not counted. Imports torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from trainers.config import TrainingConfig
from trainers.data.loader import PreparedItem, PreparedItems
from trainers.data.pairs import Pair
from trainers.engine.network import ItemEncoder, ready
from trainers.engine.start import open_start

_PAIRS = 8


class Measured(NamedTuple):
    """Numbers of parameters, and the bytes that autograd keeps for an item of each side, in the mean."""

    trainable: int
    frozen: int
    query: float
    target: float
    negatives: float
    """For all hard negatives of a pair."""


def measure(config: TrainingConfig, pairs: Sequence[Pair]) -> Measured:
    """Loads the model and embeds some pairs. Without pairs, its smallest item stands for all.

    Raises UserError for a model that cannot be trained, and BadMedia.
    """
    embedder = open_start(config, Path()).load()
    encoder, prepared = ready(embedder, config), PreparedItems(embedder, 0)
    counts = {True: 0, False: 0}
    for parameter in encoder.parameters():
        counts[parameter.requires_grad] += parameter.numel()
    if not pairs:
        alone = _kept(encoder, encoder.blank)
        return Measured(counts[True], counts[False], alone, alone, 0.0)
    chosen = pairs[:: max(1, len(pairs) // _PAIRS)]
    query, target, negatives = 0, 0, 0
    for pair in chosen:
        query += _kept(encoder, prepared(pair.query, "query"))
        target += _kept(encoder, prepared(pair.target, "target"))
        if config.hard_negatives:
            negatives += sum(_kept(encoder, prepared(each, "target")) for each in pair.negatives)
    return Measured(counts[True], counts[False], *(each / len(chosen) for each in (query, target, negatives)))


def _kept(encoder: ItemEncoder, item: PreparedItem) -> int:
    """The bytes that autograd keeps for an item, apart from the weights."""
    kept = {}
    weights = {each.untyped_storage().data_ptr() for each in encoder.parameters()}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.random.fork_rng(devices=[]), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        vectors = encoder([item])  # held until the end, so that no address is used twice
    del vectors
    return sum(kept.values())
