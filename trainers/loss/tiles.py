"""Log-sum-exp over a matrix of logits that is never whole in memory.

The matrix is computed in tiles on both axes. For the gradient the tiles are computed again.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

TILE = 1024
"""Number of rows and columns of a tile, which takes 4 MiB in fp32. A few exist at a time."""


Span: TypeAlias = "slice[int, int, None]"


class ContentKeys(NamedTuple):
    """Keys (n,) of rows and (m,) of columns. A row and a column with equal keys are not each other's negatives."""

    rows: Tensor
    columns: Tensor


class Limits(NamedTuple):
    """The highest similarities that negatives of each row (n,) and each column (m,) may have."""

    rows: Tensor
    columns: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Rule:
    """Which entries of the matrix are negatives, and how much each counts."""

    alpha: float
    """A negative's weight is `exp(alpha * similarity)`."""
    own: int | None = None
    """The positive of row i is in column `own + i`. None: no column has positives."""
    keys: Sequence[ContentKeys] = ()
    limits: Limits | None = None
    columns_too: bool = False
    """Whether the sums for columns are computed too."""


class Sums(NamedTuple):
    """Log-sum-exps of rows (n,) and columns (m,). Minus infinity: there is no negative, or the sum was not wanted."""

    rows: Tensor
    columns: Tensor


def negative_sums(rows: Tensor, columns: Tensor, scale: Tensor, rule: Rule, tile: int = TILE) -> Sums:
    """Log-sum-exps over negatives of `scale * s + alpha * sg(s)`, where s = `rows @ columns.T`; sg stops gradients.

    `rows` (n, d), `columns` (m, d) and the scalar `scale` get exact first derivatives. Memory is that of a few tiles
    for any n and m.
    """
    found: tuple[Tensor, Tensor] = _TiledSums.apply(rows, columns, scale, rule, tile)  # type: ignore[no-untyped-call]
    return Sums(*found)


class _TiledSums(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: FunctionCtx, rows: Tensor, columns: Tensor, scale: Tensor, rule: Rule, tile: int
    ) -> tuple[Tensor, Tensor]:
        # autograd would keep every tile; this function keeps the sums only, and computes tiles again in `backward`
        sums = Sums(*(each.new_full((len(each),), -math.inf) for each in (rows, columns)))
        # under autocast the products would be in 16 bits, which is too coarse for logits of 50 and more
        with torch.autocast(rows.device.type, enabled=False):
            for r, c in _tiles(len(rows), len(columns), tile):
                by_row, by_column = _logits(rows, columns, scale, rule, r, c)
                sums.rows[r] = torch.logaddexp(sums.rows[r], by_row.logsumexp(1))
                if rule.columns_too:
                    sums.columns[c] = torch.logaddexp(sums.columns[c], by_column.logsumexp(0))
        ctx.save_for_backward(rows, columns, scale, *sums)
        ctx.rule, ctx.tile = rule, tile  # type: ignore[attr-defined]
        return sums.rows, sums.columns

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, of_rows: Tensor, of_columns: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        rows, columns, scale, *sums = ctx.saved_tensors  # type: ignore[attr-defined]
        rule, tile = ctx.rule, ctx.tile  # type: ignore[attr-defined]
        # where there is no negative, sum and logits are all minus infinity, and their difference would be NaN
        row_sums, column_sums = (each.masked_fill(each.isneginf(), 0) for each in sums)
        to_rows, to_columns = torch.zeros_like(rows), torch.zeros_like(columns)
        with torch.autocast(rows.device.type, enabled=False):
            for r, c in _tiles(len(rows), len(columns), tile):
                by_row, by_column = _logits(rows, columns, scale, rule, r, c)
                # the derivative of a log-sum-exp by a logit is the softmax, exp(logit - sum)
                share = (by_row - row_sums[r, None]).exp_().mul_(of_rows[r, None])
                if rule.columns_too:
                    share += by_column.sub_(column_sums[c]).exp_().mul_(of_columns[c])
                to_rows[r] += share @ columns[c]
                to_columns[c] += share.T @ rows[r]
        # sg(s) has no gradient, so d logit / d s = scale and d logit / d scale = s. The sum over all entries of
        # share * s is rows * (share @ columns), summed: no matrix is needed.
        to_scale = (rows * to_rows).sum()
        return to_rows.mul_(scale), to_columns.mul_(scale), to_scale, None, None


def _tiles(rows: int, columns: int, tile: int) -> Iterator[tuple[Span, Span]]:
    for r in range(0, rows, tile):
        for c in range(0, columns, tile):
            yield slice(r, min(r + tile, rows)), slice(c, min(c + tile, columns))


def _logits(rows: Tensor, columns: Tensor, scale: Tensor, rule: Rule, r: Span, c: Span) -> tuple[Tensor, Tensor]:
    """The logits of a tile for the sums of rows, and for those of columns. Minus infinity: not a negative.

    Both are the same tensor unless limits differ between rows and columns.
    """
    similarity = rows[r] @ columns[c].T
    # the value of scale * s + alpha * sg(s); `backward` knows that the second term has no gradient
    logits = similarity * (scale + rule.alpha)
    if rule.own is not None:
        # positives are on a diagonal of the matrix, which may cross this tile
        offset = rule.own + r.start - c.start
        if -len(logits) < offset < logits.shape[1]:
            logits.diagonal(offset).fill_(-math.inf)
    for keys in rule.keys:
        logits.masked_fill_(keys.rows[r, None] == keys.columns[c], -math.inf)
    if rule.limits is None:
        return logits, logits
    by_row = logits.masked_fill(similarity > rule.limits.rows[r, None], -math.inf)
    if not rule.columns_too:
        return by_row, by_row
    return by_row, logits.masked_fill_(similarity > rule.limits.columns[c], -math.inf)
