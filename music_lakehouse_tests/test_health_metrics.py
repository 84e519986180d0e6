"""The lake's health as Prometheus reads it: from real tables, parsed back by Prometheus's own parser."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pyarrow as pa
import pytest
from confluent_kafka import Producer
from deltalake import write_deltalake
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from music_lakehouse.defs.job_runs import LastRun
from music_lakehouse.defs.listening.gold_tables import WIDE_STREAMS
from music_lakehouse.defs.listening.tables import QUARANTINE
from music_lakehouse.health_metrics import PREFIX, registry
from music_lakehouse.lakehouse.expectations import EXPECTATIONS
from music_lakehouse.lakehouse.kafka import ensure_topics
from music_lakehouse.lakehouse.lake import LakePaths
from music_lakehouse.lakehouse.records import append_records
from music_lakehouse.lakehouse.stream_figures import micro_batches, record_batches
from music_lakehouse.settings import Settings
from music_lakehouse.simulator.broker import EmbeddedBroker, free_port
from music_lakehouse_tests.dashboard.lakes import NEWEST, SmallLake, small_lake, write
from music_lakehouse_tests.lakehouse.test_stream_figures import progress

pytestmark = pytest.mark.thorough

Figures = dict[tuple[str, ...], float]


def settings_of(lake: LakePaths) -> Settings:
    return Settings(lakehouse_root=lake.root, kafka_bootstrap_servers=f"127.0.0.1:{free_port()}")


def scraped(
    lake: LakePaths, *, settings: Settings | None = None, runs: Iterable[LastRun] = (), kept_seconds: float = 0
) -> Figures:
    """The figures by their names without the prefix and their labels' values, by the labels' names."""
    found = registry(settings or settings_of(lake), lambda: runs, kept_seconds=kept_seconds)
    return parsed(generate_latest(found).decode())


def parsed(text: str) -> Figures:
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    assert all(sample.name.startswith(f"{PREFIX}_") for sample in samples)
    return {(s.name.removeprefix(f"{PREFIX}_"), *dict(sorted(s.labels.items())).values()): s.value for s in samples}


@pytest.fixture
def own(tmp_path: Path, seed: int) -> SmallLake:
    return small_lake(str(tmp_path / "lake"), seed)


def test_an_absent_lake_has_figures_that_say_so(tmp_path: Path) -> None:
    found = scraped(LakePaths(str(tmp_path / "lake")))

    assert (found["kafka_up",], found["failing_checks",]) == (0, 0)
    assert {name for name, *_ in found} == {"kafka_up", "failing_checks", "collecting_seconds"}


def test_tables_have_their_rows_bytes_and_ages(own: SmallLake) -> None:
    table = own.paths.open(WIDE_STREAMS)
    assert table is not None
    found, now = scraped(own.paths), datetime.now(timezone.utc)

    assert found["table_rows", "gold.wide_streams"] == len(own.streams)
    assert found["table_bytes", "gold.wide_streams"] == sum(Path(file).stat().st_size for file in table.file_uris())
    assert found["table_version", "gold.wide_streams"] == 1
    assert found["table_newest_event_age_seconds", "gold.wide_streams"] == pytest.approx(
        (now - NEWEST).total_seconds(), abs=5
    )
    assert 0 <= found["table_commit_age_seconds", "gold.wide_streams"] < 60
    assert ("table_newest_event_age_seconds", "gold.artist_popularity") not in found


def test_quarantine_has_its_rows_by_source_and_reason(tmp_path: Path) -> None:
    lake = LakePaths(str(tmp_path / "lake"))
    refused = [{"topic": "listen_events", "reasons": ["a", 'b "c"\n']}, {"topic": "auth_events", "reasons": ["a"]}]
    write(lake, QUARANTINE, refused)
    found = scraped(lake)

    assert {labels[1:]: value for labels, value in found.items() if labels[0] == "quarantine_rows"} == {
        ("streaming", "a", "listen_events"): 1,
        ("streaming", 'b "c"\n', "listen_events"): 1,
        ("streaming", "a", "auth_events"): 1,
    }


def test_failing_checks_are_counted_and_named(tmp_path: Path) -> None:
    lake = LakePaths(str(tmp_path / "lake"))
    row = {"table": "silver.dim_songs", "rule": "key_unique", "action": "error", "failed": 3, "rows": 10, "run_id": "1"}
    append_records(lake, EXPECTATIONS, [{**row, "evaluated_at": NEWEST}])
    assert scraped(lake)["failing_check_rows", "key_unique", "error", "silver.dim_songs"] == 3
    append_records(lake, EXPECTATIONS, [{**row, "failed": 0, "evaluated_at": NEWEST + timedelta(minutes=1)}])
    assert scraped(lake)["failing_checks",] == 0


def test_streaming_queries_have_the_figures_of_their_last_micro_batch(tmp_path: Path) -> None:
    lake = LakePaths(str(tmp_path / "lake"))
    record_batches(lake, micro_batches([progress(0, 100), progress(1, 60)]))
    found, query = scraped(lake), "raw.listen_events"

    assert (found["stream_rows", query], found["stream_lag_messages", query]) == (60, 100)
    assert (found["stream_input_rows_per_second", query], found["stream_processed_rows_per_second", query]) == (50, 30)
    assert found["stream_batch_seconds", query] == 2
    assert found["stream_phase_seconds", "add_batch", query] == 1.5
    assert ("stream_phase_seconds", "get_batch", query) not in found


def test_runs_have_their_state_and_duration(tmp_path: Path) -> None:
    now = time.time()
    runs = [LastRun("audit", "SUCCESS", now - 100, now - 40), LastRun("streaming_pipeline", "STARTED", now - 9, None)]
    found = scraped(LakePaths(str(tmp_path / "lake")), runs=[*runs, LastRun("report", "QUEUED", None, None)])

    assert found["last_run_state", "audit", "SUCCESS"] == found["last_run_state", "report", "QUEUED"] == 1
    assert found["last_run_seconds", "audit"] == pytest.approx(60)
    assert found["last_run_seconds", "streaming_pipeline"] == pytest.approx(9, abs=3)
    assert ("last_run_seconds", "report") not in found


def test_figures_are_asked_for_again_after_a_while_only(own: SmallLake) -> None:
    found = registry(settings_of(own.paths), lambda: (), kept_seconds=3)

    def rows() -> float:
        return parsed(generate_latest(found).decode())["table_rows", "gold.wide_streams"]

    before = rows()
    write(own.paths, WIDE_STREAMS, own.streams[:5])
    assert rows() == before
    time.sleep(3)
    assert rows() == before + 5


@pytest.mark.kafka
def test_topics_have_their_lag(tmp_path: Path, broker: EmbeddedBroker, topic_prefix: str) -> None:
    settings = Settings(
        lakehouse_root=str(tmp_path / "lake"),
        kafka_bootstrap_servers=broker.bootstrap_servers,
        kafka_topic_prefix=topic_prefix,
    )
    topic = settings.topics["listen_events"]
    ensure_topics(settings, [topic])
    producer = Producer({"bootstrap.servers": broker.bootstrap_servers})
    for number in range(3):
        producer.produce(topic, f"{number}".encode())
    producer.flush()
    found = scraped(LakePaths(settings.lake_uri), settings=settings)

    assert (found["kafka_up",], found["topic_lag_messages", topic], found["topic_messages_lost", topic]) == (1, 3, 0)
    assert ("topic_lag_messages", settings.topics["auth_events"]) not in found


def test_a_lake_in_an_object_store_has_the_same_figures(bucket: str) -> None:
    lake = LakePaths(f"{bucket}/lake")
    write_deltalake(lake.path(QUARANTINE), pa.table({"topic": ["listen_events"], "reasons": [["a"]]}))
    record_batches(lake, micro_batches([progress(0, 100)]))
    found = scraped(lake)

    assert found["table_rows", "bronze.quarantine"] == 1
    assert found["table_bytes", "bronze.quarantine"] > 0
    assert found["quarantine_rows", "streaming", "a", "listen_events"] == 1
    assert found["stream_rows", "raw.listen_events"] == 100
