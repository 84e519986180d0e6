"""Continuous mode on a real broker and a real Spark, in process: what it writes, what it tells, how it ends."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from pyspark.sql import SparkSession

from music_lakehouse.definitions import build_definitions
from music_lakehouse.defs.catalog import CHECKS
from music_lakehouse.defs.failures import step_errors
from music_lakehouse.defs.listening.backlogs import rows_behind_gold
from music_lakehouse.defs.listening.gold_tables import WIDE_STREAMS
from music_lakehouse.lakehouse.locks import LakeLock, current_holder, lock_file
from music_lakehouse.lakehouse.stream_figures import STREAMING
from music_lakehouse.settings import Settings
from music_lakehouse.simulator.broker import EmbeddedBroker, free_port
from music_lakehouse_tests.chaos.lab import Lab
from music_lakehouse_tests.end_to_end.live import LiveDagster, environment
from music_lakehouse_tests.on_the_way import on_the_way, unread
from music_lakehouse_tests.oracle.lake import read_table

pytestmark = [pytest.mark.spark, pytest.mark.kafka, pytest.mark.end_to_end, pytest.mark.timeout(600)]

QUICK = {"trigger_seconds": 0.0, "poll_seconds": 0.1, "check_seconds": 0.0, "first_wait_seconds": 0.1}
Story = Callable[[], None]


class Continuous:
    """A lab, and the run of continuous mode on it, in this process, while a thread plays a story."""

    def __init__(self, lab: Lab, instance: dg.DagsterInstance) -> None:
        self.lab, self.instance = lab, instance

    def run(self, story: Story, **config: Any) -> dg.ExecuteInProcessResult:
        """Run it until the story is told; then it is stopped as Ctrl-C or Dagster would."""
        with ThreadPoolExecutor(1) as pool:

            def tell() -> None:
                try:
                    story()
                finally:
                    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

            told = pool.submit(tell)
            result = self.execute(**config)
            told.result()
        return result

    def execute(self, **config: Any) -> dg.ExecuteInProcessResult:
        job = build_definitions(self.lab.settings).resolve_job_def("continuous_pipeline")
        ops = {"follow_topics": {"config": {**QUICK, **config}}}
        return job.execute_in_process(run_config={"ops": ops}, instance=self.instance, raise_on_error=False)

    def wait(self, until: Callable[[], bool], what: str, seconds: float = 200) -> None:
        deadline = time.monotonic() + seconds
        while not until():
            assert time.monotonic() < deadline, f"{what} within {seconds} s"
            time.sleep(0.2)

    @property
    def unread(self) -> int:
        """Messages that raw lacks."""
        return unread(self.lab.lake, self.lab.settings, timeout_seconds=20)

    def wait_until_gold_has_all(self) -> None:
        self.wait(lambda: on_the_way(self.lab.lake, self.lab.settings, timeout_seconds=20) == 0, "all events in gold")

    def runs(self) -> list[dg.DagsterRun]:
        return list(self.instance.get_runs(dg.RunsFilter(job_name="continuous_pipeline")))

    def said(self) -> str:
        """What the newest run logged."""
        return "\n".join(entry.user_message for entry in self.instance.all_logs(self.runs()[0].run_id))


@pytest.fixture
def continuous(tmp_path: Path, broker: EmbeddedBroker, topic_prefix: str, spark: SparkSession) -> Iterator[Continuous]:
    del spark  # Runs take the session that is there.
    # The story reads its events from another thread.
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        yield Continuous(Lab(tmp_path, broker.bootstrap_servers, topic_prefix), instance)


def _number(told: dg.AssetMaterialization | None, name: str) -> int:
    value = told.metadata[name].value if told is not None else None
    assert isinstance(value, int), (told, name)
    return value


def test_every_micro_batch_is_written_told_and_checked_and_the_last_one_comes_to_its_end(
    continuous: Continuous,
) -> None:
    lab, instance = continuous.lab, continuous.instance
    lab.write_reference()
    lab.send(600, seed=1)

    def story() -> None:
        for seed in (2, 3):
            continuous.wait_until_gold_has_all()
            lab.send(200, seed=seed)
        continuous.wait(lambda: continuous.unread == 0, "all messages in raw")
        # Stopped now, what is in raw goes to gold first.

    result = continuous.run(story)

    assert result.success, step_errors(instance, result.run_id)
    assert rows_behind_gold(lab.lake) == 0
    lab.compare()
    assert current_holder(lab.lake.root) is None
    key = dg.AssetKey([WIDE_STREAMS.layer, WIDE_STREAMS.name])
    told = [record.asset_materialization for record in instance.fetch_materializations(key, limit=50).records]
    assert len(told) >= 2
    written = sum(_number(one, "rows_inserted") for one in told)
    assert written == lab.lake.rows(WIDE_STREAMS)
    assert all(one is not None and one.metadata["run"].value == result.run_id for one in told)
    for check in CHECKS[WIDE_STREAMS]:
        history = instance.event_log_storage.get_asset_check_execution_history(
            dg.AssetCheckKey(key, check.name), limit=50
        )
        assert len(history) >= 2, check.name
    queries = {row["query"] for row in read_table(Path(lab.lake.root), STREAMING.full_name)}
    assert {"raw.listen_events", "bronze.listen_events"} <= queries
    # What is idle costs nothing: each of its looks is no micro-batch.
    assert "stopped as asked" in continuous.said()


@pytest.mark.slow
def test_a_query_that_dies_goes_on_from_its_checkpoint_once_it_can(continuous: Continuous) -> None:
    lab = continuous.lab
    lab.write_reference()
    lab.send(300, seed=1)
    checkpoints = lab.root / "_checkpoints" / "raw.listen_events"
    aside = lab.root / "_checkpoints" / "aside"

    def story() -> None:
        continuous.wait_until_gold_has_all()
        checkpoints.rename(aside)
        checkpoints.write_text("no directory")
        lab.send(100, seed=2)
        continuous.wait(lambda: "it goes on from its checkpoint" in continuous.said(), "the query's death")
        checkpoints.unlink()
        aside.rename(checkpoints)
        continuous.wait_until_gold_has_all()

    result = continuous.run(story, most_deaths=50)

    assert result.success, step_errors(continuous.instance, result.run_id)
    assert "the query of raw.listen_events died: " in continuous.said()
    lab.compare()


def test_a_query_that_dies_again_and_again_fails_the_run_which_names_it(continuous: Continuous) -> None:
    lab = continuous.lab
    lab.write_reference()
    lab.send(50, seed=1)
    (lab.root / "_checkpoints").mkdir(parents=True)
    (lab.root / "_checkpoints" / "raw.page_view_events").write_text("no directory")

    result = continuous.execute(most_deaths=2)

    assert not result.success
    (error,) = step_errors(continuous.instance, result.run_id)
    assert error.class_name == "DiedTooOftenError"
    assert "the query of raw.page_view_events" in error.text
    assert "2 deaths in a row" in error.text
    assert current_holder(lab.lake.root) is None


def test_without_a_broker_it_fails_and_says_what_to_do(tmp_path: Path) -> None:
    settings = Settings(lakehouse_root=str(tmp_path / "lake"), kafka_bootstrap_servers=f"127.0.0.1:{free_port()}")
    with dg.DagsterInstance.ephemeral() as instance:
        job = build_definitions(settings).resolve_job_def("continuous_pipeline")
        config = {"ops": {"follow_topics": {"config": {**QUICK, "most_deaths": 2}}}}
        result = job.execute_in_process(run_config=config, instance=instance, raise_on_error=False)
        (error,) = step_errors(instance, result.run_id)
    assert not result.success
    assert "no Kafka broker answers" in error.text
    assert "broker start" in error.text


@pytest.mark.slow
def test_a_run_that_waits_for_the_lake_gets_it_and_gives_it_back(continuous: Continuous) -> None:
    lab = continuous.lab
    lab.write_reference()
    lab.send(100, seed=1)

    def story() -> None:
        continuous.wait_until_gold_has_all()
        other = LakeLock(lab.lake.root)
        other.acquire("another run", wait_seconds=60)
        lab.send(100, seed=2)
        time.sleep(2)
        assert rows_behind_gold(lab.lake) == 0
        assert continuous.unread == 100
        other.release()
        continuous.wait_until_gold_has_all()

    result = continuous.run(story)

    assert result.success, step_errors(continuous.instance, result.run_id)
    assert "the lake is lent" in continuous.said()
    assert not lock_file(lab.lake.root).exists()
    lab.compare()


@pytest.mark.slow
def test_terminated_in_dagsters_ui_the_micro_batch_in_hand_comes_to_its_end(
    tmp_path: Path, broker: EmbeddedBroker, topic_prefix: str
) -> None:
    lab = Lab(tmp_path, broker.bootstrap_servers, topic_prefix)
    lab.write_reference()
    command = ["dagster", "dev", "-m", "music_lakehouse.definitions"]
    with LiveDagster(command, environment(lab.settings, tmp_path / "dagster"), tmp_path / "dagster.log") as dagster:
        run_id = dagster.launch("continuous_pipeline")
        dagster.wait_for(lambda: lab.lake.state(WIDE_STREAMS))
        lab.send(200, seed=1)
        # Raw has them, and gold hasn't.
        behind = dagster.wait_for(lambda: rows_behind_gold(lab.lake))
        dagster.terminate(run_id)
        assert dagster.status(run_id) in ("CANCELING", "STARTED"), f"{behind} rows were on their way"
        dagster.wait_for(lambda: dagster.status(run_id) not in ("CANCELING", "STARTED"), seconds=120)
        assert dagster.status(run_id) == "SUCCESS"
        assert rows_behind_gold(lab.lake) == 0
        # Of what came while the micro-batch was in hand, if anything did, the sensor takes care.
        dagster.wait_for(lambda: on_the_way(lab.lake, lab.settings, timeout_seconds=20) == 0)
        dagster.wait_for(lambda: current_holder(lab.lake.root) is None)
    lab.compare()
