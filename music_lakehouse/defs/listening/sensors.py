"""The sensors of the Kafka topics: one requests runs for new messages, one observes the topics."""

import json
import time

import dagster as dg

from music_lakehouse.defs.failures import step_errors
from music_lakehouse.defs.listening.assets import kafka_topic_key
from music_lakehouse.defs.listening.jobs import streaming_pipeline
from music_lakehouse.defs.listening.kafka_trigger import (
    Backlog,
    EndedRun,
    LockState,
    NotDue,
    OpenRun,
    decide,
    look_at_open_runs,
    offset_tags,
    run_key,
)
from music_lakehouse.defs.listening.tables import RAW
from music_lakehouse.lakehouse import kafka_positions, locks
from music_lakehouse.lakehouse.kafka import BrokerUnavailableError, describe_topics, newest_message_time
from music_lakehouse.lakehouse.lake import LakePaths
from music_lakehouse.resources.kafka import KafkaResource
from music_lakehouse.resources.lakehouse import LakehouseResource
from music_lakehouse.settings import Settings

# With this the tick answers within five seconds, also where no broker does.
BROKER_SECONDS = 4.0
# So many runs that failed in a row make the longest wait.
RUNS_LOOKED_AT = 8
# After these, running again over the same messages changes nothing.
LASTING_ERRORS = {"DagsterAssetCheckFailedError", "ExpectationFailedError"}
OPEN = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
ENDED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]


@dg.sensor(
    job=streaming_pipeline,
    minimum_interval_seconds=15,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Requests a run of the pipeline for messages that the raw tables lack, one at a time; again after a "
    "run that failed. Reports runs that were killed as failed.",
)
def kafka_sensor(
    context: dg.SensorEvaluationContext, kafka: KafkaResource, lakehouse: LakehouseResource
) -> dg.RunRequest | dg.SkipReason:
    now = time.time()
    busy = _look_at_open_runs(context, lakehouse.root, now)
    if busy:
        return dg.SkipReason(busy)
    try:
        backlogs, missing = find_backlogs(lakehouse.paths, kafka.settings)
    except BrokerUnavailableError as error:
        return dg.SkipReason(str(error))
    decision = decide(backlogs, missing, _ended_runs(context.instance), now)
    if isinstance(decision, NotDue):
        return dg.SkipReason(decision.reason)
    context.log.info(decision.reason)
    tags = offset_tags(backlogs)
    attempt = context.instance.get_runs_count(dg.RunsFilter(job_name=streaming_pipeline.name, tags=tags))
    return dg.RunRequest(run_key=run_key(tags, attempt), tags=tags)


@dg.sensor(
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Observes the Kafka topics: end offsets, messages that the raw table lacks, newest message.",
)
def kafka_observation_sensor(
    context: dg.SensorEvaluationContext, kafka: KafkaResource, lakehouse: LakehouseResource
) -> dg.SensorResult | dg.SkipReason:
    settings = kafka.settings
    try:
        backlogs, missing = find_backlogs(lakehouse.paths, settings)
        observations = [_observation(settings, backlog) for backlog in backlogs]
    except BrokerUnavailableError as error:
        return dg.SkipReason(str(error))
    if not observations:
        return dg.SkipReason(f"topics that don't exist yet: {', '.join(missing)}")
    unread = sum(backlog.unread for backlog in backlogs)
    return dg.SensorResult(
        asset_events=observations,
        skip_reason=f"observed {len(observations)} topics: {unread} messages that raw lacks",
    )


def find_backlogs(lake: LakePaths, settings: Settings) -> tuple[list[Backlog], list[str]]:
    """What each topic holds that its raw table lacks, and the names of topics that don't exist.

    Raises BrokerUnavailableError where no broker answers within four seconds.
    """
    topics = describe_topics(settings, settings.topics.values(), timeout_seconds=BROKER_SECONDS)
    backlogs = []
    for event, name in settings.topics.items():
        if name in topics:
            topic, table = topics[name], RAW[event]
            starts = kafka_positions.starting_offsets(lake, table, topic)
            unread = sum(end - starts[partition] for partition, end in topic.end_offsets.items())
            lost = bool(kafka_positions.find_losses(lake, table, topic))
            backlogs.append(Backlog(event, topic, unread, lost))
    return backlogs, [name for name in settings.topics.values() if name not in topics]


def _look_at_open_runs(context: dg.SensorEvaluationContext, root: str, now: float) -> str | None:
    """Why no run is due while one is in progress; reports runs that were killed. The cursor has what the last tick
    saw."""
    runs = context.instance.get_runs(dg.RunsFilter(job_name=streaming_pipeline.name, statuses=OPEN))
    holder = locks.read_holder(locks.lock_file(root))
    found = look_at_open_runs(
        [OpenRun(run.run_id, queued=run.status is dg.DagsterRunStatus.QUEUED) for run in runs],
        None if holder is None else LockState(holder.run_id, holder.alive),
        json.loads(context.cursor) if context.cursor else {},
        now,
    )
    context.update_cursor(json.dumps(found.unlocked))
    for run in runs:
        if run.run_id in found.dead:
            context.log.warning(f"run {run.run_id} was killed: it is reported as failed")
            context.instance.report_run_failed(
                run, "The run's process is gone, and the lake's lock with it: it was killed. Nothing is lost by that."
            )
    return found.busy


def _ended_runs(instance: dg.DagsterInstance) -> list[EndedRun]:
    """The last runs of the whole pipeline that have ended, the newest first."""
    records = instance.get_run_records(
        dg.RunsFilter(job_name=streaming_pipeline.name, statuses=ENDED), limit=RUNS_LOOKED_AT
    )
    return [_ended(instance, record) for record in records if not record.dagster_run.asset_selection]


def _ended(instance: dg.DagsterInstance, record: dg.RunRecord) -> EndedRun:
    run = record.dagster_run
    return EndedRun(
        run.run_id,
        succeeded=run.status is dg.DagsterRunStatus.SUCCESS,
        ended=record.end_time or record.create_timestamp.timestamp(),
        tags=run.tags,
        lasting=run.status is dg.DagsterRunStatus.FAILURE and _failed_by_a_rule(instance, run.run_id),
    )


def _failed_by_a_rule(instance: dg.DagsterInstance, run_id: str) -> bool:
    errors = step_errors(instance, run_id)
    return bool(errors) and all(error.class_name in LASTING_ERRORS for error in errors)


def _observation(settings: Settings, backlog: Backlog) -> dg.AssetObservation:
    newest = newest_message_time(settings, backlog.topic)
    return dg.AssetObservation(
        asset_key=kafka_topic_key(backlog.event),
        metadata={
            "topic": backlog.topic.name,
            "topic_id": backlog.topic.topic_id,
            "end_offsets": {str(partition): end for partition, end in backlog.topic.end_offsets.items()},
            "lag": backlog.unread,
            "messages_lost": backlog.lost,
            "newest_message": dg.MetadataValue.null() if newest is None else dg.MetadataValue.timestamp(newest / 1000),
        },
    )
