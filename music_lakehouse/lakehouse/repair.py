"""A table put back to an earlier version, or written anew from its sources, and all that was made of it told so.

What is told is remembered in the lake itself, before anything is changed: the next run does it, whenever that is.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from music_lakehouse.lakehouse import positions
from music_lakehouse.lakehouse.file_ledger import forget_files, read_files
from music_lakehouse.lakehouse.inventory import remove_directories
from music_lakehouse.lakehouse.kafka_positions import forget_read
from music_lakehouse.lakehouse.lake import LakePaths
from music_lakehouse.lakehouse.positions import Stretch, begin_anew, downstream_of, read_positions
from music_lakehouse.lakehouse.tables import Table


class RepairError(RuntimeError):
    """What was asked for can't be had; the text says why, and what can."""


@dataclass(frozen=True)
class Restored:
    """A table was put back: its newest version before, the version whose rows it has now, and that as which it has
    them; and the tables that the next run writes anew, the table itself first where a step keeps it."""

    before: int
    restored: int
    version: int
    anew: list[str]


def keeps_itself_up(lake: LakePaths, name: str) -> bool:
    """Whether the table (full name) follows other tables or a reference file, and has done so at least once."""
    return bool(read_positions(lake, name))


def write_anew(lake: LakePaths, tables: Iterable[str]) -> list[str]:
    """Have the next run write the tables (full names), and all that is downstream of them, anew as a whole, each in one
    commit; return their names. The caller holds the lake's lock.

    Raises RepairError where one of the tables doesn't follow other tables, or wasn't made yet.
    """
    return _tell(lake, _with_downstream(lake, tables))


def compute_again(lake: LakePaths, tables: Iterable[str], stretch: Stretch) -> list[str]:
    """Have the next run compute again what messages of a stretch of time gave to the tables (full names) and to all
    that is downstream of them, and write the difference; return their names. The caller holds the lake's lock.

    Raises RepairError as `write_anew`.
    """
    told = _with_downstream(lake, tables)
    for name in reversed(told):
        positions.compute_again(lake, name, stretch)
    return told


def _with_downstream(lake: LakePaths, tables: Iterable[str]) -> list[str]:
    given = list(dict.fromkeys(tables))
    for name in given:
        if not keeps_itself_up(lake, name):
            raise RepairError(
                f"{name} is not made of other tables, or was not made yet: tables of silver and gold, and those of "
                "bronze into which Kafka's messages are parsed, can be written anew, once their job has run"
            )
    return [*given, *downstream_of(lake, given)]


def restore(lake: LakePaths, table: Table, target: int | datetime, *, kept_with: Iterable[str] = ()) -> Restored:
    """Put the table back to the rows of a version, or to those that it had at a time (with a time zone), in one commit.

    What was read into it since is forgotten, so that the next run reads it again; what follows other tables, and all
    that is downstream, is written anew by the next run. `kept_with` are the tables (full names) whose steps write this
    one too. The caller holds the lake's lock.
    Raises RepairError where there is no such table or version, or where files of the version are gone.
    """
    found = lake.open(table)
    if found is None:
        raise RepairError(f"there is no table {table.full_name} yet: nothing can be restored")
    before = found.version()
    version = version_at(found, target, table.full_name)
    if version == before:
        raise RepairError(f"{table.full_name} is at version {version} already, its newest: nothing has to be restored")
    own = [name for name in (table.full_name, *kept_with) if keeps_itself_up(lake, name)]
    # First: a restored table that nobody was told of would stay as it is.
    anew = _tell(lake, [*own, *downstream_of(lake, [table.full_name, *own])])
    remove_directories(lake.root, [lake.checkpoint(table.full_name)])
    forget_read(lake, table)
    if read_files(lake, table):
        forget_files(lake, table)
    try:
        found.restore(version)
    except DeltaError as error:
        raise RepairError(
            f"{table.full_name} can't be put back to version {version}, whose files table_maintenance may have "
            f"removed: choose a newer one (`music-lakehouse history {table.full_name}`), or rebuild it ({error})"
        ) from error
    found.update_incremental()
    return Restored(before, version, found.version(), anew)


def _tell(lake: LakePaths, tables: list[str]) -> list[str]:
    # What is downstream first: whatever is left after an interrupt is told when this is repeated.
    for name in reversed(tables):
        begin_anew(lake, name)
    return tables


def version_at(table: DeltaTable, target: int | datetime, name: str) -> int:
    """The table's version of that number, or as of that time (with a time zone). Raises RepairError where its log has
    none."""
    versions = {int(entry["version"]): int(entry["timestamp"]) / 1000 for entry in table.history()}
    if isinstance(target, datetime):
        then = [version for version, moment in versions.items() if moment <= target.timestamp()]
        if not then:
            raise RepairError(f"{name} had no version at {target}, or none that the log still has: choose a later time")
        return max(then)
    if target not in versions:
        raise RepairError(
            f"{name} has no version {target}: its log has {min(versions)} to {max(versions)} "
            f"(`music-lakehouse history {name}`)"
        )
    return target
