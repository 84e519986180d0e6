"""What real producers get wrong: each fault is a small function that changes one message or the way it is delivered.

A fault never invents a second truth: a duplicate is the same bytes again, and what a changed message still says of its
user is what the clean one said.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from heapq import heappop, heappush
from random import Random
from typing import Any

from music_lakehouse.simulator.messages import Message, to_value
from music_lakehouse.simulator.weighted import Weighted

Event = dict[str, Any]

HUNDRED_YEARS_MS = 100 * 365 * 86_400_000
# Messages that wait to be sent late: beyond this, messages are sent at once, so that memory stays bounded.
MOST_HELD = 50_000

_NAMES = ("artist", "song", "firstName", "lastName", "city")
_PLACE = ("city", "state", "zip", "lat", "lon")
_NUMBERS = ("ts", "sessionId", "itemInSession", "userId", "registration", "status", "duration", "lat", "lon")
_WRONG_VALUES: dict[str, Any] = {
    "itemInSession": [1],
    "lat": "north",
    "lon": {"degrees": 71},
    "registration": "yesterday",
    "status": "OK",
    "duration": "long",
    "success": "perhaps",
    "userAgent": {"browser": "unknown"},
}


@dataclass(frozen=True)
class Fault:
    """How often a fault is chosen, among which events, and what it makes of the event: another one, or the message's
    value as it is."""

    weight: float
    applies: Callable[[Event], bool]
    change: Callable[[Event, Random], Event | bytes | None]


@dataclass(frozen=True)
class Delay:
    """A delivery fault: how often it is chosen, how long the message or its copy waits (seconds), and whether the
    message itself is sent at once and only its copy waits."""

    weight: float
    shortest: float
    longest: float
    copy: bool = False


def mojibake_once(event: Event, _: Random) -> Event:
    """Names in UTF-8 that somebody read as ISO-8859-1."""
    return event | {name: _misread(event[name]) for name in _NAMES if name in event}


def mojibake_twice(event: Event, _: Random) -> Event:
    """The same, by two programs one after the other."""
    return event | {name: _misread(_misread(event[name])) for name in _NAMES if name in event}


def quoted_title(event: Event, _: Random) -> Event:
    """The quoting of a CSV file that leaked into the title."""
    return event | {"song": '"' + event["song"].replace('"', '\\"') + '"'}


def unknown_song(event: Event, rng: Random) -> Event:
    """A song that no catalogue knows, by an artist that none knows."""
    return event | {"song": f"Untitled Tape {_below(1000, rng)}", "artist": f"Nobody in Particular {_below(50, rng)}"}


def level_in_other_case(event: Event, rng: Random) -> Event:
    """`Free` or `FREE`."""
    level: str = event["level"]
    return event | {"level": level.upper() if rng.random() < 0.5 else level.capitalize()}


def numbers_as_text(event: Event, _: Random) -> Event:
    """All numbers in quotes."""
    return event | {name: json.dumps(event[name]) for name in _NUMBERS if name in event}


def zip_as_number(event: Event, _: Random) -> Event:
    """A ZIP code that lost its leading zero on the way through a spreadsheet."""
    return event | {"zip": int(event["zip"])}


def unknown_fields(event: Event, rng: Random) -> Event:
    """Fields of a newer release of the app."""
    return event | {"appVersion": f"4.{_below(9, rng)}.0", "experiment": {"name": "queue", "arm": _below(2, rng)}}


def wrong_type(event: Event, rng: Random) -> Event:
    """A value that can't be read as its field's type."""
    present = [name for name in _WRONG_VALUES if name in event]
    name = present[_below(len(present), rng)]
    return event | {name: _WRONG_VALUES[name]}


def missing_place(event: Event, _: Random) -> Event:
    """No city, state, ZIP code or coordinates."""
    return {name: value for name, value in event.items() if name not in _PLACE}


def missing_user(event: Event, _: Random) -> Event:
    """No userId, beside the user's name."""
    return {name: value for name, value in event.items() if name != "userId"}


def empty_user(event: Event, _: Random) -> Event:
    """A userId that is the empty text."""
    return event | {"userId": ""}


def ts_in_seconds(event: Event, _: Random) -> Event:
    """Seconds where milliseconds are due."""
    return event | {"ts": event["ts"] // 1000}


def ts_in_the_future(event: Event, _: Random) -> Event:
    """A device whose clock is a century ahead."""
    return event | {"ts": event["ts"] + HUNDRED_YEARS_MS}


def truncated(event: Event, rng: Random) -> bytes:
    """Cut somewhere before the closing brace."""
    value = to_value(event)
    return value[: 1 + _below(len(value) - 3, rng)]


def not_an_object(event: Event, rng: Random) -> bytes:
    """JSON, but not an object."""
    values = ([event], event["ts"], "event", None)
    return (json.dumps(values[_below(len(values), rng)], ensure_ascii=False) + "\n").encode()


def not_utf8(event: Event, rng: Random) -> bytes:
    """Bytes that no UTF-8 text holds, in the middle of a message."""
    value = to_value(event)
    at = 1 + _below(len(value) - 3, rng)
    return value[:at] + b"\xff\xfe" + value[at:]


def empty(_: Event, __: Random) -> bytes:
    """No bytes at all."""
    return b""


def tombstone(_: Event, __: Random) -> None:
    """A null value."""
    return


def _always(_: Event) -> bool:
    return True


def _has(name: str) -> Callable[[Event], bool]:
    return lambda event: name in event


FAULTS = {
    "mojibake_once": Fault(6, lambda event: _accented(event), mojibake_once),
    "mojibake_twice": Fault(4, lambda event: _accented(event), mojibake_twice),
    "quoted_title": Fault(5, _has("song"), quoted_title),
    "unknown_song": Fault(4, _has("song"), unknown_song),
    "level_in_other_case": Fault(5, _always, level_in_other_case),
    "numbers_as_text": Fault(5, _always, numbers_as_text),
    "zip_as_number": Fault(4, lambda event: event["zip"].startswith("0"), zip_as_number),
    "unknown_fields": Fault(5, _always, unknown_fields),
    "wrong_type": Fault(3, _always, wrong_type),
    "missing_place": Fault(3, _always, missing_place),
    "missing_user": Fault(2, _has("userId"), missing_user),
    "empty_user": Fault(2, _has("userId"), empty_user),
    "ts_in_seconds": Fault(2, _always, ts_in_seconds),
    "ts_in_the_future": Fault(2, _always, ts_in_the_future),
    "truncated": Fault(2, _always, truncated),
    "not_an_object": Fault(1.5, _always, not_an_object),
    "not_utf8": Fault(1.5, _always, not_utf8),
    "empty": Fault(1, _always, empty),
    "tombstone": Fault(1, _always, tombstone),
}
DELAYS = {
    "duplicate": Delay(20, 0, 60, copy=True),
    "out_of_order": Delay(20, 1, 300),
    "late": Delay(10, 300, 86_400),
}


def with_faults(messages: Iterator[Message], share: float, seed: int) -> Iterator[Message]:
    """The messages, of which `share` (0 to 1) have one fault each, chosen by the faults' weights.

    The messages come in the order of sending; late ones are held until an event of their time of sending comes by. The
    same messages, share and seed give the same bytes.
    """
    rng = Random(f"faults {seed}")
    kinds: Weighted[Fault | Delay] = Weighted(_weighted())
    held: list[tuple[float, int, Message]] = []
    for number, message in enumerate(messages):
        while held and held[0][0] <= message.timestamp:
            yield heappop(held)[2]
        kind = _choose(kinds, message, rng) if rng.random() < share else None
        if isinstance(kind, Fault):
            yield _changed(message, kind, rng)
        elif isinstance(kind, Delay) and len(held) < MOST_HELD:
            # Most delays are short, few are long: the logarithm is evenly spread.
            seconds = kind.shortest + (kind.longest - kind.shortest + 1) ** rng.random() - 1
            heappush(held, (message.timestamp + seconds * 1000, number, message))
            if kind.copy:
                yield message
        else:
            yield message
    while held:
        yield heappop(held)[2]


def _weighted() -> Iterator[tuple[Fault | Delay, float]]:
    for fault in FAULTS.values():
        yield fault, fault.weight
    for delay in DELAYS.values():
        yield delay, delay.weight


def _choose(kinds: Weighted[Fault | Delay], message: Message, rng: Random) -> Fault | Delay:
    """A fault that applies to the message."""
    event = _event(message)
    while True:
        kind = kinds.pick(rng)
        if isinstance(kind, Delay) or kind.applies(event):
            return kind


def _changed(message: Message, fault: Fault, rng: Random) -> Message:
    changed = fault.change(_event(message), rng)
    return message._replace(value=to_value(changed) if isinstance(changed, dict) else changed)


def _event(message: Message) -> Event:
    assert message.value is not None
    event: Event = json.loads(message.value)
    return event


def _accented(event: Event) -> bool:
    return any(not event.get(name, "").isascii() for name in _NAMES)


def _misread(text: str) -> str:
    return text.encode("utf-8").decode("latin-1")


def _below(bound: int, rng: Random) -> int:
    return int(rng.random() * bound)
