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


def test_vectors_kept_beside_a_result_tell_what_was_measured_from_what_is_here(llave, tiny, place):
    assert llave("run", GOOD, "--data", tiny.data, "--tasks", "Colour", *place.flags).code == 0
    result = place.path("Colour", GOOD)
    with pytest.raises(front.UserError, match="No vectors of the doctor are kept beside"):
        front.doctor(GOOD, against=result, progress=False)
    with pytest.raises(front.UserError, match="a result of another model than null/random"):
        front.doctor("null/random", keep=result, progress=False)
    assert front.doctor(GOOD, keep=result, progress=False).ok
    kept = result.parent / "doctor.probes"
    found = json.loads(kept.read_text())
    label, vector = next(iter(found["vectors"].items()))
    kept.write_text(json.dumps({**found, "vectors": {**found["vectors"], label: vector[::-1]}}))
    done = llave("doctor", GOOD, "--json", "--against", result.parent)
    assert done.code == 1
    failed = [each for each in json.loads(done.out)["findings"] if each["verdict"] == "fail"]
    assert [each["check"] for each in failed] == ["kept vectors"]
    assert failed[0]["says"].startswith("1 of ")
    assert label.partition(": ")[2] in failed[0]["says"]
