"""Recorded events as messages: JSON lines in the four-topic form, or in the single-stream form of the Sparkify data."""

from __future__ import annotations

import gzip
import json
import logging
import zlib
from collections.abc import Iterable, Iterator
from io import BufferedReader
from pathlib import Path
from typing import Any

from music_lakehouse.settings import TOPICS
from music_lakehouse.simulator.messages import AUTH, LISTEN, PAGE_VIEW, STATUS_CHANGE, Message, to_value

SUFFIXES = ("", ".json", ".jsonl", ".ndjson", ".txt", ".log")

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_INTEGERS = ("ts", "sessionId", "itemInSession", "status", "userId", "registration")
_REQUEST = frozenset({"page", "method", "status"})
_SONG = frozenset({"artist", "song", "duration"})
_log = logging.getLogger(__name__)


class RecordingError(ValueError):
    """What was given to replay can't be read as a recording; the text is one line with the remedy."""


def read_recorded(paths: Iterable[Path]) -> Iterator[Message]:
    """The messages of recorded events, in the order of the paths; of a directory all files below it, sorted.

    A file whose name, or whose directory's name, contains the name of a topic holds that topic's values, one a line,
    and they are given as they are. Every other file is in the single-stream form, one row a page: a row gives a page
    view, and by what it tells a listen, a status change or an auth event too; a line that can't be read so is given as
    it is, as a page view. `.gz` files are unpacked. No line is left out; of a directory, hidden files and those whose
    suffix is not one of `SUFFIXES` are, with a warning in the log. Memory doesn't grow with the files.
    Raises RecordingError at once where a path doesn't exist or a directory holds no recording, and on the way where a
    `.gz` file is damaged.
    """
    files = [(file, topic) for path in paths for file, topic in _recordings(path)]
    return _messages(files)


class SingleStream:
    """Makes the four topics' messages from the rows of a single stream. It remembers which sessions are at a Login."""

    def __init__(self) -> None:
        self._login_items: dict[str, Any] = {}

    def messages(self, line: bytes) -> Iterator[Message]:
        """The messages of one line; the line as it is, as a page view, where it isn't a JSON object with a page."""
        try:
            event = four_topic_form(_row(line))
            value = to_value(event)
        except (ValueError, RecursionError):
            yield Message(PAGE_VIEW, line, 0)
            return
        page, ts = event["page"], event.get("ts")
        timestamp = ts if isinstance(ts, int) else 0
        if page == "NextSong":
            yield Message(LISTEN, to_value(_without(_REQUEST, event)), timestamp)
        yield Message(PAGE_VIEW, value, timestamp)
        if page in ("Submit Upgrade", "Submit Downgrade"):
            yield Message(STATUS_CHANGE, to_value(_without(_REQUEST | _SONG, event)), timestamp)
        if self._follows_login(event):
            attempt = _without(_REQUEST | _SONG | {"auth"}, event) | {"success": event.get("auth") == "Logged In"}
            yield Message(AUTH, to_value(attempt), timestamp)

    def _follows_login(self, event: dict[str, Any]) -> bool:
        """Whether the session's row before this one is a Login page, a repetition of the same row not counted."""
        session, item = json.dumps(event.get("sessionId")), event.get("itemInSession")
        is_login = event["page"] == "Login"
        if is_login and session in self._login_items and self._login_items[session] == item:
            return False
        follows = session in self._login_items
        self._login_items.pop(session, None)
        if is_login:
            self._login_items[session] = item
        return follows


def four_topic_form(row: dict[str, Any]) -> dict[str, Any]:
    """A row of the single stream with the names and types of the four topics: nulls and the empty userId left out,
    whole numbers as such, `length` as duration, `location` as its first city and first state. Other fields stay."""
    event = {name: value for name, value in row.items() if value is not None}
    if event.get("userId") == "":
        del event["userId"]
    for name in _INTEGERS:
        if name in event:
            event[name] = _whole(event[name])
    if "length" in event:
        event["duration"] = event.pop("length")
    if isinstance(event.get("location"), str):
        cities, comma, states = event.pop("location").rpartition(",")
        names = {"city": cities if comma else states, "state": states if comma else ""}
        event |= {name: first for name, text in names.items() if (first := text.split("-")[0].strip())}
    return event


def _messages(files: list[tuple[Path, str | None]]) -> Iterator[Message]:
    stream = SingleStream()
    for file, topic in files:
        for line in _lines(file):
            if topic is None:
                yield from stream.messages(line)
            else:
                yield Message(topic, line, 0)


def _recordings(path: Path) -> Iterator[tuple[Path, str | None]]:
    """The files of a path, each with the topic that its name, or else its directory's, contains."""
    if path.is_file():
        yield path, _topic(path.name) or _topic(path.absolute().parent.name)
        return
    if not path.is_dir():
        raise RecordingError(f"{path} does not exist: give a file of JSON lines or a directory of such files")
    found = False
    for file in sorted(file for file in path.rglob("*") if file.is_file()):
        suffix = Path(file.name.removesuffix(".gz")).suffix
        if file.name.startswith((".", "_")) or suffix not in SUFFIXES:
            _log.warning("%s is left out: its name is not that of a recording (%s)", file, " ".join(SUFFIXES[1:]))
            continue
        found = True
        directories = [path.absolute().name, *file.parent.relative_to(path).parts]
        yield file, next(filter(None, map(_topic, [file.name, *reversed(directories)])), None)
    if not found:
        raise RecordingError(
            f"{path} holds no recording: give files of JSON lines, named without a suffix or "
            f"{', '.join(SUFFIXES[1:])}, as they are or with .gz"
        )


def _topic(name: str) -> str | None:
    return next((topic for topic in TOPICS if topic in name), None)


def _lines(file: Path) -> Iterator[bytes]:
    """The lines with their ends; a byte order mark is the file's, not the first line's."""
    number = 0
    with _open(file) as lines:
        try:
            for number, line in enumerate(lines, 1):
                yield line.removeprefix(_BYTE_ORDER_MARK) if number == 1 else line
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise RecordingError(
                f"{file} is damaged after line {number} ({error}): the lines up to there were read; mend the file"
            ) from error


def _open(file: Path) -> gzip.GzipFile | BufferedReader:
    return gzip.open(file) if file.name.endswith(".gz") else file.open("rb")


def _row(line: bytes) -> dict[str, Any]:
    row = json.loads(line.decode())
    if not isinstance(row, dict) or not isinstance(row.get("page"), str):
        raise ValueError("not an object with a page")
    return row


def _without(names: Iterable[str], event: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in event.items() if name not in names}


def _whole(value: Any) -> Any:
    """A whole number sent as a float or as text, as an integer; everything else as it is."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 19:
        return int(value)
    return value
