"""A small sound lake written without Spark, from what the oracle makes of a few messages; and its repair and damage."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import Literal

import pyarrow as pa
from deltalake import write_deltalake

from music_lakehouse.defs.listening.catalog import TABLES
from music_lakehouse.lakehouse.lake import LakePaths
from music_lakehouse.lakehouse.tables import Table
from music_lakehouse_tests.oracle.examples import ANNA, OSLO, event, listen, messages
from music_lakehouse_tests.oracle.tables import tables_of
from music_lakehouse_tests.oracle.values import Row, Tables

SONGS = "song_id,title,artist_name,duration,artist_id\nS1,Tune,Band,180.5,A1\nS2,Air,Band,200,A1\n"
STATES = "stateCode,stateName\nNY,New York\n"
NIGHT = 12 * 3_600_000 - 1_800_000
"""From noon to half an hour before midnight."""


def sound_tables(directory: Path) -> Tables:
    """All tables of a few messages: two users, three days, one message in quarantine."""
    songs, states = directory / "songs.csv", directory / "state_codes.csv"
    songs.write_text(SONGS)
    states.write_text(STATES)
    bert: Row = {"userId": 8, "firstName": "Bert", "lastName": "Dahl", "gender": "M"}
    sent = messages(
        [
            listen(0),
            listen(NIGHT, 1, song="Air", level="paid"),
            listen(NIGHT + 3_600_000, 2, level="paid"),
            listen(NIGHT + 90_000_000, 3, level="paid", session=2),
            listen(5000, 0, session=3, **bert),
        ],
        page_views=[event(0, 0, page="NextSong", **ANNA, **OSLO), event(60_000, 4, page="Home")],
        auths=[event(1000, 1, success=True, **bert), {"ts": 1}],
        status_changes=[event(NIGHT - 1000, 9, level="free", **ANNA)],
    )
    return tables_of(
        [each._replace(kafka_timestamp_ms=each.kafka_timestamp_ms + 864_000_000) for each in sent], songs, states
    )


def write(
    lake: LakePaths, table: Table, rows: list[Row], *, mode: Literal["overwrite", "append"] = "overwrite"
) -> None:
    """Make the rows the table's only ones, or add them, in one commit with a change feed."""
    now = datetime.now(timezone.utc)
    late = {"ingestion_timestamp": now, "ingestion_date": now.date(), "_change_type": None}
    content = [{name: row.get(name, late.get(name)) for name in table.column_names} for row in rows]
    write_deltalake(
        lake.path(table),
        pa.Table.from_pylist(content, schema=table.arrow_schema),
        mode=mode,
        partition_by=list(table.partition_by) or None,
        configuration={"delta.enableChangeDataFeed": "true"},
    )


def write_all(lake: LakePaths, tables: Tables) -> None:
    for name, rows in tables.items():
        write(lake, TABLES[name], rows)
