"""What the page "Is it well?" asks: of logs, of the bookkeeping, and of a real Kafka broker."""

from __future__ import annotations

import time
from collections import Counter
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from confluent_kafka import Producer

from music_lakehouse.dashboard import health
from music_lakehouse.defs.catalog import CHECKS, TABLES
from music_lakehouse.defs.listening.gold_tables import WIDE_STREAMS
from music_lakehouse.defs.listening.tables import QUARANTINE, RAW
from music_lakehouse.lakehouse.expectations import EXPECTATIONS
from music_lakehouse.lakehouse.kafka import describe_topics, ensure_topics
from music_lakehouse.lakehouse.kafka_access import BrokerUnavailableError
from music_lakehouse.lakehouse.kafka_positions import record_read_up_to
from music_lakehouse.lakehouse.lake import LakePaths
from music_lakehouse.lakehouse.records import append_records
from music_lakehouse.lakehouse.stream_figures import micro_batches, record_batches
from music_lakehouse.settings import Settings
from music_lakehouse.simulator.broker import EmbeddedBroker, free_port
from music_lakehouse_tests.dashboard.lakes import NEWEST, SmallLake, write
from music_lakehouse_tests.defs.listening.raw_rows import write_raw
from music_lakehouse_tests.lakehouse.test_stream_figures import progress

NOON = datetime(2026, 11, 21, 12, tzinfo=timezone.utc)


@pytest.fixture
def lake(tmp_path: Path) -> LakePaths:
    """A lake without any table."""
    return LakePaths(str(tmp_path / "lake"))


def evaluated(
    lake: LakePaths, check: str, failed: int, rows: int, *, minute: int, table: str = "silver.dim_songs"
) -> None:
    """Record how a check fared at a minute after noon."""
    row = {"table": table, "rule": check, "action": "warn", "failed": failed, "rows": rows, "run_id": f"{minute}"}
    append_records(lake, EXPECTATIONS, [{**row, "evaluated_at": NOON + timedelta(minutes=minute)}])


def test_an_absent_lake_has_nothing_to_tell(lake: LakePaths) -> None:
    questions = (health.freshness, health.failing_checks, health.quarantine_by_reason, health.rows_by_hour)

    assert [question(lake).num_rows for question in questions] == [0, 0, 0, 0]


def test_freshness_tells_of_each_table_its_rows_its_last_change_and_its_newest_event(own: SmallLake) -> None:
    before = datetime.now(timezone.utc)
    write(own.paths, WIDE_STREAMS, [{**own.streams[0], "event_id": "new"}])
    answered = health.freshness(own.paths).to_pylist()
    [wide] = [row for row in answered if row["table"] == "gold.wide_streams"]

    assert (wide["rows"], wide["version"], wide["newest"]) == (len(own.streams) + 1, 2, NEWEST)
    assert before - timedelta(milliseconds=1) <= wide["changed"] <= datetime.now(timezone.utc)
    names = [row["table"] for row in answered]
    assert names == [name for name in TABLES if name in names]
    assert len(names) == 7


def test_freshness_goes_by_commits_that_wrote_rows(own: SmallLake) -> None:
    [written] = [row for row in health.freshness(own.paths).to_pylist() if row["table"] == "gold.wide_streams"]
    table = own.paths.open(WIDE_STREAMS)
    assert table is not None
    table.optimize.compact()
    write(own.paths, WIDE_STREAMS, own.streams[:1])
    table.update_incremental()
    table.optimize.compact()
    [after] = [row for row in health.freshness(own.paths).to_pylist() if row["table"] == "gold.wide_streams"]

    assert after["version"] == written["version"] + 2
    assert written["changed"] < after["changed"]
    assert after["changed"] < datetime.fromtimestamp(table.history(1)[0]["timestamp"] / 1000, timezone.utc)


def test_a_check_fails_by_its_last_evaluation_alone(lake: LakePaths) -> None:
    evaluated(lake, "key_unique", 3, 10, minute=1)
    assert [row["check"] for row in health.failing_checks(lake).to_pylist()] == ["key_unique"]
    evaluated(lake, "key_unique", 0, 10, minute=2)
    assert health.failing_checks(lake).num_rows == 0
    evaluated(lake, "key_unique", 1, 10, minute=3)
    assert health.failing_checks(lake).to_pylist() == [
        {
            "table": "silver.dim_songs",
            "check": "key_unique",
            "kind": "warn",
            "failed": 1,
            "rows": 10,
            "allowed": 0.0,
            "evaluated": NOON + timedelta(minutes=3),
        }
    ]


def test_a_check_fails_where_more_rows_break_it_than_it_allows(lake: LakePaths) -> None:
    [allowed] = [
        check.threshold
        for table, checks in CHECKS.items()
        for check in checks
        if (table.full_name, check.name) == ("silver.dim_songs", "duration_plausible")
    ]
    assert allowed == 0.05
    evaluated(lake, "duration_plausible", 5, 100, minute=1)
    assert health.failing_checks(lake).num_rows == 0
    evaluated(lake, "duration_plausible", 6, 100, minute=2)
    assert health.failing_checks(lake).num_rows == 1


def test_rules_fail_as_checks_do_and_what_is_not_declared_does_not(lake: LakePaths) -> None:
    evaluated(lake, "no_such_check", 9, 10, minute=1)
    evaluated(lake, "json_object", 9, 10, minute=1, table="bronze.listen_events")

    assert [row["check"] for row in health.failing_checks(lake).to_pylist()] == ["json_object"]


def test_quarantine_counts_a_row_for_each_reason_in_every_quarantine_table(lake: LakePaths) -> None:
    customers = TABLES["bronze.quarantine_customers"]
    write(lake, QUARANTINE, [{"reasons": ["a", "b"]}, {"reasons": ["b"]}])
    write(lake, customers, [{"reasons": ["a"]}])

    assert [tuple(row.values()) for row in health.quarantine_by_reason(lake).to_pylist()] == [
        ("bronze.quarantine", "b", 2),
        ("bronze.quarantine", "a", 1),
        ("bronze.quarantine_customers", "a", 1),
    ]


def test_of_each_streaming_query_its_last_micro_batch_is_told(lake: LakePaths) -> None:
    assert health.streaming(lake).num_rows == 0
    record_batches(lake, micro_batches([progress(1, 60), progress(0, 100), progress(0, 5, name="bronze.auth_events")]))
    last = health.streaming(lake).to_pylist()

    assert [(row["query"], row["batch_id"], row["rows"]) for row in last] == [
        ("bronze.auth_events", 0, 5),
        ("raw.listen_events", 1, 60),
    ]


def test_rows_an_hour_are_what_commits_wrote(own: SmallLake) -> None:
    write(own.paths, WIDE_STREAMS, own.streams[:5])
    written: Counter[str] = Counter()
    for row in health.rows_by_hour(own.paths).to_pylist():
        assert timedelta() <= datetime.now(timezone.utc) - row["hour"] < timedelta(hours=2)
        written[row["table"]] += row["rows"]

    assert written["gold.wide_streams"] == len(own.streams) + 5
    assert written["silver.dim_users"] == len(own.versions)
    assert "metrics.expectations" not in written


@pytest.mark.kafka
def test_lag_is_what_kafka_has_and_raw_lacks(lake: LakePaths, broker: EmbeddedBroker, topic_prefix: str) -> None:
    settings = Settings(kafka_bootstrap_servers=broker.bootstrap_servers, kafka_topic_prefix=topic_prefix)
    listens, views = settings.topics["listen_events"], settings.topics["page_view_events"]
    ensure_topics(settings, [listens, views])
    producer = Producer({"bootstrap.servers": broker.bootstrap_servers})
    for number in range(3):
        producer.produce(listens, f"{number}".encode(), partition=0)
    producer.flush()

    def told() -> dict[str, tuple[int | None, str]]:
        rows = health.lag(lake, settings).to_pylist()
        return {row["topic"].removeprefix(topic_prefix): (row["waiting"], row["state"]) for row in rows}

    missing = dict.fromkeys(("auth_events", "status_change_events"), (None, "not there yet"))
    assert told() == {"listen_events": (3, "waiting"), "page_view_events": (0, "read"), **missing}
    topic = describe_topics(settings, [listens])[listens]
    write_raw(lake, "listen_events", listens, [(topic.topic_id, 0, 2)])
    record_read_up_to(lake, RAW["listen_events"], topic, topic.end_offsets)
    assert told() == {"listen_events": (0, "read"), "page_view_events": (0, "read"), **missing}


def test_a_broker_that_is_not_there_is_not_waited_for(lake: LakePaths) -> None:
    settings = Settings(kafka_bootstrap_servers=f"127.0.0.1:{free_port()}")
    started = time.monotonic()
    with pytest.raises(BrokerUnavailableError, match="no Kafka broker answers"):
        health.lag(lake, settings)

    assert time.monotonic() - started < 3
