"""What a run would take, against what is measured."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.helpers import llave_files
from tests.helpers.training_files import config, write_place
from trainers.config import TrainingConfig
from trainers.data.loader import BatchLoader, PreparedItems
from trainers.data.training_data import load_training_data
from trainers.engine import network as training_network
from trainers.engine.network import ready
from trainers.engine.start import open_start
from trainers.estimate import _GROUPS, estimate

one_thread = pytest.fixture(autouse=True, scope="module")(llave_files.one_thread)
ROOT = Path(__file__).resolve().parents[2]

_PEAKS = """
import re, sys
from pathlib import Path
from tests.helpers.training_files import run
for pairs in (8, 24, 120):
    Path("/proc/self/clear_refs").write_text("5")  # the peak is to be that of this run
    run(Path(sys.argv[1]), f"peak-{pairs}", f"batch={pairs}", "max_steps=1", "cache_mb=0")
    print(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_place(tmp_path_factory.mktemp("estimate"), 60)


def kept_for_the_gradient(made: TrainingConfig, folder: Path) -> int:
    """Bytes of all that autograd keeps of one plain batch, the weights and casts of them apart."""
    data, embedder = load_training_data(made), open_start(made, folder).load()
    encoder, network = ready(embedder, made), embedder.network
    loader = BatchLoader(data.plan, data.subsets, PreparedItems(embedder, 0), 0, 1, made.hard_negatives, 1)
    ((part,),) = loader.steps(0, 1)
    kept: dict[int, torch.Tensor] = {}
    shapes = {shape for each in network.parameters() for shape in (each.shape, each.shape[::-1])}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.shape not in shapes:
            kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    half = torch.autocast("cpu", torch.bfloat16, enabled=made.precision == "bf16")
    with half, torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        encoder(part.items)
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values())


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("negatives", ["true", "false"])
def test_activations_are_what_autograd_keeps(place: Path, tmp_path: Path, precision: str, negatives: str):
    """Of all, of all but the tower and the projector, and so of these alone."""
    kept, estimated = [], []
    for frozen in ("", "vision,projector"):
        settings = (f"precision={precision}", f"frozen={frozen}", f"hard_negatives={negatives}", "batch=60")
        made = config(place, *settings)
        kept.append(kept_for_the_gradient(made, tmp_path / "start"))
        estimated.append(estimate(made, 1).activation_bytes)
    assert estimated == pytest.approx(kept, rel=0.25)
    assert estimated[0] - estimated[1] == pytest.approx(kept[0] - kept[1], rel=0.25)


def test_micro_batches_checkpoints_and_processes_make_activations_fewer(place: Path):
    def activations(*settings: str, processes: int = 1) -> int:
        return estimate(config(place, "batch=24", *settings), processes).activation_bytes

    whole = activations()
    assert activations("hard_negatives=true") > whole > activations("gradient_checkpointing=true")
    assert activations(processes=2) == pytest.approx(whole / 2, rel=1e-6)
    assert activations("gradient_accumulation_steps=2") == pytest.approx(whole / 2, rel=1e-6)
    assert activations("micro_batch=12") == pytest.approx(2 * activations("micro_batch=6"), rel=1e-6)
    assert activations("micro_batch=12") < whole / 2 * 1.5
    assert training_network.GROUPS == _GROUPS


@pytest.mark.slow
def test_the_peak_of_a_step_grows_with_the_batch_as_estimated(place: Path):
    """Within a factor of 1.5, of memory that the allocator hands back as soon as it can."""
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("Linux alone tells the peak of a part of a process's life")
    at_once = {f"MALLOC_{name}_THRESHOLD_": "65536" for name in ("MMAP", "TRIM")}
    environment = {**os.environ, **at_once, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", _PEAKS, str(place)]
    done = subprocess.run(command, env=environment, capture_output=True, check=True, text=True)
    _, small, large = (1024 * int(line) for line in done.stdout.split())
    few, many = (estimate(config(place, f"batch={pairs}"), 1).activation_bytes for pairs in (24, 120))
    assert (many - few) / 1.5 < large - small < (many - few) * 1.5
