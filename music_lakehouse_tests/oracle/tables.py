"""All the tables that a set of messages and reference files makes."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from music_lakehouse_tests.oracle.bronze import bronze_tables
from music_lakehouse_tests.oracle.dimensions import dim_artists, dim_datetime, dim_location, dim_songs
from music_lakehouse_tests.oracle.gold import SUMMARIES, fact_streams, summary, wide_streams
from music_lakehouse_tests.oracle.messages import TOPICS, Message
from music_lakehouse_tests.oracle.profiles import active_users, user_profiles, user_sessions
from music_lakehouse_tests.oracle.reference import reference_songs, state_names
from music_lakehouse_tests.oracle.users import dim_users, histories, registration_times
from music_lakehouse_tests.oracle.values import Tables

OFFSET_KEY = ("kafka_topic_id", "kafka_partition", "kafka_offset")
TABLE_KEYS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys((f"raw.{topic}" for topic in TOPICS), OFFSET_KEY),
    **dict.fromkeys((f"bronze.{topic}" for topic in TOPICS), ("bronze_id",)),
    "bronze.quarantine": OFFSET_KEY,
    "silver.dim_users": ("userKey",),
    "silver.dim_songs": ("songKey",),
    "silver.dim_artists": ("artistKey",),
    "silver.dim_location": ("locationKey",),
    "silver.dim_datetime": ("dateKey",),
    "silver.user_profiles": ("userId",),
    "silver.user_sessions": ("userId", "sessionId"),
    "gold.fact_streams": ("event_id",),
    "gold.wide_streams": ("event_id",),
    **{name: by for name, (by, _) in SUMMARIES.items()},
    "gold.active_users": ("userId",),
}


def tables_of(messages: Iterable[Message], songs_csv: Path, state_codes_csv: Path) -> Tables:
    """Every raw, bronze, silver and gold table by `layer.table`, as lists of rows; timestamps are aware, in UTC.

    The messages may come in any order, each (topic id, partition, offset) once. A reference file that isn't there is
    an empty one. The columns that depend on the run (ingestion times, the message's key) are left out.
    """
    tables = bronze_tables(messages)
    listens = tables["bronze.listen_events"]
    songs, states = reference_songs(songs_csv), state_names(state_codes_csv)
    users, registered = histories(tables), registration_times(tables)
    tables["silver.dim_users"] = dim_users(users, registered)
    tables["silver.dim_songs"] = dim_songs(listens, songs)
    tables["silver.dim_artists"] = dim_artists(listens, songs)
    tables["silver.dim_location"] = dim_location(listens, states)
    tables["silver.dim_datetime"] = dim_datetime(listens)
    tables["silver.user_profiles"] = user_profiles(tables, users, registered)
    tables["silver.user_sessions"] = user_sessions(tables)
    tables["gold.fact_streams"] = fact_streams(listens, users)
    tables["gold.wide_streams"] = wide_streams(tables["gold.fact_streams"], tables)
    for name, (by, distinct) in SUMMARIES.items():
        tables[name] = summary(tables["gold.wide_streams"], by, distinct)
    tables["gold.active_users"] = active_users(tables, tables["silver.user_profiles"], tables["silver.user_sessions"])
    return tables
