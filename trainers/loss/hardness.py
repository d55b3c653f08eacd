"""InfoNCE whose negatives count by how hard they are (LLaVE, arXiv:2503.04812)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from harness.errors import UserError
from trainers.loss.tiles import TILE, ContentKeys, Limits, Rule, negative_sums

Direction: TypeAlias = Literal["both", "query", "target"]


def hardness_weighted_infonce(
    query: Tensor,
    target: Tensor,
    *,
    scale: float | Tensor,
    alpha: float,
    direction: Direction = "both",
    query_ids: Tensor | None = None,
    target_ids: Tensor | None = None,
    false_negative_margin: float | None = None,
    negatives: Tensor | None = None,
    negative_rows: Tensor | None = None,
    negative_ids: Tensor | None = None,
    widths: Sequence[int] = (),
    width_weights: Sequence[float] = (),
    rows: range | None = None,
    tile: int = TILE,
) -> Tensor:
    """The mean over pairs of -log p(the right one), each negative weighted by exp(alpha * sg(similarity)).

    `query` and `target` are (n, d), paired row by row. Similarity is their dot product: pass unit vectors for cosines.
    A pair's logit is `scale * s`, a negative's `scale * s + alpha * sg(s)`, where sg stops the gradient; the loss is
    finite wherever they are. Computed in fp32 or wider. `alpha` 0 is InfoNCE.

    scale: one over the temperature. A tensor gets its gradient.
    direction: "query": each query picks its target. "target": each target picks its query. "both": the mean of the two.
    query_ids, target_ids: (n,) integers, equal where contents are. Pairs that share a query or a target are not each
        other's negatives.
    false_negative_margin: whatever is more similar than the pair itself by more than this is no negative.
    negatives: (m, d) more wrong targets. `negative_rows` (m,) says whose each one is; without it, everybody's.
        `negative_ids` (m,), in the numbers of `target_ids`, keeps a query's own target from being its negative.
    widths: the loss of the first so many dimensions, brought back to the vector's length, averaged over the widths by
        `width_weights` (Matryoshka). The full width counts only if it is named.
    rows: take the mean over these pairs only, still compared with all.
    tile: rows and columns of the similarity matrix that exist at a time; a smaller matrix is one tile.
    """
    keys = _Ids(query_ids, target_ids, negative_ids)
    wrong = None if negatives is None else _wide(negatives)
    batch = _Batch(_wide(query), _wide(target), wrong, negative_rows)
    _check(batch, keys, direction, widths, width_weights)
    inside = slice(0, len(query)) if rows is None else slice(rows.start, rows.stop)
    how = _How(torch.as_tensor(scale).to(batch.query), alpha, direction, false_negative_margin, keys, inside, tile)
    if not widths:
        return _loss(batch, how)
    weights = width_weights or [1.0] * len(widths)
    losses = [weight * _loss(batch.cut(width), how) for width, weight in zip(widths, weights, strict=True)]
    return torch.stack(losses).sum() / sum(weights)


@dataclass(frozen=True, slots=True, eq=False)
class _Ids:
    query: Tensor | None
    target: Tensor | None
    negative: Tensor | None


@dataclass(frozen=True, slots=True, eq=False)
class _Batch:
    query: Tensor
    target: Tensor
    negatives: Tensor | None
    owners: Tensor | None

    def cut(self, width: int) -> _Batch:
        wrong = None if self.negatives is None else _cut(self.negatives, width)
        return _Batch(_cut(self.query, width), _cut(self.target, width), wrong, self.owners)


@dataclass(frozen=True, slots=True, eq=False)
class _How:
    scale: Tensor
    alpha: float
    direction: Direction
    margin: float | None
    ids: _Ids
    rows: slice[int, int, None]
    tile: int


def _loss(batch: _Batch, how: _How) -> Tensor:
    similarity = (batch.query * batch.target).sum(1)
    positive = how.scale * similarity[how.rows]
    limit = None if how.margin is None else similarity.detach() + how.margin
    by_query, by_target = _in_batch(batch, how, limit)
    losses = []
    if by_query is not None:
        losses.append(_surprise(positive, [by_query, *_explicit(batch, how, limit)]))
    if by_target is not None:
        losses.append(_surprise(positive, [by_target]))
    return torch.stack(losses).mean()


def _surprise(positive: Tensor, negatives: Sequence[Tensor]) -> Tensor:
    """The mean of -log p: of the logits of the right ones, against log-sum-exps of wrong ones."""
    against = [each - positive for each in negatives]
    return torch.stack([torch.zeros_like(positive), *against]).logsumexp(0).mean()


def _in_batch(batch: _Batch, how: _How, limit: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
    """The log-sum-exp of the other pairs' targets for each query in `rows`, and of their queries for each target."""
    rows, every = how.rows, how.rows == slice(0, len(batch.query))
    both = how.direction == "both" and every
    keys = [ContentKeys(each[rows], each) for each in (how.ids.query, how.ids.target) if each is not None]
    limits = None if limit is None else Limits(limit[rows], limit)
    rule = Rule(how.alpha, rows.start, keys, limits, columns_too=both)
    if both:
        sums = negative_sums(batch.query, batch.target, how.scale, rule, how.tile)
        return sums.rows, sums.columns
    by_query = by_target = None
    if how.direction != "target":
        by_query = negative_sums(batch.query[rows], batch.target, how.scale, rule, how.tile).rows
    if how.direction != "query":
        by_target = negative_sums(batch.target[rows], batch.query, how.scale, rule, how.tile).rows
    return by_query, by_target


def _explicit(batch: _Batch, how: _How, limit: Tensor | None) -> list[Tensor]:
    """The log-sum-exp of the explicit negatives for each query in `rows`, if there are any."""
    wrong = batch.negatives
    if wrong is None or not len(wrong):
        return []
    if batch.owners is not None:
        return [_owned(batch.query, wrong, batch.owners, how, limit)[how.rows]]
    query, ids = batch.query[how.rows], how.ids
    same = [] if ids.negative is None or ids.target is None else [ContentKeys(ids.target[how.rows], ids.negative)]
    limits = None if limit is None else Limits(limit[how.rows], limit)
    return [negative_sums(query, wrong, how.scale, Rule(how.alpha, None, same, limits), how.tile).rows]


def _owned(query: Tensor, wrong: Tensor, owners: Tensor, how: _How, limit: Tensor | None) -> Tensor:
    """The same where each negative is one query's only: (n,), in time and memory of the negatives."""
    mine = (owners >= how.rows.start) & (owners < how.rows.stop)
    if how.ids.negative is not None and how.ids.target is not None:
        mine &= how.ids.target[owners] != how.ids.negative
    owners = owners[mine]
    similarity = (query[owners] * wrong[mine]).sum(1)
    if limit is not None:
        allowed = similarity <= limit[owners]
        owners, similarity = owners[allowed], similarity[allowed]
    logits = how.scale * similarity + how.alpha * similarity.detach()
    peak = logits.new_full((len(query),), -math.inf).scatter_reduce(0, owners, logits.detach(), "amax")
    total = torch.zeros_like(peak).index_add(0, owners, (logits - peak[owners]).exp())
    return total.masked_fill(peak.isneginf(), 1).log() + peak


def _wide(vectors: Tensor) -> Tensor:
    return vectors.float() if vectors.dtype in (torch.float16, torch.bfloat16) else vectors


def _cut(vectors: Tensor, width: int) -> Tensor:
    """The first dimensions, as long as the whole vector was."""
    if width == vectors.shape[1]:
        return vectors
    part = vectors[:, :width]
    length = part.norm(dim=1, keepdim=True).clamp_min(torch.finfo(part.dtype).tiny)
    return part * (vectors.norm(dim=1, keepdim=True) / length)  # type: ignore[no-any-return]


def _check(
    batch: _Batch, ids: _Ids, direction: Direction, widths: Sequence[int], width_weights: Sequence[float]
) -> None:
    n, d = batch.query.shape
    wrong = batch.negatives
    if batch.target.shape != (n, d) or n == 0:
        shapes = f"{tuple(batch.query.shape)} and {tuple(batch.target.shape)}"
        raise UserError(
            f"Queries and targets are not paired: their shapes are {shapes}.", "Give each query one target."
        )
    if wrong is not None and (wrong.shape[1:] != (d,) or direction == "target"):
        what = (
            f"Explicit negatives of shape {tuple(wrong.shape)} are no targets of queries (*, {d}), or none are asked."
        )
        raise UserError(what, 'Use vectors of the same model, and the direction "query" or "both".')
    lengths = [(ids.query, n), (ids.target, n)]
    lengths += [(each, 0 if wrong is None else len(wrong)) for each in (ids.negative, batch.owners)]
    if any(each is not None and each.shape != (length,) for each, length in lengths):
        raise UserError("Ids do not match their vectors.", "Give one integer for each query, target or negative.")
    if width_weights and (len(width_weights) != len(widths) or min(width_weights) < 0 or not sum(width_weights)):
        raise UserError(f"{len(widths)} widths cannot have the weights {list(width_weights)}.", "Give one for each.")
    if any(not 1 <= width <= d for width in widths):
        raise UserError(f"Vectors of {d} dimensions have no widths {list(widths)}.", f"Use widths from 1 to {d}.")
