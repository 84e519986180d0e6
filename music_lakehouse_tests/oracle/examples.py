"""Small hand-written inputs for the oracle's own tests."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from music_lakehouse_tests.oracle.messages import Message
from music_lakehouse_tests.oracle.tables import tables_of
from music_lakehouse_tests.oracle.values import Row, Tables

NOON = 1_700_049_600_000
"""2023-11-15 12:00:00 UTC, a Wednesday, in milliseconds."""

NOWHERE = Path("no-such-directory")

ANNA: Row = {"userId": 7, "firstName": "Anna", "lastName": "Berg", "gender": "F", "registration": NOON - 1000}
OSLO: Row = {"city": "Oslo", "state": "NY", "zip": "01234", "lat": 59.5, "lon": 10.75}
SONG: Row = {"artist": "Band", "song": "Tune", "duration": 180.5}


def at(milliseconds_after_noon: int) -> datetime:
    """The instant that many milliseconds after NOON."""
    return datetime.fromtimestamp((NOON + milliseconds_after_noon) / 1000, tz=timezone.utc)


def event(after_noon: int = 0, item: int = 0, *, session: int = 1, level: str | None = "free", **fields: Any) -> Row:
    """The fields that every event has, and those given; a field given as None is sent as null."""
    return {"ts": NOON + after_noon, "sessionId": session, "itemInSession": item, "level": level, **fields}


def listen(after_noon: int = 0, item: int = 0, **fields: Any) -> Row:
    """A listen event of Anna's in Oslo, unless the fields given say otherwise."""
    return event(after_noon, item, **{**ANNA, **OSLO, **SONG, **fields})


def message(topic: str, value: Row | bytes | str | None, offset: int = 0, partition: int = 0) -> Message:
    """A message on a topic, sent one minute after NOON; rows as JSON."""
    sent = json.dumps(value) if isinstance(value, dict) else value
    content = sent.encode() if isinstance(sent, str) else sent
    return Message(topic, f"test-{topic}", f"id-{topic}", partition, offset, NOON + 60_000, content)


def messages(
    listens: Iterable[Row] = (),
    page_views: Iterable[Row] = (),
    auths: Iterable[Row] = (),
    status_changes: Iterable[Row] = (),
) -> list[Message]:
    """Messages with offsets from 0 on each topic, in the order given."""
    topics = {
        "listen_events": listens,
        "page_view_events": page_views,
        "auth_events": auths,
        "status_change_events": status_changes,
    }
    return [message(topic, row, offset) for topic, rows in topics.items() for offset, row in enumerate(rows)]


def tables(*given: Iterable[Row], songs_csv: Path = NOWHERE, state_codes_csv: Path = NOWHERE, **named: Any) -> Tables:
    """All tables of `messages(...)`, without reference files unless given."""
    return tables_of(messages(*given, **named), songs_csv, state_codes_csv)


def picked(rows: Iterable[Row], *columns: str) -> list[tuple[Any, ...]]:
    """The rows' values in these columns only."""
    return [tuple(row[column] for column in columns) for row in rows]


def random_messages(seed: int, events: int) -> list[Message]:
    """A dirty stream: few users, so that times, sessions and songs meet; doubled, mistyped and broken messages."""
    chance = random.Random(seed)
    rows: dict[str, list[Row | str]] = {topic: [] for topic in _EXTRAS}
    for _ in range(events):
        topic = chance.choice(list(_EXTRAS))
        user: Row = chance.choice([ANNA, {"userId": "8", "firstName": '"BjÃ¶rk"'}, {"userId": 9, "gender": "M"}, {}])
        place: Row = chance.choice([OSLO, {"city": "Unknown", "state": " ny "}, {}])
        row = event(
            chance.randrange(-40, 40) * 60_000 * chance.choice([1, 1, 100]) + chance.randrange(2),
            chance.randrange(4),
            session=chance.randrange(3),
            level=chance.choice(
                ["free", "paid", "Free", " PAID ", "gold"] if chance.random() < 0.2 else ["free", "paid"]
            ),
            **user,
            **place,
            **_EXTRAS[topic](chance),
        )
        if chance.random() < 0.1:
            row[chance.choice(list(row))] = chance.choice([None, "", "x", [1], "12", 1.5])
        rows[topic].append(row if chance.random() < 0.95 else json.dumps(row)[:-1])
        if chance.random() < 0.1:
            rows[topic].append({**row, "level": "free"})
    return [
        message(topic, value, offset // 2, offset % 2)
        for topic, values in rows.items()
        for offset, value in enumerate(values)
    ]


def _random_song(chance: random.Random) -> Row:
    title = chance.choice(["Tune", '"Tune"', "Naïve", "NaÃ¯ve", "", "  "])
    return {"song": title, "artist": chance.choice(["Band", "Duo"]), "duration": chance.choice([180, 210.5, None])}


_EXTRAS: dict[str, Any] = {
    "listen_events": _random_song,
    "page_view_events": lambda chance: {"page": "NextSong", **_random_song(chance)},
    "auth_events": lambda chance: {"success": chance.random() < 0.9},
    "status_change_events": lambda _: {},
}
