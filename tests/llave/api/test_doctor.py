"""`llave.doctor` finds what the command finds."""

from __future__ import annotations

import json

import pytest

import llave as front

GOOD, BAD = "classical", "null/nan"


@pytest.mark.parametrize(("model", "ok"), [(GOOD, True), (BAD, False)])
def test_the_findings_are_those_of_the_command(llave, model, ok):
    done = llave("doctor", model, "--json")
    report = front.doctor(model, progress=False)
    assert report.ok == ok == (done.code == 0)
    found = [each["check"] for each in json.loads(done.out)["findings"]]
    assert report.frame()["check"].tolist() == found
    assert report.frame()["verdict"].tolist() == [each["verdict"] for each in json.loads(done.out)["findings"]]


def test_its_forms():
    good, bad = front.doctor(GOOD, progress=False), front.doctor(BAD, progress=False)
    assert repr(good).endswith("no check failed)")
    assert repr(bad) == f"DoctorReport(null/nan: {len(bad.findings)} checks, failed: finite)"
    assert "<td><strong>fail</strong></td>" in bad._repr_html_()


def test_known_answers_need_a_model_that_has_some(tmp_path):
    with pytest.raises(front.UserError):
        front.doctor(GOOD, known_answers=tmp_path / "x.jpg", progress=False)
