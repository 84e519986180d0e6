"""A lake's tables by their names in Spark SQL, for people: the pipelines read tables by their paths.

The names are in the session's own catalog, in memory: there is no metastore, and they are gone with the session.
"""

from __future__ import annotations

from tempfile import TemporaryDirectory

from pyspark.sql import SparkSession

from music_lakehouse.lakehouse.inventory import LAYERS, find_tables


def register_tables(spark: SparkSession, root: str) -> list[str]:
    """Make each table of the lake at `root` (an absolute path or a URI) known to the session as `layer.table`, and
    return these names.

    Tables that are made later need another call; of two lakes the names stand for the last one's tables. To drop a name
    drops no data.
    """
    tables = find_tables(root)
    there = {row["namespace"] for row in spark.sql("SHOW SCHEMAS").collect()}
    for layer in there.intersection(LAYERS):
        for known in spark.sql(f"SHOW TABLES IN {_quoted(layer)}").collect():
            if not known["isTemporary"]:
                spark.sql(f"DROP TABLE {_quoted(layer)}.{_quoted(known['tableName'])}")
    # Spark makes a directory for each schema, and would remove it with the schema: it must not be the lake's.
    with TemporaryDirectory() as nowhere:
        for layer in {name.split(".", 1)[0] for name in tables} - there:
            spark.sql(f"CREATE SCHEMA {_quoted(layer)} LOCATION '{nowhere}/{layer}'")
    for name, uri in tables.items():
        layer, table = name.split(".", 1)
        place = uri.replace("\\", "\\\\").replace("'", "\\'")
        spark.sql(f"CREATE TABLE {_quoted(layer)}.{_quoted(table)} USING delta LOCATION '{place}'")
    return [*tables]


def _quoted(name: str) -> str:
    return "`{}`".format(name.replace("`", "``"))
