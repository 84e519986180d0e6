"""The whole pipeline in process, from a real broker to gold, compared with the oracle cell by cell."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timezone
from pathlib import Path
from random import Random
from typing import Any

import dagster as dg
import pytest
from deltalake import DeltaTable
from pyspark.sql import SparkSession

from music_lakehouse.definitions import build_definitions
from music_lakehouse.defs.catalog import WRITTEN_WITH, find_table
from music_lakehouse.defs.listening import erasure
from music_lakehouse.defs.listening.catalog import TABLES
from music_lakehouse.defs.listening.erasure import find_person, traces
from music_lakehouse.defs.listening.gold_tables import WIDE_STREAMS
from music_lakehouse.defs.listening.tables import BRONZE, QUARANTINE
from music_lakehouse.defs.shell import version_of
from music_lakehouse.lakehouse.checkpoints import remove_outdated
from music_lakehouse.lakehouse.erasure import search
from music_lakehouse.lakehouse.inventory import remove_directories
from music_lakehouse.lakehouse.lake import Lake, LakePaths
from music_lakehouse.lakehouse.positions import Stretch
from music_lakehouse.lakehouse.repair import compute_again, restore, write_anew
from music_lakehouse.settings import TOPICS, Settings
from music_lakehouse.simulator.broker import EmbeddedBroker
from music_lakehouse.simulator.config import SimulatorConfig
from music_lakehouse.simulator.messages import Message
from music_lakehouse.simulator.reference import write_reference
from music_lakehouse.simulator.simulation import simulate
from music_lakehouse.simulator.sinks import to_kafka
from music_lakehouse_tests.defs.listening.histories import START, with_more_faults
from music_lakehouse_tests.defs.run_results import figures
from music_lakehouse_tests.lakehouse.items import seen_by_readers
from music_lakehouse_tests.oracle.compare import assert_lake_equals_oracle
from music_lakehouse_tests.oracle.lake import read_lake
from music_lakehouse_tests.oracle.laws import laws
from music_lakehouse_tests.oracle.messages import Message as Sent
from music_lakehouse_tests.oracle.messages import messages_from_kafka
from music_lakehouse_tests.oracle.persons import users_of, without_user

pytestmark = [pytest.mark.spark, pytest.mark.kafka, pytest.mark.end_to_end]

UNKNOWN_USER = 999_999_999


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

    def run(self, tables: Sequence[str] = ()) -> dg.ExecuteInProcessResult:
        """One run, of all tables or of some; fails the test where it or a check that is an error fails."""
        chosen = [dg.AssetKey(table.split(".")) for table in tables] or None
        result = self._job.execute_in_process(instance=self._instance, asset_selection=chosen)
        assert result.success
        failed = [
            (check.asset_key.to_user_string(), check.check_name)
            for check in result.get_asset_check_evaluations()
            if not check.passed and check.severity is dg.AssetCheckSeverity.ERROR
        ]
        assert failed == []
        return result

    def sent(self) -> list[Sent]:
        """What the broker has."""
        return messages_from_kafka(self.settings.kafka_bootstrap_servers, self.settings.topics)

    def assert_equals_oracle(self, sent: Sequence[Sent] | None = None) -> None:
        """Every table, against what was read straight from the broker, or the given messages; and the laws."""
        sent = self.sent() if sent is None else sent
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


@pytest.mark.slow
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
    assert remove_outdated(LakePaths(platform.settings.lake_uri)) == 0, "the next run asks for all checkpoints"
    to_kafka(messages[900:], platform.settings)
    platform.run()
    platform.assert_equals_oracle()
    assert read_lake(platform.settings.lake_uri)["bronze.quarantine"]


@pytest.mark.slow
@pytest.mark.parametrize("number", range(3))
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


@pytest.mark.slow
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
    for damaged in ("silver.dim_users", "gold.fact_streams"):
        for file in DeltaTable(lake.path(find_table(damaged))).file_uris():
            Path(file).write_bytes(b"damaged")
    anew = [find_table(name) for name in write_anew(lake, ["silver.dim_users"])]
    assert WIDE_STREAMS in anew
    before = {table: version_of(lake, table) for table in anew}
    platform.run()
    platform.assert_equals_oracle()
    for written, since in before.items():
        seen = seen_by_readers(lake, since, written)
        assert len(seen) == 2, f"{written.full_name} is written in one version"
        assert seen[1], f"nobody finds {written.full_name} empty"
    versions = {table.full_name: lake.state(table) for table in TABLES.values()}
    platform.run()
    assert {table.full_name: lake.state(table) for table in TABLES.values()} == versions, "nothing is new then"


@pytest.mark.slow
def test_a_run_computes_again_what_it_was_told_to(platform: Platform, spark: SparkSession, seed: int) -> None:
    to_kafka(history(seed, 100, dirty=0.3), platform.settings)
    platform.run()
    lake = LakePaths(platform.settings.lake_uri)
    spark.sql(f"UPDATE delta.`{lake.path(BRONZE['listen_events'])}` SET song = 'Wrong', userId = 1")
    spark.sql(f"DELETE FROM delta.`{lake.path(QUARANTINE)}`")
    ages = Stretch(datetime(2000, 1, 1, tzinfo=timezone.utc), datetime(2100, 1, 1, tzinfo=timezone.utc))

    told = compute_again(lake, [table.full_name for table in BRONZE.values()], ages)
    result = platform.run(told)

    assert figures(result)["bronze/listen_events"]["rows_updated"] > 0
    platform.assert_equals_oracle()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_user_who_is_forgotten_leaves_no_trace_and_what_comes_later_goes_on(
    platform: Platform, spark: SparkSession, seed: int
) -> None:
    messages = history(seed, 300, dirty=0.3)
    to_kafka(messages[:500], platform.settings)
    platform.run()
    lake = Lake(platform.settings.lake_uri, spark)
    [(user, count)] = Counter(users_of(platform.sent())).most_common(1)
    assert search(lake.root, traces(find_person(lake, user))).found, "before it, the search finds the user"

    done = erasure.forget_user(lake, user)

    assert (done.searched.found, done.broken, done.names_known) == ([], [], True)
    assert done.removed["raw.listen_events"] > 0
    assert sum(done.removed.get(f"raw.{topic}", 0) for topic in TOPICS) >= count
    left = without_user(platform.sent(), user)
    platform.assert_equals_oracle(left)

    versions = {table.full_name: LakePaths(lake.root).state(table) for table in TABLES.values()}
    platform.run()
    assert {table.full_name: LakePaths(lake.root).state(table) for table in TABLES.values()} == versions

    before = {(each.topic_id, each.partition, each.offset) for each in platform.sent()}
    to_kafka(messages[500:], platform.settings)
    platform.run()
    new = [each for each in platform.sent() if (each.topic_id, each.partition, each.offset) not in before]
    platform.assert_equals_oracle([*left, *new])

    # Kafka has the user's messages still: whatever is read again, they aren't.
    remove_directories(lake.root, ["raw", "_checkpoints", "metrics/kafka_positions", "metrics/positions"])
    platform.run()
    platform.assert_equals_oracle([*left, *new])

    DeltaTable(lake.path(WIDE_STREAMS)).delete()
    unknown = erasure.forget_user(Lake(lake.root, spark), UNKNOWN_USER)
    assert (unknown.removed, unknown.searched.found, unknown.anew) == ({}, [], False)
    assert any(law.startswith(WIDE_STREAMS.full_name) for law in unknown.broken), "laws hold of whoever was asked for"


class Killed(Exception):
    """Stands for a kill: what was to come next doesn't."""


KILLS = (
    ("record_source_position", 1),
    ("remove_messages", 3),
    ("remove_messages", 17),
    ("run_step", 3),
    ("forget_history", 6),
    ("move_positions", 2),
)
"""After which call of what, in a row: the first topic's raw rows are gone; its refused messages; bronze loses its own;
the steps follow; histories end; positions are moved."""


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_user_is_forgotten_however_often_that_was_killed(
    platform: Platform, spark: SparkSession, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    to_kafka(history(seed, 200, dirty=0.3), platform.settings)
    platform.run()
    lake = Lake(platform.settings.lake_uri, spark)
    [(user, _)] = Counter(users_of(platform.sent())).most_common(1)
    named = traces(find_person(lake, user))

    for name, calls in KILLS:
        with monkeypatch.context() as patched:
            patched.setattr(erasure, name, killed_after(getattr(erasure, name), calls))
            with pytest.raises(Killed):
                erasure.forget_user(lake, user)
        lake = Lake(platform.settings.lake_uri, spark)
    done = erasure.forget_user(lake, user)

    assert (done.searched.found, done.broken) == ([], [])
    assert search(lake.root, named).found == [], "nor of the names, which the last try didn't know any more"
    left = without_user(platform.sent(), user)
    platform.assert_equals_oracle(left)
    platform.run()
    platform.assert_equals_oracle(left)


def killed_after(function: Callable[..., Any], calls: int) -> Callable[..., Any]:
    """The function, of which that call is the last thing that happens."""
    done = 0

    def call(*arguments: Any, **named: Any) -> Any:
        nonlocal done
        result = function(*arguments, **named)
        done += 1
        if done == calls:
            raise Killed
        return result

    return call
