from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import Any, NamedTuple

import pytest
from pyspark.sql import SparkSession

from music_lakehouse.defs.listening.tables import BRONZE, QUARANTINE, RAW
from music_lakehouse.defs.listening.transforms import events
from music_lakehouse.lakehouse.kafka_ingest import raw_rows
from music_lakehouse.lakehouse.lake import conform
from music_lakehouse_tests.oracle.bronze import decide
from music_lakehouse_tests.oracle.values import key

pytestmark = pytest.mark.spark

SENT = datetime(2024, 3, 1, 12, tzinfo=timezone.utc)
SENT_MS = int(SENT.timestamp() * 1000)
LISTEN, PAGE_VIEW, AUTH, STATUS_CHANGE = RAW

GOOD: dict[str, Any] = {"ts": SENT_MS, "sessionId": 5, "itemInSession": 0, "level": "free"}


def sent(*without: str, **fields: Any) -> bytes:
    return json.dumps({name: value for name, value in {**GOOD, **fields}.items() if name not in without}).encode()


def text_of(value: bytes | None) -> str | None:
    """A message as raw's `value` has it: None for a tombstone, and where it is not UTF-8."""
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return None


class Case(NamedTuple):
    """A message; the columns that its bronze row must have, or the reasons for which it is refused."""

    value: bytes | None
    row: dict[str, Any] | None = None
    reasons: list[str] | None = None
    topic: str = LISTEN


NO_OBJECT = ["json_object"]
TEN_THOUSAND_DEEP = b'{"x":' * 10_000 + b"1" + b"}" * 10_000
CASES = {
    # what is no event
    "tombstone": Case(None, reasons=NO_OBJECT),
    "empty": Case(b"", reasons=NO_OBJECT),
    "blanks": Case(b" \n", reasons=NO_OBJECT),
    "not JSON": Case(b"hello", reasons=NO_OBJECT),
    "cut off": Case(sent()[:-2], reasons=NO_OBJECT),
    "not UTF-8": Case(sent()[:-1] + b',"city":"\xff\xfe"}', reasons=NO_OBJECT),
    "an array": Case(b"[" + sent() + b"]", reasons=NO_OBJECT),
    "a number": Case(b"17", reasons=NO_OBJECT),
    "a text": Case(b'"text"', reasons=NO_OBJECT),
    "null": Case(b"null", reasons=NO_OBJECT),
    "trailing garbage": Case(sent() + b" x", reasons=NO_OBJECT),
    "trailing bracket": Case(sent() + b"]", reasons=NO_OBJECT),
    "trailing bracket and more": Case(sent() + b'], [{"ts": 1}', reasons=NO_OBJECT),
    "trailing comma": Case(sent() + b",", reasons=NO_OBJECT),
    "trailing null": Case(sent() + b",null", reasons=NO_OBJECT),
    "trailing null and bracket": Case(sent() + b",null] x", reasons=NO_OBJECT),
    "two objects": Case(sent() + sent(), reasons=NO_OBJECT),
    "two objects with a comma": Case(sent() + b"," + sent(), reasons=NO_OBJECT),
    "NaN": Case(sent()[:-1] + b',"lat":NaN}', reasons=NO_OBJECT),
    "single quotes": Case(sent().replace(b'"', b"'"), reasons=NO_OBJECT),
    "unquoted names": Case(sent().replace(b'"level"', b"level"), reasons=NO_OBJECT),
    "a comment": Case(b"/* x */" + sent(), reasons=NO_OBJECT),
    "leading zero": Case(sent()[:-1] + b',"zip":02151}', reasons=NO_OBJECT),
    "a byte order mark": Case(b"\xef\xbb\xbf" + sent(), reasons=NO_OBJECT),
    "deeply nested": Case(TEN_THOUSAND_DEEP, reasons=NO_OBJECT),
    "an empty object": Case(b"{}", reasons=["ts_present", "session_present", "item_present", "level_known"]),
    # what is one
    "complete": Case(sent(), {"ts": SENT_MS, "sessionId": 5, "itemInSession": 0, "level": "free", "userId": None}),
    "blanks around it": Case(b" \r\n" + sent() + b"\n\t ", {"sessionId": 5}),
    "five megabytes": Case(sent(song="x" * 5_000_000), {"song": "x" * 5_000_000, "_rescued_data": None}),
    "five megabytes unknown": Case(sent(blob="x" * 5_000_000), {"sessionId": 5}),
    "duplicate keys": Case(sent()[:-1] + b',"city":"A","city":"B"}', {"city": "B", "_rescued_data": None}),
    "escapes": Case(sent()[:-1] + b',"city":"Z\\u00fcrich \\ud83c\\udfb5 \\/"}', {"city": "Zürich 🎵 /"}),
    "half a surrogate": Case(sent()[:-1] + b',"city":"a\\ud83cb"}', {"city": "a?b"}),
    # coercion
    "numbers as text": Case(
        sent(ts=str(SENT_MS), sessionId=" 5 ", itemInSession="3", userId="7", lat="1.5", duration="2e2"),
        {"ts": SENT_MS, "sessionId": 5, "itemInSession": 3, "userId": 7, "lat": 1.5, "duration": 200.0},
    ),
    "numbers between other blanks": Case(
        sent(userId="\t7\n", lat="\t1.5\r\n", lon="\f-2e1 "),
        {"userId": 7, "lat": 1.5, "lon": -20.0, "_rescued_data": None},
    ),
    "whole floats": Case(
        sent(registration=1540266185796.0, userId="7.0", itemInSession=2.0),
        {"registration": 1540266185796, "userId": 7, "itemInSession": 2},
    ),
    "an exponent": Case(sent()[:-1] + b',"registration":1.540266185796E12}', {"registration": 1540266185796}),
    "fractions where integers are due": Case(
        sent(userId="1.00000000000001", registration="1.25"),
        {"userId": None, "registration": None, "_rescued_data": ["registration", "userId"]},
    ),
    "numbers where text is due": Case(
        sent(zip=2151, city=1.5, tag=-123456789012345678901234567890),
        {"zip": "2151", "city": "1.5", "tag": "-123456789012345678901234567890", "_rescued_data": None},
    ),
    "empty text": Case(
        sent(userId="", city="", lat="", registration="", firstName=""),
        {"userId": None, "city": None, "lat": None, "registration": None, "firstName": None, "_rescued_data": None},
    ),
    "fields that are null": Case(
        sent(userId=None, city=None, extra=None), {"userId": None, "city": None, "_rescued_data": None}
    ),
    "objects where text is due": Case(
        sent(city={"name": "Oslo"}, song=["a"], artist=True),
        {"city": None, "song": None, "artist": None, "_rescued_data": ["artist", "city", "song"]},
    ),
    "text that looks like other JSON": Case(
        sent(song="[Live] {Take}", artist="true", city='{"a": 1}'),
        {"song": "[Live] {Take}", "artist": "true", "city": '{"a": 1}', "_rescued_data": None},
    ),
    "text that looks like other JSON beside duplicate keys": Case(
        sent()[:-1] + b',"song":"true","city":"A","city":"[B]"}', {"song": "true", "city": "[B]"}
    ),
    "what is no number": Case(
        sent(lat="north", lon={"x": 1}, duration="1f", userId="seven", registration=[1]),
        {
            "lat": None,
            "lon": None,
            "duration": None,
            "userId": None,
            "_rescued_data": ["duration", "lat", "lon", "registration", "userId"],
        },
    ),
    "numbers that Java knows": Case(
        sent(lat="NaN", lon="Infinity", duration="0x1p3"),
        {"lat": None, "lon": None, "duration": None, "_rescued_data": ["duration", "lat", "lon"]},
    ),
    "numbers beyond a double": Case(
        sent()[:-1] + b',"lat":1e400,"duration":-1e999}',
        {"lat": None, "duration": None, "_rescued_data": ["duration", "lat"]},
    ),
    "integers beyond their column": Case(
        sent()[:-1] + b',"userId":9223372036854775808,"registration":1e300}',
        {"userId": None, "registration": None, "_rescued_data": ["registration", "userId"]},
    ),
    "absurd exponents": Case(
        sent()[:-1] + b',"userId":1E999999999,"registration":1E-99}',
        {"userId": None, "registration": None, "_rescued_data": ["registration", "userId"]},
    ),
    "the greatest integer": Case(sent(userId=2**63 - 1), {"userId": 2**63 - 1}),
    "unknown fields": Case(
        sent(appVersion="4.1", build=17, nested={"a": [1, 2]}),
        {"_rescued_data": ["appVersion", "build", "nested"], "sessionId": 5},
    ),
    "coordinates": Case(sent(lat=-0.0, lon=10), {"lat": -0.0, "latitude": -0.0, "lon": 10.0, "longitude": 10.0}),
    "a registration outside of time": Case(
        sent(registration=2**62), {"registration": 2**62, "registration_time": None, "_rescued_data": None}
    ),
    "a registration long ago": Case(
        sent(registration=-62_135_596_800_000), {"registration_time": datetime(1, 1, 1, tzinfo=timezone.utc)}
    ),
    # level
    "level in capitals": Case(sent(level="FREE"), {"level": "free"}),
    "level capitalized": Case(sent(level=" Paid "), {"level": "paid"}),
    "level between other blanks": Case(sent(level="\n\tPaid\r"), {"level": "paid"}),
    "level unknown": Case(sent(level="gold"), reasons=["level_known"]),
    "level missing": Case(sent("level"), reasons=["level_known"]),
    "level no text": Case(sent(level=True), reasons=["level_known"]),
    # ts
    "ts missing": Case(sent("ts"), reasons=["ts_present"]),
    "ts unreadable": Case(sent(ts="noon"), reasons=["ts_present"]),
    "ts in seconds": Case(sent(ts=SENT_MS // 1000), reasons=["ts_since_2000"]),
    "ts of 2000": Case(sent(ts=946_684_800_000), {"timestamp": datetime(2000, 1, 1, tzinfo=timezone.utc)}),
    "ts before 2000": Case(sent(ts=946_684_799_999), reasons=["ts_since_2000"]),
    "ts negative": Case(sent(ts=-1), reasons=["ts_since_2000"]),
    "ts a day ahead": Case(sent(ts=SENT_MS + 86_400_000), {"timestamp": SENT + timedelta(days=1)}),
    "ts over a day ahead": Case(sent(ts=SENT_MS + 86_400_001), reasons=["ts_not_in_future"]),
    "ts the greatest": Case(sent(ts=2**63 - 1), reasons=["ts_not_in_future"]),
    "ts beyond a bigint": Case(sent(ts=2**63), reasons=["ts_present"]),
    # what else is required
    "session missing": Case(sent("sessionId"), reasons=["session_present"]),
    "item unreadable": Case(sent(itemInSession=[1]), reasons=["item_present"]),
    "item beyond an int": Case(sent(itemInSession=2**31), reasons=["item_present"]),
    "all reasons at once": Case(
        sent("sessionId", "itemInSession", ts=1, level="x"),
        reasons=["ts_since_2000", "session_present", "item_present", "level_known"],
    ),
    "page missing": Case(sent(), reasons=["page_present"], topic=PAGE_VIEW),
    "page": Case(sent(page="Home", status="307"), {"page": "Home", "status": 307}, topic=PAGE_VIEW),
    "success missing": Case(sent(), reasons=["success_present"], topic=AUTH),
    "success as text": Case(sent(success="true"), reasons=["success_present"], topic=AUTH),
    "success as number": Case(sent(success=1), reasons=["success_present"], topic=AUTH),
    "success": Case(sent(success=False), {"success": False}, topic=AUTH),
    "success beside duplicate keys": Case(
        sent(success=True)[:-1] + b',"tag":"a","tag":"b"}', {"success": True}, topic=AUTH
    ),
    "a status change": Case(sent(userId=3), {"userId": 3, "level": "free"}, topic=STATUS_CHANGE),
}


@pytest.fixture(scope="module")
def parsed(spark: SparkSession) -> dict[str, tuple[list[dict[str, Any]], list[dict[str, Any]]]]:
    """By case, the bronze rows and the quarantine rows that its message became."""
    found: dict[str, tuple[list[dict[str, Any]], list[dict[str, Any]]]] = {name: ([], []) for name in CASES}
    for topic in RAW:
        names = [name for name, case in CASES.items() if case.topic == topic]
        messages = spark.createDataFrame(
            [(CASES[name].value, None, SENT, f"test-{topic}", 0, number) for number, name in enumerate(names)],
            "value BINARY, key BINARY, timestamp TIMESTAMP, topic STRING, partition INT, offset BIGINT",
        )
        marked = events.parse(conform(raw_rows(messages, "id"), RAW[topic]), topic).persist()
        for place, rows in enumerate((events.valid(marked, topic), events.refused(marked, topic))):
            for row in rows.toArrow().to_pylist():
                found[names[row["kafka_offset"]]][place].append(row)
        marked.unpersist()
    return found


@pytest.mark.parametrize("name", CASES)
def test_a_message_becomes_one_bronze_row_or_one_quarantine_row(
    parsed: dict[str, tuple[list[dict[str, Any]], list[dict[str, Any]]]], name: str
) -> None:
    case, (kept, refused) = CASES[name], parsed[name]
    if case.reasons is not None:
        assert [row["reasons"] for row in refused] == [case.reasons]
        assert kept == []
        return
    assert refused == []
    assert len(kept) == 1
    row = {**kept[0], "_rescued_data": sorted(json.loads(kept[0]["_rescued_data"] or "{}")) or None}
    assert {column: row[column] for column in case.row or {}} == case.row


@pytest.mark.parametrize("name", CASES)
def test_the_oracle_decides_each_message_alike(
    parsed: dict[str, tuple[list[dict[str, Any]], list[dict[str, Any]]]], name: str
) -> None:
    case, (kept, _) = CASES[name], parsed[name]
    expected, reasons = decide(case.topic, text_of(case.value), SENT_MS)
    assert bool(kept) == (not reasons)
    if kept:
        expected.pop("_rescued_data")
        assert {column: kept[0][column] for column in expected} == expected


def test_rows_are_identified_by_delivery_and_by_event(
    parsed: dict[str, tuple[list[dict[str, Any]], list[dict[str, Any]]]],
) -> None:
    row = parsed["numbers as text"][0][0]
    assert row["bronze_id"] == key("id", 0, row["kafka_offset"])
    assert row["event_id"] == key(7, 5, 3, SENT_MS)
    assert row["kafka_topic"] == f"test-{LISTEN}"
    assert row["timestamp"] == row["kafka_timestamp"] == SENT
    assert list(row) == BRONZE[LISTEN].column_names


def test_quarantine_keeps_the_message_as_it_came(
    parsed: dict[str, tuple[list[dict[str, Any]], list[dict[str, Any]]]],
) -> None:
    refused = parsed["two objects"][1][0]
    assert refused["value"] == (sent() + sent()).decode()
    assert (refused["topic"], refused["kafka_topic_id"], refused["kafka_timestamp"]) == (LISTEN, "id", SENT)
    assert list(refused) == QUARANTINE.column_names
    assert parsed["not UTF-8"][1][0]["value"] is None


def test_what_is_rescued_is_as_it_was_sent(
    parsed: dict[str, tuple[list[dict[str, Any]], list[dict[str, Any]]]],
) -> None:
    rescued = parsed["unknown fields"][0][0]["_rescued_data"]
    assert json.loads(rescued) == {"appVersion": "4.1", "build": 17, "nested": {"a": [1, 2]}}
    assert parsed["fields that are null"][0][0]["_rescued_data"] is None


def test_bytes_that_are_no_text_are_kept_as_bytes(spark: SparkSession) -> None:
    messages = spark.createDataFrame(
        [(bytearray(b"\xff{}"), SENT), (bytearray("é".encode()), SENT), (bytearray(), SENT), (None, SENT)],
        "value BINARY, timestamp TIMESTAMP",
    ).selectExpr("value", "CAST(NULL AS BINARY) AS key", "timestamp", "'t' AS topic", "0 AS partition", "0 AS offset")
    rows = raw_rows(messages, "id").select("value", "value_bytes").collect()
    assert [(row.value, row.value_bytes) for row in rows] == [(None, b"\xff{}"), ("é", None), ("", None), (None, None)]
