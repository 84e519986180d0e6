"""The daily summaries computed again by day, from Dagster's UI: an asset of its own, so that runs need no partition."""

from collections.abc import Iterator
from datetime import date, timedelta

import dagster as dg

from music_lakehouse.defs.catalog import CHECKS, find_table
from music_lakehouse.defs.listening.gold_tables import DAILY_USER_SUMMARY, WIDE_STREAMS
from music_lakehouse.defs.listening.steps.summaries import DAILY, summarize_days
from music_lakehouse.defs.shell import asset_key, column_schema, retried, version_of
from music_lakehouse.lakehouse.checks import evaluate
from music_lakehouse.lakehouse.days import Days
from music_lakehouse.lakehouse.tables import Column
from music_lakehouse.resources.lakehouse import LakehouseResource

DAYS = dg.DailyPartitionsDefinition(start_date="2000-01-01", end_offset=2)
"""From the first day that an event may have to the last one: a day after its message."""

_DAY = Column("date_part", "DATE", "the day of the events, UTC")


@dg.multi_asset(
    specs=[
        dg.AssetSpec(
            ["backfill", "daily_summaries"],
            deps=[asset_key(WIDE_STREAMS)],
            group_name="backfill",
            kinds={"pyspark", "deltalake"},
            owners=[DAILY_USER_SUMMARY.owner],
            description=f"The days of {' and '.join(table.full_name for table in DAILY)}, computed again from "
            "gold.wide_streams for whoever chooses them, in one run a stretch of days: the difference is written into "
            "these tables. The pipeline keeps them by itself.",
            metadata={"dagster/column_schema": column_schema([_DAY])},
            partitions_def=DAYS,
        )
    ],
    name="daily_summaries",
    backfill_policy=dg.BackfillPolicy.single_run(),
)
@retried
def daily_summaries(context: dg.AssetExecutionContext, lakehouse: LakehouseResource) -> Iterator[dg.MaterializeResult]:
    """Summarizes the days of the run's partitions. Fails where a check that stops is not passed then."""
    lake = lakehouse.lake
    chosen = context.partition_key_range
    first, last = date.fromisoformat(chosen.start), date.fromisoformat(chosen.end)
    days = Days.of("date_part", (first + timedelta(days=n) for n in range((last - first).days + 1)))
    lake.expect(None)
    figures: dict[str, int] = {}
    broken = []
    for table in DAILY:
        before = version_of(lake, table)
        written = summarize_days(lake, table, days)
        figures |= {f"{table.name}/{name}": count for name, count in written.figures.items()}
        context.log_event(
            dg.AssetObservation(
                asset_key(table), description=f"{chosen.start} to {chosen.end} again", metadata=written.figures
            )
        )
        for outcome in evaluate(lake, table, CHECKS[table], since=before, find_table=find_table):
            if outcome.check.error and not outcome.passed:
                broken.append(outcome.told(table))
    if broken:
        raise dg.Failure(f"broken: {'; '.join(broken)}", metadata=figures, allow_retries=False)
    yield dg.MaterializeResult(metadata=figures)


daily_summaries_backfill = dg.define_asset_job(
    "daily_summaries_backfill",
    selection=dg.AssetSelection.assets(daily_summaries),
    description="Days of the daily summaries computed again from gold.wide_streams: choose them as partitions.",
    executor_def=dg.in_process_executor,
    tags={"dagster/max_runtime": str(6 * 3600)},
)
