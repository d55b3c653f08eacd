"""The data of a run: found, checked, and planned into batches. No network is loaded for this."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import numpy as np

from harness.errors import BadMedia, UserError
from harness.media.digests import Digests
from harness.paths import cache_dir
from harness.types import MEDIA_TOKEN, Media
from trainers.config import SCRATCH, TrainingConfig
from trainers.data.mmeb_train import RowChoice, Subset, check_media, load_subsets, refuse_bad, without_bad
from trainers.data.pairs import Pair, digest_of
from trainers.data.sampler import BatchPlan

DEMO = "demo"
_SAMPLE = 1000


@dataclass(frozen=True, slots=True, eq=False)
class TrainingData:
    """Datasets and the plan over them."""

    subsets: tuple[Subset, ...]
    plan: BatchPlan
    steps: int
    skipped: Mapping[str, tuple[str, ...]]
    """Pairs left out for their media, by dataset: where each is, and why."""

    def digest(self) -> str:
        """Of all pairs that are trained on."""
        return digest_of(chain.from_iterable((each.name, each.digest()) for each in self.subsets))

    def sample(self) -> list[Pair]:
        """A thousand pairs at equal distances over all datasets, or all of them."""
        starts = np.cumsum([0, *map(len, self.subsets)])
        chosen = np.linspace(0, starts[-1] - 1, min(_SAMPLE, starts[-1])).astype(int)
        numbers = np.searchsorted(starts, chosen, side="right") - 1
        return [self.subsets[n].pair(int(at - starts[n])) for n, at in zip(numbers, chosen, strict=True)]


def find_material(config: TrainingConfig) -> TrainingData:
    """Raises UserError for everything that is wrong with the data and can be known before training."""
    place, images = _place(config)
    choice = RowChoice(config.split, config.datasets, config.cap, config.sample == "random", config.seed)
    subsets = load_subsets(place, images, choice)
    skipped: dict[str, tuple[str, ...]] = {}
    bad = check_media(subsets, config.workers)
    if config.on_bad_media == "stop":
        refuse_bad(bad)
    else:
        bad = {**bad, **_damaged(subsets, bad)}
        if bad:
            kept = [without_bad(subset, bad) for subset in subsets]
            skipped = {subset.name: lost for subset, lost in kept if lost}
            subsets = tuple(subset for subset, _ in kept)
    plan = plan_over({subset.name: len(subset) for subset in subsets}, config)
    return TrainingData(subsets, plan, config.steps or plan.steps(config.epochs), skipped)


def plan_over(sizes: Mapping[str, int], config: TrainingConfig) -> BatchPlan:
    return BatchPlan.over(
        sizes, config.weights, batch=config.batch, parts=config.accumulate, mode=config.batches, seed=config.seed
    )


def on_hub(data: str) -> bool:
    """Whether data is named as a dataset on the hub is, and no folder or file here is."""
    named = data.count("/") == 1 and not data.startswith((".", "/", "~")) and not data.endswith(".jsonl")
    return named and not Path(data).exists()


def pinned(config: TrainingConfig) -> TrainingConfig:
    """The config with the commit of data on the hub, so that a run that is resumed elsewhere sees the same."""
    if not on_hub(config.data):
        return config
    from trainers.data.hub import TrainSource

    source = TrainSource.named(config.data)
    return replace(config, data=f"{source.repo}@{source.commit()}")


def check_shares(config: TrainingConfig, processes: int) -> None:
    """Raises UserError unless a part of the batch can be shared out, and cut into micro-batches."""
    share, rest = divmod(config.contrasted, processes)
    if rest:
        raise UserError(
            f"{config.contrasted} pairs (batch {config.batch}, accumulate {config.accumulate}) cannot be shared out "
            f"evenly over {processes} processes.",
            "Change batch with --set batch=.",
        )
    if config.micro_batch is not None and share % config.micro_batch:
        raise UserError(
            f"The {share} pairs of a process cannot be cut into micro-batches of {config.micro_batch}.",
            f"Choose a divisor of {share} with --set micro_batch=.",
        )


def check_widths(config: TrainingConfig, width: int) -> None:
    """Raises UserError for widths beyond that of the network's vectors."""
    if any(each > width for each in config.widths):
        raise UserError(
            f"The vectors of {config.start} have {width} dimensions, and widths asks for {max(config.widths)}.",
            f"Choose from 1 to {width} with --set widths=.",
        )


def remarks(config: TrainingConfig, material: TrainingData) -> tuple[str, ...]:
    """What a person should know of the data before training begins, a line each."""
    found = []
    given = sum(int(subset.has_negatives().sum()) for subset in material.subsets)
    if given and not config.hard_negatives:
        found.append(f"{given:,} pairs come with negatives, which are not used: --set hard_negatives=true")
    if config.start == SCRATCH and (unknown := _unknown_words(config, material)):
        found.append(
            f"{unknown:.1%} of the words of the data are not among the demo's, which are all that start=scratch knows: "
            "--set start=CHECKPOINT"
        )
    return tuple(found)


def _unknown_words(config: TrainingConfig, material: TrainingData) -> float:
    """The share of the words of some pairs that the vocabulary of a start from scratch does not have."""
    from tasks.demo.datasets import words_of
    from tasks.demo.suite import demo_vocabulary

    pairs = material.sample()
    items = [item for pair in pairs for item in (pair.query, pair.target)]
    items += [item for pair in pairs for item in pair.negatives if config.hard_negatives]
    words = [word for item in items for word in words_of(item.full_text.replace(MEDIA_TOKEN, ""))]
    known = frozenset(demo_vocabulary())
    return sum(word not in known for word in words) / max(1, len(words))


def _place(config: TrainingConfig) -> tuple[Path, Path | None]:
    images = Path(config.images) if config.images else None
    if config.data == DEMO:
        from tasks.demo.suite import DEMO_VERSION, ensure_demo

        folder = ensure_demo(cache_dir() / f"demo-{DEMO_VERSION}")
        return folder / "train", folder / "images"
    if on_hub(config.data):
        from trainers.data.hub import TrainSource

        source = TrainSource.named(config.data)
        return source.fetch(config.split, config.datasets, images=images is None), images
    return Path(config.data).expanduser(), images


def _damaged(subsets: tuple[Subset, ...], known: Mapping[Media, BadMedia]) -> dict[Media, BadMedia]:
    """Media that are there but do not open, by the same look that evaluation takes at them."""
    digests = Digests()
    found: dict[Media, BadMedia] = {}
    for medium in dict.fromkeys(medium for subset in subsets for medium in subset.media()):
        if medium not in known:
            try:
                digests.media(medium)
            except BadMedia as error:
                found[medium] = error
    digests.flush()
    return found
