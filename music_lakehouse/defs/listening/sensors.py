"""The sensors of the Kafka topics: one requests runs for new messages, one observes the topics."""

import time
from functools import partial

import dagster as dg

from music_lakehouse.defs.job_runs import ended_runs, look_at_jobs, open_runs, request_run
from music_lakehouse.defs.listening.assets import kafka_topic_key
from music_lakehouse.defs.listening.backlogs import Backlog, find_backlogs
from music_lakehouse.defs.listening.continuous import continuous_pipeline
from music_lakehouse.defs.listening.jobs import streaming_pipeline
from music_lakehouse.defs.listening.kafka_trigger import decide, offset_tags
from music_lakehouse.defs.triggers import NotDue
from music_lakehouse.lakehouse.kafka import newest_message_time
from music_lakehouse.lakehouse.kafka_access import BROKER_ERRORS
from music_lakehouse.resources.kafka import KafkaResource
from music_lakehouse.resources.lakehouse import LakehouseResource
from music_lakehouse.settings import Settings

# Dagster's daemon looks at all sensors every five seconds. In these a run that ends is waited for, so that the next one
# begins at once; and a sensor that asks for an interval of five is left out by a hair every other time.
SECONDS_TO_AWAIT_AN_END = 4.0
SECONDS_BETWEEN_LOOKS = 0.5


@dg.sensor(
    job=streaming_pipeline,
    minimum_interval_seconds=1,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Requests a run of the pipeline for messages that the raw tables lack, one at a time; again after a "
    "run that failed. Steps aside while continuous_pipeline runs. Reports runs that were killed as failed.",
)
def kafka_sensor(
    context: dg.SensorEvaluationContext, kafka: KafkaResource, lakehouse: LakehouseResource
) -> dg.RunRequest | dg.SkipReason:
    look = partial(look_at_jobs, context, [streaming_pipeline.name, continuous_pipeline.name], lakehouse.root)
    deadline = time.monotonic() + SECONDS_TO_AWAIT_AN_END
    busy = look()
    for run in open_runs(context.instance, continuous_pipeline.name):
        return dg.SkipReason(
            f"{continuous_pipeline.name} takes messages as they come (run {run.run_id}): no other run is requested"
        )
    while busy and time.monotonic() < deadline:
        time.sleep(SECONDS_BETWEEN_LOOKS)
        busy = look()
    if busy:
        return dg.SkipReason(busy)
    try:
        backlogs, missing = find_backlogs(lakehouse.paths, kafka.settings)
    except BROKER_ERRORS as error:
        return dg.SkipReason(str(error))
    decision = decide(backlogs, missing, ended_runs(context.instance, streaming_pipeline.name), time.time())
    if isinstance(decision, NotDue):
        return dg.SkipReason(decision.reason)
    context.log.info(decision.reason)
    return request_run(context.instance, streaming_pipeline.name, offset_tags(backlogs))


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
    except BROKER_ERRORS as error:
        return dg.SkipReason(str(error))
    if not observations:
        return dg.SkipReason(f"topics that don't exist yet: {', '.join(missing)}")
    unread = sum(backlog.unread for backlog in backlogs)
    return dg.SensorResult(
        asset_events=observations,
        skip_reason=f"observed {len(observations)} topics: {unread} messages that raw lacks",
    )


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
