from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from itertools import islice
from random import Random
from typing import Any

import pytest

from music_lakehouse.simulator.config import SimulatorConfig
from music_lakehouse.simulator.faults import DELAYS, FAULTS, HUNDRED_YEARS_MS, Event, with_faults
from music_lakehouse.simulator.messages import LISTEN, PAGE_VIEW, STATUS_CHANGE, Message, to_value
from music_lakehouse.simulator.simulation import simulate

pytestmark = pytest.mark.thorough

LISTEN_EVENT: Event = {
    "ts": 1_541_000_000_796,
    "sessionId": 12,
    "itemInSession": 3,
    "auth": "Logged In",
    "level": "paid",
    "city": "Boston",
    "zip": "02118",
    "state": "MA",
    "userAgent": '"Mozilla/5.0"',
    "lon": -71.07,
    "lat": 42.338,
    "userId": 39,
    "lastName": "Peña",
    "firstName": "Zoë",
    "gender": "F",
    "registration": 1_540_000_000_796,
    "artist": "Bjalmö",
    "song": 'The "Quiet" Kettle',
    "duration": 210.33751,
}


def changed(name: str, event: Event = LISTEN_EVENT) -> Any:
    """What the fault makes of an event, always with the same random numbers."""
    return FAULTS[name].change(dict(event), Random(4))


def difference(name: str) -> Event:
    """The fields that the fault changed or added."""
    after = changed(name)
    return {field: value for field, value in after.items() if LISTEN_EVENT.get(field, "absent") != value}


def test_mojibake_is_undone_by_reading_it_as_utf_8_once_or_twice() -> None:
    assert difference("mojibake_once") == {"lastName": "PeÃ±a", "firstName": "ZoÃ«", "artist": "BjalmÃ¶"}
    twice = difference("mojibake_twice")
    assert twice["artist"] == "BjalmÃ\x83Â¶"
    once = {name: text.encode("latin-1").decode() for name, text in twice.items()}
    assert once == difference("mojibake_once")


def test_a_quoted_title_carries_the_quoting_of_csv() -> None:
    assert difference("quoted_title") == {"song": '"The \\"Quiet\\" Kettle"'}


def test_an_unknown_song_is_by_an_unknown_artist() -> None:
    after = difference("unknown_song")
    assert set(after) == {"song", "artist"}
    assert after["song"].startswith("Untitled Tape ")


def test_a_level_may_come_in_another_case() -> None:
    levels = {FAULTS["level_in_other_case"].change(LISTEN_EVENT, Random(n))["level"] for n in range(20)}  # type: ignore[index, call-overload]
    assert levels == {"Paid", "PAID"}


def test_numbers_may_come_as_text() -> None:
    assert difference("numbers_as_text") == {
        "ts": "1541000000796",
        "sessionId": "12",
        "itemInSession": "3",
        "userId": "39",
        "registration": "1540000000796",
        "duration": "210.33751",
        "lat": "42.338",
        "lon": "-71.07",
    }


def test_a_zip_code_may_lose_its_leading_zero() -> None:
    assert difference("zip_as_number") == {"zip": 2118}
    assert not FAULTS["zip_as_number"].applies(LISTEN_EVENT | {"zip": "94110"})


def test_unknown_fields_are_added() -> None:
    assert set(difference("unknown_fields")) == {"appVersion", "experiment"}


def test_one_field_may_have_the_wrong_type() -> None:
    fields: set[str] = set()
    for number in range(200):
        after = FAULTS["wrong_type"].change(dict(LISTEN_EVENT), Random(number))
        assert isinstance(after, dict)
        differing = {field for field in after if after[field] != LISTEN_EVENT[field]}
        assert len(differing) == 1
        fields |= differing
    assert fields == {"itemInSession", "lat", "lon", "registration", "duration", "userAgent"}


def test_a_place_may_be_missing() -> None:
    assert set(LISTEN_EVENT) - set(changed("missing_place")) == {"city", "state", "zip", "lat", "lon"}


def test_a_user_may_be_missing_or_empty() -> None:
    assert set(LISTEN_EVENT) - set(changed("missing_user")) == {"userId"}
    assert difference("empty_user") == {"userId": ""}
    assert not FAULTS["missing_user"].applies({"ts": 1})


def test_a_time_may_be_in_seconds_or_far_in_the_future() -> None:
    assert difference("ts_in_seconds") == {"ts": 1_541_000_000}
    assert difference("ts_in_the_future") == {"ts": 1_541_000_000_796 + HUNDRED_YEARS_MS}


@pytest.mark.parametrize("draw", range(20))
def test_a_truncated_message_is_not_json(draw: int) -> None:
    value = FAULTS["truncated"].change(LISTEN_EVENT, Random(draw))
    assert isinstance(value, bytes)
    assert to_value(LISTEN_EVENT).startswith(value)
    with pytest.raises(ValueError, match=r"."):
        json.loads(value)


def test_a_message_may_be_json_but_not_an_object() -> None:
    values = {type(json.loads(FAULTS["not_an_object"].change(LISTEN_EVENT, Random(n)) or b"")) for n in range(40)}  # type: ignore[arg-type]
    assert values == {list, int, str, type(None)}


def test_a_message_may_not_be_utf_8() -> None:
    value = changed("not_utf8")
    with pytest.raises(UnicodeDecodeError):
        value.decode()
    assert value.replace(b"\xff\xfe", b"") == to_value(LISTEN_EVENT)


def test_a_message_may_be_empty_or_a_tombstone() -> None:
    assert changed("empty") == b""
    assert changed("tombstone") is None


CLEAN = SimulatorConfig(users=250, days=28, start=datetime(2018, 10, 29), seed=3)


@pytest.fixture(scope="module")
def clean() -> list[Message]:
    return list(simulate(CLEAN))


@pytest.fixture(scope="module")
def dirty() -> list[Message]:
    return list(simulate(replace(CLEAN, dirty=0.3)))


@pytest.fixture(scope="module")
def dirty_events(dirty: list[Message]) -> list[tuple[str, Event]]:
    """What of the dirty stream is an object of JSON, with its topic."""
    events = []
    for message in dirty:
        try:
            event = json.loads(message.value or b"")
        except ValueError:
            continue
        if isinstance(event, dict):
            events.append((message.topic, event))
    return events


def test_without_dirt_nothing_is_wrong(clean: list[Message]) -> None:
    last = 0
    for message in clean:
        assert message.value is not None
        event = json.loads(message.value)
        assert isinstance(event, dict)
        assert event["ts"] == message.timestamp >= last
        assert event["level"] in ("free", "paid")
        assert "appVersion" not in event
        assert not any(_repair(str(value)) for value in event.values())
        last = event["ts"]
    assert len(set(clean)) == len(clean)


def kinds_of(message: Message, sent: set[tuple[str, bytes | None]], newest: int) -> set[str]:
    """The faults that a message shows, seen from outside."""
    if message.value is None:
        return {"tombstone"}
    if message.value == b"":
        return {"empty"}
    try:
        event = json.loads(message.value.decode())
    except UnicodeDecodeError:
        return {"not_utf8"}
    except ValueError:
        return {"truncated"}
    if not isinstance(event, dict):
        return {"not_an_object"}
    names = [str(event.get(name, "")) for name in ("artist", "song", "firstName", "lastName", "city")]
    repaired = [_repair(name) for name in names]
    behind = (newest - message.timestamp) / 1000
    shown = {
        "mojibake_once": any(times == 1 for times in repaired),
        "mojibake_twice": any(times == 2 for times in repaired),
        "quoted_title": str(event.get("song", "")).startswith('"'),
        "unknown_song": str(event.get("song", "")).startswith("Untitled Tape "),
        "level_in_other_case": event["level"] not in ("free", "paid"),
        "numbers_as_text": isinstance(event["sessionId"], str),
        "zip_as_number": isinstance(event.get("zip"), int),
        "unknown_fields": "appVersion" in event,
        "wrong_type": any(
            event.get(name) == value
            for name, value in (("lat", "north"), ("status", "OK"), ("duration", "long"), ("itemInSession", [1]))
        ),
        "missing_place": "city" not in event,
        "missing_user": "firstName" in event and "userId" not in event,
        "empty_user": event.get("userId") == "",
        "ts_in_seconds": isinstance(event["ts"], int) and event["ts"] < 10**10,
        "ts_in_the_future": isinstance(event["ts"], int) and event["ts"] > message.timestamp,
        "duplicate": (message.topic, message.value) in sent,
        "out_of_order": 0 < behind <= 300,
        "late": behind > 300,
    }
    return {name for name, is_shown in shown.items() if is_shown}


def _repair(text: str) -> int:
    times = 0
    try:
        while text != (text := text.encode("latin-1").decode()):
            times += 1
    except ValueError:
        return times
    return times


def test_a_dirty_stream_shows_every_fault_and_nothing_else(dirty: list[Message]) -> None:
    seen: Counter[str] = Counter()
    sent: set[tuple[str, bytes | None]] = set()
    newest = 0
    for message in dirty:
        seen.update(kinds_of(message, sent, newest))
        sent.add((message.topic, message.value))
        newest = max(newest, message.timestamp)
    print(dict(seen))
    assert set(seen) == set(FAULTS) | set(DELAYS)
    assert min(seen.values()) >= 3


def test_the_share_of_faults_is_the_one_asked_for(clean: list[Message], seed: int) -> None:
    print(f"seed {seed}")
    dirty = list(with_faults(iter(clean), 0.2, seed))
    in_order = Counter(clean)
    altered = sum((Counter(dirty) - in_order).values())
    weights = {**{name: f.weight for name, f in FAULTS.items()}, **{name: d.weight for name, d in DELAYS.items()}}
    # Late and disordered messages are the same messages, elsewhere.
    part = 1 - (weights["late"] + weights["out_of_order"]) / sum(weights.values())
    assert altered / len(clean) == pytest.approx(0.2 * part, rel=0.2)
    assert not list(with_faults(iter(()), 0.2, seed))


def test_delayed_messages_are_the_same_bytes_and_all_arrive() -> None:
    clean = [Message(LISTEN, to_value(LISTEN_EVENT | {"itemInSession": n}), n * 1000) for n in range(20_000)]
    dirty = list(with_faults(iter(clean), 0.1, 1))
    originals = set(clean)
    whole = Counter(message for message in dirty if message in originals)
    assert sum(whole.values()) > 19_000
    assert sum(count == 2 for count in whole.values()) > 50
    assert max(whole.values()) == 2


def test_delays_stay_within_a_day() -> None:
    assert max(delay.longest for delay in DELAYS.values()) == 86_400
    clean = [Message(LISTEN, to_value(LISTEN_EVENT | {"ts": ts}), ts) for ts in range(0, 40 * 86_400_000, 86_400)]
    newest = 0
    for message in with_faults(iter(clean), 0.3, 1):
        newest = max(newest, message.timestamp)
        assert newest - message.timestamp <= 86_401_000


def test_the_messages_held_for_later_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("music_lakehouse.simulator.faults.MOST_HELD", 100)
    taken = 0

    def endless() -> Iterator[Message]:
        nonlocal taken
        while True:
            taken += 1
            yield Message(LISTEN, to_value(LISTEN_EVENT), 0)

    # Time stands still, so what is delayed stays delayed.
    for sent, _ in enumerate(islice(with_faults(endless(), 1.0, 1), 5000), 1):
        assert taken - sent <= 100


def test_a_user_changes_level_several_times_a_day(dirty_events: list[tuple[str, Event]]) -> None:
    days: dict[tuple[int, int], list[str]] = defaultdict(list)
    for topic, event in dirty_events:
        if topic == STATUS_CHANGE and isinstance(event.get("userId"), int):
            days[event["userId"], event["ts"] // 86_400_000].append(event["level"].lower())
    assert max(map(len, days.values())) >= 4
    assert sum({"free", "paid"} == set(levels) for levels in days.values()) > 20


def test_session_numbers_come_again_for_other_users(dirty_events: list[tuple[str, Event]]) -> None:
    users: dict[int, set[int]] = defaultdict(set)
    for topic, event in dirty_events:
        if topic == PAGE_VIEW and isinstance(event.get("userId"), int):
            users[int(event["sessionId"])].add(event["userId"])
    assert sum(len(found) > 1 for found in users.values()) > 10


def test_events_of_one_user_at_one_time_never_differ_in_level(dirty_events: list[tuple[str, Event]]) -> None:
    levels: dict[tuple[str, str], set[str]] = defaultdict(set)
    instants: Counter[tuple[str, str]] = Counter()
    for topic, event in dirty_events:
        if event.get("userId") and topic != STATUS_CHANGE:
            levels[str(event["userId"]), str(event["ts"])].add(event["level"].lower())
            if topic == PAGE_VIEW:
                instants[str(event["userId"]), str(event["ts"])] += 1
    assert max(map(len, levels.values())) == 1
    assert sum(count > 1 for count in instants.values()) > 10
