"""`music-lakehouse report`: what is listened to, as one HTML page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from music_lakehouse.cli.console import say

if TYPE_CHECKING:
    from music_lakehouse.cli.job_run import JobRun
    from music_lakehouse.settings import Settings

EXAMPLE = "Example: music-lakehouse report"
JOB = "listening_report"


def report() -> None:
    """Write the listening report, one HTML page with charts, where its tables have changed, and say where it is.

    It is the job listening_report, which also runs by itself once an hour.
    """
    from music_lakehouse.cli.run import finish, show_end
    from music_lakehouse.settings import Settings

    settings = Settings()
    done = write_report(settings)
    if not done.success:
        show_end(JOB, done)
    finish(done)


def write_report(settings: Settings) -> JobRun:
    """Runs the job, and says where the page is."""
    from music_lakehouse.cli.job_run import run_job

    done = run_job(JOB, settings, lambda _: None)
    for step in done.steps:
        for figures in step.tables.values():
            how = "" if figures["written"] else ", which has all rows of its tables"
            say(f"The listening report is {figures['page']}{how}")
    return done
