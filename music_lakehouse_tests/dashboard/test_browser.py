"""The dashboard as its reader has it: the command, and a browser."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from selenium.webdriver.common.keys import Keys

from music_lakehouse.cli.embedded import is_listening
from music_lakehouse.defs.listening.gold_tables import WIDE_STREAMS
from music_lakehouse.simulator.broker import free_port
from music_lakehouse_tests.dashboard.browser import CHROMIUM, DRIVER, WHY_NOT, Browser
from music_lakehouse_tests.dashboard.lakes import NEWEST, SmallLake, summarize, write

pytestmark = [
    pytest.mark.thorough,
    pytest.mark.skipif(CHROMIUM is None or DRIVER is None, reason=WHY_NOT),
]

CHARTS = ".stVegaLiteChart svg"
EXCEPTION = "[data-testid=stException]"
SHAPES = f"{CHARTS} path[aria-roledescription=geoshape]"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with closing(Browser()) as opened:
        yield opened


@pytest.fixture
def dashboard(own: SmallLake, tmp_path: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The dashboard of a small lake, as the command starts it, with California chosen: its URL and its process."""
    port = free_port()
    with subprocess.Popen(
        [sys.executable, "-m", "music_lakehouse.cli.main", "dashboard", "--port", str(port), "--state", "ca"],
        cwd=tmp_path,
        env=os.environ
        | {
            "LAKEHOUSE_ROOT": own.paths.root,
            "KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{free_port()}",
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "HOME": str(tmp_path),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        lines = iter(process.stdout or ())
        said = next((line for line in lines if "URL:" in line), None)
        assert said is not None, "the dashboard ended before it was up"
        yield f"http://127.0.0.1:{port}", process
        process.kill()


def drawn(browser: Browser, charts: int) -> None:
    """Waits until the page has so many charts, and Streamlit says that nothing runs."""
    browser.wait_for(
        lambda: (
            (len(browser.all(CHARTS)) == charts and not browser.all("[data-testid=stStatusWidget]"))
            or browser.all(EXCEPTION)
        )
    )
    assert not browser.all(EXCEPTION), browser.text


def streams_of(lake: SmallLake, state: str) -> int:
    return sum(row["date_part"] == NEWEST.date() and row["state"] == state for row in lake.streams)


def figure(browser: Browser) -> str:
    """The first figure of the page."""
    return browser.all("[data-testid=stMetricValue]")[0].text


def test_both_pages_are_drawn_and_keep_up_and_ask_nothing_of_other_hosts(
    browser: Browser, dashboard: tuple[str, subprocess.Popen[str]], own: SmallLake
) -> None:
    url, process = dashboard
    browser.open(url)
    drawn(browser, charts=5)
    assert figure(browser) == f"{streams_of(own, 'CA'):,}"
    assert "Streams on 2026-11-21, up to 14:30" in browser.text
    assert "CA, 2026-11-18 to 2026-11-21" in browser.text
    shapes = {shape.get_attribute("aria-label"): shape.get_attribute("stroke-width") for shape in browser.all(SHAPES)}
    assert len(shapes) == 51
    [chosen] = [label for label, width in shapes.items() if label and width == "2.5"]
    assert "state: California" in chosen

    browser.all("[data-testid=stSelectbox] input")[0].send_keys("NY", Keys.ENTER)
    browser.wait_for(lambda: "NY, 2026-11-18 to 2026-11-21" in browser.text)
    browser.wait_for(lambda: figure(browser) == f"{streams_of(own, 'NY'):,}")

    write(own.paths, WIDE_STREAMS, [{**own.streams[-1], "state": "NY", "event_id": f"new {n}"} for n in range(100)])
    summarize(own.paths)
    browser.wait_for(lambda: figure(browser) == f"{streams_of(own, 'NY') + 100:,}", seconds=30)

    browser.all("[data-testid=stSidebarNavLink]")[1].click()
    browser.wait_for(lambda: "Waiting in Kafka" in browser.text)
    drawn(browser, charts=1)
    browser.wait_for(lambda: "No Kafka broker answers" in browser.text)
    for told in ("Is it well?", "No check failed", "Nothing is in quarantine", "Freshness"):
        assert told in browser.text
    assert browser.hosts() == {"127.0.0.1"}

    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 0
    assert not is_listening(int(url.rsplit(":", 1)[1]))


def test_it_listens_on_the_loopback_alone(dashboard: tuple[str, subprocess.Popen[str]]) -> None:
    import psutil

    url, process = dashboard
    listening = [c.laddr for c in psutil.Process(process.pid).net_connections("inet") if c.status == psutil.CONN_LISTEN]

    assert [(address.ip, str(address.port)) for address in listening] == [("127.0.0.1", url.rsplit(":", 1)[1])]
