"""`music-lakehouse audit`: every law over every table."""

from __future__ import annotations

import typer
from rich.text import Text

from music_lakehouse.cli.console import say, show_table
from music_lakehouse.cli.errors import FAILED, INTERRUPTED

EXAMPLE = "Example: music-lakehouse audit"
JOB = "audit"


def audit() -> None:
    """Evaluate the laws over all of every table, by the job audit. Exit code 1 where one is broken."""
    from music_lakehouse.cli.job_run import run_job
    from music_lakehouse.cli.progress import waiting
    from music_lakehouse.cli.run import show_end
    from music_lakehouse.settings import Settings

    with waiting("Evaluating the laws"):
        done = run_job(JOB, Settings(), lambda _step: None)
    rows = []
    for check in done.checks:
        state, style = (
            ("holds", "green") if check.passed else ("broken", "red") if check.is_error else ("warns", "yellow")
        )
        law = check.name.removeprefix("audit_")
        rows.append((check.table, law, Text(state, style=style), check.failed, check.rows, check.description))
    show_table(("table", "law", "state", "failed", "of rows", "what it says"), rows, right=("failed", "of rows"))
    if done.broken:
        say(f"{len(done.broken)} of {len(done.checks)} laws are broken", style="bold red")
    show_end(JOB, done)
    if done.interrupted:
        raise typer.Exit(INTERRUPTED)
    if done.broken or not done.success:
        raise typer.Exit(FAILED)
