"""SQL over the lake's tables: DuckDB on the files that delta-rs names. No JVM."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from music_lakehouse.cli.errors import CliError
from music_lakehouse.lakehouse.inventory import find_tables
from music_lakehouse.lakehouse.masking import DUCKDB

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa
    import pyarrow.dataset as ds
    from deltalake import DeltaTable

    from music_lakehouse.lakehouse.masking import Masking

_SHOW_TABLES = re.compile(r"\s*show\s+(all\s+)?tables\s*;?\s*", re.IGNORECASE)
_FETCH = 10_000


@dataclass(frozen=True)
class Result:
    """A statement's columns, which of them are numbers, and its rows as Python values, one after the other."""

    columns: Sequence[str]
    numeric: frozenset[str]
    rows: Iterator[Sequence[Any]]


@contextmanager
def query(root: str, statement: str, *, masking: Masking | None = None) -> Iterator[Result]:
    """Runs a statement over the tables of the lake at `root`, each named `layer.table`; names of columns are found in
    any case. Times come in UTC. `SHOW TABLES` gives the tables' names. With a masking they are its views.

    Raises CliError where a table or a column isn't there or the statement can't be understood.
    """
    tables = {name: uri for name, uri in find_tables(root).items() if masking is None or name in masking.tables}
    if _SHOW_TABLES.fullmatch(statement):
        yield Result(["table"], frozenset(), iter([(name,) for name in tables]))
        return
    import duckdb

    with duckdb.connect(config={"autoinstall_known_extensions": "false"}) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        _register(
            connection, {name: uri for name, uri in tables.items() if _mentions(statement, name)}, statement, masking
        )
        try:
            connection.execute(statement)
        except duckdb.CatalogException as error:
            hint = _which_tables(root, tables) if "does not exist" in str(error) else "Tables can only be read here."
            raise CliError(f"{_told(error)} {hint}") from error
        except duckdb.Error as error:
            raise CliError(_told(error)) from error
        description = connection.description or []
        numeric = frozenset(str(column[0]) for column in description if str(column[1]) in _NUMBERS)
        yield Result([str(column[0]) for column in description], numeric, _rows(connection))


_NUMBERS = {"NUMBER", "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "FLOAT", "DOUBLE", "DECIMAL"}


def _mentions(statement: str, name: str) -> bool:
    """Whether the statement may read the table: one too many costs milliseconds."""
    return name.split(".", 1)[1].lower() in statement.lower()


def _register(
    connection: duckdb.DuckDBPyConnection, tables: dict[str, str], statement: str, masking: Masking | None
) -> None:
    from music_lakehouse.lakehouse import delta

    for name, uri in tables.items():
        table = delta.open_table(uri)
        if table is None:
            continue
        layer, short = name.split(".", 1)
        rows = _dataset(table, uri, statement)
        columns = "*" if masking is None else masking.select(name, rows.schema.names, DUCKDB)
        # Nobody comes upon what a view masks by the table's name.
        of = name if masking is None else f"rows of {uuid4().hex}"
        connection.register(of, rows)
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {_quoted(layer)}")
        connection.execute(f"CREATE VIEW {_quoted(layer)}.{_quoted(short)} AS SELECT {columns} FROM {_quoted(of)}")


def _dataset(table: DeltaTable, uri: str, statement: str) -> pa.Table | ds.Dataset:
    """The table's files, of which DuckDB reads what the statement needs."""
    import pyarrow as pa
    from deltalake.exceptions import DeltaProtocolError

    from music_lakehouse.lakehouse import delta

    if "://" not in uri:
        try:
            return delta.dataset(table, uri)
        except DeltaProtocolError:
            pass  # deletion vectors or mapped columns, which delta-rs's own engine reads
    return pa.table(table.scan(columns=_columns(table, statement)))


def _columns(table: DeltaTable, statement: str) -> list[str]:
    """The columns that the statement may read, at least one, so that rows can be counted."""
    names = [field.name for field in table.schema().fields]
    text = re.sub(r"count\s*\(\s*\*\s*\)", "", statement, flags=re.IGNORECASE).lower()
    mentioned = names if "*" in text else [name for name in names if name.lower() in text]
    return mentioned or names[:1]


def _rows(connection: duckdb.DuckDBPyConnection) -> Iterator[Sequence[Any]]:
    while rows := connection.fetchmany(_FETCH):
        yield from rows


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _told(error: Exception) -> str:
    """DuckDB's words without the excerpt of the statement."""
    return re.sub(r"\s*\n\s*", " ", str(error).split("\n\nLINE")[0].strip())


def _which_tables(root: str, tables: dict[str, str]) -> str:
    if not tables:
        return f"The lake at {root} has no tables yet: `music-lakehouse run streaming_pipeline` makes them."
    return f"Tables are named layer.table; there are: {', '.join(tables)}."
