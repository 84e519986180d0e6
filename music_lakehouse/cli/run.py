"""`music-lakehouse run`: a Dagster job in this process, a line a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from music_lakehouse.cli.console import console, note, say
from music_lakehouse.cli.errors import FAILED, INTERRUPTED

if TYPE_CHECKING:
    from music_lakehouse.cli.job_run import CheckSeen, JobRun, StepSeen
    from music_lakehouse.settings import Settings

EXAMPLE = "Example: music-lakehouse run streaming_pipeline"
CONTINUOUS = "continuous_pipeline"
_WRITTEN = ("inserted", "updated", "deleted", "quarantined")


def run(
    job: Annotated[str, typer.Argument(help="The job, for example streaming_pipeline or audit.")],
    *,
    full_refresh: Annotated[
        bool, typer.Option("--full-refresh", help="Of catalogue_pipeline: read all rows of the database again.")
    ] = False,
    allow_empty: Annotated[
        bool, typer.Option("--allow-empty", help="Of catalogue_key_scan: a table found empty was emptied.")
    ] = False,
) -> None:
    """Run a Dagster job in this process. Exit code 0 only where the run succeeded and no check found an error.

    The run is in Dagster's instance (DAGSTER_HOME) as any other, with its figures and checks. continuous_pipeline runs
    until Ctrl-C, and tells of each micro-batch.
    """
    from music_lakehouse.settings import Settings

    given = {"full_refresh": full_refresh, "allow_empty": allow_empty}
    finish(run_and_show(job, Settings(), [option for option, is_given in given.items() if is_given]))


def run_and_show(
    job: str, settings: Settings, options: Collection[str] = (), *, tables: Collection[str] = ()
) -> JobRun:
    """Runs the job with these of its options, or of it the given tables alone, and shows its steps as they end."""
    from music_lakehouse.cli.job_run import run_job

    with _shown() as on_step:
        # It has one step, which only ends with the run.
        done = run_job(job, settings, on_step, options, tables=tables, on_line=say if job == CONTINUOUS else None)
    show_end(job, done)
    return done


def finish(done: JobRun) -> None:
    """Ends the command with the run's exit code: 0 only where the run succeeded and no check found an error."""
    if done.interrupted:
        raise typer.Exit(INTERRUPTED)
    if not done.well:
        raise typer.Exit(FAILED)


def show_end(job: str, done: JobRun) -> None:
    """How the run ended, and of what it failed."""
    checks = Counter("passed" if check.passed else "failed" if check.is_error else "warned" for check in done.checks)
    told = ", ".join(f"{checks[kind]} {kind}" for kind in ("passed", "warned", "failed") if checks[kind])
    checked = f"; checks: {told}" if told else ""
    say(
        f"{job} {done.ending} in {done.seconds:.1f} s{checked} (run {done.run_id})",
        style="bold green" if done.well else "bold red",
    )
    for error in done.errors:
        note(f"Error: {error}", style="red")


@contextmanager
def _shown() -> Iterator[Any]:
    """Prints a line a step that ended; on a terminal the step that runs stands below."""
    screen = console(stderr=True)
    status = screen.status("Starting ...") if screen.is_terminal else None
    if status is not None:
        status.start()

    def on_step(step: StepSeen) -> None:
        if step.outcome:
            for line, style in step_lines(step):
                say(line, style=style)
        elif status is not None:
            status.update(f"{step.name.replace('__', '.', 1)} ...")

    try:
        yield on_step
    finally:
        if status is not None:
            status.stop()


def step_lines(step: StepSeen) -> Iterator[tuple[str, str]]:
    """The lines that tell of a step that ended, each with its style: one a table, and below it one a check that didn't
    pass."""
    style = {"done": "", "failed": "red", "skipped": "yellow", "waiting": "yellow"}[step.outcome]
    if step.outcome == "waiting":
        yield f"{step.name.replace('__', '.', 1):<32} is tried again: {step.waiting}", style
        return
    if step.outcome != "done":
        yield f"{step.name.replace('__', '.', 1):<32} {step.outcome}", style
    for table, figures in step.tables.items():
        counted = [f"{figures[f'rows_{kind}']:,} {kind}" for kind in _WRITTEN if figures.get(f"rows_{kind}")]
        # Of what is no table there is only whether it was written.
        written = " ".join(counted or (["written"] if figures.get("written") else []))
        rows = f"{figures['dagster/row_count']:>11,} rows" if "dagster/row_count" in figures else ""
        checks = [check for check in step.checks if check.table == table]
        passed = f"{sum(check.passed for check in checks)}/{len(checks)} checks" if checks else ""
        seconds = figures.get("duration_seconds", step.seconds)
        yield f"{table:<32} {rows:<16}  {written or 'nothing new':<40} {passed:<13} {seconds:>6.1f} s", style
        yield from _not_passed(checks)
    yield from _not_passed(check for check in step.checks if check.table not in step.tables)


def _not_passed(checks: Iterable[CheckSeen]) -> Iterator[tuple[str, str]]:
    for check in checks:
        if not check.passed:
            kind, colour = ("failed", "red") if check.is_error else ("warning", "yellow")
            yield f"  {kind}: {check.name}: {check.failed:,} of {check.rows:,} rows ({check.description})", colour
