"""Raw, bronze and quarantine: what becomes of each message."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from music_lakehouse_tests.oracle.coercion import (
    ASCII_SPACE,
    Coercion,
    NotAnObjectError,
    UnfitValueError,
    boolean,
    double,
    integer,
    parse_object,
    text,
)
from music_lakehouse_tests.oracle.messages import TOPICS, Message
from music_lakehouse_tests.oracle.values import Row, Tables, instant, instant_or_none, key

MS_OF_2000, MS_OF_A_DAY = 946_684_800_000, 86_400_000

LONG, INT = integer(64), integer(32)
EVERYWHERE: dict[str, Coercion] = {
    "ts": LONG,
    "sessionId": LONG,
    "itemInSession": INT,
    "level": text,
    "city": text,
    "state": text,
    "zip": text,
    "userAgent": text,
    "lat": double,
    "lon": double,
    "userId": LONG,
    "firstName": text,
    "lastName": text,
    "gender": text,
    "registration": LONG,
    "tag": text,
}
SONG: dict[str, Coercion] = {"artist": text, "song": text, "duration": double}
AUTH: dict[str, Coercion] = {"auth": text}
FIELDS: dict[str, dict[str, Coercion]] = {
    "listen_events": EVERYWHERE | AUTH | SONG,
    "page_view_events": EVERYWHERE | AUTH | SONG | {"page": text, "method": text, "status": INT},
    "auth_events": EVERYWHERE | {"success": boolean},
    "status_change_events": EVERYWHERE | AUTH,
}
REQUIRED = {
    "listen_events": (),
    "page_view_events": ("page",),
    "auth_events": ("success",),
    "status_change_events": (),
}


def bronze_tables(messages: Iterable[Message]) -> Tables:
    """Raw, bronze and quarantine tables by `layer.table`, rows in the order of the messages; every message is in one
    raw table, and either in that topic's bronze table or in quarantine. `_rescued_data` holds numbers as text."""
    tables: Tables = {f"{layer}.{topic}": [] for layer in ("raw", "bronze") for topic in TOPICS}
    quarantine = tables["bronze.quarantine"] = []
    for message in messages:
        content = _utf8(message.value)
        position = {
            "kafka_timestamp": instant(message.kafka_timestamp_ms),
            "kafka_topic": message.kafka_topic,
            "kafka_topic_id": message.topic_id,
            "kafka_partition": message.partition,
            "kafka_offset": message.offset,
        }
        unreadable = message.value if content is None else None
        tables[f"raw.{message.event_name}"].append({"value": content, "value_bytes": unreadable, **position})
        row, reasons = decide(message.event_name, content, message.kafka_timestamp_ms)
        if reasons:
            del position["kafka_topic"]
            quarantine.append({"topic": message.event_name, "value": content, "reasons": reasons, **position})
        else:
            row["bronze_id"] = key(message.topic_id, message.partition, message.offset)
            row["event_id"] = key(row["userId"], row["sessionId"], row["itemInSession"], row["ts"])
            row |= position
            tables[f"bronze.{message.event_name}"].append(row)
    return tables


def decide(topic: str, content: str | None, kafka_timestamp_ms: int) -> tuple[Row, list[str]]:
    """The parsed fields of one message, and all the reasons for which it is refused (none: it is bronze)."""
    if content is None:
        return {}, ["not_text"]
    try:
        sent = parse_object(content)
    except NotAnObjectError:
        return {}, ["not_an_object"]
    row = _typed(topic, sent)
    row["level"] = row["level"] and row["level"].strip(ASCII_SPACE).lower()
    row["latitude"], row["longitude"] = row["lat"], row["lon"]
    row["timestamp"] = instant_or_none(row["ts"])
    row["registration_time"] = instant_or_none(row["registration"])
    required = ("ts", "sessionId", "itemInSession", *REQUIRED[topic])
    reasons = [f"{field}_missing" for field in required if row[field] is None]
    if row["level"] not in ("free", "paid"):
        reasons.append("level_unknown")
    if row["ts"] is not None and not MS_OF_2000 <= row["ts"] <= kafka_timestamp_ms + MS_OF_A_DAY:
        reasons.append("ts_out_of_bounds")
    return row, reasons


def _utf8(value: bytes | None) -> str | None:
    try:
        return None if value is None else value.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _typed(topic: str, sent: dict[str, Any]) -> Row:
    row: Row = {}
    rescued: list[str] = []
    for field, coerce in FIELDS[topic].items():
        value = sent.get(field)
        if value is None or value == "":
            row[field] = None
            continue
        try:
            row[field] = coerce(value)
        except UnfitValueError:
            row[field] = None
            rescued.append(field)
    known = FIELDS[topic]
    rescued += [field for field, value in sent.items() if field not in known and value is not None and value != ""]
    row["_rescued_data"] = json.dumps({field: sent[field] for field in rescued}) if rescued else None
    return row
