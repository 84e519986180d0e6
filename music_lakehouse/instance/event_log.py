"""Dagster's event log in SQLite, without getting ready anew for each statement.

Dagster's own makes an engine of SQLAlchemy's, connects and compiles the statement for each that it executes: some 20
milliseconds for the result of a check. A run of the streaming pipeline tells of over two hundred things, and twice as
long as it takes to tell them is what an event waits for.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from dagster import StringSource
from dagster._core.storage.event_log.sqlite.sqlite_event_log import INDEX_SHARD_NAME, SqliteEventLogStorage
from dagster._core.storage.sqlite import SQLITE_BUSY_TIMEOUT_SECONDS
from dagster._serdes import ConfigurableClassData
from sqlalchemy.pool import NullPool, QueuePool

# Engines of the databases of runs, of which there is one each.
MOST_ENGINES = 16


class KeptSqliteEventLogStorage(SqliteEventLogStorage):
    """Dagster's event log in the SQLite files of `home`, its directory: the files that Dagster has by default, written
    and read in the same way. Engines are kept, and the connection to the database that all runs share.

    Connections to the database of one run are closed each time: SQLite writes into the file itself then, which is what
    the UI watches to show a run's events as they come.
    """

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        self._engines: OrderedDict[str, sa.Engine] = OrderedDict()
        super().__init__(base_dir, inst_data)

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        return {"home": StringSource}

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> KeptSqliteEventLogStorage:
        return cls(str(Path(config_value["home"]) / "history" / "runs"), inst_data)

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
            shared = shard == INDEX_SHARD_NAME
            self._engines[shard] = sa.create_engine(
                self.conn_string_for_shard(shard),
                connect_args={"timeout": SQLITE_BUSY_TIMEOUT_SECONDS},
                **({"poolclass": QueuePool, "pool_size": 1} if shared else {"poolclass": NullPool}),
            )
        self._engines.move_to_end(shard)
        if len(self._engines) > MOST_ENGINES:
            self._engines.popitem(last=False)[1].dispose()
        return self._engines[shard]
