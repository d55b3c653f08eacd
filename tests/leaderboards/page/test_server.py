"""The live page: what is served, what is refused, and that it follows a growing folder. One test uses a browser."""

from __future__ import annotations

import http.client
import io
import json
import os
import shutil
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from harness.errors import UserError
from leaderboards.board.board import Board
from leaderboards.load import load
from leaderboards.page.analyses import analyses_of
from leaderboards.page.live import LivePage, Shelf
from leaderboards.page.server import PageServer, answer, is_allowed
from leaderboards.pictures import Pictures
from tests.helpers.browser import Page
from tests.helpers.page_values import HITS, PLAIN, RIVAL, SUITE, page_board, picture

PLACE = "return document.querySelector('#item-7').getBoundingClientRect().top"
FORMS = ("/", "/digest", "/favicon.ico")


class Reply(NamedTuple):
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def live_page(folder: Path, said: list[str] | None = None) -> LivePage:
    """The page of a folder of results."""

    def make() -> Shelf:
        loaded = load([folder])
        board = Board.of_records(loaded.records, SUITE)
        return Shelf(board, analyses_of(board, [folder])[0], loaded.warnings)

    return LivePage([folder], make, Pictures(), (said if said is not None else []).append)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("live")
    page_board(place / "results", images=picture(place / "images"))
    return place


@pytest.fixture(scope="module")
def live(folder: Path) -> LivePage:
    return live_page(folder / "results")


@pytest.fixture(scope="module")
def server(live: LivePage) -> Iterator[PageServer]:
    with served(live) as running:
        yield running


@contextmanager
def served(live: LivePage) -> Iterator[PageServer]:
    """A server in a thread of its own."""
    with PageServer(live, "127.0.0.1", 0, lambda _: None) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def ask(server: PageServer, path: str = "/", method: str = "GET", **headers: str) -> Reply:
    """A request with exactly these bytes of a path."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=30)
    connection.putrequest(method, "/", skip_host=True, skip_accept_encoding=True)
    connection._buffer[0] = f"{method} {path} HTTP/1.1".encode("latin-1")  # http.client would refuse some paths
    for name, value in {"Host": f"localhost:{server.server_port}", **headers}.items():
        connection.putheader(name.replace("_", "-"), value)
    connection.endheaders()
    found = connection.getresponse()
    reply = Reply(found.status, dict(found.getheaders()), found.read())
    connection.close()
    return reply


def page_values(live: LivePage) -> dict[str, object]:
    """The data of the page as it is now."""
    text = live.page()[1].text
    return json.loads(text.partition('<script type="application/json" id="data">')[2].partition("</script>")[0])


def queries_of(live: LivePage, number: int = 0) -> dict[str, object]:
    digest, _ = live.page()
    return json.loads(live.queries(digest, number) or b"")


def test_all_queries_of_a_dataset_are_served_with_their_pictures(server, live):
    task = page_values(live)["viewer"]["tasks"][0]
    reply = ask(server, f"/{task['address']}")
    view = json.loads(reply.body)
    assert [each["id"] for each in view["queries"]] == [str(index) for index in range(task["of"])]
    shown = next(each for each in view["media"] if each["src"])
    sizes = {}
    for kind in ("src", "large"):
        found = ask(server, f"/{shown[kind][0]}")
        assert (found.status, found.headers["Content-Type"]) == (200, "image/webp")
        sizes[kind] = Image.open(io.BytesIO(found.body)).size
    assert sizes == {"src": (320, 160), "large": (640, 320)}


def test_a_head_has_the_headers_of_a_get_and_no_body(server):
    got, head = ask(server), ask(server, method="HEAD")
    dates = {"Date": ""}
    assert head.body == b""
    assert {**got.headers, **dates} == {**head.headers, **dates}


def test_every_answer_forbids_what_it_does_not_need(server):
    for path in (*FORMS, "/nothing"):
        headers = ask(server, path).headers
        assert headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "frame-ancestors 'none'" in ask(server).headers["Content-Security-Policy"]


def test_a_page_that_the_browser_has_is_not_sent_again(server):
    tag = ask(server).headers["ETag"]
    again = ask(server, If_None_Match=tag)
    assert (again.status, again.body) == (304, b"")


@pytest.mark.parametrize(
    "path",
    [
        "/../../../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/..%2f..%2fetc%2fpasswd",
        "/media/../../etc/passwd",
        "/media/{key}/0/large/../../../../etc/passwd",
        "/media/{key}/0/large\x00.webp",
        "/media/{key}/0/large%00",
        "/media/{key}/1/large",
        "/media/{other}/0/large",
        "/queries/{digest}/99",
        "/queries/{digest}/-1",
        "/queries/{other}/0",
        "/queries/0000000000000000/0",
        "//etc/passwd",
        "file:///etc/passwd",
        "http://127.0.0.1/etc/passwd",
        "/results",
        "/page.html",
        "/\\..\\etc",
    ],
)
def test_a_path_of_another_form_leads_nowhere(server, live, path):
    digest, _ = live.page()
    key = next(each["src"][0] for each in queries_of(live)["media"] if each["src"]).split("/")[1]
    reply = ask(server, path.replace("{key}", key).replace("{digest}", digest).replace("{other}", "0" * 32))
    assert (reply.status, reply.body) == (404, b"404 Not Found\n")


@given(path=st.text("/.%\\:?#0aef2medialargequeries\0 ", max_size=40).filter(lambda text: text not in FORMS))
def test_no_other_path_finds_anything(live, path):
    assert answer(live, path).status == answer(live, f"/media/{path}").status == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT"])
def test_other_methods_are_refused(server, method):
    reply = ask(server, method=method)
    assert (reply.status, reply.headers["Allow"]) == (405, "GET, HEAD")


def test_an_unknown_method_is_refused(server):
    assert ask(server, method="BREW").status == 501


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:80", "localhost.evil.example", "", "[::1].x"])
def test_a_name_of_another_site_is_refused(server, host):
    assert ask(server, Host=host).status == 421


@pytest.mark.parametrize(
    "host", ["localhost", "127.0.0.1:8765", "[::1]:80", "192.168.1.5", "Localhost:1", "mine.lan:9"]
)
def test_addresses_of_numbers_and_the_chosen_name_are_allowed(host):
    assert is_allowed(host, "mine.lan")
    assert not is_allowed(f"{host}.example", "mine.lan")


def test_a_picture_behind_a_link_to_another_folder_is_not_served(folder, tmp_path):
    page_board(tmp_path / "results", images=picture(tmp_path / "images"))
    live = live_page(tmp_path / "results")
    address = next(each["large"][0] for each in queries_of(live)["media"] if each["src"])
    assert answer(live, f"/{address}").status == 200
    inside = tmp_path / "images" / "pictures" / "a.png"
    inside.unlink()
    inside.symlink_to(folder / "images" / "pictures" / "a.png")
    assert answer(live, f"/{address}").status == 404
    assert not any(each["src"] for each in queries_of(live_page(tmp_path / "results"))["media"])


def test_the_page_follows_results_that_land_change_and_go(folder, tmp_path):
    said: list[str] = []
    live = live_page(tmp_path / "results", said)
    assert "No results yet" in live.page()[1].text
    models, digests = [], [live.digest()]
    for name in (PLAIN, RIVAL):
        shutil.copytree(folder / "results" / name, tmp_path / "results" / name)
        models.append([each["label"] for each in page_values(live)["rows"]])
        digests.append(live.digest())
    assert models == [[PLAIN], [PLAIN, RIVAL]]
    before = live.page()[0]
    assert len(queries_of(live)["queries"]) == 10
    shutil.rmtree(tmp_path / "results" / RIVAL)
    assert answer(live, f"/queries/{before}/0").status == 200  # of the page that readers still have
    assert live.digest() != digests[-1]
    assert [each["label"] for each in page_values(live)["rows"]] == [PLAIN]
    assert answer(live, f"/queries/{before}/0").status == 404
    assert len(said) == len(set(said)) == 1  # that there were none at first


def test_a_page_is_made_once_for_the_same_results(folder):
    made: list[int] = []
    live = live_page(folder / "results")
    make = live._make
    live._make = lambda: (made.append(1), make())[1]
    assert live.page() == live.page()
    assert made == [1]


def test_a_port_that_is_taken_is_said(server, live):
    with pytest.raises(UserError, match="Address already in use"):
        PageServer(live, "127.0.0.1", server.server_port, lambda _: None)


def test_a_host_that_is_not_of_this_machine_is_said(live):
    with pytest.raises(UserError, match=r"192\.0\.2\.1"):
        PageServer(live, "192.0.2.1", 0, lambda _: None)


def test_the_command_serves_until_it_is_interrupted(llave, folder, server):
    taken = llave("serve", folder / "results", "--port", server.server_port)
    assert (taken.code, "--port 0" in taken.err) == (2, True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    seen: list[int] = []
    reader = threading.Thread(target=_read_and_interrupt, args=(port, seen))
    reader.start()
    done = llave("serve", folder / "results", "--port", port)
    reader.join()
    assert (done.code, seen) == (130, [200])
    assert f"http://127.0.0.1:{port}/" in done.out


def _read_and_interrupt(port: int, seen: list[int]) -> None:
    while not seen:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            connection.request("GET", "/digest")
            seen.append(connection.getresponse().status)
            connection.close()
        except ConnectionRefusedError:
            time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGINT)


def test_an_unknown_suite_ends_the_command(llave, folder):
    done = llave("serve", folder / "results", "--suite", "mmebb", "--port", 0)
    assert (done.code, "mmebb" in done.err) == (2, True)


def _wait(until: Callable[[], object]) -> None:
    end = time.monotonic() + 60
    while not until():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_in_a_browser_it_follows_and_the_reader_stays_in_place(driver, folder, tmp_path):
    shutil.copytree(folder / "results" / PLAIN, tmp_path / "results" / PLAIN)
    driver.get_log("browser")
    with served(live_page(tmp_path / "results")) as running:
        driver.get(f"{running.address}#query-task=Scenes&query=7&at=queries")
        page = Page(driver)
        _wait(lambda: page.texts(".turn[aria-expanded=true] .id"))
        assert page.models == [PLAIN]
        assert page.find("#query-count").text == f"{len(HITS[PLAIN]['Scenes'])} of 10 queries."
        page.find("#query-7 .picture").click()
        _wait(lambda: page.run("return document.querySelector('#picture-body img').naturalWidth") == 640)
        page.run("document.querySelector('#picture').close()")  # which returns the focus
        page.settle()
        page.run("scrollBy(0, 150)")
        place = page.run(PLACE)
        shutil.copytree(folder / "results" / RIVAL, tmp_path / "results" / RIVAL)
        _wait(lambda: page.models == [PLAIN, RIVAL])
        _wait(lambda: page.texts(".turn[aria-expanded=true] .id") == ["query 7"])
        _wait(lambda: abs(page.run(PLACE) - place) <= 1)
        _wait(lambda: page.find("#live").text == "These results are followed as they grow.")
        assert "Agreement" in page.texts("nav a")  # there are two models now
        missed = page.texts(".analysis .link")[0]
        page.click(".analysis .link", missed)
        _wait(lambda: page.texts(".turn[aria-expanded=true] .id") == [f"query {missed}"])
        driver.get("about:blank")
    assert driver.get_log("browser") == []
