from __future__ import annotations

import json
import time
import tracemalloc
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from itertools import islice, pairwise
from statistics import mean, median
from typing import Any

import pytest

from music_lakehouse.simulator.catalogue import catalogue
from music_lakehouse.simulator.config import SimulatorConfig, users_for
from music_lakehouse.simulator.messages import AUTH, LISTEN, PAGE_VIEW, STATUS_CHANGE
from music_lakehouse.simulator.simulation import simulate

pytestmark = pytest.mark.thorough

Event = dict[str, Any]

# Four weeks that begin on a Monday; the start has milliseconds, which all events share.
START = datetime(2018, 10, 29, 0, 0, 0, 796_000)
YEAR_MS = 365 * 86_400_000

DEVICE = {"city": str, "state": str, "zip": str, "userAgent": str, "lat": float, "lon": float}
SESSION = {"ts": int, "sessionId": int, "itemInSession": int, "level": str}
USER = {"userId": int, "firstName": str, "lastName": str, "gender": str, "registration": int}
SONG = {"artist": str, "song": str, "duration": float}
FIELDS = {
    LISTEN: DEVICE | SESSION | SONG | {"auth": str},
    PAGE_VIEW: DEVICE | SESSION | {"auth": str, "page": str, "method": str, "status": int},
    AUTH: DEVICE | SESSION | {"success": bool},
    STATUS_CHANGE: DEVICE | SESSION | {"auth": str},
}


def events_of(config: SimulatorConfig) -> dict[str, list[Event]]:
    topics: dict[str, list[Event]] = defaultdict(list)
    for message in simulate(config):
        assert message.value is not None
        topics[message.topic].append(json.loads(message.value))
    return topics


def by_session(events: list[Event]) -> dict[int, list[Event]]:
    sessions = defaultdict(list)
    for event in events:
        sessions[event["sessionId"]].append(event)
    return sessions


def identity(event: Event) -> tuple[int, int, int]:
    return event["ts"], event["sessionId"], event["itemInSession"]


@pytest.fixture(scope="module")
def config(seed: int) -> SimulatorConfig:
    return SimulatorConfig(users=1500, days=28, start=START, seed=seed, extra_level_changes=0.02)


@pytest.fixture(scope="module")
def topics(config: SimulatorConfig) -> dict[str, list[Event]]:
    print(f"seed {config.seed}")
    return events_of(config)


@pytest.fixture(scope="module")
def sessions(topics: dict[str, list[Event]]) -> dict[int, list[Event]]:
    return by_session(topics[PAGE_VIEW])


@pytest.fixture(scope="module")
def neighbours(sessions: dict[int, list[Event]]) -> list[tuple[Event, Event]]:
    """All pages of all sessions, each with the one after it."""
    return [pair for pages in sessions.values() for pair in pairwise(pages)]


def test_the_same_config_gives_the_same_bytes_and_another_seed_others() -> None:
    config = SimulatorConfig(users=50, days=10, start=START, seed=7, growth_rate=0.5, attrition_rate=0.5, dirty=0.2)
    assert list(simulate(config)) == list(simulate(config))
    assert list(simulate(config)) != list(simulate(replace(config, seed=8)))


@pytest.mark.parametrize("topic", FIELDS)
def test_a_topic_has_exactly_its_fields_and_types(topics: dict[str, list[Event]], topic: str) -> None:
    for event in topics[topic]:
        expected = FIELDS[topic]
        if topic == PAGE_VIEW and event["page"] == "NextSong":
            expected = expected | SONG
        if "userId" in event:
            expected = expected | USER
        assert {name: type(value) for name, value in event.items()} == expected


def test_a_tag_stands_beside_the_user_only() -> None:
    events = events_of(SimulatorConfig(users=100, days=20, start=START, tag="B"))[PAGE_VIEW]
    assert {event.get("tag") for event in events if "userId" in event} == {"B"}
    assert not any("tag" in event for event in events if "userId" not in event)


def test_values_are_one_line_of_utf_8() -> None:
    for message in simulate(SimulatorConfig(users=50, days=7, start=START)):
        assert message.value is not None
        assert message.value.endswith(b"}\n")
        assert message.value.count(b"\n") == 1
        assert "\\u" not in message.value.decode()


def test_messages_come_in_the_order_of_their_times(config: SimulatorConfig) -> None:
    times = [message.timestamp for message in simulate(replace(config, users=300))]
    assert times == sorted(times)


def test_all_times_share_the_milliseconds_of_the_start_and_lie_in_the_run(topics: dict[str, list[Event]]) -> None:
    start = 1_540_771_200_796
    for events in topics.values():
        assert {event["ts"] % 1000 for event in events} == {796}
        assert all(start <= event["ts"] < start + 28 * 86_400_000 for event in events)


def test_items_count_from_zero_without_a_gap(sessions: dict[int, list[Event]]) -> None:
    for pages in sessions.values():
        assert [page["itemInSession"] for page in pages] == list(range(len(pages)))


def test_sessions_are_numbered_from_one(sessions: dict[int, list[Event]]) -> None:
    assert sorted(sessions) == list(range(1, len(sessions) + 1))


def test_a_song_that_follows_a_song_begins_at_its_end(neighbours: list[tuple[Event, Event]]) -> None:
    songs = [(a, b) for a, b in neighbours if a["page"] == b["page"] == "NextSong"]
    assert len(songs) > 10_000
    assert all(b["ts"] - a["ts"] == int(a["duration"]) * 1000 for a, b in songs)


def test_a_redirect_comes_one_second_after_the_page_before(neighbours: list[tuple[Event, Event]]) -> None:
    redirects = [(a, b) for a, b in neighbours if b["status"] == 307]
    assert len(redirects) > 500
    assert all(b["ts"] - a["ts"] == 1000 for a, b in redirects)


def test_two_events_of_a_user_may_share_a_time(neighbours: list[tuple[Event, Event]]) -> None:
    assert 10 < sum(a["ts"] == b["ts"] for a, b in neighbours) < len(neighbours) / 50


def test_what_changes_at_one_time_is_neither_level_nor_auth(neighbours: list[tuple[Event, Event]]) -> None:
    for a, b in neighbours:
        if a["ts"] == b["ts"]:
            assert (a["level"], a["auth"]) == (b["level"], b["auth"])


def test_the_listens_are_the_page_views_of_songs(topics: dict[str, list[Event]]) -> None:
    request = {"page", "method", "status"}
    songs = [{k: v for k, v in e.items() if k not in request} for e in topics[PAGE_VIEW] if e["page"] == "NextSong"]
    assert topics[LISTEN] == songs
    assert all("userId" in event for event in topics[LISTEN])


def test_a_status_change_carries_the_old_level_and_the_next_event_the_new_one(
    topics: dict[str, list[Event]], sessions: dict[int, list[Event]]
) -> None:
    assert len(topics[STATUS_CHANGE]) > 80
    seen: Counter[str] = Counter()
    for change in topics[STATUS_CHANGE]:
        page = sessions[change["sessionId"]][change["itemInSession"]]
        following = sessions[change["sessionId"]][change["itemInSession"] + 1 :]
        assert identity(page) == identity(change)
        assert (page["page"], change["level"]) in {("Submit Upgrade", "free"), ("Submit Downgrade", "paid")}
        if following and following[0]["page"] == "Home":
            assert {change["level"], following[0]["level"]} == {"free", "paid"}
            assert following[0]["ts"] > change["ts"]
            seen[change["level"]] += 1
    assert min(seen["free"], seen["paid"]) > 20
    submits = [event for event in topics[PAGE_VIEW] if event["page"] in ("Submit Upgrade", "Submit Downgrade")]
    assert len(submits) == len(topics[STATUS_CHANGE])


def test_an_auth_event_is_one_whose_remembered_page_is_a_login(
    topics: dict[str, list[Event]], sessions: dict[int, list[Event]]
) -> None:
    expected = []
    for pages in sessions.values():
        remembered = None
        for before, page in pairwise([None, *pages]):
            assert page is not None
            # Entering a redirect doesn't change what is remembered.
            if before is not None and page["status"] != 307:
                remembered = before["page"]
            if remembered == "Login":
                expected.append((identity(page), page["auth"] == "Logged In"))
    assert sorted((identity(event), event["success"]) for event in topics[AUTH]) == sorted(expected)
    assert {event["success"] for event in topics[AUTH]} == {True, False}
    assert all(("userId" in event) == event["success"] for event in topics[AUTH])
    logins = sum(event["page"] == "Login" for event in topics[PAGE_VIEW])
    assert len(topics[AUTH]) > logins * 0.95


def test_users_are_shown_exactly_while_logged_in_or_cancelled(topics: dict[str, list[Event]]) -> None:
    for event in topics[PAGE_VIEW]:
        assert ("userId" in event) == (event["auth"] in ("Logged In", "Cancelled"))
    assert {event["auth"] for event in topics[PAGE_VIEW]} == {"Logged In", "Logged Out", "Cancelled"}


def test_no_session_has_two_users_and_no_user_two_homes(sessions: dict[int, list[Event]]) -> None:
    homes = defaultdict(set)
    for pages in sessions.values():
        users = {page["userId"] for page in pages if "userId" in page}
        assert len(users) <= 1
        assert len({(page["zip"], page["userAgent"]) for page in pages}) == 1
        for user in users:
            homes[user].add((pages[0]["zip"], pages[0]["city"], pages[0]["userAgent"]))
    assert all(len(places) == 1 for places in homes.values())
    assert set(homes) <= set(range(2, 1502))


def test_a_cancelled_user_never_returns(topics: dict[str, list[Event]]) -> None:
    gone: set[int] = set()
    for event in topics[PAGE_VIEW]:
        assert event.get("userId") not in gone
        if event["auth"] == "Cancelled":
            gone.add(event["userId"])
    assert gone


def test_sessions_look_like_those_of_a_real_service(
    topics: dict[str, list[Event]], sessions: dict[int, list[Event]]
) -> None:
    sizes = [len(pages) for pages in sessions.values()]
    events = topics[PAGE_VIEW]
    first_pages = Counter(pages[0]["page"] for pages in sessions.values())
    figures = {
        "mean": mean(sizes),
        "median": median(sizes),
        "songs": mean(event["page"] == "NextSong" for event in events),
        "paid": mean(event["level"] == "paid" for event in events),
        "first is NextSong": first_pages["NextSong"] / len(sessions),
        "first is Home": first_pages["Home"] / len(sessions),
        "sessions a user and day": len(sessions) / 1500 / 28,
    }
    print(figures)
    assert 5 < figures["mean"] < 11
    assert 2 <= figures["median"] <= 3
    assert 0.8 < figures["songs"] < 0.89
    assert 0.6 < figures["paid"] < 0.9
    assert 0.5 < figures["first is NextSong"] < 0.62
    assert 0.36 < figures["first is Home"] < 0.46
    assert 0.22 < figures["sessions a user and day"] < 0.42


def test_the_afternoon_is_crowded_the_night_thin_and_the_weekend_quiet(sessions: dict[int, list[Event]]) -> None:
    starts = [datetime.fromtimestamp(pages[0]["ts"] / 1000, timezone.utc) for pages in sessions.values()]
    hours = Counter(start.hour for start in starts)
    days = Counter(start.weekday() for start in starts)
    night, afternoon = sum(hours[h] for h in (1, 2, 3, 4)), sum(hours[h] for h in (13, 14, 15, 16))
    print(sorted(hours.items()), sorted(days.items()))
    assert afternoon > 2.5 * night
    assert hours.most_common(1)[0][0] in (13, 14, 15, 16)
    assert max(days[5], days[6]) < 0.75 * min(days[day] for day in range(4))


def test_without_growth_all_users_registered_at_the_start(topics: dict[str, list[Event]]) -> None:
    registrations = {event["registration"] for event in topics[PAGE_VIEW] if "userId" in event}
    assert registrations == {1_540_771_200_796}


def test_with_growth_some_registered_before_and_some_come_as_guests() -> None:
    config = SimulatorConfig(users=300, days=60, start=START, growth_rate=2.0)
    start = config.start_ms
    events = events_of(config)[PAGE_VIEW]
    registrations = {event["userId"]: event["registration"] for event in events if "userId" in event}
    assert all(moment >= start - 5 * YEAR_MS for moment in registrations.values())
    assert any(moment < start - YEAR_MS for moment in registrations.values())
    newcomers = {user: moment for user, moment in registrations.items() if user > 301}
    assert len(newcomers) > 20
    assert all(moment > start for moment in newcomers.values())
    assert all(event["ts"] >= event["registration"] for event in events if "userId" in event)
    assert {"Guest", "Logged In"} <= {event["auth"] for event in events}
    assert any(event["page"] == "Submit Registration" for event in events)


def test_in_runs_that_follow_each_other_a_user_is_the_same_person() -> None:
    who = ("firstName", "lastName", "gender", "city", "zip", "userAgent")
    first, second = (
        {
            event["userId"]: tuple(event[name] for name in who)
            for event in events_of(SimulatorConfig(users=40, days=7, start=start, growth_rate=3.0))[PAGE_VIEW]
            if "userId" in event
        }
        for start in (START, START + timedelta(days=7))
    )
    both = first.keys() & second.keys()
    assert max(both) > 41, "a newcomer is among them"
    assert {user: first[user] for user in both} == {user: second[user] for user in both}


def test_attrition_takes_its_share_of_the_users_a_year() -> None:
    config = SimulatorConfig(users=150, days=120, start=START, beta=500_000, attrition_rate=1.0)
    last_seen: dict[int, int] = {}
    for event in events_of(config)[LISTEN]:
        last_seen[event["userId"]] = event["ts"]
    end = config.start_ms + 120 * 86_400_000
    staying = sum(seen > end - 30 * 86_400_000 for seen in last_seen.values()) / len(last_seen)
    # exp(-105 days / 365 days) = 0.75, less those who cancel or come seldom
    assert 0.5 < staying < 0.85


def test_listens_play_songs_of_the_catalogue_with_their_exact_duration(topics: dict[str, list[Event]]) -> None:
    durations = {(song.artist.name, song.title): float(song.duration) for song in catalogue().songs}
    unknown = 0
    for event in topics[LISTEN]:
        known = durations.get((event["artist"], event["song"]))
        assert event["duration"] == (180.0 if known is None else known)
        unknown += known is None
    assert unknown / len(topics[LISTEN]) == pytest.approx(0.02, abs=0.005)


def test_a_run_stops_after_the_given_number_of_events() -> None:
    config = SimulatorConfig(users=500, days=None, start=START, events=1234)
    assert len(events_of(config)[PAGE_VIEW]) == 1234


def test_the_suggested_number_of_users_makes_the_wanted_events() -> None:
    config = SimulatorConfig(users=users_for(5000, 7), days=7, start=START, events=5000)
    assert len(events_of(config)[PAGE_VIEW]) == 5000


def test_extra_level_changes_reach_the_wanted_number() -> None:
    config = SimulatorConfig(users=200, days=30, start=START, beta=300_000, extra_level_changes=0.1)
    changes = events_of(config)[STATUS_CHANGE]
    assert 0.6 < len(changes) / 200 < 4


def test_a_live_run_stamps_its_events_evenly_from_the_start() -> None:
    config = SimulatorConfig(users=50, days=None, start=START, live_rate=8.0, events=400)
    times = [event["ts"] for event in events_of(config)[PAGE_VIEW]]
    assert times == [config.start_ms + 125 * number for number in range(400)]


def test_a_live_run_of_some_days_lasts_as_long_by_the_clock() -> None:
    config = SimulatorConfig(users=50, days=100 / 86_400, start=START, live_rate=8.0, growth_rate=0.5)
    times = [event["ts"] for event in events_of(config)[PAGE_VIEW]]
    assert times == [config.start_ms + 125 * number for number in range(800)]


def test_a_live_run_starts_now_and_one_without_a_start_ends_now() -> None:
    now = time.time() * 1000
    assert SimulatorConfig(live_rate=1.0, days=None).start_ms == pytest.approx(now, abs=5000)
    assert SimulatorConfig(days=2.0).start_ms == pytest.approx(now - 2 * 86_400_000, abs=5000)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"users": 0}, "users is 0: give a number from 1"),
        ({"dirty": 1.5}, "dirty is 1.5: give a number from 0 to 1"),
        ({"live_rate": 0.0}, "live_rate is 0.0: give a number over 0"),
    ],
)
def test_a_value_that_makes_no_sense_is_refused(values: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        SimulatorConfig(**values)


def test_memory_does_not_grow_with_the_length_of_the_run() -> None:
    messages: Iterator[object] = simulate(SimulatorConfig(users=300, days=None, start=START, dirty=0.05))
    for _ in islice(messages, 20_000):
        pass
    tracemalloc.start()
    try:
        for _ in islice(messages, 30_000):
            pass
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 3_000_000


def test_events_are_made_fast() -> None:
    simulation = simulate(SimulatorConfig(users=2000, days=None, start=START, events=40_000))
    next(simulation)
    begin = time.perf_counter()
    events = sum(message.topic == PAGE_VIEW for message in simulation)
    rate = events / (time.perf_counter() - begin)
    print(f"{rate:,.0f} events a second")
    assert rate > 20_000
