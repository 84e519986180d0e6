"""How long a page takes over ten million streams: under two seconds, whatever is chosen, with nothing asked before."""

from __future__ import annotations

import time
from datetime import date
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from music_lakehouse.defs.listening.gold_tables import WIDE_STREAMS
from music_lakehouse.lakehouse.lake import LakePaths
from music_lakehouse.simulator.broker import free_port
from music_lakehouse_tests.dashboard.lakes import large_lake
from music_lakehouse_tests.dashboard.scripts import health_script, listening_script

pytestmark = [pytest.mark.slow, pytest.mark.alone, pytest.mark.timeout(1200)]

STREAMS = 10_000_000
SECONDS = 2.0
TRIES = 3
"""Other programs may take the processor meanwhile; how long it takes is the shortest of these."""
FIRST, LAST = date(2026, 10, 1), date(2026, 10, 31)
CHOICES = [
    (None, None),
    (None, (FIRST, LAST)),
    ("CA", (FIRST, LAST)),
    ("WY", (date(2026, 10, 8), date(2026, 10, 21))),
    (None, (LAST, LAST)),
    ("CA", (FIRST, FIRST)),
]


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> LakePaths:
    return large_lake(str(tmp_path_factory.mktemp("large") / "lake"), STREAMS)


@pytest.fixture(autouse=True)
def shown(large: LakePaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LAKEHOUSE_ROOT", large.root)
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", f"127.0.0.1:{free_port()}")


def drawn(page: AppTest, *, nothing_asked_before: bool = True, within: float = SECONDS) -> float:
    """The shortest time in which the page is drawn."""
    taken = []
    for _ in range(TRIES):
        if nothing_asked_before:
            st.cache_data.clear()
        started = time.monotonic()
        page.run()
        taken.append(time.monotonic() - started)
        assert not page.exception
        if taken[-1] < within:
            break
    return min(taken)


@pytest.mark.parametrize(("state", "days"), CHOICES, ids=str)
def test_the_page_of_listening_is_drawn_in_time(
    large: LakePaths, state: str | None, days: tuple[date, date] | None
) -> None:
    assert large.rows(WIDE_STREAMS) > 0.999 * STREAMS
    page = AppTest.from_function(listening_script, default_timeout=60).run()
    page.sidebar.selectbox[0].set_value(state)
    if days is not None:
        page.sidebar.date_input[0].set_value(days)
    seconds = drawn(page)
    print(f"{state or 'all states'}, {days or 'the last week'}: {seconds:.2f} s")

    assert int(page.metric[0].value.replace(",", "")) > 1000
    assert seconds < SECONDS


def test_the_page_of_health_is_drawn_in_time() -> None:
    page = AppTest.from_function(health_script, default_timeout=60).run()
    seconds = drawn(page)
    print(f"health: {seconds:.2f} s")

    assert seconds < SECONDS


def test_what_was_asked_before_is_drawn_at_once() -> None:
    page = AppTest.from_function(listening_script, default_timeout=60).run()

    assert drawn(page, nothing_asked_before=False, within=SECONDS / 4) < SECONDS / 4
