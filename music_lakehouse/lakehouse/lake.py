"""A lake: a root under which Delta tables lie as `<root>/<layer>/<name>`, and a Spark session that writes them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from pyspark import StorageLevel
from pyspark.sql import DataFrame, SparkSession

from music_lakehouse.lakehouse import delta
from music_lakehouse.lakehouse.tables import Table


@dataclass(frozen=True)
class LakePaths:
    """Where a lake's tables and checkpoints lie; `root` is an absolute path or a URI, without a trailing slash."""

    root: str

    def path(self, table: Table) -> str:
        return f"{self.root}/{table.layer}/{table.name}"

    def checkpoint(self, query: str) -> str:
        """Where the streaming query of that name keeps its checkpoint."""
        return f"{self.root}/_checkpoints/{query}"

    def state(self, table: Table) -> delta.TableState | None:
        """The table's identity and newest version; None where it doesn't exist yet."""
        return delta.table_state(self.path(table))

    def rows(self, table: Table) -> int:
        return delta.row_count(self.path(table))


@dataclass(frozen=True)
class Lake(LakePaths):
    """A lake that can be written: `spark` is a classic or a Spark Connect session with Delta."""

    spark: SparkSession

    @cached_property
    def _known(self) -> set[str]:
        return set()

    def create(self, table: Table) -> bool:
        """Make the table, empty, where it doesn't exist; say whether it was made."""
        path = self.path(table)
        if path in self._known:
            return False
        missing = self.state(table) is None
        if missing:
            delta.clear_unfinished(path)
            self.spark.sql(table.create_statement(path))
        self._known.add(path)
        return missing

    @cached_property
    def _shared(self) -> dict[str, DataFrame]:
        return {}

    def shared(self, name: str, build: Callable[[], DataFrame]) -> DataFrame:
        """The frame of that name, built and cached at its first use: for what several steps of a run read."""
        if name not in self._shared:
            self._shared[name] = build().persist(StorageLevel.MEMORY_AND_DISK)
        return self._shared[name]

    def release(self) -> None:
        """Let the shared frames go."""
        for frame in self._shared.values():
            frame.unpersist()
        self._shared.clear()

    def read(self, table: Table, *, version: int | None = None) -> DataFrame:
        """The table's rows, of its newest version or of the given one; an empty frame where it doesn't exist yet."""
        if self.state(table) is None:
            return self.empty(table)
        reader = self.spark.read.format("delta")
        if version is not None:
            reader = reader.option("versionAsOf", version)
        return reader.load(self.path(table)).select(*table.column_names)

    def empty(self, table: Table) -> DataFrame:
        return self.spark.createDataFrame([], table.ddl)

    def append(self, rows: DataFrame, table: Table) -> None:
        """Append the rows, in the declared order of columns and cast to the declared types, in one commit."""
        conform(rows, table).write.format("delta").mode("append").save(self.path(table))


def conform(rows: DataFrame, table: Table) -> DataFrame:
    """The rows with exactly the table's columns, in its order and of its types."""
    return rows.selectExpr(*(f"CAST(`{c.name}` AS {c.type}) AS `{c.name}`" for c in table.columns))
