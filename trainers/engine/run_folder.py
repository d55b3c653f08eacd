"""The folder of a run: whether it may be used, and what is written there before the first step."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from harness.errors import UserError
from harness.paths import explain_os_errors, write_atomic
from trainers.config import FREE, TrainingConfig, differences, to_json
from trainers.data.training_data import TrainingData
from trainers.engine.checkpoint import STATE, checkpoints, read_record, resumable

RECIPE, SKIPPED = "recipe.json", "skipped.jsonl"


def claim(config: TrainingConfig, out: Path, *, resume: bool) -> TrainingConfig:
    """Makes the folder. The config is as given, with the commit of the data that a run in this folder saw.

    Raises UserError for a folder that has a run and is not resumed, or is one of other settings.
    """
    found = checkpoints(out)
    if found and not resume:
        raise UserError(
            f"{out} holds a run already: {found[-1].name}.", "Go on with --resume, or choose another --out."
        )
    if found and not resumable(out):
        raise UserError(
            f"{out} has {found[-1].name}, but no state to go on from: {STATE} is gone.",
            f"Begin another run, which --set start={found[-1]} gives its weights.",
        )
    if resume and (out / RECIPE).exists():
        saved = read_record(out / RECIPE)
        if str(saved["data"]).startswith(f"{config.data}@"):
            config = replace(config, data=str(saved["data"]))
        other = differences(config, saved)
        if other:
            listed = "; ".join(f"{name} was {was}, now {now}" for name, (was, now) in other.items())
            raise UserError(
                f"{out} is a run of other settings: {listed}.", "Resume with the same, or choose another --out."
            )
    with explain_os_errors(out):
        out.mkdir(parents=True, exist_ok=True)
    return config


def write_plan(config: TrainingConfig, material: TrainingData, out: Path) -> None:
    """The recipe, and the pairs that are left out, if there are any."""
    write_atomic(out / RECIPE, to_json(config))
    if material.skipped:
        lines = [{"dataset": name, "pair": line} for name, lost in material.skipped.items() for line in lost]
        write_atomic(out / SKIPPED, "".join(json.dumps(line) + "\n" for line in lines))


def deciding(config: TrainingConfig) -> dict[str, object]:
    """The settings that decide the weights, as they stand in a recipe's file."""
    return {name: value for name, value in json.loads(to_json(config)).items() if name not in FREE}


def left_out(material: TrainingData, out: Path) -> str | None:
    """What is to be said of pairs that are left out."""
    count = sum(map(len, material.skipped.values()))
    return f"{count:,} pairs are left out for bad media: {out / SKIPPED} lists them." if count else None
