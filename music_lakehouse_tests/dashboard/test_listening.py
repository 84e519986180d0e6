"""What the page "Listening" asks, against the same told in plain Python from the rows that the lake was made of."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import pytest

from music_lakehouse.dashboard import listening
from music_lakehouse.dashboard.listening import Filters, filters_of, span_of
from music_lakehouse.defs.listening.gold_tables import WIDE_STREAMS
from music_lakehouse.lakehouse.lake import LakePaths
from music_lakehouse_tests.dashboard.lakes import FIRST_DAY, NEWEST, Row, SmallLake, summarize, write

pytestmark = pytest.mark.thorough

LAST_DAY = NEWEST.date()
CHOICES = [
    (FIRST_DAY, LAST_DAY, None),
    (FIRST_DAY, LAST_DAY, "CA"),
    (LAST_DAY, LAST_DAY, None),
    (FIRST_DAY, FIRST_DAY, "NY"),
    (FIRST_DAY + timedelta(days=1), FIRST_DAY + timedelta(days=2), "TX"),
    (FIRST_DAY, LAST_DAY, "WY"),
]
each_choice = pytest.mark.parametrize(("first", "last", "state"), CHOICES, ids=lambda part: str(part))


def chosen(lake: SmallLake, first: date, last: date, state: str | None) -> Filters:
    span = span_of(lake.paths)
    assert span is not None
    return filters_of(span, first, last, state)


def rows_of(lake: SmallLake, filters: Filters) -> list[Row]:
    """The streams of the days and the state."""
    return [
        row
        for row in lake.streams
        if filters.first <= row["date_part"] <= filters.last and filters.state in (None, row["state"])
    ]


def test_the_span_is_what_the_lake_has_streams_of(small: SmallLake) -> None:
    span = span_of(small.paths)

    assert span is not None
    assert (span.first, span.last, span.newest) == (FIRST_DAY, LAST_DAY, NEWEST)
    assert span.states == ("CA", "NY", "TX")


def test_an_absent_lake_and_an_empty_one_have_no_span(tmp_path: Path) -> None:
    lake = LakePaths(str(tmp_path / "nowhere"))
    assert span_of(lake) is None
    write(lake, WIDE_STREAMS, [])
    summarize(lake)
    assert span_of(lake) is None


@each_choice
def test_a_day_is_compared_with_the_day_before_up_to_the_same_time(
    small: SmallLake, first: date, last: date, state: str | None
) -> None:
    filters = chosen(small, first, last, state)
    there = [row for row in small.streams if state in (None, row["state"])]
    # Only the newest day isn't over.
    time_of_day = timedelta(hours=14, minutes=30) if last == LAST_DAY else timedelta(days=1)

    def until(day: date) -> int:
        begin = datetime(day.year, day.month, day.day, tzinfo=timezone.utc)
        return sum(row["date_part"] == day and row["timestamp"] - begin <= time_of_day for row in there)

    assert listening.streams_of_the_day(small.paths, filters).to_pylist() == [
        {"streams": until(last), "day_before": until(last - timedelta(days=1))}
    ]


@each_choice
def test_listens_by_hour_are_of_the_day_and_of_all_of_the_day_before(
    small: SmallLake, first: date, last: date, state: str | None
) -> None:
    counted = Counter(
        (row["date_part"], row["timestamp"].hour)
        for row in small.streams
        if row["date_part"] in (last, last - timedelta(days=1)) and state in (None, row["state"])
    )
    answered = listening.streams_by_hour(small.paths, chosen(small, first, last, state)).to_pylist()

    assert {(row["date_part"], row["hour"]): row["streams"] for row in answered} == counted


@each_choice
def test_the_map_has_all_states_whichever_is_chosen(
    small: SmallLake, first: date, last: date, state: str | None
) -> None:
    counted = Counter(row["state"] for row in small.streams if first <= row["date_part"] <= last)
    answered = listening.streams_by_state(small.paths, chosen(small, first, last, state)).to_pylist()

    assert {row["state"]: row["streams"] for row in answered} == counted


@each_choice
def test_top_songs_and_artists_are_those_with_the_most_streams(
    small: SmallLake, first: date, last: date, state: str | None
) -> None:
    filters = chosen(small, first, last, state)
    streams = rows_of(small, filters)
    songs = Counter((row["songName"], row["artistName"]) for row in streams)
    artists = Counter((row["artistName"],) for row in streams)

    for question, counted in ((listening.top_songs, songs), (listening.top_artists, artists)):
        expected = [(*names, n) for names, n in sorted(counted.items(), key=lambda item: (-item[1], item[0]))[:10]]
        assert [tuple(row.values()) for row in question(small.paths, filters).to_pylist()] == expected


@each_choice
def test_users_count_for_each_level_that_they_had(small: SmallLake, first: date, last: date, state: str | None) -> None:
    filters = chosen(small, first, last, state)
    users: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    for row in rows_of(small, filters):
        users[row["level"], row["gender"]].append(row["userId"])
    answered = listening.users_by_level_and_gender(small.paths, filters).to_pylist()

    assert {(row["level"], row["gender"]): (row["users"], row["streams"]) for row in answered} == {
        key: (len(set(of)), len(of)) for key, of in users.items()
    }


@each_choice
def test_active_users_are_those_of_the_state_whichever_the_days(
    small: SmallLake, first: date, last: date, state: str | None
) -> None:
    home = {row["userId"]: row["stateCode"] for row in small.profiles}
    counted = Counter(row["level"] for row in small.active if state in (None, home[row["userId"]]))
    answered = listening.active_users(small.paths, chosen(small, first, last, state)).to_pylist()

    assert {row["level"]: row["users"] for row in answered} == counted


@each_choice
def test_conversion_is_who_went_from_free_to_paid_of_those_who_were_free(
    small: SmallLake, first: date, last: date, state: str | None
) -> None:
    filters = chosen(small, first, last, state)
    free, upgraded = set(), set()
    for profile in small.profiles:
        if state not in (None, profile["stateCode"]):
            continue
        versions = sorted(
            (row for row in small.versions if row["userId"] == profile["userId"]),
            key=lambda row: row["row_activation_date"],
        )
        for number, row in enumerate(versions):
            start, end = row["row_activation_date"], row["row_expiration_date"]
            if row["level"] == "free" and start < filters.end and end >= filters.begin:
                free.add(row["userId"])
            follows_free = number > 0 and versions[number - 1]["level"] == "free"
            if row["level"] == "paid" and follows_free and filters.begin <= start < filters.end:
                upgraded.add(row["userId"])

    assert upgraded <= free
    assert listening.paid_conversion(small.paths, filters).to_pylist() == [
        {"free_users": len(free), "upgraded": len(upgraded)}
    ]


def test_the_small_lake_has_what_the_tests_are_about(small: SmallLake) -> None:
    filters = chosen(small, FIRST_DAY, LAST_DAY, None)
    [conversion] = listening.paid_conversion(small.paths, filters).to_pylist()

    assert conversion["upgraded"] > 0
    assert any(row["state"] is None for row in small.streams)
    assert len(listening.users_by_level_and_gender(small.paths, filters)) == 4
    assert sum(row["date_part"] == LAST_DAY for row in small.streams) > 20


def test_a_state_whose_name_is_sql_is_only_a_name(small: SmallLake) -> None:
    filters = chosen(small, FIRST_DAY, LAST_DAY, "' OR true --")

    assert listening.top_songs(small.paths, filters).num_rows == 0
