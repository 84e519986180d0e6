"""The steps of dim_songs, dim_artists, dim_location and dim_datetime."""

from __future__ import annotations

from collections.abc import Callable

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from music_lakehouse.defs.listening.silver_tables import (
    DIM_ARTISTS,
    DIM_DATETIME,
    DIM_LOCATION,
    DIM_SONGS,
    UNKNOWN_KEY,
)
from music_lakehouse.defs.listening.steps.sources import LISTENS, new_events, new_listens
from music_lakehouse.defs.listening.tables import REFERENCE_SONGS, REFERENCE_STATES
from music_lakehouse.defs.listening.transforms import dimensions
from music_lakehouse.lakehouse.changes import Changes
from music_lakehouse.lakehouse.days import Days, days_of
from music_lakehouse.lakehouse.lake import Lake, Rows
from music_lakehouse.lakehouse.query import evaluated, has_rows, keyed
from music_lakehouse.lakehouse.steps import Step
from music_lakehouse.lakehouse.tables import Table
from music_lakehouse.lakehouse.upsert import Written, make_equal


def _update_dim_songs(lake: Lake, changes: Changes) -> Written:
    if changes.full:
        desired = dimensions.dim_songs(_reference_songs(lake), dimensions.songs_of_events(lake.read(LISTENS)))
        unknown = dimensions.unknown_member(lake.empty(DIM_SONGS), "songKey", "title", "artistName")
        return make_equal(lake, DIM_SONGS, desired.unionByName(unknown), delete=True)
    new = _new(lake, changes, dimensions.SONGS, dimensions.songs_of_events)
    edited = _edited_keys(changes, REFERENCE_SONGS, "songKey")
    if edited is None:
        # The reference didn't change: its songs are as they were.
        sql = "SELECT * FROM {new} AS n ANTI JOIN {reference} AS r ON n.songKey = r.songKey"
        new = evaluated(lake, sql, new=new, reference=REFERENCE_SONGS)
    keys = evaluated(lake, "SELECT songKey FROM {new}", new=new)
    if edited is None and changes.only_added(LISTENS):
        # Of the others the dimension is what was told.
        current = keyed(lake, DIM_SONGS, keys)
        columns = "songKey, title, artistName, duration"
        both = " UNION ALL ".join(f"SELECT {columns} FROM {{{n}}}" for n in ("known", "new"))
        told = evaluated(lake, both, known=current, new=new)
        return make_equal(lake, DIM_SONGS, evaluated(lake, dimensions.SONGS, told=told), current=current)
    concerned = _distinct(lake.frame(keys), edited)
    of_events = dimensions.songs_of_events(lake.read(LISTENS)).join(concerned, "songKey", "left_semi")
    desired = dimensions.dim_songs(_reference_songs(lake).join(concerned, "songKey", "left_semi"), of_events)
    return make_equal(lake, DIM_SONGS, desired, current=keyed(lake, DIM_SONGS, concerned), delete=True)


def _update_dim_artists(lake: Lake, changes: Changes) -> Written:
    if changes.full:
        told = dimensions.artists_of_events(lake.read(LISTENS))
        unknown = dimensions.unknown_member(lake.empty(DIM_ARTISTS), "artistKey", "name")
        desired = dimensions.dim_artists(_reference_artists(lake), told).unionByName(unknown)
        return make_equal(lake, DIM_ARTISTS, desired, delete=True)
    new = _new(lake, changes, dimensions.ARTISTS, dimensions.artists_of_events)
    edited = _edited_keys(changes, REFERENCE_SONGS, "artistKey")
    if edited is None and changes.only_added(LISTENS):
        sql = "SELECT n.artistKey, n.name FROM {new} AS n ANTI JOIN {known} AS k ON n.artistKey = k.artistKey"
        return _add(lake, DIM_ARTISTS, evaluated(lake, sql, new=new, known=DIM_ARTISTS))
    keys = _distinct(lake.frame(new).select("artistKey"), edited)
    told = dimensions.artists_of_events(lake.read(LISTENS)).join(keys, "artistKey", "left_semi")
    desired = dimensions.dim_artists(_reference_artists(lake).join(keys, "artistKey", "left_semi"), told)
    return make_equal(lake, DIM_ARTISTS, desired, current=keyed(lake, DIM_ARTISTS, keys), delete=True)


def _update_dim_location(lake: Lake, changes: Changes) -> Written:
    if changes.full:
        unknown = dimensions.unknown_member(lake.empty(DIM_LOCATION), "locationKey", "city", "stateName")
        desired = dimensions.dim_location(dimensions.places_of_events(lake.read(LISTENS)), lake.read(REFERENCE_STATES))
        return make_equal(lake, DIM_LOCATION, desired.unionByName(unknown), delete=True)
    touched = _new(lake, changes, dimensions.PLACES, dimensions.places_of_events)
    renamed = _edited_keys(changes, REFERENCE_STATES, "stateCode")
    if renamed is not None:
        codes = renamed.select(F.col("stateCode").alias("_code"))
        affected = (
            lake.read(DIM_LOCATION)
            .where(F.col("locationKey") != UNKNOWN_KEY)
            .join(codes, dimensions.state_code("stateCode") == F.col("_code"), "left_semi")
        )
        new = lake.frame(touched)
        touched = dimensions.one_row_a_place(new.unionByName(affected.select(*new.columns)))
    keys = evaluated(lake, "SELECT locationKey FROM {touched}", touched=touched)
    if not changes.only_added(LISTENS):
        told = dimensions.places_of_events(lake.read(LISTENS))
        touched = told.join(lake.frame(keys), "locationKey", "left_semi")
    current = keyed(lake, DIM_LOCATION, keys)
    desired = evaluated(lake, dimensions.NAMED_PLACES, places=touched, states=REFERENCE_STATES)
    return make_equal(lake, DIM_LOCATION, desired, current=current, delete=True)


def _update_dim_datetime(lake: Lake, changes: Changes) -> Written:
    if changes.full:
        return make_equal(lake, DIM_DATETIME, dimensions.dim_datetime(lake.read(LISTENS)), delete=True)
    if changes.only_added(LISTENS):
        sql = f"""
            SELECT n.dateKey FROM ({dimensions.HOURS}) AS n ANTI JOIN {{known}} AS k ON n.dateKey = k.dateKey
        """
        new = evaluated(lake, sql, told=new_listens(lake, changes), known=DIM_DATETIME)
        return _add(lake, DIM_DATETIME, dimensions.described_hours(lake.frame(new))) if has_rows(new) else Written()
    touched = new_events(lake, changes, LISTENS)
    days = Days.of("timestamp", days_of(touched, "timestamp"))
    desired = dimensions.dim_datetime(lake.read(LISTENS).where(days.predicate()))
    return make_equal(lake, DIM_DATETIME, desired, within=days.on("date"), delete=True)


def _new(lake: Lake, changes: Changes, sql: str, of_events: Callable[[DataFrame], DataFrame]) -> Rows:
    """What new listens name: by the query of the few that are here, cleaned once for all; of many, what is named is
    made distinct first, and cleaned then."""
    change = changes.get(LISTENS)
    if change is None or change.here is None:
        return of_events(new_events(lake, changes, LISTENS))
    return evaluated(lake, sql, told=new_listens(lake, changes))


def _add(lake: Lake, table: Table, new: Rows) -> Written:
    """Add rows of keys that the table lacks."""
    none = table.arrow_schema.empty_table()
    if isinstance(new, DataFrame):
        new = lake.empty(table).unionByName(new, allowMissingColumns=True)
    return make_equal(lake, table, new, current=none)


def _reference_songs(lake: Lake) -> DataFrame:
    return dimensions.songs_of_reference(lake.read(REFERENCE_SONGS))


def _reference_artists(lake: Lake) -> DataFrame:
    return dimensions.artists_of_reference(lake.read(REFERENCE_SONGS))


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
