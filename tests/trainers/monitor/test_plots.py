"""The plot of similarities is there, shows something, and is the same each time."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from harness.errors import UserError
from trainers.monitor import plots
from trainers.monitor.diagnostics import Diagnosis, diagnose
from trainers.monitor.plots import check_plot


def plot(found: Mapping[str, Mapping[str, Diagnosis]], path: Path) -> list[Path]:
    return plots.plot(found, path, lambda each: f"overlap {each.overlap}")


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


def _alike(mean: float, spread: float) -> Diagnosis:
    """Of pairs whose cosines lie around `mean`."""
    rng = np.random.default_rng(0)
    cosines = np.clip(rng.normal(mean, spread, (2, 200)), -1, 1)
    query, pool = np.eye(2)[np.zeros(200, int)], np.stack([cosines, np.sqrt(1 - cosines**2)], -1)
    return diagnose(query, pool[0], pool=pool[1], wrong=np.ones((200, 200), np.bool_))


def _drawn(path: Path) -> np.ndarray:
    """Which columns show a distribution, below titles and legend."""
    pixels = np.asarray(Image.open(path).convert("RGB")).astype(int)[90:]
    return (np.abs(pixels[..., 2] - pixels[..., 0]) > 20).any(0)


def _panels(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """The same for each of two panels side by side."""
    drawn = _drawn(path)
    middle = len(drawn) * 11 // 20
    return drawn[:middle], drawn[middle:]


@pytest.mark.parametrize(("mean", "spread", "fills"), [(0.7, 0.05, 0.8), (-0.9, 0.001, 0.2), (0.999, 0.003, 0.4)])
def test_the_axis_follows_the_data(mean: float, spread: float, fills: float, tmp_path: Path) -> None:
    plot({"model": {"data": _alike(mean, spread)}}, tmp_path / "all.png")
    columns = np.flatnonzero(_drawn(tmp_path / "all.png"))
    assert columns[-1] - columns[0] > fills * Image.open(tmp_path / "all.png").width


def test_models_side_by_side_share_the_axis(tmp_path: Path) -> None:
    plot({"low": {"data": _alike(0.2, 0.02)}, "high": {"data": _alike(0.8, 0.02)}}, tmp_path / "all.png")
    left, right = _panels(tmp_path / "all.png")
    for half, place in ((left, slice(0, len(left) // 2)), (right, slice(2 * len(right) // 3, None))):
        assert half[place].sum() == half.sum() > 20


def test_a_collapsed_model_is_a_bar_that_is_seen(tmp_path: Path) -> None:
    collapsed = {"data": diagnose(np.ones((4, 2)), np.ones((4, 2)))}
    for suffix in ("png", "svg"):
        plot({"model": collapsed}, tmp_path / f"all.{suffix}")
    assert 2 < _drawn(tmp_path / "all.png").sum() < 30
    said = (tmp_path / "all.svg").read_text()
    assert "<!-- 0.990 -->" in said
    assert "<!-- 1.000 -->" in said
    plot({"model": collapsed, "other": {"data": _alike(0.5, 0.1)}}, tmp_path / "all.png")
    assert 2 < _panels(tmp_path / "all.png")[0].sum() < 30


def test_an_svg_is_whole_and_the_same_each_time(found, tmp_path: Path) -> None:
    for name in ("first.svg", "second.svg"):
        plot(found, tmp_path / name)
    assert (tmp_path / "first.svg").read_bytes() == (tmp_path / "second.svg").read_bytes()
    assert len(list(ElementTree.parse(tmp_path / "first.svg").iter(f"{SVG}path"))) > 4 * 2


def test_other_figures_make_another_picture(found, tmp_path: Path) -> None:
    plot(found, tmp_path / "one.png")
    plot(found | {"b": {"one": _found(40), "three": _found(41)}}, tmp_path / "other.png")
    assert (tmp_path / "one.png").read_bytes() != (tmp_path / "other.png").read_bytes()


@pytest.mark.parametrize("spread", [0.001, 0.05, 0.3])
def test_both_distributions_have_the_same_area(spread: float) -> None:
    axis = Figure().subplots()
    plots._draw(axis, _alike(0.3, spread), 0.01)
    areas = [sum(np.diff(each.get_data().edges) * each.get_data().values) for each in axis.patches]
    assert areas == pytest.approx([1.0, 1.0])


def test_the_axis_of_densities_has_a_name_and_ticks(found, tmp_path: Path) -> None:
    plot(found, tmp_path / "all.svg")
    said = (tmp_path / "all.svg").read_text()
    assert said.count("<!-- density -->") == 2
    assert said.count('id="ytick_2"') >= 1


def test_many_datasets_are_pages_or_numbered_files(tmp_path: Path) -> None:
    many = {"model": {f"data-{at}": _alike(0.5, 0.1) for at in range(14)}}
    assert plot(many, tmp_path / "all.pdf") == [tmp_path / "all.pdf"]
    assert len(re.findall(rb"/Type /Page\b", (tmp_path / "all.pdf").read_bytes())) == 3
    for suffix in ("png", "svg"):
        files = plot(many, tmp_path / f"all.{suffix}")
        assert files == [tmp_path / f"all-{number}.{suffix}" for number in (1, 2, 3)]
        assert all(each.stat().st_size > 1000 for each in files)
    assert "data-5" in (tmp_path / "all-1.svg").read_text()
    assert "data-6" in (tmp_path / "all-2.svg").read_text()
    assert not (tmp_path / "all.png").exists()


def test_a_pdf_is_the_same_each_time(found, tmp_path: Path) -> None:
    for name in ("first.pdf", "second.pdf"):
        plot(found, tmp_path / name)
    assert (tmp_path / "first.pdf").read_bytes() == (tmp_path / "second.pdf").read_bytes()


@pytest.mark.parametrize("name", ["a$b$c", r"$\frac{", "x" * 90])
def test_no_name_is_a_formula(name: str, tmp_path: Path) -> None:
    plot({name: {name: _alike(0.5, 0.1)}}, tmp_path / "all.svg")
    assert (tmp_path / "all.svg").stat().st_size > 1000


def test_a_path_of_no_use_is_refused(found, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"\.pdf, \.png or \.svg"):
        plot(found, tmp_path / "all.jpg")
    with pytest.raises(UserError, match="nowhere"):
        plot(found, tmp_path / "nowhere" / "all.png")


def test_without_the_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UserError, match=r"llave-bench\[plot\]"):
        check_plot(Path("all.png"))
