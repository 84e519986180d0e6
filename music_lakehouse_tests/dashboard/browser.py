"""A headless Chromium that is steered by Selenium, and what it saw."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from urllib.parse import urlsplit

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
WHY_NOT = "there is no Chromium with its driver: apt-get install chromium chromium-driver"


class Browser:
    """A browser window; `close` ends it."""

    def __init__(self, *, width: int = 1400, height: int = 1500) -> None:
        options = webdriver.ChromeOptions()
        options.binary_location = CHROMIUM or ""
        # Root has no sandbox, and containers often little shared memory. Chromium's own calls home stay away.
        for argument in (
            "--headless=new",
            "--no-sandbox",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--disable-component-update",
            "--hide-scrollbars",
            f"--window-size={width},{height}",
        ):
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))

    def open(self, url: str) -> None:
        self.driver.get(url)

    def all(self, css: str) -> list[WebElement]:
        return self.driver.find_elements(By.CSS_SELECTOR, css)

    @property
    def text(self) -> str:
        return self.driver.find_element(By.TAG_NAME, "body").text

    def wait_for(self, condition: Callable[[], object], *, seconds: float = 60) -> None:
        """Until the condition holds. Raises TimeoutException where it doesn't in time."""
        from selenium.common.exceptions import StaleElementReferenceException
        from selenium.webdriver.support.ui import WebDriverWait

        waiting = WebDriverWait(
            self.driver, seconds, poll_frequency=0.05, ignored_exceptions=[StaleElementReferenceException]
        )
        waiting.until(lambda _: condition())

    def hosts(self) -> set[str]:
        """The hosts that anything was asked of since this was last asked; without those of data that is in a page."""
        messages = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]  # type: ignore[no-untyped-call]
        asked = [
            message["params"].get("request", {}).get("url") or message["params"].get("url", "")
            for message in messages
            if message["method"] in ("Network.requestWillBeSent", "Network.webSocketCreated")
        ]
        found = [urlsplit(url) for url in asked]
        return {parts.hostname for parts in found if parts.scheme in ("http", "https", "ws", "wss") and parts.hostname}

    def close(self) -> None:
        self.driver.quit()
