"""A lake's tables by their names in Spark SQL, for people: the pipelines read tables by their paths.

The names are in the session's own catalog, in memory: there is no metastore, and they are gone with the session. To
register one takes a fifth of a second, so that none is before a statement names it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from tempfile import TemporaryDirectory
from threading import Lock
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from music_lakehouse.lakehouse.inventory import LAYERS, find_tables
from music_lakehouse.lakehouse.masking import SPARK, Masking

Sql = Callable[..., DataFrame]

_LAYER = f"`?({'|'.join(LAYERS)})`?"
# In paths and texts the name of a layer names nothing.
_QUOTED = re.compile(r"delta\.`[^`]*`|'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"", re.IGNORECASE)
_TABLE = re.compile(rf"(?<![\w.`]){_LAYER}\s*\.\s*`?(\w+)`?", re.IGNORECASE)
_WHOLE_LAYER = re.compile(
    rf"\b(?:IN|FROM|USE)\s+(?:(?:SCHEMA|DATABASE|NAMESPACE)\s+)?{_LAYER}(?![\w`]|\s*\.)", re.IGNORECASE
)
_ALL_LAYERS = re.compile(r"^\s*SHOW\s+(?:SCHEMAS|DATABASES|NAMESPACES)\b", re.IGNORECASE)


def register_on_demand(spark: SparkSession, root: str) -> None:
    """Let `spark.sql` know the tables of the lake at `root` (an absolute path or a URI) as `layer.table`.

    Before a statement is run, the tables that it names are registered, and all of a layer that it names (`SHOW TABLES
    IN gold`). One that names none, as no statement of the pipelines does, costs nothing. Of two lakes the names stand
    for the last one's tables. To drop a name drops no data.
    """
    vars(spark)["sql"] = _OnDemand(partial(type(spark).sql, spark), root)


def stop_registering(spark: SparkSession) -> None:
    """Let `spark.sql` know what is registered, and no more."""
    vars(spark).pop("sql", None)


def register_tables(spark: SparkSession, root: str, *, masking: Masking | None = None) -> list[str]:
    """Make each table of the lake at `root` (an absolute path or a URI) known to the session as `layer.table`, and
    return these names.

    With a masking they are views of its tables, without personal data. Tables that are made later need another call; of
    two lakes the names stand for the last one's tables. To drop a name drops no data.
    """
    stop_registering(spark)
    tables = {name: uri for name, uri in find_tables(root).items() if masking is None or name in masking.tables}
    there = _schemas(spark.sql)
    for layer in there.intersection(LAYERS):
        _clear(spark.sql, layer)
    _make_schemas(spark.sql, {name.split(".", 1)[0] for name in tables} - there)
    for name, uri in tables.items():
        if masking is None:
            _make_table(spark.sql, name, uri)
            continue
        rows = f"delta.{_quoted(uri)}"
        columns = masking.select(name, spark.sql(f"SELECT * FROM {rows}").columns, SPARK)
        spark.sql(f"CREATE VIEW {_quoted_name(name)} AS SELECT {columns} FROM {rows}")
    return [*tables]


class _OnDemand:
    """A session's `sql` that registers what a statement names of a lake before it is run."""

    def __init__(self, sql: Sql, root: str) -> None:
        self._sql, self._root = sql, root
        self._layers, self._made = set[str](), set[str]()
        self._lock = Lock()

    def __call__(self, *arguments: Any, **more: Any) -> DataFrame:
        named = _named(str(arguments[0] if arguments else more.get("sqlQuery", "")))
        if named:
            with self._lock:
                self._register(named)
        return self._sql(*arguments, **more)

    def _register(self, named: Mapping[str, set[str] | None]) -> None:
        tables = find_tables(self._root)
        schemas = _schemas(self._sql)
        for layer, wanted in named.items():
            of_the_layer = {name: uri for name, uri in tables.items() if name.startswith(f"{layer}.")}
            if layer in schemas and layer not in self._layers:
                # Names that somebody else gave.
                _clear(self._sql, layer)
            elif layer not in schemas and of_the_layer:
                _make_schemas(self._sql, [layer])
            elif layer not in schemas:
                continue
            self._layers.add(layer)
            there = _names(self._sql, "TABLES", layer)
            for name in (there & self._made) - of_the_layer.keys():
                self._sql(f"DROP TABLE {_quoted_name(name)}")
            for name, uri in of_the_layer.items():
                if name not in there and (wanted is None or name.lower() in wanted):
                    _make_table(self._sql, name, uri)
                    self._made.add(name)


def _named(statement: str) -> dict[str, set[str] | None]:
    """The layers that a statement names, each with the tables of it (`layer.table`) that it names; None: all."""
    text = _QUOTED.sub(" ", statement)
    named: dict[str, set[str] | None] = {layer: set() for layer in LAYERS} if _ALL_LAYERS.match(text) else {}
    for found in _TABLE.finditer(text.lower()):
        named[found[1]] = (named.get(found[1]) or set()) | {f"{found[1]}.{found[2]}"}
    return named | dict.fromkeys((found[1].lower() for found in _WHOLE_LAYER.finditer(text)), None)


def _schemas(sql: Sql) -> set[str]:
    return {row["namespace"] for row in sql("SHOW SCHEMAS").collect()}


def _names(sql: Sql, kind: str, layer: str) -> set[str]:
    """The names of the layer's `TABLES` or `VIEWS` that the session has registered; views are among the tables."""
    column = "tableName" if kind == "TABLES" else "viewName"
    rows = sql(f"SHOW {kind} IN {_quoted(layer)}").collect()
    return {f"{layer}.{row[column]}" for row in rows if not row["isTemporary"]}


def _clear(sql: Sql, layer: str) -> None:
    for kind in ("VIEW", "TABLE"):
        for name in _names(sql, f"{kind}S", layer):
            sql(f"DROP {kind} {_quoted_name(name)}")


def _make_schemas(sql: Sql, layers: Iterable[str]) -> None:
    # Spark makes a directory for each schema, and would remove it with the schema: it must not be the lake's.
    with TemporaryDirectory() as nowhere:
        for layer in layers:
            sql(f"CREATE SCHEMA {_quoted(layer)} LOCATION '{nowhere}/{layer}'")


def _make_table(sql: Sql, name: str, uri: str) -> None:
    place = uri.replace("\\", "\\\\").replace("'", "\\'")
    sql(f"CREATE TABLE {_quoted_name(name)} USING delta LOCATION '{place}'")


def _quoted_name(name: str) -> str:
    return ".".join(map(_quoted, name.split(".", 1)))


def _quoted(name: str) -> str:
    return "`{}`".format(name.replace("`", "``"))
