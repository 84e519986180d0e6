"""The keyed steps of the customers tables: which keys changes touch, and what is read for them.

Landed rows are evidence of what held from when their file landed. What is new tells which keys are concerned and from
when on; the states of these are told anew from the landed rows since then, and what was known before stands. So files
may be read in any order and in any batches. In the usual order nothing but the new rows is read.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from functools import partial, reduce
from typing import Any, NamedTuple

from pyspark import StorageLevel
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from music_lakehouse.defs.customers.landed import CUSTOMER, LANDED, LINEITEM, ORDERS, LandedTable
from music_lakehouse.defs.customers.tables import BRONZE, DIM_CUSTOMER, FACT_SALES, QUARANTINE, SILVER
from music_lakehouse.defs.customers.transforms import history, rows, sales
from music_lakehouse.lakehouse.changes import Change, Changes
from music_lakehouse.lakehouse.expectations import JUDGED
from music_lakehouse.lakehouse.file_ingest import DATE_ADDED
from music_lakehouse.lakehouse.lake import Lake
from music_lakehouse.lakehouse.query import keyed, keys_within, query
from music_lakehouse.lakehouse.ranges import Range
from music_lakehouse.lakehouse.refused import follow_refused
from music_lakehouse.lakehouse.scd2 import changed_stretches
from music_lakehouse.lakehouse.steps import Step
from music_lakehouse.lakehouse.tables import Table
from music_lakehouse.lakehouse.upsert import Written, make_equal

_MOST_KEYS_IN_MEMORY = 500_000
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
    """The landed rows that a change of bronze brought, judged: once for all that asks in a run."""
    return change.inserted_as(JUDGED, partial(rows.judged, landed=landed), many=True)


def _refused(change: Change, landed: LandedTable) -> DataFrame:
    return rows.refused(judged_changes(change, landed))


def _update_quarantine(lake: Lake, changes: Changes) -> Written:
    return follow_refused(lake, QUARANTINE, changes, {BRONZE[each]: partial(_refused, landed=each) for each in LANDED})


def _update_silver(landed: LandedTable, lake: Lake, changes: Changes) -> Written:
    table, change = SILVER[landed], changes.get(BRONZE[landed])
    if change is not None and change.full:
        everything = rows.valid(judged_changes(change, landed), landed)
        return _keep_latest(lake, landed, everything, delete=True)
    evidence = _new_evidence(lake, change, landed)
    if evidence is None:
        return Written()
    # Kept, as Spark would read the table and join the keys anew for each use; and it leaves out joins with what turns
    # out to be empty, as this is where all keys are new.
    known = keyed(lake, table, evidence.keys, evidence.within).persist(StorageLevel.MEMORY_AND_DISK)
    try:
        before = history.known_before(known.where(~_from(DATE_ADDED, evidence.since)), landed, DATE_ADDED)
        told = before.unionByName(evidence.present)
        return _keep_latest(lake, landed, told, current=known, within=evidence.within)
    finally:
        known.unpersist()


def _keep_latest(lake: Lake, landed: LandedTable, evidence: DataFrame, **more: Any) -> Written:
    """Make silver equal to the latest states among the evidence; `more` is said to `make_equal`."""
    table = SILVER[landed]
    if lake.small:
        return make_equal(lake, table, history.latest(evidence, landed), **more)
    repeated = history.repeated_keys(evidence, landed).persist()
    try:
        if repeated.count() > _MOST_KEYS_IN_MEMORY:
            return make_equal(lake, table, history.latest(evidence, landed), **more)
        return make_equal(lake, table, history.latest_where_few_repeat(evidence, landed, repeated), **more)
    finally:
        repeated.unpersist()


def _update_dim_customer(lake: Lake, changes: Changes) -> Written:
    change = changes.get(BRONZE[CUSTOMER])
    if change is not None and change.full:
        everything = rows.valid(judged_changes(change, CUSTOMER), CUSTOMER)
        return make_equal(lake, DIM_CUSTOMER, history.customer_versions(everything), delete=True)
    evidence = _new_evidence(lake, change, CUSTOMER)
    if evidence is None:
        return Written()
    reaches = F.col("end_date").isNull() | _from("end_date", evidence.since)
    known = keyed(lake, DIM_CUSTOMER, evidence.keys, evidence.within).where(reaches)
    before = history.known_before(known.where(~_from("start_date", evidence.since)), CUSTOMER, "start_date")
    desired = history.customer_versions(before.unionByName(evidence.present))
    return make_equal(lake, DIM_CUSTOMER, desired, current=known, within=evidence.within, delete=True)


def _new_evidence(lake: Lake, change: Change | None, landed: LandedTable) -> Evidence | None:
    """None where no new row is valid."""
    if change is None:
        return None
    judged = judged_changes(change, landed)
    new = rows.valid(judged, landed)
    within = Range.of(new, landed.key[0])
    if within is None:
        return None
    keys, present = new.select(*landed.key).distinct(), new
    # Of all new rows, not only of the valid ones: so the table has as many since then only where there are no others.
    since = _earliest(judged)
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
    if changes.full:
        lines, orders, versions = (lake.read(table) for table in (SILVER[LINEITEM], SILVER[ORDERS], DIM_CUSTOMER))
        return make_equal(lake, FACT_SALES, sales.fact_sales(lines, orders, versions), delete=True)
    touched = _touched_orders(lake, changes).persist()
    try:
        within = Range.of(touched, "order_key")
        if within is None:
            return Written()
        # One customer who lands may complete many orders that wait.
        lake.expect(max(changes.count or 0, touched.count()))

        def concerned(table: Table, key: str) -> DataFrame:
            return keyed(lake, table, touched.toDF(key), within.on(key))

        ordered = concerned(SILVER[ORDERS], "o_orderkey")
        customers = ordered.select(F.col("o_custkey").alias("c_custkey")).distinct()
        held = keyed(lake, DIM_CUSTOMER, F.broadcast(customers))
        desired = sales.fact_sales(concerned(SILVER[LINEITEM], "l_orderkey"), ordered, held)
        current = concerned(FACT_SALES, "order_key")
        return make_equal(lake, FACT_SALES, desired, current=current, within=within)
    finally:
        touched.unpersist()


def _touched_orders(lake: Lake, changes: Changes) -> DataFrame:
    """The `order_key` of orders that changed, of which an item did, or whose customer had another version then."""
    touched = []
    for landed, key in ((LINEITEM, "l_orderkey"), (ORDERS, "o_orderkey")):
        change = changes.get(SILVER[landed])
        if change is not None:
            touched.append(change.rows.select(F.col(key).alias("order_key")))
    change = changes.get(DIM_CUSTOMER)
    if change is not None:
        versions = keyed(lake, DIM_CUSTOMER, change.rows.select(CUSTOMER.key[0]).distinct())
        found = changed_stretches(change.rows, versions, key=CUSTOMER.key[0], start="start_date", end="end_date")
        orders = keys_within(lake, SILVER[ORDERS], found.toArrow(), of="o_custkey", at="o_orderdate")
        touched.append(lake.frame(orders.rename_columns(["order_key"])))
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
