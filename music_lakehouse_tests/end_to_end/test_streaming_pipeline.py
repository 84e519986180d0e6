"""The whole pipeline in process, from a real broker to gold, compared with the oracle cell by cell."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random

import dagster as dg
import pytest
from deltalake import DeltaTable
from pyspark.sql import SparkSession

from music_lakehouse.definitions import build_definitions
from music_lakehouse.defs.catalog import WRITTEN_WITH, find_table
from music_lakehouse.defs.listening.catalog import TABLES
from music_lakehouse.lakehouse.lake import LakePaths
from music_lakehouse.lakehouse.repair import restore, write_anew
from music_lakehouse.settings import TOPICS, Settings
from music_lakehouse.simulator.broker import EmbeddedBroker
from music_lakehouse.simulator.config import SimulatorConfig
from music_lakehouse.simulator.messages import Message
from music_lakehouse.simulator.reference import write_reference
from music_lakehouse.simulator.simulation import simulate
from music_lakehouse.simulator.sinks import to_kafka
from music_lakehouse_tests.defs.listening.histories import START, with_more_faults
from music_lakehouse_tests.oracle.compare import assert_lake_equals_oracle
from music_lakehouse_tests.oracle.lake import read_lake
from music_lakehouse_tests.oracle.laws import laws
from music_lakehouse_tests.oracle.messages import messages_from_kafka

pytestmark = [pytest.mark.spark, pytest.mark.kafka, pytest.mark.end_to_end]


class Platform:
    """Topics, reference files and a lake of a test's own, and the pipeline on them."""

    def __init__(
        self, directory: Path, broker: EmbeddedBroker, topic_prefix: str, instance: dg.DagsterInstance
    ) -> None:
        self.settings = Settings(
            lakehouse_root=str(directory / "lake"),
            reference_root=directory / "reference",
            kafka_bootstrap_servers=broker.bootstrap_servers,
            kafka_topic_prefix=topic_prefix,
        )
        self._job = build_definitions(self.settings).resolve_job_def("streaming_pipeline")
        self._instance = instance
        songs, _ = write_reference(self.settings.reference_root)
        lines = songs.read_text(encoding="utf-8").splitlines(keepends=True)
        songs.write_text("".join(lines[:400]), encoding="utf-8")

    def run(self) -> dg.ExecuteInProcessResult:
        """One run; fails the test where it or a check that is an error fails."""
        result = self._job.execute_in_process(instance=self._instance)
        assert result.success
        failed = [
            (check.asset_key.to_user_string(), check.check_name)
            for check in result.get_asset_check_evaluations()
            if not check.passed and check.severity is dg.AssetCheckSeverity.ERROR
        ]
        assert failed == []
        return result

    def assert_equals_oracle(self) -> None:
        """Every table, against what was read straight from the broker; and the laws."""
        sent = messages_from_kafka(self.settings.kafka_bootstrap_servers, self.settings.topics)
        assert_lake_equals_oracle(self.settings.lake_uri, sent, self.settings.reference_root)
        assert laws(read_lake(self.settings.lake_uri)) == []


@pytest.fixture
def platform(spark: SparkSession, broker: EmbeddedBroker, topic_prefix: str, tmp_path: Path) -> Iterator[Platform]:
    del spark  # The resource takes the session that is there.
    with dg.DagsterInstance.ephemeral() as instance:
        yield Platform(tmp_path, broker, topic_prefix, instance)


def history(seed: int, events: int, dirty: float = 0.0) -> list[Message]:
    config = SimulatorConfig(
        users=20, start=START, days=7, events=events, seed=seed, dirty=dirty, beta=86_400, extra_level_changes=0.2
    )
    return list(simulate(config))


def test_a_clean_stream_gives_what_the_oracle_says(platform: Platform, seed: int) -> None:
    print(f"seed {seed}")
    sent = to_kafka(history(seed, 400), platform.settings)
    platform.run()
    platform.assert_equals_oracle()
    tables = read_lake(platform.settings.lake_uri)
    assert {topic: len(tables[f"bronze.{topic}"]) for topic in TOPICS} == {
        topic: sent.get(topic, 0) for topic in TOPICS
    }
    assert tables["bronze.quarantine"] == []


def test_a_dirty_stream_gives_what_the_oracle_says_and_so_does_what_comes_later(platform: Platform, seed: int) -> None:
    print(f"seed {seed}")
    messages = history(seed, 600, dirty=0.3)
    to_kafka(messages[:900], platform.settings)
    platform.run()
    platform.assert_equals_oracle()
    to_kafka(messages[900:], platform.settings)
    platform.run()
    platform.assert_equals_oracle()
    assert read_lake(platform.settings.lake_uri)["bronze.quarantine"]


@pytest.mark.parametrize("number", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 2))])
def test_a_history_shuffled_doubled_and_cut_into_batches_gives_what_the_oracle_says(
    platform: Platform, seed: int, number: int
) -> None:
    seed += number
    print(f"seed {seed}")
    rng = Random(seed)
    messages = history(seed, 250, dirty=0.2)
    worse = [Message(t, v, 0) for t, v in with_more_faults(((m.topic, m.value) for m in messages), rng)]
    doubled = rng.sample(worse * 2, 2 * len(worse))
    cuts = sorted(rng.sample(range(1, len(doubled)), 2))
    for start, end in zip([0, *cuts], [*cuts, len(doubled)], strict=True):
        to_kafka(doubled[start:end], platform.settings)
        platform.run()
    platform.assert_equals_oracle()


@pytest.mark.timeout(900)
def test_whatever_was_put_back_or_damaged_the_next_run_makes_right(platform: Platform, seed: int) -> None:
    messages = history(seed, 300, dirty=0.3)
    to_kafka(messages[:400], platform.settings)
    platform.run()
    to_kafka(messages[400:], platform.settings)
    platform.run()
    lake = LakePaths(platform.settings.lake_uri)

    def restored(table: str, version: int) -> list[str]:
        found = find_table(table)
        return restore(lake, found, version, kept_with=[t.full_name for t in WRITTEN_WITH.get(found, ())]).anew

    assert "bronze.listen_events" in restored("raw.listen_events", 1)
    assert restored("bronze.reference_songs", 0)[0] == "bronze.reference_songs"
    platform.run()
    platform.assert_equals_oracle()

    assert "bronze.page_view_events" in restored("bronze.quarantine", 0)
    assert restored("gold.wide_streams", 1)[0] == "gold.wide_streams"
    for table in ("silver.dim_users", "gold.fact_streams"):
        for file in DeltaTable(lake.path(find_table(table))).file_uris():
            Path(file).write_bytes(b"damaged")
    assert "gold.wide_streams" in write_anew(lake, ["silver.dim_users"])
    platform.run()
    platform.assert_equals_oracle()
    versions = {table.full_name: lake.state(table) for table in TABLES.values()}
    platform.run()
    assert {table.full_name: lake.state(table) for table in TABLES.values()} == versions, "nothing is new then"
