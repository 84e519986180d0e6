"""The pages as Streamlit draws them, without a browser: what they show, and when they ask the lake again."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from music_lakehouse.dashboard import health, listening
from music_lakehouse.dashboard.listening import filters_of, span_of
from music_lakehouse.defs.catalog import TABLES
from music_lakehouse.defs.listening.gold_tables import DAILY_LOCATION_SUMMARY, WIDE_STREAMS
from music_lakehouse.defs.listening.tables import QUARANTINE
from music_lakehouse.lakehouse.expectations import EXPECTATIONS
from music_lakehouse.lakehouse.records import append_records
from music_lakehouse.simulator.broker import free_port
from music_lakehouse_tests.dashboard.lakes import (
    FIRST_DAY,
    FIRST_NAMES,
    LAST_NAMES,
    NEWEST,
    SmallLake,
    summarize,
    write,
)
from music_lakehouse_tests.dashboard.scripts import health_script, listening_script

pytestmark = pytest.mark.thorough

LAST_DAY = NEWEST.date()


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No lake, and a port on which no broker listens."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LAKEHOUSE_ROOT", str(tmp_path / "nowhere"))
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", f"127.0.0.1:{free_port()}")
    return tmp_path / "nowhere"


@pytest.fixture
def lake(own: SmallLake, monkeypatch: pytest.MonkeyPatch) -> SmallLake:
    """A small lake of the test's own, which the pages show."""
    monkeypatch.setenv("LAKEHOUSE_ROOT", own.paths.root)
    return own


def opened(state: str | None = None) -> AppTest:
    """The page "Listening", drawn."""
    page = AppTest.from_function(listening_script, kwargs={"state": state}, default_timeout=60).run()
    assert not page.exception
    return page


def figures(page: AppTest) -> dict[str, str]:
    return {metric.label.split(",")[0]: metric.value for metric in page.metric}


def expected(lake: SmallLake, first: date, last: date, state: str | None) -> dict[str, str]:
    span = span_of(lake.paths)
    assert span is not None
    filters = filters_of(span, first, last, state)
    [day] = listening.streams_of_the_day(lake.paths, filters).to_pylist()
    [conversion] = listening.paid_conversion(lake.paths, filters).to_pylist()
    active = sum(row["users"] for row in listening.active_users(lake.paths, filters).to_pylist())
    return {
        f"Streams on {last}": f"{day['streams']:,}",
        "Active users now": f"{active}",
        "Paid conversion": f"{conversion['upgraded'] / conversion['free_users']:.1%}",
    }


def test_the_page_shows_the_last_week_of_all_states_at_first(lake: SmallLake) -> None:
    page = opened()

    assert figures(page) == expected(lake, FIRST_DAY, LAST_DAY, None)
    assert [part.value for part in page.subheader] == [
        "Listens by hour",
        "Listens by state",
        "Users by level and gender",
        "Top artists",
        "Top songs",
    ]
    assert len(page.get("vega_lite_chart")) == 5


def test_the_change_is_on_the_day_before_up_to_the_same_time(lake: SmallLake) -> None:
    page = opened()
    before = sum(
        row["date_part"] == LAST_DAY - timedelta(days=1) and row["timestamp"] <= NEWEST - timedelta(days=1)
        for row in lake.streams
    )
    today = sum(row["date_part"] == LAST_DAY for row in lake.streams)

    assert page.metric[0].label == "Streams on 2026-11-21, up to 14:30"
    assert page.metric[0].delta == f"{today / before - 1:+.1%} on the day before"


def test_the_filters_choose_state_and_days(lake: SmallLake) -> None:
    page = opened()
    page.sidebar.selectbox[0].set_value("CA").run()
    assert figures(page) == expected(lake, FIRST_DAY, LAST_DAY, "CA")
    day = FIRST_DAY + timedelta(days=1)
    page.sidebar.date_input[0].set_value((day, day)).run()
    assert not page.exception
    assert figures(page) == expected(lake, day, day, "CA")
    assert page.metric[0].label == f"Streams on {day}", "the day is over"


def test_while_the_second_day_is_picked_the_first_is_shown(lake: SmallLake) -> None:
    page = opened()
    page.sidebar.date_input[0].set_value((FIRST_DAY,)).run()

    assert not page.exception
    assert figures(page) == expected(lake, FIRST_DAY, FIRST_DAY, None)


def test_the_state_that_the_command_named_is_chosen_at_first(lake: SmallLake) -> None:
    assert figures(opened("NY")) == expected(lake, FIRST_DAY, LAST_DAY, "NY")
    nobody = opened("WY")
    assert nobody.sidebar.selectbox[0].value == "WY"
    assert nobody.metric[0].value == "0"


def test_after_a_run_the_page_has_what_is_new(lake: SmallLake) -> None:
    page = opened()
    before = figures(page)
    new = [{**lake.streams[-1], "event_id": f"new {number}"} for number in range(1000)]
    write(lake.paths, WIDE_STREAMS, new)
    summarize(lake.paths)
    page.run()

    assert int(figures(page)["Streams on 2026-11-21"].replace(",", "")) == (
        int(before["Streams on 2026-11-21"].replace(",", "")) + 1000
    )


def test_what_was_answered_for_these_versions_is_not_read_again(lake: SmallLake) -> None:
    page = opened()
    shown = figures(page)
    for file in Path(lake.paths.root).rglob("*.parquet"):
        file.unlink()
    page.run()
    assert not page.exception
    assert figures(page) == shown
    page.sidebar.selectbox[0].set_value("TX").run()
    assert page.exception, "another question can't be answered without the files"


def test_a_table_made_anew_is_not_taken_for_the_one_before(lake: SmallLake) -> None:
    page = opened()
    shown = figures(page)
    for table in (WIDE_STREAMS, DAILY_LOCATION_SUMMARY):
        Path(lake.paths.path(table)).rename(Path(lake.paths.root) / f"before_{table.name}")
    write(lake.paths, WIDE_STREAMS, lake.streams[-1:])
    summarize(lake.paths)
    page.run()

    assert shown["Streams on 2026-11-21"] != "1"
    assert figures(page)["Streams on 2026-11-21"] == "1"


@pytest.mark.parametrize("script", [listening_script, health_script])
def test_without_a_lake_the_pages_say_what_makes_one(script: object, nowhere: Path) -> None:
    page = AppTest.from_function(script, default_timeout=60).run()  # type: ignore[arg-type]

    assert not page.exception
    [info] = page.info
    assert str(nowhere) in info.value
    assert "`make demo`" in info.value


def test_the_page_of_health_shows_what_is_not_well(lake: SmallLake) -> None:
    write(lake.paths, QUARANTINE, [{"reasons": ["json_object"]}])
    append_records(
        lake.paths,
        EXPECTATIONS,
        [
            {
                "table": "gold.wide_streams",
                "rule": "row_for_row",
                "action": "error",
                "rows": 7,
                "failed": 2,
                "evaluated_at": NEWEST,
            }
        ],
    )
    page = AppTest.from_function(health_script, default_timeout=60).run()
    failing, fresh = (frame.value for frame in page.dataframe)

    assert not page.exception
    assert list(failing["check"]) == ["row_for_row"]
    assert "gold.wide_streams" in list(fresh["table"])
    assert len(page.get("vega_lite_chart")) == 2
    [kafka] = page.info
    assert "No Kafka broker answers at 127.0.0.1:" in kafka.value
    assert "`music-lakehouse broker start`" in kafka.value


def test_a_lake_that_is_well_is_said_to_be(lake: SmallLake) -> None:
    page = AppTest.from_function(health_script, default_timeout=60).run()

    assert [part.value for part in page.success] == [
        "No check failed when it was last evaluated.",
        "Nothing is in quarantine.",
    ]


def test_nothing_that_is_asked_names_a_person(small: SmallLake) -> None:
    span = span_of(small.paths)
    assert span is not None
    filters = filters_of(span, FIRST_DAY, LAST_DAY)
    answers = [
        question(small.paths, filters)
        for question in (
            listening.streams_of_the_day,
            listening.streams_by_hour,
            listening.streams_by_state,
            listening.top_songs,
            listening.top_artists,
            listening.users_by_level_and_gender,
            listening.active_users,
            listening.paid_conversion,
        )
    ]
    answers += [question(small.paths) for question in (health.freshness, health.rows_by_hour)]
    personal = {column.name for table in TABLES.values() for column in table.columns if column.pii}
    assert {"firstName", "lastName"} < personal
    for answer in answers:
        assert not personal & set(answer.column_names)
        assert not any(name in str(answer.to_pylist()) for name in (*FIRST_NAMES, *LAST_NAMES))
