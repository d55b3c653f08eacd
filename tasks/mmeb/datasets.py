"""The 36 datasets of MMEB (arXiv 2410.05160), each as a task.

What a row says is as published. None stands for what is not published.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from harness.types import Source, Task
from tasks.mmeb.hub import HubSource

META_TASKS = ("classification", "vqa", "retrieval", "visual_grounding")
"""The meta-tasks in the order in which MMEB prints them."""

NUM_QUERIES = 1000
"""Number of queries of every dataset."""


def mmeb_task(
    name: str,
    meta_task: str,
    split: Literal["IND", "OOD"],
    query_modality: str,
    target_modality: str,
    num_candidates: int,
    query_instruction: str,
    target_instruction: str | None = None,
    *,
    train_subset: str | None = None,
    notes: tuple[str, ...] = (),
) -> Task:
    """A row of the table below: a dataset on the hub.

    `train_subset` is the subset in MMEB-train. Its default is `name` for a dataset in distribution, else None.
    """
    return Task(
        name=name,
        meta_task=meta_task,
        split=split,
        query_modality=query_modality,
        target_modality=target_modality,
        source=HubSource(),
        num_queries=NUM_QUERIES,
        num_candidates=num_candidates,
        query_instruction=query_instruction,
        target_instruction=target_instruction,
        train_subset=train_subset or (name if split == "IND" else None),
        notes=notes,
    )


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
    mmeb_task("ImageNet-1K", "classification", "IND", "image", "text", 1000, _CLASSIFY, train_subset="ImageNet_1K",
        notes=("MMEB-train spells it ImageNet_1K.",
               "A label is a whole synset: several synonyms with commas between.")),
    mmeb_task("N24News", "classification", "IND", "image+text", "text", 24, _NEWS,
        notes=("The published table prints the target as an image; it is a text.",)),
    mmeb_task("HatefulMemes", "classification", "IND", "image", "text", 2, _HATE,
        notes=("Yes or No: chance is 50 %.",)),
    mmeb_task("VOC2007", "classification", "IND", "image", "text", 20, _OBJECT),
    mmeb_task("SUN397", "classification", "IND", "image", "text", 397, _SCENE),
    mmeb_task("Place365", "classification", "OOD", "image", "text", 365, _SCENE),
    mmeb_task("ImageNet-A", "classification", "OOD", "image", "text", 1000, _CLASSIFY,
        notes=("1000 labels are candidates, though ImageNet-A itself has 200 classes.",)),
    mmeb_task("ImageNet-R", "classification", "OOD", "image", "text", 200, _CLASSIFY),
    mmeb_task("ObjectNet", "classification", "OOD", "image", "text", 313, _OBJECT),
    mmeb_task("Country211", "classification", "OOD", "image", "text", 211, _COUNTRY),
    mmeb_task("OK-VQA", "vqa", "IND", "image+text", "text", 1000, _QUESTION),
    mmeb_task("A-OKVQA", "vqa", "IND", "image+text", "text", 1000, _QUESTION),
    mmeb_task("DocVQA", "vqa", "IND", "image+text", "text", 1000, _QUESTION),
    mmeb_task("InfographicsVQA", "vqa", "IND", "image+text", "text", 1000, _QUESTION,
        notes=("The published table calls it InfographicVQA.",)),
    mmeb_task("ChartQA", "vqa", "IND", "image+text", "text", 1000, _QUESTION),
    mmeb_task("Visual7W", "vqa", "IND", "image+text", "text", 1000, _QUESTION,
        notes=("The telling half of Visual7W; the pointing half is Visual7W-Pointing.",)),
    mmeb_task("ScienceQA", "vqa", "OOD", "image+text", "text", 1000, _QUESTION),
    mmeb_task("VizWiz", "vqa", "OOD", "image+text", "text", 1000, _QUESTION,
        notes=("Some texts end in spaces, which are kept.",)),
    mmeb_task("GQA", "vqa", "OOD", "image+text", "text", 1000, _QUESTION),
    mmeb_task("TextVQA", "vqa", "OOD", "image+text", "text", 1000, _QUESTION),
    mmeb_task("VisDial", "retrieval", "IND", "text", "image", 1000, _DIALOGUE, _IMAGE_BARE,
        notes=("A query ends in two newlines.", "The target instruction has no final period.")),
    mmeb_task("CIRR", "retrieval", "IND", "image+text", "image", 1000, _CHANGE, _IMAGE),
    mmeb_task("VisualNews_t2i", "retrieval", "IND", "text", "image", 1000, _NEWS_IMAGE, _IMAGE),
    mmeb_task("VisualNews_i2t", "retrieval", "IND", "image", "text", 1000, _NEWS_CAPTION),
    mmeb_task("MSCOCO_t2i", "retrieval", "IND", "text", "image", 1000, _EVERYDAY_IMAGE, _IMAGE),
    mmeb_task("MSCOCO_i2t", "retrieval", "IND", "image", "text", 1000, _EVERYDAY_CAPTION),
    mmeb_task("NIGHTS", "retrieval", "IND", "image", "image", 1000, _SIMILAR, _IMAGE),
    mmeb_task("WebQA", "retrieval", "IND", "text", "image+text", 1000, _WIKI_IMAGE, _WIKI_PASSAGE, notes=(_NO_IMAGE,)),
    mmeb_task("FashionIQ", "retrieval", "OOD", "image+text", "image", 1000, _FASHION, _IMAGE),
    mmeb_task("Wiki-SS-NQ", "retrieval", "OOD", "text", "image", 1000, _DOCUMENT, _IMAGE_BARE,
        notes=("Targets are screenshots of pages.",)),
    mmeb_task("OVEN", "retrieval", "OOD", "image+text", "image+text", 1000, _WIKI_PAIR, _WIKI_TEXT),
    mmeb_task("EDIS", "retrieval", "OOD", "text", "image+text", 1000, _NEWS_PAIR, _IMAGE_TEXT,
        notes=(_NO_IMAGE, "Its removal from the hub was proposed over its licence; it is still one of the 36.")),
    mmeb_task("MSCOCO", "visual_grounding", "IND", "image+text", "image", 1000, _LABEL, _CROP,
        notes=('"to to" is in the data.',
               "MMEB-train asks otherwise: Select the portion of the image that isolates ...")),
    mmeb_task("RefCOCO", "visual_grounding", "OOD", "image+text", "image", 1000, _REFER, _CROP),
    mmeb_task("RefCOCO-Matching", "visual_grounding", "OOD", "image+text", "image+text", 1000, _MATCH, _MATCH,
        notes=("Query and right target show the same image; only the expression differs.",
               "A candidate list repeats pairs of image and expression.")),
    mmeb_task("Visual7W-Pointing", "visual_grounding", "OOD", "image+text", "image", 1000, _POINT, _CROP,
        notes=("The public leaderboard once counted it under VQA.",)),
)
# fmt: on


def mmeb_tasks(source: Source) -> tuple[Task, ...]:
    """The 36 tasks, read from a source that has the subsets of MMEB-eval."""
    return tuple(replace(task, source=source) for task in ROWS)
