"""The listening jobs: the pipeline, and the audit of all tables."""

from collections.abc import Iterator

import dagster as dg

from music_lakehouse.defs.listening.assets import ASSETS
from music_lakehouse.defs.listening.catalog import find_table
from music_lakehouse.defs.listening.checks import CHECKS
from music_lakehouse.defs.shell import asset_key, check_result
from music_lakehouse.lakehouse.checks import evaluate
from music_lakehouse.resources.lakehouse import LakehouseResource

AUDIT_PREFIX = "audit_"

_AUDITED = {table: [check for check in checks if check.error] for table, checks in CHECKS.items()}


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
    """The laws over everything, rather than over what one run touched. Fails where one is broken."""
    broken = []
    for table, all_checks in _AUDITED.items():
        names = {key.name for key in context.selected_asset_check_keys if key.asset_key == asset_key(table)}
        checks = [check for check in all_checks if f"{AUDIT_PREFIX}{check.name}" in names]
        if checks and lakehouse.paths.state(table) is None:
            context.log.warning(f"{table.full_name} does not exist yet: run streaming_pipeline first")
        for outcome in evaluate(lakehouse.paths, table, checks, since=None, find_table=find_table):
            yield check_result(table, outcome, prefix=AUDIT_PREFIX)
            if not outcome.passed:
                broken.append(f"{table.full_name}: {outcome.check.name} ({outcome.failed} of {outcome.rows})")
    if broken:
        raise dg.Failure(f"broken: {'; '.join(broken)}", allow_retries=False)


# One process with one Spark session a run, and one writer a lake.
streaming_pipeline = dg.define_asset_job(
    "streaming_pipeline",
    selection=dg.AssetSelection.assets(*(a for a in ASSETS if isinstance(a, dg.AssetsDefinition)))
    - dg.AssetSelection.checks(whole_tables),
    description="Everything from Kafka to gold, once over what is available.",
    executor_def=dg.in_process_executor,
    tags={"dagster/max_runtime": str(6 * 3600)},
)

audit = dg.define_asset_job(
    "audit",
    selection=dg.AssetSelection.checks(whole_tables),
    description="Every law over all of every table.",
    executor_def=dg.in_process_executor,
)
