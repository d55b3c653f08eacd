"""A name is found, or the message says why not: for every spelling, whatever lies on the disk."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import BadMedia, UserError, shortened
from harness.media.places import resolve
from harness.media.spellings import _names
from harness.types import Media

NAMES = ("p.png", "dir/Café é.png", "ü/dir b/ñandú.jpeg", "dir/가나.png", "a/b/c/Å.PNG")
USED, OTHER_CASE, GONE = "used", "in other letter case", "does not exist"


def nfc(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def nfd(name: str) -> str:
    return unicodedata.normalize("NFD", name)


SPELLINGS: dict[str, tuple[Callable[[str, Path], str], str]] = {
    "plain": (lambda name, _: name, USED),
    "NFC": (lambda name, _: nfc(name), USED),
    "NFD": (lambda name, _: nfd(name), USED),
    "NFD of the first half": (lambda name, _: nfd(name[: len(name) // 2]) + nfc(name[len(name) // 2 :]), USED),
    "dots and slashes": (lambda name, _: f"./{name.replace('/', '//')}", USED),
    "backslashes": (lambda name, _: name.replace("/", "\\"), USED),
    "absolute": (lambda name, root: f"{root}/{name}", USED),
    "absolute, NFD": (lambda name, root: f"{root}/{nfd(name)}", USED),
    "other case": (lambda name, _: name.swapcase(), OTHER_CASE),
    "upper ending": (lambda name, _: f"{name[:-4]}{name[-4:].swapcase()}", OTHER_CASE),
    "space after": (lambda name, _: f"{name} ", "has spaces at an end, and"),
    "space before": (lambda name, _: f" {name}", "has spaces at an end, and"),
    "line feed": (lambda name, _: f"{name}\n", "has spaces at an end, and"),
    "quotes": (lambda name, _: f'"{name}"', "has quotes around it, and"),
    "%-escapes": (lambda name, _: quote(name, safe="/").replace("p", "%70").replace("P", "%50"), "%-escapes, and"),
    "doubled folder": (lambda name, root: f"{root.name}/{name}", "paths are relative to"),
    "longer path": (lambda name, _: f"./data/eval/{name}", "paths are relative to"),
    "home": (lambda name, _: f"~/{name}", "~ is not expanded"),
    "other machine": (lambda name, _: f"/mnt/gone/{name}", "leaves the folder"),
    "file:": (lambda name, root: f"file://{root}/{quote(name)}", "is a file: address"),
    "one slash": (lambda name, root: f"file:{root}/{name}", "is a file: address"),
    "https": (lambda name, _: f"https://example.org/{name}", "addresses are not fetched"),
    "s3": (lambda name, _: f"s3://bucket/../{name}", "addresses are not fetched"),
    "HTTP": (lambda name, _: f"HTTP://EXAMPLE.ORG/{name}", "addresses are not fetched"),
    "data:": (
        lambda name, _: f"data:image/png;base64,iVBORw0KGgo{name.encode().hex() * 500}",
        "data: images are not read",
    ),
    "drive": (lambda name, _: "C:\\data\\" + name.replace("/", "\\"), "is an absolute Windows path"),
    "drive, slashes": (lambda name, _: f"d:/data/{name}", "is an absolute Windows path"),
    "share": (lambda name, _: "\\\\srv\\share\\" + name.replace("/", "\\"), "is an absolute Windows path"),
    "above": (lambda name, _: f"x/../{name}", "leaves the folder"),
    "above, backslashes": (lambda name, _: "..\\" + name.replace("/", "\\"), "leaves the folder"),
}
ALWAYS = {
    "leaves the folder",
    "is a file: address",
    "addresses are not fetched",
    "data: images are not read",
    "is an absolute Windows path",
}
GUIDED = (
    "doubled folder",
    "longer path",
    "home",
    "other machine",
    "file:",
    "one slash",
    "drive",
    "drive, slashes",
    "share",
)
"""Spellings whose message gives the right name, if the file is there."""
STATES: dict[str, Callable[[str], list[str]]] = {
    "there": lambda name: [name],
    "there in NFC": lambda name: [nfc(name)],
    "there in NFD": lambda name: [nfd(name)],
    "there in other case": lambda name: [name.swapcase()],
    "missing": lambda name: ["another.png"],
}


def put(root: Path, name: str) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(name.encode())
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    try:
        (folder / "é").touch()
        if (folder / nfd("é")).exists() or (folder / "É").exists():
            pytest.skip("this disk does not tell names apart by form or case")
    finally:
        (folder / "é").unlink()
    return folder


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_found_or_the_message_names_the_cause(root: Path, name: str, spelling: str, state: str) -> None:
    spell, outcome = SPELLINGS[spelling]
    (file,) = [put(root, each) for each in STATES[state](name)]
    media = Media("image", spell(name, root), root)
    written = PurePosixPath(media.name.replace("\\", "/"))
    relative = written.relative_to(root) if written.is_absolute() and outcome == USED else written
    if state == "missing" or (state == "there in other case" and outcome not in (USED, OTHER_CASE)):
        outcome = outcome if outcome in ALWAYS else GONE
    elif outcome in (USED, OTHER_CASE):
        outcome = USED if nfc(str(relative)) == nfc(file.relative_to(root).as_posix()) else OTHER_CASE
    if outcome == USED:
        assert resolve(media) == file
        return
    with pytest.raises(BadMedia) as caught:
        resolve(media)
    assert outcome in caught.value.what
    assert caught.value.hint
    assert len(str(caught.value)) < 600 + 2 * len(str(root))
    if spelling in GUIDED and state in ("there", "there in NFC", "there in NFD"):
        assert f"write {shortened(file.relative_to(root).as_posix())!r}" in caught.value.hint


def test_of_two_forms_the_very_name_is_used_and_a_third_is_refused_with_both(root: Path) -> None:
    one, two = put(root, nfc("éé.png")), put(root, nfd("éé.png"))
    assert resolve(Media("image", nfc("éé.png"), root)) == one
    assert resolve(Media("image", nfd("éé.png"), root)) == two
    with pytest.raises(BadMedia, match="several files have this name in other Unicode forms") as caught:
        resolve(Media("image", nfc("é") + nfd("é.png"), root))
    assert ascii(nfc("éé.png")) in caught.value.what
    assert ascii(nfd("éé.png")) in caught.value.what


def test_a_file_whose_name_is_as_an_address_or_holds_a_backslash_is_found(root: Path) -> None:
    for name in (
        "a\\b.png",
        "C:\\data\\a.png",
        "data:image.png",
        "file:a.png",
        "~a.png",
        "a%20b.png",
        " a.png ",
        '"a".png',
    ):
        file = put(root, name)
        assert resolve(Media("image", name, root)) == file


def test_the_very_name_comes_before_the_folder_that_a_backslash_may_mean(root: Path) -> None:
    inner, outer = put(root, "a/b.png"), put(root, "a\\b.png")
    assert resolve(Media("image", "a\\b.png", root)) == outer
    outer.unlink()
    assert resolve(Media("image", "a\\b.png", root)) == inner


def test_another_form_that_leads_out_is_refused(root: Path) -> None:
    secret = put(root.parent, "secret/é.png")
    (root / nfd("é.png")).symlink_to(secret)
    (root / "dir").symlink_to(secret.parent)
    for name in (nfc("é.png"), nfd("dir/é.png")):
        with pytest.raises(BadMedia, match="outside of"):
            resolve(Media("image", name, root))
        assert resolve(Media("image", name, root, roots=(secret.parent,))) == secret


@given(st.text(max_size=12).map(lambda name: name.replace("/", "∕")))
def test_whatever_the_name_each_form_of_it_is_found(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    root = tmp_path_factory.mktemp("forms")
    try:
        file = put(root, nfd(f"x{name}"))
    except (OSError, ValueError):
        return  # no possible name
    for form in ("NFC", "NFD"):
        spelled = unicodedata.normalize(form, f"x{name}")
        if "\\" not in spelled:
            assert resolve(Media("image", spelled, root)) == file


@given(st.text(max_size=300))
def test_whatever_is_written_there_is_a_file_or_a_short_message(
    tmp_path_factory: pytest.TempPathFactory, name: str
) -> None:
    root = tmp_path_factory.getbasetemp() / "anything"
    found, said = put(root, "a.png"), UserError("", "a hint")
    try:
        found = resolve(Media("image", name, root))
    except BadMedia as error:
        said = error
    assert found.is_relative_to(root)
    assert said.hint
    assert len(said.what) < 4 * (len(str(root)) + 80) + 200


def test_many_missing_files_of_one_folder_list_it_a_few_times_only(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(50):
        put(root, f"{number}.png")
    listed = []
    real = os.listdir
    monkeypatch.setattr(os, "listdir", lambda folder: listed.append(folder) or real(folder))
    _names.cache_clear()
    for number in range(200):
        with pytest.raises(BadMedia, match="does not exist"):
            resolve(Media("image", f"gone {number}.png", root))
    assert len(listed) <= 2


def test_a_value_in_a_message_is_short_and_keeps_its_ends() -> None:
    for length in (0, 1, 79, 80, 81, 10_000):
        value = "".join(chr(33 + number % 90) for number in range(length))
        short = shortened(value)
        assert len(short) == min(length, 80)
        assert short == value or (value.startswith(short[:50]) and value.endswith(short[-20:]))
