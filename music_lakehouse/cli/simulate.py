"""`music-lakehouse simulate`: users who listen to music, as events on Kafka or in files."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from music_lakehouse.cli import simulate_catalogue, simulate_customers, simulate_heart_rate
from music_lakehouse.cli.console import note, say

USERS, DAYS = 200, 7.0

# A group, so that other sources are simulated by subcommands; without one it is the listening events.
simulate = typer.Typer(invoke_without_command=True)
simulate.command("catalogue", epilog=simulate_catalogue.EXAMPLE)(simulate_catalogue.catalogue)
simulate.command("customers", epilog=simulate_customers.EXAMPLE)(simulate_customers.customers)
simulate.command("heart-rate", epilog=simulate_heart_rate.EXAMPLE)(simulate_heart_rate.heart_rate)


@simulate.callback(
    epilog="Example: music-lakehouse simulate --users 200 --days 7 --dirty 0.02\n\n"
    "Endless, 20 events a second: music-lakehouse simulate --live 20\n\n"
    "To files: music-lakehouse simulate --events 100000 --seed 7 --to /tmp/events"
)
def listening(
    context: typer.Context,
    events: Annotated[int | None, typer.Option(min=1, help="End after so many events.")] = None,
    days: Annotated[
        float | None, typer.Option(min=0, help=f"How long, in days; {DAYS:g} where neither it nor --events is given.")
    ] = None,
    users: Annotated[
        int | None, typer.Option(min=1, help=f"Users at the start; {USERS}, or as many as --events takes.")
    ] = None,
    start: Annotated[
        datetime | None, typer.Option(help="The first moment, UTC; by default such that the last one is now.")
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed and times give the same messages.")] = 1,
    dirty: Annotated[float, typer.Option(min=0, max=1, help="Share of messages with a fault, as 0.02.")] = 0.0,
    live: Annotated[
        float | None, typer.Option(metavar="RATE", help="Send so many events a second, stamped with the present time.")
    ] = None,
    growth: Annotated[float, typer.Option(min=0, help="New users, as a share of the users a year.")] = 0.0,
    attrition: Annotated[float, typer.Option(min=0, help="Users who leave, as a share of the users a year.")] = 0.0,
    to: Annotated[
        Path | None,
        typer.Option(metavar="DIRECTORY", file_okay=False, help="Write TOPIC.jsonl files there, not Kafka."),
    ] = None,
) -> None:
    """Simulate users of a music service and send their events to Kafka.

    Writes songs.csv and state_codes.csv into REFERENCE_ROOT where they are missing.
    """
    if context.invoked_subcommand is not None:
        return
    from music_lakehouse.cli.sending import Sent, send, show_sent
    from music_lakehouse.settings import Settings
    from music_lakehouse.simulator.config import SimulatorConfig
    from music_lakehouse.simulator.reference import write_reference
    from music_lakehouse.simulator.simulation import simulate as simulated
    from music_lakehouse.simulator.sinks import paced

    if live is not None and start is not None:
        raise typer.BadParameter("--live sends the present time: leave --start out")
    users, days_at_most = _size(events, days, users, live)
    try:
        config = SimulatorConfig(
            users=users,
            start=start,
            days=days_at_most,
            events=events,
            seed=seed,
            growth_rate=growth,
            attrition_rate=attrition,
            dirty=dirty,
            live_rate=live,
        )
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    settings = Settings()
    for file in write_reference(settings.reference_root):
        note(f"Wrote {file}")
    messages = simulated(config)
    sent = Sent()
    try:
        send(paced(messages) if live else messages, settings, directory=to, sent=sent)
    except KeyboardInterrupt:
        show_sent(sent, settings, directory=to)
        if live is None or events is not None or days is not None:
            raise
        return
    show_sent(sent, settings, directory=to)
    if events is not None and sent.events < events:
        say(f"{users} users made no more events in {days_at_most:.3g} days: give more of either")


def _size(events: int | None, days: float | None, users: int | None, live: float | None) -> tuple[int, float | None]:
    """How many users for how many days: what isn't given follows from --events, such that the run ends now."""
    from music_lakehouse.simulator.config import EVENTS_PER_USER_DAY, users_for

    if live is not None:
        return users or USERS, days
    if events is None:
        return users or USERS, DAYS if days is None else days
    if users is None:
        return users_for(events, days or DAYS), days or DAYS
    # Thrice what users take on average: a few may be idle.
    return users, days or max(1.0, 3 * events / (users * EVENTS_PER_USER_DAY))
