"""The keyed steps of the customers tables: which keys changes touch, and what is read for them.

Landed rows are evidence of what held from when their file landed. What is new tells which keys are concerned and from
when on; the states of these are told anew from the landed rows since then, and what was known before stands. So files
may be read in any order and in any batches. In the usual order nothing but the new rows is read.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from functools import partial, reduce
from typing import NamedTuple

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from music_lakehouse.defs.customers.landed import CUSTOMER, LANDED, LINEITEM, ORDERS, LandedTable
from music_lakehouse.defs.customers.tables import BRONZE, DIM_CUSTOMER, FACT_SALES, QUARANTINE, SILVER
from music_lakehouse.defs.customers.transforms import history, rows, sales
from music_lakehouse.lakehouse.changes import Change, Changes
from music_lakehouse.lakehouse.expectations import JUDGED
from music_lakehouse.lakehouse.file_ingest import DATE_ADDED
from music_lakehouse.lakehouse.lake import Lake
from music_lakehouse.lakehouse.query import query
from music_lakehouse.lakehouse.ranges import Range
from music_lakehouse.lakehouse.steps import Step
from music_lakehouse.lakehouse.tables import Table
from music_lakehouse.lakehouse.upsert import Written, make_equal

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


class Evidence(NamedTuple):
    """What new landed rows touch: the keys, the range of their first column, the moment from which on another state may
    hold (microseconds of the epoch: a time as Python has it would depend on the machine's time zone), and all valid
    rows of these keys since then, old and new."""

    keys: DataFrame
    within: Range
    since: int
    present: DataFrame


def judged_changes(change: Change, landed: LandedTable) -> DataFrame:
    """The landed rows that a change of bronze brought, judged; where few are expected, once for all that asks."""
    return change.inserted_as(JUDGED, partial(rows.judged, landed=landed))


def _update_quarantine(lake: Lake, changes: Changes) -> Written:
    if changes.full:
        every = (rows.refused(rows.judged(lake.read(table), landed), landed) for landed, table in BRONZE.items())
        return make_equal(lake, QUARANTINE, reduce(DataFrame.unionByName, every), delete=True)
    found = {landed: changes.get(table) for landed, table in BRONZE.items()}
    new = (rows.refused(judged_changes(c, landed), landed) for landed, c in found.items() if c is not None)
    desired = reduce(DataFrame.unionByName, new)
    since = desired.agg(F.unix_micros(F.min(DATE_ADDED))).collect()[0][0]
    if since is None:
        return Written()
    return make_equal(lake, QUARANTINE, desired, current=_since(lake, QUARANTINE, since))


def _update_silver(landed: LandedTable, lake: Lake, changes: Changes) -> Written:
    table = SILVER[landed]
    if changes.full:
        everything = rows.valid(rows.judged(lake.read(BRONZE[landed]), landed), landed)
        return make_equal(lake, table, history.latest(everything, landed), delete=True)
    evidence = _new_evidence(lake, changes, landed)
    if evidence is None:
        return Written()
    known = lake.read(table).where(evidence.within.predicate()).join(evidence.keys, list(landed.key), "left_semi")
    before = history.known_before(known.where(~_from(DATE_ADDED, evidence.since)), landed, DATE_ADDED)
    desired = history.latest(before.unionByName(evidence.present), landed)
    return make_equal(lake, table, desired, current=known, within=evidence.within)


def _update_dim_customer(lake: Lake, changes: Changes) -> Written:
    if changes.full:
        everything = rows.valid(rows.judged(lake.read(BRONZE[CUSTOMER]), CUSTOMER), CUSTOMER)
        return make_equal(lake, DIM_CUSTOMER, history.customer_versions(everything), delete=True)
    evidence = _new_evidence(lake, changes, CUSTOMER)
    if evidence is None:
        return Written()
    reaches = F.col("end_date").isNull() | _from("end_date", evidence.since)
    known = lake.read(DIM_CUSTOMER).where(reaches).join(evidence.keys, list(CUSTOMER.key), "left_semi")
    before = history.known_before(known.where(~_from("start_date", evidence.since)), CUSTOMER, "start_date")
    desired = history.customer_versions(before.unionByName(evidence.present))
    return make_equal(lake, DIM_CUSTOMER, desired, current=known, delete=True)


def _new_evidence(lake: Lake, changes: Changes, landed: LandedTable) -> Evidence | None:
    """None where no new row is valid."""
    change = changes.get(BRONZE[landed])
    if change is None:
        return None
    new = rows.valid(judged_changes(change, landed), landed)
    within = Range.of(new, landed.key[0])
    if within is None:
        return None
    keys, present = new.select(*landed.key).distinct(), new
    # Of all new rows, not only of the valid ones: so the table has as many since then only where there are no others.
    since = _earliest(change.inserted)
    if _count_since(lake, BRONZE[landed], since) != change.count:
        every = rows.valid(rows.judged(_since(lake, BRONZE[landed], since), landed), landed)
        present = every.join(keys, list(landed.key), "left_semi")
    return Evidence(keys, within, since, present)


def _earliest(landed_rows: DataFrame) -> int:
    """When the first of the rows, of which there is one at least, landed."""
    return int(landed_rows.agg(F.unix_micros(F.min(DATE_ADDED))).collect()[0][0])


def _from(column: str, microseconds: int) -> Column:
    return F.col(column) >= F.timestamp_micros(F.lit(microseconds))


def _since(lake: Lake, table: Table, microseconds: int) -> DataFrame:
    return lake.read(table).where(_from(DATE_ADDED, microseconds))


def _count_since(lake: Lake, table: Table, microseconds: int) -> int:
    """By the statistics of the files mostly: those of older rows are not opened."""
    since = (_EPOCH + timedelta(microseconds=microseconds)).isoformat()
    counted = query(lake, f"SELECT count(*) FROM {{landed}} WHERE {DATE_ADDED} >= '{since}'", landed=table)
    return int(counted.column(0)[0].as_py())


def _update_fact_sales(lake: Lake, changes: Changes) -> Written:
    lines, orders, versions = (lake.read(table) for table in (SILVER[LINEITEM], SILVER[ORDERS], DIM_CUSTOMER))
    if changes.full:
        return make_equal(lake, FACT_SALES, sales.fact_sales(lines, orders, versions), delete=True)
    touched = _touched_orders(changes, orders, versions).persist()
    try:
        within = Range.of(touched, "order_key")
        if within is None:
            return Written()

        def concerned(table: DataFrame, key: str) -> DataFrame:
            keys = touched.withColumnRenamed("order_key", key)
            return table.where(within.on(key).predicate()).join(keys, key, "left_semi")

        desired = sales.fact_sales(concerned(lines, "l_orderkey"), concerned(orders, "o_orderkey"), versions)
        current = concerned(lake.read(FACT_SALES), "order_key")
        return make_equal(lake, FACT_SALES, desired, current=current, within=within)
    finally:
        touched.unpersist()


def _touched_orders(changes: Changes, orders: DataFrame, versions: DataFrame) -> DataFrame:
    """The `order_key` of orders that changed, of which an item did, or whose customer had another version then."""
    touched = []
    for landed, key in ((LINEITEM, "l_orderkey"), (ORDERS, "o_orderkey")):
        change = changes.get(SILVER[landed])
        if change is not None:
            touched.append(change.rows.select(F.col(key).alias("order_key")))
    change = changes.get(DIM_CUSTOMER)
    if change is not None:
        stretches = sales.rekeyed_stretches(change.rows, versions)
        touched.append(sales.rekeyed_orders(orders, stretches).withColumnRenamed("o_orderkey", "order_key"))
    return reduce(DataFrame.union, touched).distinct()


STEPS: dict[Table, Step] = {
    step.table: step
    for step in (
        Step(QUARANTINE, tuple(BRONZE.values()), _update_quarantine),
        *(Step(SILVER[landed], (BRONZE[landed],), partial(_update_silver, landed)) for landed in LANDED),
        # Silver shows the last state only; what held between two files, or was read late, the landed rows tell.
        Step(DIM_CUSTOMER, (BRONZE[CUSTOMER],), _update_dim_customer, after=(SILVER[CUSTOMER],)),
        Step(FACT_SALES, (SILVER[LINEITEM], SILVER[ORDERS], DIM_CUSTOMER), _update_fact_sales, reads_all=True),
    )
}
"""The step of each table, by table, in an order in which they may run."""
