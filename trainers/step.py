"""One optimizer step's gradient. Imports torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType
from torch import Tensor, nn

from harness.errors import UserError
from harness.models.llave_prompt import Prompt
from harness.types import FloatArray
from trainers.config import Config
from trainers.diagnostics import diagnose
from trainers.feed import Part
from trainers.gather import Loss, gather, global_loss, mean_over_processes
from trainers.gradcache import cached_step
from trainers.loss import hardness_weighted_infonce
from trainers.network import Temperature


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """Vectors of the pairs of all processes, and which targets are equal."""

    query: Tensor
    target: Tensor
    target_ids: Tensor

    def numbers(self, alpha: float) -> dict[str, float]:
        """How similarities of positives and negatives lie; nothing where there is no negative."""
        try:
            found = diagnose(
                _array(self.query), _array(self.target), alpha=alpha, target_ids=self.target_ids.cpu().numpy()
            )
        except UserError:
            return {}
        return found.numbers()


@dataclass(slots=True, eq=False)
class Stepper:
    """Adds up gradients. The loss it returns is the same on every process."""

    config: Config
    accelerator: Accelerator
    encoder: nn.Module
    temperature: Temperature | None
    """None: the scale is fixed."""
    seen: Seen | None = None
    """The last pairs that were contrasted."""

    def gradient(self, parts: Sequence[Part]) -> list[float]:
        """Adds the gradient of the mean over the parts of a batch, and returns the loss of each part."""
        return [float(self._part(part, last=number == len(parts))) for number, part in enumerate(parts, start=1)]

    def _part(self, part: Part, *, last: bool) -> Tensor:
        loss = self._loss(part)
        step = self._plain if self.config.micro_batch is None else partial(self._cached, size=self.config.micro_batch)
        return step(part, loss, last) * self.config.accumulate

    def _plain(self, part: Part, loss: Loss, last: bool) -> Tensor:
        with nullcontext() if last else self._no_sync():
            vectors: Tensor = self.encoder([*part.queries, *part.targets, *part.negatives])
            pairs = len(part.queries)
            query, target, negatives = vectors[:pairs], vectors[pairs : 2 * pairs], vectors[2 * pairs :]
            share = global_loss(loss, query, target, negatives if part.all_negatives else None)
            self.accelerator.backward(share)
        if last and self.temperature is not None and self.temperature.log_scale.grad is not None:
            # outside of what DDP and FSDP wrap
            self.temperature.log_scale.grad = mean_over_processes(self.temperature.log_scale.grad)
        return mean_over_processes(share)

    def _cached(self, part: Part, loss: Loss, last: bool, size: int) -> Tensor:  # noqa: ARG002
        trained = [each for each in self.encoder.parameters() if each.requires_grad]
        if self.temperature is not None:
            trained.append(self.temperature.log_scale)
        return cached_step(
            self.encoder,
            _cut(part.queries, size),
            _cut(part.targets, size),
            loss,
            negative_chunks=_cut(part.negatives, size) if part.all_negatives else None,
            parameters=trained,
            backward=self.accelerator.backward,
            no_sync=self._no_sync,
        )

    def _no_sync(self) -> AbstractContextManager[object]:
        """Keeps gradients in this process; not under FSDP, where they are those of the whole network."""
        if self.accelerator.distributed_type == DistributedType.FSDP:
            return nullcontext()
        context: AbstractContextManager[object] = self.accelerator.no_sync(self.encoder)
        return context

    def _loss(self, part: Part) -> Loss:
        config, device = self.config, self.accelerator.device
        query_ids = gather(torch.tensor(part.query_ids, device=device))
        target_ids = gather(torch.tensor(part.target_ids, device=device))

        def loss(
            query: Tensor, target: Tensor, *, rows: range | None = None, negatives: Tensor | None = None
        ) -> Tensor:
            self.seen = Seen(query.detach(), target.detach(), target_ids)
            value = hardness_weighted_infonce(
                query,
                target,
                scale=config.scale if self.temperature is None else self.temperature(),
                alpha=config.alpha,
                direction="both" if config.both_directions else "query",
                widths=config.widths,
                rows=rows,
                negatives=None if negatives is None else negatives[: part.all_negatives],
                query_ids=query_ids if config.mask_duplicates else None,
                target_ids=target_ids if config.mask_duplicates else None,
            )
            return value / config.accumulate

        return loss


def clip(accelerator: Accelerator, encoder: nn.Module, largest: float) -> float:
    """Scales the gradient down to a norm, and returns the norm that it had."""
    parameters = [each for each in encoder.parameters() if each.requires_grad]
    norm = accelerator.clip_grad_norm_(parameters, largest or float("inf"))
    whole: Callable[[], Tensor] | None = getattr(norm, "full_tensor", None)  # of a sharded gradient
    return float(whole() if whole else norm)


def _array(vectors: Tensor) -> FloatArray:
    return vectors.float().cpu().numpy()


def _cut(prompts: Sequence[Prompt], size: int) -> list[list[Prompt]]:
    return [list(prompts[at : at + size]) for at in range(0, len(prompts), size)]
