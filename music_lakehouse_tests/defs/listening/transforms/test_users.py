from __future__ import annotations

from datetime import datetime, timedelta
from random import Random
from typing import Any

import pytest
from pyspark.sql import SparkSession

from music_lakehouse.defs.listening.silver_tables import DIM_USERS, USER_PROFILES, USER_SESSIONS
from music_lakehouse.defs.listening.tables import BRONZE
from music_lakehouse.defs.listening.transforms import users
from music_lakehouse.defs.listening.transforms.text import cleaned_texts
from music_lakehouse_tests.defs.listening.transforms.frames import NEW_YEAR, at, evaluated, frame, picked, rows_of
from music_lakehouse_tests.oracle.users import Evidence, user_key, versions
from music_lakehouse_tests.oracle.values import END_OF_TIME, key

pytestmark = pytest.mark.spark

LISTENS, PAGE_VIEWS = BRONZE["listen_events"], BRONZE["page_view_events"]
STATUS_CHANGES = BRONZE["status_change_events"]
EVIDENCE = (
    "userId BIGINT, at TIMESTAMP, itemInSession INT, level STRING, firstName STRING, lastName STRING, gender STRING, "
    "registration_time TIMESTAMP, seen TIMESTAMP, city STRING, stateCode STRING"
)
FOREVER = END_OF_TIME

Rows = list[dict[str, Any]]


def shown(
    second: float,
    level: str,
    first: str | None = "Anna",
    *,
    item: int = 0,
    registered: float | None = None,
    city: str | None = None,
) -> dict[str, Any]:
    """One evidence, without its user."""
    return {
        "at": at(second),
        "seen": at(second),
        "itemInSession": item,
        "level": level,
        "firstName": first,
        "lastName": "Berg",
        "gender": "F",
        "registration_time": None if registered is None else at(registered),
        "city": city,
    }


def version(
    start: float, end: float | datetime, level: str, first: str = "Anna", registered: float | None = None
) -> Any:
    until = end if isinstance(end, datetime) else at(end)
    return at(start), until, level, first, None if registered is None else at(registered)


# By story: what arrives, load by load, and the user's whole history after each load.
STORIES: dict[str, list[tuple[Rows, list[Any]]]] = {
    "in order": [
        ([shown(0, "free"), shown(10, "paid")], [version(0, 10, "free"), version(10, FOREVER, "paid")]),
        (
            [shown(20, "free"), shown(30, "free")],
            [version(0, 10, "free"), version(10, 20, "paid"), version(20, FOREVER, "free")],
        ),
    ],
    "a late event splits a run of equal evidence": [
        ([shown(0, "free"), shown(10, "free"), shown(20, "free")], [version(0, FOREVER, "free")]),
        ([shown(5, "paid")], [version(0, 5, "free"), version(5, 10, "paid"), version(10, FOREVER, "free")]),
        ([shown(7, "free")], [version(0, 5, "free"), version(5, 7, "paid"), version(7, FOREVER, "free")]),
    ],
    "later than everything known is earlier": [
        ([shown(10, "free")], [version(10, FOREVER, "free")]),
        ([shown(0, "paid")], [version(0, 10, "paid"), version(10, FOREVER, "free")]),
        ([shown(-5, "paid")], [version(-5, 10, "paid"), version(10, FOREVER, "free")]),
    ],
    "evidence at exactly a version's start": [
        ([shown(0, "free"), shown(10, "paid", item=1)], [version(0, 10, "free"), version(10, FOREVER, "paid")]),
        ([shown(10, "free", item=2)], [version(0, FOREVER, "free")]),
        ([shown(10, "paid", item=3)], [version(0, 10, "free"), version(10, FOREVER, "paid")]),
    ],
    "evidence at exactly the first start": [
        ([shown(0, "free", item=1), shown(10, "paid")], [version(0, 10, "free"), version(10, FOREVER, "paid")]),
        ([shown(0, "paid", item=2)], [version(0, FOREVER, "paid")]),
        ([shown(0, "free", item=0)], [version(0, FOREVER, "paid")]),
    ],
    "of one time and item the greatest level holds": [
        ([shown(0, "paid"), shown(0, "free")], [version(0, FOREVER, "paid")]),
        ([shown(0, "free", "Zoe", item=1)], [version(0, FOREVER, "free", "Zoe")]),
    ],
    "the same evidence again": [
        ([shown(0, "free"), shown(10, "paid")], [version(0, 10, "free"), version(10, FOREVER, "paid")]),
        ([shown(10, "paid"), shown(0, "free")], [version(0, 10, "free"), version(10, FOREVER, "paid")]),
    ],
    "a missing name is the last one known": [
        (
            [shown(0, "free", None), shown(10, "free"), shown(20, "free", None)],
            [version(0, 10, "free", "Unknown"), version(10, FOREVER, "free")],
        ),
        (
            [shown(15, "free", "Zoe")],
            [version(0, 10, "free", "Unknown"), version(10, 15, "free"), version(15, FOREVER, "free", "Zoe")],
        ),
        (
            [shown(5, "paid", None)],
            [
                version(0, 5, "free", "Unknown"),
                version(5, 10, "paid", "Unknown"),
                version(10, 15, "free"),
                version(15, FOREVER, "free", "Zoe"),
            ],
        ),
        ([shown(-5, "free", "Eve")], [version(-5, 5, "free", "Eve"), version(5, 10, "paid", "Eve"),
         version(10, 15, "free"), version(15, FOREVER, "free", "Zoe")]),
    ],
    "somebody is called Unknown": [
        ([shown(0, "free", "Unknown"), shown(10, "free")],
         [version(0, 10, "free", "Unknown"), version(10, FOREVER, "free")]),
        ([shown(20, "free", "Unknown"), shown(30, "paid", None)], [version(0, 10, "free", "Unknown"),
         version(10, 20, "free"), version(20, 30, "free", "Unknown"), version(30, FOREVER, "paid", "Unknown")]),
    ],
    "the earliest registration is on every version": [
        ([shown(0, "free", registered=-5), shown(10, "paid")],
         [version(0, 10, "free", registered=-5), version(10, FOREVER, "paid", registered=-5)]),
        ([shown(20, "free", registered=-9)],
         [version(0, 10, "free", registered=-9), version(10, 20, "paid", registered=-9),
          version(20, FOREVER, "free", registered=-9)]),
        ([shown(30, "free", registered=-7)],
         [version(0, 10, "free", registered=-9), version(10, 20, "paid", registered=-9),
          version(20, FOREVER, "free", registered=-9)]),
    ],
    "a late event removes a version": [
        ([shown(0, "free"), shown(10, "paid"), shown(20, "free")],
         [version(0, 10, "free"), version(10, 20, "paid"), version(20, FOREVER, "free")]),
        ([shown(10, "free", item=9)], [version(0, FOREVER, "free")]),
    ],
}  # fmt: skip
USER_OF = {story: number for number, story in enumerate(STORIES, start=1)}
LOADS = max(map(len, STORIES.values()))


def load(spark: SparkSession, table: Rows, before: Rows, new: Rows) -> Rows:
    """dim_users after a load of new evidence, from what it was."""
    touched = evaluated(spark, users.TOUCHED_USERS, evidence=frame(spark, EVIDENCE, new))
    ids = {row["userId"] for row in new}
    known = frame(spark, DIM_USERS, [row for row in table if row["userId"] in ids])
    present = frame(spark, EVIDENCE, [*before, *new])
    told = evaluated(spark, users.USER_VERSIONS, touched=touched, known=known, present=present)
    return [row for row in table if row["userId"] not in ids] + rows_of(told.select(*DIM_USERS.column_names))


@pytest.fixture(scope="module")
def tables(spark: SparkSession) -> list[Rows]:
    """dim_users after each load of all stories."""
    table: Rows = []
    before: Rows = []
    found = []
    for number in range(LOADS):
        new = [
            {**row, "userId": USER_OF[story]}
            for story, loads in STORIES.items()
            for row in (loads[number][0] if number < len(loads) else [])
        ]
        table = load(spark, table, before, new)
        before += new
        found.append(table)
    return found


@pytest.mark.parametrize("story", STORIES)
def test_a_history_is_right_after_each_load(tables: list[Rows], story: str) -> None:
    for number, (_, expected) in enumerate(STORIES[story]):
        rows = [row for row in tables[number] if row["userId"] == USER_OF[story]]
        rows.sort(key=lambda row: row["row_activation_date"])
        spans = picked(rows, "row_activation_date", "row_expiration_date", "level", "firstName", "registration_time")
        assert spans == expected, f"after load {number + 1}"
        assert [row["current_row"] for row in rows] == [0] * (len(rows) - 1) + [1]
        for row in rows:
            started = row["row_activation_date"] - NEW_YEAR
            milliseconds = 1_704_067_200_000 + started // timedelta(milliseconds=1)
            assert row["userKey"] == key(row["userId"], milliseconds)


@pytest.mark.parametrize("number", range(2))
def test_evidence_in_any_loads_gives_the_versions_of_one_sorted_batch(
    spark: SparkSession, seed: int, number: int
) -> None:
    seed += number
    print(f"seed {seed}")
    rng = Random(seed)
    names = (None, "Anna", "Zoë", "Unknown")
    evidence = [
        {
            **shown(rng.randrange(8), rng.choice(("free", "paid")), rng.choice(names), item=rng.randrange(-1, 2)),
            "userId": user,
            "lastName": rng.choice(names),
            "gender": rng.choice((None, "F", "M")),
        }
        for user in range(150)
        for _ in range(rng.randrange(1, 12))
    ]
    rng.shuffle(evidence)
    table: Rows = []
    done = 0
    for cut in (*sorted(rng.sample(range(len(evidence)), 2)), len(evidence)):
        table = load(spark, table, evidence[:done], evidence[done:cut])
        done = cut
    expected = []
    for user in range(150):
        told = versions([_for_the_oracle(row) for row in evidence if row["userId"] == user])
        expected += [(user_key(user, each), *each[1:]) for each in told]
    found = picked(table, "userKey", "level", "firstName", "lastName", "gender")
    assert sorted(found) == sorted(expected)


def _for_the_oracle(row: dict[str, Any]) -> Evidence:
    milliseconds = 1_704_067_200_000 + (row["at"] - NEW_YEAR) // timedelta(milliseconds=1)
    first, last, gender = (row[name] or "" for name in ("firstName", "lastName", "gender"))
    return Evidence(milliseconds, row["itemInSession"], row["level"], first, last, gender, "", "")


def test_evidence_is_what_events_show_of_their_users(spark: SparkSession) -> None:
    events: list[dict[str, Any]] = [
        {"userId": 1, "timestamp": at(0), "itemInSession": 4, "level": "free", "firstName": '"ZoÃ«"', "state": "NY"},
        {"userId": 1, "timestamp": at(1), "itemInSession": 5, "level": "paid", "lastName": " ", "city": "BogotÃ¡"},
        {"userId": None, "timestamp": at(2), "itemInSession": 6, "level": "free", "firstName": "Nobody"},
    ]
    columns = ("userId", "at", "seen", "itemInSession", "level", "firstName", "lastName", "city", "stateCode")
    sent = frame(spark, LISTENS, events)
    named = f"SELECT DISTINCT text FROM ({users.names('{events}')}) AS named WHERE text IS NOT NULL"
    texts = cleaned_texts(evaluated(spark, named, events=sent))
    told = rows_of(evaluated(spark, users.evidence("{events}", status_changes=False), events=sent, texts=texts), "at")
    assert picked(told, *columns) == [
        (1, at(0), at(0), 4, "free", "Zoë", None, None, "NY"),
        (1, at(1), at(1), 5, "paid", None, None, "Bogotá", None),
    ]
    sent = frame(spark, STATUS_CHANGES, events)
    changed = rows_of(evaluated(spark, users.evidence("{events}", status_changes=True), events=sent, texts=texts), "at")
    assert picked(changed, *columns[:5]) == [
        (1, at(0.001), at(0), -1, "paid"),
        (1, at(1.001), at(1), -1, "free"),
    ]


def test_a_profile_is_as_of_the_newest_evidence(spark: SparkSession) -> None:
    old = [
        {**shown(0, "free", city="Oslo"), "userId": 1},
        {**shown(10, "free", city="Rome"), "userId": 1},
        {**shown(5, "free", city="Oslo"), "userId": 2},
    ]
    new = [
        {**shown(5, "paid", city="Bern"), "userId": 1},  # late: the newest place stays
        {**shown(20, "paid"), "userId": 2},  # without a place: the last one stays
        {**shown(7, "free", None, registered=-1), "userId": 3, "stateCode": "NY"},
    ]
    versions_of_users = [
        {"userId": 1, "firstName": "Anna", "lastName": "Berg", "gender": "F", "level": "paid", "current_row": 0},
        {"userId": 1, "firstName": "Anna", "lastName": "Berg", "gender": "F", "level": "free", "current_row": 1},
        {"userId": 2, "firstName": "Anna", "lastName": "Berg", "gender": "F", "level": "paid", "current_row": 1},
        {"userId": 3, "firstName": "Unknown", "lastName": "Berg", "gender": "F", "level": "free",
         "registration_time": at(-1), "current_row": 1},
        {"userId": 4, "firstName": "Untouched", "level": "free", "current_row": 1},
    ]  # fmt: skip
    known = [
        {"userId": 1, "city": "Rome", "first_seen": at(0), "last_seen": at(10)},
        {"userId": 2, "city": "Oslo", "first_seen": at(5), "last_seen": at(5)},
    ]
    profiles = evaluated(
        spark,
        users.USER_PROFILES,
        touched=evaluated(spark, users.TOUCHED_USERS, evidence=frame(spark, EVIDENCE, new)),
        known=frame(spark, USER_PROFILES, known),
        present=frame(spark, EVIDENCE, [*old, *new]),
        versions=frame(spark, DIM_USERS, versions_of_users),
    )
    assert [tuple(row.values()) for row in rows_of(profiles.select(*USER_PROFILES.column_names), "userId")] == [
        (1, "Anna", "Berg", "F", "free", "Rome", None, None, at(0), at(10)),
        (2, "Anna", "Berg", "F", "paid", "Oslo", None, None, at(5), at(20)),
        (3, "Unknown", "Berg", "F", "free", None, "NY", at(-1), at(7), at(7)),
    ]


def _event(session: int, second: float, item: int, event: str, delivery: str = "a", **more: Any) -> dict[str, Any]:
    return {
        "userId": 1,
        "sessionId": session,
        "timestamp": at(second),
        "itemInSession": item,
        "event_id": event,
        "bronze_id": delivery,
        "level": "free",
        **more,
    }


def test_a_session_counts_an_event_once_however_often_and_wherever_it_shows(spark: SparkSession) -> None:
    page_views = [
        _event(1, 0, 0, "e0"),
        _event(1, 60, 1, "e1", level="paid"),
        _event(1, 60, 1, "e1", "b", level="paid"),
        _event(2, 0, 0, "f0", userId=None),
        _event(3, 5, 0, "g0"),
    ]
    listens = [
        _event(1, 0, 0, "e0", "b", duration=9.0),
        _event(1, 0, 0, "e0", "a", duration=180.1),
        _event(1, 30, 7, "e7", duration=0.2),
        _event(1, 40, 8, "e8", duration=None),
        _event(4, 5, 0, "h0", duration=1e300),
        _event(4, 6, 1, "h1", duration=1e300, level="paid"),
    ]
    sessions = evaluated(
        spark,
        users.USER_SESSIONS,
        page_views=frame(spark, PAGE_VIEWS, page_views),
        listens=frame(spark, LISTENS, listens),
    )
    found = [tuple(row.values()) for row in rows_of(sessions.select(*USER_SESSIONS.column_names), "sessionId")]
    assert found == [
        (1, 1, at(0), at(60), 4, 3, pytest.approx(180.3), "paid"),
        (1, 3, at(5), at(5), 1, 0, 0.0, "free"),
        (1, 4, at(5), at(6), 2, 2, 2e300, "paid"),
    ]
