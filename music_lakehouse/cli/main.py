"""The entry point: gathers the commands, and turns what goes wrong into one line and an exit code."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from typing import Annotated

import typer

from music_lakehouse.cli import (
    accept_loss,
    audit,
    dashboard,
    demo,
    dev,
    doctor,
    forget,
    metrics,
    repair,
    replay,
    report,
    reset,
    run,
    sql,
    tables,
    up,
    versions,
)
from music_lakehouse.cli.broker import broker
from music_lakehouse.cli.console import note
from music_lakehouse.cli.errors import FAILED, exit_code, one_line
from music_lakehouse.cli.quarantine import quarantine
from music_lakehouse.cli.simulate import simulate

app = typer.Typer(add_completion=False, rich_markup_mode="rich", epilog="Example: music-lakehouse demo")

app.command(epilog=demo.EXAMPLE)(demo.demo)
app.command(epilog=dev.EXAMPLE)(dev.dev)
app.command(epilog=up.EXAMPLE)(up.up)
app.command(epilog=dashboard.EXAMPLE)(dashboard.dashboard)
app.command(epilog=report.EXAMPLE)(report.report)
app.command(epilog=metrics.EXAMPLE)(metrics.metrics)
app.command(epilog=doctor.EXAMPLE)(doctor.doctor)
app.add_typer(broker, name="broker")
app.add_typer(simulate, name="simulate")
app.add_typer(quarantine, name="quarantine")
app.command(epilog=replay.EXAMPLE)(replay.replay)
app.command(epilog=run.EXAMPLE)(run.run)
app.command(epilog=sql.EXAMPLE)(sql.sql)
app.command(epilog=audit.EXAMPLE)(audit.audit)
app.command(epilog=tables.EXAMPLE)(tables.tables)
app.command(epilog=versions.HISTORY_EXAMPLE)(versions.history)
app.command(epilog=versions.DIFF_EXAMPLE)(versions.diff)
app.command(epilog=repair.RESTORE_EXAMPLE)(repair.restore)
app.command(epilog=repair.REBUILD_EXAMPLE)(repair.rebuild)
app.command(epilog=repair.REPROCESS_EXAMPLE)(repair.reprocess)
app.command("forget-user", epilog=forget.EXAMPLE)(forget.forget_user)
app.command("accept-loss", epilog=accept_loss.EXAMPLE)(accept_loss.accept_loss)
app.command(epilog=reset.EXAMPLE)(reset.reset)


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of what goes wrong.")] = False,
) -> None:
    """A lakehouse for music events: Kafka, Spark, Delta Lake and Dagster. Settings are read from the environment and
    from .env; .env.example explains them."""
    del debug  # `main` takes it, wherever it stands on the line


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code: 0, 1 where it failed, 2 where it was called wrongly, 130 after
    Ctrl-C."""
    given = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    command = typer.main.get_command(app)
    try:
        result = command.main(
            [argument for argument in given if argument != "--debug"],
            prog_name="music-lakehouse",
            standalone_mode=False,
        )
    except typer.Abort:
        note("Stopped")
        return FAILED
    except Exception as error:
        if "--debug" in given:
            traceback.print_exc()
        note(f"Error: {one_line(error)}", style="red")
        return exit_code(error)
    return result if isinstance(result, int) else 0


if __name__ == "__main__":
    sys.exit(main())
