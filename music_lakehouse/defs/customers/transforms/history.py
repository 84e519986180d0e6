"""What held when: typed rows, in the order in which they landed, as states of what they tell of."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from music_lakehouse.defs.customers.landed import CUSTOMER, LandedTable
from music_lakehouse.defs.customers.tables import DIM_CUSTOMER, HASH, SILVER
from music_lakehouse.defs.customers.transforms.rows import PLACE, with_hash
from music_lakehouse.lakehouse.file_ingest import DATE_ADDED, ROW_NUMBER, SOURCE_FILE
from music_lakehouse.lakehouse.lake import selected
from music_lakehouse.lakehouse.scd2 import versions_query

# As many hexadecimal digits of an md5 as make a positive BIGINT.
_DIGITS = 15


def states(rows: DataFrame, landed: LandedTable) -> DataFrame:
    """One row a state of a key: the columns, `hash_value`, the `source_filename` that brought it, `start_date`
    (inclusive) and `end_date` (exclusive, null for the last one).

    In: `valid` rows, in any order. They are applied in order of date, file and place in the file; of what one moment
    brought, the last holds; what repeats the state changes nothing.
    """
    others = [name for name in landed.column_names if name not in landed.key]
    query = versions_query(
        key=landed.key,
        at=DATE_ADDED,
        order=PLACE[1:],
        tracked=[HASH],
        carried={},
        start="start_date",
        end="end_date",
        kept=[*others, SOURCE_FILE],
    )
    return selected(query, evidence=rows)


def latest(rows: DataFrame, landed: LandedTable) -> DataFrame:
    """The last state of each key, as rows of silver."""
    last = states(rows, landed).where("end_date IS NULL").withColumnRenamed("start_date", DATE_ADDED)
    return last.select(*SILVER[landed].column_names)


def latest_where_few_repeat(rows: DataFrame, landed: LandedTable, repeated: DataFrame) -> DataFrame:
    """What `latest` gives, where `repeated`, the keys that more than one row has, are few: of all other keys the row is
    the state, and needs neither be shuffled nor sorted."""
    few = F.broadcast(repeated)
    alone = rows.join(few, list(landed.key), "left_anti").select(*SILVER[landed].column_names)
    return alone.unionByName(latest(rows.join(few, list(landed.key), "left_semi"), landed))


def repeated_keys(rows: DataFrame, landed: LandedTable) -> DataFrame:
    """The keys that more than one row has."""
    return rows.groupBy(*landed.key).count().where("count > 1").drop("count")


def customer_versions(rows: DataFrame) -> DataFrame:
    """All versions of the customers, as rows of dim_customer."""
    told = states(rows, CUSTOMER).withColumn("is_current", F.col("end_date").isNull())
    return told.withColumn("dim_customer_id", _version_number()).select(*DIM_CUSTOMER.column_names)


def _version_number() -> Column:
    """From the customer and the moment alone: a version has the same number whenever and wherever it is told, and no
    other one ever gets it."""
    name = F.concat_ws("|", "c_custkey", F.unix_micros("start_date"))
    return F.conv(F.substr(F.md5(name), F.lit(1), F.lit(_DIGITS)), 16, 10).cast("bigint")


def known_before(known: DataFrame, landed: LandedTable, since: str) -> DataFrame:
    """Rows of silver or dim_customer, whose column `since` says from when they hold, as if they had landed then."""
    as_landed = known.withColumn(DATE_ADDED, F.col(since)).withColumn(ROW_NUMBER, F.lit(None).cast("bigint"))
    if SOURCE_FILE not in known.columns:
        as_landed = as_landed.withColumn(SOURCE_FILE, F.lit(None).cast("string"))
    if HASH not in known.columns:
        as_landed = with_hash(as_landed, landed)
    return as_landed.select(*landed.column_names, *PLACE, HASH)
