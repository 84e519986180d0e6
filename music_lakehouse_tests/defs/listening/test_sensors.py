"""The Kafka sensors against a real broker and a real Dagster instance; the lake is written without Spark."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from dagster._core.remote_origin import InProcessCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin

from music_lakehouse.defs import triggers
from music_lakehouse.defs.job_runs import RUNS_LOOKED_AT, ended_runs
from music_lakehouse.defs.listening import sensors
from music_lakehouse.defs.listening.backlogs import find_backlogs
from music_lakehouse.defs.listening.sensors import kafka_observation_sensor, kafka_sensor
from music_lakehouse.defs.listening.tables import RAW
from music_lakehouse.lakehouse.kafka import describe_topics, ensure_topics, newest_message_time
from music_lakehouse.lakehouse.kafka_positions import accept_losses, record_read_up_to
from music_lakehouse.lakehouse.lake import LakePaths
from music_lakehouse.lakehouse.locks import LakeLock, lock_file
from music_lakehouse.resources.build import build_resources
from music_lakehouse.settings import Settings
from music_lakehouse.simulator.broker import EmbeddedBroker, free_port
from music_lakehouse_tests.defs.listening.raw_rows import write_raw

pytestmark = pytest.mark.kafka

LISTENS = RAW["listen_events"]
ORIGIN = RemoteRepositoryOrigin(
    InProcessCodeLocationOrigin(LoadableTargetOrigin(module_name="music_lakehouse.definitions")), "__repository__"
)
HOLDING = """
import sys, time
from music_lakehouse.lakehouse.locks import LakeLock
LakeLock(sys.argv[1]).acquire(sys.argv[2])
print("held", flush=True)
time.sleep(60)
"""


class Place:
    """A lake and four topics of a test's own, and a Dagster instance."""

    def __init__(self, settings: Settings, instance: dg.DagsterInstance) -> None:
        self.settings, self.instance = settings, instance
        self.lake = LakePaths(settings.lake_uri)
        self.cursor: str | None = None

    @property
    def topic(self) -> str:
        return self.settings.topics["listen_events"]

    def create_topics(self) -> None:
        ensure_topics(self.settings, self.settings.topics.values())

    def send(self, messages: int, partition: int = 0) -> None:
        producer = Producer({"bootstrap.servers": self.settings.kafka_bootstrap_servers})
        for number in range(messages):
            producer.produce(self.topic, f"message {number}".encode(), partition=partition)
        producer.flush()

    def read_everything(self) -> None:
        """As a run of the pipeline does: the raw tables have all that the topics hold."""
        topics = describe_topics(self.settings, self.settings.topics.values())
        for event, name in self.settings.topics.items():
            topic = topics[name]
            write_raw(
                self.lake, event, name, [(topic.topic_id, p, end - 1) for p, end in topic.end_offsets.items() if end]
            )
            record_read_up_to(self.lake, RAW[event], topic, topic.end_offsets)

    def tick(self, sensor: dg.SensorDefinition = kafka_sensor) -> Any:
        resources = build_resources(self.settings)
        with dg.build_sensor_context(self.instance, cursor=self.cursor, resources=resources) as context:
            result = sensor(context)
            self.cursor = context.cursor
        return result

    def add_run(
        self,
        run_id: str,
        status: dg.DagsterRunStatus,
        tags: dict[str, str] | None = None,
        *,
        job: str = "streaming_pipeline",
    ) -> dg.DagsterRun:
        return self.instance.add_run(
            dg.DagsterRun(
                job_name=job,
                run_id=run_id,
                status=status,
                tags=tags or {},
                remote_job_origin=RemoteJobOrigin(ORIGIN, job),
            )
        )

    def kill_while_locked(self, run_id: str) -> None:
        """As a run that is killed: its process takes the lake's lock and is ended by SIGKILL."""
        arguments = [sys.executable, "-c", HOLDING, self.settings.lake_uri, run_id]
        with subprocess.Popen(arguments, stdout=subprocess.PIPE) as holder:
            assert holder.stdout is not None
            assert holder.stdout.readline() == b"held\n"
            holder.kill()


@pytest.fixture
def place(broker: EmbeddedBroker, topic_prefix: str, tmp_path: Path) -> Iterator[Place]:
    settings = Settings(
        lakehouse_root=str(tmp_path / "lake"),
        kafka_bootstrap_servers=broker.bootstrap_servers,
        kafka_topic_prefix=topic_prefix,
    )
    with dg.DagsterInstance.ephemeral() as instance:
        yield Place(settings, instance)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run in progress is said at once."""
    monkeypatch.setattr(sensors, "SECONDS_TO_AWAIT_AN_END", 0.0)


@pytest.fixture
def ready(place: Place) -> Place:
    """Topics that hold ten messages, and raw tables that have them."""
    place.create_topics()
    place.send(10)
    place.read_everything()
    return place


def skipped(result: Any) -> str:
    assert isinstance(result, dg.SkipReason), result
    return result.skip_message or ""


def requested(result: Any) -> dg.RunRequest:
    assert isinstance(result, dg.RunRequest), result
    return result


def test_topics_that_do_not_exist_yet_are_a_skip_reason(place: Place) -> None:
    assert f"topics that don't exist yet: {place.topic}" in skipped(place.tick())
    assert "topics that don't exist yet" in skipped(place.tick(kafka_observation_sensor))


def test_empty_topics_are_no_new_messages(place: Place) -> None:
    place.create_topics()
    assert skipped(place.tick()) == "no new messages"


def test_first_messages_are_requested_with_the_offsets_in_the_tags(place: Place) -> None:
    place.create_topics()
    place.send(3, partition=1)
    request = requested(place.tick())
    topic = describe_topics(place.settings, [place.topic])[place.topic]
    assert request.tags["kafka/listen_events"] == f"{topic.topic_id} 0:0 1:3"
    assert set(request.tags) == {f"kafka/{event}" for event in place.settings.topics}


def test_a_tick_that_finds_nothing_new_takes_less_than_a_second(ready: Place) -> None:
    ready.tick()
    started = time.monotonic()
    assert skipped(ready.tick()) == "no new messages"
    seconds = time.monotonic() - started
    print(f"tick: {seconds:.3f} s")
    assert seconds < 1


def test_one_new_message_is_due(ready: Place) -> None:
    ready.send(1, partition=1)
    assert requested(ready.tick()).tags["kafka/listen_events"].endswith(" 0:10 1:1")


def test_what_the_raw_tables_hold_counts_also_where_no_position_was_recorded(ready: Place) -> None:
    ready.send(1)
    topic = describe_topics(ready.settings, [ready.topic])[ready.topic]
    write_raw(ready.lake, "listen_events", ready.topic, [(topic.topic_id, 0, 10)])
    assert skipped(ready.tick()) == "no new messages"


def test_messages_of_an_open_transaction_are_due_once_it_is_committed(ready: Place) -> None:
    producer = Producer({"bootstrap.servers": ready.settings.kafka_bootstrap_servers, "transactional.id": ready.topic})
    producer.init_transactions()
    producer.begin_transaction()
    producer.produce(ready.topic, b"in a transaction", partition=0)
    producer.flush()
    assert skipped(ready.tick()) == "no new messages"
    producer.commit_transaction()
    deadline = time.monotonic() + 10
    while isinstance(result := ready.tick(), dg.SkipReason) and time.monotonic() < deadline:
        time.sleep(0.1)
    requested(result)


def test_with_the_broker_down_a_tick_says_so_within_five_seconds(place: Place) -> None:
    place.settings = place.settings.model_copy(update={"kafka_bootstrap_servers": f"127.0.0.1:{free_port()}"})
    for sensor in (kafka_sensor, kafka_observation_sensor):
        started = time.monotonic()
        reason = skipped(place.tick(sensor))
        assert time.monotonic() - started < 5
        assert "no Kafka broker answers at 127.0.0.1:" in reason
        assert "broker start" in reason


def test_a_topic_that_was_made_anew_is_due_until_its_loss_is_accepted(ready: Place) -> None:
    admin = AdminClient({"bootstrap.servers": ready.settings.kafka_bootstrap_servers})
    admin.delete_topics([ready.topic])[ready.topic].result(10)
    deadline = time.monotonic() + 20
    while ready.topic in describe_topics(ready.settings, [ready.topic]) and time.monotonic() < deadline:
        time.sleep(0.2)
    ready.create_topics()
    requested(ready.tick())
    topic = describe_topics(ready.settings, [ready.topic])[ready.topic]
    accept_losses(ready.lake, LISTENS, topic)
    assert skipped(ready.tick()) == "no new messages"


@pytest.mark.parametrize("status", [dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.STARTED])
def test_a_run_that_is_queued_or_has_just_started_is_waited_for(ready: Place, status: dg.DagsterRunStatus) -> None:
    ready.send(1)
    run = ready.add_run("11111111-0000-4000-8000-000000000000", status)
    assert f"run {run.run_id} is" in skipped(ready.tick())


def test_a_run_that_holds_the_lake_is_waited_for(ready: Place) -> None:
    ready.send(1)
    run = ready.add_run("11111111-0000-4000-8000-000000000000", dg.DagsterRunStatus.STARTED)
    lock = LakeLock(ready.settings.lake_uri)
    lock.acquire(run.run_id)
    try:
        assert skipped(ready.tick()) == f"run {run.run_id} holds the lake"
    finally:
        lock.release()


def test_a_run_that_ends_soon_is_followed_by_the_next_in_the_same_tick(
    ready: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sensors, "SECONDS_TO_AWAIT_AN_END", 30.0)
    ready.send(1)
    lock = LakeLock(ready.settings.lake_uri)
    lock.acquire("11111111-0000-4000-8000-000000000000")
    began = time.monotonic()
    threading.Timer(2, lock.release).start()

    requested(ready.tick())

    assert 2 <= time.monotonic() - began < 30


@pytest.mark.parametrize("status", [dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.STARTED])
def test_the_sensor_steps_aside_while_continuous_mode_runs(ready: Place, status: dg.DagsterRunStatus) -> None:
    ready.send(1)
    run = ready.add_run("11111111-0000-4000-8000-000000000000", status, job="continuous_pipeline")
    lock = LakeLock(ready.settings.lake_uri)
    lock.acquire(run.run_id, lends=True)
    try:
        assert skipped(ready.tick()) == (
            f"continuous_pipeline takes messages as they come (run {run.run_id}): no other run is requested"
        )
    finally:
        lock.release()


def test_where_continuous_mode_was_killed_the_sensor_takes_over(ready: Place) -> None:
    ready.send(1)
    run_id = "11111111-0000-4000-8000-000000000000"
    ready.add_run(run_id, dg.DagsterRunStatus.STARTED, job="continuous_pipeline")
    ready.kill_while_locked(run_id)
    requested(ready.tick())
    reported = ready.instance.get_run_by_id(run_id)
    assert reported is not None
    assert reported.status is dg.DagsterRunStatus.FAILURE


def test_a_run_that_was_killed_is_reported_failed_and_its_messages_asked_for_again(
    ready: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready.send(1)
    first = requested(ready.tick())
    run = ready.add_run("11111111-0000-4000-8000-000000000000", dg.DagsterRunStatus.STARTED, dict(first.tags))
    ready.kill_while_locked(run.run_id)
    assert lock_file(ready.settings.lake_uri).exists()
    assert "; attempt 2 in 10 s" in skipped(ready.tick())
    reported = ready.instance.get_run_by_id(run.run_id)
    assert reported is not None
    assert reported.status is dg.DagsterRunStatus.FAILURE
    events = ready.instance.get_records_for_run(run.run_id, of_type=dg.DagsterEventType.RUN_FAILURE).records
    assert "it was killed" in events[0].event_log_entry.message
    (ended,) = ended_runs(ready.instance, "streaming_pipeline")
    assert (ended.passing, ended.lasting, ended.succeeded) == (True, False, False)
    monkeypatch.setattr(triggers, "FIRST_WAIT_SECONDS", 0.0)
    again = requested(ready.tick())
    assert again.tags == first.tags
    assert again.run_key != first.run_key


def test_a_run_that_never_takes_the_lock_is_reported_failed_after_the_grace(
    ready: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = ready.add_run("11111111-0000-4000-8000-000000000000", dg.DagsterRunStatus.STARTED)
    assert f"run {run.run_id} is starting or ending" in skipped(ready.tick())
    monkeypatch.setattr(triggers, "GRACE_SECONDS", 0.0)
    skipped(ready.tick())
    assert ready.instance.get_runs_count(dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE])) == 1


def add_run_of_some_assets(instance: dg.DagsterInstance, number: int) -> None:
    instance.add_run(
        dg.DagsterRun(
            job_name="streaming_pipeline",
            run_id=f"22222222-0000-4000-8000-{number:012}",
            status=dg.DagsterRunStatus.FAILURE,
            asset_selection=frozenset({dg.AssetKey(["silver", "dim_songs"])}),
        )
    )


def test_a_run_of_some_assets_says_nothing_of_the_whole_pipeline(ready: Place) -> None:
    add_run_of_some_assets(ready.instance, 1)
    assert skipped(ready.tick()) == "no new messages"


def test_the_last_runs_of_the_whole_pipeline_are_found_behind_any_number_of_others(ready: Place) -> None:
    whole = [f"11111111-0000-4000-8000-{number:012}" for number in range(RUNS_LOOKED_AT + 1)]
    for number, run_id in enumerate(whole):
        ready.add_run(run_id, dg.DagsterRunStatus.FAILURE)
        for other in range(2):
            add_run_of_some_assets(ready.instance, 2 * number + other)
    ended = ended_runs(ready.instance, "streaming_pipeline")
    assert [run.run_id for run in ended] == whole[:0:-1]


def test_an_observation_has_end_offsets_lag_and_the_newest_message(ready: Place) -> None:
    ready.send(4)
    result = ready.tick(kafka_observation_sensor)
    assert isinstance(result, dg.SensorResult)
    observed = {event.asset_key.path[-1]: event for event in result.asset_events or ()}
    assert set(observed) == set(ready.settings.topics)
    metadata: dict[str, Any] = {name: value.value for name, value in observed["listen_events"].metadata.items()}
    assert metadata["end_offsets"] == {"0": 14, "1": 0}
    assert metadata["lag"] == 4
    assert abs(metadata["newest_message"] - time.time()) < 60
    assert observed["auth_events"].metadata["newest_message"].value is None


def test_the_newest_message_is_found_behind_the_marker_of_a_transaction(ready: Place) -> None:
    producer = Producer({"bootstrap.servers": ready.settings.kafka_bootstrap_servers, "transactional.id": ready.topic})
    producer.init_transactions()
    producer.begin_transaction()
    sent = int(datetime.now(timezone.utc).timestamp() * 1000)
    producer.produce(ready.topic, b"committed", partition=0, timestamp=sent)
    producer.commit_transaction()
    topic = describe_topics(ready.settings, [ready.topic])[ready.topic]
    assert topic.end_offsets[0] == 12, "a message and a marker"
    newest = newest_message_time(ready.settings, topic)
    assert newest is not None
    assert newest >= sent
    backlogs, missing = find_backlogs(ready.lake, ready.settings)
    assert (backlogs[0].unread, backlogs[0].lost, missing) == (2, False, [])
