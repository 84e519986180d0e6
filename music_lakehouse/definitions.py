"""The code location: everything that Dagster knows of the lakehouse."""

from __future__ import annotations

import dagster as dg

from music_lakehouse.defs.alerts import failed_check_alert, freshness_alert, lag_alert, run_failure_alert
from music_lakehouse.defs.audit import audit, daily_audit, whole_tables
from music_lakehouse.defs.catalogue.assets import ASSETS as CATALOGUE
from music_lakehouse.defs.catalogue.jobs import catalogue_key_scan, catalogue_pipeline
from music_lakehouse.defs.catalogue.schedules import catalogue_key_scan_schedule, catalogue_schedule
from music_lakehouse.defs.customers.assets import ASSETS as CUSTOMERS
from music_lakehouse.defs.customers.jobs import customers_pipeline
from music_lakehouse.defs.customers.sensors import customers_files
from music_lakehouse.defs.heart_rate.assets import ASSETS as HEART_RATE
from music_lakehouse.defs.heart_rate.jobs import heart_rate_pipeline
from music_lakehouse.defs.heart_rate.sensors import heart_rate_files
from music_lakehouse.defs.listening.assets import ASSETS as LISTENING
from music_lakehouse.defs.listening.backfill import daily_summaries, daily_summaries_backfill
from music_lakehouse.defs.listening.continuous import continuous_pipeline
from music_lakehouse.defs.listening.jobs import streaming_pipeline
from music_lakehouse.defs.listening.report import hourly_listening_report, listening_report, listening_report_job
from music_lakehouse.defs.listening.schedules import reference_files_schedule
from music_lakehouse.defs.listening.sensors import kafka_observation_sensor, kafka_sensor
from music_lakehouse.defs.maintenance.jobs import table_maintenance
from music_lakehouse.defs.maintenance.schedules import daily_maintenance
from music_lakehouse.resources.build import build_resources
from music_lakehouse.settings import Settings


def build_definitions(settings: Settings) -> dg.Definitions:
    """All definitions, on the lake, the brokers and the files that the settings name. Opens and starts nothing."""
    return dg.Definitions(
        assets=[*LISTENING, daily_summaries, listening_report, *CATALOGUE, *CUSTOMERS, *HEART_RATE],
        asset_checks=[whole_tables],
        jobs=[
            streaming_pipeline,
            continuous_pipeline,
            daily_summaries_backfill,
            catalogue_pipeline,
            catalogue_key_scan,
            customers_pipeline,
            heart_rate_pipeline,
            listening_report_job,
            audit,
            table_maintenance,
        ],
        schedules=[
            daily_audit,
            reference_files_schedule,
            hourly_listening_report,
            catalogue_schedule,
            catalogue_key_scan_schedule,
            daily_maintenance,
        ],
        sensors=[
            kafka_sensor,
            kafka_observation_sensor,
            customers_files,
            heart_rate_files,
            run_failure_alert,
            failed_check_alert,
            lag_alert,
            freshness_alert,
        ],
        resources=build_resources(settings),
        executor=dg.in_process_executor,
    )


defs = build_definitions(Settings())
