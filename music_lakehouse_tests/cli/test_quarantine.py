from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from music_lakehouse.cli import held
from music_lakehouse.defs.catalog import LANDED_PIPELINES, QUARANTINES
from music_lakehouse.lakehouse.delta import TableState
from music_lakehouse.lakehouse.lake import LakePaths
from music_lakehouse.lakehouse.locks import LakeLock
from music_lakehouse.lakehouse.positions import read_positions, record_source_position
from music_lakehouse_tests.cli.conftest import Command
from music_lakehouse_tests.waiting import lent

MOMENT = datetime(2024, 3, 1, 12, tzinfo=timezone.utc)


def message(offset: int, *reasons: str, topic: str = "listen_events") -> dict[str, Any]:
    return {
        "topic": topic,
        "kafka_topic_id": "id",
        "kafka_partition": 0,
        "kafka_offset": offset,
        "kafka_timestamp": MOMENT + timedelta(seconds=offset),
        "value": f"message {offset}",
        "reasons": list(reasons),
        "ingestion_timestamp": MOMENT,
    }


def row(number: int, *reasons: str, file: str = "customers/orders/a.csv") -> dict[str, Any]:
    return {
        "source_filename": file,
        "row_number": number,
        "date_added": MOMENT,
        "row": f"row {number}",
        "reasons": list(reasons),
    }


@pytest.fixture
def root(place: Path) -> Path:
    """A lake with three messages and two rows in quarantine."""
    lake = place / "data" / "lakehouse"
    messages = [message(0, "json_object"), message(1, "level_known", "ts_since_2000"), message(2, "level_known")]
    fill(lake, "streaming", messages)
    fill(lake, "customers", [row(1, "malformed"), row(2, "o_orderkey_unfit", file="customers/orders/b.csv")])
    return lake


def fill(lake: Path, pipeline: str, rows: list[dict[str, Any]]) -> None:
    table = QUARANTINES[pipeline]
    known = pa.Table.from_pylist(rows, schema=table.arrow_schema)
    write_deltalake(lake / table.layer / table.name, known)


def told(out: str) -> list[list[str]]:
    """The words of each line that has several."""
    return [line.split() for line in out.splitlines() if len(line.split()) > 3]


def test_each_pipeline_that_refuses_rows_has_one_quarantine() -> None:
    refusing: Mapping[str, list[str]] = {
        name: [table.full_name for table in tables.values() if "reasons" in table.column_names]
        for name, tables in LANDED_PIPELINES.items()
    }
    for pipeline, tables in refusing.items():
        assert [QUARANTINES[pipeline].full_name] == tables
    assert QUARANTINES["streaming"].full_name == "bronze.quarantine"
    assert QUARANTINES["customers"].full_name == "bronze.quarantine_customers"


def test_refused_rows_of_all_pipelines_are_counted_by_source_and_reason(command: Command, root: Path) -> None:
    ran = command("quarantine", "list")
    assert ran.code == 0
    counted = [tuple(words[:4]) for words in told(ran.out) if words[0] in QUARANTINES]
    assert counted == [
        ("streaming", "listen_events", "level_known", "2"),
        ("streaming", "listen_events", "json_object", "1"),
        ("streaming", "listen_events", "ts_since_2000", "1"),
        ("customers", "customers/orders", "malformed", "1"),
        ("customers", "customers/orders", "o_orderkey_unfit", "1"),
    ]
    assert "5 messages and rows are in quarantine" in ran.out


def test_of_a_lake_with_one_pipeline_only_its_quarantine_is_counted(command: Command, place: Path) -> None:
    fill(place / "data" / "lakehouse", "customers", [row(1, "malformed")])
    assert "1 messages and rows are in quarantine" in command("quarantine", "list").out


def test_without_a_quarantine_it_is_said_how_to_get_one(command: Command, place: Path) -> None:
    ran = command("quarantine", "list")
    assert ran.code == 1
    assert "has no quarantine yet" in ran.error


def test_rows_of_a_pipeline_are_shown_with_their_reasons(command: Command, root: Path) -> None:
    of_customers = command("quarantine", "show", "--pipeline", "customers", "--reason", "malformed").out
    assert "row 1" in of_customers
    assert "row 2" not in of_customers
    of_kafka = command("quarantine", "show", "--limit", "1").out
    assert "message 2" in of_kafka, "the newest first"
    assert "message 1" not in of_kafka
    assert "message 0" in command("quarantine", "show", "--topic", "listen_events").out


def test_what_a_pipeline_does_not_have_cannot_be_asked_for(command: Command, root: Path) -> None:
    nobody = command("quarantine", "show", "--pipeline", "nobody")
    assert nobody.code == 2
    assert "nobody has no quarantine: streaming, customers" in nobody.error
    assert (
        "customers has no topics"
        in command("quarantine", "retry", "--pipeline", "customers", "--topic", "listen_events").error
    )


def test_what_a_lake_does_not_have_yet_is_said_with_what_makes_it(command: Command, place: Path) -> None:
    fill(place / "data" / "lakehouse", "customers", [row(1, "malformed")])
    ran = command("quarantine", "show")
    assert ran.code == 1
    assert "has no bronze.quarantine yet: `music-lakehouse run streaming_pipeline` makes it" in ran.error
    assert "`music-lakehouse quarantine list`" in ran.error


def test_a_pipeline_may_be_typed_as_commands_are(command: Command, place: Path) -> None:
    fill(place / "data" / "lakehouse", "heart_rate", [row(1, "mrn_missing", file="heart_rate/recordings/a.json")])
    assert "mrn_missing" in command("quarantine", "show", "--pipeline", "heart-rate").out


def test_retry_lets_the_next_run_of_a_pipeline_judge_all_that_landed(command: Command, root: Path) -> None:
    lake, taken = LakePaths(str(root)), TableState("id", 7)
    for step, source in (("silver.orders", "bronze.orders_raw"), ("gold.fact_sales", "silver.orders")):
        record_source_position(lake, step, source, taken)
    ran = command("quarantine", "retry", "--pipeline", "customers")
    assert ran.code == 0
    assert "2 rows of customers are judged again by `music-lakehouse run customers_pipeline`" in ran.out
    assert read_positions(lake, "silver.orders") == {}
    assert read_positions(lake, "gold.fact_sales") == {"silver.orders": taken}, "it follows what silver changes"


def test_retry_waits_for_a_run_that_lends_the_lake(command: Command, root: Path) -> None:
    with lent(str(root), "run-17"):
        ran = command("quarantine", "retry", "--pipeline", "customers")
    assert ran.code == 0, ran.err
    assert "Waiting for the lake, which is held by run run-17" in ran.err


def test_retry_refuses_while_a_run_holds_the_lake(
    command: Command, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held, "WAIT_SECONDS", 0.1)
    lock = LakeLock(str(root))
    lock.acquire("run-17")
    try:
        assert "held by run run-17" in command("quarantine", "retry", "--pipeline", "customers").error
    finally:
        lock.release()


def test_of_an_empty_quarantine_nothing_is_tried_again(command: Command, place: Path) -> None:
    fill(place / "data" / "lakehouse", "customers", [])
    assert "there is nothing to try again" in command("quarantine", "retry", "--pipeline", "customers").out
