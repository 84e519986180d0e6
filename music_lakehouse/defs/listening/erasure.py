"""A person removed from all listening tables and their history.

Which messages are a person's is decided once, by what bronze and quarantine tell of them; raw, quarantine and bronze
lose these messages, and what follows from them is told anew by the steps. Then nothing is left of any table but its
newest version, and the files of the lake are searched for what would name the person.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from itertools import permutations

import pyarrow as pa
from pyspark.sql import Column
from pyspark.sql import functions as F

from music_lakehouse.defs.catalog import find_table
from music_lakehouse.defs.listening.checks import CHECKS
from music_lakehouse.defs.listening.gold_tables import GOLD
from music_lakehouse.defs.listening.parsing import MOST_RAW_BYTES_A_BATCH, parse_topic
from music_lakehouse.defs.listening.silver_tables import DIM_USERS, SILVER
from music_lakehouse.defs.listening.steps import STEPS
from music_lakehouse.defs.listening.tables import BRONZE, QUARANTINE, RAW
from music_lakehouse.defs.listening.transforms.text import clean_text
from music_lakehouse.lakehouse import kafka_positions
from music_lakehouse.lakehouse.checks import evaluate
from music_lakehouse.lakehouse.erasure import Searched, Traces, remove_messages, search
from music_lakehouse.lakehouse.inventory import remove_directories
from music_lakehouse.lakehouse.kafka_positions import MESSAGE
from music_lakehouse.lakehouse.lake import Lake, LakePaths
from music_lakehouse.lakehouse.positions import move_positions, record_source_position
from music_lakehouse.lakehouse.steps import run_step
from music_lakehouse.lakehouse.vacuum import forget_history

TABLES = (*RAW.values(), *BRONZE.values(), QUARANTINE, *SILVER, *GOLD)
"""The tables that hold persons or what was made of them, in the order in which data flows."""
_NAMES = ("firstName", "lastName", "registration")
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
# The year 10000, in milliseconds: beyond it bronze has no time.
_LATEST = 253_402_300_800_000


@dataclass(frozen=True)
class Person:
    """A user as the lake knows them: the id; first name, last name and registration (epoch milliseconds) in each way in
    which messages spelled them; and the keys that stand for them alone."""

    user_id: int
    names: Sequence[tuple[str, str, int]]
    keys: dict[str, list[str]]

    @property
    def id_pattern(self) -> str:
        """A regular expression of a text that gives the id to a field or column `userId`: as JSON, also where that is
        text within JSON or was cut behind the number; in a condition of SQL; in a struct's text."""
        return rf"userId[^0-9A-Za-z.+-]{{1,40}}{self.user_id}(?:[^0-9]|$)"

    @property
    def name_patterns(self) -> list[str]:
        """Regular expressions of a JSON text that has one spelling of the names and the registration together."""
        found = []
        for first, last, registration in self.names:
            parts = (rf"[\"']{re.escape(first)}\\*[\"']", rf"[\"']{re.escape(last)}\\*[\"']", str(registration))
            # Whatever the order of the fields.
            found.append("|".join(map(".*".join, permutations(parts))))
        return found


@dataclass(frozen=True)
class Forgotten:
    """What was done: how many rows fewer each table has; what the search of all files found; and the laws that are
    broken. Of the last two nothing, if all went well. `names_known` says whether the search was for names too, `anew`
    whether the tables were written: not where nothing of the user was in any file."""

    removed: dict[str, int]
    searched: Searched
    broken: list[str]
    names_known: bool
    anew: bool = True


def forget_user(lake: Lake, user_id: int) -> Forgotten:
    """Remove the user from all listening tables and their history, and search the lake's files for what is left.

    May be killed at any point and called again. Where nothing of the user is in any file, nothing is changed. The
    caller holds the lake's lock.
    """
    _follow(lake)
    person = find_person(lake, user_id)
    messages = {topic: _messages_of(lake, topic, person) for topic in RAW if lake.open(BRONZE[topic]) is not None}
    if not any(found.shown.num_rows or found.others.num_rows for found in messages.values()):
        searched = search(lake.root, traces(person))
        if not searched.found:
            return Forgotten({}, searched, _broken_laws(lake), names_known=False, anew=False)
    rows = {table: lake.rows(table) for table in TABLES}
    for topic, found in messages.items():
        _remove(lake, topic, found)
    # Now nothing is left for which somebody would have to know the user's names.
    for topic, found in messages.items():
        remove_messages(lake, BRONZE[topic], found.shown)
    _follow(lake)
    lake.release()
    removed = {table.full_name: before - lake.rows(table) for table, before in rows.items() if before}
    _forget_histories(lake)
    lake.reopen()
    searched = search(lake.root, traces(person))
    fewer = {name: count for name, count in removed.items() if count}
    return Forgotten(fewer, searched, _broken_laws(lake), names_known=bool(person.names))


def _follow(lake: Lake) -> None:
    """Bring all tables behind raw up to date."""
    lake.expect(None)
    for topic, raw in RAW.items():
        if lake.open(raw) is not None:
            parse_topic(lake, topic, max_bytes=MOST_RAW_BYTES_A_BATCH)
    if all(lake.open(table) is not None for table in BRONZE.values()):
        for step in STEPS.values():
            run_step(lake, step)


def find_person(lake: Lake, user_id: int) -> Person:
    """What bronze and the tables behind it tell of the user."""
    shown = [
        lake.read(table).where(F.col("userId") == user_id).select(*_NAMES)
        for table in BRONZE.values()
        if lake.open(table) is not None
    ]
    names: set[tuple[str, str, int]] = set()
    for rows in shown:
        cleaned = rows.select(clean_text("firstName"), clean_text("lastName"), "registration")
        both = rows.union(cleaned).where("firstName IS NOT NULL AND lastName IS NOT NULL AND registration IS NOT NULL")
        names |= {(row[0], row[1], row[2]) for row in both.distinct().collect()}
    keys: dict[str, set[str]] = {}
    for table, name in [(DIM_USERS, "userKey"), *((table, "event_id") for table in BRONZE.values())]:
        rows = lake.read(table).where(F.col("userId") == user_id).select(name).distinct()
        keys.setdefault(name, set()).update(row[0] for row in rows.collect())
    return Person(user_id, sorted(names), {name: sorted(values) for name, values in keys.items()})


def traces(person: Person) -> Traces:
    """What no file of the lake may hold any more."""
    together: list[dict[str, object]] = []
    for first, last, registration in person.names:
        named = {"firstName": first, "lastName": last}
        together.append({**named, "registration": registration})
        if 0 <= registration < _LATEST:
            together.append({**named, "registration_time": _EPOCH + timedelta(milliseconds=registration)})
    values: dict[str, Sequence[object]] = {"userId": [person.user_id], **person.keys}
    return Traces(values, [person.id_pattern, *person.name_patterns], together)


@dataclass(frozen=True)
class Messages:
    """The messages of a topic (MESSAGE) that are a person's: those of events that show the user; and others, of events
    without a user that have the user's first and last name and registration, or that were refused and whose text has
    either. An event before log-in shows nobody, and is nobody's."""

    shown: pa.Table
    others: pa.Table
    in_bytes: pa.Table
    """Those of the others that are not UTF-8, and so in raw alone as they came."""


def _messages_of(lake: Lake, topic: str, person: Person) -> Messages:
    named = lake.spark.createDataFrame([*person.names], "_first STRING, _last STRING, _registration BIGINT")
    events = lake.read(BRONZE[topic])
    has_names = (
        (clean_text("firstName") == F.col("_first"))
        & (clean_text("lastName") == F.col("_last"))
        & (F.col("registration") == F.col("_registration"))
    )
    hidden = events.where("userId IS NULL").join(F.broadcast(named), has_names, "left_semi")
    refused = lake.read(QUARANTINE).where(F.col("topic") == topic)
    # Quarantine has no bytes.
    unread = lake.read(RAW[topic]).where("value_bytes IS NOT NULL")
    unread = unread.withColumn("value", F.col("value_bytes").cast("string"))
    in_text, in_bytes = (
        rows.where("value IS NOT NULL").where(_names_in("value", person)).select(*MESSAGE) for rows in (refused, unread)
    )
    shown = events.where(F.col("userId") == person.user_id).select(*MESSAGE)
    others = hidden.select(*MESSAGE).union(in_text).union(in_bytes)
    return Messages(*(found.distinct().toArrow() for found in (shown, others, in_bytes)))


def _names_in(text: str, person: Person) -> Column:
    """Whether a message's text is the person's."""
    sent = F.get_json_object(F.col(text), "$.userId").try_cast("DECIMAL(38, 9)")
    is_theirs = (F.coalesce(sent == F.lit(person.user_id), F.lit(False))) | F.col(text).rlike(person.id_pattern)
    # Of another user, whose names are the same, the id tells.
    without_id = ~F.col(text).rlike(r'"userId"\s*:\s*"?[0-9]')
    for pattern in person.name_patterns:
        is_theirs = is_theirs | (without_id & F.col(text).rlike(f"(?s){pattern}"))
    return is_theirs


def _remove(lake: Lake, topic: str, messages: Messages) -> None:
    """Remove the messages from raw and quarantine, and from bronze those that don't show the user."""
    raw, everything = RAW[topic], pa.concat_tables([messages.shown, messages.others])
    kafka_positions.settle(lake, raw)
    if everything.num_rows:
        topics: dict[str, str] = dict(lake.read(raw).select("kafka_topic_id", "kafka_topic").distinct().collect())
        known = [row for row in everything.to_pylist() if row["kafka_topic_id"] in topics]
        kafka_positions.record_erased(lake, [{**row, "kafka_topic": topics[row["kafka_topic_id"]]} for row in known])
    # What tells whose a message is goes last: whatever is left after a kill is found again.
    remove_messages(lake, QUARANTINE, messages.in_bytes)
    before = lake.state(raw)
    removed = remove_messages(lake, raw, everything)
    after = lake.state(raw)
    if removed and before is not None and after is not None:
        kafka_positions.move_on(lake, raw, before.version)
        record_source_position(lake, BRONZE[topic].full_name, raw.full_name, after)
    for table in (QUARANTINE, BRONZE[topic]):
        remove_messages(lake, table, messages.others)


def _forget_histories(lake: LakePaths) -> None:
    """Leave nothing of the tables but their newest versions, and let all that follows them go on from there."""
    # A query would look for its place in a log that is no more; without a checkpoint it begins behind what was taken.
    remove_directories(lake.root, [lake.checkpoint(table.full_name) for table in BRONZE.values()])
    for table in TABLES:
        before = LakePaths(lake.root).state(table)
        version = forget_history(lake.path(table))
        if before is not None and version is not None:
            move_positions(lake, table, before, version)
            kafka_positions.move_on(lake, table, before.version)


def _broken_laws(lake: LakePaths) -> list[str]:
    return [
        outcome.told(table)
        for table in TABLES
        for outcome in evaluate(
            lake, table, [check for check in CHECKS[table] if check.error], since=None, find_table=find_table
        )
        if not outcome.passed
    ]


OUTSIDE = (
    "Kafka's topics, until their retention ends: shorten it, or delete their records. Messages of the user that come "
    "after this are read as any others: stop them at their source",
    "the runs' events and logs in DAGSTER_HOME, which tell figures and errors, and seldom a value",
    "backups and copies of the lake, results of queries",
    "the catalogue's database and what landed, and the tables made of them: their people have other ids",
)
"""What is no part of the listening tables and may still name the person, with what to do about it."""
