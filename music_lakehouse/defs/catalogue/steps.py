"""The keyed steps of the catalogue tables: which keys changes touch, and what is read for them.

Of new landed rows only the keys count: what the database held of these is told anew from all their landed rows. So
files may be read in any order and in any batches. Keys that are new lie behind those that are known, so that of the
streams hardly more than the new rows is read.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pyarrow as pa
from pyspark.sql import DataFrame

from music_lakehouse.defs.catalogue.entities import (
    ARTISTS,
    DATES,
    ENTITIES,
    OF_A_STREAM,
    STREAMS,
    TRACKS,
    USERS,
    Entity,
)
from music_lakehouse.defs.catalogue.tables import BRONZE, DIM_DATE, DIMENSION_TABLES, FACT_STREAM, QUARANTINE, SILVER
from music_lakehouse.defs.catalogue.transforms import rows, streams
from music_lakehouse.defs.catalogue.transforms.history import versions
from music_lakehouse.lakehouse.changes import Change, Changes
from music_lakehouse.lakehouse.expectations import JUDGED
from music_lakehouse.lakehouse.lake import Lake
from music_lakehouse.lakehouse.query import keyed, keys_within, query
from music_lakehouse.lakehouse.ranges import Range
from music_lakehouse.lakehouse.refused import follow_refused
from music_lakehouse.lakehouse.scd2 import changed_stretches
from music_lakehouse.lakehouse.steps import Step
from music_lakehouse.lakehouse.tables import Table
from music_lakehouse.lakehouse.upsert import Written, make_equal


def judged_changes(change: Change, entity: Entity) -> DataFrame:
    """The landed rows that a change of bronze brought, judged; where few are expected, once for all that asks."""
    return change.inserted_as(JUDGED, partial(rows.judged, entity=entity))


def _refused(change: Change, entity: Entity) -> DataFrame:
    return rows.refused(judged_changes(change, entity), entity)


def _update_quarantine(lake: Lake, changes: Changes) -> Written:
    return follow_refused(lake, QUARANTINE, changes, {BRONZE[e.name]: partial(_refused, entity=e) for e in ENTITIES})


def _follow_landed(
    entity: Entity, table: Table, tell: Callable[[DataFrame, Entity], DataFrame], lake: Lake, changes: Changes
) -> Written:
    """Makes the table equal to what `tell` says of all valid landed rows, for the keys that new ones touch."""
    change = changes.get(BRONZE[entity.name])
    if change is None or changes.full:
        landed = lake.read(BRONZE[entity.name])
        return make_equal(lake, table, tell(rows.valid(rows.judged(landed, entity), entity), entity), delete=True)
    keys = rows.valid(judged_changes(change, entity), entity).select(entity.key).distinct()
    within = Range.of(keys, entity.key)
    if within is None:
        return Written()
    concerned = partial(keyed, lake, keys=keys, within=within)
    told = tell(rows.valid(rows.judged(concerned(BRONZE[entity.name]), entity), entity), entity)
    return make_equal(lake, table, told, current=concerned(table), within=within, delete=True)


def _update_dim_date(lake: Lake, changes: Changes) -> Written:
    change = changes.get(SILVER[DATES])
    if change is None or changes.full:
        return make_equal(lake, DIM_DATE, lake.read(SILVER[DATES]), delete=True)
    keys = change.rows.select(DATES.key).distinct()
    within = Range.of(keys, DATES.key)
    if within is None:
        return Written()
    days, current = (keyed(lake, table, keys, within) for table in (SILVER[DATES], DIM_DATE))
    return make_equal(lake, DIM_DATE, days, current=current, within=within, delete=True)


def _update_fact_stream(lake: Lake, changes: Changes) -> Written:
    dimensions = [lake.read(DIMENSION_TABLES[entity]) for entity in (USERS, TRACKS, ARTISTS)]
    if changes.full:
        return make_equal(lake, FACT_STREAM, streams.fact_streams(lake.read(SILVER[STREAMS]), *dimensions), delete=True)
    keys = lake.frame(_touched_streams(lake, changes)).persist()
    try:
        within = Range.of(keys, STREAMS.key)
        if within is None:
            return Written()
        concerned, current = (keyed(lake, table, keys, within) for table in (SILVER[STREAMS], FACT_STREAM))
        desired = streams.fact_streams(concerned, *dimensions)
        return make_equal(lake, FACT_STREAM, desired, current=current, within=within, delete=True)
    finally:
        keys.unpersist()


def _touched_streams(lake: Lake, changes: Changes) -> pa.Table:
    """The stream_id of streams that changed, or for which another version of their user, track or artist may hold."""
    found = []
    change = changes.get(SILVER[STREAMS])
    if change is not None:
        found.append(change.rows.select(STREAMS.key).distinct().toArrow())
    for entity in OF_A_STREAM:
        table = DIMENSION_TABLES[entity]
        change = changes.get(table)
        if change is not None:
            stretches = changed_stretches(change.rows, lake.read(table), key=entity.key, start="start_at", end="end_at")
            found.append(_streams_within(lake, entity, stretches.toArrow()))
    schema = pa.schema([SILVER[STREAMS].arrow_schema.field(STREAMS.key)])
    ids = pa.concat_tables([schema.empty_table(), *(each.cast(schema) for each in found)])
    return ids.group_by(STREAMS.key).aggregate([])


def _streams_within(lake: Lake, entity: Entity, stretches: pa.Table) -> pa.Table:
    """The stream_id of the streams that fall into the stretches of time of their users, tracks or artists."""
    of = entity.key
    if entity is ARTISTS:
        # Whatever artist a track has at some time: a stream too many is looked at in vain.
        of = TRACKS.key
        sql = f"SELECT DISTINCT {of}, since, until FROM {{stretches}} JOIN {{tracks}} USING ({entity.key})"
        stretches = query(lake, sql, tracks=DIMENSION_TABLES[TRACKS], stretches=stretches)
    return keys_within(lake, SILVER[STREAMS], stretches, of=of, at="stream_timestamp")


STEPS: dict[Table, Step] = {
    step.table: step
    for step in (
        Step(QUARANTINE, tuple(BRONZE[entity.name] for entity in ENTITIES), _update_quarantine),
        *(
            Step(table, (BRONZE[entity.name],), partial(_follow_landed, entity, table, rows.latest))
            for entity, table in SILVER.items()
        ),
        # Silver shows the last state only; what held between two loads the landed rows tell.
        *(
            Step(
                table, (BRONZE[entity.name],), partial(_follow_landed, entity, table, versions), after=(SILVER[entity],)
            )
            for entity, table in DIMENSION_TABLES.items()
        ),
        Step(DIM_DATE, (SILVER[DATES],), _update_dim_date),
        Step(
            FACT_STREAM,
            (SILVER[STREAMS], *(DIMENSION_TABLES[entity] for entity in OF_A_STREAM)),
            _update_fact_stream,
            reads_all=True,
        ),
    )
}
"""The step of each table, by table, in an order in which they may run."""
