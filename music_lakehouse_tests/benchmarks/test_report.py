"""What `make bench` writes, of figures made up for it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from music_lakehouse_tests.benchmarks.report import Freshness, Loaded, Measured, write
from music_lakehouse_tests.benchmarks.spent import Spent

WORDS = {"load": "Most of it is Spark's.", "freshness": "At first Java compiles.", "sources": "CSV is slow."}
RAW = Spent(1.5, 0.25, 1.0, 0.125, None, 2, 3, 0)
GOLD = Spent(0.5, None, None, None, 0.0625, 1, 2, 1)


def streams(seconds: float) -> Measured:
    steps = {"raw.listen_events": 1.5, "gold.fact_streams": 0.5, "gold.active_users": 0.3}
    spent = {
        "gold.active_users": Spent(0.3, None, None, None, None, 0, 0, 0),
        "gold.fact_streams": GOLD,
        "raw.listen_events": RAW,
    }
    return Measured("platform", 1000, seconds, [9.0, 2.0], steps, steps, spent)


def source(title: str, seconds: float) -> Loaded:
    return Loaded(title, "rows", 1000, seconds, 10, [3.0], {"silver.orders": 1.0}, {"silver.orders": 2.0})


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """A page of all parts, in each of which somebody has written notes."""
    page = tmp_path / "benchmarks.md"
    write([streams(77.0)], 10, [source("CSV", 55.0)], [Freshness("sensor", 10, 99, 4.0, 8.0)], tmp_path, page)
    text = page.read_text()
    for name, before in (("load", "## Where the time"), ("freshness", "## Other sources"), ("sources", "### CSV")):
        note = f"<!-- notes: {name} -->\n## By hand\n\n{WORDS[name]}\n<!-- end -->"
        text = text.replace(before, f"{note}\n\n{before}", 1)
    page.write_text(text)
    return page


def test_notes_stay_where_all_else_is_written_anew(page: Path) -> None:
    before = page.read_text()

    for _ in range(2):
        write([streams(66.0)], 10, [source("CSV", 44.0)], [Freshness("sensor", 10, 99, 5.0, 9.0)], page.parent, page)

    changed = {"77.0 s": "66.0 s", "55.0 s | 18 |": "44.0 s | 23 |", "4.0 s | 8.0 s": "5.0 s | 9.0 s"}
    for old, new in changed.items():
        before = before.replace(old, new)
    assert page.read_text() == before
    assert [page.read_text().count(words) for words in WORDS.values()] == [1, 1, 1]


def test_what_was_not_measured_stays_as_it_was(page: Path) -> None:
    parts = page.read_text().split("## Freshness")

    write([streams(66.0)], 10, [], [], page.parent, page)

    assert "66.0 s" in page.read_text()
    assert page.read_text().split("## Freshness")[1] == parts[1]


def test_a_note_that_was_not_closed_is_not_lost(page: Path) -> None:
    page.write_text(page.read_text().replace(f"{WORDS['freshness']}\n<!-- end -->", WORDS["freshness"]))

    write([], 10, [], [Freshness("sensor", 10, 99, 5.0, 9.0)], page.parent, page)

    assert WORDS["freshness"] in page.read_text()
    assert WORDS["sources"] in page.read_text()


def test_nothing_on_the_page_was_measured_elsewhere(tmp_path: Path) -> None:
    page = tmp_path / "benchmarks.md"
    write([streams(77.0)], 10, [source("CSV", 55.0)], [Freshness("sensor", 10, 99, 4.0, 8.0)], tmp_path, page)

    prose = [line for line in page.read_text().splitlines() if not line.startswith("|")]
    assert len(prose) > 5
    assert re.findall(r"\d+(?:\.\d+)? (?:s|ms|seconds|microseconds|KB|MB|GB)\b", "\n".join(prose)) == []


def test_each_table_that_the_increment_wrote_says_what_it_spent_and_which_files_it_touched(page: Path) -> None:
    rows = [line for line in page.read_text().splitlines() if line.startswith("|")]
    head = rows.index(
        "| table | increment | planning | add batch | checkpoint | written | commits | files added | removed |"
    )

    assert rows[head + 2 : head + 4] == [
        "| raw.listen_events | 1.50 s | 0.25 s | 1.00 s | 0.12 s | - | 2 | 3 | 0 |",
        "| gold.fact_streams | 0.50 s | - | - | - | 0.06 s | 1 | 2 | 1 |",
    ]
    assert not rows[head + 4].startswith("| gold.active_users")
