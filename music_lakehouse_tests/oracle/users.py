"""The users' histories: evidence, versions, dim_users."""

from __future__ import annotations

from bisect import bisect_right
from datetime import datetime
from typing import NamedTuple

from music_lakehouse_tests.oracle.messages import TOPICS
from music_lakehouse_tests.oracle.values import END_OF_TIME, Row, Tables, clean, instant, key

OTHER_LEVEL = {"free": "paid", "paid": "free"}


class Evidence(NamedTuple):
    """What one event says of its user. Missing text is empty, so that tuples sort as the contract orders evidence; the
    place comes last and so decides only between what is equal otherwise."""

    ms: int
    item: int
    level: str
    first_name: str
    last_name: str
    gender: str
    city: str
    state: str


class Version(NamedTuple):
    """What held of a user from `start_ms` until the next version; missing names are `Unknown`."""

    start_ms: int
    level: str
    first_name: str
    last_name: str
    gender: str


class History(NamedTuple):
    """A user's versions and evidence, both in order."""

    versions: list[Version]
    evidence: list[Evidence]

    def at(self, ms: int) -> Version:
        """The version that held at that time, which mustn't lie before the first one."""
        index = bisect_right(self.versions, ms, key=lambda version: version.start_ms) - 1
        assert index >= 0, f"no version held at {ms}"
        return self.versions[index]


def user_key(user_id: int, version: Version) -> str:
    """The key of a user's version."""
    return key(user_id, version.start_ms)


def evidence_of(topic: str, row: Row) -> Evidence:
    """What a bronze row says of its user; a status change carries the old level, the other one holds 1 ms later."""
    changed = topic == "status_change_events"
    return Evidence(
        row["ts"] + 1 if changed else row["ts"],
        -1 if changed else row["itemInSession"],
        OTHER_LEVEL[row["level"]] if changed else row["level"],
        clean(row["firstName"]) or "",
        clean(row["lastName"]) or "",
        row["gender"] or "",
        clean(row["city"]) or "",
        row["state"] or "",
    )


def histories(bronze: Tables) -> dict[int, History]:
    """Every shown user's history, from the four bronze tables."""
    evidence: dict[int, list[Evidence]] = {}
    for topic in TOPICS:
        for row in bronze[f"bronze.{topic}"]:
            if row["userId"] is not None:
                evidence.setdefault(row["userId"], []).append(evidence_of(topic, row))
    return {user_id: History(versions(rows), sorted(rows)) for user_id, rows in evidence.items()}


def versions(evidence: list[Evidence]) -> list[Version]:
    """The versions that the evidence of one user proves."""
    last_at: dict[int, Version] = {}
    first_name = last_name = gender = "Unknown"
    for each in sorted(evidence):
        first_name, last_name = each.first_name or first_name, each.last_name or last_name
        gender = each.gender or gender
        last_at[each.ms] = Version(each.ms, each.level, first_name, last_name, gender)
    distinct: list[Version] = []
    for version in last_at.values():
        if not distinct or distinct[-1][1:] != version[1:]:
            distinct.append(version)
    return distinct


def registration_times(bronze: Tables) -> dict[int, datetime]:
    """The earliest known registration_time by user; users without one are left out."""
    earliest: dict[int, datetime] = {}
    for topic in TOPICS:
        for row in bronze[f"bronze.{topic}"]:
            user_id, time = row["userId"], row["registration_time"]
            if user_id is not None and time is not None:
                earliest[user_id] = min(time, earliest.get(user_id, time))
    return earliest


def dim_users(users: dict[int, History], registered: dict[int, datetime]) -> list[Row]:
    """One row a version of a user."""
    rows = []
    for user_id, history in users.items():
        ends = [*(instant(version.start_ms) for version in history.versions[1:]), END_OF_TIME]
        for version, end in zip(history.versions, ends, strict=True):
            rows.append(
                {
                    "userKey": user_key(user_id, version),
                    "userId": user_id,
                    "firstName": version.first_name,
                    "lastName": version.last_name,
                    "gender": version.gender,
                    "level": version.level,
                    "registration_time": registered.get(user_id),
                    "row_activation_date": instant(version.start_ms),
                    "row_expiration_date": end,
                    "current_row": int(end == END_OF_TIME),
                }
            )
    return rows
