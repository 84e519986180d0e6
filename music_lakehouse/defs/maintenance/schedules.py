"""When the tables are kept up by the clock: once a week, where somebody switches it on. How many files a lake gathers,
and when nobody waits for a run, differs from place to place."""

import dagster as dg

from music_lakehouse.defs.maintenance.jobs import table_maintenance

weekly_maintenance = dg.ScheduleDefinition(
    name="weekly_maintenance",
    job=table_maintenance,
    cron_schedule="0 5 * * 0",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.STOPPED,
    description="Compacts and vacuums the tables, on Sundays at five in the morning UTC, behind the audit.",
)
