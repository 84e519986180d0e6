"""The listening tables as assets: each a thin shell over what takes its sources into it."""

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone

import dagster as dg

from music_lakehouse.defs.listening import parsing
from music_lakehouse.defs.listening.backlogs import rows_unparsed
from music_lakehouse.defs.listening.quarantine import refused_since
from music_lakehouse.defs.listening.steps import STEPS
from music_lakehouse.defs.listening.tables import (
    BRONZE,
    EVENT_FIELDS,
    QUARANTINE,
    RAW,
    REFERENCE_SONGS,
    REFERENCE_STATES,
)
from music_lakehouse.defs.listening.transforms.reference import (
    SONG_COLUMNS,
    STATE_COLUMNS,
    reference_songs,
    reference_states,
)
from music_lakehouse.defs.reference_files import follow_reference, reference_check_specs
from music_lakehouse.defs.shell import (
    Context,
    asset_key,
    asset_spec,
    check_specs,
    column_schema,
    materialized,
    retried,
    side_by_side,
    version_of,
)
from music_lakehouse.defs.stages import build_stage
from music_lakehouse.lakehouse import delta, kafka_ingest
from music_lakehouse.lakehouse.changes import total
from music_lakehouse.lakehouse.kafka_ingest import ingest_topic
from music_lakehouse.lakehouse.lake import MOST_ROWS_OF_A_SMALL_CHANGE, LakePaths
from music_lakehouse.lakehouse.reference import Reference, is_outdated
from music_lakehouse.lakehouse.steps import in_stages
from music_lakehouse.lakehouse.stream_figures import MicroBatch, figures_of, recorded
from music_lakehouse.lakehouse.tables import Table
from music_lakehouse.resources.files import ReferenceFiles
from music_lakehouse.resources.kafka import KafkaResource
from music_lakehouse.resources.lakehouse import LakehouseResource
from music_lakehouse.settings import TOPICS

# Without compiled code Spark parses some 2,000 a second. A server compiles once for all that comes later, and has more
# than these parsed sooner with it, even the first time.
MOST_MESSAGES_WITHOUT_CODE = 10_000

# Runs come with messages, so a table that wasn't materialized for long says that none came, or that runs fail. Raw
# shows it first, and gold is what people read; how old the events are is a check of bronze.
FRESH = dg.FreshnessPolicy.time_window(warn_window=timedelta(hours=6), fail_window=timedelta(days=1))
KEPT_FRESH = {"raw", "gold"}

REFERENCES = (
    Reference(REFERENCE_SONGS, "songs.csv", SONG_COLUMNS, reference_songs),
    Reference(REFERENCE_STATES, "state_codes.csv", STATE_COLUMNS, reference_states),
)


def _spec(table: Table, deps: list[dg.AssetKey]) -> dg.AssetSpec:
    return asset_spec(table, deps=deps, freshness_policy=FRESH if table.layer in KEPT_FRESH else None)


def kafka_topic_key(event: str) -> dg.AssetKey:
    return dg.AssetKey(["kafka", event])


@dg.multi_asset(
    specs=[_spec(table, [kafka_topic_key(event)]) for event, table in RAW.items()],
    check_specs=[spec for table in RAW.values() for spec in check_specs(table)],
    can_subset=True,
)
@retried
def raw(
    context: dg.AssetExecutionContext, lakehouse: LakehouseResource, kafka: KafkaResource
) -> Iterator[dg.MaterializeResult]:
    """Every message of the topics, once, unparsed."""
    yield from take_messages(context, lakehouse, kafka)


def take_messages(
    context: Context, lakehouse: LakehouseResource, kafka: KafkaResource, *, idle: bool = True, lasting: bool = False
) -> Iterator[dg.MaterializeResult]:
    """Take into the selected raw tables what they lack of their topics, and yield what became of each; of a topic
    without new messages only if `idle` says so. `lasting` says that the session is there for more than a run."""
    # The lock first, as another run may read on meanwhile; then Kafka, so that what is wrong there is said before Spark
    # has started.
    lakehouse.hold()
    selected = [event for event in TOPICS if asset_key(RAW[event]) in context.selected_asset_keys]
    topics = {RAW[event]: topic for event, topic in kafka.topics(selected).items()}
    # A session that lasts has its tables open: to open them anew takes as long as their logs are long.
    paths = lakehouse.lake if lasting else lakehouse.paths
    waiting = {table: kafka_ingest.waiting(paths, topic, table) for table, topic in topics.items()}
    expected = sum(waiting.values())
    if not lasting and expected + rows_unparsed(paths) <= MOST_ROWS_OF_A_SMALL_CHANGE:
        lakehouse.spark.expect_little()
    lake = lakehouse.lake
    due = [table for table, count in waiting.items() if idle or count]

    batches: list[MicroBatch] = []

    def ingest(table: Table) -> dg.MaterializeResult:
        topic, before = topics[table], version_of(lake, table)
        most = kafka.max_messages_per_batch
        if lake.rows(table):
            # What comes later is taken in pieces of whole commits.
            most = min(most, parsing.MOST_MESSAGES_A_PIECE)
        read = ingest_topic(lake, kafka.settings, topic, table, max_offsets=most)
        batches.extend(read.micro_batches)
        return materialized(
            context,
            lake,
            table,
            before=before,
            metadata={
                "rows_inserted": read.rows,
                "batches": read.batches,
                "offsets_from": {str(p): offset for p, offset in read.start_offsets.items()},
                "offsets_to": {str(p): offset for p, offset in read.end_offsets.items()},
                "kafka_topic_id": topic.topic_id,
                "duration_seconds": read.seconds,
                **figures_of(read.micro_batches),
            },
        )

    lake.expect(expected)
    with recorded(lake, batches):
        yield from side_by_side(context, lake, due, ingest)


@dg.multi_asset(
    specs=[_spec(table, [asset_key(RAW[event])]) for event, table in BRONZE.items()],
    check_specs=[spec for table in BRONZE.values() for spec in check_specs(table)],
    can_subset=True,
)
@retried
def bronze(context: dg.AssetExecutionContext, lakehouse: LakehouseResource) -> Iterator[dg.MaterializeResult]:
    """The messages that are events, parsed; the others go to quarantine."""
    yield from parse_messages(context, lakehouse)


def parse_messages(
    context: Context, lakehouse: LakehouseResource, *, idle: bool = True
) -> Iterator[dg.MaterializeResult]:
    """Take into the selected bronze tables, and into quarantine, what they lack of raw, and yield what became of each;
    of a table for which nothing is new only if `idle` says so."""
    lake = lakehouse.lake
    waiting = {BRONZE[event]: parsing.waiting(lake, event) for event in TOPICS}
    due = [table for table, count in waiting.items() if idle or count != 0]

    batches: list[MicroBatch] = []

    def parse(table: Table) -> dg.MaterializeResult:
        before = version_of(lake, table)
        parsed = parsing.parse_topic(lake, table.name, max_bytes=parsing.MOST_RAW_BYTES_A_BATCH)
        batches.extend(parsed.micro_batches)
        return materialized(
            context,
            lake,
            table,
            before=before,
            whole=parsed.anew,
            rule_results=parsed.rule_results,
            metadata={
                "rows_read": parsed.rows,
                "rows_inserted": parsed.rows - parsed.refused + parsed.corrected.inserted,
                "rows_updated": parsed.corrected.updated,
                "rows_deleted": parsed.corrected.deleted,
                "rows_quarantined": parsed.refused,
                "rows_rescued": parsed.rescued,
                "duration_seconds": parsed.seconds,
                **figures_of(parsed.micro_batches),
            },
        )

    lake.expect(total(waiting.values()), few=MOST_MESSAGES_WITHOUT_CODE if lake.is_remote else None)
    with recorded(lake, batches):
        yield from side_by_side(context, lake, due, parse)


@dg.multi_asset(
    specs=[_spec(QUARANTINE, [asset_key(table) for table in BRONZE.values()])],
    check_specs=check_specs(QUARANTINE),
)
@retried
def quarantine(context: dg.AssetExecutionContext, lakehouse: LakehouseResource) -> Iterator[dg.MaterializeResult]:
    """What this run refused: the step before has written it."""
    lake = lakehouse.paths
    found, run = lake.open(QUARANTINE), context.instance.get_run_record_by_id(context.run.run_id)
    before = version_of(lake, QUARANTINE)
    if found is not None and run is not None and run.start_time is not None:
        before = delta.version_before(found, datetime.fromtimestamp(run.start_time, timezone.utc))
    yield look_at_quarantine(context, lake, before=before)


def look_at_quarantine(context: Context, lake: LakePaths, *, before: int) -> dg.MaterializeResult:
    """What bronze's queries have written to quarantine after its version `before`."""
    return materialized(context, lake, QUARANTINE, before=before, metadata=refused_since(lake, before))


@dg.multi_asset(
    specs=[_spec(reference.table, []) for reference in REFERENCES],
    check_specs=[spec for reference in REFERENCES for spec in reference_check_specs(reference)],
    can_subset=True,
)
@retried
def references(
    context: dg.AssetExecutionContext, lakehouse: LakehouseResource, reference_files: ReferenceFiles
) -> Iterator[dg.MaterializeResult]:
    """The reference files, as far as they can be read."""
    yield from load_references(context, lakehouse, reference_files)


def load_references(
    context: Context, lakehouse: LakehouseResource, reference_files: ReferenceFiles, *, idle: bool = True
) -> Iterator[dg.MaterializeResult]:
    """Make the selected reference tables equal to their files, and yield what became of each; of a file that is as it
    was loaded last only if `idle` says so."""
    lake = lakehouse.lake
    by_table = {reference.table: reference for reference in REFERENCES}
    due = [table for table, reference in by_table.items() if idle or is_outdated(lake, reference, reference_files.path)]

    def load(table: Table) -> dg.MaterializeResult:
        return follow_reference(context, lake, by_table[table], reference_files.path)

    lake.expect(MOST_ROWS_OF_A_SMALL_CHANGE)
    yield from side_by_side(context, lake, due, load)


STAGE_NAMES = ("dimensions", "facts", "wide", "summaries")
STAGES_OF_STEPS = dict(zip(STAGE_NAMES, in_stages(STEPS.values()), strict=True))
STAGES = [build_stage(name, steps, spec=_spec) for name, steps in STAGES_OF_STEPS.items()]

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

ASSETS: list[dg.AssetsDefinition | dg.AssetSpec] = [*KAFKA_TOPICS, raw, bronze, quarantine, references, *STAGES]
"""All listening assets, and the topics that they come from."""
