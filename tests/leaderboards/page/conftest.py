"""One browser for all tests of the page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.helpers.browser import DRIVER, PROGRAM, start

if TYPE_CHECKING:
    from selenium.webdriver import Chrome


@pytest.fixture(scope="package")
def driver() -> Iterator[Chrome]:
    pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    if not (PROGRAM and DRIVER):
        pytest.skip("chromium or chromedriver is not installed")
    browser = start()
    yield browser
    browser.quit()
