"""What reads like a special token in a user's text is text, for every kind of tokenizer."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from harness.models.tokenizer import PromptTokenizer

CORPUS = [
    "a cat sat on the mat",
    "the end of the text",
    "what is in the image? <s> [SEP] im_end",
    "endoftext | s > <",
] * 3


_FIRST = pre_tokenizers.Metaspace(prepend_scheme="first")


def _fitted(tokenizer: Tokenizer, trainer: trainers.Trainer) -> Tokenizer:
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer


def _pieces(special: list[str]) -> Tokenizer:
    """As Llama 2 and Mistral: the special tokens are in the vocabulary, and the first word gets a mark."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.NFKC(), _FIRST
    return _fitted(tokenizer, trainers.BpeTrainer(vocab_size=400, show_progress=False, special_tokens=special))


def _wordpiece(special: list[str]) -> Tokenizer:
    """As BERT, with special tokens at both ends."""
    tokenizer = Tokenizer(models.WordPiece(unk_token=special[0]))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    _fitted(tokenizer, trainers.WordPieceTrainer(vocab_size=400, show_progress=False, special_tokens=special))
    ends = [(name, tokenizer.token_to_id(name)) for name in special[1:3]]
    template = f"{special[1]} $A {special[2]}"
    tokenizer.post_processor = processors.TemplateProcessing(single=template, special_tokens=ends)
    return tokenizer


def _unigram(special: list[str]) -> Tokenizer:
    """As SigLIP and T5: the special tokens are pieces like others."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = _FIRST
    trainer = trainers.UnigramTrainer(vocab_size=400, show_progress=False, special_tokens=special, unk_token=special[0])
    return _fitted(tokenizer, trainer)


def _bytes(special: list[str]) -> Tokenizer:
    """As Qwen and Llama 3: the special tokens come after the vocabulary."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        CORPUS, trainers.BpeTrainer(vocab_size=400, show_progress=False, initial_alphabet=alphabet)
    )
    tokenizer.add_special_tokens([AddedToken(each, special=True) for each in special])
    return tokenizer


def _clip(special: list[str]) -> Tokenizer:
    """As CLIP: lower case before the special tokens are found, and they are in the vocabulary."""
    tokenizer = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    trainer = trainers.BpeTrainer(
        vocab_size=400, show_progress=False, special_tokens=special[:1], end_of_word_suffix="</w>"
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.add_special_tokens([AddedToken(each, special=True, normalized=True) for each in special])
    return tokenizer


KINDS: dict[str, tuple[Callable[[list[str]], Tokenizer], list[str]]] = {
    "byte-level BPE": (_bytes, ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|image_pad|>"]),
    "BPE with ends of words": (_clip, ["<|startoftext|>", "<|endoftext|>"]),
    "BPE of pieces": (_pieces, ["<unk>", "<s>", "</s>", "<image>"]),
    "WordPiece": (_wordpiece, ["[UNK]", "[CLS]", "[SEP]", "[PAD]"]),
    "Unigram": (_unigram, ["<unk>", "</s>", "<pad>"]),
}
MADE = {kind: make(special) for kind, (make, special) in KINDS.items()}
words = st.text("abc tx|<>[]/_", max_size=6)


def _both(kind: str) -> tuple[Tokenizer, PromptTokenizer]:
    return MADE[kind], PromptTokenizer.from_fields(json.loads(MADE[kind].to_str()))


@st.composite
def _texts(draw: st.DrawFn, special: list[str]) -> str:
    """Texts of words, special tokens, their upper case, and special tokens inside of special tokens."""
    nested = st.sampled_from(special).flatmap(
        lambda one: st.sampled_from([one[:at] + one + one[at:] for at in range(len(one))])
    )
    part = words | st.sampled_from([*special, *(each.upper() for each in special)]) | nested
    return "".join(draw(st.lists(part, max_size=5)))


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_a_text_never_makes_a_special_token(kind: str, data: st.DataObject) -> None:
    plain, prompts = _both(kind)
    special = KINDS[kind][1]
    text = data.draw(_texts(special))
    unknown = {prompts.id_of(special[0])} if kind in ("WordPiece", "Unigram") else set()
    ids = prompts.encode(prompts.quoted(text))
    assert not ({prompts.id_of(each) for each in special} - unknown) & set(ids)
    around = prompts.encode(f"{special[1]}{prompts.quoted(text)}{special[1]}")
    assert [each for each in around if each == prompts.id_of(special[1])] == [prompts.id_of(special[1])] * 2
    assert {prompts.id_of(each) for each in special} == {plain.token_to_id(each) for each in special}


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_a_prompt_has_the_ids_that_the_tokenizer_gives(kind: str, data: st.DataObject) -> None:
    plain, prompts = _both(kind)
    prompt = "".join(data.draw(st.lists(words | st.sampled_from(KINDS[kind][1]), max_size=6)))
    assert prompts.encode(prompt) == plain.encode(prompt, add_special_tokens=False).ids
    assert prompts.encode_with_ends(prompt) == plain.encode(prompt).ids


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "Unigram"])
@given(data=st.data())
def test_a_text_has_the_ids_of_split_special_tokens(kind: str, data: st.DataObject) -> None:
    plain, prompts = _both(kind)
    text = data.draw(_texts(KINDS[kind][1]))
    public = PreTrainedTokenizerFast(tokenizer_object=plain)
    expected = public(text, split_special_tokens=True, add_special_tokens=False)["input_ids"]
    assert prompts.encode(prompts.quoted(text)) == expected


def test_the_characters_of_private_names_are_replaced() -> None:
    prompts = _both("byte-level BPE")[1]
    assert prompts.quoted("a\ufdd0<|im_end|>\ufdd1") == "a\ufffd<\ufdd1|im_end|>\ufffd"
    assert prompts.id_of("\ufdd0<|im_end|>") == prompts.id_of("<|im_end|>")
