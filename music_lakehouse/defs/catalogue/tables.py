"""The catalogue tables' declarations."""

from __future__ import annotations

from dataclasses import replace

from music_lakehouse.defs.catalogue.entities import (
    ARTISTS,
    DATES,
    DIMENSIONS,
    ENTITIES,
    OF_A_STREAM,
    STREAMS,
    TRACKS,
    UPDATED_AT,
    USERS,
    Entity,
)
from music_lakehouse.defs.catalogue.source import SOURCE_TABLES, directory_of
from music_lakehouse.lakehouse.file_ingest import FILE_COLUMNS, FILE_KEY, RESCUED
from music_lakehouse.lakehouse.landing import DELETED, EXTRACTED_AT
from music_lakehouse.lakehouse.tables import Column, Sources, Table, columns_of, traced

_BY_NAME = {entity.name: entity for entity in ENTITIES}
_MARKS = (
    Column(DELETED, "BOOLEAN", "the row is gone at the source; then only its key is filled"),
    Column(EXTRACTED_AT, "TIMESTAMP", "when the load that brought it began, UTC; later for later loads"),
)


def _bronze(name: str) -> Table:
    """Of a table that no entity stands for, the columns are those that its files bring along."""
    source = SOURCE_TABLES[name]
    declared = _BY_NAME[name].columns if name in _BY_NAME else ()
    has_pii = any(column.pii for column in declared)
    rescued = "what of the row didn't fit its columns' types, as JSON by the column's name"
    of_the_file = [replace(c, comment=rescued, pii=has_pii) if c.name == RESCUED else c for c in FILE_COLUMNS]
    return Table(
        layer="bronze",
        name=name,
        description=f"One row a row of a file in {directory_of(source)}: a new or changed row of the source's "
        f"{source.name}, or one that is gone there. Each file once. A column that the source adds is added.",
        columns=(*declared, *_MARKS, *of_the_file),
        key=FILE_KEY,
    )


BRONZE: dict[str, Table] = {name: _bronze(name) for name in SOURCE_TABLES}
"""The bronze tables, by name: one a table of the source."""


def _of_bronze(*names: str) -> Sources:
    return tuple(source for entity in ENTITIES for source in columns_of(BRONZE[entity.name], *names))


_WHOLE_ROWS = tuple(
    source
    for entity in ENTITIES
    for source in columns_of(BRONZE[entity.name], *entity.column_names, RESCUED, EXTRACTED_AT)
)
_PLACE = tuple(column for column in FILE_COLUMNS if column.name != RESCUED)

QUARANTINE = Table(
    layer="bronze",
    name="quarantine_catalogue",
    description="One row a landed row that silver refuses, with all the reasons. bronze has it too, as it landed.",
    columns=traced(
        (
            Column("table", "STRING", "the table of the source"),
            *_PLACE,
            Column("row", "STRING", "the row: its columns as JSON, with what was rescued of them", pii=True),
            Column("reasons", "ARRAY<STRING>", "the names of all rules that the row breaks"),
        ),
        {
            "table": _of_bronze(FILE_KEY[0]),
            **{column.name: _of_bronze(column.name) for column in _PLACE},
            "row": _WHOLE_ROWS,
            "reasons": _WHOLE_ROWS,
        },
    ),
    key=FILE_KEY,
)


def _silver(entity: Entity) -> Table:
    return Table(
        layer="silver",
        name=entity.name,
        description=f"One row a {entity.noun} that the database has: as it was read last, of valid rows. What lands "
        "again as it was changes nothing; what is deleted at the source is gone.",
        columns=traced(entity.columns, {name: columns_of(BRONZE[entity.name], name) for name in entity.column_names}),
        key=(entity.key,),
    )


SILVER: dict[Entity, Table] = {entity: _silver(entity) for entity in ENTITIES}


def version_key(entity: Entity) -> str:
    """The name of the column that identifies a version: `user_version_key` of users."""
    return f"{entity.noun}_version_key"


def shown_columns(entity: Entity) -> list[str]:
    """The columns of which a change begins a new version: all but the key and the time of the change."""
    return [name for name in entity.column_names if name not in (entity.key, UPDATED_AT)]


def _dimension(entity: Entity) -> Table:
    noun, bronze = entity.noun, BRONZE[entity.name]
    named = {column.name: column for column in entity.columns}
    told_by = columns_of(bronze, UPDATED_AT, DELETED, EXTRACTED_AT)
    return Table(
        layer="gold",
        name=f"catalogue_dim_{noun}",
        description=f"Slowly changing dimension type 2: one row a version of the {noun}, half-open, without overlap; "
        "without gap but where it was deleted. Told by all landed rows, whatever the order in which their files were "
        "read.",
        columns=traced(
            (
                Column(
                    version_key(entity),
                    "STRING",
                    f"the version: key of {entity.key} and start_at (microseconds)",
                    pseudonym=entity is USERS,
                ),
                *(named[name] for name in (entity.key, *shown_columns(entity))),
                Column("start_at", "TIMESTAMP", "from when it holds: updated_at of the row that began it, UTC"),
                Column("end_at", "TIMESTAMP", "until when it holds, exclusive, UTC; null while it does"),
                Column("is_current", "BOOLEAN", "whether it holds now"),
                Column("is_deleted", "BOOLEAN", f"whether it ended because the {noun} was deleted at the source"),
            ),
            {
                version_key(entity): columns_of(bronze, entity.key, UPDATED_AT),
                **{name: columns_of(bronze, name) for name in entity.column_names},
                "start_at": columns_of(bronze, UPDATED_AT),
                **dict.fromkeys(("end_at", "is_current", "is_deleted"), told_by),
            },
        ),
        key=(version_key(entity),),
    )


DIMENSION_TABLES: dict[Entity, Table] = {entity: _dimension(entity) for entity in DIMENSIONS}

DIM_DATE = Table(
    layer="gold",
    name="catalogue_dim_date",
    description="One row a day that the database has.",
    columns=traced(DATES.columns, {name: columns_of(SILVER[DATES], name) for name in DATES.column_names}),
    key=(DATES.key,),
)

FACT_STREAM = Table(
    layer="gold",
    name="catalogue_fact_stream",
    description="One row a stream, with the versions of its user, its track and the track's artist that held at "
    "stream_timestamp, the first ones where it is older. What has not come yet is null, and filled in when it does.",
    columns=traced(
        (
            *STREAMS.columns,
            *(
                Column(
                    version_key(entity),
                    "STRING",
                    f"the version of the {entity.noun}: {DIMENSION_TABLES[entity].full_name}; null where none held",
                    pseudonym=entity is USERS,
                )
                for entity in OF_A_STREAM
            ),
        ),
        {
            **{name: columns_of(SILVER[STREAMS], name) for name in STREAMS.column_names},
            **{version_key(e): columns_of(DIMENSION_TABLES[e], version_key(e)) for e in (USERS, TRACKS)},
            version_key(ARTISTS): (
                *columns_of(DIMENSION_TABLES[TRACKS], "artist_id"),
                *columns_of(DIMENSION_TABLES[ARTISTS], version_key(ARTISTS)),
            ),
        },
    ),
    key=(STREAMS.key,),
)

TABLES: dict[str, Table] = {
    table.full_name: table
    for table in (
        *BRONZE.values(),
        QUARANTINE,
        *SILVER.values(),
        *DIMENSION_TABLES.values(),
        DIM_DATE,
        FACT_STREAM,
    )
}
"""All tables of the catalogue pipeline, by their full names."""
