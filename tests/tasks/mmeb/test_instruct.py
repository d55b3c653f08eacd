"""The MMEB_Test_Instruct layout, against the strings of MMEB-eval for the same rows."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.types import MEDIA_TOKEN, Item, Media
from tasks.mmeb.datasets import ROWS
from tasks.mmeb.folder import FolderSource
from tasks.mmeb.instruct import join_query
from tasks.mmeb.local import local_tasks
from tests.helpers.mmeb_files import Row, columns, write_subset

TEMPLATES = {row.name: row for row in ROWS}


def load(data: Path, subset: str) -> list[tuple[Item, list[Item]]]:
    """Queries and their candidates as items."""
    (task,) = (task for task in local_tasks(data) if task.name == subset)
    rows = FolderSource(data).load(task)
    return [(query.item, [rows.targets[index] for index in query.candidates]) for query in rows.queries]


def compare(tmp_path: Path, subset: str, joined: Row, split: dict[str, list[object]]) -> None:
    """A row in either layout gives the same texts and media."""
    (tmp_path / "images").mkdir()
    write_subset(tmp_path / "eval", subset, columns([joined]))
    write_subset(tmp_path / "instruct", subset, split)
    ((query, targets),), ((other, others)) = load(tmp_path / "eval", subset), *load(tmp_path / "instruct", subset)
    assert (other.full_text, other.media) == (query.full_text, query.media)
    assert [(each.full_text, each.media) for each in others] == [(each.full_text, each.media) for each in targets]
    assert other.instruction.strip() == query.instruction.strip()


def test_a_question_about_an_image(tmp_path: Path) -> None:
    instruction = "Represent the given image with the following question:"
    compare(
        tmp_path,
        "GQA",
        (f"<|image_1|>\n{instruction} What is it?\n", "a.png", [("a dog", ""), ("a cat", "")]),
        {
            "qry_inst": [f"<|image_1|>\n{instruction}"],
            "qry_text": ["What is it?"],
            "qry_img_path": ["a.png"],
            "tgt_text": [["a dog", "a cat"]],
        },
    )


def test_a_label_of_an_image(tmp_path: Path) -> None:
    compare(
        tmp_path,
        "VOC2007",
        ("<|image_1|>\nIdentify the object shown in the image\n", "a.png", [("a dog", ""), ("a cat", "")]),
        {
            "qry_inst": ["<|image_1|>\nIdentify the object shown in the image"],
            "qry_text": [""],
            "qry_img_path": ["a.png"],
            "tgt_inst": ["not read for text targets"],
            "tgt_text": [["a dog", "a cat"]],
            "tgt_img_path": [["", ""]],
        },
    )


@pytest.mark.parametrize(("subset", "ending"), [("VisDial", "\n\n"), ("MSCOCO_t2i", "\n")])
def test_a_text_for_an_image(tmp_path: Path, subset: str, ending: str) -> None:
    instruction = TEMPLATES[subset].query_instruction.partition(" {")[0]
    target = TEMPLATES[subset].target_instruction
    images = ["a.png", "b.png"]
    compare(
        tmp_path,
        subset,
        (f"{instruction} a dog{ending}", "", [(f"<|image_1|>\n{target}\n", image) for image in images]),
        {
            "qry_inst": [instruction],
            "qry_text": ["a dog"],
            "tgt_inst": [f"<|image_1|>\n{target}"],
            "tgt_text": [["", ""]],
            "tgt_img_path": [images],
        },
    )


@pytest.mark.parametrize("subset", ["WebQA", "EDIS"])
def test_captions_beside_images_and_a_token_without_one(tmp_path: Path, subset: str) -> None:
    instruction = TEMPLATES[subset].query_instruction.partition(" {")[0]
    target = TEMPLATES[subset].target_instruction.partition(" {")[0]
    candidates = [("a dog", "a.png"), ("a cat", "a.png"), ("a dog", "b.png")]
    compare(
        tmp_path,
        subset,
        (
            f"<|image_1|>\n{instruction} who?\n",
            "",
            [(f"<|image_1|>\n{target} {c}\n", image) for c, image in candidates],
        ),
        {
            "qry_inst": [f"<|image_1|>\n{instruction}"],
            "qry_text": ["who?"],
            "qry_img_path": [""],
            "tgt_inst": [f"<|image_1|>\n{target}"],
            "tgt_text": [[caption for caption, _ in candidates]],
            "tgt_img_path": [[image for _, image in candidates]],
        },
    )


def test_a_crop_of_an_image_ends_without_a_newline(tmp_path: Path) -> None:
    instruction = "Select the portion of the image that answers the question"
    target, crops = "Represent the given cropped image of the object", ["b.png", "c.png"]
    compare(
        tmp_path,
        "Visual7W-Pointing",
        (
            f'<|image_1|>\n{instruction} "which?"\n',
            "a.png",
            [(f"<|image_1|>\n{target}", c) for c in ("b.png", "c.png")],
        ),
        {
            "qry_inst": [f"<|image_1|>\n{instruction}"],
            "qry_text": ['"which?"'],
            "qry_img_path": ["a.png"],
            "tgt_inst": [f"<|image_1|>\n{target}"],
            "tgt_text": [["", ""]],
            "tgt_img_path": [crops],
        },
    )


def test_each_row_joins_its_own_target_instruction(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    write_subset(
        tmp_path,
        "Own",
        {
            "qry_inst": ["Find:", "Find:"],
            "qry_text": ["x", "y"],
            "tgt_inst": ["Show", "Depict"],
            "tgt_text": [[""], [""]],
            "tgt_img_path": [["a.png"], ["a.png"]],
        },
    )
    (_, (one,)), (_, (other,)) = load(tmp_path, "Own")
    media = (Media("image", "a.png", tmp_path / "images"),)
    assert one == Item("", media, f"{MEDIA_TOKEN} Show\n")
    assert other == Item("", media, f"{MEDIA_TOKEN} Depict\n")


def test_a_target_without_an_image_has_no_token(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    values = {"qry_inst": ["Find:"], "qry_text": ["x"], "tgt_inst": ["<|image_1|>\nShow"]}
    write_subset(tmp_path, "Own", values | {"tgt_text": [["one", "two"]], "tgt_img_path": [["a.png", ""]]})
    ((_, (with_image, without)),) = load(tmp_path, "Own")
    assert with_image.full_text == f"{MEDIA_TOKEN}\nShow one\n"
    assert without == Item("two\n", (), "Show ")


@pytest.mark.parametrize("body", ["", "word", "two words", " spaced", "\nbroken", "ends \n in space "])
def test_the_instruction_is_a_part_of_the_string_and_the_text_the_rest(body: str) -> None:
    joined = join_query("<|image_1|>\nAsk:", body, True, "\n")
    gap = " " if body else ""
    assert joined.instruction + joined.text == f"{MEDIA_TOKEN}\nAsk:{gap}{body}".replace(" \n", "\n") + "\n"
    assert joined.instruction.strip() == f"{MEDIA_TOKEN}\nAsk:"
