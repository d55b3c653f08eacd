"""The page in a real browser, without a screen. Needs Debian's `chromium` and `chromium-driver`, and selenium."""

from __future__ import annotations

import json
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest

from harness.errors import visible
from harness.results.numbers import percent, points
from leaderboards.board.board import Board
from leaderboards.compare.compare import compare
from leaderboards.page.page import write_page
from tasks.suites import find_suite
from tests.helpers.browser import Page
from tests.helpers.page_values import EVIL, HOSTILE, PLAIN, RIVAL, page_board, picture
from tests.helpers.record_values import in_memory

ORDER = [PLAIN, "mean only", "printed", RIVAL, EVIL]
PHONE = {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True}


@pytest.fixture(scope="module")
def board(tmp_path_factory) -> Board:
    return page_board(tmp_path_factory.mktemp("results"))


@pytest.fixture(scope="module")
def address(board, tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("page")
    write_page(folder / "board.html", board, queries=10, images=[picture(folder / "images")])
    return (folder / "board.html").as_uri()


@pytest.fixture
def page(driver, address) -> Page:
    driver.get_log("browser")
    driver.get(address)
    yield Page(driver)
    assert driver.get_log("browser") == []  # no error, and nothing that the policy had to refuse


def _seen(name: str) -> str:
    return " ".join(visible(name).split())


def test_it_shows_the_board_in_its_order(page, board):
    assert page.models == [_seen(each.entry.label) for each in board.standings()] == list(map(_seen, ORDER))
    assert page.find("#count").text == "5 models, 5 rows"


def test_a_button_sorts_and_says_how(page):
    def head() -> str:
        return page.find("#table thead th:nth-child(5)").get_attribute("aria-sort")

    page.click("#table thead button", "retrieval")
    assert (head(), page.models[0], page.models[-1]) == ("descending", PLAIN, "mean only")
    page.click("#table thead button", "retrieval")
    assert (head(), page.models[0], page.models[-1]) == ("ascending", _seen(EVIL), "mean only")
    assert page.run("return document.activeElement.textContent") == "retrieval"
    page.click("#table thead button", "model")
    assert page.models == sorted(map(_seen, ORDER))


def test_the_search_and_the_filters_leave_what_fits(page):
    page.write("#search", "PRINTED")
    assert page.models == ["printed"]
    page.write("#search", "no such model")
    assert (page.models, page.find("#count").text) == ([], "0 of 5 models, 0 of 5 rows")
    page.find("button[type=reset]").click()
    page.find("#kinds input[value=measured]").click()
    assert page.models == ["mean only", "printed"]
    page.find("button[type=reset]").click()
    page.write("#size-from", "1")
    assert page.models == [PLAIN, "printed"]
    page.write("#size-to", "2")
    assert page.models == [PLAIN]


def test_columns_are_the_datasets_of_a_meta_task(page):
    page.choose("#columns", "datasets of retrieval")
    assert page.texts("#table thead button") == ["rank", "model", "data source", "retrieval", "Scenes"]
    assert page.find("#count").text == "4 of 5 models, 4 of 5 rows; 1 without any of these datasets"
    shades = page.run(
        "return [...document.querySelectorAll('td.heat')].map((e) => Number(/h(\\d+)/.exec(e.className)[1]))"
    )
    assert shades == [round(20 * max(0.0, each - 1 / 3) / (2 / 3)) for each in (0.6, 0.3, 0.2, 0.0)]  # chance is 1 / 3


def test_a_model_can_be_opened_and_closed_by_keyboard(page):
    page.run("document.querySelector('#table tbody .name button').focus()")
    page.driver.switch_to.active_element.send_keys("\ue007")
    assert page.find("#model").is_displayed()
    assert page.find("#model-head").text == PLAIN
    page.driver.switch_to.active_element.send_keys("\ue00c")
    assert not page.find("#model").is_displayed()


def test_two_models_are_compared_as_the_command_does(page, board):
    entries = {each.entry.label: each.entry for each in board.standings()}
    found = compare(entries[PLAIN], entries[RIVAL], board.suite, board.sizes)
    page.choose("#side-a", PLAIN)
    page.choose("#side-b", RIVAL)
    rows = {
        row.get_attribute("data-name"): [cell.text for cell in row.find_elements("css selector", "td:not(.drawn)")]
        for row in page.driver.find_elements("css selector", "#changes tbody tr")
    }
    for each in (*found.means, *found.datasets):
        assert rows[each.name][-3:] == [str(each.wins), str(each.ties), str(each.losses)]
        assert rows[each.name][:3] == [percent(each.a), percent(each.b), points(each.value)]
    told = page.find("#verdict").text
    page.find("#swap").click()
    assert "below" in told
    assert "above" in page.find("#verdict").text


def test_hostile_names_and_captions_are_text(page):
    page.choose("#query-show", "all")
    page.run("document.querySelectorAll('#query-list .turn').forEach((each) => each.click())")
    page.run("document.querySelectorAll('#table tbody .name button')[4].click()")
    time.sleep(0.2)
    assert visible(HOSTILE) in page.run("return document.querySelector('#model-head').textContent")
    assert visible(HOSTILE) in page.run("return document.querySelector('#query-list').textContent")
    assert page.run("return window.pwned") is None
    assert page.run("return document.querySelectorAll('script').length") == 3
    assert page.run("return [...document.images].filter((img) => !img.src.startsWith('data:')).length") == 0
    page.run("document.querySelector('#model').close()")


def test_no_request_leaves_the_page(driver, address):
    """What the page does asks for nothing; and what it does not do, were it ever to, would be refused."""
    asked = []

    class Listener(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)

    server = HTTPServer(("127.0.0.1", 0), Listener)
    Thread(target=server.serve_forever, daemon=True).start()
    driver.get_log("performance")
    driver.get(address)
    driver.execute_script("document.querySelectorAll('#query-list .turn').forEach((each) => each.click())")
    try_all = """
        const [url, done] = arguments;
        for (const [tag, key] of [["img", "src"], ["script", "src"]]) {
          const made = document.createElement(tag);
          made[key] = url + tag;
          document.body.append(made);
        }
        document.body.append(Object.assign(document.createElement("link"), { rel: "stylesheet", href: url + "link" }));
        const inline = document.createElement("script");
        inline.textContent = "window.pwned = 1";
        document.body.append(inline);
        navigator.sendBeacon(url + "beacon");
        fetch(url + "fetch").then(() => done("sent"), () => setTimeout(done, 300, "refused"));
    """
    assert driver.execute_async_script(try_all, f"http://127.0.0.1:{server.server_port}/") == "refused"
    server.shutdown()
    assert asked == []
    assert driver.execute_script("return window.pwned") is None
    events = [json.loads(each["message"])["message"] for each in driver.get_log("performance")]
    sent = [each["params"]["request"]["url"] for each in events if each["method"] == "Network.requestWillBeSent"]
    outside = [url for url in sent if not url.startswith(("file:", "data:")) and f":{server.server_port}/" not in url]
    assert outside == []
    driver.get_log("browser")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_as_light_or_dark_as_asked(driver, address, scheme):
    driver.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    )
    driver.get(address)
    colour = "return getComputedStyle(document.{}).{}.match(/\\d+/g).map(Number)"
    back, text = (
        sum(driver.execute_script(colour.format(*each))) for each in (("body", "backgroundColor"), ("body", "color"))
    )
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    assert (back > text) is (scheme == "light")
    assert abs(back - text) > 400


def test_on_a_phone_the_page_is_not_wider_than_the_screen_and_names_stay(driver, address):
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", PHONE)
    driver.get(address)
    driver.execute_script("document.querySelectorAll('#query-list .turn').forEach((each) => each.click())")
    time.sleep(0.2)
    wide = driver.execute_script("return document.documentElement.scrollWidth")
    driver.execute_script("document.querySelector('#board .scroll').scrollLeft = 400")
    left = driver.execute_script(
        "const at = (name) => document.querySelector(name).getBoundingClientRect().left;"
        "return at('#table tbody .name') - at('#board .scroll')"
    )
    driver.execute_script("document.querySelector('#board .scroll').scrollLeft = 0")
    heads = driver.execute_script(
        "return [...document.querySelectorAll('#table thead th')].filter("
        "(head) => head.getBoundingClientRect().right <= innerWidth).map((head) => head.textContent)"
    )
    driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert heads[:3] == ["rank", "model", "overall"]
    assert wide <= PHONE["width"]
    assert 0 <= left <= 2


def test_every_field_has_a_name_and_every_table_its_heads(page):
    """As the browser's own accessibility tree has it."""
    page.driver.execute_cdp_cmd("Accessibility.enable", {})
    nodes = page.driver.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    roles = [
        (each.get("role", {}).get("value"), each.get("name", {}).get("value", ""))
        for each in nodes
        if not each["ignored"]
    ]
    need_names = {"button", "combobox", "searchbox", "spinbutton", "checkbox", "table", "link", "image", "dialog"}
    assert [role for role, name in roles if role in need_names and not name.strip()] == []
    found = {role for role, _ in roles}
    assert {"table", "columnheader", "rowheader", "searchbox", "spinbutton", "navigation", "main"} <= found


def test_plots_without_points_are_gone_and_say_so(page):
    assert page.find("#size-plot").is_displayed()
    page.write("#search", "mean only")
    page.settle()
    assert not page.find("#size-plot").is_displayed()
    assert page.find("#plot-gaps").text.startswith("No model above has both overall and parameters.")


def test_every_cell_of_models_by_36_datasets_is_drawn(driver, tmp_path):
    random = np.random.default_rng(0)
    suite = find_suite("mmeb")
    records = [
        in_memory(task, f"model-{m:03d}", (random.random(40) < 0.2 + m / 40).astype(float))
        for m in range(20)
        for task in suite.tasks
    ]
    path = Path(tmp_path / "big.html")
    write_page(path, Board.of_records(records, suite))
    driver.get(path.as_uri())
    Page(driver).choose("#columns", "all 36 datasets")
    Page(driver).settle()
    assert driver.execute_script("return document.querySelectorAll('#table td.heat').length") == 720
