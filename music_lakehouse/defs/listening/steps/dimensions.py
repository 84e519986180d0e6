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
from music_lakehouse.defs.listening.steps.sources import LISTENS, new_listens
from music_lakehouse.defs.listening.tables import REFERENCE_SONGS, REFERENCE_STATES
from music_lakehouse.defs.listening.transforms import dimensions
from music_lakehouse.defs.listening.transforms.listens import cleaned_listens
from music_lakehouse.lakehouse.changes import Changes
from music_lakehouse.lakehouse.lake import Lake
from music_lakehouse.lakehouse.steps import Step
from music_lakehouse.lakehouse.tables import Table
from music_lakehouse.lakehouse.upsert import Written, make_equal


def _update_dim_songs(lake: Lake, changes: Changes) -> Written:
    new = dimensions.songs_of_events(new_listens(lake, changes))
    edited = _edited_keys(changes, REFERENCE_SONGS, "songKey")
    known = lake.read(DIM_SONGS)
    reference = dimensions.songs_of_reference(lake.read(REFERENCE_SONGS))
    if edited is None:
        keys = new.select("songKey")
        # The reference didn't change, so that a song without its row in it has been told by events alone.
        told = known.join(keys, "songKey", "left_semi").select("songKey", "title", "artistName", "duration")
    else:
        keys = new.select("songKey").union(edited).distinct()
        told = dimensions.songs_of_events(cleaned_listens(lake.read(LISTENS)))
    told = told.unionByName(new).join(keys, "songKey", "left_semi")
    of_events = dimensions.one_row_a_song(told)
    desired = dimensions.dim_songs(reference.join(keys, "songKey", "left_semi"), of_events)
    unknown = dimensions.unknown_member(known, "songKey", "title", "artistName")
    current = known.join(keys.union(unknown.select("songKey")), "songKey", "left_semi")
    return make_equal(lake, DIM_SONGS, desired.unionByName(unknown), current=current, delete=edited is not None)


def _update_dim_artists(lake: Lake, changes: Changes) -> Written:
    new = dimensions.artists_of_events(new_listens(lake, changes))
    edited = _edited_keys(changes, REFERENCE_SONGS, "artistKey")
    known = lake.read(DIM_ARTISTS)
    reference = dimensions.artists_of_reference(lake.read(REFERENCE_SONGS))
    if edited is None:
        keys, told = new.select("artistKey"), new
    else:
        keys = new.select("artistKey").union(edited).distinct()
        told = dimensions.artists_of_events(cleaned_listens(lake.read(LISTENS)))
        told = told.join(keys, "artistKey", "left_semi")
    desired = dimensions.dim_artists(reference.join(keys, "artistKey", "left_semi"), told)
    unknown = dimensions.unknown_member(known, "artistKey", "name")
    current = known.join(keys.union(unknown.select("artistKey")), "artistKey", "left_semi")
    return make_equal(lake, DIM_ARTISTS, desired.unionByName(unknown), current=current, delete=edited is not None)


def _update_dim_location(lake: Lake, changes: Changes) -> Written:
    new = dimensions.places_of_events(new_listens(lake, changes))
    known = lake.read(DIM_LOCATION)
    renamed = _edited_keys(changes, REFERENCE_STATES, "stateCode")
    touched = new
    if renamed is not None:
        codes = renamed.select(F.col("stateCode").alias("_code"))
        affected = known.where(F.col("locationKey") != UNKNOWN_KEY).join(
            codes, dimensions.state_code("stateCode") == F.col("_code"), "left_semi"
        )
        touched = dimensions.one_row_a_place(new.unionByName(affected.select(*new.columns)))
    unknown = dimensions.unknown_member(known, "locationKey", "city", "stateName")
    desired = dimensions.dim_location(touched, lake.read(REFERENCE_STATES)).unionByName(unknown)
    return make_equal(lake, DIM_LOCATION, desired)


def _update_dim_datetime(lake: Lake, changes: Changes) -> Written:
    return make_equal(lake, DIM_DATETIME, dimensions.dim_datetime(new_listens(lake, changes)))


def _edited_keys(changes: Changes, source: Table, key: str) -> DataFrame | None:
    """The keys of the source's rows that came, went or changed; None where none did."""
    change = changes.get(source)
    return change.rows.where(F.col(key).isNotNull()).select(key).distinct() if change else None


STEPS = (
    Step(DIM_SONGS, (LISTENS, REFERENCE_SONGS), _update_dim_songs),
    Step(DIM_ARTISTS, (LISTENS, REFERENCE_SONGS), _update_dim_artists),
    Step(DIM_LOCATION, (LISTENS, REFERENCE_STATES), _update_dim_location),
    Step(DIM_DATETIME, (LISTENS,), _update_dim_datetime),
)
