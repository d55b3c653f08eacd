"""The same weights as transformers' own classes run them: processor and model, in batches in the order of arrival."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import torch
import transformers
from PIL import Image
from torch import Tensor
from torch.nn.functional import normalize

from harness.models.dual.embedder import DualEmbedder
from harness.models.vlm.embedder import VlmEmbedder
from harness.models.vlm.family import Turn
from harness.models.vlm.resize import fit
from harness.types import Item, Media


class Baseline(Protocol):
    """Another way to embed with the same weights."""

    def embed(self, items: Sequence[Item]) -> Tensor:
        """Returns unit vectors `(n, width)` in fp32."""


class AsTransformersDual:
    """CLIP or SigLIP 2 in batches of 32. Each tower runs once for a batch."""

    def __init__(self, embedder: DualEmbedder, folder: Path, batch: int = 32) -> None:
        self._network, self._batch = embedder.network, batch
        self._tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        self._processor = embedder._image_processor
        text = self._network.config.text_config
        siglip = self._network.config.model_type != "clip"
        self._padding = {"padding": "max_length" if siglip else True, "max_length": text.max_position_embeddings}

    def embed(self, items: Sequence[Item]) -> Tensor:
        """Returns unit vectors `(n, width)` in fp32."""
        return torch.cat([self._forward(part) for part in _parts(items, self._batch)])

    def _forward(self, items: Sequence[Item]) -> Tensor:
        device, dtype = self._network.device, self._network.dtype
        found: dict[int, Tensor] = {}
        if texts := [at for at, item in enumerate(items) if not item.media]:
            given = self._tokenizer(
                [items[at].text for at in texts], truncation=True, return_tensors="pt", **self._padding
            )
            names = ("input_ids",) if self._padding["padding"] == "max_length" else ("input_ids", "attention_mask")
            vectors = self._network.get_text_features(**{name: given[name].to(device) for name in names}).pooler_output
            found |= zip(texts, vectors, strict=True)
        if seen := [at for at, item in enumerate(items) if item.media]:
            images = [_opened(items[at].media[0]) for at in seen]
            pixels = self._processor(images, return_tensors="pt")["pixel_values"].to(device, dtype)
            found |= zip(seen, self._network.get_image_features(pixel_values=pixels).pooler_output, strict=True)
        return normalize(torch.stack([found[at] for at in range(len(items))]).float(), dim=-1).cpu()


class AsTransformersChat:
    """Qwen2-VL or Qwen3-VL in batches of 8, padded to the longest, with a mask, and without the LM head."""

    def __init__(self, embedder: VlmEmbedder, folder: Path, batch: int = 8) -> None:
        self._network, self._batch, self._recipe = embedder.network, batch, embedder._recipe
        self._tokenizer = transformers.AutoTokenizer.from_pretrained(folder, padding_side="right")
        self._processor = embedder._image_processor

    def embed(self, items: Sequence[Item]) -> Tensor:
        """Returns unit vectors `(n, width)` in fp32."""
        return torch.cat([self._forward(part) for part in _parts(items, self._batch)])

    def _forward(self, items: Sequence[Item]) -> Tensor:
        network, recipe = self._network, self._recipe
        prompts = [
            recipe.prompt(Turn(item.instruction, item.text, "query", tuple(medium.kind for medium in item.media)))
            for item in items
        ]
        inputs: dict[str, Tensor] = {}
        if images := [self._sized(_opened(medium)) for item in items for medium in item.media]:
            least, most = recipe.pixel_limits or (0, 0)
            seen = self._processor(
                images=images, size={"shortest_edge": least, "longest_edge": most}, return_tensors="pt"
            )
            tokens = iter((seen["image_grid_thw"].prod(1) // self._processor.merge_size**2).tolist())
            prompts = [self._with_places(prompt, tokens) for prompt in prompts]
            inputs |= {"pixel_values": seen["pixel_values"].to(network.dtype), "image_grid_thw": seen["image_grid_thw"]}
        text = self._tokenizer(prompts, padding=True, return_tensors="pt")
        ids, mask = text["input_ids"], text["attention_mask"]
        kinds = (ids == network.config.image_token_id).int()
        inputs |= {"input_ids": ids, "attention_mask": mask, "mm_token_type_ids": kinds}
        moved = {name: each.to(network.device) for name, each in inputs.items()}
        states = network(**moved, use_cache=False).last_hidden_state
        return normalize(states[torch.arange(len(items)), mask.sum(1) - 1].float(), dim=-1).cpu()

    def _sized(self, image: Image.Image) -> Image.Image:
        limits = self._recipe.fit_limits
        return image if limits is None else fit(image, limits, self._recipe.family.size_multiple)

    def _with_places(self, prompt: str, tokens: Iterator[int]) -> str:
        token = self._recipe.family.image_token
        first, *rest = prompt.split(token)
        return first + "".join(token * next(tokens) + part for part in rest)


class AsSentenceTransformers:
    """`encode` of sentence-transformers with its own settings, which sorts inputs by their length."""

    def __init__(self, folder: Path, device: str, batch: int = 32) -> None:
        from sentence_transformers import SentenceTransformer

        self._model, self._batch = SentenceTransformer(str(folder), device=device), batch

    def embed(self, items: Sequence[Item]) -> Tensor:
        """Returns unit vectors `(n, width)` in fp32."""
        images = {at: _opened(item.media[0]) for at, item in enumerate(items) if item.media}
        texts = {at: item.text for at, item in enumerate(items) if not item.media}
        found: dict[int, Tensor] = {}
        for inputs in (texts, images):  # the library encodes one modality for each call
            if inputs:
                found |= zip(inputs, self._encode(list(inputs.values())), strict=True)
        return torch.stack([found[at] for at in range(len(items))])

    def _encode(self, inputs: Sequence[str | Image.Image]) -> Tensor:
        vectors = self._model.encode(
            inputs, batch_size=self._batch, convert_to_tensor=True, normalize_embeddings=True, show_progress_bar=False
        )
        return vectors.float().cpu()


def _parts(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    yield from (items[at : at + size] for at in range(0, len(items), size))


def _opened(medium: Media) -> Image.Image:
    with Image.open(medium.root / medium.name) as image:
        return image.convert("RGB")
