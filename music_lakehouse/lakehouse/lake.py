"""A lake: a root under which Delta tables lie as `<root>/<layer>/<name>`, and a Spark session that writes them."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import InitVar, dataclass, field
from threading import RLock
from typing import Any, Literal, TypeAlias, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable, write_deltalake
from pyspark import StorageLevel
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.pandas.types import from_arrow_type
from pyspark.sql.types import StructField, StructType

from music_lakehouse.lakehouse import delta
from music_lakehouse.lakehouse.inventory import CHECKPOINTS
from music_lakehouse.lakehouse.tables import Table

MOST_ROWS_OF_A_SMALL_CHANGE = 50_000
MOST_ROWS_AT_ONCE = 50_000
"""Rows of a small change that are fetched and committed without Spark."""
MOST_ROWS_FETCHED = 300_000
"""Changed rows of a step's sources that are fetched, so that what follows from them is told without Spark."""
MOST_BYTES_FETCHED = 64_000_000
"""Bytes of the files that brought them, which are compressed: few messages may be long."""
MOST_BYTES_KEPT = 256_000_000
"""Bytes of rows that are here which a run keeps for others of its steps: those that were used least recently go."""
MOST_REMEMBERED = 1_000_000
"""Texts of which the lake remembers what Spark made of them."""
MOST_ROWS_COMMITTED_HERE = 500_000
"""Changed rows of a large change that are committed without Spark, which computes them faster than it writes them."""
SMALL_CHANGE = {
    "spark.sql.adaptive.enabled": "false",
    "spark.sql.shuffle.partitions": "1",
    "spark.sql.files.minPartitionNum": "1",
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
}
LARGE_CHANGE: dict[str, str | None] = {
    "spark.sql.adaptive.enabled": "true",
    "spark.sql.shuffle.partitions": str(os.cpu_count() or 2),
    # Not set: as many as there are cores, here or in a cluster.
    "spark.sql.files.minPartitionNum": None,
    "spark.sql.codegen.wholeStage": "true",
    "spark.sql.codegen.factoryMode": "FALLBACK",
    # A row that changes has its file written anew.
    "spark.sql.files.maxRecordsPerFile": "250000",
    # Java doesn't compile a longer method: Spark splits it then.
    "spark.sql.codegen.hugeMethodLimit": "8000",
}
# A row that changes has its file written anew.
_FILE_BYTES = 8_000_000

CHANGE_TYPE = "_change_type"
T = TypeVar("T")
Rows: TypeAlias = DataFrame | pa.Table
"""Rows of Spark's, or rows that are here."""


@dataclass(eq=False)
class LakePaths:
    """Where a lake's tables and checkpoints lie; `root` is an absolute path or a URI, without a trailing slash."""

    root: str

    def path(self, table: Table) -> str:
        return f"{self.root}/{table.layer}/{table.name}"

    def checkpoint(self, query: str) -> str:
        """Where the streaming query of that name keeps its checkpoint."""
        return f"{self.root}/{CHECKPOINTS}/{query}"

    def open(self, table: Table) -> DeltaTable | None:
        """The table at its newest version, through delta-rs; None where it doesn't exist yet."""
        return delta.open_table(self.path(table))

    def state(self, table: Table) -> delta.TableState | None:
        """The table's identity and newest version; None where it doesn't exist yet."""
        found = self.open(table)
        return None if found is None else delta.state_of(found)

    def rows(self, table: Table) -> int:
        """Rows of the table's newest version, from the log's statistics; 0 where there is no table."""
        found = self.open(table)
        return 0 if found is None else int(found.count())


@dataclass(eq=False)
class Snapshot(LakePaths):
    """The lake for light reads, each of these tables at the version that it had when this was made, whatever is written
    afterwards. What is compared across tables has to be made while the lake's lock is held: between two runs."""

    tables: InitVar[Iterable[Table]]
    _opened: dict[Table, DeltaTable | None] = field(init=False, repr=False)

    def __post_init__(self, tables: Iterable[Table]) -> None:
        self._opened = {table: delta.open_table(self.path(table)) for table in tables}

    def open(self, table: Table) -> DeltaTable | None:
        return self._opened[table]


@dataclass(eq=False)
class Lake(LakePaths):
    """A lake that can be written: `spark` is a classic or a Spark Connect session with Delta.

    Whoever has it is the only one to make and drop tables, so that a table is opened once and then only brought up to
    date: opening one takes as long as its log is long.
    """

    spark: SparkSession
    settings: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """Spark settings that somebody chose: they hold for large changes, rather than the lake's own."""
    small: bool = field(default=False, init=False)
    """Whether few rows are expected."""
    _replaced: set[Table] = field(default_factory=set, init=False, repr=False)
    _opened: dict[Table, DeltaTable] = field(default_factory=dict, init=False, repr=False)
    _shared: dict[str, DataFrame] = field(default_factory=dict, init=False, repr=False)
    _found: dict[str, Any] = field(default_factory=dict, init=False, repr=False)
    _remembered: dict[str, pa.Table] = field(default_factory=dict, init=False, repr=False)
    _handed: dict[str, DataFrame] = field(default_factory=dict, init=False, repr=False)
    _finding: defaultdict[str, RLock] = field(default_factory=lambda: defaultdict(RLock), init=False, repr=False)
    _pools: list[ThreadPoolExecutor] = field(default_factory=list, init=False, repr=False)
    _locks: defaultdict[Table, RLock] = field(default_factory=lambda: defaultdict(RLock), init=False, repr=False)
    _sharing: RLock = field(default_factory=RLock, init=False, repr=False)
    _locking: RLock = field(default_factory=RLock, init=False, repr=False)

    @property
    def is_remote(self) -> bool:
        """Whether Spark is a Spark Connect server, where functions of this process can't be called."""
        return type(self.spark).__module__.startswith("pyspark.sql.connect.")

    def open(self, table: Table) -> DeltaTable | None:
        found = self._opened.get(table)
        if found is not None:
            found.update_incremental()
            return found
        found = super().open(table)
        if found is not None:
            self._opened[table] = found
        return found

    def present(self, table: Table) -> DeltaTable:
        """The table through delta-rs, at its newest version. Raises LookupError where it isn't there."""
        found = self.open(table)
        if found is None:
            raise LookupError(f"there is no table at {self.path(table)}: it is made before rows are written")
        return found

    def create(self, table: Table) -> bool:
        """Make the table, empty, where it doesn't exist; say whether it was made."""
        with self.writing(table):
            if table in self._opened or self.open(table) is not None:
                return False
            self._opened[table] = DeltaTable.create(
                delta.native_uri(self.path(table)),
                table.arrow_schema,
                partition_by=list(table.partition_by) or None,
                description=table.description,
                configuration=table.all_properties,
                storage_options=delta.storage_options(),
                raise_if_key_not_exists=False,
            )
            return True

    @contextmanager
    def replacing(self, table: Table) -> Iterator[None]:
        """Meanwhile the table's rows count as gone: it is read as empty, and `make_equal` writes over it as a whole, in
        one commit. Readers see what was there until then, and nothing that was there, even if it is damaged, matters.
        """
        self._replaced.add(table)
        try:
            yield
        finally:
            self._replaced.discard(table)

    def is_replaced(self, table: Table) -> bool:
        return table in self._replaced

    def reopen(self) -> None:
        """Open tables anew from now on: for when somebody cut off the logs that were read so far."""
        self._opened.clear()

    def rows(self, table: Table) -> int:
        return 0 if table in self._replaced else super().rows(table)

    def expect(self, rows: int | None, *, few: int | None = None) -> None:
        """Prepare the session for work on about so many changed rows; None: nobody knows. Up to `few` are few.

        For few rows Spark spends its time on planning and on compiling code: so these are planned once, not again after
        every stage, and not compiled.
        """
        self.small = rows is not None and rows <= (few or MOST_ROWS_OF_A_SMALL_CHANGE)
        wanted: Mapping[str, Any] = SMALL_CHANGE if self.small else {**LARGE_CHANGE, **self.settings}
        for name in LARGE_CHANGE:
            if wanted.get(name) is not None:
                self.spark.conf.set(name, wanted[name])
            elif not self.small:
                self.spark.conf.unset(name)

    def pool(self, threads: int) -> ThreadPoolExecutor:
        """Threads for work on this lake; `join` waits for them."""
        self._pools.append(ThreadPoolExecutor(threads))
        return self._pools[-1]

    def join(self) -> None:
        """Wait until no thread works on the lake any more: before that, one may still commit."""
        while self._pools:
            self._pools[-1].shutdown(cancel_futures=True)
            self._pools.pop()

    def writing(self, table: Table) -> RLock:
        """The lock for what looks at a table in order to make it or to add to it, where several threads do."""
        with self._locking:
            return self._locks[table]

    def shared(self, name: str, build: Callable[[], DataFrame]) -> DataFrame:
        """The frame of that name, built and cached at its first use: for what several steps of a run read."""
        with self._sharing:
            if name not in self._shared:
                self._shared[name] = build().persist(StorageLevel.MEMORY_AND_DISK)
            return self._shared[name]

    def once(self, name: str, find: Callable[[], T]) -> T:
        """The rows of that name, found at their first use: for what several steps of a run take. Of rows that are here,
        no more are kept than memory has room for; others are found again."""
        with self._locking:
            finding = self._finding[name]
        with finding:
            with self._locking:
                found: T | None = self._found.pop(name, None)
            if found is None:
                found = find()
            with self._locking:
                # The last is the one that was used last.
                self._found[name] = found
                self._let_go(MOST_BYTES_KEPT)
            return found

    def _let_go(self, most: int) -> None:
        """Of what was found here, keep no more bytes than these, or the last alone."""
        sizes = {name: rows.nbytes for name, rows in self._found.items() if isinstance(rows, pa.Table)}
        total = sum(sizes.values())
        for name in list(sizes)[:-1]:
            if total <= most:
                break
            total -= sizes[name]
            del self._found[name]

    def remembered(self, name: str, arguments: pa.Table, find: Callable[[pa.Table], pa.Table]) -> pa.Table:
        """What was found of the arguments, a column, now or before, and perhaps of others: what the name stands for
        gives the same of an argument whenever it is asked."""
        [argument] = arguments.column_names
        with self._locking:
            finding = self._finding[name]
        with finding:
            known = self._remembered.get(name)
            if known is None or known.num_rows + arguments.num_rows > MOST_REMEMBERED:
                found = find(arguments)
            else:
                new = arguments.filter(pc.invert(pc.is_in(arguments[argument], known[argument])))
                found = pa.concat_tables([known, find(new)]).combine_chunks() if new.num_rows else known
            self._remembered[name] = found
            return found

    def release(self) -> None:
        """Let the shared frames go."""
        for frame in list(self._shared.values()):
            frame.unpersist()
        self._shared.clear()
        self._handed.clear()
        self._found.clear()
        self._finding.clear()

    def read(self, table: Table, *, version: int | None = None) -> DataFrame:
        """The table's rows, of its newest version or of the given one; an empty frame where it doesn't exist yet.

        Where few rows are expected, a short table is handed to Spark as it is: that costs less than planning a scan.
        """
        found = self.open(table)
        if found is None or table in self._replaced:
            return self.empty(table)
        if self.small and version in (None, found.version()) and found.count() <= MOST_ROWS_AT_ONCE:
            return self.handed_over(
                f"{table.full_name} {found.version()}",
                lambda: self._of_table(table, found.to_pyarrow_table(columns=table.column_names)),
            )
        reader = self.spark.read.format("delta")
        if version is not None:
            reader = reader.option("versionAsOf", version)
        return reader.load(self.path(table)).select(*table.column_names)

    def read_feed(self, table: Table, first: int, last: int) -> DataFrame:
        """The table's change feed of the versions from `first` to `last`: its columns and `_change_type`."""
        feed = self.spark.read.format("delta").option("readChangeFeed", "true")
        feed = feed.option("startingVersion", first).option("endingVersion", last)
        return feed.load(self.path(table)).select(*table.column_names, CHANGE_TYPE)

    def fetch_feed(self, table: Table, first: int, last: int) -> pa.Table:
        """The same rows, few, fetched: once, however many steps ask for them."""

        def fetch() -> pa.Table:
            feed = pa.table(self.present(table).load_cdf(first, last))
            return self._of_table(table, feed.select([*table.column_names, CHANGE_TYPE]))

        return self.once(f"{table.full_name} {first} to {last}", fetch)

    def _of_table(self, table: Table, rows: pa.Table) -> pa.Table:
        """Rows of columns of the table's, or of its feed, in the types that it declares."""
        declared = pa.schema([*table.arrow_schema, pa.field(CHANGE_TYPE, pa.string())])
        return rows.cast(pa.schema([declared.field(column) for column in rows.column_names]))

    def handed_over(self, name: str, read: Callable[[], pa.Table]) -> DataFrame:
        """Rows that are read from here, as a frame; once, however many steps ask for them."""
        rows = self.once(name, read)
        with self._sharing:
            if name not in self._handed:
                self._handed[name] = self.frame(rows)
            return self._handed[name]

    def frame(self, rows: Rows) -> DataFrame:
        """The rows, wherever they are, as a frame of the same columns, also where there are none."""
        return framed(self.spark, rows)

    def empty(self, table: Table) -> DataFrame:
        return self.spark.createDataFrame([], table.ddl)

    def append(self, rows: Rows, table: Table) -> None:
        """Append the rows, in the declared order of columns and cast to the declared types, in one commit: those that
        are here from here, as a commit through Spark takes a second at least."""
        if isinstance(rows, DataFrame):
            conform(rows, table).write.format("delta").mode("append").save(self.path(table))
        else:
            self.append_few(conformed(rows, table), table)

    def replace(self, rows: Rows, table: Table, *, where: str | None = None) -> None:
        """Make the rows the table's only ones, or its only ones that fulfil the predicate, in one commit."""
        if not isinstance(rows, DataFrame):
            self._write(conformed(rows, table), table, mode="overwrite", predicate=where)
            return
        writer = conform(rows, table).write.format("delta").mode("overwrite")
        if where is not None:
            writer = writer.option("replaceWhere", where)
        writer.save(self.path(table))

    def append_few(self, rows: pa.Table, table: Table, *, evolve: bool = False) -> None:
        """Append rows that are here, of the declared columns and types, in one commit. With `evolve` they may have more
        columns, which the table then has too; what reads it by its declaration passes over them."""
        if rows.num_rows:
            self._write(delta.uncommented(rows), table, mode="append", evolve=evolve)

    def write_batches(self, rows: pa.RecordBatchReader, table: Table, *, mode: Literal["append", "overwrite"]) -> None:
        """Append rows that come some at a time, of the declared columns and types, in one commit; or make them the
        table's only ones."""
        self._write(rows, table, mode=mode)

    def _write(
        self, rows: pa.Table | pa.RecordBatchReader, table: Table, *, evolve: bool = False, **options: Any
    ) -> None:
        found = self.present(table)
        # A column that was added to the table is null in them.
        lacking = {field.name for field in found.schema().fields} - set(rows.schema.names)
        schema_mode: Any = "merge" if evolve or lacking else None
        write_deltalake(found, rows, schema_mode=schema_mode, target_file_size=_FILE_BYTES, **options)


def framed(spark: SparkSession, rows: Rows) -> DataFrame:
    """The rows as a frame of the same columns, also where there are none."""
    if isinstance(rows, DataFrame):
        return rows
    # Spark Connect takes the schema of none from nothing but what it is told.
    return spark.createDataFrame(rows) if rows.num_rows else spark.createDataFrame([], of_arrow(rows))


def selected(sql: str, **frames: Any) -> DataFrame:
    """What the query gives of frames, which it names as `{name}`."""
    session: SparkSession = next(iter(frames.values())).sparkSession
    return session.sql(sql, **frames)


def of_arrow(rows: pa.Table) -> StructType:
    """Spark's schema of Arrow's rows."""
    return StructType([StructField(field.name, from_arrow_type(field.type)) for field in rows.schema])


def conform(rows: DataFrame, table: Table) -> DataFrame:
    """The rows with exactly the table's columns, in its order and of its types; a column that they lack is null."""
    there = set(rows.columns)
    values = (f"`{c.name}`" if c.name in there else "NULL" for c in table.columns)
    return rows.selectExpr(
        *(f"CAST({value} AS {c.type}) AS `{c.name}`" for value, c in zip(values, table.columns, strict=True))
    )


def conformed(rows: pa.Table, table: Table) -> pa.Table:
    """The same of rows that are here."""
    fields = [field.remove_metadata() for field in table.arrow_schema]
    columns = [
        rows[field.name].cast(field.type) if field.name in rows.column_names else pa.nulls(rows.num_rows, field.type)
        for field in fields
    ]
    return pa.table(columns, schema=pa.schema(fields))
