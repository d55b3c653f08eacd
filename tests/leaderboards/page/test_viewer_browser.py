"""The queries of the page in a real browser: pictures, keys, the address, and what data may not do."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from leaderboards.board.board import Board
from leaderboards.load import load
from leaderboards.page.page import write_page
from tasks.suites import Suite, find_suite
from tests.helpers.browser import Page
from tests.helpers.page_values import HITS, HOSTILE, PLAIN, RIVAL, page_board, picture
from tests.helpers.record_values import row as plain_row
from tests.helpers.record_values import row_at, write_honest
from tests.helpers.result_values import result

ESCAPE, ENTER, TAB = "\ue00c", "\ue007", "\ue004"
PHONE = {"width": 390, "height": 800, "deviceScaleFactor": 1, "mobile": True}


@pytest.fixture(scope="module")
def address(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("page")
    board = page_board(folder / "results", text="y" * 100_000, images=picture(folder / "images"))
    write_page(folder / "board.html", board, queries=10)
    return (folder / "board.html").as_uri()


@pytest.fixture
def page(driver, address) -> Iterator[Page]:
    driver.get_log("browser")
    driver.get("about:blank")
    driver.get(address)
    yield Page(driver)
    assert driver.get_log("browser") == []


def _press(page: Page, keys: str) -> None:
    page.driver.switch_to.active_element.send_keys(keys)


def _open(page: Page) -> list[str]:
    return page.run("return [...document.querySelectorAll('.turn[aria-expanded=true] .id')].map((e) => e.textContent)")


def _ids(page: Page) -> list[str]:
    return page.run("return [...document.querySelectorAll('.turn .id')].map((e) => e.textContent.slice(6))")


def _start(page: Page) -> None:
    page.run("document.querySelector('#query-list .turn').focus()")


class TestClosed:
    def test_a_row_shows_query_answers_and_right_answer(self, page):
        page.choose("#query-task", "Words")
        page.choose("#query-model", RIVAL)
        page.choose("#query-against", PLAIN)
        heads = page.run(
            "return [...document.querySelectorAll('#query-list > li:first-child .head')].map((e) => e.textContent)"
        )
        assert heads == ["Query", "A: ✗ wrong", "B: ✓ right", "Right answer"]
        first = page.find("#query-list > li")
        shown = first.find_elements("css selector", ".row img")
        assert [image.get_attribute("alt") for image in shown] == [
            "Query 0: picture pictures/a.png",
            f"Answer of {PLAIN}: picture pictures/a.png",
            "Right answer: picture pictures/a.png",
        ]
        assert "✗ wrong, rank 3 of 3" in first.text

    def test_the_instruction_is_stripped_and_kept_on_demand(self, page):
        assert "asked 0" in page.find("#query-list .cell .words").text
        assert "Answer:" not in page.find("#query-list").text
        page.find("#query-list .turn").click()
        details = page.find("#query-list .open details")
        assert "Answer:" not in details.text
        details.find_element("css selector", "summary").click()
        assert "Answer:" in details.text

    def test_long_texts_are_cut(self, page):
        page.find("#query-list .turn").click()
        assert page.run("return document.querySelector('#queries').textContent.length") < 60_000

    def test_filters_are_those_of_the_scores(self, page):
        page.choose("#query-task", "Words")
        page.choose("#query-model", RIVAL)
        page.choose("#query-against", PLAIN)
        pairs = list(zip(HITS[PLAIN]["Words"], HITS[RIVAL]["Words"], strict=True))
        for name, wanted in {
            "lost to the other model": [str(at) for at, (a, b) in enumerate(pairs) if a > b],
            "gained over the other model": [str(at) for at, (a, b) in enumerate(pairs) if a < b],
            "right": [str(at) for at, (_, b) in enumerate(pairs) if b],
            "wrong or partly right": [str(at) for at, (_, b) in enumerate(pairs) if not b],
            "tied": [],
        }.items():
            page.choose("#query-show", name)
            assert _ids(page) == wanted
        page.choose("#query-show", "all")
        page.write("#query-search", "asked 6")
        assert _ids(page) == ["6"]

    def test_a_model_alone_has_one_answer(self, page):
        page.choose("#query-against", "none")
        assert page.texts("#query-list > li:first-child .head") == ["Query", "Answer", "Right answer"]


class TestOpened:
    def test_candidates_come_with_ranks_and_scores_and_the_right_one_is_marked(self, page):
        page.choose("#query-task", "Words")
        page.choose("#query-model", RIVAL)
        page.choose("#query-against", PLAIN)
        page.choose("#query-show", "lost to the other model")
        page.find("#query-list .turn").click()
        first, second = page.driver.find_elements("css selector", "#query-list .top")
        for top, place, score in ((first, 2, "0.100"), (second, 0, "0.900")):
            rows = top.find_elements("css selector", "li")
            assert [("✓ right answer" in each.text) for each in rows].index(True) == place
            assert rows[place].text.split()[:2] == [f"{place + 1}.", score]

    def test_the_whole_row_opens_and_closes(self, page):
        row = page.find("#query-list .row")
        row.find_element("css selector", ".head").click()
        assert _open(page) == ["query 0"]
        page.find("#query-list > li:nth-child(2) .turn").click()
        assert _open(page) == ["query 1"]
        page.find("#query-list > li:nth-child(2) .turn").click()
        assert _open(page) == []


class TestKeys:
    def test_j_and_k_go_on_and_back_and_escape_closes(self, page):
        _start(page)
        seen = []
        for key in ("j", "j", "j", "k", "k", "k", "k"):
            _press(page, key)
            seen += _open(page)
        assert seen == [f"query {number}" for number in (0, 1, 2, 1, 0, 0, 0)]
        assert page.run("return document.activeElement.className") == "turn"
        _press(page, ESCAPE)
        assert _open(page) == []

    def test_the_last_one_is_the_end(self, page):
        _start(page)
        for _ in range(15):
            _press(page, "j")
        assert _open(page) == [f"query {_ids(page)[-1]}"]

    def test_keys_are_letters_in_a_field_and_do_nothing_elsewhere(self, page):
        page.find("#query-search").send_keys("jk")
        assert page.find("#query-search").get_property("value") == "jk"
        assert _open(page) == []
        page.find("#query-search").clear()
        page.run("document.querySelector('#table button').focus()")
        _press(page, "j")
        assert _open(page) == []

    def test_the_page_says_which_keys_there_are(self, page):
        said = page.find("#queries").text
        assert "j next query" in said
        assert "k previous query" in said

    def test_everything_is_reached_by_tab(self, page):
        _start(page)
        _press(page, ENTER)
        assert _open(page) == ["query 0"]
        reached = set()
        for _ in range(8):
            _press(page, TAB)
            reached.add(page.run("return document.activeElement.className"))
        assert "picture picture" in reached


class TestEnlarged:
    @pytest.mark.parametrize("how", ["escape", "button", "backdrop"])
    def test_a_picture_opens_and_the_focus_returns(self, page, how):
        page.run("document.querySelector('#query-list .picture').focus()")
        _press(page, ENTER)
        assert page.find("#picture").is_displayed()
        assert page.find("#picture-head").text == "Query 0: pictures/a.png"
        width = page.run("return document.querySelector('#picture-body img').getBoundingClientRect().width")
        small = page.run("return document.querySelector('#query-list .picture img').getBoundingClientRect().width")
        assert width >= 4 * small
        if how == "escape":
            _press(page, ESCAPE)
        elif how == "button":
            page.find("#picture form button").click()
        else:
            page.run("document.querySelector('#picture').click()")
        assert not page.find("#picture").is_displayed()
        time.sleep(0.1)
        assert page.run("return document.activeElement.className") == "picture picture"
        assert _open(page) == []  # the key closed the picture, and the row was not clicked

    def test_keys_do_not_move_on_behind_it(self, page):
        page.find("#query-list .picture").click()
        _press(page, "j")
        assert _open(page) == []
        _press(page, ESCAPE)


class TestAddress:
    def test_it_brings_back_what_was_chosen(self, page, address):
        page.choose("#query-task", "Scenes")
        page.choose("#query-model", RIVAL)
        page.choose("#query-against", "none")
        page.choose("#query-show", "right")
        page.find("#query-list > li:nth-child(2) .turn").click()
        there = page.driver.current_url
        assert there.startswith(f"{address}#")
        page.driver.get("about:blank")
        page.driver.get(there)
        chosen = [page.find(f"#query-{each}").get_property("value") for each in ("task", "model", "against", "show")]
        assert chosen == ["Scenes", RIVAL, "none", "right"]
        assert _open(page) == ["query 1"]

    def test_back_closes_and_forward_opens(self, page):
        page.find("#query-list .turn").click()
        page.find("#query-list > li:nth-child(3) .turn").click()
        page.driver.back()
        time.sleep(0.2)
        assert _open(page) == ["query 0"]
        page.driver.back()
        time.sleep(0.2)
        assert _open(page) == []

    @pytest.mark.parametrize(
        "fragment",
        [
            "query-task=nothing",
            "query-model=constructor",
            "query-show=constructor",
            "query-show=__proto__",
            "query=%00",
        ],
    )
    def test_an_address_that_names_nothing_shows_the_start(self, page, address, fragment):
        page.driver.get("about:blank")
        page.driver.get(f"{address}#{fragment}")
        assert len(_ids(page)) == 10
        assert _open(page) == []


def test_names_that_javascript_has_itself_are_only_names(driver, tmp_path):
    """Datasets, models, media and ids."""
    names = ("constructor", "__proto__", "toString")
    for model in names:
        for task in names:
            rows = [plain_row(each, hit, at) for at, (each, hit) in enumerate(zip(names, (1.0, 0.0, 1.0), strict=True))]
            for each in rows:
                each["content"] = {"text": HOSTILE, "media": [*names, HOSTILE]}
            made = result(task, model)
            write_honest(tmp_path / model, made, rows)
    board = Board.of_records(load([tmp_path]).records, Suite("these", "names", names, ()))
    write_page(tmp_path / "page.html", board, queries=3)
    driver.get_log("browser")
    driver.get((tmp_path / "page.html").as_uri())
    page = Page(driver)
    assert page.run("return [...document.querySelector('#query-task').options].map((e) => e.value)") == list(names)
    for name in names:
        page.choose("#query-task", name)
        page.find("#query-list > li:nth-child(2) .turn").click()
        assert len(_open(page)) == 1
        assert "constructor (no picture)" in page.find("#query-list > li:nth-child(2) .open").text
    assert page.run("return [window.pwned, document.querySelectorAll('script').length]") == [None, 3]
    assert driver.get_log("browser") == []


def test_missing_pictures_are_named_and_counted(driver, tmp_path):
    write_page(tmp_path / "page.html", page_board(tmp_path / "results"), queries=3)
    driver.get((tmp_path / "page.html").as_uri())
    page = Page(driver)
    assert "pictures/a.png (no picture)" in page.find("#query-list .row").text
    assert page.find("#query-notes").text == "2 pictures could not be found or opened when this page was made."


def test_a_tie_is_no_success(driver, tmp_path):
    rows = [row_at(str(number), 1, 220, cluster=number) for number in range(4)]
    for model in ("a", "b"):
        write_honest(tmp_path / model, result("Task", model), rows)
    board = Board.of_records(load([tmp_path]).records, Suite("these", "one", ("Task",), ()))
    write_page(tmp_path / "page.html", board, queries=4)
    driver.get((tmp_path / "page.html").as_uri())
    page = Page(driver)
    assert page.find("#query-list .turn").text.startswith("≈ tied with 219 others")
    assert "✓ right" not in page.find("#query-list .row").text
    page.choose("#query-show", "tied")
    assert len(_ids(page)) == 4
    page.choose("#query-show", "right")
    assert _ids(page) == []


def test_pictures_beside_the_page_are_shown(driver, tmp_path):
    board = page_board(tmp_path / "results", images=picture(tmp_path / "images"))
    write_page(tmp_path / "my page.html", board, queries=3, beside=True)
    driver.get_log("browser")
    driver.get((tmp_path / "my page.html").as_uri())
    page = Page(driver)
    page.run("document.querySelector('#query-list').scrollIntoView()")
    page.driver.set_script_timeout(10)
    widths = page.driver.execute_async_script(
        "const done = arguments[0]; const all = [...document.querySelectorAll('#query-list > li:first-child img')];"
        "Promise.all(all.map((image) => image.decode())).then(() => done(all.map((image) => image.naturalWidth)))"
    )
    assert set(widths) == {640}
    assert driver.get_log("browser") == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_and_lines_have_contrast(page, scheme):
    """4.5 for text, 3 for lines, by WCAG's formula."""
    page.driver.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    )
    found = page.run("""
        const style = getComputedStyle(document.documentElement);
        const light = (name) => {
          const hex = style.getPropertyValue(`--${name}`).trim();
          const part = (at) => { const v = parseInt(hex.slice(at, at + 2), 16) / 255;
                                 return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; };
          return 0.2126 * part(1) + 0.7152 * part(3) + 0.0722 * part(5);
        };
        const ratio = (a, b) => (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        return Object.fromEntries(["right", "wrong", "right-text", "wrong-text", "tied-text", "faint"].map((name) =>
          [name, Math.min(...["back", "raised"].map((back) => ratio(light(name), light(back))))]));
    """)
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    assert {name for name, ratio in found.items() if ratio < (4.5 if "-" in name or name == "faint" else 3)} == set()


def test_on_a_phone_nothing_is_wider_than_the_screen(page):
    page.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", PHONE)
    page.run("document.querySelector('#query-list .turn').click()")
    time.sleep(0.2)
    wide = page.run("return document.documentElement.scrollWidth")
    small = page.run(
        "return [...document.querySelectorAll('#queries button, #queries select')].filter((e) => e.offsetParent)"
        ".filter((e) => e.getBoundingClientRect().height < 24).map((e) => e.outerHTML.slice(0, 80))"
    )
    page.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert wide <= PHONE["width"]
    assert small == []


def test_everything_has_a_name_for_a_screen_reader(page):
    page.run("document.querySelector('#query-list .turn').click()")
    page.driver.execute_cdp_cmd("Accessibility.enable", {})
    nodes = page.driver.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    roles = [(n.get("role", {}).get("value"), n.get("name", {}).get("value", "")) for n in nodes if not n["ignored"]]
    need = {"button", "combobox", "searchbox", "image", "dialog", "region"}
    assert [role for role, name in roles if role in need and not name.strip()] == []
    assert any(role == "image" and "picture pictures/a.png" in name for role, name in roles)
    inside = page.run("return document.querySelectorAll('button button, summary button, a button').length")
    twice = page.run(
        "const ids = [...document.querySelectorAll('[id]')].map((e) => e.id); return ids.length - new Set(ids).size"
    )
    assert (inside, twice) == (0, 0)


def test_five_models_of_36_datasets_draw_only_what_is_seen(driver, tmp_path):
    random = np.random.default_rng(0)
    suite = find_suite("mmeb")
    for number in range(40):
        Image.fromarray(random.integers(0, 255, (24, 24, 3), dtype=np.uint8)).save(tmp_path / f"{number}.png")
    places = [{"kind": "image", "folder": str(tmp_path)}]
    for model in range(5):
        for task in suite.tasks:
            hits = (random.random(40) < 0.5).astype(float).tolist()
            rows = [plain_row(str(index), hit, index) for index, hit in enumerate(hits)]
            for index, each in enumerate(rows):
                each["content"] = {"text": f"asked {index}", "media": [f"{index}.png"]}
            made = result(task, f"m{model}")
            write_honest(tmp_path / f"m{model}", replace(made, dataset={**made.dataset, "places": places}), rows)
    write_page(tmp_path / "big.html", Board.of_records(load([tmp_path]).records, suite), queries=10)
    data = json.loads((tmp_path / "big.html").read_text("utf-8").split('id="data">')[1].split("</script>")[0])
    queries = sum(len(task["queries"]) for task in data["viewer"]["tasks"])
    driver.get((tmp_path / "big.html").as_uri())
    page = Page(driver)
    assert queries > 36 * 25
    assert len(_ids(page)) == len(data["viewer"]["tasks"][0]["queries"])
    assert page.run("return document.querySelectorAll('.open > *').length") == 0
