"""What the lake knows of each user as of now: profiles, sessions, who is active."""

from __future__ import annotations

from datetime import datetime, timedelta
from math import fsum

from music_lakehouse_tests.oracle.messages import TOPICS
from music_lakehouse_tests.oracle.users import History
from music_lakehouse_tests.oracle.values import Row, Tables

ACTIVE_FOR = timedelta(minutes=30)


def user_profiles(bronze: Tables, users: dict[int, History], registered: dict[int, datetime]) -> list[Row]:
    """One row a user that any of the four topics shows."""
    seen: dict[int, tuple[datetime, datetime]] = {}
    for topic in TOPICS:
        for row in bronze[f"bronze.{topic}"]:
            if row["userId"] is not None:
                time = row["timestamp"]
                first, last = seen.get(row["userId"], (time, time))
                seen[row["userId"]] = min(first, time), max(last, time)
    rows = []
    for user_id, history in users.items():
        now = history.versions[-1]
        placed = next((each for each in reversed(history.evidence) if each.city or each.state), None)
        rows.append(
            {
                "userId": user_id,
                "firstName": now.first_name,
                "lastName": now.last_name,
                "gender": now.gender,
                "level": now.level,
                "city": (placed.city or None) if placed else None,
                "stateCode": (placed.state or None) if placed else None,
                "registration_time": registered.get(user_id),
                "first_seen": seen[user_id][0],
                "last_seen": seen[user_id][1],
            }
        )
    return rows


def first_deliveries(rows: list[Row]) -> dict[str, Row]:
    """By event_id, of several deliveries of one event the one with the smallest bronze_id."""
    first: dict[str, Row] = {}
    for row in rows:
        known = first.get(row["event_id"])
        if known is None or row["bronze_id"] < known["bronze_id"]:
            first[row["event_id"]] = row
    return first


def user_sessions(bronze: Tables) -> list[Row]:
    """One row a (userId, sessionId) among the page views and listens of shown users. Every delivery is evidence of the
    level; a listen's duration is that of its first delivery."""
    listens = first_deliveries(bronze["bronze.listen_events"])
    sessions: dict[tuple[int, int], list[Row]] = {}
    for row in [*bronze["bronze.listen_events"], *bronze["bronze.page_view_events"]]:
        if row["userId"] is not None:
            sessions.setdefault((row["userId"], row["sessionId"]), []).append(row)
    rows = []
    for (user_id, session_id), events in sessions.items():
        ids = {event["event_id"] for event in events}
        times = [event["timestamp"] for event in events]
        songs = ids & listens.keys()
        rows.append(
            {
                "userId": user_id,
                "sessionId": session_id,
                "session_start": min(times),
                "session_end": max(times),
                "events": len(ids),
                "songs": len(songs),
                "listened_seconds": fsum(listens[song]["duration"] or 0.0 for song in songs),
                "level": max((event["ts"], event["itemInSession"], event["level"]) for event in events)[2],
            }
        )
    return rows


def active_users(bronze: Tables, profiles: list[Row], sessions: list[Row]) -> list[Row]:
    """One row a user seen in the 30 minutes up to the newest event of all."""
    newest = max((row["timestamp"] for topic in TOPICS for row in bronze[f"bronze.{topic}"]), default=None)
    latest: dict[int, Row] = {}
    for session in sorted(sessions, key=lambda row: (row["session_end"], row["session_start"], row["sessionId"])):
        latest[session["userId"]] = session
    rows = []
    for profile in profiles:
        if newest is not None and profile["last_seen"] >= newest - ACTIVE_FOR:
            session = latest.get(profile["userId"], {})
            rows.append(
                {
                    "userId": profile["userId"],
                    "session_start": session.get("session_start"),
                    "session_end": session.get("session_end"),
                    "level": session.get("level", profile["level"]),
                }
            )
    return rows
