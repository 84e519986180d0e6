"""Streams with the versions of their user, their track and its artist that held."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from music_lakehouse.defs.catalogue.entities import ARTISTS, TRACKS, USERS, Entity
from music_lakehouse.defs.catalogue.tables import FACT_STREAM, version_key
from music_lakehouse.lakehouse.scd2 import holding, holds_at


def fact_streams(streams: DataFrame, users: DataFrame, tracks: DataFrame, artists: DataFrame) -> DataFrame:
    """Rows of the fact from rows of silver and versions of the dimensions; what isn't there is null."""
    by_user = _with_version(streams, USERS, users)
    by_track = _with_version(by_user, TRACKS, tracks, "artist_id")
    return _with_version(by_track, ARTISTS, artists).select(*FACT_STREAM.column_names)


def _with_version(rows: DataFrame, entity: Entity, versions: DataFrame, *kept: str) -> DataFrame:
    """The rows with the key of the version that held at `stream_timestamp`, the first one where they are older, and
    columns of it."""
    held = holding(versions, key=entity.key, start="start_at", end="end_at").select(
        F.col(entity.key).alias("_key"), version_key(entity), "since", "until", *kept
    )
    at_the_time = (F.col(entity.key) == F.col("_key")) & holds_at("stream_timestamp")
    return rows.join(held, at_the_time, "left").drop("_key", "since", "until")
