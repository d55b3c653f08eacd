"""Measures how fast stored vectors become scores. The baseline is the per-query loop of public code. See README.md."""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import lib.common as common
import numpy as np
from lib.public_loop import Row, best_of, hugging_face_rows, load_vectors, predictions, save_vectors
from lib.synthetic import Scale, candidate_lists, sentences, settle, write_images, write_subset, write_suite

from harness.data.cache import DatasetCache
from harness.encoding.distributed import World
from harness.encoding.store import Store
from harness.evaluate import Evaluation, Run, RunSettings
from harness.media.digests import Digests
from harness.plan import TaskPlan, plan_task
from harness.progress import NoProgress
from harness.scoring.rank import normalise, rank
from harness.scoring.ranking import Ranking, RankQuery
from harness.scoring.score import Scored, rank_dataset, score
from harness.types import Embedder, EvalConfig, FloatArray, ModelHandle, ModelSpec
from tasks.mmeb.datasets import ROWS
from tasks.mmeb.local import local_tasks

_ONE_SUBSET = "Captions"
_AIMED_WIDTH = 3584
_LONGEST_SUITE = 60.0


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """One dataset with its vectors, stored for our side and for the public loop."""

    folder: Path
    spec: ModelSpec
    queries_QD: FloatArray
    targets_TD: FloatArray
    asked: list[RankQuery]

    @staticmethod
    def draw(folder: Path, scale: Scale, width: int) -> Scene:
        """Writes a dataset of image queries and caption targets. About half of the queries find the right caption."""
        rng = np.random.default_rng(width)
        images = write_images(folder / "images", scale.queries, side=16)
        queries = [("<|image_1|>\nFind an image caption describing the image.\n", name) for name in images]
        targets = [(text, "") for text in sentences("A photo", scale.pool)]
        lists = candidate_lists(rng, scale)
        write_subset(folder / _ONE_SUBSET, queries, targets, lists)
        targets_TD = rng.standard_normal((scale.pool, width), dtype=np.float32)
        noise_QD = rng.standard_normal((scale.queries, width), dtype=np.float32)
        queries_QD = targets_TD[lists[:, 0]] + noise_QD * np.float32(0.3 * width**0.5)
        save_vectors(folder / "queries.pkl", queries, queries_QD)
        save_vectors(folder / "targets.pkl", targets, targets_TD)
        pools = lists.astype(np.int32)
        asked = [RankQuery(str(row), pool, pool[:1], 1) for row, pool in enumerate(pools)]
        scene = Scene(folder, common.Free(width).spec, queries_QD, targets_TD, asked)
        settle()
        scene._fill_store({text: number for number, (text, _) in enumerate(targets)})
        return scene

    def _fill_store(self, numbers: dict[str, int]) -> None:
        assignment = self.assignment()
        places = [numbers[target.text] for target in assignment.dataset.data.targets]
        with closing(self.store()) as store:
            store.put([key for key in assignment.keys.queries if key], self.queries_QD)
            store.put([key for key in assignment.keys.targets if key], self.targets_TD[places])

    def assignment(self) -> TaskPlan:
        """Reads and checks the rows, merges equal candidates, and gives every item its key."""
        shelf = DatasetCache(Digests(self.folder / "digests.db"), NoProgress(), 1)
        (task,) = local_tasks(self.folder, self.folder / "images")
        return plan_task(shelf.load(task, EvalConfig()), "", self.spec)

    def store(self) -> Store:
        """Opens the store of the dataset's vectors."""
        return Store(self.folder / "store", self.spec)

    def scored(self) -> Scored:
        """From the files to metrics, intervals and per-query rows."""
        assignment = self.assignment()
        with closing(self.store()) as store:
            return score(assignment.dataset, assignment.keys, store, self.spec, protocol="strict")

    def ranked(self) -> list[Ranking]:
        """The ranking alone, as the loop does it: vectors of any length in memory."""
        return rank(normalise(self.queries_QD), normalise(self.targets_TD), self.asked, top=0)

    def public(self, rows: Callable[[], Iterable[Row]]) -> list[int]:
        """From the files to predictions."""
        queries, targets = load_vectors(self.folder / "queries.pkl"), load_vectors(self.folder / "targets.pkl")
        return predictions(rows(), queries, targets)


def one_dataset(folder: Path, scale: Scale, width: int, repeats: int) -> dict[str, object]:
    """Times both sides on one dataset, after a check that they agree."""
    scene = Scene.draw(folder, scale, width)
    from_disk = partial(hugging_face_rows, folder / _ONE_SUBSET, folder / "cache")
    listed = list(from_disk())
    queries, targets = load_vectors(folder / "queries.pkl"), load_vectors(folder / "targets.pkl")
    vectors = list(scene.targets_TD)
    pools = [[vectors[each] for each in query.candidates.tolist()] for query in scene.asked]
    doubles_QD, doubles_TD = scene.queries_QD.astype(np.float64), scene.targets_TD.astype(np.float64)
    assignment = scene.assignment()
    wanted = [key for key in (*assignment.keys.queries, *assignment.keys.targets) if key]
    hits = _checked_hits(scene, predictions(listed, queries, targets))
    with closing(scene.store()) as store:
        seconds = common.in_turns(
            repeats,
            {
                "whole": scene.scored,
                "whole: public": lambda: scene.public(from_disk),
                "whole: public, rows in lists": lambda: scene.public(lambda: listed),
                "ranking": scene.ranked,
                "ranking: public": lambda: predictions(listed, queries, targets),
                "ranking: public, looked up": lambda: [*map(best_of, scene.queries_QD, pools)],
                "bare fp64 product": lambda: doubles_QD @ doubles_TD.T,
                "step: rows, files and keys": scene.assignment,
                "step: vectors from the store": lambda: store.get(wanted),
                "step: vectors and ranking": lambda: rank_dataset(
                    assignment.dataset, assignment.keys, store, scene.spec
                ),
            },
        )
    return {"hit@1": hits, **_compared(seconds, aimed=width == _AIMED_WIDTH)}


def _compared(seconds: Mapping[str, Sequence[float]], *, aimed: bool) -> dict[str, object]:
    whole = common.ratio(seconds["whole: public"], seconds["whole"])
    ranking = common.ratio(seconds["ranking: public"], seconds["ranking"])
    return {
        "whole: times as fast": common.aim(whole, at_least=10) if aimed else whole,
        "whole: times as fast as rows in lists": common.ratio(
            seconds["whole: public, rows in lists"], seconds["whole"]
        ),
        "ranking: times as fast": common.aim(ranking, at_least=30) if aimed else ranking,
        "ranking: times as fast as looked up": common.ratio(seconds["ranking: public, looked up"], seconds["ranking"]),
        "ranking: times as long as a bare fp64 product": common.ratio(seconds["ranking"], seconds["bare fp64 product"]),
        "seconds": common.medians(seconds),
    }


def _checked_hits(scene: Scene, public: Sequence[int]) -> float:
    """Returns the share of right queries, after a check that both sides agree on it."""
    scored = scene.scored()
    assert scored.tied_queries == 0
    hits = scored.metrics["hit@1"].value
    assert hits == sum(place == 0 for place in public) / len(public)
    assert [ranking.best for ranking in scored.rankings] == [ranking.best for ranking in scene.ranked()]
    return hits


def suite(folder: Path, scale: Scale, width: int, datasets: int) -> dict[str, object]:
    """Evaluates MMEB's datasets, drawn by code, and then again only from the store."""
    names = [row.name for row in ROWS][:: max(1, len(ROWS) // datasets)][:datasets]
    start = time.perf_counter()
    write_suite(folder / "data", write_images(folder / "images", scale.pool // 2, side=16), scale, names)
    settle()
    drawn = time.perf_counter()
    first = _evaluate(folder, common.handle_on(common.Free(width)))
    filled = time.perf_counter()
    shutil.rmtree(folder / "results")
    again = _evaluate(folder, ModelHandle(common.Free(width).spec, _never))
    done = time.perf_counter()
    assert first.failure is again.failure is None
    assert again.found == 0
    assert [result.metrics for result in again.results] == [result.metrics for result in first.results]
    return {
        "datasets": len(again.results),
        "vectors": again.counts.distinct,
        "seconds to draw": round(drawn - start, 1),
        "seconds to embed, store and score": round(filled - drawn, 1),
        "seconds to score again": common.aim(done - filled, at_most=_LONGEST_SUITE),
    }


def _evaluate(folder: Path, handle: ModelHandle) -> Evaluation:
    """Does the work of `llave run --tasks all`."""
    workers = common.processors()
    shelf = DatasetCache(Digests(folder / "digests.db"), NoProgress(), workers)
    settings = RunSettings(folder / "results", folder / "store", workers=workers)
    run = Run(EvalConfig(), settings, shelf, World(0, 1), NoProgress())
    return run.evaluate(handle, local_tasks(folder / "data", folder / "images"))


def _never() -> Embedder[object]:
    raise AssertionError("everything is in the store, and yet the model was loaded")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--widths", type=int, nargs="*", default=[896, 3584], help="widths of the vectors of one dataset (896 3584)")
    add("--queries", type=int, default=1000, help="queries of a dataset, each with as many candidates (1000)")
    add("--pool", type=int, default=1000, help="distinct candidates of the single dataset (1000)")
    add("--repeats", type=int, default=5, help="number of rounds; the median is reported (5)")
    add("--datasets", type=int, default=36, help="number of datasets of the suite; 0 leaves it out (36)")
    add("--suite-width", type=int, default=896, help="width of the suite's vectors (896)")
    add("--suite-pool", type=int, default=4000, help="distinct candidates of the suite's datasets (4000)")
    add("--out", type=Path, default=common.RESULTS / "scoring.json", help="file for the figures")
    options = parser.parse_args()
    figures: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as name:
        for width in options.widths:
            scale = Scale(options.queries, options.queries, options.pool)
            figures[f"one dataset, width {width}"] = one_dataset(Path(name, str(width)), scale, width, options.repeats)
        if options.datasets:
            scale = Scale(options.queries, options.queries, options.suite_pool)
            figures[f"suite, width {options.suite_width}"] = suite(
                Path(name, "suite"), scale, options.suite_width, options.datasets
            )
    settings = {key: value for key, value in vars(options).items() if key != "out"}
    common.write_report(options.out, settings, figures)


if __name__ == "__main__":
    main()
