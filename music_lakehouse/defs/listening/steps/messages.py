"""Which rows of the listening tables messages of a stretch of time gave."""

from __future__ import annotations

from pyspark.sql import DataFrame

from music_lakehouse.defs.listening.gold_tables import FACT_STREAMS, WIDE_STREAMS
from music_lakehouse.defs.listening.parsing import KAFKA_TIME
from music_lakehouse.defs.listening.steps.sources import ALL_BRONZE, LISTENS
from music_lakehouse.lakehouse.days import Days, days_of
from music_lakehouse.lakehouse.lake import Lake
from music_lakehouse.lakehouse.positions import Stretch
from music_lakehouse.lakehouse.tables import Table


def rows_of_messages(lake: Lake, table: Table, stretch: Stretch) -> DataFrame | None:
    """The table's rows that messages gave which Kafka took in the stretch of time; None of a table whose rows come from
    many messages."""
    if table in ALL_BRONZE:
        return lake.read(table).where(stretch.of(KAFKA_TIME).predicate())
    if table not in (FACT_STREAMS, WIDE_STREAMS):
        return None
    listens = lake.read(LISTENS).where(stretch.of(KAFKA_TIME).predicate()).select("event_id", "timestamp").distinct()
    days = Days.of("date_part", days_of(listens, "timestamp"))
    return lake.read(table).where(days.predicate()).join(listens.select("event_id"), "event_id", "left_semi")
