"""Measures what the engine adds to a model's own work: time for each text and image, and memory. See README.md."""

from __future__ import annotations

import argparse
import os
import pickle
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import lib.common as common
import numpy as np
from lib.synthetic import sentences, write_images, write_subset
from numpy.typing import NDArray
from PIL import Image

from harness.data.cache import DatasetCache
from harness.data.dataset import Dataset
from harness.encoding.encoder import Encoder
from harness.encoding.store import Store
from harness.encoding.vectors import Work
from harness.media.digests import Digests
from harness.media.images import open_image
from harness.plan import TaskPlan, plan_task
from harness.progress import NoProgress
from harness.scoring.score import score
from harness.types import EvalConfig, Features, FloatArray, Item, ModelHandle, ModelSpec, Role
from tasks.mmeb.local import local_tasks

STAGES = ("load", "keys", "encode", "score")
SIDE = 384
"""Width and height of a prepared image, in pixels."""
_TOKENS = (SIDE // 14) ** 2
_BATCH = 256
_QUERIES = 10
Pixels = NDArray[np.uint8]


class Resizer:
    """An embedder of images that decodes and resizes them, as all must, and does nothing else."""

    def __init__(self, width: int) -> None:
        self._free = common.Free(width)
        self.spec = ModelSpec("benchmark/resizer", "1", "resizer/1", options={"width": width})

    def prepare(self, item: Item, role: Role) -> Features[tuple[Features[int], Pixels | None]]:
        """Decodes and resizes the image of an item, if it has one."""
        pixels = _resized(open_image(item.media[0])) if item.media else None
        return Features((self._free.prepare(item, role), pixels), cost=_TOKENS)

    def embed(self, features: Sequence[Features[tuple[Features[int], Pixels | None]]]) -> FloatArray:
        """Returns noise vectors, `(n, width)`."""
        return self._free.embed([each.data[0] for each in features])


def _resized(image: Image.Image) -> Pixels:
    return np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BICUBIC))


def texts(folder: Path, items: int, width: int, repeats: int) -> dict[str, object]:
    """Measures texts per second on one core: identity, batches, checks and store. The baseline writes one pickle."""
    _draw(folder, items)
    model = common.Free(width)
    bench = Bench(folder, common.handle_on(model), workers=1)
    dataset = bench.load()
    work = list(bench.assign(dataset).work.values())
    with _one_core():
        seconds = common.in_turns(
            repeats,
            {
                "engine": lambda: bench.encode(bench.assign(dataset), bench.fresh_store()),
                "engine: identity alone": lambda: bench.assign(dataset),
                "public way": lambda: _pickled(model, work, folder / "vectors.pkl"),
            },
        )
    return {
        "items": len(work),
        "texts a second": common.aim(len(work) / statistics.median(seconds["engine"]), at_least=5000),
        "times as long as the public way": common.ratio(seconds["engine"], seconds["public way"]),
        "seconds": common.medians(seconds),
    }


def _pickled(model: common.Free, work: Sequence[Work], path: Path) -> None:
    """Works as public evaluators do: it collects all batches in a list, and writes one file at the end."""
    batches = [work[start : start + _BATCH] for start in range(0, len(work), _BATCH)]
    vectors = [model.embed([model.prepare(each.item, each.role) for each in batch]) for batch in batches]
    with path.open("wb") as file:
        pickle.dump((np.concatenate(vectors), [each.item.text for each in work]), file)


def images(folder: Path, items: int, side: int, width: int, repeats: int) -> dict[str, object]:
    """Measures images per second. The baseline is the same threads that only decode and resize the same files."""
    names = write_images(folder / "images", items, side=side)
    _draw(folder, items, names)
    workers = common.processors()
    bench = Bench(folder, common.handle_on(Resizer(width)), workers)
    assignment = bench.assign(bench.load())

    def alone() -> None:
        with ThreadPoolExecutor(workers) as pool:
            for _ in pool.map(lambda name: _resized(Image.open(folder / "images" / name).convert("RGB")), names):
                pass

    def from_scratch() -> None:
        (folder / "digests.db").unlink()
        bench.encode(bench.assign(bench.load()), bench.fresh_store())

    seconds = common.in_turns(
        repeats,
        {
            "decode and resize alone": alone,
            "engine": lambda: bench.encode(assignment, bench.fresh_store()),
            "engine, from rows and a first look at every file": from_scratch,
        },
    )
    plain, engine, scratch = seconds.values()
    return {
        "items": items,
        "images a second alone": round(items / statistics.median(plain), 1),
        "share of that speed": common.aim(common.ratio(plain, engine), at_least=0.9),
        "share of that speed, from rows and a first look at every file": common.ratio(plain, scratch),
        "seconds": common.medians(seconds),
    }


def memory(folder: Path, kind: str, sizes: Sequence[int], width: int, side: int) -> dict[str, object]:
    """Measures how peak memory grows from the smaller to the larger number of items.

    Each stage runs in a process of its own.
    """
    peaks: dict[str, list[int]] = {stage: [] for stage in STAGES}
    for size in sizes:
        names = write_images(folder / str(size) / "images", size, side=side, distinct=64) if kind == "images" else []
        _draw(folder / str(size), size, names)
        for stage in STAGES:
            command = [sys.executable, __file__, "--stage", stage, str(folder / str(size)), kind, str(width)]
            peaks[stage].append(int(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
    growth = {stage: (each[-1] - each[0]) / (sizes[-1] - sizes[0]) for stage, each in peaks.items()}
    vector, prepared = 4 * width, SIDE * SIDE * 3 if kind == "images" else 4 * width
    return {
        "items": list(sizes),
        "peak in MB": {stage: [round(peak / 1e6) for peak in each] for stage, each in peaks.items()},
        "growth in bytes an item": {stage: round(each) for stage, each in growth.items()},
        "growth by encoding, in vectors or images": common.aim(
            (growth["encode"] - growth["keys"]) / prepared, at_most=0.1
        ),
        "growth by ranking, in matrices of all vectors": common.aim(
            (growth["score"] - growth["keys"]) / vector, at_most=2.2
        ),
    }


def print_peak(stage: str, folder: Path, kind: str, width: int) -> None:
    """Prints the peak memory of this process after the stages up to `stage`. Earlier processes filled the store."""
    model = common.handle_on(Resizer(width)) if kind == "images" else common.handle_on(common.Free(width))
    bench = Bench(folder, model, common.processors())
    dataset = bench.load()
    if stage != "load":
        assignment = bench.assign(dataset)
        if stage == "encode":
            bench.encode(assignment, folder / "store")
        if stage == "score":
            with closing(Store(folder / "store", model.spec)) as store:
                score(dataset, assignment.keys, store, model.spec, protocol="strict")
    print(common.peak_memory())


@dataclass(frozen=True, slots=True)
class Bench:
    """The parts of the engine, arranged as in a run."""

    folder: Path
    model: ModelHandle
    workers: int

    def load(self) -> Dataset:
        """Reads the rows, and checks every image."""
        (task,) = local_tasks(self.folder, self.folder / "images")
        return DatasetCache(Digests(self.folder / "digests.db"), NoProgress(), self.workers).load(task, EvalConfig())

    def assign(self, dataset: Dataset) -> TaskPlan:
        """Gives every item its key."""
        return plan_task(dataset, "", self.model.spec)

    def encode(self, assignment: TaskPlan, root: Path) -> None:
        with closing(Store(root, self.model.spec)) as store:
            missing = store.missing(list(assignment.work))
            encoder = Encoder(self.model.load(), store, workers=self.workers)
            report = encoder.run([assignment.work[key] for key in missing], NoProgress())
        assert report.items == len(assignment.work)

    def fresh_store(self) -> Path:
        """Removes the last store, and returns its folder."""
        shutil.rmtree(self.folder / "store", ignore_errors=True)
        return self.folder / "store"


def _draw(folder: Path, items: int, names: Sequence[str] = ()) -> None:
    """Writes a subset of a few text queries that share `items` targets."""
    lists = np.arange(items - items % _QUERIES).reshape(_QUERIES, -1)
    queries = [(text, "") for text in sentences("Find", _QUERIES)]
    pictures = [("<|image_1|>\nRepresent the given image.\n", name) for name in names]
    write_subset(folder / "Subset", queries, pictures or [(text, "") for text in sentences("A photo", items)], lists)
    (folder / "images").mkdir(exist_ok=True)


@contextmanager
def _one_core() -> Iterator[None]:
    """Runs the code inside on one core, if the system supports it."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--texts", type=int, default=20_000, help="texts to embed for speed (20000)")
    add("--images", type=int, default=400, help="images to embed for speed (400)")
    add("--side", type=int, default=512, help="width and height of an image in pixels (512)")
    add("--width", type=int, default=896, help="width of the vectors (896)")
    add("--repeats", type=int, default=9, help="number of rounds; the median is reported (9)")
    add("--memory-texts", type=int, nargs=2, default=[20_000, 100_000], help="two numbers to compare (20000 100000)")
    add("--memory-images", type=int, nargs=2, default=[500, 2000], help="two numbers to compare (500 2000)")
    add("--out", type=Path, default=common.RESULTS / "engine.json", help="file for the figures")
    add("--stage", nargs=4, metavar=("STAGE", "FOLDER", "KIND", "WIDTH"), help="run one process of the memory figures")
    options = parser.parse_args()
    if options.stage:
        stage, place, kind, width = options.stage
        print_peak(stage, Path(place), kind, int(width))
        return
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root)
        width, side = options.width, options.side
        figures = {
            "texts": texts(folder / "texts", options.texts, width, options.repeats),
            "images": images(folder / "images", options.images, side, width, options.repeats),
            "memory, texts": memory(folder / "memory", "texts", options.memory_texts, width, side),
            "memory, images": memory(folder / "pictures", "images", options.memory_images, width, side),
        }
    settings = {key: value for key, value in vars(options).items() if key not in ("out", "stage")}
    common.write_report(options.out, settings, figures)


if __name__ == "__main__":
    main()
