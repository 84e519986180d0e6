"""gold.listening_report: what is listened to as one HTML page, its job, and when it is written."""

import time
from importlib.util import find_spec

import dagster as dg

from music_lakehouse.dashboard import report
from music_lakehouse.defs.shell import asset_key
from music_lakehouse.resources.lakehouse import LakehouseResource

WITHOUT_CHARTS = (
    "Altair and vl-convert, which draw the report's charts, are not installed: `make setup` installs them, or pip the "
    "extra music-lakehouse[dashboard]"
)


@dg.asset(
    key=["gold", "listening_report"],
    deps=[asset_key(table) for table in report.SOURCES],
    group_name="gold",
    kinds={"html", "altair"},
    owners=["team:data-platform"],
    description="One HTML page with charts and their numbers: top songs, activity by hour, users by level and gender, "
    "listens by state, of all streams in the lake. It needs no network and no scripts, names no person, and is written "
    "anew where its tables have changed.",
)
def listening_report(context: dg.AssetExecutionContext, lakehouse: LakehouseResource) -> dg.MaterializeResult:
    if not can_draw():
        raise dg.Failure(WITHOUT_CHARTS, allow_retries=False)
    started = time.monotonic()
    lake = lakehouse.paths
    outdated = report.is_outdated(lake)
    # What a page that stays shows, its tables still give.
    shown = report.write(lake) if outdated else report.ask(lake)
    where = report.location(lake)
    context.log.info(f"{where}: {shown.subtitle}" if outdated else f"{where} is up to date")
    uri = dg.MetadataValue.url(where) if "://" in where else dg.MetadataValue.path(where)
    return dg.MaterializeResult(
        metadata={
            "dagster/uri": where,
            "page": uri,
            "preview": dg.MetadataValue.md(shown.markdown),
            "streams": shown.streams,
            "written": outdated,
            "duration_seconds": time.monotonic() - started,
        }
    )


def can_draw() -> bool:
    """Whether the packages are there that charts take, and that no other asset needs."""
    return all(find_spec(package) is not None for package in ("altair", "vl_convert"))


listening_report_job = dg.define_asset_job(
    "listening_report",
    selection=dg.AssetSelection.assets(listening_report),
    description="The listening report, where its tables have changed.",
    executor_def=dg.in_process_executor,
)


@dg.schedule(
    name="hourly_listening_report",
    job=listening_report_job,
    cron_schedule="10 * * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Writes the listening report anew, ten minutes past the hour, where its tables have changed. It is no "
    "part of the pipeline's runs, which come every few seconds and would each wait for it.",
)
def hourly_listening_report(lakehouse: LakehouseResource) -> dg.RunRequest | dg.SkipReason:
    if not can_draw():
        return dg.SkipReason(WITHOUT_CHARTS)
    if not report.is_outdated(lakehouse.paths):
        return dg.SkipReason("the report has all rows of its tables")
    return dg.RunRequest()
