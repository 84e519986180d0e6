"""Which messages are a user's: what a lake has to lack once the user was erased."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from decimal import Decimal, InvalidOperation
from typing import Any

from music_lakehouse_tests.oracle.messages import Message
from music_lakehouse_tests.oracle.values import clean

Names = tuple[Any, Any, Any]


def without_user(messages: Iterable[Message], user_id: int) -> list[Message]:
    """The messages but those that show the user, or nobody and the user's first and last name and registration."""
    sent = list(messages)
    shown = [event for event in map(_event, sent) if event and _integer(event.get("userId")) == user_id]
    names = {known for event in shown for known in (_names(event), _spelled(event)) if None not in known}
    return [message for message in sent if not _is_of(message, user_id, names)]


def _is_of(message: Message, user_id: int, names: set[Names]) -> bool:
    event = _event(message)
    if event is not None:
        shown = _integer(event.get("userId"))
        return shown == user_id if shown is not None else _names(event) in names
    text = (message.value or b"").decode("utf-8", "replace")
    shown_in_text = re.search(r'"userId": ?"?([0-9]+)', text)
    if shown_in_text is not None:
        return int(shown_in_text[1]) == user_id
    return any(all(f'"{part}"' in text for part in name[:2]) and str(name[2]) in text for name in names)


def _spelled(event: dict[str, Any]) -> Names:
    return event.get("firstName"), event.get("lastName"), _integer(event.get("registration"))


def _names(event: dict[str, Any]) -> Names:
    first, last = (clean(name) if isinstance(name, str) else None for name in map(event.get, ("firstName", "lastName")))
    return first, last, _integer(event.get("registration"))


def _integer(value: object) -> int | None:
    try:
        number = Decimal(str(value).strip())
    except InvalidOperation:
        return None
    return int(number) if number.is_finite() and number == int(number) else None


def _event(message: Message) -> dict[str, Any] | None:
    try:
        event = json.loads((message.value or b"").decode())
    except ValueError:
        return None
    return event if isinstance(event, dict) else None


def users_of(messages: Iterable[Message]) -> Iterator[int]:
    """The users that the messages show, each as often."""
    for event in map(_event, messages):
        shown = _integer(event.get("userId")) if event else None
        if shown is not None:
            yield shown
