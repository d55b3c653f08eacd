"""Measures time and memory of a training step: cached and plain, and ours and the public code's. See README.md."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import lib.common as common
import torch
from lib.llave_shapes import SHAPE_NAMES
from lib.training_steps import DEMO, set_up

_MEGABYTE = 2**20


def cached(options: argparse.Namespace, *, checkpointing: bool) -> dict[str, object]:
    """Compares a cached step with a plain one over the same pairs."""
    with tempfile.TemporaryDirectory() as folder:
        bench = set_up(Path(folder), options, options.shape, checkpointing=checkpointing)
        part = bench.part(options.pairs)
        sides = {
            "plain": lambda: bench.step(part, None),
            "cached": lambda: bench.step(part, options.micro_batch),
        }
        bench.agree(sides)
        seconds = common.in_turns(options.repeats, sides)
    return {
        "times the plain step's time": common.aim(common.ratio(seconds["cached"], seconds["plain"]), at_most=1.4),
        **_pairs_a_second(options.pairs, seconds),
    }


def public(options: argparse.Namespace) -> dict[str, object]:
    """Compares a plain step with one that works as the public code does."""
    with tempfile.TemporaryDirectory() as folder:
        bench = set_up(Path(folder), options, options.shape, checkpointing=True)
        part = bench.part(options.public_pairs)
        sides: Mapping[str, Callable[[], float]] = {
            "ours": lambda: bench.step(part, None),
            "public": lambda: bench.public_step(part),
        }
        bench.agree(sides)
        seconds = common.in_turns(options.repeats, sides)
    return {
        "times the pairs a second": common.aim(common.ratio(seconds["public"], seconds["ours"]), at_least=1.5),
        **_pairs_a_second(options.public_pairs, seconds),
    }


def _pairs_a_second(pairs: int, seconds: Mapping[str, list[float]]) -> dict[str, object]:
    took = common.medians(seconds)
    return {"pairs a second": {side: round(pairs / each, 2) for side, each in took.items()}, "seconds": took}


def memory(options: argparse.Namespace) -> dict[str, object]:
    """The peak memory of a process that only makes one cached step, for a small and a large batch."""
    small, large = options.memory_pairs
    peaks = {f"batch {pairs}": _peak(options, pairs) for pairs in (small, large)}
    first, last = peaks.values()
    return {
        f"peak at batch {large}, times that at {small}": common.aim(last / first, at_most=1.1),
        "peak, megabytes": peaks,
        "megabytes added for each pair": round((last - first) / (large - small), 4),
    }


def _peak(options: argparse.Namespace, pairs: int) -> int:
    flags = ["--device", options.device, "--memory-shape", options.memory_shape, "--side", options.side]
    flags += ["--images", options.images, "--memory-micro-batch", options.memory_micro_batch, "--peak", pairs]
    command = [sys.executable, __file__, *map(str, flags)]
    return round(float(subprocess.run(command, check=True, capture_output=True, text=True).stdout))


def texts(options: argparse.Namespace, pairs: int) -> dict[str, object]:
    """Compares steps on pairs of texts with those of sentence-transformers' trainer, on MiniLM, in seconds of CPU."""
    from lib.text_steps import text_bench

    with tempfile.TemporaryDirectory() as place:
        bench = text_bench(pairs)
        sides = bench.sides(options.text_micro_batch, Path(place))
        bench.agree(sides)
        seconds = common.in_turns(options.repeats, sides, time.process_time)
    figures = {
        f"{name}: times the pairs a second": common.aim(
            common.ratio(seconds[f"{name}, sentence-transformers"], seconds[name]), at_least=least
        )
        for name, least in (("plain", 1.0), ("cached", 1.3))
    }
    return {**figures, **_pairs_a_second(pairs, seconds)}


def print_peak(options: argparse.Namespace) -> None:
    """Prints the peak memory of this process, or of its GPU, in megabytes."""
    with tempfile.TemporaryDirectory() as folder:
        bench = set_up(Path(folder), options, options.memory_shape, checkpointing=True)
        bench.step(bench.part(options.peak), options.memory_micro_batch)
    on_gpu = options.device.startswith("cuda")
    print((torch.cuda.max_memory_allocated() if on_gpu else common.peak_memory()) / _MEGABYTE)


def main() -> None:
    """Measures what the flags say, and writes a report."""
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--shape", choices=(DEMO, *SHAPE_NAMES), default="small", help="shape of the network that is timed (small)")
    add(
        "--memory-shape",
        choices=(DEMO, *SHAPE_NAMES),
        default=DEMO,
        help="shape of the network whose memory is measured (demo)",
    )
    add("--device", default="cpu", help="cpu or cuda (cpu)")
    add("--pairs", type=int, default=8, help="pairs in the plain and the cached step (8)")
    add("--micro-batch", type=int, default=2, help="pairs at once in the cached step (2)")
    add("--public-pairs", type=int, default=8, help="pairs in a step that is compared with the public code (8)")
    add("--images", type=int, default=4, help="number of images to draw (4)")
    add("--side", type=int, default=384, help="side of the images in pixels (384)")
    add(
        "--memory-pairs",
        type=int,
        nargs=2,
        default=[64, 4096],
        metavar=("SMALL", "LARGE"),
        help="batches whose memory is measured (64 4096)",
    )
    add("--memory-micro-batch", type=int, default=32, help="pairs at once when memory is measured (32)")
    add("--texts", action="store_true", help="measure steps on pairs of texts only")
    add("--text-pairs", type=int, nargs="+", default=[64, 512], help="batches of these (64 512)")
    add("--text-micro-batch", type=int, default=32, help="pairs of texts at once in a cached step (32)")
    add("--repeats", type=int, default=5, help="number of rounds; the median is reported (5)")
    add("--threads", type=int, default=1, help="threads of torch; more than idle processors make it slower (1)")
    add("--out", type=Path, help="file for the figures (results/training.json, or training-SHAPE-DEVICE.json)")
    add("--peak", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.peak:
        print_peak(options)
        return
    if options.texts:
        figures = {f"pairs of texts, batch {pairs}": texts(options, pairs) for pairs in options.text_pairs}
        kept = {key: vars(options)[key] for key in ("text_pairs", "text_micro_batch", "repeats", "threads")}
        common.write_report(options.out or common.RESULTS / "training-texts.json", kept, figures)
        return
    figures = {
        "cached step, with gradient checkpointing": cached(options, checkpointing=True),
        "cached step, without": cached(options, checkpointing=False),
        "public way": public(options),
        "memory": memory(options),
    }
    usual = options.shape == "small" and options.device == "cpu"
    name = "training" if usual else f"training-{options.shape}-{options.device.partition(':')[0]}"
    settings = {key: value for key, value in vars(options).items() if key not in ("out", "peak")}
    if options.device.startswith("cuda"):
        settings["gpu"] = torch.cuda.get_device_name()
    common.write_report(options.out or common.RESULTS / f"{name}.json", settings, figures)


if __name__ == "__main__":
    main()
