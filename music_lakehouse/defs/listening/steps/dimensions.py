"""The steps of dim_songs, dim_artists, dim_location and dim_datetime."""

from __future__ import annotations

from music_lakehouse.defs.listening.silver_tables import (
    DIM_ARTISTS,
    DIM_DATETIME,
    DIM_LOCATION,
    DIM_SONGS,
    UNKNOWN_KEY,
)
from music_lakehouse.defs.listening.steps.sources import LISTENS, new_listens, of_listens
from music_lakehouse.defs.listening.tables import REFERENCE_SONGS, REFERENCE_STATES
from music_lakehouse.defs.listening.transforms import dimensions
from music_lakehouse.lakehouse.changes import Changes
from music_lakehouse.lakehouse.days import Days, days_of
from music_lakehouse.lakehouse.lake import Lake, Rows
from music_lakehouse.lakehouse.query import distinct, evaluated, has_rows, keyed
from music_lakehouse.lakehouse.steps import Step
from music_lakehouse.lakehouse.tables import Table
from music_lakehouse.lakehouse.upsert import Written, make_equal


def _update_dim_songs(lake: Lake, changes: Changes) -> Written:
    if changes.full:
        every_song = dimensions.with_unknown_member(dimensions.DIM_SONGS_ROWS, DIM_SONGS)
        return make_equal(
            lake, DIM_SONGS, of_listens(lake, LISTENS, every_song, reference=REFERENCE_SONGS), delete=True
        )
    new = of_listens(lake, new_listens(changes), dimensions.SONGS)
    edited = _edited_keys(lake, changes, REFERENCE_SONGS, "songKey")
    if edited is None:
        # The reference didn't change: its songs are as they were.
        sql = "SELECT n.* FROM {new} AS n ANTI JOIN {reference} AS r ON n.songKey = r.songKey"
        new = evaluated(lake, sql, new=new, reference=REFERENCE_SONGS)
    keys = evaluated(lake, "SELECT songKey FROM {new}", new=new)
    if edited is None and changes.only_added(LISTENS):
        # Of the others the dimension is what was told.
        current = keyed(lake, DIM_SONGS, keys)
        desired = _of_known_and_new(lake, dimensions.SONGS, "songKey, title, artistName, duration", current, new)
        return make_equal(lake, DIM_SONGS, desired, current=current)
    return _tell_again(lake, DIM_SONGS, distinct(lake, "songKey", keys, edited), dimensions.DIM_SONGS_ROWS)


def _update_dim_artists(lake: Lake, changes: Changes) -> Written:
    if changes.full:
        every_artist = dimensions.with_unknown_member(dimensions.DIM_ARTISTS_ROWS, DIM_ARTISTS)
        desired = of_listens(lake, LISTENS, every_artist, reference=REFERENCE_SONGS)
        return make_equal(lake, DIM_ARTISTS, desired, delete=True)
    new = of_listens(lake, new_listens(changes), dimensions.ARTISTS)
    edited = _edited_keys(lake, changes, REFERENCE_SONGS, "artistKey")
    if edited is None and changes.only_added(LISTENS):
        sql = "SELECT n.* FROM {new} AS n ANTI JOIN {known} AS k ON n.artistKey = k.artistKey"
        return _add(lake, DIM_ARTISTS, evaluated(lake, sql, new=new, known=DIM_ARTISTS))
    return _tell_again(lake, DIM_ARTISTS, distinct(lake, "artistKey", new, edited), dimensions.DIM_ARTISTS_ROWS)


def _update_dim_location(lake: Lake, changes: Changes) -> Written:
    every_place = dimensions.NAMED_PLACES.replace("{places}", f"({dimensions.PLACES})")
    if changes.full:
        sql = dimensions.with_unknown_member(every_place, DIM_LOCATION)
        return make_equal(lake, DIM_LOCATION, of_listens(lake, LISTENS, sql, states=REFERENCE_STATES), delete=True)
    touched = of_listens(lake, new_listens(changes), dimensions.PLACES)
    keys = evaluated(lake, "SELECT locationKey FROM {touched}", touched=touched)
    renamed = _edited_keys(lake, changes, REFERENCE_STATES, "stateCode")
    if renamed is not None:
        sql = f"""
            SELECT locationKey FROM (SELECT locationKey, {dimensions.STATE_CODE} AS code FROM {{known}}) AS k
            SEMI JOIN {{renamed}} AS r ON k.code = r.stateCode WHERE locationKey <> '{UNKNOWN_KEY}'
        """
        in_renamed = evaluated(lake, sql, known=DIM_LOCATION, renamed=renamed)
        keys = distinct(lake, "locationKey", keys, in_renamed)
    current = keyed(lake, DIM_LOCATION, keys)
    if changes.only_added(LISTENS):
        # Of names that share a key the first counts, whether it was told before or now.
        columns = ", ".join(("locationKey", *dimensions.PARTS))
        told = _of_known_and_new(lake, dimensions.PLACES, columns, current, touched)
    else:
        told = of_listens(lake, LISTENS, _semi_join(dimensions.PLACES, "locationKey"), keys=keys)
    desired = evaluated(lake, dimensions.NAMED_PLACES, places=told, states=REFERENCE_STATES)
    return make_equal(lake, DIM_LOCATION, desired, current=current, delete=True)


def _update_dim_datetime(lake: Lake, changes: Changes) -> Written:
    if changes.full:
        return make_equal(lake, DIM_DATETIME, of_listens(lake, LISTENS, dimensions.HOURS), delete=True)
    new = new_listens(changes)
    if changes.only_added(LISTENS):
        sql = f"SELECT n.* FROM ({dimensions.HOURS}) AS n ANTI JOIN {{known}} AS k ON n.dateKey = k.dateKey"
        return _add(lake, DIM_DATETIME, of_listens(lake, new, sql, known=DIM_DATETIME))
    days = Days.of("ts", days_of(new, "timestamp"))
    on_days = dimensions.HOURS.replace("{told}", f"(SELECT * FROM {{told}} AS t WHERE {days.predicate(quote='')})")
    desired = of_listens(lake, LISTENS, on_days)
    return make_equal(lake, DIM_DATETIME, desired, within=days.on("date"), delete=True)


def _of_known_and_new(lake: Lake, sql: str, columns: str, known: Rows, new: Rows) -> Rows:
    """What the query gives of what a dimension knows and what is told now."""
    both = " UNION ALL ".join(f"SELECT {columns} FROM {{{name}}}" for name in ("known", "new"))
    return evaluated(lake, sql.replace("{told}", f"({both})"), known=known, new=new)


def _tell_again(lake: Lake, table: Table, keys: Rows, sql: str) -> Written:
    """Make the rows of these keys what the reference file and all listens tell of them."""
    desired = of_listens(lake, LISTENS, _semi_join(sql, table.key[0]), reference=REFERENCE_SONGS, keys=keys)
    return make_equal(lake, table, desired, current=keyed(lake, table, keys), delete=True)


def _semi_join(sql: str, key: str) -> str:
    return f"SELECT r.* FROM ({sql}) AS r SEMI JOIN {{keys}} AS k ON r.{key} = k.{key}"


def _add(lake: Lake, table: Table, new: Rows) -> Written:
    """Add rows of keys that the table lacks."""
    return make_equal(lake, table, new, current=table.arrow_schema.empty_table()) if has_rows(new) else Written()


def _edited_keys(lake: Lake, changes: Changes, source: Table, key: str) -> Rows | None:
    """The keys of the source's rows that came, went or changed; None where none did."""
    change = changes.get(source)
    return distinct(lake, key, change.found) if change else None


STEPS = (
    Step(DIM_SONGS, (LISTENS, REFERENCE_SONGS), _update_dim_songs),
    Step(DIM_ARTISTS, (LISTENS, REFERENCE_SONGS), _update_dim_artists),
    Step(DIM_LOCATION, (LISTENS, REFERENCE_STATES), _update_dim_location),
    Step(DIM_DATETIME, (LISTENS,), _update_dim_datetime),
)
