"""Measures how fast LLaVE embeds. The baseline uses the same weights as the public code does. See README.md."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import lib.common as common
import numpy as np
import torch
from lib.device import matrix_rate, parity, peaks_on_gpu, usual_dtype
from lib.llave_shapes import (
    SHAPE_NAMES,
    AsPublic,
    in_dtype,
    packed,
    random_network,
    useful_flops,
    word_tokenizer,
    write_config,
)
from lib.synthetic import write_images
from torch import Tensor

from harness.encoding.encoder import Encoder, EncodeReport
from harness.encoding.store import Store
from harness.encoding.vectors import Work
from harness.models.checkpoints import FoundCheckpoint
from harness.models.llave.embedder import LlaveCheckpoint, LlaveEmbedder
from harness.models.llave.network import LlaveNetwork
from harness.models.llave.options import LlaveOptions
from harness.models.llave.prompt import LlaveInput, PromptBuilder
from harness.progress import NoProgress
from harness.types import MEDIA_TOKEN, Features, Item, Media, ModelSpec

LOADS = ("texts", "photographs", "videos", "mixed")
_WORDS = [f"word{number}" for number in range(2000)]
_FASTER = {"texts": 5.0, "photographs": 1.5}
"""Aims on a GPU for each load: times the speed of the baseline."""
# The aim for the share of the matrix rate, for a shape and a load.
_SHARE = {"llave-7b photographs": 0.5}
_BATCH = 4
"""Batch size of the public evaluation script."""


@dataclass(frozen=True, slots=True, eq=False)
class Bench:
    """One network, and one load of items."""

    folder: Path
    embedder: LlaveEmbedder
    network: LlaveNetwork
    work: Sequence[Work]
    budget: int
    workers: int
    number: Iterator[int]

    def ours(self) -> EncodeReport:
        """Embeds through the harness: preparation in threads, batches of similar length, checks, and the store."""
        with closing(Store(self.folder / f"store{next(self.number)}", self.embedder.spec)) as store:
            report = Encoder(self.embedder, store, budget=self.budget, workers=self.workers).run(
                self.work, NoProgress()
            )
        assert report.items == len(self.work)
        return report

    def public(self) -> list[Tensor]:
        """Embeds batches of four in the order of arrival. Items are prepared in advance, in as many threads."""
        embed = AsPublic(self.network)
        return [embed(prompts).cpu() for prompts in self._batches(_BATCH)]

    def packed(self, size: int = 16) -> list[Tensor]:
        """Embeds sixteen items of similar length at a time, in one sequence."""
        ready = sorted(self._prepared(), key=lambda prompt: prompt.length)
        return [packed(self.network, ready[at : at + size]).cpu() for at in range(0, len(ready), size)]

    def padded(self, size: int = 16) -> list[Tensor]:
        """Embeds the same sixteen items at a time, padded."""
        ready = sorted(self._prepared(), key=lambda prompt: prompt.length)
        return [self.network(ready[at : at + size]).cpu() for at in range(0, len(ready), size)]

    def prepared(self) -> list[Features[LlaveInput]]:
        """Prepares all items, one after the other."""
        return [self.embedder.prepare(each.item, each.role) for each in self.work]

    def _prepared(self) -> Iterator[LlaveInput]:
        with ThreadPoolExecutor(self.workers) as pool:
            yield from (each.data for each in pool.map(lambda w: self.embedder.prepare(w.item, w.role), self.work))

    def _batches(self, size: int) -> Iterator[list[LlaveInput]]:
        batch: list[LlaveInput] = []
        for prompt in self._prepared():
            batch.append(prompt)
            if len(batch) == size:
                yield batch
                batch = []
        if batch:
            yield batch


def set_up(folder: Path, options: argparse.Namespace, load: str) -> Bench:
    """Builds the network at the chosen shape, and the items of a load."""
    config = write_config(folder / "model", options.shape)
    dtype = usual_dtype(options.device)
    spec = ModelSpec(
        "benchmark", "1", "llave/1", str(dtype).removeprefix("torch."), modalities=("text", "image", "video")
    )
    network = random_network(config, options.device, dtype)
    checkpoint = LlaveCheckpoint(FoundCheckpoint("benchmark", folder, None), config, LlaveOptions())
    embedder = LlaveEmbedder(spec, checkpoint, PromptBuilder(word_tokenizer(_WORDS), None), network)
    items = draw_items(folder / "media", load, options)
    work = [Work(f"{at:032d}".encode(), item, "query") for at, item in enumerate(items)]
    return Bench(folder, embedder, network, work, options.budget, options.workers, count())


def draw_items(folder: Path, load: str, options: argparse.Namespace) -> list[Item]:
    """Draws texts of 3 to 40 words, photographs of 480 x 480 with a text, videos of 40 frames, or all."""
    rng = np.random.default_rng(0)

    def text(least: int, most: int) -> str:
        return " ".join(rng.choice(_WORDS, int(rng.integers(least, most + 1))).tolist())

    def shown(kind: str, name: str) -> Item:
        medium = Media("video" if kind == "video" else "image", name, folder)
        return Item(f"{MEDIA_TOKEN}\n{text(5, 20)}", (medium,), "Represent the given medium: ")

    def texts() -> list[Item]:
        return [Item(text(3, 40)) for _ in range(options.texts)]

    def photographs() -> list[Item]:
        return [shown("image", name) for name in write_images(folder, options.photographs, side=480)]

    def videos() -> list[Item]:
        return [shown("video", name) for name in write_videos(folder, options.videos)]

    parts = {"texts": texts, "photographs": photographs, "videos": videos}
    if load != "mixed":
        return parts[load]()
    mixed = [item for part in parts.values() for item in part()]
    order = rng.permutation(len(mixed))
    return [mixed[at] for at in order]


def write_videos(folder: Path, number: int) -> list[str]:
    """Writes clips of 40 frames at 3 per second, of which the model sees 32."""
    import cv2

    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for at in range(number):
        writer = cv2.VideoWriter(str(folder / f"{at}.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 3, (320, 240))
        for _ in range(40):
            writer.write(np.kron(rng.integers(0, 256, (12, 16, 3), np.uint8), np.ones((20, 20, 1), np.uint8)))
        writer.release()
    return [f"{at}.mp4" for at in range(number)]


def measure(options: argparse.Namespace, load: str, matrix_rate: float) -> dict[str, object]:
    """Times both sides on one load, after a check that they agree."""
    with tempfile.TemporaryDirectory() as name:
        bench = set_up(Path(name), options, load)
        features = bench.prepared()
        lengths = [feature.cost for feature in features]
        crops = sum(len(picture.crops) for feature in features for picture in feature.data.pictures)
        reports: list[EncodeReport] = []
        sides: dict[str, Callable[[], object]] = {"ours": lambda: reports.append(bench.ours()), "public": bench.public}
        if load == "texts":
            sides |= {"in sixteens, padded": bench.padded, "in sixteens, packed": bench.packed}
        with torch.inference_mode():
            _agree(bench, features[:_BATCH])
            seconds = common.in_turns(options.repeats, sides)
        took = common.medians(seconds)["ours"]
        flops = useful_flops(bench.network, lengths, crops)
        report = reports[-1]
        peaks = _peaks(options, load, sides)
        return {
            "items": len(lengths),
            "tokens": sum(lengths),
            "items a second": round(len(lengths) / took, 2),
            "tokens a second": round(sum(lengths) / took),
            "times as fast as the public way": _aimed(common.ratio(seconds["public"], seconds["ours"]), _FASTER, load),
            "TFLOP/s": round(flops / took / 1e12, 4),
            "share of the matrix rate": _aimed(flops / took / matrix_rate, _SHARE, f"{options.shape} {load}"),
            "padding waste": round(report.padding_waste, 4),
            "share of time waiting for data": common.aim(report.waiting / report.seconds, at_most=0.1),
            "peak memory beyond the weights, MB": peaks,
            "peak memory, share of the public way's": common.aim(peaks["ours"] / peaks["public"], at_most=0.5),
            **({"packing: times as fast as padding": _packing(seconds)} if load == "texts" else {}),
            "seconds": common.medians(seconds),
        }


def _aimed(value: float, aims: Mapping[str, float], case: str) -> object:
    return common.aim(value, at_least=aims[case]) if case in aims else round(value, 3)


def _packing(seconds: Mapping[str, Sequence[float]]) -> float:
    return common.ratio(seconds["in sixteens, padded"], seconds["in sixteens, packed"])


def _agree(bench: Bench, features: Sequence[Features[LlaveInput]]) -> None:
    prompts = [feature.data for feature in features]
    ours, public, joined = bench.network(prompts), AsPublic(bench.network)(prompts), packed(bench.network, prompts)
    tolerance = 1e-4 if ours.dtype == torch.float32 and bench.embedder.spec.dtype == "float32" else 0.05
    assert (ours - public).norm(dim=-1).max() < tolerance
    assert (ours - joined).norm(dim=-1).max() < tolerance


def _peaks(options: argparse.Namespace, load: str, sides: Mapping[str, Callable[[], object]]) -> Mapping[str, float]:
    """In megabytes, beyond the weights. A GPU counts by itself; else each side has a process of its own."""
    both = ("ours", "public")
    if options.device.startswith("cuda"):
        with torch.inference_mode():
            return peaks_on_gpu({side: sides[side] for side in both})
    return {side: _peak(options, load, side) for side in both}


def bf16_and_fp32(options: argparse.Namespace) -> dict[str, object]:
    """Embeds some items of the mixed load with the same weights in both dtypes."""
    with tempfile.TemporaryDirectory() as name, torch.inference_mode():
        bench = set_up(Path(name), options, "mixed")
        prompts = [feature.data for feature in bench.prepared()[: options.parity]]
        vectors = []
        for dtype in (torch.float32, torch.bfloat16):
            network = in_dtype(bench.network, dtype)
            vectors.append(torch.cat([network([prompt]).cpu() for prompt in prompts]))
    return parity(*vectors)


def _peak(options: argparse.Namespace, load: str, side: str) -> float:
    """Of a process that does one side alone."""
    flags = [
        "--shape",
        options.shape,
        "--device",
        options.device,
        "--budget",
        options.budget,
        "--workers",
        options.workers,
    ]
    flags += ["--texts", options.texts, "--photographs", options.photographs, "--videos", options.videos]
    command = [sys.executable, __file__, "--peak", load, side, *map(str, flags)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def print_peak(options: argparse.Namespace) -> None:
    """Prints by how many megabytes one side's peak is above what the loaded network takes."""
    load, side = options.peak
    with tempfile.TemporaryDirectory() as name, torch.inference_mode():
        bench = set_up(Path(name), options, load)
        before = common.peak_memory()
        bench.ours() if side == "ours" else bench.public()
        after = common.peak_memory()
    print(round((after - before) / 1e6, 1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--shape", choices=SHAPE_NAMES, default="small", help="shape of the network (small)")
    add("--device", default="cpu", help="cpu or cuda (cpu)")
    add("--loads", nargs="*", choices=LOADS, default=list(LOADS), help="what to embed (all)")
    add("--texts", type=int, default=256, help="texts of a load (256)")
    add("--photographs", type=int, default=16, help="photographs of a load (16)")
    add("--videos", type=int, default=4, help="videos of a load (4)")
    add("--budget", type=int, default=16_384, help="tokens in a batch (16384)")
    add("--workers", type=int, default=common.processors(), help="threads that prepare items")
    add("--parity", type=int, default=0, help="items whose vectors in bf16 and fp32 are compared (0)")
    add("--repeats", type=int, default=5, help="number of rounds; the median is reported (5)")
    add("--out", type=Path, help="file for the figures (results/throughput.json; on a GPU throughput-SHAPE.json)")
    add("--peak", nargs=2, metavar=("LOAD", "SIDE"), help="run one process of the memory figures")
    options = parser.parse_args()
    if options.peak:
        print_peak(options)
        return
    rate = matrix_rate(options.device)
    figures: dict[str, object] = {"matrix product, TFLOP/s": round(rate / 1e12, 3)}
    figures |= {load: measure(options, load, rate) for load in options.loads}
    if options.parity:
        figures["bf16 against fp32"] = bf16_and_fp32(options)
    settings = {key: value for key, value in vars(options).items() if key not in ("out", "peak")}
    name = "throughput.json"
    if options.device.startswith("cuda"):
        settings["gpu"] = torch.cuda.get_device_name()
        name = f"throughput-{options.shape}.json"
    common.write_report(options.out or common.RESULTS / name, settings, figures)


if __name__ == "__main__":
    main()
