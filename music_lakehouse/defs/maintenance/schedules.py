"""When the tables are kept up by the clock: every day, or a lake that is left running gathers files and logs until each
run takes longer for it."""

import dagster as dg

from music_lakehouse.defs.maintenance.jobs import table_maintenance

daily_maintenance = dg.ScheduleDefinition(
    name="daily_maintenance",
    job=table_maintenance,
    cron_schedule="0 5 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Compacts and vacuums the tables, at five in the morning UTC, behind the audit.",
)
