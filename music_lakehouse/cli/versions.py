"""`music-lakehouse history` and `diff`: what was done to a table, and in which rows two of its versions differ."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer

from music_lakehouse.cli.console import cell, say, show_table
from music_lakehouse.cli.errors import CliError

if TYPE_CHECKING:
    from deltalake import DeltaTable

    from music_lakehouse.lakehouse.tables import Table

HISTORY_EXAMPLE = "Example: music-lakehouse history silver.dim_users"
DIFF_EXAMPLE = "Example: music-lakehouse diff silver.dim_users --from 3 --to 5"

TableName = Annotated[str, typer.Argument(metavar="TABLE", help="The table, as layer.table.")]


def history(
    table: TableName, *, limit: Annotated[int, typer.Option(min=1, help="Most versions to show.")] = 20
) -> None:
    """Show a table's versions, the newest first: when (UTC), what was done, how many rows that wrote or removed."""
    from music_lakehouse.lakehouse.versions import history as versions_of

    _, _, found = opened(table)
    rows = [
        (version.number, cell(version.at)[:19], version.operation, "" if version.rows is None else version.rows)
        for version in islice(versions_of(found), limit)
    ]
    show_table(("version", "time", "operation", "rows"), rows, right=("version", "rows"), title=table)


def diff(
    table: TableName,
    *,
    earlier: Annotated[int, typer.Option("--from", min=0, help="The earlier version.")],
    later: Annotated[int | None, typer.Option("--to", min=0, help="The later version, else the newest.")] = None,
    limit: Annotated[int, typer.Option(min=0, help="Most rows to show.")] = 20,
) -> None:
    """Show in which rows two versions of a table differ, by its key: counted, and the first of them."""
    from deltalake.exceptions import DeltaError

    from music_lakehouse.lakehouse.versions import diff as differences_of

    uri, declared, found = opened(table)
    until = found.version() if later is None else later
    try:
        differences = differences_of(uri, declared, earlier, until, limit=limit)
    except (DeltaError, FileNotFoundError) as error:
        raise CliError(
            f"versions {earlier} and {until} of {table} can't be compared: there is no such version, or "
            f"table_maintenance has removed its files; `music-lakehouse history {table}` has the versions ({error})"
        ) from error
    if differences.rows:
        show_table(differences.columns, [tuple(map(cell, row)) for row in differences.rows])
    say(
        f"{table} from version {earlier} to {until}: {differences.inserted:,} rows inserted, "
        f"{differences.updated:,} updated, {differences.deleted:,} deleted"
    )


def opened(name: str) -> tuple[str, Table, DeltaTable]:
    """The table of that name: where it is, its declaration, and itself. Raises a usage error where it isn't known."""
    from music_lakehouse.defs.catalog import find_table
    from music_lakehouse.lakehouse.lake import LakePaths
    from music_lakehouse.settings import Settings

    try:
        table = find_table(name)
    except LookupError as error:
        raise typer.BadParameter(str(error), param_hint="TABLE") from error
    lake = LakePaths(Settings().lake_uri)
    found = lake.open(table)
    if found is None:
        raise CliError(f"{name} isn't there yet: run the job of its pipeline; `music-lakehouse tables` lists what is")
    return lake.path(table), table, found
