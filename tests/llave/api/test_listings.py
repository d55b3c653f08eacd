"""`llave.tasks` and `llave.models` list what the commands list."""

from __future__ import annotations

import json

import pytest

import llave as front


def test_tasks(llave):
    assert [dict(row) for row in front.tasks().rows] == json.loads(llave("tasks", "--json").out)
    listed = json.loads(llave("tasks", "--suite", "mmeb-vqa", "--json").out)
    vqa = front.tasks(suite="mmeb-vqa")
    assert set(vqa.frame()["name"]) == {each["name"] for each in listed}
    assert vqa.frame()["num_queries"].sum() == 10_000
    assert repr(vqa) == "Listing(10 tasks)"
    assert ("GQA" in vqa, "MSCOCO" in vqa, len(vqa)) == (True, False, 10)
    assert "<td><span>GQA</span></td>" in vqa._repr_html_()
    with pytest.raises(front.UserError, match="no suite named 'mmebb'"):
        front.tasks(suite="mmebb")


def test_models(llave):
    assert [dict(row) for row in front.models().rows] == json.loads(llave("models", "--json").out)
    assert front.models().frame().columns.tolist() == ["name", "summary", "modalities", "several_media", "verified"]
    assert "classical" in front.models()._repr_html_()
