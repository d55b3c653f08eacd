"""The demo's texts: what is asked, what is trained, and that neither gives the other away."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest

from tasks.catalog import all_tasks
from tasks.demo import wordings
from tasks.demo.wordings import NUM_WORDINGS, Wording, eval_wordings, train_file, train_wordings

TASK = all_tasks()["demo-paraphrase"]


def words(text: str) -> set[str]:
    return set(text.replace(",", "").split())


@pytest.fixture(scope="module")
def tested() -> tuple[Wording, ...]:
    return eval_wordings(0)


@pytest.fixture(scope="module")
def trained() -> tuple[Wording, ...]:
    return train_wordings(0)


def test_texts_and_captions_are_distinct_and_no_tested_one_is_trained(tested, trained):
    for found in (tested, trained):
        assert len({each.caption for each in found}) == len(found)
    assert len({each.text for each in tested}) == len(tested) == NUM_WORDINGS
    assert not {each.caption for each in tested} & {each.caption for each in trained}
    assert not {each.text for each in tested} & {each.text for each in trained}


def test_a_scene_in_other_words_shares_no_word_of_meaning_with_its_caption(tested, trained):
    little = {"a", "of", "left"}
    for each in (*tested, *trained):
        assert not words(each.text) & words(each.caption) - little, each


def test_no_word_stands_for_two():
    every = [word for others in wordings._OTHER_WORDS.values() for word in others]
    assert len(every) == len(set(every))
    assert not set(every) & wordings._OTHER_WORDS.keys()


def test_captions_come_in_fours_that_differ_in_one_attribute_or_in_the_order(tested):
    for at in range(0, len(tested), 4):
        first, *others = (each.caption.split() for each in tested[at : at + 4])
        for other in others:
            changed = [pair for pair in zip(first, other, strict=True) if pair[0] != pair[1]]
            assert len(changed) == 1 or sorted(first) == sorted(other)


def test_texts_are_the_same_in_every_version(tested, trained):
    """A change needs a new version, because results name it."""
    content = json.dumps([wordings._VERSION, tested, trained]).encode()
    assert hashlib.sha256(content).hexdigest()[:16] == "c0b4de99b3254ff7"
    assert eval_wordings(1) != tested


def test_the_task_asks_for_the_caption_of_each_text(tested):
    data = TASK.source.load(TASK)
    assert TASK.scope == "global"
    assert len(data.queries) == TASK.num_queries
    for query, each in zip(data.queries, tested, strict=True):
        (right,) = query.positives
        assert (query.item.text, data.targets[right].text) == each
    assert np.unique([query.positives[0] for query in data.queries]).size == len(data.targets)


def test_a_damaged_file_is_written_again():
    (path,) = TASK.source.info(TASK).files
    whole = path.read_bytes()
    path.write_bytes(b"\xff" + whole[:100])
    assert TASK.source.info(TASK).files == (path,)
    assert path.read_bytes() == whole
    lines = [json.loads(line) for line in train_file().read_text().splitlines()]
    assert [(line["query"], line["positive"]) for line in lines] == list(train_wordings(0))
