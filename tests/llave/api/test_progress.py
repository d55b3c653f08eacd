"""Progress is shown where there is somebody to see it, in a form that the place can show."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import llave as front
from harness.progress import NoProgress
from llave.api.progress import NotebookProgress, shown


class _Display:
    """IPython's `display`, which notes what it is given."""

    def __init__(self) -> None:
        self.shown: list[dict[str, str]] = []

    def __call__(self, data: dict[str, str], **_: object) -> _Display:
        self.shown.append(data)
        return self

    def update(self, data: dict[str, str], **_: object) -> None:
        self.shown.append(data)


def _notebook(monkeypatch) -> _Display:
    display, python = _Display(), ModuleType("IPython")
    shell = type("ZMQInteractiveShell", (), {})()
    python.get_ipython = lambda: shell
    monkeypatch.setitem(sys.modules, "IPython", python)
    monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace(display=display))
    return display


def test_nothing_is_shown_if_nothing_is_wanted(capsys, place):
    with shown(False) as progress:
        assert isinstance(progress, NoProgress)
    front.embed("classical", ["a"], store=place.store, progress=False)
    assert capsys.readouterr() == ("", "")


def test_a_log_gets_lines(capsys, place):
    front.embed("classical", ["a"], store=place.store)
    said = capsys.readouterr()
    assert said.out == ""
    assert "loading classical" in said.err


def test_a_notebook_gets_one_output_that_is_updated(monkeypatch, capsys, place):
    display = _notebook(monkeypatch)
    front.embed("classical", ["a"], store=place.store)
    lines = [each["text/plain"] for each in display.shown]
    assert "loading classical" in lines
    assert any("0 of 1" in each for each in lines)
    assert lines[-1] == ""
    assert capsys.readouterr().out == ""


def test_names_are_escaped_in_a_notebook(monkeypatch):
    display = _notebook(monkeypatch)
    progress = NotebookProgress()
    progress.phase("<b>", 3)
    progress.advance(3)
    assert all("<b>" not in each["text/html"] for each in display.shown)
    assert 'max="3"' in display.shown[0]["text/html"]
