"""What the customers tables are checked for, as SQL over what a run touched; the audit evaluates it over everything."""

from __future__ import annotations

from collections.abc import Mapping

from music_lakehouse.defs.customers.landed import CUSTOMER, LINEITEM
from music_lakehouse.defs.customers.tables import BRONZE, DIM_CUSTOMER, FACT_SALES, QUARANTINE, SILVER
from music_lakehouse.lakehouse.checks import Check
from music_lakehouse.lakehouse.common_checks import (
    key_is_there,
    key_is_unique,
    of_each_row,
    quarantine_checks,
    row_count,
    scd2_checks,
)
from music_lakehouse.lakehouse.file_checks import landed_file_checks
from music_lakehouse.lakehouse.tables import Table

_VERSIONS = f"""
    SELECT dim_customer_id, start_date, end_date,
           start_date = min(start_date) OVER (PARTITION BY c_custkey) AS is_first
    FROM "{DIM_CUSTOMER.full_name}"
"""
# Through the epoch: a cast would go by the machine's time zone.
_ORDERED_AT = "to_timestamp(epoch(order_date))"

CHECKS: Mapping[Table, list[Check]] = {
    **{table: landed_file_checks(table) for table in BRONZE.values()},
    QUARANTINE: quarantine_checks(QUARANTINE),
    **{table: [*key_is_there(table), *key_is_unique(table)] for table in SILVER.values()},
    DIM_CUSTOMER: [
        *key_is_there(DIM_CUSTOMER),
        *key_is_unique(DIM_CUSTOMER),
        *scd2_checks(
            "customer",
            key="c_custkey",
            start="start_date",
            end="end_date",
            is_current="is_current",
            shown=[name for name in CUSTOMER.column_names if name not in CUSTOMER.key],
        ),
    ],
    FACT_SALES: [
        *key_is_there(FACT_SALES),
        *key_is_unique(FACT_SALES),
        Check(
            "row_for_row",
            "fact_sales has the rows of silver.lineitem",
            f"""
            SELECT items AS rows, abs(items - facts) AS failed, items, facts FROM (
                SELECT {row_count(SILVER[LINEITEM].full_name)} AS items, {row_count(FACT_SALES.full_name)} AS facts
            )
            """,
        ),
        Check(
            "version_that_held",
            "the customer's version is the one that held as the order's day began, or the first one",
            f"""
            SELECT count(*) AS rows, count(*) FILTER (
                WHERE v.dim_customer_id IS NULL OR NOT (v.is_first OR start_date <= {_ORDERED_AT})
                OR end_date <= {_ORDERED_AT}
            ) AS failed
            FROM touched AS t LEFT JOIN ({_VERSIONS}) AS v USING (dim_customer_id) WHERE t.dim_customer_id IS NOT NULL
            """,
        ),
        of_each_row(
            "revenue_exact",
            "net_revenue is extended_price x (1 - discount)",
            "net_revenue IS DISTINCT FROM extended_price * (1 - discount)",
        ),
        of_each_row(
            "complete",
            "the order and the customer of an item have landed",
            "order_date IS NULL OR dim_customer_id IS NULL",
            threshold=0.05,
            error=False,
        ),
    ],
}
"""The checks of each table, evaluated after each run over what it touched, and by the job `audit` over everything."""
