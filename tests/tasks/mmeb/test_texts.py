"""Image tokens and instructions in texts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.types import MEDIA_TOKEN
from tasks.mmeb.datasets import ROWS
from tasks.mmeb.texts import place, splitter

plain = st.text().filter(lambda text: "<|" not in text)
TEMPLATES = sorted({each for row in ROWS for each in (row.query_instruction, row.target_instruction) if each})


@given(plain, st.booleans())
def test_a_text_without_a_token_stays_as_it_is(text: str, has_image: bool) -> None:
    assert place(text, has_image) == (text, "media_without_token" if has_image else "")


@given(plain, plain)
def test_with_an_image_the_token_is_replaced_and_nothing_else(before: str, after: str) -> None:
    assert place(f"{before}<|image_1|>{after}", True) == (before + MEDIA_TOKEN + after, "")


@given(plain, st.sampled_from(["", " ", "\n"]), plain.filter(lambda text: text[:1] not in (" ", "\n")))
def test_without_an_image_the_token_goes_with_one_space_or_newline(before: str, gap: str, after: str) -> None:
    assert place(f"{before}<|image_1|>{gap}{after}", False) == (before + after, "tokens_without_media")


def test_only_one_space_or_newline_goes() -> None:
    assert place("<|image_1|>\n\n  x \n", False).text == "\n  x \n"


@pytest.mark.parametrize("has_image", [True, False])
@pytest.mark.parametrize(
    "text", ["a <|image_2|>", "<|image_1|><|image_1|>", "<|image_1|> <|image_2|>", f"{MEDIA_TOKEN} a"]
)
def test_tokens_that_no_row_should_hold_are_refused(text: str, has_image: bool) -> None:
    with pytest.raises(ValueError, match="the text holds"):
        place(text, has_image)


@given(st.sampled_from([None, *TEMPLATES]), st.text())
def test_an_instruction_is_a_leading_part_of_any_text(template: str | None, text: str) -> None:
    assert text.startswith(splitter(template)(text))


@given(st.sampled_from([each for each in TEMPLATES if "{" in each]), st.sampled_from(["", f"{MEDIA_TOKEN}\n"]), plain)
def test_a_template_with_a_slot_gives_what_stands_before_the_slot(template: str, token: str, filling: str) -> None:
    before, _, slot_and_after = template.partition("{")
    text = token + before + filling + slot_and_after.partition("}")[2] + "\n"
    instruction = splitter(template)(text)
    assert instruction == token + before.rstrip('"')
    assert text[len(instruction) :].strip('"\n') == filling.strip('"\n')


@pytest.mark.parametrize("template", [each for each in TEMPLATES if "{" not in each])
@pytest.mark.parametrize("token", ["", f"{MEDIA_TOKEN}\n"])
@pytest.mark.parametrize("ending", ["", "\n", ".\n", "\n\n"])
def test_a_template_without_a_slot_is_the_whole_text(template: str, token: str, ending: str) -> None:
    text = token + template + ending
    assert splitter(template)(text) == text
    assert splitter(template)(f"{token}{template} and more\n") == ""
    assert splitter(template)("something else\n") == ""
