"""`music-lakehouse simulate catalogue`: an operational SQL database that is filled and then lives."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

from music_lakehouse.cli.console import say, show_table

EXAMPLE = (
    "Example: music-lakehouse simulate catalogue --streams 100000\n\n"
    "Again, so that it changes: music-lakehouse simulate catalogue --rounds 3\n\n"
    "Endless, a round every 10 seconds: music-lakehouse simulate catalogue --live 10"
)


def catalogue(
    streams: Annotated[int, typer.Option(min=1, help="FactStream rows to begin with, where it has none.")] = 10_000,
    rounds: Annotated[
        int | None, typer.Option(min=0, help="Rounds of changes; 1 where FactStream had rows, otherwise 0.")
    ] = None,
    changes: Annotated[
        int, typer.Option(min=1, help="New FactStream rows a round; the other changes are in proportion.")
    ] = 500,
    seed: Annotated[int, typer.Option(help="The same seed gives the same rows, and the same changes of them.")] = 1,
    until: Annotated[datetime | None, typer.Option(help="When the first rows end, UTC; 2025-01-01 by default.")] = None,
    live: Annotated[
        float | None, typer.Option(metavar="SECONDS", min=0, help="A round every so many seconds, without end.")
    ] = None,
) -> None:
    """Fill the catalogue's SQL database, and change it as a service in use does.

    Makes the tables DimUser, DimArtist, DimTrack, DimDate and FactStream in CATALOGUE_DATABASE_URL where they are
    missing. Each round is an hour of the database's own time: new rows, changed subscriptions, renamed tracks, deleted
    users, rows that share a time, and rows that come late.
    """
    import itertools
    import time
    from datetime import timezone

    from music_lakehouse.cli.progress import counting
    from music_lakehouse.lakehouse.database import Database
    from music_lakehouse.settings import Settings
    from music_lakehouse.simulator.catalogue_database import HISTORY_ENDS, Counted, change, fill

    if live is not None and rounds is not None:
        raise typer.BadParameter("--live has no end: leave --rounds out")
    database = Database(Settings().catalogue_database_url, setting="CATALOGUE_DATABASE_URL")
    end = HISTORY_ENDS if until is None else until.replace(tzinfo=timezone.utc)
    counted = Counted()
    started = time.monotonic()
    try:
        with counting("FactStream rows:") as show:
            filled = fill(database, counted, streams=streams, seed=seed, until=end, on_progress=show)
            at_most = itertools.count() if live is not None else range(int(not filled) if rounds is None else rounds)
            for number in at_most:
                if live is not None and number > 0:
                    time.sleep(live)
                change(database, counted, streams=changes, seed=seed)
                show(counted["FactStream"].new)
    except KeyboardInterrupt:
        if live is None:
            raise
    seconds = time.monotonic() - started
    rows = [(name, counts.new, counts.changed, counts.deleted) for name, counts in sorted(counted.items())]
    show_table(("table", "new", "changed", "deleted"), rows, right=("new", "changed", "deleted"))
    new = sum(counts.new for counts in counted.values())
    say(f"{new:,} new rows in {database.name} in {seconds:.1f} s: {new / max(seconds, 1e-9):,.0f} a second")
