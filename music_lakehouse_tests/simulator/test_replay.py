from __future__ import annotations

import gzip
import json
import logging
import tracemalloc
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from music_lakehouse.simulator.messages import AUTH, LISTEN, PAGE_VIEW, STATUS_CHANGE, Message
from music_lakehouse.simulator.replay import RecordingError, SingleStream, four_topic_form, read_recorded

pytestmark = pytest.mark.thorough


def row(page: str, item: int, **values: Any) -> dict[str, Any]:
    """A row of the single stream as a user who is logged in sends it."""
    base = {
        "artist": None,
        "auth": "Logged In",
        "firstName": "Odile",
        "gender": "F",
        "itemInSession": item,
        "lastName": "Marsh",
        "length": None,
        "level": "free",
        "location": "San Francisco-Oakland-Hayward, CA",
        "method": "GET",
        "page": page,
        "registration": 1540266185796.0,
        "sessionId": 82,
        "song": None,
        "status": 200,
        "ts": 1541990258796 + 1000 * item,
        "userAgent": '"Mozilla/5.0 (X11; Linux x86_64)"',
        "userId": "15",
    }
    return base | values


def hidden(page: str, item: int, **values: Any) -> dict[str, Any]:
    """A row of the single stream as a user who is logged out sends it."""
    user = dict.fromkeys(("firstName", "gender", "lastName", "location", "registration", "userAgent"))
    return row(page, item, **user, auth="Logged Out", userId="", **values)


def told(rows: Iterable[dict[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
    stream = SingleStream()
    messages = [message for line in rows for message in stream.messages(json.dumps(line).encode() + b"\n")]
    return [(message.topic, json.loads(message.value or b"")) for message in messages]


def test_a_song_is_a_listen_and_a_page_view() -> None:
    song = row("NextSong", 4, artist="Zibra", song="Über Kettle", length=277.89016, method="PUT")
    common = {
        "artist": "Zibra",
        "auth": "Logged In",
        "firstName": "Odile",
        "gender": "F",
        "itemInSession": 4,
        "lastName": "Marsh",
        "level": "free",
        "registration": 1540266185796,
        "sessionId": 82,
        "song": "Über Kettle",
        "ts": 1541990262796,
        "userAgent": '"Mozilla/5.0 (X11; Linux x86_64)"',
        "userId": 15,
        "duration": 277.89016,
        "city": "San Francisco",
        "state": "CA",
    }
    request = {"page": "NextSong", "method": "PUT", "status": 200}
    assert told([song]) == [(LISTEN, common), (PAGE_VIEW, common | request)]
    assert all(type(common[name]) is int for name in ("registration", "userId", "ts"))


def test_fields_that_are_null_and_the_empty_user_are_absent() -> None:
    ((topic, event),) = told([hidden("Home", 0)])
    assert topic == PAGE_VIEW
    assert event == {
        "auth": "Logged Out",
        "itemInSession": 0,
        "level": "free",
        "method": "GET",
        "page": "Home",
        "sessionId": 82,
        "status": 200,
        "ts": 1541990258796,
    }


@pytest.mark.parametrize(
    ("location", "place"),
    [
        ("New York-Newark-Jersey City, NY-NJ-PA", {"city": "New York", "state": "NY"}),
        ("Eugene, OR", {"city": "Eugene", "state": "OR"}),
        ("Nowhere", {"city": "Nowhere"}),
        ("", {}),
    ],
)
def test_a_location_gives_its_first_city_and_first_state(location: str, place: dict[str, str]) -> None:
    assert four_topic_form({"page": "Home", "location": location}) == {"page": "Home"} | place


@pytest.mark.parametrize(("page", "level"), [("Submit Upgrade", "free"), ("Submit Downgrade", "paid")])
def test_a_submitted_change_of_level_is_a_status_change_with_the_old_level(page: str, level: str) -> None:
    (first, view), (second, change) = told([row(page, 3, level=level, method="PUT", status=307)])
    assert (first, second) == (PAGE_VIEW, STATUS_CHANGE)
    assert change == {name: value for name, value in view.items() if name not in ("page", "method", "status")}
    assert change["level"] == level


def test_the_row_after_a_login_page_is_an_auth_event_too() -> None:
    events = told(
        [
            hidden("Home", 0),
            hidden("Login", 1, method="PUT", status=307),
            hidden("Home", 2),
            hidden("Login", 3, method="PUT", status=307),
            row("Home", 4),
            row("Settings", 5),
        ]
    )
    attempts = [
        (event["itemInSession"], event["success"], event.get("userId")) for topic, event in events if topic == AUTH
    ]
    assert attempts == [(2, False, None), (4, True, 15)]
    attempt = next(event for topic, event in events if topic == AUTH)
    assert attempt == {"itemInSession": 2, "level": "free", "sessionId": 82, "success": False, "ts": 1541990260796}


def test_logins_of_sessions_side_by_side_are_kept_apart_and_a_repeated_one_counts_once() -> None:
    login = hidden("Login", 1)
    rows = [login, login, hidden("Home", 0, sessionId=83), row("Home", 2), row("Help", 1, sessionId=83), row("Home", 3)]
    assert [(e["sessionId"], e["itemInSession"]) for topic, e in told(rows) if topic == AUTH] == [(82, 2)]


@pytest.mark.parametrize(
    "line",
    [
        b'{"page": "NextSong", "ts": 15\n',
        b"[1, 2]\n",
        b'{"ts": 1541990258796}\n',
        b'{"page": null}\n',
        b'{"page": "Home", "city": "\xff"}\n',
        b'{"page": "Home", "city": "\\ud83d"}\n',
        b'{"page": "NextSong", "ts": 1e400}\n',
        b'{"page": "Home", "lat": NaN}\n',
        b"[" * 100_000 + b"\n",
        b"\n",
        b"not json, and no end",
    ],
)
def test_a_line_that_can_not_be_read_is_a_page_view_as_it_is(line: bytes) -> None:
    assert list(SingleStream().messages(line)) == [Message(PAGE_VIEW, line, 0)]


def test_fields_that_nobody_knows_stay() -> None:
    ((_, event),) = told([row("Add Friend", 1, campaign={"id": 4})])
    assert event["campaign"] == {"id": 4}


def test_a_file_or_directory_named_by_a_topic_holds_values_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "day" / "auth_events").mkdir(parents=True)
    (tmp_path / "day" / "auth_events" / "part-0.json").write_bytes(b'{"a": null}\n')
    (tmp_path / "day" / "b-listen_events-2.jsonl").write_bytes(b'{"b": 1}\nbroken\n\n\xff\n')
    (tmp_path / "day" / "status_change_events").write_bytes(b'{"c": 1}')
    messages = list(read_recorded([tmp_path / "day"]))
    assert [(message.topic, message.value) for message in messages] == [
        (AUTH, b'{"a": null}\n'),
        (LISTEN, b'{"b": 1}\n'),
        (LISTEN, b"broken\n"),
        (LISTEN, b"\n"),
        (LISTEN, b"\xff\n"),
        (STATUS_CHANGE, b'{"c": 1}'),
    ]
    one = list(read_recorded([tmp_path / "day" / "auth_events" / "part-0.json"]))
    assert [message.topic for message in one] == [AUTH]


def test_files_come_in_sorted_order_and_unpacked(tmp_path: Path) -> None:
    lines = {
        name: json.dumps(row("Home", n)).encode() + b"\n" for n, name in enumerate(("c.json.gz", "a.json", "b.json"))
    }
    for name, line in lines.items():
        (tmp_path / name).write_bytes(gzip.compress(line) if name.endswith(".gz") else b"\xef\xbb\xbf" + line)
    items = [json.loads(message.value or b"")["itemInSession"] for message in read_recorded([tmp_path])]
    assert items == [1, 2, 0]


def test_a_login_at_the_end_of_a_file_goes_with_the_first_row_of_the_next(tmp_path: Path) -> None:
    (tmp_path / "1.json").write_text(json.dumps(hidden("Login", 1)))
    (tmp_path / "2.json").write_text(json.dumps(row("Home", 2)))
    assert [message.topic for message in read_recorded([tmp_path])] == [PAGE_VIEW, PAGE_VIEW, AUTH]


def test_what_is_not_a_recording_is_left_out_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "events.json").write_text("x\n")
    (tmp_path / "songs.csv").write_text("x\n")
    (tmp_path / "_SUCCESS").write_text("")
    with caplog.at_level(logging.WARNING):
        assert len(list(read_recorded([tmp_path]))) == 1
    assert {Path(record.args[0]).name for record in caplog.records if record.args} == {"songs.csv", "_SUCCESS"}  # type: ignore[arg-type, index]


def test_a_path_without_a_recording_is_refused_at_once_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="nothing does not exist: give a file of JSON lines"):
        read_recorded([tmp_path / "nothing"])
    with pytest.raises(RecordingError, match="holds no recording"):
        read_recorded([tmp_path])


def test_a_damaged_gzip_file_is_named_with_the_line(tmp_path: Path) -> None:
    whole = gzip.compress(b"".join(json.dumps(row("Home", n)).encode() + b"\n" for n in range(5000)))
    (tmp_path / "cut.json.gz").write_bytes(whole[: len(whole) // 2])
    messages = read_recorded([tmp_path])
    with pytest.raises(RecordingError, match=r"cut\.json\.gz is damaged after line \d+"):
        for _ in messages:
            pass


def test_a_large_file_is_read_in_flat_memory(tmp_path: Path) -> None:
    line = json.dumps(row("NextSong", 1)).encode() + b"\n"
    with (tmp_path / "log.json").open("wb") as file:
        for _ in range(8_000):
            file.write(line)
    tracemalloc.start()
    try:
        count = sum(1 for _ in read_recorded([tmp_path]))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert count == 16_000
    assert peak < 1_000_000
