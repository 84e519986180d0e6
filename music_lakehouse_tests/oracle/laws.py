"""The laws that hold over the tables of a lake after every run, each as a function that names what breaks it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import pairwise

from music_lakehouse_tests.oracle.gold import SUMMARIES, fact_listens
from music_lakehouse_tests.oracle.messages import TOPICS
from music_lakehouse_tests.oracle.users import evidence_of
from music_lakehouse_tests.oracle.values import END_OF_TIME, Row, Tables

POSITION = ("kafka_topic_id", "kafka_partition", "kafka_offset")
TRACKED = ("level", "firstName", "lastName", "gender")
FACT_KEYS = {
    "userKey": "silver.dim_users",
    "artistKey": "silver.dim_artists",
    "songKey": "silver.dim_songs",
    "dateKey": "silver.dim_datetime",
    "locationKey": "silver.dim_location",
}


def laws(tables: Tables) -> list[str]:
    """What breaks the five laws, empty where all hold; `tables` as `tables_of` or `read_lake` give them."""
    return [
        *every_message_is_accounted_for(tables),
        *facts_are_the_distinct_listens(tables),
        *every_key_resolves(tables),
        *levels_are_those_of_the_listens(tables),
        *histories_are_whole(tables["silver.dim_users"]),
        *summaries_add_up(tables),
    ]


def every_message_is_accounted_for(tables: Tables) -> list[str]:
    """Law 1: each offset is in raw once, and once in either bronze or quarantine."""
    raw = Counter(_position(row) for topic in TOPICS for row in tables[f"raw.{topic}"])
    kept = Counter(_position(row) for topic in TOPICS for row in tables[f"bronze.{topic}"])
    kept.update(_position(row) for row in tables["bronze.quarantine"])
    twice = sorted(position for position, count in raw.items() if count > 1)
    astray = sorted(position for position in raw.keys() | kept.keys() if raw[position] != kept[position])
    return [
        *(f"law 1: raw holds {position} {raw[position]} times" for position in twice),
        *(f"law 1: {each} is {raw[each]} times in raw, {kept[each]} in bronze and quarantine" for each in astray),
    ]


def facts_are_the_distinct_listens(tables: Tables) -> list[str]:
    """Law 2: facts are the distinct listens with a user, a song and an artist; wide_streams has a row for each."""
    listens = [row["event_id"] for row in fact_listens(tables["bronze.listen_events"])]
    facts = {row["event_id"]: row for row in tables["gold.fact_streams"]}
    wide = {row["event_id"]: row for row in tables["gold.wide_streams"]}
    broken = [
        *_unequal("law 2: fact_streams", (row["event_id"] for row in tables["gold.fact_streams"]), listens),
        *_unequal("law 2: wide_streams", (row["event_id"] for row in tables["gold.wide_streams"]), list(facts)),
    ]
    shared = (*FACT_KEYS, "date_part", "userId")
    for event_id in facts.keys() & wide.keys():
        fact, row = facts[event_id], wide[event_id]
        if fact["ts"] != row["timestamp"] or any(fact[column] != row[column] for column in shared):
            broken.append(f"law 2: wide_streams says otherwise than fact_streams of {event_id}")
    return broken


def every_key_resolves(tables: Tables) -> list[str]:
    """Law 3, first half: each key of a fact is in its dimension, once."""
    broken = []
    for column, dimension in FACT_KEYS.items():
        known = Counter(row[column] for row in tables[dimension])
        broken += [f"law 3: {dimension} holds {value} {count} times" for value, count in known.items() if count > 1]
        missing = {row[column] for row in tables["gold.fact_streams"]} - known.keys()
        broken += [f"law 3: {dimension} lacks {value}, which facts name" for value in sorted(missing, key=str)]
    return broken


def levels_are_those_of_the_listens(tables: Tables) -> list[str]:
    """Law 3, second half: a fact's user version has the level that the listen event carried, unless evidence of that
    user at that millisecond disagrees with itself."""
    levels: dict[tuple[int, int], set[str]] = {}
    for topic in TOPICS:
        for row in tables[f"bronze.{topic}"]:
            if row["userId"] is not None:
                evidence = evidence_of(topic, row)
                levels.setdefault((row["userId"], evidence.ms), set()).add(evidence.level)
    level_of = {row["userKey"]: row["level"] for row in tables["silver.dim_users"]}
    listens = {row["event_id"]: row for row in fact_listens(tables["bronze.listen_events"])}
    broken = []
    for fact in tables["gold.fact_streams"]:
        listen, level = listens.get(fact["event_id"]), level_of.get(fact["userKey"])
        if listen is None or level is None or level == listen["level"]:
            continue
        if len(levels[listen["userId"], listen["ts"]]) == 1:
            broken.append(f"law 3: {fact['event_id']} was listened to as {listen['level']}, its user is {level}")
    return broken


def histories_are_whole(dim_users: list[Row]) -> list[str]:
    """Law 4: a user's versions neither overlap nor leave a gap, neighbours differ, exactly the last is current."""
    versions: dict[int, list[Row]] = {}
    for row in sorted(dim_users, key=lambda row: row["row_activation_date"]):
        versions.setdefault(row["userId"], []).append(row)
    broken = []
    for user_id, rows in versions.items():
        for row in rows:
            if row["row_activation_date"] >= row["row_expiration_date"]:
                broken.append(f"law 4: user {user_id} has a version without length at {row['row_activation_date']}")
        for row, following in pairwise(rows):
            if row["row_expiration_date"] > following["row_activation_date"]:
                broken.append(f"law 4: versions of user {user_id} overlap at {following['row_activation_date']}")
            if row["row_expiration_date"] < following["row_activation_date"]:
                broken.append(f"law 4: user {user_id} has a gap before {following['row_activation_date']}")
            if all(row[column] == following[column] for column in TRACKED):
                broken.append(f"law 4: user {user_id} changes nothing at {following['row_activation_date']}")
        if [row["current_row"] for row in rows] != [0] * (len(rows) - 1) + [1]:
            broken.append(f"law 4: user {user_id} lacks exactly one current version, the last")
        if rows[-1]["row_expiration_date"] != END_OF_TIME:
            broken.append(f"law 4: the last version of user {user_id} has an end")
    return broken


def summaries_add_up(tables: Tables) -> list[str]:
    """Law 5: each summary's total_streams sum up to the number of facts."""
    facts = len(tables["gold.fact_streams"])
    sums = {name: sum(row["total_streams"] for row in tables[name]) for name in SUMMARIES}
    return [f"law 5: {name} counts {total} streams of {facts}" for name, total in sums.items() if total != facts]


def _position(row: Row) -> tuple[str, int, int]:
    topic_id, partition, offset = (row[column] for column in POSITION)
    return topic_id, partition, offset


def _unequal(what: str, actual: Iterable[str], expected: Iterable[str]) -> list[str]:
    have, want = Counter(actual), Counter(expected)
    differing = sorted(each for each in have.keys() | want.keys() if have[each] != want[each])
    return [f"{what} holds {each} {have[each]} times, not {want[each]}" for each in differing]
