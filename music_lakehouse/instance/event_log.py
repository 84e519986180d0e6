"""Dagster's event log in SQLite, without getting ready anew for each statement.

Dagster's own makes an engine of SQLAlchemy's, connects and compiles the statement for each that it executes: some 20
milliseconds for the result of a check. A run of the streaming pipeline tells of over two hundred things, and events
wait in Kafka meanwhile.
"""

from __future__ import annotations

import os
import sqlite3
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import sqlalchemy as sa
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage
from dagster._core.storage.sqlite import SQLITE_BUSY_TIMEOUT_SECONDS
from dagster._serdes import ConfigurableClassData

# Databases of runs, of which there is one each, whose connections are kept.
MOST_CONNECTIONS = 16


class KeptSqliteEventLogStorage(SqliteEventLogStorage):
    """Dagster's event log in SQLite files below the instance's directory: the files that Dagster has by default, with
    the same in them. Connections are kept.

    What was told stays whole where a process is killed. Where the machine itself fails, the last events may be lost:
    SQLite waits for the disk at its checkpoints, not at each event
    (https://www.sqlite.org/pragma.html#pragma_synchronous).
    """

    def __init__(self, inst_data: ConfigurableClassData | None = None) -> None:
        self._inst_data = inst_data
        self._engines: OrderedDict[str, sa.Engine] = OrderedDict()
        self._tables: set[str] = set()

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        return {}

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> KeptSqliteEventLogStorage:
        del config_value
        return cls(inst_data)

    def register_instance(self, instance: dg.DagsterInstance) -> None:
        """Before it, it is not known where the files are: the instance may be a temporary one."""
        super().__init__(str(Path(instance.root_directory) / "history" / "runs"), self._inst_data)
        super().register_instance(instance)

    def has_table(self, table_name: str) -> bool:
        """Asked for with each result of a check; what is there stays."""
        if table_name not in self._tables and super().has_table(table_name):
            self._tables.add(table_name)
        return table_name in self._tables

    def store_event(self, event: dg.EventLogEntry) -> None:
        super().store_event(event)
        # Who watches a run watches this file, into which SQLite itself writes now and then only.
        os.utime(self.path_for_shard(event.run_id))

    def dispose(self) -> None:
        super().dispose()
        with self._db_lock:
            while self._engines:
                self._engines.popitem()[1].dispose()

    @contextmanager
    def _connect(self, shard: str) -> Iterator[sa.Connection]:
        with self._db_lock:
            engine = self._engine(shard)
            if shard not in self._initialized_dbs:
                self._initdb(engine)
                self._initialized_dbs.add(shard)
            with engine.begin() as connection:
                yield connection

    def _engine(self, shard: str) -> sa.Engine:
        if shard not in self._engines:
            url = self.conn_string_for_shard(shard)
            # As many connections as there are transactions at a time, which is one.
            engine = sa.create_engine(url, pool_size=1, connect_args={"timeout": SQLITE_BUSY_TIMEOUT_SECONDS})
            sa.event.listen(engine, "connect", _without_waiting_for_the_disk)
            self._engines[shard] = engine
        self._engines.move_to_end(shard)
        if len(self._engines) > MOST_CONNECTIONS:
            self._engines.popitem(last=False)[1].dispose()
        return self._engines[shard]


def _without_waiting_for_the_disk(connection: sqlite3.Connection, record: object) -> None:
    del record
    connection.execute("PRAGMA synchronous = NORMAL")
