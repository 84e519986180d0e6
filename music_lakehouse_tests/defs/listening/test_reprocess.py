"""What messages of a stretch of time gave is computed again, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from pyspark.sql import Row as SparkRow

from music_lakehouse.defs.listening.gold_tables import FACT_STREAMS, GOLD
from music_lakehouse.defs.listening.parsing import parse_topic
from music_lakehouse.defs.listening.silver_tables import SILVER
from music_lakehouse.defs.listening.tables import BRONZE, QUARANTINE, RAW
from music_lakehouse.lakehouse.lake import Lake
from music_lakehouse.lakehouse.positions import Stretch
from music_lakehouse.lakehouse.repair import compute_again
from music_lakehouse.lakehouse.tables import Table
from music_lakehouse_tests.defs.listening.histories import SENT_MS, dirty_history, raw_row, run_steps
from music_lakehouse_tests.oracle.compare import assert_lake_equals_oracle
from music_lakehouse_tests.oracle.messages import Message

pytestmark = [pytest.mark.spark, pytest.mark.slow]

LISTENS = BRONZE["listen_events"]
EVERYTHING = [table.full_name for table in (*BRONZE.values(), QUARANTINE, *SILVER, *GOLD)]
SENT = datetime.fromtimestamp(SENT_MS / 1000, timezone.utc)


def follow(lake: Lake, reference_root: Path) -> None:
    lake.expect(0)
    for topic in RAW:
        parse_topic(lake, topic, max_bytes="64m")
    run_steps(lake, reference_root)


def read_into_raw(lake: Lake, messages: Sequence[Message]) -> None:
    for topic, table in RAW.items():
        lake.create(table)
        rows = [raw_row(message) for message in messages if message.event_name == topic]
        lake.append(lake.spark.createDataFrame(rows, table.ddl), table)


def damage(lake: Lake, table: Table, assignment: str, where: str) -> int:
    """Change rows by hand; return how many."""
    lake.spark.sql(f"UPDATE delta.`{lake.path(table)}` SET {assignment} WHERE {where}")
    return len(matching(lake, table, assignment))


def matching(lake: Lake, table: Table, condition: str) -> list[SparkRow]:
    return lake.read(table).where(condition).collect()


def versions(lake: Lake) -> dict[str, int]:
    states = {table.full_name: lake.state(table) for table in (*BRONZE.values(), QUARANTINE, *SILVER, *GOLD)}
    return {name: state.version for name, state in states.items() if state}


@pytest.mark.timeout(600)
def test_a_stretch_of_time_is_computed_again_from_raw_to_gold_and_the_rest_stays(
    lake: Lake, tmp_path: Path, seed: int
) -> None:
    messages = [
        message._replace(kafka_timestamp_ms=SENT_MS + 1000 * number)
        for number, message in enumerate(dirty_history(seed, events=50))
    ]
    middle = SENT + timedelta(seconds=len(messages) // 2)
    stretch, later = Stretch(SENT, middle), Stretch(middle, SENT + timedelta(days=1))
    within, behind = (f"kafka_timestamp {sign} TIMESTAMP '{middle:%Y-%m-%d %H:%M:%S}'" for sign in ("<", ">="))
    bronze = [table.full_name for table in BRONZE.values()]
    read_into_raw(lake, messages)
    follow(lake, tmp_path)

    spoilt = damage(lake, LISTENS, "city = 'Wrong'", "true")
    lake.spark.sql(f"DELETE FROM delta.`{lake.path(QUARANTINE)}` WHERE {within}")
    lake.spark.sql(f"DELETE FROM delta.`{lake.path(BRONZE['page_view_events'])}` WHERE {within} AND kafka_offset < 9")
    told = compute_again(lake, bronze, stretch)
    assert set(told) == {*EVERYTHING} - {QUARANTINE.full_name}
    follow(lake, tmp_path)
    assert 0 < len(matching(lake, LISTENS, f"city = 'Wrong' AND {behind}")) < spoilt
    assert matching(lake, LISTENS, f"city = 'Wrong' AND {within}") == []

    spoilt = damage(lake, FACT_STREAMS, "duration = -1", "true")
    compute_again(lake, bronze, later)
    follow(lake, tmp_path)
    assert 0 < len(matching(lake, FACT_STREAMS, "duration = -1")) < spoilt, "those of the earlier messages"
    compute_again(lake, [FACT_STREAMS.full_name], stretch)
    follow(lake, tmp_path)
    assert_lake_equals_oracle(lake.root, messages, tmp_path, EVERYTHING)

    before = versions(lake)
    compute_again(lake, bronze, stretch)
    follow(lake, tmp_path)
    assert versions(lake) == before, "where nothing differs, nothing is written"
