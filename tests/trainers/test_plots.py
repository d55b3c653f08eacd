"""The plot of similarities is there, shows something, and is the same each time."""

from __future__ import annotations

import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from harness.errors import UserError
from trainers.diagnostics import Diagnosis, diagnose
from trainers.plots import check_plot, plot

SVG = "{http://www.w3.org/2000/svg}"


def _found(seed: int) -> Diagnosis:
    vectors = np.random.default_rng(seed).standard_normal((30, 6))
    return diagnose(vectors, vectors + 0.3 * np.random.default_rng(seed + 1).standard_normal((30, 6)))


@pytest.fixture
def found() -> dict[str, dict[str, Diagnosis]]:
    return {model: {name: _found(at + len(name)) for name in ("one", "three")} for at, model in enumerate("ab")}


def test_a_png_shows_both_distributions_of_every_dataset_and_model(found, tmp_path: Path) -> None:
    plot(found, tmp_path / "all.png")
    pixels = np.asarray(Image.open(tmp_path / "all.png").convert("RGB")).astype(int)
    blue, orange = pixels[..., 2] - pixels[..., 0] > 60, pixels[..., 0] - pixels[..., 2] > 60
    middle = pixels.shape[0] // 2 + 20, pixels.shape[1] // 2
    for colour in (blue, orange):
        for rows in (slice(40, middle[0]), slice(middle[0], None)):
            for columns in (slice(0, middle[1]), slice(middle[1], None)):
                assert colour[rows, columns].sum() > 100


def test_an_svg_is_whole_and_the_same_each_time(found, tmp_path: Path) -> None:
    for name in ("first.svg", "second.svg"):
        plot(found, tmp_path / name)
    assert (tmp_path / "first.svg").read_bytes() == (tmp_path / "second.svg").read_bytes()
    assert len(list(ElementTree.parse(tmp_path / "first.svg").iter(f"{SVG}path"))) > 4 * 2


def test_other_figures_make_another_picture(found, tmp_path: Path) -> None:
    plot(found, tmp_path / "one.png")
    plot(found | {"b": {"one": _found(40), "three": _found(41)}}, tmp_path / "other.png")
    assert (tmp_path / "one.png").read_bytes() != (tmp_path / "other.png").read_bytes()


def test_a_path_of_no_use_is_refused(found, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"\.png or \.svg"):
        plot(found, tmp_path / "all.jpg")
    with pytest.raises(UserError, match="nowhere"):
        plot(found, tmp_path / "nowhere" / "all.png")


def test_without_the_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UserError, match=r"llave-bench\[plot\]"):
        check_plot(Path("all.png"))
