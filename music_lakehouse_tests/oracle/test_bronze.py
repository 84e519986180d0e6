from __future__ import annotations

import hashlib
import json

import pytest

from music_lakehouse_tests.oracle.bronze import MS_OF_A_DAY, bronze_tables, decide
from music_lakehouse_tests.oracle.examples import ANNA, NOON, SONG, at, event, listen, message, picked
from music_lakehouse_tests.oracle.values import Row


def reasons_of(topic: str, row: Row) -> list[str]:
    return decide(topic, json.dumps(row), NOON)[1]


def test_a_listen_event_is_parsed_whole() -> None:
    row = bronze_tables([message("listen_events", listen(5, 2, tag="A", level="Free"), 3, 1)])["bronze.listen_events"][
        0
    ]
    assert row == {
        "ts": NOON + 5,
        "timestamp": at(5),
        "sessionId": 1,
        "itemInSession": 2,
        "level": "free",
        "auth": None,
        "city": "Oslo",
        "state": "NY",
        "zip": "01234",
        "userAgent": None,
        "lat": 59.5,
        "lon": 10.75,
        "latitude": 59.5,
        "longitude": 10.75,
        "userId": 7,
        "firstName": "Anna",
        "lastName": "Berg",
        "gender": "F",
        "registration": NOON - 1000,
        "registration_time": at(-1000),
        "tag": "A",
        "artist": "Band",
        "song": "Tune",
        "duration": 180.5,
        "_rescued_data": None,
        "bronze_id": hashlib.md5(b"id-listen_events|1|3").hexdigest(),
        "event_id": hashlib.md5(f"7|1|2|{NOON + 5}".encode()).hexdigest(),
        "kafka_timestamp": at(60_000),
        "kafka_topic": "test-listen_events",
        "kafka_topic_id": "id-listen_events",
        "kafka_partition": 1,
        "kafka_offset": 3,
    }


def test_a_page_view_and_its_listen_share_an_event_id() -> None:
    view = event(page="NextSong", **ANNA, **SONG)
    tables = bronze_tables([message("listen_events", listen()), message("page_view_events", view)])
    (heard,), (viewed,) = tables["bronze.listen_events"], tables["bronze.page_view_events"]
    assert heard["event_id"] == viewed["event_id"]
    assert heard["bronze_id"] != viewed["bronze_id"]


def test_a_hidden_user_has_an_empty_part_in_the_event_id() -> None:
    (row,) = bronze_tables([message("listen_events", event(userId=""))])["bronze.listen_events"]
    assert row["userId"] is None
    assert row["event_id"] == hashlib.md5(f"|1|0|{NOON}".encode()).hexdigest()


def test_bronze_keeps_text_as_sent_but_empty_text_is_missing() -> None:
    row, _ = decide("listen_events", json.dumps(listen(song='"BjÃ¶rk\\"', artist="", city=" ")), NOON)
    assert (row["song"], row["artist"], row["city"]) == ('"BjÃ¶rk\\"', None, " ")


def test_what_does_not_fit_and_what_is_unknown_is_rescued() -> None:
    row, reasons = decide(
        "listen_events",
        json.dumps(listen(userId="seven", zip=1234, lat=True, page="Home", mood={"a": 1}, tag=None)),
        NOON,
    )
    assert reasons == []
    assert (row["userId"], row["zip"], row["latitude"]) == (None, "1234", None)
    assert json.loads(row["_rescued_data"]) == {"userId": "seven", "lat": True, "page": "Home", "mood": {"a": "1"}}


@pytest.mark.parametrize("value", [None, b"", b"\xff{}", b"not json", b"[]", b"null", b'{"ts": 1} {}'])
def test_what_is_no_object_is_quarantined_as_it_is(value: bytes | None) -> None:
    tables = bronze_tables([message("auth_events", value, 9)])
    assert tables["bronze.auth_events"] == []
    readable = None if value in (None, b"\xff{}") else (value or b"").decode()
    assert picked(tables["bronze.quarantine"], "topic", "kafka_offset", "value") == [("auth_events", 9, readable)]
    (raw,) = tables["raw.auth_events"]
    assert (raw["value"], raw["value_bytes"]) == (readable, b"\xff{}" if value == b"\xff{}" else None)


def test_all_the_reasons_are_given() -> None:
    assert reasons_of("page_view_events", {"ts": "soon", "level": "gold"}) == [
        "ts_missing",
        "sessionId_missing",
        "itemInSession_missing",
        "page_missing",
        "level_unknown",
    ]
    assert reasons_of("auth_events", event(success="true")) == ["success_missing"]
    assert reasons_of("auth_events", event(success=False)) == []
    assert reasons_of("status_change_events", event(level=None)) == ["level_unknown"]


def test_times_outside_of_their_bounds_are_refused() -> None:
    for ts in (946_684_800_000, NOON + MS_OF_A_DAY, f" {NOON}.0 "):
        assert reasons_of("listen_events", listen() | {"ts": ts}) == []
    for ts in (946_684_799_999, NOON + MS_OF_A_DAY + 1, NOON // 1000):
        assert reasons_of("listen_events", listen() | {"ts": ts}) == ["ts_out_of_bounds"]


def test_a_level_may_be_in_any_case_and_have_blanks() -> None:
    row, reasons = decide("listen_events", json.dumps(listen(level=" PaId ")), NOON)
    assert (row["level"], reasons) == ("paid", [])
