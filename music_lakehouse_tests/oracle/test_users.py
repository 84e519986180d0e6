from __future__ import annotations

import hashlib

from music_lakehouse_tests.oracle.examples import ANNA, NOON, at, event, listen, picked, tables
from music_lakehouse_tests.oracle.values import END_OF_TIME

SPAN = ("level", "row_activation_date", "row_expiration_date", "current_row")


def test_versions_follow_the_levels_whatever_the_order_of_arrival() -> None:
    rows = [listen(3000, level="free"), listen(0, level="free"), listen(2000, level="paid"), listen(1000, level="free")]
    users = tables(rows)["silver.dim_users"]
    assert picked(users, *SPAN) == [
        ("free", at(0), at(2000), 0),
        ("paid", at(2000), at(3000), 0),
        ("free", at(3000), END_OF_TIME, 1),
    ]
    assert users[1]["userKey"] == hashlib.md5(f"7|{NOON + 2000}".encode()).hexdigest()


def test_a_status_change_carries_the_old_level_and_holds_a_millisecond_later() -> None:
    users = tables([listen(0)], status_changes=[event(1000, 1, level="free", **ANNA)])["silver.dim_users"]
    assert picked(users, *SPAN) == [("free", at(0), at(1001), 0), ("paid", at(1001), END_OF_TIME, 1)]


def test_a_user_whom_only_a_status_change_shows_has_a_version() -> None:
    users = tables(status_changes=[event(level="paid", userId=3)])["silver.dim_users"]
    assert picked(users, "firstName", "gender", *SPAN) == [("Unknown", "Unknown", "free", at(1), END_OF_TIME, 1)]


def test_of_evidence_at_one_time_the_last_item_holds_and_a_status_change_comes_before_all_items() -> None:
    rows = [listen(1, 2, level="free"), listen(1, 1, level="paid")]
    users = tables(rows, status_changes=[event(0, 5, level="free", **ANNA)])["silver.dim_users"]
    assert picked(users, *SPAN) == [("free", at(1), END_OF_TIME, 1)]


def test_a_missing_name_is_the_last_one_known_before_it() -> None:
    rows = [
        listen(0, firstName="", lastName=None),
        listen(1000),
        listen(2000, firstName=None, gender="", lastName="BergÃ©"),
    ]
    users = tables(rows)["silver.dim_users"]
    assert picked(users, "firstName", "lastName", "gender", "row_activation_date") == [
        ("Unknown", "Unknown", "F", at(0)),
        ("Anna", "Berg", "F", at(1000)),
        ("Anna", "Bergé", "F", at(2000)),
    ]


def test_a_registration_is_the_earliest_of_all_topics_on_every_version() -> None:
    rows = [listen(0, registration=NOON - 5), listen(1000, level="paid", registration=None)]
    users = tables(rows, auths=[event(2000, success=True, level="paid", userId=7, registration=NOON - 9)])
    assert [row["registration_time"] for row in users["silver.dim_users"]] == [at(-9), at(-9)]


def test_a_profile_is_of_the_newest_evidence_and_of_the_newest_place() -> None:
    profiles = tables(
        [listen(0, city='"BogotÃ¡"', state=None)],
        page_views=[event(5000, page="Home", level="paid", **ANNA)],
        status_changes=[event(7000, level="paid", userId=7)],
    )["silver.user_profiles"]
    assert profiles == [
        {
            "userId": 7,
            "firstName": "Anna",
            "lastName": "Berg",
            "gender": "F",
            "level": "free",
            "city": "Bogotá",
            "stateCode": None,
            "registration_time": at(-1000),
            "first_seen": at(0),
            "last_seen": at(7000),
        }
    ]


def test_a_session_counts_an_event_once_however_often_and_wherever_it_shows() -> None:
    page_views = [event(0, 0, page="NextSong", **ANNA), event(9000, 1, page="Home", level="paid", **ANNA)]
    sessions = tables(
        [listen(0), listen(0), listen(4000, 2, duration=None), listen(0, session=2), listen(userId=None)], page_views
    )["silver.user_sessions"]
    assert sessions[0] == {
        "userId": 7,
        "sessionId": 1,
        "session_start": at(0),
        "session_end": at(9000),
        "events": 3,
        "songs": 2,
        "listened_seconds": 180.5,
        "level": "paid",
    }
    assert picked(sessions, "sessionId", "events") == [(1, 3), (2, 1)]


def test_active_users_are_those_of_the_30_minutes_up_to_the_newest_event() -> None:
    half_an_hour = 1_800_000
    active = tables(
        [listen(0), listen(1000, session=4, level="paid"), listen(999, userId=8), listen(1000, session=9, userId=9)],
        auths=[event(half_an_hour + 1000, success=False)],
        status_changes=[event(2000, level="paid", userId=10)],
    )["gold.active_users"]
    assert picked(active, "userId", "session_start", "session_end", "level") == [
        (7, at(1000), at(1000), "paid"),
        (9, at(1000), at(1000), "free"),
        (10, None, None, "free"),
    ]


def test_hidden_users_leave_no_trace_among_users() -> None:
    hidden = tables([listen(userId="")], page_views=[event(page="Home")])
    for name in ("silver.dim_users", "silver.user_profiles", "silver.user_sessions", "gold.active_users"):
        assert hidden[name] == []
