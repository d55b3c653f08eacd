"""The user's turn and its token ids."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import UserError
from harness.models.llave.prompt import PromptBuilder, read_prompter, user_turn
from harness.types import MEDIA_TOKEN
from tests.helpers.llave_files import SPECIAL, VOCABULARY, write_checkpoint


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("llave") / "tiny")


@pytest.fixture
def settings(folder):
    """tokenizer_config.json, put back after the test."""
    path = folder / "tokenizer_config.json"
    before = path.read_text()
    yield path
    path.write_text(before)


@pytest.mark.parametrize(
    ("text", "media", "turn"),
    [
        (" as it is \n", 0, " as it is \n"),
        ("<image>\nkept \n", 1, "<image>\nkept \n"),
        ("<image> kept", 1, "<image> kept"),
        ("an <image>, moved ", 1, "<image>\nan , moved"),
        ("question\n<image>\n", 1, "<image>\nquestion"),
        (" no place ", 1, "<image>\nno place"),
        ("", 1, "<image>"),
        ("<image>\nnone", 0, "\nnone"),
        ("<image> one too many <image>", 1, "<image> one too many "),
        ("<image> and <image>", 2, "<image> and <image>"),
        ("only <image>", 2, "<image>\nonly <image>"),
        ("QA_GT_caption_based_noisyReal", 0, "Real"),
    ],
)
def test_turns(text, media, turn):
    assert user_turn(text.replace("<image>", MEDIA_TOKEN), media) == turn.replace("<image>", MEDIA_TOKEN)


@given(st.lists(st.sampled_from([MEDIA_TOKEN, " ", "\n", "a", "<image>"]), max_size=8), st.integers(0, 3))
def test_a_turn_has_one_place_for_each_medium_and_is_stable(parts, media):
    turn = user_turn("".join(parts), media)
    assert turn.count(MEDIA_TOKEN) == media
    assert user_turn(turn, media) == turn


def test_the_template_is_the_public_ones(folder):
    prompter = read_prompter(folder, VOCABULARY)
    before, after = prompter.encode(f"{MEDIA_TOKEN}\nWhat?").ids
    inside = prompter.tokenizer.tokenizer
    text = "".join(inside.decode(list(each), skip_special_tokens=False) for each in (before, after))
    assert text.replace("\ufdd0", "") == (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n"
        "\nWhat?<|im_end|>\n<|im_start|>assistant\n\n<|im_end|>\n"
    )


@given(limit=st.integers(1, 200), turn=st.text("ab\n", max_size=30), at=st.integers(0, 30))
def test_a_limit_cuts_the_end_with_a_medium_counted_as_one(folder, limit, turn, at):
    tokenizer = read_prompter(folder, VOCABULARY).tokenizer
    turn = turn[:at] + MEDIA_TOKEN + turn[at:]
    whole, short = PromptBuilder(tokenizer, None).encode(turn), PromptBuilder(tokenizer, limit).encode(turn)

    def flat(pieces):
        first, *rest = (piece.tolist() for piece in pieces)
        return first + [each for piece in rest for each in (None, *piece)]

    assert flat(short.ids) == flat(whole.ids)[:limit]
    assert short.cut == (len(flat(whole.ids)) > limit)
    assert not whole.cut


@pytest.mark.parametrize("token", SPECIAL)
def test_a_tokenizer_without_a_special_token_is_refused(folder, token, tmp_path):
    for path in folder.iterdir():
        if path.is_file():
            (tmp_path / path.name).write_bytes(path.read_bytes())
    tokenizer = json.loads((tmp_path / "tokenizer.json").read_text())
    tokenizer["added_tokens"] = [each for each in tokenizer["added_tokens"] if each["content"] != token]
    (tmp_path / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(UserError) as caught:
        read_prompter(tmp_path, VOCABULARY)
    assert "is not LLaVE's" in caught.value.what


def test_a_special_token_at_another_place_than_declared_is_refused(folder, settings):
    fields = json.loads(settings.read_text())
    fields["added_tokens_decoder"]["300"] = fields["added_tokens_decoder"].pop("257")
    settings.write_text(json.dumps(fields))
    with pytest.raises(UserError, match=r"<\|im_start\|> has id 257; tokenizer_config\.json says 300"):
        read_prompter(folder, VOCABULARY)


def test_a_tokenizer_larger_than_the_vocabulary_is_refused(folder):
    with pytest.raises(UserError, match="258 ids have an embedding"):
        read_prompter(folder, 258)


def test_a_folder_without_a_tokenizer_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"tokenizer_config\.json"):
        read_prompter(tmp_path, VOCABULARY)
    (tmp_path / "tokenizer_config.json").write_text("{}")
    with pytest.raises(UserError, match=r"vocab\.json and merges\.txt"):
        read_prompter(tmp_path, VOCABULARY)
