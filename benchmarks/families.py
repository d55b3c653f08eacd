"""Measures how fast CLIP, SigLIP 2, Qwen2-VL and Qwen3-VL embed, against their libraries' own way. See README.md."""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import lib.common as common
import numpy as np
import torch
from lib.device import matrix_rate, parity, peaks_on_gpu
from lib.family_baselines import AsSentenceTransformers, AsTransformersChat, AsTransformersDual, Baseline
from lib.family_checkpoints import FAMILIES, SHAPES, WORDS, write_checkpoint, write_llave
from lib.llave_shapes import SHAPE_NAMES
from lib.synthetic import write_images
from torch import Tensor
from torch.nn.functional import normalize
from torch.utils.flop_counter import FlopCounterMode

from harness.encoding.encoder import Encoder, EncodeReport
from harness.encoding.store import Store
from harness.encoding.vectors import Work
from harness.identity import library_version
from harness.progress import NoProgress
from harness.types import MEDIA_TOKEN, Embedder, Item, Media, ModelSettings

LOADS = ("texts", "images", "mixed")
_SIDES = (160, 240, 320, 480)
"""Sides of the images in pixels, in turn."""
_LONG = (200, 400)
"""Words of a long text, of which the mixed load of a generative model has one among four texts."""
_MORE = 4
"""Images of a dual encoder, which takes a fraction of the time, for each of a generative model."""
_MIXED, _OTHER = 1.5, 1.0
"""Least times the speed of the library's own way: on mixed lengths, and on the other loads."""


@dataclass(frozen=True, slots=True, eq=False)
class Bench:
    """One model, its baselines, and one load of items."""

    folder: Path
    embedder: Embedder[object]
    baselines: Mapping[str, Baseline]
    items: Sequence[Item]
    options: argparse.Namespace

    def ours(self, number: int = 0) -> tuple[EncodeReport, Tensor]:
        """Embeds through the harness: preparation in threads, batches of similar length, checks, and the store."""
        work = [Work(f"{at:032d}".encode(), item, "query") for at, item in enumerate(self.items)]
        with closing(Store(self.folder / f"store{number}", self.embedder.spec)) as store:
            encoder = Encoder(self.embedder, store, budget=self.options.budget, workers=self.options.workers)
            report = encoder.run(work, NoProgress())
            vectors = torch.from_numpy(store.get([each.key for each in work]))
        return report, normalize(vectors.float(), dim=-1)


def set_up(folder: Path, family: str, load: str, options: argparse.Namespace) -> Bench:
    """Opens a checkpoint in `folder` by its name, as a user does, and draws a load."""
    row, device = FAMILIES[family], options.device
    dtype = "bfloat16" if device.startswith("cuda") else "float32"
    embedder = row.open(f"{row.prefix}{folder / family}", ModelSettings(device, dtype)).load()
    plain = AsTransformersChat if row.chat else AsTransformersDual
    baselines: dict[str, Baseline] = {"transformers": plain(embedder, folder / family)}
    if family == "clip" and not device.startswith("cuda"):
        baselines["sentence-transformers"] = AsSentenceTransformers(folder / family, device)
    return Bench(folder / load, embedder, baselines, draw_items(folder / "media", load, row.chat, options), options)


def draw_items(folder: Path, load: str, chat: bool, options: argparse.Namespace) -> list[Item]:
    """Draws texts of 1 to 40 words, images of four sizes, or both mixed.

    For a generative model every image has a text, and of the mixed texts one in four has 200 to 400 words.
    """
    rng = np.random.default_rng(0)

    def text(least: int, most: int) -> str:
        return " ".join(rng.choice(WORDS, int(rng.integers(least, most + 1))).tolist())

    def texts() -> list[Item]:
        long = chat and load == "mixed"
        return [Item(text(*(_LONG if long and at % 4 == 0 else (1, 40)))) for at in range(options.texts)]

    def images() -> list[Item]:
        found, wanted = [], options.images * (1 if chat else _MORE)
        for side in _SIDES:
            names = write_images(folder / str(side), -(-wanted // len(_SIDES)), side=side)
            found += [Media("image", name, folder / str(side)) for name in names]
        asked = [f"{MEDIA_TOKEN}\n{text(5, 20)}" if chat else "" for _ in found]
        drawn = [Item(asked[at], (found[at],)) for at in rng.permutation(len(found))]
        return drawn[:wanted]

    parts = {"texts": texts, "images": images}
    if load != "mixed":
        return parts[load]()
    mixed = [item for part in parts.values() for item in part()]
    return [mixed[at] for at in rng.permutation(len(mixed))]


def measure(folder: Path, family: str, load: str, options: argparse.Namespace, rate: float) -> dict[str, object]:
    """Times all sides on one load, after a check that they agree."""
    bench = set_up(folder, family, load, options)
    number, reports = count(1), [bench.ours()[0]]
    sides = {"ours": lambda: reports.append(bench.ours(next(number))[0])}
    sides |= {name: lambda side=side: side.embed(bench.items) for name, side in bench.baselines.items()}
    with torch.inference_mode():
        _agree(bench)
        peaks = peaks_on_gpu(sides) if options.device.startswith("cuda") else {}
        # on the CPU each side has one thread for its network, and the time of others on the machine is left out
        clock = time.perf_counter if options.device.startswith("cuda") else time.process_time
        seconds = common.in_turns(options.repeats, sides, clock)
        flops = _flops(bench)
    took, report = common.medians(seconds), reports[-1]
    least = _MIXED if load == "mixed" else _OTHER
    return {
        "items": report.items,
        "tokens": report.cost,
        "items a second": round(report.items / took["ours"], 2),
        "tokens a second": round(report.cost / took["ours"]),
        "times as fast": {
            name: common.aim(common.ratio(seconds[name], seconds["ours"]), at_least=least) for name in bench.baselines
        },
        "TFLOP/s": round(flops / took["ours"] / 1e12, 4),
        "share of the matrix rate": round(flops / took["ours"] / rate, 3),
        "padding waste": round(report.padding_waste, 4),
        "share of time waiting for data": round(report.waiting / report.seconds, 3),
        **({"peak memory beyond the weights, MB": peaks} if peaks else {}),
        "seconds": took,
    }


def _agree(bench: Bench) -> None:
    """Raises AssertionError unless all sides have the same vectors, as measured by how far apart items are."""
    ours = bench.ours()[1]
    spread = (ours - ours.mean(0)).norm(dim=1).median()
    loose = bench.embedder.spec.dtype != "float32"
    for name, side in bench.baselines.items():
        apart = (side.embed(bench.items) - ours).norm(dim=1) / spread
        found = apart.median() if loose else apart.max()
        assert found < (0.3 if loose else 5e-3), f"{name}: {found:.4f} of the spread {spread:.4f}"


def _flops(bench: Bench) -> float:
    """Multiplications and additions of all items without padding, as torch counts them for one of each length."""
    features = [bench.embedder.prepare(item, "query") for item in bench.items]
    kinds = [(each.cost, bool(item.media)) for each, item in zip(features, bench.items, strict=True)]
    found = {}
    for kind, each in dict(zip(kinds, features, strict=True)).items():
        with FlopCounterMode(display=False) as counted:
            bench.embedder.embed([each])
        found[kind] = counted.get_total_flops()
    return float(sum(found[kind] for kind in kinds))


def bf16_and_fp32(folder: Path, family: str, options: argparse.Namespace) -> dict[str, object]:
    """Embeds some items of the mixed load in both dtypes, each alone."""
    row = FAMILIES[family]
    items = draw_items(folder / "media", "mixed", row.chat, options)[: options.parity]
    vectors = []
    for dtype in ("float32", "bfloat16"):
        embedder = row.open(f"{row.prefix}{folder / family}", ModelSettings(options.device, dtype)).load()
        given = [embedder.prepare(item, "query") for item in items]
        vectors.append(torch.cat([torch.as_tensor(embedder.embed([each])).float().cpu() for each in given]))
    return parity(*vectors)


def main() -> None:
    """Measures what the flags say, and writes a report."""
    options = _options()
    if options.write:
        print(_written(*options.write, options))
        return
    rate = matrix_rate(options.device)
    figures: dict[str, object] = {"matrix product, TFLOP/s": round(rate / 1e12, 3)}
    for family in options.families:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            write_checkpoint(family, options.shape, folder / family, options.device)
            figures[family] = {
                **{load: measure(folder, family, load, options, rate) for load in options.loads},
                "bf16 against fp32": bf16_and_fp32(folder, family, options),
            }
    settings = {key: value for key, value in vars(options).items() if key not in ("out", "write")}
    report = "families.json"
    if options.device.startswith("cuda"):
        settings["gpu"] = torch.cuda.get_device_name()
        report = f"families-{options.shape}.json"
    settings["sentence-transformers"] = library_version("sentence-transformers")
    common.write_report(options.out or common.RESULTS / report, settings, figures)


def _written(what: str, folder: str, options: argparse.Namespace) -> str:
    if what in FAMILIES:
        return write_checkpoint(what, options.shape, Path(folder), options.device)
    return write_llave(what, Path(folder), options.device)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--families", nargs="*", choices=FAMILIES, default=list(FAMILIES), help="which families (all)")
    add("--shape", choices=SHAPES, default="small", help="shape of the networks (small)")
    add("--device", default="cpu", help="cpu or cuda (cpu)")
    add("--loads", nargs="*", choices=LOADS, default=list(LOADS), help="what to embed (all)")
    add("--texts", type=int, default=128, help="texts of a load (128)")
    add("--images", type=int, default=24, help="images of a load (24)")
    add("--parity", type=int, default=16, help="items whose vectors in bf16 and fp32 are compared (16)")
    add("--budget", type=int, help="tokens in a batch (the usual budget of the model)")
    add("--workers", type=int, default=common.processors(), help="threads that prepare items")
    add("--repeats", type=int, default=5, help="number of rounds; the median is reported (5)")
    add(
        "--write",
        nargs=2,
        metavar=("WHAT", "FOLDER"),
        help=f"only write a checkpoint of a family, or of LLaVE ({', '.join(SHAPE_NAMES)}), and print its name",
    )
    add("--out", type=Path, help="file for the figures (results/families.json; on a GPU families-SHAPE.json)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
