"""The page as a tool: what its cells say, what its address keeps, what can be taken from it, and who can use it."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from harness.errors import UserError
from harness.results.numbers import fixed, percent, points
from leaderboards.analysis.report import report_view
from leaderboards.board.board import Board
from leaderboards.board.scope import make_board
from leaderboards.board.tables import leaderboard_table
from leaderboards.compare.compare import compare
from leaderboards.latex import latex_text
from leaderboards.page.page import write_page
from leaderboards.tables import clean, markdown, markdown_text
from tests.helpers.browser import Page
from tests.helpers.page_values import NAMES, hostile_board, saved_report

AXE = Path(__file__).parents[2] / "helpers" / "axe" / "axe.min.js"


@pytest.fixture(scope="module")
def board() -> Board:
    """The published rows on MMEB, without datasets of other suites, so that the board stays small."""
    made, _ = make_board(None, published=True, suite="mmeb-ood", rank_by=None, mix=False)
    return made


@pytest.fixture(scope="module")
def address(board, tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("page") / "board.html"
    analyses = [{**report_view(saved_report()), "origin": "curves.json"}]
    command = "llave board --published --suite mmeb-ood --html board.html"
    write_page(path, board, analyses=analyses, command=command)
    return path.as_uri()


@pytest.fixture
def page(driver, address):
    driver.get_log("browser")
    driver.get("about:blank")
    driver.get(address)
    yield Page(driver)
    assert driver.get_log("browser") == []


def _unfold(page: Page) -> None:
    page.run("document.querySelectorAll('#table .fold[aria-expanded=false]').forEach((each) => each.click())")
    page.run("fillShown(Infinity)")


def _shown(page: Page) -> dict[str, dict[str, str]]:
    """The text of each cell that is shown, by label and column."""
    heads = page.run("return [...document.querySelectorAll('#table thead button')].map((each) => each.dataset.sort)")
    rows = page.run(
        "return [...document.querySelectorAll('#table tbody tr')].map((row) => [...row.cells].map((cell) => "
        "(cell.querySelector('[data-open]') ?? cell).textContent))"
    )
    return {row[heads.index("model")]: dict(zip(heads, row, strict=True)) for row in rows}


class TestCells:
    @pytest.mark.parametrize("view", [0, 1])
    def test_every_cell_is_that_of_the_terminal_and_of_markdown(self, page, board, view):
        page.run(f"get('columns').selectedIndex = {view}; state.record(); drawTable()")
        _unfold(page)
        found = _shown(page)
        names = [name for name in next(iter(found.values())) if name not in ("rank", "model", "data source")]
        table = leaderboard_table(board, names)
        lines = [line.strip("| ").split(" | ") for line in markdown(table).splitlines() if line.startswith("| ")][2:]
        labels = [standing.entry.label for standing in board.standings()]
        wanted = {
            label: {name: cell for name, cell in zip(table.columns, row, strict=True) if name in found[label]}
            for label, row in zip(labels, table.rows, strict=True)
            if label in found
        }
        assert len(found) == len(labels) if view == 0 else 10 < len(found) < len(labels)
        for label, cells in found.items():
            for name in ("rank", *names):
                assert cells[name].strip() == str(wanted[label][name]), (label, name)
        printed = [[re.sub(r"\\|\*\*|(?<!\w)_|_(?!\w)", "", each).strip() for each in line] for line in lines]
        for label, line in zip(labels, printed, strict=True):
            for name, text in zip(table.columns, line, strict=False):
                if label in found and name in names and "*" not in text:
                    assert found[label][name].strip().replace("*", "") == text, (label, name)

    def test_numbers_are_rounded_as_in_python(self, page):
        random = np.random.default_rng(0)
        values = [0.0625, 0.1445, 2.675, 1e-9, 0.0, -0.0004, 0.00049999999, 1234567.25, 0.9999, -0.35, 5e-324, 0.05]
        values += [
            *random.random(300),
            *(random.integers(0, 2001, 300) / 2000),
            *(-(10 ** random.uniform(-14, 9, 100))),
        ]
        values = [float(each) for each in values]
        for name, own in (("fixed", fixed), ("percent", percent), ("points", points)):
            for digits in (0, 1, 3):
                code = f"return arguments[0].map((value) => {name}(value, {digits}))"
                assert page.run(code, values) == [own(value, digits) for value in values]

    def test_a_model_has_one_row_and_the_others_open_below_it(self, page, board):
        count = page.find("#count").text
        models, rows = map(int, re.fullmatch(r"(\d+) models, (\d+) rows", count).groups())
        assert rows == len(board.standings()) > models == len(page.models)
        button = page.find("#table .fold")
        below = int(button.text.removeprefix("+"))
        button.click()
        assert len(page.models) == models + below
        assert page.run("return document.activeElement.getAttribute('aria-expanded')") == "true"
        page.find("#table .fold[aria-expanded=true]").click()
        assert len(page.models) == models

    def test_a_head_explains_itself_to_pointer_and_keyboard(self, page):
        button = page.find("#table thead button[data-sort=overall]")
        page.run("arguments[0].focus()", button)
        tip = page.find("#tip")
        assert tip.is_displayed()
        assert tip.text.startswith("The mean over all datasets")
        assert button.get_attribute("aria-describedby") == "tip"
        button.send_keys("\ue00c")
        assert not tip.is_displayed()
        assert all(page.run("return data.columns.map((each) => each.help)"))


class TestAddress:
    def test_a_reload_and_the_back_button_restore_all(self, page):
        page.write("#search", "clip")
        page.choose("#columns", page.find("#columns option:nth-child(2)").text)
        page.run("document.querySelectorAll('#table thead button')[5].click()")
        a, b = page.run("return [data.rows[3].label, data.rows[5].label]")
        page.choose("#side-a", a)
        page.choose("#side-b", b)

        def state() -> list[object]:
            return [page.models, page.find("#verdict").text, page.find("#search").get_property("value")]

        before, address = state(), page.driver.current_url
        page.driver.refresh()
        assert state() == before
        assert page.driver.current_url == address
        page.driver.back()
        assert page.find("#side-a").get_property("value") == a
        assert page.find("#side-b").get_property("value") != b
        page.driver.forward()
        assert state() == before
        page.find("button[type=reset]").click()
        page.settle()
        assert "search" not in page.driver.current_url
        page.driver.back()
        assert state() == before

    def test_what_is_as_at_the_start_is_not_in_the_address(self, page):
        page.run("document.querySelector('#table thead button[data-sort=overall]').click()")
        assert page.driver.current_url.endswith("#sort=-overall")
        page.run("document.querySelector('#table thead button[data-sort=rank]').click()")
        assert page.driver.current_url.endswith("#")

    def test_a_part_of_the_page_is_a_link(self, page):
        page.find("nav a[href='#compare']").click()
        assert page.driver.current_url.endswith("#at=compare")
        assert page.run("return Math.abs(document.querySelector('#compare').getBoundingClientRect().top) < 40")

    def test_an_address_that_says_nonsense_is_the_start(self, driver, address):
        driver.get("about:blank")
        driver.get(f'{address}#sort=-none&columns=%00&a=nobody&at="]&kind+measured=x&plot=__proto__')
        assert Page(driver).find("#count").text.endswith("rows")
        assert driver.get_log("browser") == []


class TestDifferences:
    def test_those_of_published_rows_are_those_of_compare(self, page, board):
        """For datasets and for means of which only the number of queries counts."""
        entries = [standing.entry for standing in board.standings()]
        pairs = [(a, b) for a in range(0, len(entries), 7) for b in range(3, len(entries), 11) if a != b]
        found = page.run("return arguments[0].map(([a, b]) => comparison(a, b))", pairs)
        compared = 0
        for (a, b), mine in zip(pairs, found, strict=True):
            try:
                wanted = compare(entries[a], entries[b], board.suite, board.sizes)
            except UserError:
                assert mine["changes"] == []
                continue
            opening = [note.partition(":")[0].partition(" has ")[0] for note in mine["notes"][1:]]
            assert opening == [note.partition(":")[0].partition(" has ")[0] for note in wanted.caveats]
            changes = {(each["name"], each["dataset"]): each for each in mine["changes"]}
            expected = [*wanted.means, *wanted.datasets]
            assert list(changes) == [(each.name, each.kind == "dataset") for each in expected]
            for each in expected:
                change = changes[each.name, each.kind == "dataset"]
                p = each.p if each.holm is None else each.holm
                assert [change["a"], change["b"]] == pytest.approx([each.a, each.b], abs=1e-12)
                assert (change["p"] is None) is (p is None)
                if p is not None:
                    assert change["p"] == pytest.approx(p, rel=1e-6, abs=1e-12)
                    assert change["interval"] == pytest.approx(list(each.interval), abs=1e-12)
                    compared += 1
        assert compared > 500

    def test_swapping_mirrors(self, page):
        one, other = page.run("return [comparison(2, 9).changes, comparison(9, 2).changes]")
        for change, back in zip(one, other, strict=True):
            assert change["interval"] == pytest.approx([-end for end in back["interval"][::-1]], abs=1e-15)
            assert change["p"] == pytest.approx(back["p"], rel=1e-12)

    def test_a_row_of_the_table_says_it_in_points(self, page):
        page.choose("#side-a", page.run("return data.rows[2].label"))
        page.choose("#side-b", page.run("return data.rows[9].label"))
        change = page.run("return comparison(2, 9).changes[0]")
        cells = page.run(
            "return [...document.querySelector('#changes tbody tr').cells].map((each) => each.textContent)"
        )
        low, high = change["interval"]
        assert cells[1:4] == [percent(change["a"]), percent(change["b"]), points(change["b"] - change["a"])]
        assert cells[5] == f"[{points(low)}, {points(high)}]"
        drawn = page.run(
            "return [...document.querySelectorAll('#changes tbody tr .range')].map((each) => each.getBBox().width)"
        )
        assert len(drawn) == len(page.run("return comparison(2, 9).changes"))
        assert min(drawn) > 0
        assert "0" in page.texts("#changes thead .tick")


def _bare(text: str) -> str:
    """LaTeX without breaks and without braces around single characters."""
    return re.sub(r"\{([^{}\\])\}", r"\1", text.replace(r"\allowbreak{}", ""))


class TestTaking:
    def _text(self, page: Page, form: str) -> str:
        return page.run(f"return FORMS.get('{form}').make()")

    def test_csv_has_the_table_as_it_is_shown(self, page):
        page.write("#search", "llave")
        rows = list(csv.reader(io.StringIO(self._text(page, "csv"))))
        shown = _shown(page)
        assert [row[rows[0].index("model")] for row in rows[1:]] == list(shown)
        for row in rows[1:]:
            fields = dict(zip(rows[0], row, strict=True))
            low, high = fields["overall_low"], fields["overall_high"]
            extra = f" [{low}, {high}]" if low else ""
            assert fields["overall"] + extra == shown[fields["model"]]["overall"].strip()

    def test_markdown_and_latex_are_escaped_as_in_python(self, driver, tmp_path):
        """Except that LaTeX from Python says where long names may break."""
        write_page(tmp_path / "board.html", hostile_board())
        driver.get((tmp_path / "board.html").as_uri())
        page = Page(driver)
        texts = page.run("return columnsOf('rank').concat(columnsOf('mean')).flatMap((each) => each.texts)")
        texts += [clean(name) for name in NAMES] + ["-1.2 [-3.4, +0.1]", "a--b ,, ''", "100 %_&#$^~\\{}"]
        for form, own in (("markdown", markdown_text), ("latex", latex_text)):
            found = page.run(f"return arguments[0].map((text) => escaped(text, '{form}'))", texts)
            assert [_bare(each) for each in found] == [_bare(own(text)) for text in texts]
        lines = self._text(page, "md").splitlines()
        columns = page.run("return view.columns.length")
        assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines if line.startswith("| ")} == {columns + 1}
        body = [line for line in self._text(page, "tex").splitlines() if line.endswith(r"\\") and "caption" not in line]
        assert {len(re.findall(r"(?<!\\)&", line)) for line in body} == {columns - 1}

    def test_formulas_are_defused(self, driver, tmp_path):
        write_page(tmp_path / "board.html", hostile_board())
        driver.get((tmp_path / "board.html").as_uri())
        rows = list(csv.reader(io.StringIO(self._text(Page(driver), "csv"))))
        labels = [row[rows[0].index("model")] for row in rows[1:]]
        assert "'=1+1" in labels
        assert not [each for row in rows for each in row if re.match(r"[=@\t\r]|[+-](?![\d.]+$)", each)]

    @pytest.mark.parametrize(("button", "says"), [("copy", "Copied"), ("download", "Saved")])
    def test_the_reader_is_told(self, page, button, says):
        page.run("window.save = () => {}")
        page.choose("#form", "Markdown")
        page.find(f"#{button}").click()
        page.settle()
        assert page.find("#copied").text == f"{says} {len(page.models)} rows as Markdown."

    def test_a_plot_is_saved_as_svg_and_png(self, page):
        page.run("""
            window.saved = {};
            window.save = (name, content) => {
              if (content instanceof Blob) content.arrayBuffer().then((found) => {
                const letters = Array.from(new Uint8Array(found), (each) => String.fromCharCode(each));
                window.saved[name] = btoa(letters.join(""));
              });
              else window.saved[name] = content;
            };
        """)
        for form in ("svg", "png"):
            page.run(f"document.querySelector('#plots [data-save={form}]').click()")
        page.settle()
        saved = page.run("return window.saved")
        root = ElementTree.fromstring(saved["size-plot.svg"])
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert "var(" not in saved["size-plot.svg"]
        assert "Parameters (log scale)" in "".join(root.itertext())
        with Image.open(io.BytesIO(base64.b64decode(saved["size-plot.png"]))) as image:
            assert image.width == 2 * int(root.get("width"))
            assert len(set(image.convert("RGB").resize((60, 40)).getdata())) > 5

    def test_the_page_says_how_it_was_made(self, page, board, tmp_path, monkeypatch):
        said = page.find("#made").text
        assert said.startswith("Made with llave-bench ")
        assert said.endswith("by llave board --published --suite mmeb-ood --html board.html.")
        monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
        for name in ("one.html", "two.html"):
            write_page(tmp_path / name, board)
        assert (tmp_path / "one.html").read_bytes() == (tmp_path / "two.html").read_bytes()
        assert '"date":"2023-11-14"' in (tmp_path / "one.html").read_text(encoding="utf-8")

    def test_a_printer_gets_the_whole_table(self, page):
        models = len(page.models)
        page.choose("#columns", page.find("#columns option:nth-child(2)").text)
        shown = len(page.models)
        page.choose("#columns", "means and facts")
        with page.emulated(media="print"):
            page.run("dispatchEvent(new Event('beforeprint'))")
            filled = page.run(
                "return [...document.querySelectorAll('#table tbody tr')].filter((row) => row.innerText.trim()).length"
            )
            assert filled == models > shown
            style = "return getComputedStyle(document.querySelector('{}')).{}"
            assert page.run(style.format("#table thead", "display")) == "table-header-group"
            assert page.run(style.format("#board .scroll", "overflow")) == "visible"
            for selector in ("#filters", "nav", "#copy"):
                assert not page.find(selector).is_displayed()
        printed = page.driver.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True})
        pages = re.findall(rb"/Type\s*/Page\b", base64.b64decode(printed["data"]))
        assert 3 <= len(pages) <= 12


class TestEverybody:
    @pytest.mark.parametrize("scheme", ["light", "dark"])
    @pytest.mark.parametrize("width", [1400, 390])
    def test_axe_finds_nothing_in_any_view(self, page, scheme, width):
        with page.emulated(width=width, scheme=scheme):
            page.driver.refresh()
            page.driver.execute_cdp_cmd("Runtime.evaluate", {"expression": AXE.read_text(encoding="utf-8")})
            for view in (1, 2):
                page.run(f"get('columns').selectedIndex = {view - 1}; state.record(); drawTable(); fillShown(Infinity)")
                page.settle()
                assert _breaches(page) == []
            page.run("showModel(0)")
            assert _breaches(page) == []

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_text_on_every_shade_can_be_read(self, page, scheme):
        with page.emulated(scheme=scheme):
            page.choose("#columns", page.find("#columns option:nth-child(2)").text)
            contrasts = page.run("""
                const light = (rgb) => rgb.map((each) => each / 255).map((each) =>
                  each <= 0.04045 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4)
                  .reduce((sum, each, index) => sum + [0.2126, 0.7152, 0.0722][index] * each, 0);
                const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
                const cell = document.querySelector("td.heat");
                cell.append(Object.assign(document.createElement("small"), { textContent: "[1, 2]" }));
                const back = numbers(getComputedStyle(document.body).backgroundColor);
                return Array.from({ length: 21 }, (_, step) => {
                  cell.className = `heat h${step}`;
                  const [r, g, b, alpha = 1] = numbers(getComputedStyle(cell).backgroundColor);
                  const mixed = light([r, g, b].map((each, index) => alpha * each + (1 - alpha) * back[index]));
                  return [cell, cell.querySelector("small")].map((each) => {
                    const text = light(numbers(getComputedStyle(each).color).slice(0, 3));
                    return (Math.max(text, mixed) + 0.05) / (Math.min(text, mixed) + 0.05);
                  });
                });
            """)
        assert np.min(contrasts) >= 4.5
        assert len(contrasts) == 21

    def test_no_two_labels_overlap_and_none_leaves_its_plot(self, page):
        for width in (1400, 768, 390):
            with page.emulated(width=width):
                page.driver.refresh()
                page.settle()
                boxes, plot = page.run("""
                    const box = (each) => {
                      const { left, right, top, bottom } = each.getBoundingClientRect();
                      return [left, right, top, bottom];
                    };
                    return [[...document.querySelectorAll("#size-plot .label")].map(box), box(get("size-plot"))];
                """)
                assert len(boxes) >= 2
                for at, (left, right, top, bottom) in enumerate(boxes):
                    assert left >= plot[0] - 1
                    assert right <= plot[1] + 1
                    for other in boxes[:at]:
                        assert right <= other[0] or other[1] <= left or bottom <= other[2] + 3 or other[3] <= top + 3

    def test_ticks_are_1_2_or_5_times_a_power_of_ten(self, page):
        random = np.random.default_rng(1)
        ranges = [
            [float(low), float(low + wide)]
            for low, wide in zip(random.uniform(-90, 90, 200), 10 ** random.uniform(-3, 3, 200), strict=True)
        ]
        for (low, high), found in zip(
            ranges, page.run("return arguments[0].map(([low, high]) => ticks(low, high, 8))", ranges), strict=True
        ):
            assert 2 <= len(found) <= 8
            assert low - 1e-6 * abs(high - low) <= found[0] < found[-1] <= high + 1e-6 * abs(high - low)
            step = found[1] - found[0]
            assert f"{step:.6e}"[0] in "125"
            assert np.allclose(np.diff(found), step)
        for found in page.run(
            "return arguments[0].map(([low, high]) => logTicks(low, high, 8))", [[1e6, 9e9], [3e8, 1e10], [2e9, 8e9]]
        ):
            assert {f"{each:.0e}"[0] for each in found} <= set("125")
            assert len(found) >= 2


def _breaches(page: Page) -> list[str]:
    page.driver.set_script_timeout(120)
    return page.driver.execute_async_script("""
        const done = arguments[0];
        const told = ({ id, help, nodes }) => `${id}: ${help}: ${nodes.slice(0, 3).map((node) => node.html).join(" ")}`;
        axe.run({ resultTypes: ["violations"] }).then(({ violations }) => done(violations.map(told)));
    """)


def test_no_hostile_name_breaks_the_page(driver, tmp_path):
    made = hostile_board()
    write_page(tmp_path / "board.html", made, command="\u2028".join(NAMES))
    driver.get_log("browser")
    driver.get((tmp_path / "board.html").as_uri())
    page = Page(driver)
    views = page.run("return [...get('columns').options].map((each) => each.value)")
    assert len(views) == 4
    for view in range(len(views)):
        page.run(
            f"get('columns').selectedIndex = {view};"
            "get('columns').dispatchEvent(new Event('change', { bubbles: true }))"
        )
        heads = page.run("return document.querySelectorAll('#table thead button').length")
        for index in range(heads):
            page.run(f"document.querySelectorAll('#table thead button')[{index}].click()")
        page.settle()
        assert {
            clean(each)
            for each in page.run("return [...document.querySelectorAll('[data-open]')].map((each) => each.textContent)")
        } == {each.entry.label for each in made.standings()}
        for form in ("csv", "md", "tex"):
            assert page.run(f"return FORMS.get('{form}').make()")
    for index in range(len(made.standings())):
        page.run(f"get('side-a').selectedIndex = {index}; get('side-a').dispatchEvent(new Event('change'))")
        page.run(f"showModel({index}); get('model').close()")
    for index in range(page.run("return get('plot-score').options.length")):
        page.run(f"get('plot-score').selectedIndex = {index}; get('plot-score').dispatchEvent(new Event('change'))")
    page.driver.refresh()
    page.settle()
    assert page.run("return window.pwned") is None
    assert page.run("return document.querySelectorAll('script').length") == 2
    assert driver.get_log("browser") == []
    assert json.dumps(page.run("return data.columns.map((each) => each.name)"))
