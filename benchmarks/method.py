"""What hardness weighting does: paired runs with parts of the loss on captions of MSVD. See docs/method.md."""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from functools import cache
from multiprocessing import get_context
from pathlib import Path

import lib.common as common
import lib.method_report as report
import numpy as np
from lib.method_data import FOLDS, Captions, Questions, batches, questions, split

from harness.errors import UserError
from harness.files.paths import cache_dir
from harness.files.writing import write_atomic
from harness.scoring.metrics import Metric
from harness.scoring.rank import rank
from harness.scoring.ranking import RankQuery

DATA = Path(__file__).resolve().parents[1] / ".." / "shared" / "realdata" / "annotations" / "MSVD"
SEEDS = range(1, 17)
"""Seeds of the head, the batches and the wrong pairs. A seed holds out the fold that is its number modulo 5."""
PRIMARY = "head, P@1: alpha 9 less InfoNCE, batch 128, scale 50, 150 steps"
"""The primary outcome. It, the arms and the seeds were written here before the runs; all others are exploratory."""
TRIED = (
    "InfoNCE, seed 900: 62.04 % P@1 before the training of the head, 63.42 % after it",
    "the last layer with InfoNCE for 1, 5 and 11 steps, seed 900",
    "the head with every arm for 2 steps, seeds 901 and 902",
)
"""Runs before that, to see that all works and how long it takes. Their seeds are not used again."""
MOST_LAST = 10
"""Number of seeds of the second setting, whose runs take longer: the first ones."""


@dataclass(frozen=True, slots=True)
class Arm:
    """How a run trains. The defaults are the base that one or more values are changed of."""

    alpha: float = 0.0
    hardness: str = "llave"
    margin: float = 0.0
    scale: float = 50.0
    batch: int = 128
    steps: int = 150
    noise: float = 0.0
    """Share of pairs whose second caption is one of another video."""


METHODS: Mapping[str, Mapping[str, float | str]] = {
    report.BASE: {},
    **{f"alpha {alpha:g}": {"alpha": alpha} for alpha in (0.5, 1.0, 3.0, 9.0, 27.0)},
    "margin 4.5": {"margin": 4.5},
    "total only": {"alpha": 9.0, "hardness": "total"},
    "relative only": {"alpha": 9.0, "hardness": "relative"},
    "not stopped": {"alpha": 9.0, "hardness": "unstopped"},
}
"""Losses by name. "Total only", "relative only" and "not stopped" are of alpha 9."""
FEW = (report.BASE, "alpha 9", "total only", "margin 4.5", "relative only")
FEWEST = (report.BASE, "alpha 9", "margin 4.5")
CONDITIONS: Mapping[str, tuple[Mapping[str, float], tuple[str, ...]]] = {
    report.MAIN: ({}, tuple(METHODS)),
    "no training": ({"steps": 0}, (report.BASE,)),
    "batch 32": ({"batch": 32}, FEW),
    "batch 64": ({"batch": 64}, FEW),
    "batch 512": ({"batch": 512}, FEWEST),
    "20 % wrong pairs": ({"noise": 0.2}, FEW),
    "scale 20": ({"scale": 20.0}, FEW),
    "scale 59": ({"scale": 59.0}, (report.BASE,)),
    "50 steps": ({"steps": 50}, FEWEST),
    "300 steps": ({"steps": 300}, FEWEST),
}
"""What differs from the base, and the losses that are tried there."""
LAST = Arm(batch=32, steps=60)
"""The base of the second setting, in which the last layer of MiniLM is trained."""
RATES = {report.HEAD: 1e-3, report.LAST: 1e-4}
"""Learning rates of AdamW, constant over the steps."""


def arms(setting: str) -> Iterator[tuple[str, str, Arm]]:
    """The condition, the loss and the settings of every arm."""
    if setting == report.LAST:
        for method in FEW:
            yield report.MAIN, method, replace(LAST, **METHODS[method])
        return
    for condition, (changes, methods) in CONDITIONS.items():
        for method in methods:
            yield condition, method, replace(Arm(), **changes, **METHODS[method])


@dataclass(frozen=True, slots=True)
class Case:
    """A run."""

    setting: str
    condition: str
    method: str
    arm: Arm
    seed: int

    @property
    def name(self) -> str:
        """The name of the run's file."""
        text = repr((self.setting, self.arm, RATES[self.setting], self.seed))
        return f"{self.setting}-{hashlib.sha256(text.encode()).hexdigest()[:16]}".replace(" ", "-")

    @property
    def label(self) -> str:
        """The arm in words."""
        return f"{self.setting}, {self.condition}, {self.method}"


@cache
def _captions(data: Path) -> Captions:
    return Captions.read(data)


def measure(case: Case, data: Path, place: Path, runs: Path) -> Path:
    """Trains and evaluates, and returns a file with the figures. An existing file is returned at once."""
    found = runs / f"{case.name}.json"
    if found.exists():
        return found
    import torch
    from lib.method_models import Head, LastLayer

    from trainers.loss.hardness import hardness_weighted_infonce

    torch.set_num_threads(1)
    torch.manual_seed(case.seed)
    start, arm, captions = time.process_time(), case.arm, _captions(data)
    train = split(captions, case.seed).train
    model = (Head if case.setting == report.HEAD else LastLayer)(place).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATES[case.setting])
    for batch in batches(captions, train, arm.batch, arm.steps, arm.noise, case.seed):
        query, target = model(np.concatenate([batch.query, batch.target])).chunk(2)
        loss = hardness_weighted_infonce(
            query,
            target,
            scale=arm.scale,
            alpha=arm.alpha,
            hardness=arm.hardness,
            margin=arm.margin,
            query_ids=torch.from_numpy(batch.query_videos),
            target_ids=torch.from_numpy(batch.target_videos),
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    scores = evaluate(model, captions, _questions(data, case.seed % FOLDS, place))
    seconds = round(time.process_time() - start, 2)
    write_atomic(found, json.dumps({"seconds": seconds, "scores": scores}) + "\n")
    return found


@cache
def _questions(data: Path, fold: int, place: Path) -> Questions:
    from lib.method_models import VECTORS

    captions = _captions(data)
    return questions(captions, split(captions, fold).test, np.load(place / VECTORS))


def evaluate(model: object, captions: Captions, asked: Questions) -> dict[str, float]:
    """P@1 among a caption of every video and among hard candidates, overlap and AUC of similarities."""
    from lib.method_models import vectors

    from trainers.monitor.diagnostics import diagnose

    test = np.unique(np.concatenate([asked.query, asked.hard.ravel(), asked.plain.ravel()]))
    embedded = vectors(model, test)
    found = np.zeros((len(captions.texts), embedded.shape[1]), np.float32)
    found[test] = embedded
    plain = [asked.plain[turn] for turn in asked.turn]
    pool = asked.plain.ravel()
    of_pool = captions.videos[asked.query][:, None] != captions.videos[pool]
    about = diagnose(found[asked.query], found[asked.right], pool=found[pool], wrong=of_pool)
    return {
        "P@1": precision(found, asked.query, asked.right, plain),
        "hard P@1": precision(found, asked.query, asked.right, list(asked.hard)),
        "overlap": about.overlap,
        "AUC": about.auc,
    }


def precision(vectors: np.ndarray, query: np.ndarray, right: np.ndarray, candidates: list[np.ndarray]) -> float:
    """The share of queries whose first candidate is the right one, by the harness's exact ranks with neutral ties."""
    asked = [
        RankQuery(str(number), each.astype(np.int32), np.array([one], np.int32), 1)
        for number, (each, one) in enumerate(zip(candidates, right, strict=True))
    ]
    metric = Metric.parse("hit@1")
    return float(np.mean([metric.score(each) for each in rank(vectors[query], vectors, asked, top=0)]))


def cases(
    settings: Sequence[str], conditions: Sequence[str], seeds: Sequence[int], most_steps: int | None = None
) -> list[Case]:
    """Every run, in the order of the arms."""
    return [
        Case(setting, condition, method, replace(arm, steps=min(arm.steps, most_steps or arm.steps)), seed)
        for setting in settings
        for condition, method, arm in arms(setting)
        if condition in conditions
        for seed in (seeds if setting == report.HEAD else seeds[:MOST_LAST])
    ]


def run(options: argparse.Namespace) -> None:
    """Prepares the vectors, trains what is not finished, and writes the report."""
    from lib.method_models import prepare

    captions = _captions(options.data)
    place = options.runs / hashlib.sha256("\n".join(captions.texts).encode()).hexdigest()[:16]
    prepare(captions.texts, place)
    every = cases(options.settings, options.conditions, options.seeds, options.most_steps)
    if not options.finished:
        with ProcessPoolExecutor(options.processes, mp_context=get_context("spawn")) as pool:
            waiting = [pool.submit(measure, case, options.data, place, place) for case in every]
            for number, each in enumerate(as_completed(waiting), start=1):
                each.result()
                if number % 50 == 0 or number == len(every):
                    print(f"{number} of {len(every)} runs", flush=True)
    arms_of = {case: replace(case, seed=0) for case in every}
    missing = {arm for case, arm in arms_of.items() if not (place / f"{case.name}.json").exists()}
    every = [case for case in every if arms_of[case] not in missing]
    runs = [
        report.Finished(case.setting, case.condition, case.method, case.seed, **json.loads(file.read_text()))
        for case in every
        for file in [place / f"{case.name}.json"]
    ]
    settings = {
        "primary": PRIMARY,
        "seeds": {each: list(dict.fromkeys(case.seed for case in every if case.setting == each)) for each in RATES},
        "tried": TRIED,
        "repeats": len(options.seeds),
        "captions": len(captions.texts),
        "left out": captions.left_out,
        "videos": int(captions.videos.max() + 1),
        "folds": FOLDS,
        "learning rates": RATES,
        "arms": {arm.label: asdict(arm.arm) for arm in arms_of.values() if arm not in missing},
        "not run": sorted(arm.label for arm in missing),
    }
    report.write(runs, settings, options.out)


def main() -> None:
    """Runs the experiment, or prints the tables of a report."""
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--data", type=Path, default=DATA, help="folder with MSVD's test_captions.json (shared/.../MSVD)")
    add("--settings", nargs="+", choices=(report.HEAD, report.LAST), default=[report.HEAD, report.LAST], help="(both)")
    add("--conditions", nargs="+", choices=CONDITIONS, default=list(CONDITIONS), help="of the head (all)")
    add("--seeds", type=int, nargs="+", default=list(SEEDS), help="seeds (1 to 16)")
    add("--most-steps", type=int, help="cuts every run short, for a trial")
    add("--processes", type=int, default=2, help="number of runs at a time, each with one thread (2)")
    add("--runs", type=Path, default=cache_dir() / "method", help="folder of finished runs, which are not repeated")
    add("--finished", action="store_true", help="only report the arms of which every run is finished")
    add("--markdown", type=Path, metavar="REPORT", help="print the tables of a report instead of running")
    add("--out", type=Path, default=common.RESULTS / "method.json", help="file for the results, with figures beside it")
    options = parser.parse_args()
    if options.markdown:
        print(report.tables(json.loads(options.markdown.read_text(encoding="utf-8"))["figures"]), end="")
        return
    try:
        run(options)
    except UserError as error:
        parser.exit(1, f"{error}\n")


if __name__ == "__main__":
    main()
