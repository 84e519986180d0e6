"""Checkpoints of streaming queries: what they are called, and those that no query asks for any more. No JVM."""

from __future__ import annotations

import re
from collections.abc import Iterator

from music_lakehouse.lakehouse import delta, kafka_positions
from music_lakehouse.lakehouse.inventory import CHECKPOINTS, directories_in, find_tables, remove_directories
from music_lakehouse.lakehouse.lake import LakePaths
from music_lakehouse.lakehouse.tables import Table

_TABLE_ID = re.compile("[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def of_topic(table: Table, table_id: str, topic_id: str, epoch: int) -> str:
    """The query that reads a topic into the raw table: another one where either was made anew, or a loss was
    accepted."""
    return f"{table.full_name}/{topic_id}-{table_id}-{epoch}"


def of_source(table: Table, table_id: str, source_id: str) -> str:
    """The query that follows another table: another one where either was made anew."""
    return f"{table.full_name}/{source_id}-{table_id}"


def remove_outdated(lake: LakePaths) -> int:
    """Remove the checkpoints that no query asks for any more, and return how many there were.

    They are of a table that is gone or was made anew, as it was before; of one whose source was; or of a topic as it
    was before a loss of it was accepted, which is how reading goes on behind a topic that was made anew. Those of a
    topic that nothing is known of stay. The caller holds the lake's lock.
    """
    found = list(_find(lake.root, CHECKPOINTS))
    opened = {name: delta.open_table(uri) for name, uri in find_tables(lake.root).items()} if found else {}
    ids = {name: delta.state_of(table).table_id for name, table in opened.items() if table is not None}
    epochs = kafka_positions.epochs(lake)
    outdated = [each for each in found if _is_outdated(each, ids, epochs)]
    remove_directories(lake.root, outdated)
    return len(outdated)


def _find(root: str, path: str) -> Iterator[str]:
    """The checkpoints in a directory: a topic's id may have slashes, and so theirs lie deeper."""
    for each in directories_in(root, path):
        if _TABLE_ID.search(each):
            yield each
        else:
            yield from _find(root, each)


def _is_outdated(checkpoint: str, ids: dict[str, str], epochs: dict[str, int]) -> bool:
    _, table, query = checkpoint.split("/", 2)
    named = _TABLE_ID.findall(query)
    if ids.get(table) not in named or not set(named) <= set(ids.values()):
        return True
    topic_id, _, epoch = query.partition(f"-{ids[table]}-")
    return epoch.isdigit() and int(epoch) != epochs.get(topic_id, int(epoch))
