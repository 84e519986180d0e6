"""What the simulator and a replay give to a sink."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

LISTEN, PAGE_VIEW, AUTH, STATUS_CHANGE = "listen_events", "page_view_events", "auth_events", "status_change_events"

# Called with the number of messages so far, about every thousand of them and at the end.
Progress = Callable[[int], None]
PROGRESS_EVERY = 1000


class Message(NamedTuple):
    """One Kafka message without a key: `topic` is the event's name without a prefix, `value` is None for a tombstone,
    `timestamp` is the event's own time in epoch milliseconds (0 where it isn't known), by which live sending waits."""

    topic: str
    value: bytes | None
    timestamp: int


def to_value(event: dict[str, Any]) -> bytes:
    """An event as the value of a message: JSON in UTF-8, ended by a newline.

    Raises ValueError where a text of it can't be UTF-8, as half of a surrogate pair, or a number is none of JSON's.
    """
    return (json.dumps(event, ensure_ascii=False, allow_nan=False, separators=(",", ":")) + "\n").encode()
