"""The job `audit`: the laws over all of every table of all pipelines, and when it runs."""

from collections.abc import Iterator

import dagster as dg

from music_lakehouse.defs.catalog import CHECKS, find_table
from music_lakehouse.defs.shell import asset_key, check_result
from music_lakehouse.lakehouse.checks import evaluate
from music_lakehouse.lakehouse.lake import Snapshot
from music_lakehouse.resources.lakehouse import LakehouseResource

AUDIT_PREFIX = "audit_"
# Longer than a run of the pipelines takes, but for a full load.
LOCK_WAIT_SECONDS = 900.0

_AUDITED = {
    table: [check.over_all for check in checks if check.error or check.audited] for table, checks in CHECKS.items()
}
_READ = {
    *_AUDITED,
    *(
        find_table(name)
        for checks in _AUDITED.values()
        for check in checks
        for name in check.tables | check.counted | check.dated
    ),
}


@dg.multi_asset_check(
    specs=[
        dg.AssetCheckSpec(f"{AUDIT_PREFIX}{check.name}", asset=asset_key(table), description=check.description)
        for table, checks in _AUDITED.items()
        for check in checks
    ],
    # A run of some assets takes their checks only.
    can_subset=True,
)
def whole_tables(context: dg.AssetCheckExecutionContext, lakehouse: LakehouseResource) -> Iterator[dg.AssetCheckResult]:
    """The laws over everything, rather than over what one run touched. Fails where one is broken that stops a run.

    They speak of several tables, which agree between two runs only: all are read as they are then. Waits for the run
    that holds the lake, and holds up the next one for no longer than it takes to open the tables.
    """
    with lakehouse.still(wait_seconds=LOCK_WAIT_SECONDS):
        lake = Snapshot(lakehouse.root, _READ)
    broken = []
    for table, all_checks in _AUDITED.items():
        names = {key.name for key in context.selected_asset_check_keys if key.asset_key == asset_key(table)}
        checks = [check for check in all_checks if f"{AUDIT_PREFIX}{check.name}" in names]
        if checks and lake.state(table) is None:
            context.log.warning(f"{table.full_name} does not exist yet: run its pipeline first")
        for outcome in evaluate(lake, table, checks, since=None, find_table=find_table):
            yield check_result(table, outcome, prefix=AUDIT_PREFIX)
            if outcome.check.error and not outcome.passed:
                broken.append(outcome.told(table))
    if broken:
        raise dg.Failure(f"broken: {'; '.join(broken)}", allow_retries=False)


audit = dg.define_asset_job(
    "audit",
    selection=dg.AssetSelection.checks(whole_tables),
    description="Every law over all of every table.",
    executor_def=dg.in_process_executor,
)

daily_audit = dg.ScheduleDefinition(
    name="daily_audit",
    job=audit,
    cron_schedule="0 4 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Every law over all of every table, at four in the morning UTC.",
)
