"""MMEB (arXiv 2410.05160): 36 datasets as 36 rows. Facts as published; what is not published is None."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from harness.types import Source, Task

META_TASKS = ("classification", "vqa", "retrieval", "visual_grounding")
"""In the order in which MMEB prints them."""

NUM_QUERIES = 1000
"""Of every dataset."""


@dataclass(frozen=True, slots=True)
class Row:
    """One dataset."""

    name: str
    """The subset in MMEB-eval."""
    meta_task: str
    split: Literal["IND", "OOD"]
    query_modality: str
    target_modality: str
    num_candidates: int
    query_instruction: str
    target_instruction: str | None = None
    train_subset: str | None = None
    """The subset in MMEB-train; none for OOD."""
    notes: tuple[str, ...] = ()


_CLASSIFY = "Represent the given image for classification"
_NEWS = "Represent the given news image with the following caption for domain classification: {caption}"
_HATE = "Represent the given image for binary classification to determine whether it constitutes hateful speech or not"
_OBJECT = "Identify the object shown in the image"
_SCENE = "Identify the scene shown in the image"
_COUNTRY = "Identify the country depicted in the image"
_QUESTION = "Represent the given image with the following question: {question}"
_DIALOGUE = "Represent the given dialogue about an image, which is used for image retrieval: {Q:...\\nA:...}"
_CHANGE = "Given an image, find a similar everyday image with the described changes: {text}"
_NEWS_IMAGE = "Retrieve an image of this news caption. {caption}"
_NEWS_CAPTION = "Find a caption for the news in the given photo."
_EVERYDAY_IMAGE = "Find me an everyday image that matches the given caption: {caption}"
_EVERYDAY_CAPTION = "Find an image caption describing the given everyday image."
_SIMILAR = "Find a day-to-day image that looks similar to the provided image."
_WIKI_IMAGE = "Find a Wikipedia image that answers this question: {question}"
_FASHION = "Find an image to match the fashion image and style note: {text}"
_DOCUMENT = "Find the document image that can answer the given query: {query}"
_WIKI_PAIR = (
    "Retrieve a Wikipedia image-description pair that provides evidence for the question of this image: {question}"
)
_NEWS_PAIR = "Find a news image that matches the provided caption: {caption}"
_LABEL = 'Crop the image to to isolate the object labeled as "{label}"'
_REFER = 'Select the portion of the image that follows the language expressions. "{expression}"'
_MATCH = 'Select the portion of the image that follows the language expressions: "{expression}"'
_POINT = 'Select the portion of the image that answers the question "{question}"'

_IMAGE = "Represent the given image."
_IMAGE_BARE = "Represent the given image"
_WIKI_PASSAGE = "Represent the given Wikipedia image with related text information: {passage}"
_WIKI_TEXT = "Represent the given Wikipedia image with related text information: {text}"
_IMAGE_TEXT = "Represent the given image with related text information: {text}"
_CROP = "Represent the given cropped image of the object"

_NO_IMAGE = "A query has no image, yet its text carries the image token, which is dropped."

# fmt: off
ROWS = (
    Row("ImageNet-1K", "classification", "IND", "image", "text", 1000, _CLASSIFY, None, "ImageNet_1K",
        ("MMEB-train spells it ImageNet_1K.", "A label is a whole synset: several synonyms with commas between.")),
    Row("N24News", "classification", "IND", "image+text", "text", 24, _NEWS, None, "N24News",
        ("The published table prints the target as an image; it is a text.",)),
    Row("HatefulMemes", "classification", "IND", "image", "text", 2, _HATE, None, "HatefulMemes",
        ("Yes or No: chance is 50 %.",)),
    Row("VOC2007", "classification", "IND", "image", "text", 20, _OBJECT, None, "VOC2007"),
    Row("SUN397", "classification", "IND", "image", "text", 397, _SCENE, None, "SUN397"),
    Row("Place365", "classification", "OOD", "image", "text", 365, _SCENE),
    Row("ImageNet-A", "classification", "OOD", "image", "text", 1000, _CLASSIFY,
        notes=("1000 labels are candidates, though ImageNet-A itself has 200 classes.",)),
    Row("ImageNet-R", "classification", "OOD", "image", "text", 200, _CLASSIFY),
    Row("ObjectNet", "classification", "OOD", "image", "text", 313, _OBJECT),
    Row("Country211", "classification", "OOD", "image", "text", 211, _COUNTRY),
    Row("OK-VQA", "vqa", "IND", "image+text", "text", 1000, _QUESTION, None, "OK-VQA"),
    Row("A-OKVQA", "vqa", "IND", "image+text", "text", 1000, _QUESTION, None, "A-OKVQA"),
    Row("DocVQA", "vqa", "IND", "image+text", "text", 1000, _QUESTION, None, "DocVQA"),
    Row("InfographicsVQA", "vqa", "IND", "image+text", "text", 1000, _QUESTION, None, "InfographicsVQA",
        ("The published table calls it InfographicVQA.",)),
    Row("ChartQA", "vqa", "IND", "image+text", "text", 1000, _QUESTION, None, "ChartQA"),
    Row("Visual7W", "vqa", "IND", "image+text", "text", 1000, _QUESTION, None, "Visual7W",
        ("The telling half of Visual7W; the pointing half is Visual7W-Pointing.",)),
    Row("ScienceQA", "vqa", "OOD", "image+text", "text", 1000, _QUESTION),
    Row("VizWiz", "vqa", "OOD", "image+text", "text", 1000, _QUESTION,
        notes=("Some texts end in spaces, which are kept.",)),
    Row("GQA", "vqa", "OOD", "image+text", "text", 1000, _QUESTION),
    Row("TextVQA", "vqa", "OOD", "image+text", "text", 1000, _QUESTION),
    Row("VisDial", "retrieval", "IND", "text", "image", 1000, _DIALOGUE, _IMAGE_BARE, "VisDial",
        ("A query ends in two newlines.", "The target instruction has no final period.")),
    Row("CIRR", "retrieval", "IND", "image+text", "image", 1000, _CHANGE, _IMAGE, "CIRR"),
    Row("VisualNews_t2i", "retrieval", "IND", "text", "image", 1000, _NEWS_IMAGE, _IMAGE, "VisualNews_t2i"),
    Row("VisualNews_i2t", "retrieval", "IND", "image", "text", 1000, _NEWS_CAPTION, None, "VisualNews_i2t"),
    Row("MSCOCO_t2i", "retrieval", "IND", "text", "image", 1000, _EVERYDAY_IMAGE, _IMAGE, "MSCOCO_t2i"),
    Row("MSCOCO_i2t", "retrieval", "IND", "image", "text", 1000, _EVERYDAY_CAPTION, None, "MSCOCO_i2t"),
    Row("NIGHTS", "retrieval", "IND", "image", "image", 1000, _SIMILAR, _IMAGE, "NIGHTS"),
    Row("WebQA", "retrieval", "IND", "text", "image+text", 1000, _WIKI_IMAGE, _WIKI_PASSAGE, "WebQA", (_NO_IMAGE,)),
    Row("FashionIQ", "retrieval", "OOD", "image+text", "image", 1000, _FASHION, _IMAGE),
    Row("Wiki-SS-NQ", "retrieval", "OOD", "text", "image", 1000, _DOCUMENT, _IMAGE_BARE,
        notes=("Targets are screenshots of pages.",)),
    Row("OVEN", "retrieval", "OOD", "image+text", "image+text", 1000, _WIKI_PAIR, _WIKI_TEXT),
    Row("EDIS", "retrieval", "OOD", "text", "image+text", 1000, _NEWS_PAIR, _IMAGE_TEXT,
        notes=(_NO_IMAGE, "Its removal from the hub was proposed over its licence; it is still one of the 36.")),
    Row("MSCOCO", "visual_grounding", "IND", "image+text", "image", 1000, _LABEL, _CROP, "MSCOCO",
        ('"to to" is in the data.', "MMEB-train asks otherwise: Select the portion of the image that isolates ...")),
    Row("RefCOCO", "visual_grounding", "OOD", "image+text", "image", 1000, _REFER, _CROP),
    Row("RefCOCO-Matching", "visual_grounding", "OOD", "image+text", "image+text", 1000, _MATCH, _MATCH,
        notes=("Query and right target show the same image; only the expression differs.",
               "A candidate list repeats pairs of image and expression.")),
    Row("Visual7W-Pointing", "visual_grounding", "OOD", "image+text", "image", 1000, _POINT, _CROP,
        notes=("The public leaderboard once counted it under VQA.",)),
)
# fmt: on


def mmeb_tasks(source: Source) -> tuple[Task, ...]:
    """The 36 tasks, read from a source that has the subsets of MMEB-eval."""
    return tuple(
        Task(
            name=row.name,
            meta_task=row.meta_task,
            split=row.split,
            query_modality=row.query_modality,
            target_modality=row.target_modality,
            source=source,
            num_queries=NUM_QUERIES,
            num_candidates=row.num_candidates,
            query_instruction=row.query_instruction,
            target_instruction=row.target_instruction,
            train_subset=row.train_subset,
            notes=row.notes,
        )
        for row in ROWS
    )
