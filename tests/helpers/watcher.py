"""A module of sentence-transformers that sees videos: the colours and numbers of frames. A model's folder has it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from sentence_transformers.base.modality import InputFormatter
from sentence_transformers.base.modules import InputModule

CONFIG = "watcher_config.json"
WIDTH = 12


class Watcher(InputModule):
    """Texts, images and videos, alone or together; a message has its parts weighed by their places."""

    config_keys: ClassVar = ["modality_config"]
    config_file_name = CONFIG
    tokenizer = None

    def __init__(self, modality_config):
        super().__init__()
        self.modality_config = modality_config
        self.scale = torch.nn.Parameter(torch.ones(1))

    @property
    def modalities(self):
        return [tuple(name.split("+")) if "+" in name else name for name in self.modality_config]

    def preprocess(self, inputs, prompt=None, processing_kwargs=None, **_):
        formatter = InputFormatter("watcher", supported_modalities=self.modalities)
        modality, found, extra = formatter.parse_inputs(inputs)
        if isinstance(modality, tuple) and "message" in self.modalities:
            modality, found = formatter.batch_to_message(modality, found)
        chosen = (processing_kwargs or {}).get("video", {}).get("do_sample_frames", True)
        metadata = list(extra["video"].get("video_metadata", []))
        kinds = modality if isinstance(modality, tuple) else (modality,)
        rows = []
        for number in range(len(inputs)):
            if modality == "message":
                content = found["message"][number][0]["content"]
                parts = [(each["type"], each[each["type"]]) for each in content]
            else:
                parts = [(kind, found[kind][number]) for kind in kinds]
            seen = [self._see(kind, value, prompt, chosen, metadata) for kind, value in parts]
            rows.append(sum(row * (place + 1) for place, row in enumerate(seen)))
        return {"rows": torch.tensor(np.array(rows), dtype=torch.float32)}

    def _see(self, kind, value, prompt, chosen, metadata):
        row = np.zeros(WIDTH)
        if kind == "text":
            words = ((prompt or "") + value).encode()
            row[0] = len(words)
            row[1] = sum(at * each for at, each in enumerate(words, 1)) % 97
        elif kind == "image":
            row[2:5] = np.asarray(value, dtype=float).mean(axis=(0, 1)) / 255
        else:
            value = value[0] if isinstance(value, list) and isinstance(value[0], list) else value
            frames, numbers = (self._read(value), [-1]) if isinstance(value, str) else (value, [])
            if not isinstance(value, str) and metadata:
                numbers = metadata.pop(0)["frames_indices"]
            pixels = np.stack([np.asarray(each, dtype=float) for each in frames])
            pixels = pixels.transpose(0, 2, 3, 1) if pixels.shape[1] == 3 else pixels
            row[5:8] = pixels.mean(axis=(0, 1, 2)) / 255
            row[8:12] = len(frames), sum(numbers), chosen, pixels[-1].mean() / 255
        return row

    def _read(self, path):
        """Every fifth frame, read by the library."""
        from transformers.video_utils import load_video

        return load_video(path, backend="pyav")[0][::5]

    def forward(self, features, **_):
        return {**features, "sentence_embedding": features["rows"] * self.scale}

    def save(self, output_path, *_, **__):
        self.save_config(output_path)

    @classmethod
    def load(cls, model_name_or_path, subfolder="", **_):
        return cls(**json.loads((Path(model_name_or_path) / subfolder / CONFIG).read_text()))


def write_watcher(folder: Path, *modalities: str) -> Path:
    """Writes a model that is this module, and takes what is named; `image+text` is both in one input."""
    folder.mkdir(parents=True)
    (folder / "watcher.py").write_bytes(Path(__file__).read_bytes())
    modules = [{"idx": 0, "name": "0", "path": "", "type": "watcher.Watcher"}]
    (folder / "modules.json").write_text(json.dumps(modules))
    method = {"method": "forward", "method_output_name": None}
    (folder / CONFIG).write_text(json.dumps({"modality_config": dict.fromkeys(modalities, method)}))
    settings = {"model_type": "SentenceTransformer", "prompts": {"query": "ask: ", "document": "tell: "}}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(settings))
    return folder
