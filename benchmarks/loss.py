"""Measures time and memory of the tiled loss, forward and backward, and of the plain formula. See README.md."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import lib.common as common
import psutil
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from trainers.loss.hardness import hardness_weighted_infonce

SCALE, ALPHA = 50.0, 9.0
_MEGABYTE = 2**20


def tiled(query: Tensor, target: Tensor) -> Tensor:
    """The trainer's loss."""
    return hardness_weighted_infonce(query, target, scale=SCALE, alpha=ALPHA)


def dense(query: Tensor, target: Tensor) -> Tensor:
    """The formula over a whole matrix, with as few matrices as autograd allows. LLaVE's own code makes more."""
    cosines = query @ target.T
    weights = ALPHA * cosines.detach()
    weights.fill_diagonal_(0)
    logits = torch.add(weights, cosines, alpha=SCALE)
    del cosines, weights
    labels = torch.arange(len(query))
    return (cross_entropy(logits, labels) + cross_entropy(logits.T, labels)) / 2


SIDES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"tiled": tiled, "dense": dense}


def pairs(batch: int, width: int) -> tuple[Tensor, Tensor]:
    """Unit vectors (batch, width) of queries, and of targets that are near their queries."""
    draw = torch.Generator().manual_seed(0)
    query, noise = torch.randn(2, batch, width, generator=draw)
    target = normalize(query + noise, dim=1)
    return normalize(query, dim=1).requires_grad_(), target.requires_grad_()


def step(side: str, query: Tensor, target: Tensor) -> Tensor:
    """Computes loss and gradients, and returns the loss."""
    query.grad = target.grad = None
    loss = SIDES[side](query, target)
    loss.backward()
    return loss.detach()


def added_memory(side: str, batch: int, width: int) -> float:
    """Megabytes that a step adds to a process with the vectors. Their gradients are included."""
    line = [sys.executable, __file__, "--measure", side, "--batch", str(batch), "--width", str(width)]
    return float(subprocess.run(line, check=True, capture_output=True, text=True).stdout)


def _measure(side: str, batch: int, width: int) -> None:
    step(side, *pairs(64, width))
    query, target = pairs(batch, width)
    before = psutil.Process().memory_info().rss
    step(side, query, target)
    print((common.peak_memory() - before) / _MEGABYTE)


def compare(batch: int, small: int, width: int, repeats: int) -> dict[str, object]:
    """The figures of both losses. Raises AssertionError unless their values and gradients agree."""
    query, target = pairs(batch, width)
    found = {}
    for side in SIDES:
        found[side] = [step(side, query, target), query.grad, target.grad]
    for own, other in zip(found["tiled"], found["dense"], strict=True):
        torch.testing.assert_close(own, other, rtol=1e-3, atol=1e-5)
    del found
    seconds = common.in_turns(repeats, {side: lambda side=side: step(side, query, target) for side in SIDES})
    memory = {side: added_memory(side, batch, width) for side in SIDES}
    of_small = added_memory("tiled", small, width)
    vectors = 2 * 4 * width / _MEGABYTE
    return {
        "times the dense loss's time": common.aim(common.ratio(seconds["tiled"], seconds["dense"]), at_most=2),
        "share of the dense loss's memory": common.aim(memory["tiled"] / max(memory["dense"], 0.1), at_most=0.1),
        "megabytes added": {side: round(each) for side, each in memory.items()},
        "megabytes added beyond gradients": {
            f"batch {size}": round(each - size * vectors)
            for size, each in ((small, of_small), (batch, memory["tiled"]))
        },
        "seconds": common.medians(seconds),
    }


def main() -> None:
    """Measures what the flags say, and writes a report."""
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--batch", type=int, default=16384, help="number of pairs (16384)")
    add("--small", type=int, default=4096, help="number of pairs in a second measurement of memory (4096)")
    add("--width", type=int, default=512, help="dimensions of the vectors (512)")
    add("--repeats", type=int, default=5, help="number of rounds; the median is reported (5)")
    add("--out", type=Path, default=common.RESULTS / "loss.json", help="file for the figures")
    add("--measure", choices=SIDES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.measure:
        _measure(options.measure, options.batch, options.width)
        return
    figures = compare(options.batch, options.small, options.width, options.repeats)
    settings = {key: value for key, value in vars(options).items() if key not in ("out", "measure")}
    common.write_report(options.out, settings, {f"batch {options.batch}": figures})


if __name__ == "__main__":
    main()
