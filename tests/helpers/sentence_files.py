"""Small random models for sentence-transformers and mteb, pictures for them, and functions that run them."""

from __future__ import annotations

import json
import shutil
import socket
from pathlib import Path

import numpy as np
from PIL import Image

from harness.models.libraries.sentence_transformers import ROWS
from harness.types import Media, ModelSettings

COMMIT = "0123456789abcdef0123456789abcdef01234567"
SPECIAL = ("<pad>", "<bos>", "<eos>", "<unk>", "<image>")
WORDS = (*SPECIAL, *"a red blue green cube ball on the left right of http x invalid png : S U".split())  # noqa: SIM905
TOWER = {"hidden_size": 32, "intermediate_size": 37, "num_hidden_layers": 2, "num_attention_heads": 4}
CHAT = (
    "{% for m in messages %}{{ 'S' if m['role'] == 'system' else 'U' }} : {% for c in m['content'] %}"
    "{% if c['type'] == 'image' %} <image> {% else %} {{ c['text'] }} {% endif %}{% endfor %}{% endfor %}"
)


def refuse_connections(monkeypatch) -> None:
    """Makes every connection to the network an error, also for an address in a text."""

    def refuse(*_, **__):
        raise AssertionError("a connection was tried")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def opened(folder, **settings):
    return ROWS[0].open(f"sentence-transformers/{folder}", ModelSettings(**{"device": "cpu", **settings}))


def embed(model, items, role="query"):
    return model.embed([model.prepare(item, role) for item in items]).numpy()


def copied(source: Path, target: Path, **config) -> Path:
    """A copy of a model with its sentence-transformers settings changed."""
    shutil.copytree(source, target)
    file = target / "config_sentence_transformers.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **config}))
    return target


def write_pictures(root: Path) -> list[Media]:
    for number in range(4):
        pixels = np.random.default_rng(number).integers(0, 256, (30 + number, 50, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / f"{number}.png")
    return [Media("image", f"{number}.png", root) for number in range(4)]


def opened_pictures(media: list[Media]) -> list[Image.Image]:
    return [Image.open(each.root / each.name).convert("RGB") for each in media]


def write_clip(folder: Path) -> Path:
    """Writes a CLIP without files of sentence-transformers."""
    import torch
    from transformers import CLIPConfig, CLIPModel, CLIPProcessor

    ids = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    config = CLIPConfig(
        text_config={**TOWER, **ids, "vocab_size": len(WORDS), "max_position_embeddings": 16},
        vision_config={**TOWER, "image_size": 32, "patch_size": 8},
        projection_dim=24,
    )
    torch.manual_seed(0)
    CLIPModel(config).save_pretrained(folder)
    CLIPProcessor(image_processor=_image_processor(), tokenizer=_reader(16)).save_pretrained(folder)
    return folder


def write_llava(folder: Path) -> Path:
    """Writes a LLaVA with a chat template, as sentence-transformers does. Its prompts are system messages."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
    from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration, LlavaProcessor

    config = LlavaConfig(
        vision_config=CLIPVisionConfig(**TOWER, image_size=32, patch_size=16, projection_dim=32),
        text_config=LlamaConfig(**TOWER, num_key_value_heads=2, vocab_size=len(WORDS), pad_token_id=0),
        image_token_id=WORDS.index("<image>"),
        vision_feature_layer=-1,
        image_seq_length=4,
    )
    torch.manual_seed(0)
    LlavaForConditionalGeneration(config).save_pretrained(folder / "bare")
    processor = LlavaProcessor(
        image_processor=_image_processor(),
        tokenizer=_reader(40, additional_special_tokens=["<image>"], padding_side="left"),
        patch_size=16,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=CHAT,
    )
    processor.save_pretrained(folder / "bare")
    network = Transformer(str(folder / "bare"))
    pooling = Pooling(network.get_embedding_dimension(), pooling_mode="lasttoken")
    prompts = {"query": "left", "document": "right"}
    whole = SentenceTransformer(modules=[network, pooling, Normalize()], prompts=prompts, device="cpu")
    whole.save(str(folder / "whole"))
    return folder / "whole"


def write_cross_encoder(folder: Path, labels: int = 1) -> Path:
    """Writes a random BERT that scores pairs of texts of `WORDS`."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(1)
    config = BertConfig(**TOWER, vocab_size=len(WORDS), max_position_embeddings=32, num_labels=labels)
    BertForSequenceClassification(config).save_pretrained(folder)
    _reader(24).save_pretrained(folder)
    return folder


def write_colbert(folder: Path) -> Path:
    """Writes a random BERT with a vector for every token. It has prompts, and a word that does not count."""
    import torch
    from sentence_transformers import MultiVectorEncoder
    from sentence_transformers.base.modules import Transformer
    from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask
    from transformers import BertConfig, BertModel

    torch.manual_seed(2)
    config = BertConfig(**TOWER, vocab_size=len(WORDS), max_position_embeddings=32)
    BertModel(config, add_pooling_layer=False).save_pretrained(folder / "bare")
    _reader(24).save_pretrained(folder / "bare")
    modules = [Transformer(str(folder / "bare")), MultiVectorMask(skiplist_words=["the"])]
    prompts = {"query": "left ", "document": "right "}
    MultiVectorEncoder(modules=modules, prompts=prompts, device="cpu").save(str(folder / "whole"))
    return folder / "whole"


def write_stanford(folder: Path) -> Path:
    """Writes a random ColBERT as its authors' code does: one file of weights, and lengths in `artifact.metadata`."""
    import torch
    from safetensors.torch import save_file
    from transformers import BertConfig, BertModel

    torch.manual_seed(5)
    config = BertConfig(**TOWER, vocab_size=len(WORDS), max_position_embeddings=40)
    _reader(24).save_pretrained(folder)
    weights = {f"bert.{name}": each.contiguous() for name, each in BertModel(config).state_dict().items()}
    save_file({**weights, "linear.weight": torch.randn(8, 32)}, folder / "model.safetensors", {"format": "pt"})
    (folder / "config.json").write_text(json.dumps({**config.to_dict(), "architectures": ["HF_ColBERT"]}))
    marks = {"query_token_id": "[unused0]", "doc_token_id": "[unused1]", "mask_punctuation": True}
    lengths = {"query_maxlen": 8, "doc_maxlen": 16, "dim": 8, "attend_to_mask_tokens": False}
    (folder / "artifact.metadata").write_text(json.dumps({**marks, **lengths}))
    return folder


def write_pylate(folder: Path) -> Path:
    """Writes a random ColBERT as PyLate 3 does: two modules, and all settings of the library in one file."""
    import torch
    from safetensors.torch import save_file
    from transformers import BertConfig, BertModel

    torch.manual_seed(6)
    config = BertConfig(**TOWER, vocab_size=len(WORDS), max_position_embeddings=40)
    BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    _reader(24).save_pretrained(folder)
    (folder / "1_Dense").mkdir()
    save_file({"linear.weight": torch.randn(8, 32)}, folder / "1_Dense/model.safetensors")
    activation = "torch.nn.modules.linear.Identity"
    files = {
        "1_Dense/config.json": {
            "in_features": 32,
            "out_features": 8,
            "bias": False,
            "activation_function": activation,
        },
        "modules.json": [
            {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
            {"idx": 1, "name": "1", "path": "1_Dense", "type": "pylate.models.Dense.Dense"},
        ],
        "sentence_bert_config.json": {"max_seq_length": 23, "do_lower_case": False},
        "config_sentence_transformers.json": {
            "model_type": "ColBERT",
            "similarity_fn_name": "MaxSim",
            "query_prefix": "S ",
            "document_prefix": "U ",
            "query_length": 12,
            "document_length": 16,
            "skiplist_words": ["the"],
        },
    }
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content))
    return folder


def write_colpali(folder: Path) -> Path:
    """Writes a random ColPali as transformers does, without files of sentence-transformers."""
    import torch
    from transformers import ColPaliConfig, ColPaliForRetrieval, ColPaliProcessor, PaliGemmaConfig
    from transformers import SiglipImageProcessorPil as Pictures

    vlm = PaliGemmaConfig(
        vision_config={"model_type": "siglip_vision_model", **TOWER, "image_size": 32, "patch_size": 16},
        text_config={
            "model_type": "gemma",
            **TOWER,
            "num_key_value_heads": 2,
            "head_dim": 8,
            "vocab_size": len(WORDS) + 1152,  # the processor adds 1,024 places and 128 segments
            "pad_token_id": 0,
        },
        projection_dim=32,
        image_token_id=WORDS.index("<image>"),
    )
    torch.manual_seed(3)
    ColPaliForRetrieval(ColPaliConfig(vlm_config=vlm, embedding_dim=16)).save_pretrained(folder)
    pictures = Pictures(size={"height": 32, "width": 32})
    pictures.image_seq_length = 4
    reader = _reader(40, additional_special_tokens=["<image>"])
    ColPaliProcessor(image_processor=pictures, tokenizer=reader).save_pretrained(folder)
    return folder


def write_colqwen(folder: Path) -> Path:
    """Writes a random ColQwen2 as transformers does, without files of sentence-transformers."""
    import torch
    from transformers import ColQwen2Config, ColQwen2ForRetrieval, ColQwen2Processor, Qwen2VLConfig
    from transformers import Qwen2VLImageProcessorPil as Pictures

    marks = ["<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>"]
    reader = _reader(80, additional_special_tokens=marks)
    ids = dict(zip(marks, reader.convert_tokens_to_ids(marks), strict=True))
    vlm = Qwen2VLConfig(
        text_config={
            **TOWER,
            "num_key_value_heads": 2,
            "vocab_size": len(WORDS) + len(marks),
            "pad_token_id": 0,
            "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [1, 1, 2]},
        },
        vision_config={"embed_dim": 32, "hidden_size": 32, "depth": 2, "num_heads": 4, "mlp_ratio": 2},
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
    )
    torch.manual_seed(4)
    ColQwen2ForRetrieval(ColQwen2Config(vlm_config=vlm, embedding_dim=16)).save_pretrained(folder)
    pictures = Pictures(size={"shortest_edge": 28 * 28, "longest_edge": 4 * 28 * 28})
    ColQwen2Processor(image_processor=pictures, tokenizer=reader).save_pretrained(folder)
    return folder


def _image_processor():
    from transformers import CLIPImageProcessorPil

    return CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})


def _reader(limit: int, **settings):
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.WordLevel({word: at for at, word in enumerate(WORDS)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    around = [("<bos>", 1), ("<eos>", 2)]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A <eos>", pair="<bos> $A <eos> $B:1 <eos>:1", special_tokens=around
    )
    special = {f"{name}_token": f"<{name}>" for name in ("bos", "eos", "pad", "unk")}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=limit, **special, **settings)
