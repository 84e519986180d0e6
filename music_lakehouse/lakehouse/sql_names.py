"""A lake's tables by their names in Spark SQL, for people: the pipelines read tables by their paths.

The names are in the session's own catalog, in memory: there is no metastore, and they are gone with the session.
"""

from __future__ import annotations

from tempfile import TemporaryDirectory

from pyspark.sql import SparkSession

from music_lakehouse.lakehouse.inventory import LAYERS, find_tables
from music_lakehouse.lakehouse.masking import SPARK, Masking


def register_tables(spark: SparkSession, root: str, *, masking: Masking | None = None) -> list[str]:
    """Make each table of the lake at `root` (an absolute path or a URI) known to the session as `layer.table`, and
    return these names.

    With a masking they are views of its tables, without personal data. Tables that are made later need another call; of
    two lakes the names stand for the last one's tables. To drop a name drops no data.
    """
    tables = {name: uri for name, uri in find_tables(root).items() if masking is None or name in masking.tables}
    there = {row["namespace"] for row in spark.sql("SHOW SCHEMAS").collect()}
    for layer in there.intersection(LAYERS):
        for view in spark.sql(f"SHOW VIEWS IN {_quoted(layer)}").collect():
            if not view["isTemporary"]:
                spark.sql(f"DROP VIEW {_quoted(layer)}.{_quoted(view['viewName'])}")
        for known in spark.sql(f"SHOW TABLES IN {_quoted(layer)}").collect():
            if not known["isTemporary"]:
                spark.sql(f"DROP TABLE {_quoted(layer)}.{_quoted(known['tableName'])}")
    # Spark makes a directory for each schema, and would remove it with the schema: it must not be the lake's.
    with TemporaryDirectory() as nowhere:
        for layer in {name.split(".", 1)[0] for name in tables} - there:
            spark.sql(f"CREATE SCHEMA {_quoted(layer)} LOCATION '{nowhere}/{layer}'")
    for name, uri in tables.items():
        layer, table = name.split(".", 1)
        if masking is not None:
            rows = f"delta.{_quoted(uri)}"
            columns = masking.select(name, spark.sql(f"SELECT * FROM {rows}").columns, SPARK)
            spark.sql(f"CREATE VIEW {_quoted(layer)}.{_quoted(table)} AS SELECT {columns} FROM {rows}")
            continue
        place = uri.replace("\\", "\\\\").replace("'", "\\'")
        spark.sql(f"CREATE TABLE {_quoted(layer)}.{_quoted(table)} USING delta LOCATION '{place}'")
    return [*tables]


def _quoted(name: str) -> str:
    return "`{}`".format(name.replace("`", "``"))
