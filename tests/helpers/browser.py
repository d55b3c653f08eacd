"""A real browser without a screen, and a page in it. Needs Debian's `chromium` and `chromium-driver`, and selenium."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from selenium.webdriver import Chrome
    from selenium.webdriver.remote.webelement import WebElement

PROGRAM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
_FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1400,1000")


def start() -> Chrome:
    """A new browser, which keeps its console and its requests."""
    from selenium import webdriver

    assert PROGRAM
    assert DRIVER
    options = webdriver.ChromeOptions()
    options.binary_location = PROGRAM
    for flag in _FLAGS:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))


class Page:
    """What a person sees and does."""

    def __init__(self, driver: Chrome) -> None:
        self.driver = driver

    def find(self, selector: str) -> WebElement:
        return self.driver.find_element("css selector", selector)

    def texts(self, selector: str) -> list[str]:
        return [each.text for each in self.driver.find_elements("css selector", selector)]

    @property
    def models(self) -> list[str]:
        """The labels of the visible rows."""
        found = self.run(
            "return [...document.querySelectorAll('#table tbody [data-open]')].map((each) => each.textContent)"
        )
        return [" ".join(text.split()) for text in found]

    def write(self, selector: str, text: str) -> None:
        self.find(selector).clear()
        self.find(selector).send_keys(text)

    def choose(self, selector: str, text: str) -> None:
        """As a click on the option does."""
        for option in self.find(selector).find_elements("css selector", "option"):
            if option.get_property("textContent") == text:
                option.click()
                return
        raise AssertionError(f"{selector} offers no {text}")

    def click(self, selector: str, text: str) -> None:
        found = [each for each in self.driver.find_elements("css selector", selector) if each.text.startswith(text)]
        found[0].click()

    def run(self, code: str, *arguments: object) -> object:
        return self.driver.execute_script(code, *arguments)

    def settle(self) -> None:
        """Waits for what the page has put off."""
        self.driver.execute_async_script("const done = arguments[0]; setTimeout(done, 400);")

    @contextmanager
    def emulated(self, *, width: int = 0, scheme: str = "", media: str = "") -> Iterator[None]:
        """A screen of another width, another colour scheme, or a printer."""
        if width:
            screen = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
            self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
        features = [{"name": "prefers-color-scheme", "value": scheme}] if scheme else []
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media, "features": features})
        try:
            yield
        finally:
            self.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
            self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})
