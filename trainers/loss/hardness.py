"""InfoNCE with negatives weighted by their hardness (LLaVE, arXiv:2503.04812, Eq. 5).

A pair's logit is `scale * s`, where similarity s is a dot product. A negative's logit is `scale * s + alpha * sg(s)`,
which weights the negative by exp(alpha * s); sg stops the gradient. The loss is the mean over pairs of
-log p(the positive), computed in fp32 or wider. It is finite wherever the logits are. `alpha` 0 is InfoNCE.

Such weights change two things: the total of a query's negatives, and the share of each. `hardness` can leave out one.
docs/method.md derives both.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, get_args

import torch
from torch import Tensor

from harness.errors import UserError
from trainers.loss.tiles import TILE, ContentKeys, Limits, Rule, negative_sums

Direction: TypeAlias = Literal["both", "query", "target"]
Hardness: TypeAlias = Literal["llave", "relative", "total", "unstopped"]


def hardness_weighted_infonce(
    query: Tensor,
    target: Tensor,
    *,
    scale: float | Tensor,
    alpha: float,
    hardness: Hardness = "llave",
    margin: float = 0.0,
    direction: Direction = "both",
    query_ids: Tensor | None = None,
    target_ids: Tensor | None = None,
    false_negative_margin: float | None = None,
    negatives: Tensor | None = None,
    negative_rows: Tensor | None = None,
    negative_ids: Tensor | None = None,
    matryoshka_dims: Sequence[int] = (),
    matryoshka_weights: Sequence[float] = (),
    rows: range | None = None,
    tile: int = TILE,
) -> Tensor:
    """The loss, a scalar with exact first derivatives. Pass unit vectors for cosines.

    Args:
        query, target: (n, d) vectors. Row i of the targets is the positive of query i.
        scale: one over the temperature. A tensor gets its gradient.
        hardness: what alpha changes. "llave": the total of a query's negatives and the share of each. "relative": the
            shares; the total is that of InfoNCE. "total": the total; the shares are those of InfoNCE. "unstopped": as
            "llave", with gradients through the weights too.
        margin: is added to the logits of all negatives, so that they count exp(margin) times as much.
        direction: "query": each query picks its target. "target": each target picks its query. "both": the mean.
        query_ids, target_ids: (n,) integers. Pairs with an equal query or target are not each other's negatives.
        false_negative_margin: negatives that exceed the pair's own similarity by more than this are left out.
        negatives: (m, d) more wrong targets.
        negative_rows: (m,) the query that each of `negatives` belongs to. None: all of them belong to every query.
        negative_ids: (m,) integers comparable with `target_ids`: no query gets its own target as a negative.
        matryoshka_dims: numbers of first dimensions. Vectors are cut and scaled back to their norm, and the loss is
            the mean over these numbers. All dimensions count only if their number is named.
        matryoshka_weights: the weights of that mean. Empty: equal weights.
        rows: the mean is over these pairs only. They are still compared with all.
        tile: number of rows and columns of the similarity matrix in memory at a time.

    Raises:
        UserError: for shapes or settings that do not match.
    """
    keys = _Ids(query_ids, target_ids, negative_ids)
    wrong = None if negatives is None else _wide(negatives)
    batch = _Batch(_wide(query), _wide(target), wrong, negative_rows)
    _check(batch, keys, direction, matryoshka_dims, matryoshka_weights)
    weighting = _Weighting(alpha, hardness, margin)
    inside = slice(0, len(query)) if rows is None else slice(rows.start, rows.stop)
    scale = torch.as_tensor(scale).to(batch.query)
    how = _Settings(scale, weighting, direction, false_negative_margin, keys, inside, tile)
    if not matryoshka_dims:
        return _loss(batch, how)
    weights = matryoshka_weights or [1.0] * len(matryoshka_dims)
    losses = [weight * _loss(batch.cut(dims), how) for dims, weight in zip(matryoshka_dims, weights, strict=True)]
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

    def cut(self, dims: int) -> _Batch:
        wrong = None if self.negatives is None else _cut(self.negatives, dims)
        return _Batch(_cut(self.query, dims), _cut(self.target, dims), wrong, self.owners)


@dataclass(frozen=True, slots=True, eq=False)
class _Weighting:
    """How much negatives count."""

    alpha: float
    hardness: Hardness
    margin: float

    def __post_init__(self) -> None:
        if self.hardness not in get_args(Hardness):
            known = ", ".join(get_args(Hardness))
            raise UserError(f"hardness is {self.hardness!r}.", f"Use one of: {known}.")
        if not (math.isfinite(self.alpha) and math.isfinite(self.margin)):
            raise UserError(f"alpha is {self.alpha} and margin {self.margin}.", "Give finite numbers.")

    @property
    def in_shares(self) -> float:
        """The weight that decides the share of each negative."""
        return 0.0 if self.hardness == "total" else self.alpha

    @property
    def in_total(self) -> float:
        """The weight that decides the total of the negatives."""
        return 0.0 if self.hardness == "relative" else self.alpha


@dataclass(frozen=True, slots=True, eq=False)
class _Settings:
    scale: Tensor
    weighting: _Weighting
    direction: Direction
    false_negative_margin: float | None
    ids: _Ids
    rows: slice[int, int, None]
    tile: int

    def weighted(self, alpha: float) -> _Settings:
        """The same with LLaVE's weights, or with weights that have a gradient, of this alpha."""
        if self.weighting.hardness == "unstopped":
            return replace(self, scale=self.scale + alpha, weighting=_Weighting(0.0, "llave", 0.0))
        return replace(self, weighting=_Weighting(alpha, "llave", 0.0))


def _loss(batch: _Batch, how: _Settings) -> Tensor:
    similarity = (batch.query * batch.target).sum(1)
    positive = how.scale * similarity[how.rows]
    # the limit only selects negatives, so it has no gradient
    limit = None if how.false_negative_margin is None else similarity.detach() + how.false_negative_margin
    weighting = how.weighting
    sides = _sums(batch, how.weighted(weighting.in_shares), limit)
    shifts: list[Tensor | float] = [weighting.margin] * len(sides)
    if weighting.in_total != weighting.in_shares:
        with torch.no_grad():
            totals = _sums(batch, how.weighted(weighting.in_total), limit)
            shifts = [weighting.margin + _log_ratio(*each) for each in zip(totals, sides, strict=True)]
    losses = [
        _cross_entropy(positive, [each + shift for each in side]) for side, shift in zip(sides, shifts, strict=True)
    ]
    return torch.stack(losses).mean()


def _log_ratio(total: Sequence[Tensor], other: Sequence[Tensor]) -> Tensor:
    """(k,) logarithms of how many times as large one sum is, from the log-sum-exps of its parts. No negative: 0."""
    ratio = torch.stack(list(total)).logsumexp(0) - torch.stack(list(other)).logsumexp(0)
    return ratio.nan_to_num(nan=0.0)


def _sums(batch: _Batch, how: _Settings, limit: Tensor | None) -> list[list[Tensor]]:
    """Log-sum-exps (k,) over negatives, for each direction that is wanted: of other pairs, and of explicit ones."""
    by_query, by_target = _in_batch(batch, how, limit)
    sides = [] if by_query is None else [[by_query, *_explicit(batch, how, limit)]]
    return sides if by_target is None else [*sides, [by_target]]


def _cross_entropy(positive: Tensor, negatives: Sequence[Tensor]) -> Tensor:
    """The mean of -log p, from (k,) logits of positives and (k,) log-sum-exps of their negatives."""
    # log(exp(p) + sum(exp(n))) - p = log(1 + sum(exp(n - p))): differences stay small where logits are large
    against = [each - positive for each in negatives]
    return torch.stack([torch.zeros_like(positive), *against]).logsumexp(0).mean()


def _in_batch(batch: _Batch, how: _Settings, limit: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
    """Log-sum-exps over other pairs: of targets for each query in `rows`, and of queries for each target in `rows`.

    None for a direction that is not wanted.
    """
    rows, every = how.rows, how.rows == slice(0, len(batch.query))
    # where all pairs are wanted, one pass over the matrix gives the sums of rows and of columns
    both = how.direction == "both" and every
    keys = [ContentKeys(each[rows], each) for each in (how.ids.query, how.ids.target) if each is not None]
    limits = None if limit is None else Limits(limit[rows], limit)
    rule = Rule(how.weighting.alpha, rows.start, keys, limits, columns_too=both)
    if both:
        sums = negative_sums(batch.query, batch.target, how.scale, rule, how.tile)
        return sums.rows, sums.columns
    by_query = by_target = None
    if how.direction != "target":
        by_query = negative_sums(batch.query[rows], batch.target, how.scale, rule, how.tile).rows
    if how.direction != "query":
        by_target = negative_sums(batch.target[rows], batch.query, how.scale, rule, how.tile).rows
    return by_query, by_target


def _explicit(batch: _Batch, how: _Settings, limit: Tensor | None) -> list[Tensor]:
    """Log-sum-exps of the explicit negatives for each query in `rows`. Empty if there are none."""
    wrong = batch.negatives
    if wrong is None or not len(wrong):
        return []
    if batch.owners is not None:
        return [_owned(batch.query, wrong, batch.owners, how, limit)[how.rows]]
    query, ids = batch.query[how.rows], how.ids
    same = [] if ids.negative is None or ids.target is None else [ContentKeys(ids.target[how.rows], ids.negative)]
    limits = None if limit is None else Limits(limit[how.rows], limit)
    return [negative_sums(query, wrong, how.scale, Rule(how.weighting.alpha, None, same, limits), how.tile).rows]


def _owned(query: Tensor, wrong: Tensor, owners: Tensor, how: _Settings, limit: Tensor | None) -> Tensor:
    """(n,) log-sum-exps where each negative belongs to one query. Time and memory grow with the negatives only."""
    mine = (owners >= how.rows.start) & (owners < how.rows.stop)
    if how.ids.negative is not None and how.ids.target is not None:
        mine &= how.ids.target[owners] != how.ids.negative
    owners = owners[mine]
    similarity = (query[owners] * wrong[mine]).sum(1)
    if limit is not None:
        allowed = similarity <= limit[owners]
        owners, similarity = owners[allowed], similarity[allowed]
    logits = how.scale * similarity + how.weighting.alpha * similarity.detach()
    # the highest logit of each query is subtracted before exp, so that nothing overflows
    peak = logits.new_full((len(query),), -math.inf).scatter_reduce(0, owners, logits.detach(), "amax")
    total = torch.zeros_like(peak).index_add(0, owners, (logits - peak[owners]).exp())
    # a query without negatives has minus infinity; log(1) keeps NaN out of its gradient
    return total.masked_fill(peak.isneginf(), 1).log() + peak


def _wide(vectors: Tensor) -> Tensor:
    return vectors.float() if vectors.dtype in (torch.float16, torch.bfloat16) else vectors


def _cut(vectors: Tensor, dims: int) -> Tensor:
    """The first dimensions, scaled to the length of the whole vector."""
    if dims == vectors.shape[1]:
        return vectors
    part = vectors[:, :dims]
    length = part.norm(dim=1, keepdim=True).clamp_min(torch.finfo(part.dtype).tiny)
    return part * (vectors.norm(dim=1, keepdim=True) / length)  # type: ignore[no-any-return]


def _check(batch: _Batch, ids: _Ids, direction: Direction, dims: Sequence[int], weights: Sequence[float]) -> None:
    n, d = batch.query.shape
    wrong = batch.negatives
    if batch.target.shape != (n, d) or n == 0:
        shapes = f"{tuple(batch.query.shape)} and {tuple(batch.target.shape)}"
        raise UserError(
            f"Queries and targets are not paired: their shapes are {shapes}.", "Give each query one target."
        )
    if wrong is not None and (wrong.shape[1:] != (d,) or direction == "target"):
        what = f"Explicit negatives of shape {tuple(wrong.shape)} do not go with queries (*, {d}) and {direction=}."
        raise UserError(what, 'Use vectors of the same model, and the direction "query" or "both".')
    lengths = [(ids.query, n), (ids.target, n)]
    lengths += [(each, 0 if wrong is None else len(wrong)) for each in (ids.negative, batch.owners)]
    if any(each is not None and each.shape != (length,) for each, length in lengths):
        raise UserError(
            "Ids do not match their vectors.",
            "Give one integer for each query, target or negative.",
        )
    if weights and (len(weights) != len(dims) or min(weights) < 0 or not sum(weights)):
        raise UserError(
            f"matryoshka_dims has {len(dims)} values and matryoshka_weights is {list(weights)}.",
            "Give one weight for each, not all zero.",
        )
    if any(not 1 <= each <= d for each in dims):
        raise UserError(f"Vectors of {d} dimensions cannot be cut to {list(dims)}.", f"Use numbers from 1 to {d}.")
