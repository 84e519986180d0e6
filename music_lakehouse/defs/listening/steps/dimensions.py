"""The steps of dim_songs, dim_artists, dim_location and dim_datetime."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from music_lakehouse.defs.listening.silver_tables import (
    DIM_ARTISTS,
    DIM_DATETIME,
    DIM_LOCATION,
    DIM_SONGS,
    UNKNOWN_KEY,
)
from music_lakehouse.defs.listening.steps.sources import LISTENS, new_events
from music_lakehouse.defs.listening.tables import REFERENCE_SONGS, REFERENCE_STATES
from music_lakehouse.defs.listening.transforms import dimensions
from music_lakehouse.lakehouse.changes import Changes
from music_lakehouse.lakehouse.days import Days, days_of
from music_lakehouse.lakehouse.lake import Lake
from music_lakehouse.lakehouse.steps import Step
from music_lakehouse.lakehouse.tables import Table
from music_lakehouse.lakehouse.upsert import Written, make_equal


def _update_dim_songs(lake: Lake, changes: Changes) -> Written:
    known = lake.read(DIM_SONGS)
    reference = dimensions.songs_of_reference(lake.read(REFERENCE_SONGS))
    if changes.full:
        unknown = dimensions.unknown_member(known, "songKey", "title", "artistName")
        desired = dimensions.dim_songs(reference, dimensions.songs_of_events(lake.read(LISTENS)))
        return make_equal(lake, DIM_SONGS, desired.unionByName(unknown), delete=True)
    new = dimensions.songs_of_events(new_events(lake, changes, LISTENS))
    edited = _edited_keys(changes, REFERENCE_SONGS, "songKey")
    if edited is None:
        # The reference didn't change: its songs are as they were.
        new = new.join(lake.read(REFERENCE_SONGS).select("songKey"), "songKey", "left_anti")
    if edited is None and changes.only_added(LISTENS):
        # Of the others the dimension is what was told.
        current = known.join(new.select("songKey"), "songKey", "left_semi")
        told = current.select(*new.columns).unionByName(new)
        desired = lake.empty(DIM_SONGS).unionByName(dimensions.one_row_a_song(told), allowMissingColumns=True)
        return make_equal(lake, DIM_SONGS, desired, current=current)
    keys = _distinct(new.select("songKey"), edited)
    told = dimensions.songs_of_events(lake.read(LISTENS)).join(keys, "songKey", "left_semi")
    desired = dimensions.dim_songs(reference.join(keys, "songKey", "left_semi"), told)
    return make_equal(lake, DIM_SONGS, desired, current=known.join(keys, "songKey", "left_semi"), delete=True)


def _update_dim_artists(lake: Lake, changes: Changes) -> Written:
    known = lake.read(DIM_ARTISTS)
    reference = dimensions.artists_of_reference(lake.read(REFERENCE_SONGS))
    if changes.full:
        unknown = dimensions.unknown_member(known, "artistKey", "name")
        desired = dimensions.dim_artists(reference, dimensions.artists_of_events(lake.read(LISTENS)))
        return make_equal(lake, DIM_ARTISTS, desired.unionByName(unknown), delete=True)
    new = dimensions.artists_of_events(new_events(lake, changes, LISTENS))
    edited = _edited_keys(changes, REFERENCE_SONGS, "artistKey")
    if edited is None and changes.only_added(LISTENS):
        new = new.join(known.select("artistKey"), "artistKey", "left_anti")
        none = lake.empty(DIM_ARTISTS)
        return make_equal(lake, DIM_ARTISTS, none.unionByName(new, allowMissingColumns=True), current=none)
    keys = _distinct(new.select("artistKey"), edited)
    told = dimensions.artists_of_events(lake.read(LISTENS)).join(keys, "artistKey", "left_semi")
    desired = dimensions.dim_artists(reference.join(keys, "artistKey", "left_semi"), told)
    return make_equal(lake, DIM_ARTISTS, desired, current=known.join(keys, "artistKey", "left_semi"), delete=True)


def _update_dim_location(lake: Lake, changes: Changes) -> Written:
    known, states = lake.read(DIM_LOCATION), lake.read(REFERENCE_STATES)
    if changes.full:
        unknown = dimensions.unknown_member(known, "locationKey", "city", "stateName")
        desired = dimensions.dim_location(dimensions.places_of_events(lake.read(LISTENS)), states)
        return make_equal(lake, DIM_LOCATION, desired.unionByName(unknown), delete=True)
    touched = dimensions.places_of_events(new_events(lake, changes, LISTENS))
    renamed = _edited_keys(changes, REFERENCE_STATES, "stateCode")
    if renamed is not None:
        codes = renamed.select(F.col("stateCode").alias("_code"))
        affected = known.where(F.col("locationKey") != UNKNOWN_KEY).join(
            codes, dimensions.state_code("stateCode") == F.col("_code"), "left_semi"
        )
        touched = dimensions.one_row_a_place(touched.unionByName(affected.select(*touched.columns)))
    if changes.only_added(LISTENS):
        return make_equal(lake, DIM_LOCATION, dimensions.dim_location(touched, states))
    keys = touched.select("locationKey")
    told = dimensions.places_of_events(lake.read(LISTENS)).join(keys, "locationKey", "left_semi")
    current = known.join(keys, "locationKey", "left_semi")
    return make_equal(lake, DIM_LOCATION, dimensions.dim_location(told, states), current=current, delete=True)


def _update_dim_datetime(lake: Lake, changes: Changes) -> Written:
    touched = new_events(lake, changes, LISTENS)
    if changes.full or changes.only_added(LISTENS):
        return make_equal(lake, DIM_DATETIME, dimensions.dim_datetime(touched), delete=changes.full)
    days = Days.of("timestamp", days_of(touched, "timestamp"))
    desired = dimensions.dim_datetime(lake.read(LISTENS).where(days.predicate()))
    return make_equal(lake, DIM_DATETIME, desired, within=days.on("date"), delete=True)


def _edited_keys(changes: Changes, source: Table, key: str) -> DataFrame | None:
    """The keys of the source's rows that came, went or changed; None where none did."""
    change = changes.get(source)
    return change.rows.where(F.col(key).isNotNull()).select(key).distinct() if change else None


def _distinct(keys: DataFrame, more: DataFrame | None) -> DataFrame:
    return (keys if more is None else keys.union(more)).distinct()


STEPS = (
    Step(DIM_SONGS, (LISTENS, REFERENCE_SONGS), _update_dim_songs),
    Step(DIM_ARTISTS, (LISTENS, REFERENCE_SONGS), _update_dim_artists),
    Step(DIM_LOCATION, (LISTENS, REFERENCE_STATES), _update_dim_location),
    Step(DIM_DATETIME, (LISTENS,), _update_dim_datetime),
)
