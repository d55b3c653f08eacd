"""The data of a training run: finds it, checks it, and plans the batches. No network is loaded for this."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import numpy as np

from harness.errors import UserError, counted
from harness.files.paths import cache_dir
from harness.files.reading import is_json_lines
from harness.results.numbers import percent
from harness.types import MEDIA_TOKEN
from tasks.demo.wordings import WORDINGS, train_file
from trainers.config import SCRATCH, TrainingConfig
from trainers.data.bad_media import check_media, damaged_media, refuse_bad, without_bad
from trainers.data.mmeb_train import RowChoice, Subset, load_subsets
from trainers.data.pairs import Pair, digest_of
from trainers.data.sampler import BatchPlan

DEMO = "demo"
_SAMPLE = 1000


@dataclass(frozen=True, slots=True, eq=False)
class TrainingData:
    """Datasets and the plan of their batches."""

    subsets: tuple[Subset, ...]
    plan: BatchPlan
    steps: int
    """Number of optimizer steps."""
    skipped: Mapping[str, tuple[str, ...]]
    """A line for each pair that is left out because of bad media, by dataset: where it is, and why."""

    def digest(self) -> str:
        """A digest of all pairs that are trained on, in their order."""
        return digest_of(chain.from_iterable((each.name, each.digest()) for each in self.subsets))

    def sample(self) -> list[Pair]:
        """A thousand pairs at equal distances over all datasets, or all pairs if there are fewer."""
        starts = np.cumsum([0, *map(len, self.subsets)])
        chosen = np.linspace(0, starts[-1] - 1, min(_SAMPLE, starts[-1])).astype(int)
        numbers = np.searchsorted(starts, chosen, side="right") - 1
        return [self.subsets[n].pair(int(at - starts[n])) for n, at in zip(numbers, chosen, strict=True)]


def load_training_data(config: TrainingConfig) -> TrainingData:
    """Finds, reads and checks the data of a run, and plans its batches.

    Raises UserError for everything that is wrong with the data and can be known before training.
    """
    data, images = _locate(config)
    choice = RowChoice(
        config.split, config.datasets, config.max_rows_per_dataset, config.sample == "random", config.seed
    )
    subsets = load_subsets(data, images, choice, _roots(config))
    skipped: dict[str, tuple[str, ...]] = {}
    bad = check_media(subsets, config.workers)
    if config.on_bad_media == "stop":
        refuse_bad(bad)
    else:
        bad = {**bad, **damaged_media(subsets, bad)}
        if bad:
            kept = [without_bad(subset, bad) for subset in subsets]
            skipped = {subset.name: lost for subset, lost in kept if lost}
            subsets = tuple(subset for subset, _ in kept)
    groups = [_groups(subset) for subset in subsets] if config.batches == "similar" else []
    plan = plan_batches({subset.name: len(subset) for subset in subsets}, config, groups)
    return TrainingData(subsets, plan, config.max_steps or plan.steps(config.num_train_epochs), skipped)


def _groups(subset: Subset) -> list[int]:
    """The group of each pair. Raises UserError for a pair without one."""
    groups = [subset.pair(row).group for row in range(len(subset))]
    if None in groups:
        what = f"{subset.where(groups.index(None))} has no group, and batches is similar."
        raise UserError(what, "Make a file with groups: llave mine MODEL --data PAIRS -o MINED.jsonl")
    return [each for each in groups if each is not None]


def plan_batches(sizes: Mapping[str, int], config: TrainingConfig, groups: Sequence[Sequence[int]] = ()) -> BatchPlan:
    """The batches of a run over datasets with these numbers of pairs. Raises UserError as `BatchPlan.over` does."""
    return BatchPlan.over(
        sizes,
        config.weights,
        batch=config.batch,
        parts=config.gradient_accumulation_steps,
        mode=config.batches,
        seed=config.seed,
        groups=groups,
    )


def on_hub(data: str) -> bool:
    """Whether `data` has the form of a name on the hub, and is no local folder or file."""
    named = data.count("/") == 1 and not data.startswith((".", "/", "~")) and not is_json_lines(Path(data))
    return named and not Path(data).exists()


def pinned(config: TrainingConfig) -> TrainingConfig:
    """The config with the commit of data on the hub. So a run resumed on another machine sees the same data."""
    if not on_hub(config.data):
        return config
    from trainers.data.hub import TrainSource

    source = TrainSource.named(config.data)
    return replace(config, data=f"{source.repo}@{source.dataset.commit()}")


def check_shares(config: TrainingConfig, processes: int) -> None:
    """Raises UserError unless a part of the batch can be divided over processes, and a share into micro-batches."""
    share, rest = divmod(config.contrasted, processes)
    if rest:
        raise UserError(
            f"{counted(config.contrasted, 'pair')} (batch {config.batch} in "
            f"{config.gradient_accumulation_steps} parts) cannot be divided evenly over {processes} processes.",
            "Change batch with --set batch=.",
        )
    if config.micro_batch is not None and share % config.micro_batch:
        raise UserError(
            f"The {counted(share, 'pair')} of a process cannot be cut into micro-batches of {config.micro_batch}.",
            f"Choose a divisor of {share} with --set micro_batch=.",
        )


def check_matryoshka(config: TrainingConfig, width: int) -> None:
    """Raises UserError if `matryoshka_dims` asks for more than the `width` dimensions of the network's vectors."""
    if any(each > width for each in config.matryoshka_dims):
        raise UserError(
            f"Vectors of {config.model} have {width} dimensions; matryoshka_dims has {max(config.matryoshka_dims)}.",
            f"Choose from 1 to {width} with --set matryoshka_dims=.",
        )


def remarks(config: TrainingConfig, data: TrainingData) -> tuple[str, ...]:
    """What a person should know about the data before training begins, a line each."""
    found = []
    given = sum(int(subset.has_negatives().sum()) for subset in data.subsets)
    if given and not config.hard_negatives:
        found.append(
            f"{counted(given, 'pair')} with negatives, which are not used. To use them: --set hard_negatives=true"
        )
    if config.model == SCRATCH and (unknown := _unknown_words(config, data)):
        found.append(
            f"{percent(unknown)} % of the words of the data are not in the demo's vocabulary, and model=scratch has no "
            "other words. To train a checkpoint: --set model=CHECKPOINT"
        )
    return tuple(found)


def _unknown_words(config: TrainingConfig, data: TrainingData) -> float:
    """The share of words in a sample of the pairs that the vocabulary of `model=scratch` does not have."""
    from tasks.demo.datasets import words_of
    from tasks.demo.suite import demo_vocabulary

    pairs = data.sample()
    items = [item for pair in pairs for item in (pair.query, pair.target)]
    items += [item for pair in pairs for item in pair.negatives if config.hard_negatives]
    words = [word for item in items for word in words_of(item.full_text.replace(MEDIA_TOKEN, ""))]
    known = frozenset(demo_vocabulary())
    return sum(word not in known for word in words) / max(1, len(words))


def _roots(config: TrainingConfig) -> tuple[Path, ...]:
    """The folders that links in the data may lead into. For data of the hub, its cache is one of them."""
    allowed = tuple(map(Path, config.allow_roots))
    if not on_hub(config.data):
        return allowed
    from huggingface_hub.constants import HF_HUB_CACHE

    return (*allowed, Path(HF_HUB_CACHE))


def _locate(config: TrainingConfig) -> tuple[Path, Path | None]:
    """The data's folder or file, and the folder of images if one is given. Data on the hub is fetched."""
    images = Path(config.images) if config.images else None
    if config.data == DEMO:
        from tasks.demo.suite import DEMO_VERSION, ensure_demo

        folder = ensure_demo(cache_dir() / f"demo-{DEMO_VERSION}")
        return folder / "train", folder / "images"
    if config.data == WORDINGS:
        return train_file(), images
    if on_hub(config.data):
        from trainers.data.hub import TrainSource

        source = TrainSource.named(config.data)
        return source.fetch(config.split, config.datasets, images=images is None), images
    return Path(config.data).expanduser(), images
