"""The listening tables as assets: each a thin shell over what takes its sources into it."""

from datetime import timedelta
from typing import Any

import dagster as dg

from music_lakehouse.defs.listening import lineage
from music_lakehouse.defs.listening.catalog import find_table
from music_lakehouse.defs.listening.checks import CHECKS
from music_lakehouse.defs.listening.parsing import parse_topic
from music_lakehouse.defs.listening.steps import STEPS
from music_lakehouse.defs.listening.tables import (
    BRONZE,
    EVENT_FIELDS,
    QUARANTINE,
    RAW,
    REFERENCE_SONGS,
    REFERENCE_STATES,
)
from music_lakehouse.defs.listening.transforms import events
from music_lakehouse.defs.listening.transforms.reference import (
    SONG_COLUMNS,
    STATE_COLUMNS,
    reference_songs,
    reference_states,
)
from music_lakehouse.defs.shell import asset_key, asset_options, column_schema, materialized, retried
from music_lakehouse.lakehouse.kafka_ingest import ingest_topic
from music_lakehouse.lakehouse.lake import LakePaths
from music_lakehouse.lakehouse.reference import Reference, load_reference
from music_lakehouse.lakehouse.steps import Step, run_step
from music_lakehouse.lakehouse.tables import Table
from music_lakehouse.resources.files import ReferenceFiles
from music_lakehouse.resources.kafka import KafkaResource
from music_lakehouse.resources.lakehouse import LakehouseResource
from music_lakehouse.settings import TOPICS

MOST_RAW_BYTES_A_BATCH = "128m"

# Runs come with messages, so a table that wasn't materialized for long says that none came, or that runs fail. Raw
# shows it first, and gold is what people read; how old the events are is a check of bronze.
FRESH = dg.FreshnessPolicy.time_window(warn_window=timedelta(hours=6), fail_window=timedelta(days=1))
KEPT_FRESH = {"raw", "gold"}

REFERENCES = (
    Reference(REFERENCE_SONGS, "songs.csv", SONG_COLUMNS, reference_songs),
    Reference(REFERENCE_STATES, "state_codes.csv", STATE_COLUMNS, reference_states),
)


def _options(table: Table, **more: Any) -> dict[str, Any]:
    options = asset_options(table, checks=CHECKS.get(table, ()), **more)
    columns = lineage.of(table)
    if columns:
        options["metadata"]["dagster/column_lineage"] = columns
    if table.layer in KEPT_FRESH:
        options["freshness_policy"] = FRESH
    return options


def _version(lake: LakePaths, table: Table) -> int:
    state = lake.state(table)
    return -1 if state is None else state.version


def kafka_topic_key(event: str) -> dg.AssetKey:
    return dg.AssetKey(["kafka", event])


def _build_raw_asset(event: str) -> dg.AssetsDefinition:
    table = RAW[event]

    @dg.asset(**_options(table), deps=[kafka_topic_key(event)])
    @retried
    def raw(
        context: dg.AssetExecutionContext, lakehouse: LakehouseResource, kafka: KafkaResource
    ) -> dg.MaterializeResult:
        lake, topic = lakehouse.lake, kafka.topic(event)
        before = _version(lake, table)
        read = ingest_topic(lake, kafka.settings, topic, table, max_offsets=kafka.max_messages_per_batch)
        context.log.info(f"{read.rows} messages of {topic.name}, up to offsets {read.end_offsets}")
        return materialized(
            context,
            lake,
            table,
            since=before,
            checks=CHECKS[table],
            find_table=find_table,
            metadata={
                "rows_inserted": read.rows,
                "batches": read.batches,
                "offsets_from": {str(p): offset for p, offset in read.start_offsets.items()},
                "offsets_to": {str(p): offset for p, offset in read.end_offsets.items()},
                "kafka_topic_id": topic.topic_id,
                "duration_seconds": read.seconds,
            },
        )

    return raw


def _build_bronze_asset(event: str) -> dg.AssetsDefinition:
    table = BRONZE[event]

    @dg.asset(**_options(table, rules=events.rules(event)), deps=[asset_key(RAW[event])])
    @retried
    def bronze(context: dg.AssetExecutionContext, lakehouse: LakehouseResource) -> dg.MaterializeResult:
        lake = lakehouse.lake
        before = _version(lake, table)
        parsed = parse_topic(lake, event, max_bytes=MOST_RAW_BYTES_A_BATCH)
        context.log.info(f"{parsed.rows} messages, {parsed.refused} of them into quarantine")
        return materialized(
            context,
            lake,
            table,
            since=before,
            checks=CHECKS[table],
            rule_results=parsed.rule_results,
            find_table=find_table,
            metadata={
                "rows_read": parsed.rows,
                "rows_inserted": parsed.rows - parsed.refused,
                "rows_quarantined": parsed.refused,
                "rows_rescued": parsed.rescued,
                "duration_seconds": parsed.seconds,
            },
        )

    return bronze


@dg.asset(**_options(QUARANTINE), deps=[asset_key(table) for table in BRONZE.values()])
def quarantine(context: dg.AssetExecutionContext, lakehouse: LakehouseResource) -> dg.MaterializeResult:
    lake = lakehouse.paths
    return materialized(
        context, lake, QUARANTINE, since=None, checks=CHECKS[QUARANTINE], find_table=find_table, metadata={}
    )


def _build_reference_asset(reference: Reference) -> dg.AssetsDefinition:
    table = reference.table
    readable = dg.AssetCheckSpec(
        "file_readable",
        asset=asset_key(table),
        description=f"{reference.file_name} is there, and all of it can be read",
    )
    options = _options(table)
    options["check_specs"] = [*options["check_specs"], readable]

    @dg.asset(**options)
    @retried
    def loaded(
        context: dg.AssetExecutionContext, lakehouse: LakehouseResource, reference_files: ReferenceFiles
    ) -> dg.MaterializeResult:
        lake = lakehouse.lake
        report = load_reference(lake, reference, reference_files.path)
        result = materialized(
            context,
            lake,
            table,
            since=None,
            find_table=find_table,
            metadata={
                "rows_inserted": report.written.inserted,
                "rows_deleted": report.written.deleted,
                "duration_seconds": report.seconds,
            },
        )
        check = dg.AssetCheckResult(
            asset_key=asset_key(table),
            check_name=readable.name,
            passed=not report.problems,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={"problems": "; ".join(report.problems)},
        )
        return result._replace(check_results=[*(result.check_results or ()), check])

    return loaded


def _build_step_asset(step: Step) -> dg.AssetsDefinition:
    table = step.table

    @dg.asset(**_options(table), deps=[asset_key(source) for source in (*step.sources, *step.after)])
    @retried
    def kept(context: dg.AssetExecutionContext, lakehouse: LakehouseResource) -> dg.MaterializeResult:
        lake = lakehouse.lake
        before = _version(lake, table)
        report = run_step(lake, step)
        written = report.written
        context.log.info(f"{written.inserted} rows inserted, {written.updated} updated, {written.deleted} deleted")
        return materialized(
            context,
            lake,
            table,
            since=before,
            checks=CHECKS[table],
            find_table=find_table,
            metadata={
                "rows_inserted": written.inserted,
                "rows_updated": written.updated,
                "rows_deleted": written.deleted,
                "source_versions": report.changes.described(),
                "duration_seconds": report.seconds,
            },
        )

    return kept


KAFKA_TOPICS = [
    dg.AssetSpec(
        kafka_topic_key(event),
        group_name="kafka",
        kinds={"kafka"},
        owners=[RAW[event].owner],
        description=f"The Kafka topic {event}: one message an event, JSON in UTF-8, without a key.",
        metadata={"dagster/column_schema": column_schema(EVENT_FIELDS[event])},
    )
    for event in TOPICS
]

ASSETS: list[dg.AssetsDefinition | dg.AssetSpec] = [
    *KAFKA_TOPICS,
    *(_build_raw_asset(event) for event in TOPICS),
    *(_build_bronze_asset(event) for event in TOPICS),
    quarantine,
    *(_build_reference_asset(reference) for reference in REFERENCES),
    *(_build_step_asset(step) for step in STEPS.values()),
]
"""All listening assets, and the topics that they come from."""
