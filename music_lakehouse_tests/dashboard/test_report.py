"""The listening report: what it shows is what the tables have, and it needs nothing but itself."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from html.parser import HTMLParser
from pathlib import Path

import pytest
from deltalake import write_deltalake

from music_lakehouse.dashboard import report
from music_lakehouse.defs.listening.gold_tables import DAILY_LOCATION_SUMMARY, WIDE_STREAMS
from music_lakehouse.lakehouse.documents import read_document
from music_lakehouse.lakehouse.lake import LakePaths
from music_lakehouse_tests.dashboard.browser import CHROMIUM, DRIVER, WHY_NOT, Browser
from music_lakehouse_tests.dashboard.lakes import FIRST_NAMES, LAST_NAMES, SmallLake, small_lake, summarize, write

pytestmark = pytest.mark.thorough


class Numbers(HTMLParser):
    """The page's tables by the titles above them, and every attribute that could load something."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tables: dict[str, list[list[str]]] = {}
        self.references: list[str] = []
        self._tag, self._title = "", ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._tag = tag
        if tag == "tr" and self._title:
            self.tables.setdefault(self._title, []).append([])
        self.references += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href", "data")]
        if tag in ("script", "link", "iframe", "object"):
            self.references.append(tag)

    def handle_endtag(self, tag: str) -> None:
        self._tag = ""

    def handle_data(self, data: str) -> None:
        if self._tag == "h2":
            self._title = data
        elif self._tag in ("td", "th"):
            self.tables[self._title][-1].append(data)


def page_of(lake: LakePaths) -> str:
    text = read_document(lake.root, report.PATH)
    assert text is not None
    return text


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory, seed: int) -> tuple[SmallLake, str]:
    """A lake, and the page of it."""
    lake = small_lake(str(tmp_path_factory.mktemp("reported") / "lake"), seed)
    report.write(lake.paths)
    return lake, page_of(lake.paths)


def test_its_numbers_are_those_of_the_streams(written: tuple[SmallLake, str]) -> None:
    lake, text = written
    tables = Numbers(text).tables
    songs = Counter((row["songName"], row["artistName"]) for row in lake.streams)
    top = sorted(songs.items(), key=lambda item: (-item[1], item[0]))[:10]
    hours = Counter(row["dateHour"].hour for row in lake.streams)
    users = {(row["level"], row["gender"], row["userId"]) for row in lake.streams}
    shown = Counter((level, gender) for level, gender, _ in users)
    listens = Counter((row["level"], row["gender"]) for row in lake.streams)
    states = Counter(row["state"] or "-" for row in lake.streams)

    assert tables[report.TOP_SONGS][1:] == [[song, artist, f"{count}"] for (song, artist), count in top]
    assert tables[report.ACTIVITY][1:] == [[f"{hour}", f"{count}"] for hour, count in sorted(hours.items())]
    assert tables[report.USERS][1:] == [
        [*who, f"{shown[who]}", f"{listens[who]}"] for who in sorted(shown, key=lambda who: who)
    ]
    assert sorted(tables[report.STATES][1:]) == sorted([state, f"{count}"] for state, count in states.items())
    assert f"{len(lake.streams)} listens from 2026-11-18 to 2026-11-21" in text


def test_its_charts_draw_the_same_numbers(written: tuple[SmallLake, str]) -> None:
    lake, text = written
    [song, count] = Counter(row["songName"] for row in lake.streams).most_common(1)[0]
    california = sum(row["state"] == "CA" for row in lake.streams)

    assert text.count("<svg") == 4
    assert re.search(rf'aria-label="[^"]*listens: {count};[^"]*{song}', text)
    assert f'aria-label="listens: {california}; state: California"' in text


def test_it_loads_nothing_and_names_nobody(written: tuple[SmallLake, str]) -> None:
    _, text = written

    assert Numbers(text).references == []
    assert not re.search(r"@import|url\((?!#)", text)
    assert set(re.findall(r'https?://[^"\' <]+', text)) <= {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }
    assert [name for name in (*FIRST_NAMES, *LAST_NAMES) if name in text] == []


def test_it_is_outdated_by_rows_and_not_by_upkeep(own: SmallLake) -> None:
    assert report.is_outdated(own.paths)
    report.write(own.paths)
    assert not report.is_outdated(own.paths)
    table = own.paths.open(WIDE_STREAMS)
    assert table is not None
    table.optimize.compact()
    assert not report.is_outdated(own.paths)
    write(own.paths, WIDE_STREAMS, [{**own.streams[0], "event_id": "new"}])
    assert report.is_outdated(own.paths)
    assert report.write(own.paths).streams == len(own.streams) + 1
    assert not report.is_outdated(own.paths)
    (Path(own.paths.root) / report.PATH).write_text("somebody else's page")
    assert report.is_outdated(own.paths)


def test_what_is_no_html_in_a_name_is_text_on_the_page(own: SmallLake) -> None:
    odd = '<script>alert("&")</script> | \\'
    write(own.paths, WIDE_STREAMS, [{**own.streams[0], "event_id": f"{n}", "songName": odd} for n in range(900)])
    shown = report.write(own.paths)
    text = page_of(own.paths)

    assert Numbers(text).tables[report.TOP_SONGS][1][0] == odd
    assert "<script" not in text
    assert '<script>alert("&")</script> \\| ' in shown.markdown


def test_a_lake_without_streams_has_a_page_that_says_so(tmp_path: Path) -> None:
    lake = LakePaths(str(tmp_path / "lake"))
    assert not report.is_outdated(lake)
    write(lake, WIDE_STREAMS, [])
    summarize(lake)
    assert report.is_outdated(lake)
    assert report.write(lake).streams == 0
    assert "no streams in the lake yet" in page_of(lake)
    assert not report.is_outdated(lake)


def test_in_an_object_store_it_is_written_and_kept_the_same_way(bucket: str) -> None:
    lake = LakePaths(f"{bucket}/lake")
    for table in (WIDE_STREAMS, DAILY_LOCATION_SUMMARY):
        write_deltalake(lake.path(table), table.arrow_schema.empty_table(), partition_by=["date_part"])
    assert report.is_outdated(lake)
    report.write(lake)
    assert "no streams in the lake yet" in page_of(lake)
    assert not report.is_outdated(lake)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with closing(Browser(width=1400, height=1200)) as opened:
        yield opened


@pytest.mark.skipif(CHROMIUM is None or DRIVER is None, reason=WHY_NOT)
def test_a_browser_draws_it_from_the_file_alone(browser: Browser, written: tuple[SmallLake, str]) -> None:
    lake, _ = written
    browser.open(Path(report.location(lake.paths)).as_uri())

    charts = browser.all("section > svg")
    assert len(charts) == 4
    assert all(chart.size["width"] > 300 and chart.size["height"] > 200 for chart in charts)
    assert len(browser.all("path[aria-roledescription=geoshape]")) == 51
    assert not browser.all("details")[0].get_attribute("open")
    browser.all("summary")[0].click()
    assert browser.all("table")[0].is_displayed()
    assert browser.hosts() == set()
